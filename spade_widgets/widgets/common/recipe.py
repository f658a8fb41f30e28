"""The Python that reproduces what is on screen."""

from __future__ import annotations

from collections.abc import Sequence

from spade_widgets.inspection.facets import Facets
from spade_widgets.pruning.plans.plan import scaled
from spade_widgets.runtime.drawing import PLAIN, Drawing, spread
from spade_widgets.runtime.exemplify import Gallery
from spade_widgets.runtime.facets import ENOUGH, Inquiry
from spade_widgets.runtime.session import Session
from spade_widgets.runtime.tracing import PATTERN, PLAN, Pruning
from spade_widgets.sample import Sample
from spade_widgets.widgets.common.opening import BUILT_IN, Opened

#: Photographs that code lists one by one at most.
LISTED = 50


def recipe(
    opened: Opened,
    session: Session,
    sample: Sample,
    pruning: Pruning,
    neuron: str,
    drawing: Drawing = PLAIN,
    more: Sequence[str] = (),
) -> str:
    """The Explorer's: code that runs by itself, but for what only lives in this kernel, which it takes from there.

    `more`: further lines, between the trace and its pictures.
    """
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
        *_trace(opened, session, sample, pruning, [*more, *looks]),
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


def photos_recipe(opened: Opened, gallery: Gallery) -> list[str]:
    """The lines that name the photographs."""
    if gallery.folder is not None:
        return [f"photos = {gallery.folder!r}"]
    sources = gallery.photos
    if len(sources) <= LISTED and (gallery.own or gallery.lasting):
        each = [_sample(opened, one) if isinstance(one, Sample) else repr(str(one)) for one in sources]
        for room in BUILT_IN:
            if each == [f"{room}.samples()[{i}]" for i in range(len(opened.samples))]:
                return [f"photos = {room}.samples()"]
        return ["photos = [", *(f"    {one}," for one in each), "]"]
    return [f"photos = {opened.panel}.photos"]


def examples_recipe(opened: Opened, gallery: Gallery, neuron: str, count: int) -> list[str]:
    """The lines that find the neuron's examples, and how much of their activation the trace keeps."""
    return [
        *photos_recipe(opened, gallery),
        f"examples = sw.examples(classifier, {neuron!r}, photos, {count})",
        "from spade_widgets.inspection.examples import kept",
        f"shares = kept(trace, {neuron!r}, examples)",
    ]


def facets_recipe(opened: Opened, session: Session, inquiry: Inquiry, found: Facets | None) -> str:
    """The Facet panel's, likewise. Groups of one's own are in it once the examples are known."""
    asked = "" if inquiry.count is None else f", {inquiry.count}"
    neuron, pruning = str(inquiry.neuron), inquiry.pruning
    lines = [f"facets = sw.facets(classifier, {neuron!r}, photos{asked}, seed={session.seed})"]
    if found is not None and found.own:
        lines.append(f"facets = facets.regroup({[list(facet.members) for facet in found]!r})")
    elif found is not None and inquiry.count is None and len(found.examples) < ENOUGH:
        lines = [f"facets = sw.facets(classifier, {neuron!r}, photos, 1)  # of so few, chance looks like groups"]
    how = f"steps={session.steps}, seed={session.seed}"
    if session.size is not None:
        how += f", size={session.size}"
    settings = f"solver={pruning.solver!r}, seed={session.seed}" + (", sequential=True" if pruning.sequential else "")
    count = str(session.augmentations)
    if found is not None and max(map(len, found)) > session.augmentations:
        count = f"max({count}, len(facets[i]))"
    code = [
        *photos_recipe(opened, inquiry.gallery),
        *lines,
        f"how = dict({_pruned(pruning)}, {settings})",
        f"traces = [facets.trace(i, **how, augmentations={count}) for i in range(len(facets))]",
        f"dense_image = sw.visualize(classifier, {neuron!r}, {how})",
        f"images = [sw.visualize(trace, {neuron!r}, {how}) for trace in traces]",
    ]
    return "\n".join([*_imports(opened, code), "", f"classifier = {opened.classifier_code}", *code])


def _trace(opened: Opened, session: Session, sample: Sample, pruning: Pruning, more: Sequence[str] = ()) -> list[str]:
    """The lines that end with the trace, and more of them."""
    sample_code = _sample(opened, sample)
    settings = f"solver={pruning.solver!r}, augmentations={session.augmentations}, seed={session.seed}"
    if pruning.sequential:
        settings += ", sequential=True"
    return [
        *_imports(opened, [sample_code, *more]),
        "",
        f"classifier = {opened.classifier_code}",
        f"sample = {sample_code}",
        f"trace = sw.trace(classifier, sample, {_pruned(pruning)}, {settings})",
        *more,
    ]


def _imports(opened: Opened, lines: Sequence[str]) -> list[str]:
    """What the lines, and the one that makes the classifier, need."""
    imports, code = ["import spade_widgets as sw"], "\n".join((opened.classifier_code, *lines))
    if rooms := [name for name in sorted(BUILT_IN) if f"{name}." in code]:
        imports.append(f"from spade_widgets.demo import {', '.join(rooms)}")
    return imports


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
