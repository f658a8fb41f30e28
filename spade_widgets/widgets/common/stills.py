"""What any panel shows, as a `Still`: taken from its traits, so that nothing is computed for it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from spade_widgets.runtime.tracing import PATTERN
from spade_widgets.widgets.common import images
from spade_widgets.widgets.common.still import Still, Tile
from spade_widgets.widgets.common.wire import PanelWire

#: What the networks are called on a still.
NAMES = {"dense": "Dense", "sparse": "Trace"}


def still_of(title: str, panel: PanelWire, rows: list[list[Tile]], facts: Mapping[str, str]) -> Still:
    shown = panel.predictions
    listed = shown["rows"] if shown["sample_id"] == panel.sample_id else []
    table = [[row["name"], _share(row["dense"]), _share(row["sparse"])] for row in listed]
    return Still(title, rows, facts, ("Class", "Dense", "Trace"), table)


def facts(panel: PanelWire) -> dict[str, str]:
    """What every panel is set to, and what came of it."""
    app, sample = panel.app, next((s for s in panel.samples if s["id"] == panel.sample_id), {"title": "", "label": ""})
    label = f" (label: {sample['label']})" if sample["label"] else ""
    presets = {preset["key"]: preset["title"] for preset in panel.presets}
    layers = panel.pattern if panel.preset == PATTERN.key else presets.get(panel.preset, str(panel.preset))
    session, order = panel.session, ", block by block" if panel.sequential else ""
    facts = {
        "Classifier": f"{app['title']}, {app['weights']:,} weights",
        "Sample": f"{sample['title']}{label}",
        "Sparsity": percent(panel.sparsity),
        "Pruned layers": layers,
        "Solver": f"{panel.solver}{order}, {session.augmentations} augmentations, seed {session.seed}",
    }
    trace = panel.trace_summary
    if trace and trace["sample_id"] == panel.sample_id and trace["sparsity"] == panel.sparsity:
        says = "says the same class" if trace["agrees"] else f"says {trace['sparse_class']}, not {trace['dense_class']}"
        facts["Trace"] = f"{trace['kept']:,} of {trace['total']:,} weights kept; {says}"
        if trace["fidelity"] is not None:
            facts["Sparsity"] += f", {kept_prediction(trace)}"
    if app["remarks"]:
        facts["Classifier"] += f" ({' '.join(app['remarks'])})"
    facts["Made with"] = f"spade_widgets {app['version']}"
    return facts


def kept_prediction(trace: Mapping[str, Any]) -> str:
    """What came of asking for the sparsest trace that keeps the prediction."""
    if trace["kept"] == trace["total"]:
        return "nothing sparser keeps the prediction"
    asked, reached = (f"{100 * trace['fidelity'][name]:.0f} %" for name in ("asked", "reached"))
    return f"the sparsest found that keeps the prediction ({reached} of further augmentations; asked for: {asked})"


def sample_tile(panel: PanelWire) -> Tile:
    session = panel.session
    return Tile("Sample", images.picture(session.classifier.view(session.sample(panel.sample_id))))


def percent(sparsity: float) -> str:
    return f"{100 * sparsity:.4g} %"


def _share(probability: float | None) -> str:
    return "–" if probability is None else f"{100 * probability:.1f} %"
