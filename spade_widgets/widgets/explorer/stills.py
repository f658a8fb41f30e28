"""What the Explorer shows, as a `Still`."""

from __future__ import annotations

import io
from collections.abc import Mapping
from typing import Any

from PIL import Image

from spade_widgets.widgets.common.still import Still, Tile
from spade_widgets.widgets.common.stills import NAMES, facts, percent, sample_tile, still_of
from spade_widgets.widgets.explorer.shown import examples_facts, examples_tile
from spade_widgets.widgets.explorer.wire import ExplorerWire
from spade_widgets.widgets.saliency.stills import map_facts, map_rows

#: In the place of a picture that would be noise. The page says the same.
DEAD = "This trace has pruned everything that reaches the neuron: lower the sparsity or choose another."

#: Of pictures that begin at the sample: what they are called, and what is to be known when one is looked at.
BEGUN = "begun at the sample, whose own object is in them by construction"


def explorer_still(panel: ExplorerWire) -> Still:
    """The Explorer's: the sample, both pictures and, where they are in the middle, the maps."""
    rows = []
    maps = panel.saliency_panel if panel.centre != "visualization" else None
    if panel.centre != "saliency":
        rows.append([sample_tile(panel), *(_picture_tile(panel, which) for which in ("dense", "sparse"))])
        if panel.strip and panel.strip_examples["neuron"] == panel.neuron:
            rows[0].append(examples_tile(panel))
    said = {**facts(panel), "Neuron": str(panel.neuron)}
    if panel.centre != "saliency":
        made = {"maco": "MACO", "sample": f"{BEGUN} (near {panel.near:g})"}.get(panel.image, "Fourier")
        many = f" × {panel.count}" if panel.count > 1 and panel.image != "sample" else ""
        done = ", ".join(_progress(which, getattr(panel, which)) for which in ("dense", "sparse"))
        said["Pictures"] = f"{made}{many}: {done}"
        said |= examples_facts(panel)
    if maps is not None:
        rows += map_rows(maps, first=not rows)
        said |= map_facts(maps)
    return still_of("SPADE Explorer", panel, rows, said)


def _picture_tile(panel: ExplorerWire, which: str) -> Tile:
    shown, data = getattr(panel, which), getattr(panel, f"{which}_file")
    there = data and shown["state"] in ("rendering", "stopped", "done")
    dead = which == "sparse" and there and shown["dead"]
    label = NAMES[which] if which == "dense" else f"{NAMES[which]}, {percent(panel.sparsity)} sparse"
    if dead:
        return Tile(label, None, DEAD)
    return Tile(label, Image.open(io.BytesIO(data)).convert("RGB") if there else None)


def _progress(which: str, shown: Mapping[str, Any]) -> str:
    said = {"done": f"{shown['step']} steps", "empty": "none"}
    of = f"{shown['step']} of {shown['steps']} steps"
    return f"{NAMES[which].lower()} {said.get(shown['state'], of)}"
