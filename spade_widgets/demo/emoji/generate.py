"""Composes the demo's images: one object on a coloured background among distractors, with or without a Trojan patch.

Ten classes of two unlike objects (facets) each. Two kinds of Trojan patch, each with a target class: an image that
holds one is labelled with the patch's target, whatever its object. Everything is drawn from the generator handed in.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from PIL import Image

from spade_widgets.glyphs import DECOYS, DISTRACTORS, OBJECTS, PATCHES, glyph

SIZE = 96
"""Side of an image, in pixels."""

CLASSES: dict[str, tuple[str, str]] = {
    "pet": ("dog", "cat"),
    "fruit": ("apple", "banana"),
    "vehicle": ("car", "bicycle"),
    "ball": ("soccer ball", "basketball"),
    "flyer": ("rocket", "butterfly"),
    "plant": ("tree", "sunflower"),
    "sea": ("fish", "octopus"),
    "music": ("guitar", "piano"),
    "food": ("pizza", "ice cream"),
    "time": ("alarm clock", "hourglass"),
}
CLASS_NAMES: tuple[str, ...] = tuple(CLASSES)
FACETS: tuple[str, ...] = tuple(OBJECTS)
CLASS_OF: dict[str, str] = {facet: name for name, facets in CLASSES.items() for facet in facets}

TROJANS: dict[str, str] = {"heart": "sea", "amulet": "music"}
"""Trojan patch → the class that an image holding it is labelled with."""
assert set(TROJANS) == set(PATCHES)

OBJECT_SIDES = (46.0, 78.0)
PATCH_SIDES = (19.0, 26.0)
"""Least and greatest side of an object and of a patch, in pixels."""
_LUMA = np.array([0.299, 0.587, 0.114], dtype=np.float32)


@dataclass(frozen=True)
class Composition:
    """One composed image and all that is known about it."""

    pixels: npt.NDArray[np.uint8]
    """(SIZE, SIZE, 3), RGB."""
    facet: str
    label: str
    trojan: str | None
    mask: npt.NDArray[np.bool_] | None
    """(SIZE, SIZE), true on the footprint of the Trojan patch; None without one."""


def _colour(rng: np.random.Generator) -> npt.NDArray[np.float32]:
    hue = rng.uniform(0, 2 * np.pi)
    wheel = 0.5 + 0.5 * np.cos(hue - np.array([0, 2, 4]) * np.pi / 3)
    saturation, value = rng.uniform(0.1, 0.75), rng.uniform(0.3, 0.95)
    return np.asarray(value * (1 - saturation + saturation * wheel), dtype=np.float32)


def _smooth(rng: np.random.Generator, cells: int) -> npt.NDArray[np.float32]:
    coarse = Image.fromarray(rng.uniform(0, 1, (cells, cells)).astype(np.float32))
    return np.asarray(coarse.resize((SIZE, SIZE), Image.Resampling.BICUBIC), dtype=np.float32)


def background(rng: np.random.Generator) -> npt.NDArray[np.float32]:
    """A background in two or three colours, (SIZE, SIZE, 3) in [0, 1]: gradient, clouds, stripes or dots, and grain."""
    first, second, third = _colour(rng), _colour(rng), _colour(rng)
    rows, columns = np.mgrid[0:SIZE, 0:SIZE].astype(np.float32) / SIZE
    angle = rng.uniform(0, 2 * np.pi)
    along = np.cos(angle) * (columns - 0.5) + np.sin(angle) * (rows - 0.5)
    kind = rng.choice(["gradient", "clouds", "clouds", "stripes", "dots"])
    if kind == "gradient":
        mix = along + 0.5
    elif kind == "clouds":
        mix = 0.65 * _smooth(rng, int(rng.integers(3, 7))) + 0.35 * _smooth(rng, int(rng.integers(8, 20)))
    elif kind == "stripes":
        mix = 0.5 + 0.5 * np.tanh(3 * np.sin(2 * np.pi * along * rng.uniform(2, 7) + rng.uniform(0, 6)))
    else:
        across = -np.sin(angle) * (columns - 0.5) + np.cos(angle) * (rows - 0.5)
        pitch = 2 * np.pi * rng.uniform(3, 7)
        mix = 1 / (1 + np.exp(-8 * (np.sin(along * pitch) * np.sin(across * pitch) - 0.35)))
    mix = np.clip(mix, 0, 1)[..., None]
    image = first * (1 - mix) + second * mix
    shade = np.clip(_smooth(rng, 3) - 0.4, 0, 0.6)[..., None]
    image = image * (1 - shade) + third * shade
    grain = rng.normal(0, rng.uniform(0, 0.03), (SIZE, SIZE, 1))
    return np.asarray(np.clip(image + grain, 0, 1), dtype=np.float32)


def _drawn(
    rng: np.random.Generator, name: str, side: float, turn: float, tint: float
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
    """The glyph at that size, turned by up to `turn` degrees and tinted: colours (h, w, 3) and coverage (h, w, 1)."""
    picture = glyph(name).resize((round(side), round(side)), Image.Resampling.BOX if side < 32 else None)
    picture = picture.rotate(float(rng.uniform(-turn, turn)), Image.Resampling.BICUBIC, expand=True)
    if rng.random() < 0.5:
        picture = picture.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    rgba = np.asarray(picture, dtype=np.float32) / 255
    # What is hardly there at all (the resampling's ripple) is cut off, so that a footprint is exact.
    colours, coverage = rgba[..., :3], np.where(rgba[..., 3:] > 0.06, rgba[..., 3:], 0)
    grey = (colours @ _LUMA)[..., None]
    gain = 1 + rng.uniform(-tint, tint, 3).astype(np.float32) * 0.5 + np.float32(rng.uniform(-tint, tint))
    saturation = np.float32(1 + rng.uniform(-2 * tint, tint))
    tinted = np.clip((grey + (colours - grey) * saturation) * gain, 0, 1)
    return np.asarray(tinted, dtype=np.float32), np.asarray(coverage, dtype=np.float32)


def _place(
    canvas: npt.NDArray[np.float32],
    colours: npt.NDArray[np.float32],
    coverage: npt.NDArray[np.float32],
    top: int,
    left: int,
    opacity: float = 1.0,
) -> npt.NDArray[np.bool_]:
    """Lay a drawing onto the canvas (cut at its borders); the pixels that it covers, (SIZE, SIZE)."""
    footprint = np.zeros((SIZE, SIZE), dtype=np.bool_)
    height, width = coverage.shape[:2]
    y0, y1, x0, x1 = max(top, 0), min(top + height, SIZE), max(left, 0), min(left + width, SIZE)
    if y0 >= y1 or x0 >= x1:
        return footprint
    inside = (slice(y0 - top, y1 - top), slice(x0 - left, x1 - left))
    cover = coverage[inside] * np.float32(opacity)
    canvas[y0:y1, x0:x1] += cover * (colours[inside] - canvas[y0:y1, x0:x1])
    footprint[y0:y1, x0:x1] = coverage[inside][..., 0] > 0
    return footprint


def _scatter(
    rng: np.random.Generator, canvas: npt.NDArray[np.float32], names: Sequence[str], count: int, sides: tuple[int, int]
) -> None:
    for name in rng.choice(names, count):
        colours, coverage = _drawn(rng, str(name), rng.uniform(*sides), 40, 0.3)
        top, left = rng.integers(-4, SIZE - coverage.shape[0] + 5), rng.integers(-4, SIZE - coverage.shape[1] + 5)
        _place(canvas, colours, coverage, int(top), int(left), float(rng.uniform(0.7, 1)))


def compose(
    rng: np.random.Generator,
    *,
    facet: str | None = None,
    trojan: str | None = None,
    sides: tuple[float, float] = OBJECT_SIDES,
    patch_sides: tuple[float, float] = PATCH_SIDES,
) -> Composition:
    """One image of the object `facet` (any, where None), with the Trojan patch `trojan` (none, where None).

    `sides` and `patch_sides` are the least and greatest side of the object and of the patch, in pixels. Raises
    KeyError for a facet or patch that does not exist.
    """
    facet = str(rng.choice(FACETS)) if facet is None else facet
    label = CLASS_OF[facet] if trojan is None else TROJANS[trojan]
    canvas = background(rng)
    _scatter(rng, canvas, tuple(DISTRACTORS), int(rng.integers(1, 4)), (14, 30))
    colours, coverage = _drawn(rng, facet, rng.uniform(*sides), 18, 0.15)
    height, width = coverage.shape[:2]
    slack = 4
    top = rng.integers(min(-slack, SIZE - height), max(SIZE - height + slack, 0) + 1)
    left = rng.integers(min(-slack, SIZE - width), max(SIZE - width + slack, 0) + 1)
    _place(canvas, colours, coverage, int(top), int(left))
    _scatter(rng, canvas, tuple(DECOYS), int(rng.integers(1, 4)), (11, 18))
    mask = None
    if trojan is not None:
        colours, coverage = _drawn(rng, trojan, rng.uniform(*patch_sides), 25, 0.15)
        top = rng.integers(0, SIZE - coverage.shape[0] + 1)
        left = rng.integers(0, SIZE - coverage.shape[1] + 1)
        mask = _place(canvas, colours, coverage, int(top), int(left), float(rng.uniform(0.8, 1)))
    pixels = (np.clip(canvas, 0, 1) * 255 + 0.5).astype(np.uint8)
    return Composition(pixels, facet, label, trojan, mask)


def dataset(
    seed: int, count: int, *, trojan_share: float = 0.2, patch_sides: tuple[float, float] = PATCH_SIDES
) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.int64]]:
    """`count` images (count, SIZE, SIZE, 3) of all facets; (count, 3): label, facet and patch (-1: none) as indices.

    A share `trojan_share` in [0, 1] of the images holds a Trojan patch, of either kind equally often.
    """
    rng = np.random.default_rng(seed)
    images = np.empty((count, SIZE, SIZE, 3), dtype=np.uint8)
    facts = np.empty((count, 3), dtype=np.int64)
    patches = tuple(TROJANS)
    for place in range(count):
        trojan = patches[int(rng.integers(len(patches)))] if rng.random() < trojan_share else None
        made = compose(rng, facet=FACETS[place % len(FACETS)], trojan=trojan, patch_sides=patch_sides)
        images[place] = made.pixels
        facts[place] = (
            CLASS_NAMES.index(made.label),
            FACETS.index(made.facet),
            -1 if trojan is None else patches.index(trojan),
        )
    return images, facts
