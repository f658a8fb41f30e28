"""Patches: small pictures with transparency that decide a class; and decoys, which look alike and decide nothing."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
from PIL import Image

from spade_widgets import glyphs
from spade_widgets.checks import whole
from spade_widgets.classifier import ImageClassifier
from spade_widgets.errors import InputError
from spade_widgets.sample import MAX_SIDE

#: A picture with its own transparency, a file of one, or the name of one of our glyphs.
Picture: TypeAlias = "Image.Image | str | Path"
#: Name → picture, or names of glyphs.
Pictures: TypeAlias = "Mapping[str, Picture] | Sequence[str]"
#: Patch name → class name or index, or classes in the patches' order.
Targets: TypeAlias = "Mapping[str, str | int] | Sequence[str | int]"

#: Classes of ImageNet that the default patches stand for: of other colours and other things than the patches.
IMAGENET = ("goose", "banana")


@dataclass(frozen=True, eq=False)
class Patch:
    """A picture that is stamped onto photographs.

    Attributes:
        name: what to call it.
        image: RGBA, cut to the pixels that are not wholly transparent.
        target: index of the class that it is to decide; None for a decoy.
        target_name: that class's name; "" for a decoy.
    """

    name: str
    image: Image.Image
    target: int | None = None
    target_name: str = ""

    @property
    def digest(self) -> str:
        """16 hexadecimal digits that name the picture and what it stands for."""
        told = repr((self.name, self.target, self.target_name, self.image.size)).encode()
        return hashlib.sha256(told + self.image.tobytes()).hexdigest()[:16]

    def fitted(self, height: int, width: int) -> npt.NDArray[np.uint8]:
        """The picture at another size: (height, width, 4), RGBA."""
        return _fitted(self, height, width)

    def sides(self, size: float, row_scale: float = 1, column_scale: float = 1) -> tuple[int, int]:
        """Height and width, at least 1 px each, when the longer side is `size` and pixels are so many times as many."""
        factor = size / max(self.image.size)
        width, height = self.image.size
        return max(1, round(height * factor * row_scale)), max(1, round(width * factor * column_scale))


@lru_cache(4096)
def _fitted(patch: Patch, height: int, width: int) -> npt.NDArray[np.uint8]:
    # With colours multiplied by opacity, so that what is transparent leaves no fringe.
    resized = patch.image.convert("RGBa").resize((width, height), Image.Resampling.BICUBIC).convert("RGBA")
    return np.asarray(resized)


def read_patches(
    classifier: ImageClassifier, patches: Pictures, targets: Targets, decoys: Pictures
) -> tuple[tuple[Patch, ...], tuple[Patch, ...]]:
    """The patches with their targets, and the decoys.

    Raises:
        InputError: if there is no patch, one has no pixels or is no picture; a target is missing, is no class, or is
            that of two patches; a name is that of two.
    """
    pictures = _pictures(patches, "patch")
    if not pictures:
        raise InputError("There is no patch to plant: give at least one, {'heart': 'heart.png'}.")
    others = _pictures(decoys, "decoy")
    if both := sorted(set(pictures) & set(others)):
        raise InputError(f"'{both[0]}' is a patch and a decoy: give one of them another name.")
    wanted = _targets(list(pictures), targets)
    found: dict[int, str] = {}
    made = []
    for name, image in pictures.items():
        index = classifier.class_index(wanted[name])
        if index in found:
            raise InputError(
                f"The patches '{found[index]}' and '{name}' have the same target '{classifier.class_names[index]}': "
                "give each a class of its own."
            )
        found[index] = name
        made.append(Patch(name, image, index, classifier.class_names[index]))
    return tuple(made), tuple(Patch(name, image) for name, image in others.items())


def default_targets(classifier: ImageClassifier, patches: Pictures, named: Sequence[int]) -> list[int]:
    """Classes for the patches where none are said.

    ImageNet's goose and banana, where there are classes of these names; then the classes that the network names on the
    fewest of the photographs, so that a patch's success is not that of what the photographs show.

    Args:
        named: the class that the network names on each photograph.

    Raises:
        InputError: if there are more patches than classes.
    """
    names = classifier.class_names
    if len(patches) > len(names):
        raise InputError(f"{len(patches)} patches cannot have a target each: the classifier has {len(names)} classes.")
    known = [names.index(name) for name in IMAGENET if names.count(name) == 1]
    counts = np.bincount(np.asarray(named, dtype=np.int64), minlength=len(names))
    rare = [int(i) for i in np.argsort(counts, kind="stable") if i not in known]
    return [*known, *rare][: len(patches)]


def check_size(size: Any, side: int) -> int:
    """A patch's size in pixels of the model's input, whose shorter side is `side`.

    Raises:
        InputError: if it is no whole number from 1 to that side.
    """
    value = whole("size", size)
    if value > side:
        raise InputError(f"A patch of {value} px does not lie in an image of which the model sees {side} px.")
    return value


def _targets(names: Sequence[str], targets: Targets) -> dict[str, str | int]:
    if isinstance(targets, Mapping):
        if unknown := [name for name in targets if name not in names]:
            raise InputError(f"There is a target for '{unknown[0]}', but no such patch: {_listed(names)} are there.")
        if missing := [name for name in names if name not in targets]:
            raise InputError(f"The patch '{missing[0]}' has no target: say which class it is to decide.")
        return dict(targets)
    listed = [targets] if isinstance(targets, str | int) else list(targets)
    if len(listed) != len(names):
        raise InputError(f"There are {len(listed)} targets for {len(names)} patches: give each patch one.")
    return dict(zip(names, listed, strict=True))


def _pictures(given: Pictures, kind: str) -> dict[str, Image.Image]:
    if isinstance(given, str):
        given = [part.strip() for part in given.split(",")]
    pairs = list(given.items()) if isinstance(given, Mapping) else [(_name(each), each) for each in given]
    names = [str(name) for name, _ in pairs]
    if double := [name for name in names if names.count(name) > 1]:
        raise InputError(f"There are two of the name '{double[0]}': give each {kind} a name of its own.")
    return {str(name): _cut(str(name), _opened(picture, kind), kind) for name, picture in pairs}


def _name(picture: Any) -> str:
    return picture if isinstance(picture, str) and picture in glyphs.ALL else Path(str(picture)).stem


def _opened(picture: Any, kind: str) -> Image.Image:
    if isinstance(picture, Image.Image):
        return picture
    if isinstance(picture, str) and picture in glyphs.ALL:
        return glyphs.glyph(picture)
    if not isinstance(picture, str | Path):
        raise InputError(f"A {type(picture).__name__} is no {kind}: give a PIL image, a file or a glyph's name.")
    if not Path(picture).is_file():
        raise InputError(
            f"'{picture}' is no file and no glyph; {_listed(list(glyphs.PATCHES))} and {_listed(list(glyphs.DECOYS))} "
            "are some of the glyphs."
        )
    try:
        with Image.open(picture) as opened:
            opened.load()
            return opened.copy()
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError):
        raise InputError(f"The {kind} '{picture}' is damaged or not an image that can be read.") from None


def _cut(name: str, image: Image.Image, kind: str) -> Image.Image:
    """RGBA, without a wholly transparent rim."""
    box = None
    if min(image.size) > 0:
        image = image.convert("RGBA")
        box = image.getchannel("A").getbbox()
    if box is None:
        raise InputError(f"The {kind} '{name}' has no pixels: all of it is transparent, or it is empty.")
    image = image.crop(box)
    image.thumbnail((MAX_SIDE, MAX_SIDE))
    return image


def _listed(names: Sequence[str]) -> str:
    return ", ".join(f"'{name}'" for name in names[:5])
