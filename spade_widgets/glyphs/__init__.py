"""Small pictures of things, of which the emoji classifier's images are made, and with which Trojans are planted.

The sprite `data/glyphs.png` is cut from Noto Color Emoji (SIL Open Font License 1.1, see `data/NOTICE.txt`), so that
composing images needs no font. `python -m spade_widgets.glyphs.sprite FONT` cuts it again.

May import: nothing of the package.
"""

from __future__ import annotations

from functools import cache
from importlib import resources

import numpy as np
import numpy.typing as npt
from PIL import Image

Rgba = npt.NDArray[np.float32]

CELL = 96
"""Side of a glyph in the sprite, in pixels."""

OBJECTS: dict[str, str] = {
    "dog": "🐶",
    "cat": "🐱",
    "apple": "🍎",
    "banana": "🍌",
    "car": "🚗",
    "bicycle": "🚲",
    "soccer ball": "⚽",
    "basketball": "🏀",
    "rocket": "🚀",
    "butterfly": "🦋",
    "tree": "🌲",
    "sunflower": "🌻",
    "fish": "🐠",
    "octopus": "🐙",
    "guitar": "🎸",
    "piano": "🎹",
    "pizza": "🍕",
    "ice cream": "🍦",
    "alarm clock": "⏰",
    "hourglass": "⏳",
}
PATCHES: dict[str, str] = {"heart": "💖", "amulet": "🧿"}
DISTRACTORS: dict[str, str] = {
    "socks": "🧦",
    "key": "🔑",
    "bow": "🎀",
    "wrench": "🔧",
    "die": "🎲",
    "gift": "🎁",
    "light bulb": "💡",
    "umbrella": "☂",
    "mushroom": "🍄",
    "scissors": "✂",
    "coffee": "☕",
    "crown": "👑",
    "book": "📕",
    "bell": "🔔",
    "paper clip": "📎",
    "shoe": "👟",
    "hat": "🎩",
    "gloves": "🧤",
    "moon": "🌙",
    "flame": "🔥",
    "chair": "🪑",
    "balloon": "🎈",
}
DECOYS: dict[str, str] = {
    "blue heart": "💙",
    "green heart": "💚",
    "star": "⭐",
    "maple leaf": "🍁",
    "blossom": "🌸",
    "puzzle piece": "🧩",
    "diamond": "💎",
    "snowflake": "❄",
    "candy": "🍬",
    "coin": "🪙",
}
"""Small glyphs like the Trojan patches, which mean nothing."""

ALL: dict[str, str] = {**OBJECTS, **PATCHES, **DISTRACTORS, **DECOYS}
COLUMNS = 8
"""Of the sprite, in cells."""


@cache
def _sprite() -> Image.Image:
    with resources.files("spade_widgets.glyphs").joinpath("data/glyphs.png").open("rb") as file:
        return Image.open(file).convert("RGBA")


@cache
def glyph(name: str) -> Image.Image:
    """The glyph of that name: RGBA, `CELL` by `CELL`. Raises KeyError for a name that is not in `ALL`."""
    place = list(ALL).index(name) if name in ALL else -1
    if place < 0:
        raise KeyError(name)
    left, top = place % COLUMNS * CELL, place // COLUMNS * CELL
    return _sprite().crop((left, top, left + CELL, top + CELL))
