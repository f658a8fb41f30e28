"""Sensitivity: how a sample's prediction holds out while the network, or each of its layers, gets sparser."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any

from torch import Tensor

from spade_widgets.checks import check_count
from spade_widgets.classifier import ImageClassifier
from spade_widgets.errors import InputError
from spade_widgets.pruning.calibration.calibration import calibrate
from spade_widgets.pruning.plans.choose import WAIT, resolve
from spade_widgets.pruning.plans.curves import Curve, curves
from spade_widgets.pruning.plans.fidelity import HELD_OUT
from spade_widgets.pruning.plans.held_out import HeldOut
from spade_widgets.pruning.plans.plan import Patterns, SparsityPlan
from spade_widgets.pruning.progress import Progress, Steps, finish
from spade_widgets.pruning.pruner import Pruner
from spade_widgets.pruning.table import Table
from spade_widgets.sample import Sample, Source

#: Sparsities that are looked at where none are said.
SPARSITIES = (0.5, 0.7, 0.8, 0.85, 0.9, 0.925, 0.95, 0.97, 0.98, 0.99)

#: What the row of all layers together has for a name.
TOGETHER = "all together"


@dataclass(frozen=True)
class Sensitivity:
    """What one sparsity does: a row of `sensitivity(…)`.

    Attributes:
        layer: the layer that was pruned, or `"all together"`.
        sparsity: that was asked for.
        kept, total: weights of what was pruned.
        kl: mean KL(dense ‖ pruned) of the class probabilities over the held-out augmentations, in nats.
        agreement: share of them on which both name the same class.
        error: mean over the layers of ‖WX − W'X‖² / ‖WX‖² over the calibration.
    """

    layer: str
    sparsity: float
    kept: int
    total: int
    kl: float
    agreement: float
    error: float


class SensitivityTable(Table[Sensitivity]):
    """The rows of `sensitivity(…)`; a table in a notebook. `pandas.DataFrame(table)` makes a frame of it."""

    __slots__ = ()
    row = Sensitivity

    def figure(self) -> Any:
        """A Plotly figure of three panes over the sparsity: agreement, KL and error; a line for each layer."""
        return _figure(self)


def sensitivity(
    classifier: ImageClassifier,
    sample: Source,
    *,
    sparsities: Sequence[float] = SPARSITIES,
    layers: Patterns | None = None,
    per_layer: bool = False,
    solver: str = "refined",
    wait: float = WAIT,
    augmentations: int = 256,
    held_out: int = HELD_OUT,
    seed: int = 0,
) -> SensitivityTable:
    """How far a sample's prediction goes with the dense one, by sparsity: what to know before choosing one.

    Args:
        classifier, sample, layers, solver, wait, augmentations, seed: as in `trace`.
        sparsities: each in [0, 1); of all layers alike.
        per_layer: whether each layer is pruned alone too: a row for each layer and sparsity follow.
        held_out: on how many augmentations, beside those of the calibration, the predictions are compared.

    Returns:
        A row for each sparsity, ascending, with all layers together; then, if asked for, each layer's alone.

    Raises:
        InputError: for a sample, sparsity, layer, solver or number that cannot be used.
        ModelError: if the network's activations are not finite on the sample.
    """
    read = Sample.read(sample)
    plans = [SparsityPlan.uniform(classifier, s, layers) for s in sparsities]
    if not plans:
        raise InputError("There is no sparsity to look at: give at least one.")
    if not plans[0].layers:
        raise InputError(f"The plan names no layer of {classifier.name} to prune; it has {len(classifier.prunable())}.")
    check_count(augmentations, "number of augmentations")
    check_count(held_out, "number of held-out augmentations")
    ascending = sorted({next(iter(plan.sparsities.values())) for plan in plans})
    pruned = plans[0].layers
    name = resolve(solver, classifier, pruned, sparsities=len(ascending), augmentations=augmentations, wait=wait)
    pruner = Pruner(classifier, read, name, seed)
    return finish(sensitivity_steps(pruner, pruned, ascending, per_layer, augmentations, held_out))


def sensitivity_steps(
    pruner: Pruner,
    layers: Sequence[str],
    sparsities: Sequence[float],
    per_layer: bool,
    augmentations: int,
    held_out: int,
) -> Steps[SensitivityTable]:
    """`sensitivity` in steps; the sparsities ascend."""
    classifier, sample, seed = pruner.classifier, pruner.sample, pruner.seed
    calibration = yield from calibrate(classifier, sample, layers, augmentations=augmentations, seed=seed)
    found = yield from curves(pruner, calibration, layers, sparsities)
    judges = HeldOut(classifier, sample, held_out, seed)
    subjects: list[tuple[str, Mapping[str, Curve]]] = [(TOGETHER, found)]
    if per_layer:
        subjects += [(name, {name: curve}) for name, curve in found.items()]
    rows: list[Sensitivity] = []
    for title, pruned in subjects:
        for number, sparsity in enumerate(sparsities):
            yield Progress("judging", len(rows), len(subjects) * len(sparsities))
            stats = [curve.stats[number] for curve in pruned.values()]
            weights: dict[str, Tensor] = {name: curve.pruned(number).weight for name, curve in pruned.items()}
            verdict = judges.judge(weights)
            kept, total = sum(row.kept for row in stats), sum(row.total for row in stats)
            error = sum(row.error for row in stats) / max(1, len(stats))
            rows.append(Sensitivity(title, sparsity, kept, total, verdict.kl, verdict.agreement, error))
    return SensitivityTable(rows)


def _figure(table: SensitivityTable) -> Any:
    import plotly.graph_objects as go
    from plotly.colors import qualitative
    from plotly.subplots import make_subplots

    panes = (("agreement", "same class, share"), ("kl", "KL to dense, nats"), ("error", "mean layer error"))
    figure = make_subplots(rows=1, cols=len(panes), shared_xaxes=True, horizontal_spacing=0.08)
    for i, (layer, group) in enumerate(groupby(table, lambda row: row.layer)):
        rows = list(group)
        # Layer names are a user's text: Plotly reads < and & as markup.
        name = layer.replace("&", "&amp;").replace("<", "&lt;")
        colour = qualitative.D3[i % len(qualitative.D3)]
        for column, (value, _) in enumerate(panes, start=1):
            line = go.Scatter(
                x=[row.sparsity for row in rows],
                y=[getattr(row, value) for row in rows],
                customdata=[(row.kept, row.total) for row in rows],
                name=name,
                legendgroup=name,
                showlegend=column == 1,
                mode="lines+markers",
                line={"color": colour, "width": 3 if layer == TOGETHER else 1.5},
                hovertemplate="sparsity %{x}: %{y:.3g}<br>%{customdata[0]:,} of %{customdata[1]:,} weights kept",
            )
            figure.add_trace(line, row=1, col=column)
    for column, (_, title) in enumerate(panes, start=1):
        figure.update_xaxes(title_text="sparsity", row=1, col=column)
        figure.update_yaxes(title_text=title, rangemode="tozero", row=1, col=column)
    figure.update_layout(
        margin={"l": 8, "r": 12, "t": 8, "b": 40},
        height=340,
        showlegend=len({row.layer for row in table}) > 1,
        # Theme-neutral: the page's own background shows through, and this grey reads on white and on black.
        paper_bgcolor="rgba(0,0,0,0)",
        plot_bgcolor="rgba(0,0,0,0)",
        font={"color": "#808691", "size": 12},
    )
    grid = "rgba(128,134,145,0.25)"
    figure.update_xaxes(gridcolor=grid)
    figure.update_yaxes(gridcolor=grid)
    return figure
