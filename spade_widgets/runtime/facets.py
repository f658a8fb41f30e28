"""What the Facet panel computes, as jobs: a neuron's facets, each facet's trace, and what the neuron is under each.

Generators of events. What the store knows comes at once; what was left off half way goes on from there.
"""

from __future__ import annotations

from collections.abc import Generator, Hashable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TypeAlias

import numpy as np
from PIL import Image

from spade_widgets.errors import InputError
from spade_widgets.inspection.examples import Example
from spade_widgets.inspection.facets.facets import BEST, Facets, plane
from spade_widgets.inspection.facets.grouping import Grouping, group
from spade_widgets.inspection.facets.reached import Reached, side_by_side
from spade_widgets.inspection.facets.several import ChannelFacets, several
from spade_widgets.neuron import Neuron
from spade_widgets.prediction import Network
from spade_widgets.pruning.progress import Progress, mapped
from spade_widgets.pruning.spade import trace_steps
from spade_widgets.pruning.traces.trace import Trace
from spade_widgets.runtime.exemplify import Gallery, anywhere
from spade_widgets.runtime.explore import FIRST_LOOK, Working
from spade_widgets.runtime.lanes import at_once, lanes
from spade_widgets.runtime.session import Session
from spade_widgets.runtime.tracing import Pruning, nbytes_of
from spade_widgets.visualization import Renderer

#: Examples from which on the number of facets is asked of them: of fewer, chance looks like groups too often.
ENOUGH = 16
#: The most facets that can be shown: as many as can be asked for, and those that are in none of one's own.
PLACES = 7
#: Steps that a facet's picture has, to begin with, before the next facet is traced.
FIRST_STEPS = 24
#: Examples of a facet, and of the others, by which it is said what its trace keeps.
MEASURED = 8


@dataclass(frozen=True)
class Inquiry:
    """What is on screen: a neuron's facets in some photographs, and how each is traced.

    Attributes:
        neuron: the neuron.
        gallery: the photographs.
        pruning: how facets are traced. No fidelity can be asked for: a facet is not one prediction.
        count: how many facets; None for as many as there are.
        own: ids of examples, a tuple a facet of the user's own; the rest is one more. Empty: the neuron's facets.
    """

    neuron: Neuron
    gallery: Gallery
    pruning: Pruning
    count: int | None = None
    own: tuple[tuple[str, ...], ...] = ()


@dataclass(frozen=True, eq=False)
class Grouped:
    """The facets are known."""

    facets: Facets


@dataclass(frozen=True, eq=False)
class Cropped:
    """What of an example excites the neuron; `place`: in `Facets.examples`. None where its file is gone."""

    place: int
    crop: Image.Image | None


@dataclass(frozen=True, eq=False)
class FacetTraced:
    """A facet's trace is there."""

    facet: int
    trace: Trace


@dataclass(frozen=True)
class FacetKept:
    """Medians of the share of its activation that a facet's trace keeps; `others` is None where all are its own."""

    facet: int
    own: float
    others: float | None


@dataclass(frozen=True, eq=False)
class Drawn:
    """A picture has gone on by a step, or was found as it is. `place`: 0 is the dense one, 1 the first facet's, …"""

    place: int
    renderer: Renderer


FacetEvent: TypeAlias = Working | Grouped | Cropped | FacetTraced | FacetKept | Drawn


def facet(session: Session, inquiry: Inquiry) -> Iterator[FacetEvent]:
    """All that the panel shows; nothing runs between two events.

    Raises:
        SpadeError: where no photograph excites the neuron, or it cannot be computed.
    """
    neuron, gallery = inquiry.neuron, inquiry.gallery
    for looked in gallery.look_through():
        yield Working("photographs", looked.done, looked.total)
    facets = yield from _facets(session, inquiry)
    yield Grouped(facets)
    networks = _networks(session, inquiry, facets)
    for i, known in enumerate(networks):
        if isinstance(known, Trace):
            yield FacetTraced(i - 1, known)
        renderer = None if known is None else session.known_renderer(known, neuron)
        if renderer is not None and renderer.steps_done:
            yield Drawn(i, renderer)
    yield from _crops(gallery, neuron, facets)
    dense = session.renderer(session.classifier, neuron)
    if dense.steps_done:
        yield Drawn(0, dense)
    of = (1 + len(facets)) * session.steps
    while dense.steps_done < min(FIRST_LOOK, session.steps):
        yield Working("rendering", dense.steps_done, of)
        yield from _step(session, {0: dense})
    pictures = {0: dense}
    for i in range(len(facets)):
        trace = yield from _trace(session, inquiry, facets, i)
        yield FacetTraced(i, trace)
        pictures[i + 1] = picture = session.renderer(trace, neuron)
        if picture.steps_done:
            yield Drawn(i + 1, picture)
        while picture.steps_done < min(FIRST_STEPS, session.steps):
            yield Working("rendering", sum(p.steps_done for p in pictures.values()), of)
            yield from _step(session, {i + 1: picture})
    yield from _render(session, pictures)
    for i in range(len(facets)):
        yield from _kept(session, inquiry, facets, i)


def known_facets(session: Session, inquiry: Inquiry) -> Facets | None:
    """The facets, if they are in the store. Computes nothing."""
    found: Facets | None = session.store.get(_facets_key(inquiry, _exciting(inquiry)))
    return found if found is None or not inquiry.own else session.store.get(_own_key(found, inquiry))


def known_pictures(session: Session, inquiry: Inquiry, facets: Facets) -> list[Renderer | None]:
    """The pictures as far as they have come, the dense one first; None for one that has had no step."""
    found = [n and session.known_renderer(n, inquiry.neuron) for n in _networks(session, inquiry, facets)]
    return [renderer if renderer and renderer.steps_done else None for renderer in found]


def known_traces(session: Session, inquiry: Inquiry, facets: Facets) -> list[Trace | None]:
    """The facets' traces that are in the store."""
    found: list[Trace | None] = [session.store.get(trace_key(session, inquiry, facets, i)) for i in range(len(facets))]
    return found


def trace_key(session: Session, inquiry: Inquiry, facets: Facets, place: int) -> Hashable:
    """Names a facet's trace by what makes it."""
    pruning, ids = inquiry.pruning, tuple(example.id for example in facets[place].examples)
    return "facet trace", ids, session.plan(pruning), session.solver(pruning), pruning.sequential


def augmentations(session: Session, facets: Facets, place: int) -> int:
    """Of a facet's calibration: the session's, but one at least of each of its examples."""
    return max(session.augmentations, len(facets[place]))


def _networks(session: Session, inquiry: Inquiry, facets: Facets) -> list[Network | None]:
    return [session.classifier, *known_traces(session, inquiry, facets)]


# The facets


def _facets(session: Session, inquiry: Inquiry) -> Generator[Working, None, Facets]:
    examples = _exciting(inquiry)
    if not examples:
        raise InputError(f"None of the photographs excites {inquiry.neuron}, so there is nothing to group.")
    count = inquiry.count
    if count is not None and count > len(examples):
        raise InputError(
            f"{len(examples)} photographs excite {inquiry.neuron}, which cannot be in {count} facets: ask for fewer, "
            "or give more photographs."
        )
    key = _facets_key(inquiry, examples)
    found: Facets | None = session.store.get(key)
    if found is None:
        found = yield from session.mapping.run(key, lambda: group_steps(session, inquiry.neuron, examples, count))
        session.store.put(key, found, _nbytes(found))
    return _own(session, found, inquiry)


def group_steps(
    session: Session, neuron: Neuron, examples: Sequence[Example], count: int | None
) -> Generator[Working, None, Facets]:
    """`facets` in steps, an example each. Of fewer than `ENOUGH` examples no number is asked for: they stay one."""
    classifier = session.classifier
    module, rows = classifier.module(), []
    for done, example in enumerate(examples):
        yield Working("what reached it", done, len(examples))
        # A copy each: an example keeps what it has read, and sixty photographs are not to be held.
        passed = Reached(classifier, module, replace(example).sample, neuron.layer)
        rows.append(passed.parts(neuron.channel, example.place))
    yield Working("grouping", len(examples), len(examples))
    reached = side_by_side(rows)
    if count is None and len(examples) < ENOUGH:
        made = Grouping(np.zeros(len(examples), np.int64), 0.0, np.zeros(0), 1.0)
    else:
        made = group(reached, count, seed=session.seed)
    return Facets(
        classifier,
        neuron,
        tuple(examples),
        made.labels,
        plane(reached),
        made.silhouette,
        made.null,
        made.stability,
        reached,
    )


def _exciting(inquiry: Inquiry) -> tuple[Example, ...]:
    """The examples that are grouped: the best that excite the neuron at all."""
    found = inquiry.gallery.examples(inquiry.neuron, BEST)
    return tuple(example for example in found or () if example.value > 0)


def _facets_key(inquiry: Inquiry, examples: Sequence[Example]) -> Hashable:
    ids = tuple(example.id for example in examples)
    return "facets", str(anywhere(inquiry.neuron)), inquiry.count, ids


def _own(session: Session, found: Facets, inquiry: Inquiry) -> Facets:
    """In the user's own groups, of which those examples count that are there."""
    if not inquiry.own:
        return found
    key = _own_key(found, inquiry)
    known: Facets | None = session.store.get(key)
    if known is None:
        place = {example.id: i for i, example in enumerate(found.examples)}
        groups = [[place[one] for one in members if one in place] for members in inquiry.own]
        groups = [members for members in groups if members]
        known = session.store.put(key, found.regroup(groups) if groups else found, _nbytes(found))
    return known


def _own_key(found: Facets, inquiry: Inquiry) -> Hashable:
    return "own facets", str(anywhere(inquiry.neuron)), tuple(one.id for one in found.examples), inquiry.own


def _nbytes(found: Facets) -> int:
    return found.reached.nbytes + 1000 * len(found.examples)


# What there is of each


def _crops(gallery: Gallery, neuron: Neuron, facets: Facets) -> Iterator[Cropped]:
    """The crops: the strongest of each facet first, which its row shows."""
    deepest = max(len(one) for one in facets)
    order = [one.members[k] for k in range(deepest) for one in facets if k < len(one)]
    for place in order:
        try:
            crop = gallery.crop(neuron, replace(facets.examples[place]))
        except InputError:  # its file is gone since it was found
            yield Cropped(place, None)
        else:
            yield Cropped(place, crop)


def _trace(session: Session, inquiry: Inquiry, facets: Facets, place: int) -> Generator[Working, None, Trace]:
    key = trace_key(session, inquiry, facets, place)
    known: Trace | None = session.store.get(key)
    if known is not None:
        return known
    made = yield from session.mapping.run(key, lambda: _make_trace(session, inquiry, facets, place))
    return session.store.put(key, made, nbytes_of(made.weights()))


def _make_trace(session: Session, inquiry: Inquiry, facets: Facets, place: int) -> Generator[Working, None, Trace]:
    pruning, many = inquiry.pruning, len(facets)
    steps = trace_steps(
        session.classifier,
        [replace(example).sample for example in facets[place].examples],
        session.plan(pruning),
        session.solver(pruning),
        augmentations(session, facets, place),
        session.seed,
        sequential=pruning.sequential,
    )

    def said(progress: Progress) -> Working:
        which = "" if many == 1 else f" facet {place + 1} of {many}"
        return Working(f"{progress.stage}{which}", progress.done, progress.of)

    return (yield from mapped(steps, said))[0]


def _step(session: Session, pictures: dict[int, Renderer]) -> Iterator[Drawn]:
    """One step of each, at once where there are cores."""
    at_once(*(picture.step for picture in pictures.values()))
    for place, picture in pictures.items():
        session.keep(picture)
        yield Drawn(place, picture)


def _render(session: Session, pictures: dict[int, Renderer]) -> Iterator[Working | Drawn]:
    """All pictures to their end, side by side: those that are behind go on first, so that they can be compared."""
    steps, many = session.steps, lanes(session.classifier.device)
    while left := {place: one for place, one in pictures.items() if one.steps_done < steps}:
        yield Working("rendering", sum(min(steps, p.steps_done) for p in pictures.values()), steps * len(pictures))
        behind = sorted(left, key=lambda place: (left[place].steps_done, place))
        least = left[behind[0]].steps_done
        yield from _step(session, {place: left[place] for place in behind[:many] if left[place].steps_done == least})


def _kept(session: Session, inquiry: Inquiry, facets: Facets, place: int) -> Iterator[Working | FacetKept]:
    """What a facet's trace keeps of its strongest examples, and of the others'."""
    trace = session.store.get(trace_key(session, inquiry, facets, place))
    if trace is None:
        return
    inside = facets[place].examples[:MEASURED]
    outside = [e for e, label in zip(facets.examples, facets.assignment, strict=True) if label != place][:MEASURED]
    held: dict[str, float] = {}
    for example in (*inside, *outside):
        yield Working("what is kept", len(held), len(inside) + len(outside))
        held[example.id] = inquiry.gallery.kept(trace, inquiry.neuron, replace(example))
    own = float(np.median([held[example.id] for example in inside]))
    others = float(np.median([held[example.id] for example in outside])) if outside else None
    yield FacetKept(place, own, others)


# Which neurons have several


def survey(session: Session, gallery: Gallery, layer: str) -> Iterator[ChannelFacets | Working]:
    """Which neurons of a layer have several facets; what was found before comes at once.

    Channels that fewer than `ENOUGH` photographs excite come too: of them nothing can be said.
    """
    for looked in gallery.look_through():
        yield Working("photographs", looked.done, looked.total)
    index, channels = gallery.index, session.classifier.layer(layer).channels
    if index is None:
        return
    key = ("several", layer, index.digest, tuple(map(str, gallery.photos)) if not gallery.own else index.seen)
    rows: list[ChannelFacets] | None = session.store.get(key)
    if rows is None:
        rows = session.store.put(key, [], 300 * channels)
    yield from list(rows)
    known = {row.neuron.channel for row in rows}
    missing = [channel for channel in range(channels) if channel not in known]
    for event in several(session.classifier, layer, channels=missing, index=index, seed=session.seed):
        if isinstance(event, ChannelFacets):
            rows.append(event)
            yield event
        else:
            yield Working("what reached them", event.done, event.of)
