"""The Python that reproduces what is on screen."""

from __future__ import annotations

from spade_widgets.runtime.session import PATTERN, Pruning, Session
from spade_widgets.sample import Sample
from spade_widgets.widgets.opening import Opened


def recipe(opened: Opened, session: Session, sample: Sample, pruning: Pruning, neuron: str) -> str:
    """Code that runs by itself, but for what only lives in this kernel: that it takes from `explorer`."""
    sample_code = opened.sample_code.get(sample.id, f"explorer.session.sample({sample.id!r})")
    imports = ["import spade_widgets as sw"]
    if "demo." in opened.classifier_code or "demo." in sample_code:
        imports.append("from spade_widgets import demo")
    if pruning.preset == PATTERN.key:
        how = f"sparsity={pruning.sparsity!r}, layers={pruning.pattern!r}"
    else:
        how = f"plan=sw.SparsityPlan.preset(classifier, {pruning.sparsity!r}, {pruning.preset!r})"
    settings = f"solver={pruning.solver!r}, augmentations={session.augmentations}, seed={session.seed}"
    lines = [
        *imports,
        "",
        f"classifier = {opened.classifier_code}",
        f"sample = {sample_code}",
        f"trace = sw.trace(classifier, sample, {how}, {settings})",
        f"dense_image = sw.visualize(classifier, {neuron!r}, steps={session.steps}, seed={session.seed})",
        f"sparse_image = sw.visualize(trace, {neuron!r}, steps={session.steps}, seed={session.seed})",
        "sw.predict(classifier, sample), sw.predict(trace, sample), trace.stats()",
    ]
    return "\n".join(lines)
