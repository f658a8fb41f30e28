"""What each kind of panel shows, as a `Still`: taken from its traits, so that nothing is computed for it."""

from __future__ import annotations

import io
from collections.abc import Mapping
from functools import cache
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from spade_widgets.attribution.methods import METHODS
from spade_widgets.runtime.attribute import NETWORKS
from spade_widgets.runtime.session import PATTERN
from spade_widgets.visualization.overlay import colors
from spade_widgets.widgets import images
from spade_widgets.widgets.saliency_wire import PREDICTED, SaliencyWire, map_trait
from spade_widgets.widgets.still import Still, Tile
from spade_widgets.widgets.wire import ExplorerWire, PanelWire

#: "RdBu" of ColorBrewer (Brewer 2002) at eleven equidistant places, from blue (against) to red (for).
_AGAINST_FOR = (
    (5, 48, 97), (33, 102, 172), (67, 147, 195), (146, 197, 222), (209, 229, 240), (247, 247, 247),
    (253, 219, 199), (244, 165, 130), (214, 96, 77), (178, 24, 43), (103, 0, 31),
)  # fmt: skip
_NAMES = {"dense": "Dense", "sparse": "Trace"}


def explorer_still(panel: ExplorerWire) -> Still:
    """The Explorer's: the sample, both pictures and, where they are in the middle, the maps."""
    rows = []
    maps = panel.saliency_panel if panel.centre != "visualization" else None
    if panel.centre != "saliency":
        rows.append([_sample_tile(panel), *(_picture_tile(panel, which) for which in ("dense", "sparse"))])
    facts = {**_facts(panel), "Neuron": str(panel.neuron)}
    if panel.centre != "saliency":
        made = "MACO" if panel.image == "maco" else "Fourier"
        many = f" × {panel.count}" if panel.count > 1 else ""
        done = ", ".join(_progress(which, getattr(panel, which)) for which in ("dense", "sparse"))
        facts["Pictures"] = f"{made}{many}: {done}"
    if maps is not None:
        rows += _map_rows(maps, first=not rows)
        facts |= _map_facts(maps)
    return _still("SPADE Explorer", panel, rows, facts)


def saliency_still(panel: SaliencyWire) -> Still:
    """The Saliency panel's: the maps of both networks, a row each."""
    return _still("SPADE Saliency", panel, _map_rows(panel, first=True), {**_facts(panel), **_map_facts(panel)})


def _still(title: str, panel: PanelWire, rows: list[list[Tile]], facts: Mapping[str, str]) -> Still:
    shown = panel.predictions
    listed = shown["rows"] if shown["sample_id"] == panel.sample_id else []
    table = [[row["name"], _share(row["dense"]), _share(row["sparse"])] for row in listed]
    return Still(title, rows, facts, ("Class", "Dense", "Trace"), table)


def _facts(panel: PanelWire) -> dict[str, str]:
    """What every panel is set to, and what came of it."""
    app, sample = panel.app, next((s for s in panel.samples if s["id"] == panel.sample_id), {"title": "", "label": ""})
    label = f" (label: {sample['label']})" if sample["label"] else ""
    presets = {preset["key"]: preset["title"] for preset in panel.presets}
    layers = panel.pattern if panel.preset == PATTERN.key else presets.get(panel.preset, str(panel.preset))
    session = panel.session
    facts = {
        "Classifier": f"{app['title']}, {app['weights']:,} weights",
        "Sample": f"{sample['title']}{label}",
        "Sparsity": _percent(panel.sparsity),
        "Pruned layers": layers,
        "Solver": f"{panel.solver}, {session.augmentations} augmentations, seed {session.seed}",
    }
    trace = panel.trace_summary
    if trace and trace["sample_id"] == panel.sample_id and trace["sparsity"] == panel.sparsity:
        says = "says the same class" if trace["agrees"] else f"says {trace['sparse_class']}, not {trace['dense_class']}"
        facts["Trace"] = f"{trace['kept']:,} of {trace['total']:,} weights kept; {says}"
    facts["Made with"] = f"spade_widgets {app['version']}"
    return facts


def _sample_tile(panel: PanelWire) -> Tile:
    session = panel.session
    return Tile("Sample", images.picture(session.classifier.view(session.sample(panel.sample_id))))


def _picture_tile(panel: ExplorerWire, which: str) -> Tile:
    shown, data = getattr(panel, which), getattr(panel, f"{which}_png")
    there = data and shown["state"] in ("rendering", "stopped", "done")
    label = _NAMES[which] if which == "dense" else f"{_NAMES[which]}, {_percent(panel.sparsity)} sparse"
    return Tile(label, Image.open(io.BytesIO(data)).convert("RGB") if there else None)


def _progress(which: str, shown: Mapping[str, Any]) -> str:
    said = {"done": f"{shown['step']} steps", "empty": "none"}
    of = f"{shown['step']} of {shown['steps']} steps"
    return f"{_NAMES[which].lower()} {said.get(shown['state'], of)}"


def _map_facts(panel: SaliencyWire) -> dict[str, str]:
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
            facts[f"{METHODS[method].title}, {_NAMES[network].lower()}"] = said
    return facts


def _map_rows(panel: SaliencyWire, *, first: bool) -> list[list[Tile]]:
    """A row for each network's maps. `first`: whether the sample is not shown above."""
    sample = _sample_tile(panel)
    assert sample.image is not None
    maps = {(network, method): _values(panel, network, method) for network in NETWORKS for method in panel.methods}
    rows = []
    for network in NETWORKS:
        row = [sample if network == "dense" and first else Tile("", None)]
        for method in panel.methods:
            values = maps[network, method]
            label = f"{METHODS[method].title}, {_NAMES[network].lower()}"
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


def _percent(sparsity: float) -> str:
    return f"{100 * sparsity:.4g} %"


def _share(probability: float | None) -> str:
    return "–" if probability is None else f"{100 * probability:.1f} %"
