"""What the Facet panel shows, as a `Still`."""

from __future__ import annotations

import io

from PIL import Image

from spade_widgets.widgets.common.still import GAP, PAPER, SIDE, Still, Tile
from spade_widgets.widgets.common.stills import facts, percent, still_of
from spade_widgets.widgets.facets.wire import FacetWire, file_trait

#: Crops of a facet, in rows and columns of one tile.
GRID = 3


def facet_still(panel: FacetWire) -> Still:
    """The Facet panel's: the dense picture; for each facet its examples' crops and its picture."""
    found = panel.summary
    rows = [[Tile("Dense", _picture(panel, 0))]]
    for i, facet in enumerate(found["facets"]):
        many = len(facet["members"])
        label = f"Facet {i + 1}: {many} of {len(panel.examples)}"
        rows.append(
            [Tile(label, _crops(panel, facet["members"])), Tile(f"Facet {i + 1}, its trace", _picture(panel, i + 1))]
        )
    said = {name: value for name, value in facts(panel).items() if name not in ("Sample", "Trace")}
    said = {"Neuron": str(panel.neuron), **({"Facets": found["sentence"]} if found["sentence"] else {}), **said}
    said["Sparsity"] = percent(panel.sparsity)
    return still_of("SPADE Facets", panel, rows, said)


def _picture(panel: FacetWire, place: int) -> Image.Image | None:
    data = getattr(panel, file_trait(place))
    there = place < len(panel.pictures) and panel.pictures[place]["state"] in ("rendering", "stopped", "done")
    return Image.open(io.BytesIO(data)).convert("RGB") if data and there else None


def _crops(panel: FacetWire, members: list[int]) -> Image.Image | None:
    """The strongest of a facet's examples in one picture."""
    files = [file for place in members[: GRID**2] if (file := panel.examples[place]["crop"])]
    if not files:
        return None
    side = (SIDE - (GRID - 1) * GAP // 2) // GRID
    sheet = Image.new("RGB", (SIDE, SIDE), PAPER)
    for i, file in enumerate(files):
        with Image.open(io.BytesIO(file)) as opened:
            crop = opened.convert("RGB")
        crop.thumbnail((side, side), Image.Resampling.LANCZOS)
        sheet.paste(crop, (i % GRID * (side + GAP // 2), i // GRID * (side + GAP // 2)))
    return sheet
