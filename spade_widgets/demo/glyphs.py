"""The glyphs that the demo's images are made of: their names, and one sprite of them inside the package.

The sprite `data/glyphs.png` is cut from Noto Color Emoji (SIL Open Font License 1.1, see `data/NOTICE.txt`), so that
composing images needs no font. `python -m spade_widgets.demo.glyphs FONT` cuts it again.
"""

from __future__ import annotations

import argparse
from functools import cache
from importlib import resources
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFont

Rgba = npt.NDArray[np.float32]

CELL = 96
"""Side of a glyph in the sprite, in pixels."""

DEBIAN_FONT = "/usr/share/fonts/truetype/noto/NotoColorEmoji.ttf"
_BITMAP_SIZE = 109  # the only size of the font's bitmaps

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
_COLUMNS = 8


def extract(font: str | Path = DEBIAN_FONT) -> Image.Image:
    """The sprite of all glyphs, cut from an emoji font: an RGBA image of `CELL`-sided cells, row by row.

    Each glyph is cropped to what is visible of it and fitted into its cell, centred. Raises OSError where the font
    cannot be read.
    """
    face = ImageFont.truetype(str(font), _BITMAP_SIZE)
    rows = -(-len(ALL) // _COLUMNS)
    sprite = Image.new("RGBA", (_COLUMNS * CELL, rows * CELL))
    for place, character in enumerate(ALL.values()):
        drawn = Image.new("RGBA", (2 * _BITMAP_SIZE, 2 * _BITMAP_SIZE))
        ImageDraw.Draw(drawn).text((20, 20), character, font=face, embedded_color=True)
        visible = drawn.crop(drawn.getbbox())
        scale = CELL / max(visible.size)
        visible = visible.resize(
            (max(1, round(visible.width * scale)), max(1, round(visible.height * scale))), Image.Resampling.LANCZOS
        )
        left = place % _COLUMNS * CELL + (CELL - visible.width) // 2
        top = place // _COLUMNS * CELL + (CELL - visible.height) // 2
        sprite.paste(visible, (left, top))
    return sprite


@cache
def _sprite() -> Image.Image:
    with resources.files("spade_widgets.demo").joinpath("data/glyphs.png").open("rb") as file:
        return Image.open(file).convert("RGBA")


@cache
def glyph(name: str) -> Image.Image:
    """The glyph of that name: RGBA, `CELL` by `CELL`. Raises KeyError for a name that is not in `ALL`."""
    place = list(ALL).index(name) if name in ALL else -1
    if place < 0:
        raise KeyError(name)
    left, top = place % _COLUMNS * CELL, place // _COLUMNS * CELL
    return _sprite().crop((left, top, left + CELL, top + CELL))


def main() -> None:
    """Cut the sprite again and write it into the package."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("font", nargs="?", default=DEBIAN_FONT, help="file of the Noto Color Emoji font")
    target = Path(__file__).parent / "data" / "glyphs.png"
    extract(parser.parse_args().font).save(target, optimize=True)
    print(f"wrote {target.name}: {len(ALL)} glyphs, {target.stat().st_size / 1000:.0f} kB")


if __name__ == "__main__":
    main()
