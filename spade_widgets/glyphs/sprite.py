"""Cuts the sprite of all glyphs from an emoji font: `python -m spade_widgets.glyphs.sprite FONT`."""

from __future__ import annotations

import argparse
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

from spade_widgets.glyphs import ALL, CELL, COLUMNS

DEBIAN_FONT = "/usr/share/fonts/truetype/noto/NotoColorEmoji.ttf"
_BITMAP_SIZE = 109  # the only size of the font's bitmaps


def extract(font: str | Path = DEBIAN_FONT) -> Image.Image:
    """The sprite of all glyphs, cut from an emoji font: an RGBA image of `CELL`-sided cells, row by row.

    Each glyph is cropped to what is visible of it and fitted into its cell, centred. Raises OSError where the font
    cannot be read.
    """
    face = ImageFont.truetype(str(font), _BITMAP_SIZE)
    rows = -(-len(ALL) // COLUMNS)
    sprite = Image.new("RGBA", (COLUMNS * CELL, rows * CELL))
    for place, character in enumerate(ALL.values()):
        drawn = Image.new("RGBA", (2 * _BITMAP_SIZE, 2 * _BITMAP_SIZE))
        ImageDraw.Draw(drawn).text((20, 20), character, font=face, embedded_color=True)
        visible = drawn.crop(drawn.getbbox())
        scale = CELL / max(visible.size)
        visible = visible.resize(
            (max(1, round(visible.width * scale)), max(1, round(visible.height * scale))), Image.Resampling.LANCZOS
        )
        left = place % COLUMNS * CELL + (CELL - visible.width) // 2
        top = place // COLUMNS * CELL + (CELL - visible.height) // 2
        sprite.paste(visible, (left, top))
    return sprite


def main() -> None:
    """Cut the sprite again and write it into the package."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("font", nargs="?", default=DEBIAN_FONT, help="file of the Noto Color Emoji font")
    target = Path(__file__).parent / "data" / "glyphs.png"
    extract(parser.parse_args().font).save(target, optimize=True)
    print(f"wrote {target.name}: {len(ALL)} glyphs, {target.stat().st_size / 1000:.0f} kB")


if __name__ == "__main__":
    main()
