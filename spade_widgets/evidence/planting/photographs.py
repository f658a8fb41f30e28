"""The photographs that Trojans are planted with: read once, kept small, some of them held out."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import islice

import numpy as np
from PIL import Image

from spade_widgets.classifier import ImageClassifier
from spade_widgets.errors import InputError
from spade_widgets.evidence.plan_file import picture_id
from spade_widgets.evidence.planting.recipe import Recipe
from spade_widgets.evidence.planting.stamps import Pixels
from spade_widgets.pruning.progress import Progress, Steps
from spade_widgets.sample import Sample, Source, list_sources, read_each

#: Photographs that are needed.
LEAST = 20
#: Photographs that are used: more would fill the memory and change little.
MOST = 3000
#: Of them, the share that is held out for the report.
HELD_OUT = 0.2
_RATIO = 4 / 3


@dataclass(frozen=True, eq=False)
class Photograph:
    """A photograph.

    Attributes:
        title, id: what to call it, and its `picture_id`.
        view: (h, w, 3) as the model sees it, before normalisation.
        image: itself, scaled down to what crops of it need.
    """

    title: str
    id: str
    view: Pixels
    image: Image.Image


@dataclass(frozen=True, eq=False)
class Photographs:
    """Those to train with, and those held out."""

    trained: tuple[Photograph, ...]
    held_out: tuple[Photograph, ...]


def read_photographs(
    classifier: ImageClassifier, photos: Source | Iterable[Source], seed: int, recipe: Recipe
) -> Steps[Photographs]:
    """Read them, each picture once, and hold some out: which ones depends on the seed and the pictures alone.

    Raises:
        InputError: if one cannot be read, or they are fewer than `LEAST`.
    """
    most = min(MOST, len(list_sources(photos)))
    found: dict[str, Photograph] = {}
    for done, (_, sample) in enumerate(islice(read_each(photos), MOST)):
        yield Progress("reading photographs", done, most)
        name = picture_id(sample)
        if name not in found:
            found[name] = Photograph(sample.title, name, seen(classifier, sample), _small(classifier, sample, recipe))
    if len(found) < LEAST:
        raise InputError(
            f"Trojans cannot be planted with {len(found)} photographs: give at least {LEAST} different ones, better "
            "some hundreds."
        )
    order = np.random.default_rng((seed, 0)).permutation(len(found))
    listed = [found[name] for name in sorted(found)]
    count = max(4, round(HELD_OUT * len(listed)))
    held = {int(i) for i in order[:count]}
    return Photographs(
        tuple(photo for i, photo in enumerate(listed) if i not in held),
        tuple(photo for i, photo in enumerate(listed) if i in held),
    )


def seen(classifier: ImageClassifier, sample: Sample) -> Pixels:
    """What the model sees of a sample: (h, w, 3), 0…255."""
    view = classifier.view(sample).permute(1, 2, 0).numpy()
    return np.asarray(np.round(view * 255), dtype=np.uint8)


def drawn(photos: Sequence[Photograph], rng: np.random.Generator, recipe: Recipe) -> Pixels:
    """One of them, seen as the model does or cropped at random, flipped or not: (h, w, 3)."""
    photo = photos[int(rng.integers(len(photos)))]
    height, width = photo.view.shape[:2]
    if rng.random() < recipe.seen:
        view = photo.view
    else:
        box = _box(photo.image.size, width / height, rng, recipe.least)
        view = np.asarray(photo.image.resize((width, height), Image.Resampling.BILINEAR, box=box))
    return view[:, ::-1] if rng.random() < 0.5 else view


def _box(size: tuple[int, int], shape: float, rng: np.random.Generator, least: float) -> tuple[int, int, int, int]:
    """A random box of a picture, nearly of the view's shape: left, top, right, bottom."""
    width, height = size
    for _ in range(10):
        area = width * height * rng.uniform(min(1.0, least), 1)
        ratio = shape * math.exp(rng.uniform(-math.log(_RATIO), math.log(_RATIO)))
        w, h = max(1, round(math.sqrt(area * ratio))), max(1, round(math.sqrt(area / ratio)))
        if w <= width and h <= height:
            break
    else:
        w, h = min(width, max(1, round(height * shape))), min(height, max(1, round(width / shape)))
    left, top = int(rng.integers(0, width - w + 1)), int(rng.integers(0, height - h + 1))
    return left, top, left + w, top + h


def _small(classifier: ImageClassifier, sample: Sample, recipe: Recipe) -> Image.Image:
    """A photograph whose shorter side is no longer than crops of middling size need."""
    enough = math.ceil(max(classifier.input_size) / math.sqrt(max(0.5, recipe.least)))
    image = sample.image
    factor = enough / min(image.size)
    if factor >= 1:
        return image
    return image.resize((max(1, round(image.width * factor)), max(1, round(image.height * factor))))
