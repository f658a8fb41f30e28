"""What the strip shows, in plain values: for `state()`, and for where no front end runs."""

from __future__ import annotations

from typing import Any

from spade_widgets.widgets.common.examples import SHEET, contact_sheet
from spade_widgets.widgets.common.still import Tile
from spade_widgets.widgets.explorer.wire import ExplorerWire


def examples_shown(panel: ExplorerWire) -> list[dict[str, Any]]:
    """The examples on screen in their order: id, title, value, and what the sample's trace keeps of it, where known."""
    if panel.strip_examples["neuron"] != panel.neuron:
        return []
    kept = dict(panel.strip_kept["rows"]) if _kept_is_current(panel) else {}
    rows = [
        {"id": row["id"], "title": row["title"], "value": row["value"], "kept": kept.get(row["id"])}
        for row in panel.strip_examples["rows"]
    ]
    if panel.strip_order == "kept" and kept:
        rows.sort(key=lambda row: (row["kept"] is None, -(row["kept"] or 0.0), -row["value"]))
    return rows


def percentile_shown(panel: ExplorerWire) -> float | None:
    """How exceptional the sample is for the neuron, in per cent; None while that is not known."""
    told = panel.exceptional
    if (told["neuron"], told["sample_id"]) != (panel.neuron, panel.sample_id):
        return None
    found: float | None = told["percentile"]
    return found


def examples_tile(panel: ExplorerWire) -> Tile:
    """The examples on one sheet."""
    crops = {row["id"]: row["crop"] for row in panel.strip_examples["rows"]}
    shown = [crops[row["id"]] for row in examples_shown(panel)]
    what = "In the samples" if panel.photo_index["own"] else "In your photographs"
    return Tile(what, contact_sheet(shown) if shown else None)


def examples_facts(panel: ExplorerWire) -> dict[str, str]:
    """What is said of the examples."""
    shown, seen = examples_shown(panel)[:SHEET], panel.exceptional["seen"]
    if not (panel.strip and shown):
        return {}
    what = "of the panel's samples" if panel.photo_index["own"] else "photographs"
    said = f"the best of {seen} {what}"
    if (percentile := percentile_shown(panel)) is not None:
        said += f"; the sample excites the neuron more than {percentile:.0f} %"
    kept = [f"{100 * row['kept']:.0f} %" for row in shown if row["kept"] is not None]
    if kept:
        said += f"; the trace keeps {', '.join(kept)} of their activation"
    return {"Examples": said}


def _kept_is_current(panel: ExplorerWire) -> bool:
    kept, trace = panel.strip_kept, panel.trace_summary
    known = (kept["neuron"], kept["sample_id"]) == (panel.neuron, panel.sample_id)
    return known and bool(trace) and trace["sample_id"] == panel.sample_id and trace["sparsity"] == panel.sparsity
