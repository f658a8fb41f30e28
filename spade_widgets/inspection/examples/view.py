"""Where in an image lies what a classifier sees of it.

A preprocessing is an opaque function. So two pictures of the image's size are sent through it, which are brighter from
left to right and from top to bottom: what comes out says where each pixel comes from.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias
from weakref import WeakKeyDictionary

import numpy as np
import numpy.typing as npt
from PIL import Image

from spade_widgets.classifier import ImageClassifier
from spade_widgets.sample import Sample

Floats: TypeAlias = npt.NDArray[np.float64]

#: Grey levels by which a pixel may be off the line and still be of the picture, not of what was put around it.
SLACK = 4.0


@dataclass(frozen=True)
class View:
    """Image px = start + scale · view px, along the columns and the rows; edges of pixels, not middles.

    Attributes:
        left, top: image px at the view's left and upper edge; below 0 where something was put around the image.
        across, down: image px for one pixel of the view.
    """

    left: float
    top: float
    across: float
    down: float

    def box(self, left: float, top: float, right: float, bottom: float) -> tuple[float, float, float, float]:
        """A box of the view, as one of the image."""
        return (
            self.left + self.across * left,
            self.top + self.down * top,
            self.left + self.across * right,
            self.top + self.down * bottom,
        )


_known: WeakKeyDictionary[ImageClassifier, dict[tuple[int, int], View]] = WeakKeyDictionary()


def view_of(classifier: ImageClassifier, size: tuple[int, int]) -> View:
    """Where images of a size, (width, height), are seen."""
    known = _known.setdefault(classifier, {})
    if size not in known:
        known[size] = _probe(classifier, size)
    return known[size]


def _probe(classifier: ImageClassifier, size: tuple[int, int]) -> View:
    def profile(levels: Floats, axis: int) -> Floats:
        picture = Image.fromarray(np.repeat(_rounded(levels, axis)[..., None], 3, axis=2))
        seen = classifier.view(Sample(picture)).double().mean(0).numpy() * 255
        # Lines through the middle: on the sides, something may have been put around the image.
        middle, half = seen.shape[axis] // 2, max(1, seen.shape[axis] // 16)
        found: Floats = seen.take(range(middle - half, middle + half), axis=axis).mean(axis)
        return found

    width, height = size
    left, across = _line(profile(np.broadcast_to(_ramp(width), (height, width)), 0), width)
    top, down = _line(profile(np.broadcast_to(_ramp(height)[:, None], (height, width)), 1), height)
    return View(left, top, across, down)


def _ramp(length: int) -> Floats:
    return (np.arange(length) + 0.5) * 255 / length


def _rounded(levels: Floats, axis: int) -> npt.NDArray[np.uint8]:
    """To whole levels, up or down by turns along the axis, so that their mean is the level itself."""
    turns = (np.arange(levels.shape[axis]) * 5 % 8 + 0.5) / 8
    return np.asarray(levels + (turns[:, None] if axis == 0 else turns), np.uint8)


def _line(seen: Floats, length: int) -> tuple[float, float]:
    """Start and scale, in px of the image, of levels that were 0…255 from its one edge to the other."""
    places = np.arange(len(seen)) + 0.5
    # First the middle half, which shows the image in any case; then all that lies on its line.
    chosen = np.abs(places - len(seen) / 2) <= max(len(seen) / 4, 1)
    for _ in range(2):
        slope, start = np.polyfit(places[chosen], seen[chosen], 1)
        chosen = np.abs(start + slope * places - seen) <= SLACK
    return float(start * length / 255), float(slope * length / 255)
