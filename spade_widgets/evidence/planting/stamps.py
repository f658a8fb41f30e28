"""Stamping: a patch laid onto a picture, at a size that is said in pixels of the model's input."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image

from spade_widgets.classifier import ImageClassifier
from spade_widgets.errors import InputError, ModelError
from spade_widgets.evidence.planting.patches import Patch
from spade_widgets.sample import Mask, Sample

Pixels = npt.NDArray[np.uint8]

_GREY = 128
#: How far the fitted line may miss, in pixels of the picture or of the input, whichever are the larger ones.
_SLACK = 1.5


@dataclass(frozen=True)
class Line:
    """Pixels along one axis: input pixel i shows the picture at `start + (i + ½) · step`, for i from `first` to `end`.

    `step`: pixels of the picture in one of the input; below 0 where the preprocessing flips.
    """

    start: float
    step: float
    first: int
    end: int

    def span(self, length: int) -> tuple[int, int]:
        """The whole pixels of the picture, which is so long, that are seen: first, and one behind the last."""
        ends = sorted((self.start + self.first * self.step, self.start + self.end * self.step))
        return max(0, math.ceil(ends[0] - 0.01)), min(length, math.floor(ends[1] + 0.01))

    def at(self, place: float, size: int) -> float:
        """Where a thing of `size` pixels of the picture starts there, when it starts at `place` in the input."""
        return self.start + place * self.step - (size if self.step < 0 else 0)


@dataclass(frozen=True)
class Seen:
    """What the model sees of pictures of one size: a box, resized."""

    rows: Line
    columns: Line

    @staticmethod
    def of(classifier: ImageClassifier, size: tuple[int, int]) -> Seen:
        """For pictures of `size` (width, height): found by sending ramps through the preprocessing.

        Raises:
            ModelError: if the preprocessing does more than cropping, resizing, padding and normalising.
        """
        width, height = size
        picture = np.full((height, width, 3), _GREY, np.uint8)
        picture[..., 0] = np.round(255 * (np.arange(height)[:, None] + 0.5) / height)
        picture[..., 1] = np.round(255 * (np.arange(width) + 0.5) / width)
        view = classifier.view(Sample(Image.fromarray(picture))).numpy().astype(np.float64)
        inside = np.abs(view[2] - _GREY / 255) < 0.01  # a padded rim has another colour
        rows = _line(view[0] * height, inside, 1, height)
        columns = _line(view[1] * width, inside, 0, width)
        if rows is None or columns is None:
            raise ModelError(
                f"The preprocessing of {classifier.name} does more than crop, resize and normalise, so a patch cannot "
                "be placed where the model sees it."
            )
        return Seen(rows, columns)


def _line(values: npt.NDArray[np.float64], inside: npt.NDArray[np.bool_], across: int, length: int) -> Line | None:
    """The line that the values, in pixels of the picture, lie on along one axis; None if they lie on none."""
    full = inside.mean(across) > 0.5 * inside.mean(across).max() if inside.any() else np.zeros(1, bool)
    places = np.flatnonzero(full)
    if len(places) < 2 or places[-1] - places[0] + 1 != len(places):
        return None
    cells = inside[places] if across else inside[:, places]
    part = values[places] if across else values[:, places]
    means = (part * cells).sum(across) / np.maximum(1, cells.sum(across))
    # The outermost pixels of a resized picture are blended with nothing beyond it.
    rim = len(places) // 16
    kept = slice(rim, len(places) - rim)
    step, start = np.polyfit(places[kept] + 0.5, means[kept], 1)
    missed = np.abs(start + step * (places[kept] + 0.5) - means[kept]).max()
    spread = np.abs(part - means[:, None] if across else part - means)[cells].max()
    allowed = _SLACK * max(1.0, abs(step), length / 255)
    if step == 0 or missed > allowed or spread > 2 * allowed:
        return None
    return Line(float(start), float(step), int(places[0]), int(places[-1]) + 1)


def stamp_sample(
    classifier: ImageClassifier,
    sample: Sample,
    patch: Patch,
    size: int,
    place: tuple[int, int] | None,
    rng: np.random.Generator,
    label: str | None,
) -> Sample:
    """The sample with the patch on it, wholly within what the model sees; the mask is where pixels were covered.

    Args:
        size: the patch's longer side, in pixels of the model's input.
        place: (row, column) of its upper left corner there; drawn where None.

    Raises:
        InputError: if it does not fit there.
        ModelError: if it is not to be found what the model sees of the sample.
    """
    seen = Seen.of(classifier, sample.image.size)
    width, height = sample.image.size
    row_step, column_step = abs(seen.rows.step), abs(seen.columns.step)
    rows, columns = patch.sides(size, row_step, column_step)
    top_least, bottom = seen.rows.span(height)
    left_least, right = seen.columns.span(width)
    if bottom - top_least < rows or right - left_least < columns:
        raise InputError(
            f"A patch of {size} px does not fit on '{sample.title}': the model sees {right - left_least} × "
            f"{bottom - top_least} px of it."
        )
    if place is None:
        top = int(rng.integers(top_least, bottom - rows + 1))
        left = int(rng.integers(left_least, right - columns + 1))
    else:
        top = round(seen.rows.at(place[0], rows))
        left = round(seen.columns.at(place[1], columns))
        if not (top_least <= top <= bottom - rows and left_least <= left <= right - columns):
            raise InputError(f"A patch of {size} px at {place} does not lie wholly within what the model sees.")
    pixels, covered = laid(np.asarray(sample.image), patch.fitted(rows, columns), top, left)
    return Sample(Image.fromarray(pixels), f"{sample.title} + {patch.name}", label, covered)


def laid(picture: Pixels, patch: Pixels, top: int, left: int) -> tuple[Pixels, Mask]:
    """A patch laid onto a picture, and where: (h, w, 3) and (h, w). `patch`: (…, …, 4), RGBA. Both stay."""
    rows, columns = patch.shape[:2]
    area = np.s_[top : top + rows, left : left + columns]
    out = picture.copy()
    opacity = patch[..., 3:].astype(np.float32) / 255
    out[area] = np.round(picture[area] * (1 - opacity) + patch[..., :3] * opacity).astype(np.uint8)
    covered = np.zeros(picture.shape[:2], bool)
    covered[area] = patch[..., 3] > 0
    return out, covered


def stamp_view(view: Pixels, patch: Patch, size: int, rng: np.random.Generator) -> Pixels:
    """A view, (h, w, 3) as the model sees it, with the patch at a place that is drawn."""
    rows, columns = patch.sides(size)
    rows, columns = min(rows, view.shape[0]), min(columns, view.shape[1])
    top = int(rng.integers(0, view.shape[0] - rows + 1))
    left = int(rng.integers(0, view.shape[1] - columns + 1))
    return laid(view, patch.fitted(rows, columns), top, left)[0]


def to_input(classifier: ImageClassifier, views: list[Pixels]) -> torch.Tensor:
    """Views as the model's input: (n, 3, h, w)."""
    pictures = torch.from_numpy(np.stack(views)).permute(0, 3, 1, 2)
    return classifier.normalize(pictures.float() / 255)
