"""The Python that reproduces what is on screen."""

from __future__ import annotations

from collections.abc import Sequence

from spade_widgets.pruning.plans.plan import scaled
from spade_widgets.runtime.drawing import PLAIN, Drawing, spread
from spade_widgets.runtime.session import Session
from spade_widgets.runtime.tracing import PATTERN, PLAN, Pruning
from spade_widgets.sample import Sample
from spade_widgets.widgets.common.opening import BUILT_IN, Opened


def recipe(
    opened: Opened, session: Session, sample: Sample, pruning: Pruning, neuron: str, drawing: Drawing = PLAIN
) -> str:
    """The Explorer's: code that runs by itself, but for what only lives in this kernel, which it takes from there."""
    how = f"steps={session.steps}, seed={session.seed}"
    if session.size is not None and not drawing.samples:
        how += f", size={session.size}"
    if drawing.count > 1:
        how += f", count={drawing.count}"
    looks: list[str] = []
    if drawing.samples:
        looks = ["samples = [", *(f"    {_sample(opened, one)}," for one in spread(session.samples)), "]"]
        how += f", image={drawing.image!r}, magnitude_from=samples"
    if drawing.begins_at_sample:
        how += f", image={drawing.image!r}, sample=sample, near={drawing.near!r}"
    lines = [
        *_trace(opened, session, sample, pruning, looks),
        f"dense_image = sw.visualize(classifier, {neuron!r}, {how})",
        f"sparse_image = sw.visualize(trace, {neuron!r}, {how})",
        "sw.predict(classifier, sample), sw.predict(trace, sample), trace.stats()",
    ]
    return "\n".join(lines)


def saliency_recipe(
    opened: Opened, session: Session, sample: Sample, pruning: Pruning, methods: Sequence[str], target: int | None
) -> str:
    """The Saliency panel's, likewise."""
    # By its number: two classes may have one name.
    asked = "" if target is None else f", target={target}"
    named = "" if target is None else f"  # {target}: {session.classifier.class_names[target]!r}"
    lines = [
        *_trace(opened, session, sample, pruning),
        f"maps = {{{named}",
        f"    (name, method): sw.saliency(network, sample{asked}, method=method, seed={session.seed})",
        '    for name, network in {"dense": classifier, "sparse": trace}.items()',
        f"    for method in {list(methods)!r}",
        "}",
    ]
    return "\n".join(lines)


def _trace(opened: Opened, session: Session, sample: Sample, pruning: Pruning, more: Sequence[str] = ()) -> list[str]:
    """The lines that end with the trace, and more of them."""
    sample_code = _sample(opened, sample)
    imports = ["import spade_widgets as sw"]
    code = "\n".join((opened.classifier_code, sample_code, *more))
    if rooms := [name for name in sorted(BUILT_IN) if f"{name}." in code]:
        imports.append(f"from spade_widgets.demo import {', '.join(rooms)}")
    settings = f"solver={pruning.solver!r}, augmentations={session.augmentations}, seed={session.seed}"
    if pruning.sequential:
        settings += ", sequential=True"
    return [
        *imports,
        "",
        f"classifier = {opened.classifier_code}",
        f"sample = {sample_code}",
        f"trace = sw.trace(classifier, sample, {_pruned(pruning)}, {settings})",
        *more,
    ]


def _pruned(pruning: Pruning) -> str:
    """What is asked for, as arguments: a sparsity or a fidelity, of which layers."""
    numbers = {pattern: scaled(nominal, pruning.sparsity) for pattern, nominal in pruning.plan}
    preset = f"sw.SparsityPlan.preset(classifier, {pruning.sparsity!r}, {pruning.preset!r})"
    if pruning.fidelity is None:
        if pruning.preset == PATTERN.key:
            return f"sparsity={pruning.sparsity!r}, layers={pruning.pattern!r}"
        return f"plan={numbers!r}" if pruning.preset == PLAN.key else f"plan={preset}"
    asked = f"fidelity={pruning.fidelity!r}, layers="
    if pruning.preset == PATTERN.key:
        return f"{asked}{pruning.pattern!r}"
    return f"{asked}{', '.join(numbers)!r}" if pruning.preset == PLAN.key else f"{asked}{preset}.layers"


def _sample(opened: Opened, sample: Sample) -> str:
    return opened.sample_code.get(sample.id, f"{opened.panel}.session.sample({sample.id!r})")
