"""What a panel shows, as one picture and a few lines: for where no front end runs, as on GitHub or in print."""

from __future__ import annotations

import base64
import html
import io
import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from PIL import Image, ImageDraw, ImageFont

#: The class of the saved picture on a page. Where the panel itself is on screen, its style sheet hides it.
CLASS = "spade-widgets-static"
#: A picture's side on the saved picture, and the space between two, in pixels.
SIDE, GAP = 224, 12
#: As many pictures of at most this side are kept without loss: they take little room then.
LOSSLESS, LOSSLESS_SIDE = 3, 128
INK, PALE, PAPER = "#1f2328", "#eceff3", "#ffffff"
_LABEL = 15
#: Of a line within a picture's place.
_CHARACTERS = 26
# In a page of JupyterLab or Notebook it waits for the panel, which hides it: else it would flash. Elsewhere, and in a
# notebook that is not trusted (its styles are taken away), it is there at once.
_STYLE = (
    f"@keyframes {CLASS} {{ from {{ max-height: 0; overflow: hidden; visibility: hidden; }} }} "
    f".lm-Widget .{CLASS} {{ animation: {CLASS} 3s step-end; }}"
)


_LEFT = "text-align: left"
_CAPTION = "opacity: 0.7"


@dataclass(frozen=True)
class Tile:
    """A picture and what is above it. Without a label, a place that stays empty.

    Attributes:
        label: above it.
        image: None where there is none.
        instead: what is said then.
    """

    label: str
    image: Image.Image | None
    instead: str = "not computed"


@dataclass(frozen=True)
class Still:
    """A panel at one moment.

    Attributes:
        title: the panel's.
        rows: of pictures.
        facts: its settings and results: what → value.
        header, table: what the network says of the sample, line by line.
    """

    title: str
    rows: Sequence[Sequence[Tile]]
    facts: Mapping[str, str]
    header: Sequence[str]
    table: Sequence[Sequence[str]]

    def bundle(self) -> dict[str, str]:
        """Type → content, as Jupyter's `display_data` takes it. The picture is in the HTML alone: it would double."""
        data, kind = encode(draw(self.rows), lossless=_small(self.rows))
        shown = base64.b64encode(data).decode()
        return {"text/html": self._html(kind, shown), "text/plain": self._text()}

    def _html(self, kind: str, shown: str) -> str:
        rows = (f'<tr><th>{_safe(k)}</th><td style="{_LEFT}">{_safe(v)}</td></tr>' for k, v in self.facts.items())
        head = "".join(f"<th>{_safe(cell)}</th>" for cell in self.header)
        lines = ("".join(f"<td>{_safe(cell)}</td>" for cell in line) for line in self.table)
        table = "".join(f"<tr>{line}</tr>" for line in lines)
        told = f"<table><tr>{head}</tr>{table}</table>" if self.table else ""
        alt = _safe(f"{self.title}: {', '.join(tile.label for row in self.rows for tile in row if tile.label)}")
        return (
            f'<div class="{CLASS}"><style>{_STYLE}</style>'
            f'<p><img src="data:{kind};base64,{shown}" alt="{alt}"></p>'
            f'<p style="{_CAPTION}">{_safe(self.title)}, saved picture</p>'
            f"<table>{''.join(rows)}</table>{told}</div>"
        )

    def _text(self) -> str:
        width = max(map(len, self.facts), default=0)
        lines = [self.title, *(f"  {k:<{width}}  {_line(v)}" for k, v in self.facts.items())]
        if self.table:
            cells = [[_line(cell) for cell in line] for line in (self.header, *self.table)]
            widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
            lines += ["", *("  " + "  ".join(c.ljust(w) for c, w in zip(line, widths, strict=True)) for line in cells)]
        return "\n".join(line.rstrip() for line in lines)


def draw(rows: Sequence[Sequence[Tile]]) -> Image.Image:
    """Pictures in rows, each below its label, dark on white."""
    font = ImageFont.load_default(_LABEL)
    high = SIDE + _LABEL + 2 * GAP
    columns = max((len(row) for row in rows), default=0)
    sheet = Image.new("RGB", (GAP + columns * (SIDE + GAP), GAP + len(rows) * high), PAPER)
    pen = ImageDraw.Draw(sheet)
    for i, row in enumerate(rows):
        for j, tile in enumerate(row):
            x, y = GAP + j * (SIDE + GAP), GAP + i * high
            pen.text((x, y), tile.label, fill=INK, font=font)
            y += _LABEL + GAP // 2
            if not tile.label:
                continue
            if tile.image is None:
                pen.rectangle((x, y, x + SIDE - 1, y + SIDE - 1), fill=PALE)
                said = "\n".join(textwrap.wrap(tile.instead, _CHARACTERS))
                pen.text((x + SIDE / 2, y + SIDE / 2), said, fill=INK, font=font, anchor="mm", align="center")
            else:
                picture = fitted(tile.image)
                sheet.paste(picture, (x + (SIDE - picture.width) // 2, y + (SIDE - picture.height) // 2))
    return sheet


def fitted(image: Image.Image) -> Image.Image:
    """The picture with a longer side of `SIDE`; a small one's pixels stay what they are."""
    scale = SIDE / max(image.size)
    size = (max(1, round(image.width * scale)), max(1, round(image.height * scale)))
    how = Image.Resampling.NEAREST if scale >= 1 else Image.Resampling.LANCZOS
    return image.convert("RGB").resize(size, how)


def encode(image: Image.Image, *, lossless: bool) -> tuple[bytes, str]:
    """A file and its type: PNG, or JPEG, which takes a quarter of the room for what is full of fine structure."""
    with io.BytesIO() as out:
        if lossless:
            image.save(out, "PNG", compress_level=4)
            return out.getvalue(), "image/png"
        image.save(out, "JPEG", quality=90, subsampling=0)
        return out.getvalue(), "image/jpeg"


def _small(rows: Sequence[Sequence[Tile]]) -> bool:
    sides = [max(tile.image.size) for row in rows for tile in row if tile.image is not None]
    return len(sides) <= LOSSLESS and all(side <= LOSSLESS_SIDE for side in sides)


def _safe(text: str) -> str:
    return html.escape(_line(text))


def _line(text: str) -> str:
    return " ".join(text.split())
