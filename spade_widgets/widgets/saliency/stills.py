"""What the Saliency panel shows, as a `Still`."""

from __future__ import annotations

from functools import cache

import numpy as np
import numpy.typing as npt
from PIL import Image

from spade_widgets.attribution.methods import METHODS
from spade_widgets.runtime.attribute import NETWORKS
from spade_widgets.visualization.overlay import colors
from spade_widgets.widgets.common.still import Still, Tile
from spade_widgets.widgets.common.stills import NAMES, facts, sample_tile, still_of
from spade_widgets.widgets.saliency.wire import PREDICTED, SaliencyWire, map_trait

#: "RdBu" of ColorBrewer (Brewer 2002) at eleven equidistant places, from blue (against) to red (for).
_AGAINST_FOR = (
    (5, 48, 97), (33, 102, 172), (67, 147, 195), (146, 197, 222), (209, 229, 240), (247, 247, 247),
    (253, 219, 199), (244, 165, 130), (214, 96, 77), (178, 24, 43), (103, 0, 31),
)  # fmt: skip


def saliency_still(panel: SaliencyWire) -> Still:
    """The Saliency panel's: the maps of both networks, a row each."""
    return still_of("SPADE Saliency", panel, map_rows(panel, first=True), {**facts(panel), **map_facts(panel)})


def map_facts(panel: SaliencyWire) -> dict[str, str]:
    names = panel.session.classifier.class_names
    target = "the predicted class" if panel.target == PREDICTED else names[panel.target]
    facts = {
        "Saliency methods": ", ".join(METHODS[key].title for key in panel.methods),
        "Maps speak of": target,
        "Colours": f"up to the {panel.clip:g}th percentile; where a map has a sign, red is for the class, blue against",
    }
    for name, cell in panel.cells.items():
        network, method = name.split("/")
        known = {metric: value for metric, value in cell["metrics"].items() if value is not None}
        if cell["state"] == "done" and known:
            said = ", ".join(f"{metric.replace('_', ' ')} {value:.3f}" for metric, value in known.items())
            facts[f"{METHODS[method].title}, {NAMES[network].lower()}"] = said
    return facts


def map_rows(panel: SaliencyWire, *, first: bool) -> list[list[Tile]]:
    """A row for each network's maps. `first`: whether the sample is not shown above."""
    sample = sample_tile(panel)
    assert sample.image is not None
    maps = {(network, method): _values(panel, network, method) for network in NETWORKS for method in panel.methods}
    rows = []
    for network in NETWORKS:
        row = [sample if network == "dense" and first else Tile("", None)]
        for method in panel.methods:
            values = maps[network, method]
            label = f"{METHODS[method].title}, {NAMES[network].lower()}"
            both = [maps[other, method] for other in NETWORKS] if panel.scale == "same" else [values]
            row.append(Tile(label, None if values is None else _painted(panel, sample.image, values, both)))
        rows.append(row)
    return rows


def _values(panel: SaliencyWire, network: str, method: str) -> npt.NDArray[np.float32] | None:
    cell, data = panel.cells.get(f"{network}/{method}"), getattr(panel, map_trait(network, method))
    h, w = panel.app["input"]
    if cell is None or cell["state"] != "done" or len(data) != 4 * h * w:
        return None
    return np.frombuffer(data, "<f4").reshape(h, w)


def _painted(
    panel: SaliencyWire,
    view: Image.Image,
    values: npt.NDArray[np.float32],
    scaled: list[npt.NDArray[np.float32] | None],
) -> Image.Image:
    """A map over the sample. `scaled`: the maps that share its scale."""
    limit = max(float(np.percentile(np.abs(other), panel.clip)) for other in scaled if other is not None)
    share = values / (limit or 1.0)
    if panel.signed and any(other is not None and float(other.min()) < 0 for other in scaled):
        hue = _against_for()[((share.clip(-1, 1) + 1) / 2 * 255).round().astype(int)]
    else:
        hue = colors()[(np.abs(share).clip(0, 1) * 255).round().astype(int)]
    mixed = np.asarray(view, np.float32) * (1 - panel.opacity) + hue * panel.opacity
    return Image.fromarray(mixed.round().clip(0, 255).astype(np.uint8))


@cache
def _against_for() -> npt.NDArray[np.uint8]:
    places = np.linspace(0, 255, len(_AGAINST_FOR))
    channels = [np.interp(np.arange(256), places, values) for values in zip(*_AGAINST_FOR, strict=True)]
    return np.stack(channels, axis=1).round().astype(np.uint8)
