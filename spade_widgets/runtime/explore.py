"""What the Explorer computes for a selection, as a job: predictions, channels, trace, both pictures, in this order.

A generator of events. What the store knows comes at once, so that starting again after any change costs little: a
picture that was half done goes on from there. As soon as there are other weights to look through, the picture that is
on screen morphs (see `morph`), before anything else is done.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator
from dataclasses import dataclass
from time import perf_counter
from typing import Literal, TypeAlias

import numpy as np
import numpy.typing as npt
from torch import Tensor

from spade_widgets.inspection.activations import excitement
from spade_widgets.neuron import Neuron
from spade_widgets.prediction import Network
from spade_widgets.pruning.pruner import Sketch
from spade_widgets.pruning.traces.trace import Trace
from spade_widgets.runtime.drawing import PLAIN, Drawing, Subject
from spade_widgets.runtime.lanes import at_once, lanes
from spade_widgets.runtime.morph import EVERY, Morph, OnScreen, Origin
from spade_widgets.runtime.session import Session
from spade_widgets.runtime.tracing import Pruning
from spade_widgets.sample import Sample
from spade_widgets.visualization import Renderer

Which: TypeAlias = Literal["dense", "sparse"]

#: Steps of the dense picture before anything else, where nothing is on screen yet: enough to recognise something.
FIRST_LOOK = 48
#: Time that the dense picture may take while the trace is made, as a share of the trace's own. A solver yields many
#: times a second: with a step of the picture each time, the trace would have to wait for the whole picture.
MEANWHILE = 0.25


@dataclass(frozen=True)
class Selection:
    """What is on screen: a sample, how it is traced, the neuron, and the layer whose channels are listed.

    Attributes:
        pictures: whether the pictures are looked at; else they are not rendered.
        drawing: how they are made.
    """

    sample: Sample
    pruning: Pruning
    neuron: Neuron
    layer: str
    pictures: bool = True
    drawing: Drawing = PLAIN


@dataclass(frozen=True)
class Working:
    """What is being done, `done` of `of`."""

    text: str
    done: float
    of: int


@dataclass(frozen=True, eq=False)
class Predicted:
    """Class probabilities, (classes,); `sparse` is None while there is no trace."""

    dense: Tensor
    sparse: Tensor | None


@dataclass(frozen=True, eq=False)
class Excited:
    """The sample's activation maps in the listed layer, (channels, rows, columns), and how strong each channel is."""

    maps: npt.NDArray[np.float32]
    strengths: npt.NDArray[np.float32]


@dataclass(frozen=True)
class Traced:
    """The trace is there, or a draft of it: one from the first augmentations."""

    trace: Trace


@dataclass(frozen=True)
class Rendered:
    """A picture has gone on by a step, or was found as far as it is.

    Attributes:
        which: the network's.
        renderer: that makes it; None of a trace's picture while there is only a draft of the trace.
        morph: what is on screen in its place.
    """

    which: Which
    renderer: Renderer | None
    morph: Morph | None = None


Event: TypeAlias = Working | Predicted | Excited | Traced | Rendered


def explore(session: Session, selection: Selection, screen: OnScreen | None = None) -> Iterator[Event]:
    """All that the Explorer shows for a selection; nothing runs between two events.

    Args:
        session: that computes and keeps it.
        selection: what is asked for.
        screen: what the last job of the same panel has left on screen.

    Raises:
        SpadeError: where the selection cannot be computed (see the rooms that do it).
    """
    sample, classifier, steps = selection.sample, session.classifier, session.steps
    screen = OnScreen() if screen is None else screen
    found = begun(session, selection)
    for which, renderer in found.items():
        if renderer is not None and (which == "dense" or renderer.steps_done >= steps):
            yield from _show(session, selection, screen, which, renderer)
    known = session.known_trace(sample, selection.pruning)
    if known is not None and not (found["sparse"] and screen.shows(found["sparse"])):
        yield from _follow(session, selection, screen, known)
    probabilities = session.probabilities(classifier, sample)
    yield Predicted(probabilities, session.probabilities(known, sample) if known else None)
    maps = session.maps(sample, selection.layer)
    yield Excited(maps, excitement(maps))
    dense: Renderer | None = None
    if selection.pictures:
        dense = found["dense"] or session.renderer(
            classifier, selection.neuron, selection.drawing
        )  # the first imports Lucent: a second
        if found["dense"] is None and dense.steps_done:  # it was on disk
            yield from _show(session, selection, screen, "dense", dense)
        while screen.empty and dense.steps_done < min(FIRST_LOOK, steps):
            yield Working("rendering", dense.steps_done, 2 * steps)
            yield from _advance(session, dense)
    trace = yield from _trace(session, selection, screen, dense, probabilities)
    yield Traced(trace)
    yield Predicted(probabilities, session.probabilities(trace, sample))
    if dense is None:
        return
    sparse = session.renderer(trace, selection.neuron, selection.drawing)
    if not screen.shows(sparse):
        origin = _origin(session, selection)
        whole = sparse.steps_done >= steps  # it was on disk, or was made while the trace was forgotten
        morph = None if whole else screen.follow(trace, _subject(session, selection), origin)
        if morph is None and sparse.steps_done:
            yield from _show(session, selection, screen, "sparse", sparse)
    yield from _render(session, selection, screen, dense, sparse)


def _trace(
    session: Session, selection: Selection, screen: OnScreen, dense: Renderer | None, probabilities: Tensor
) -> Generator[Event, None, Trace]:
    """The trace. While it is made, drafts are shown, the picture on screen morphs, and the dense one goes on."""
    tracing = session.trace(selection.sample, selection.pruning, drafts=True)
    shown: Trace | Sketch | None = None
    traced_for = rendered_for = 0.0
    try:
        while True:
            began = perf_counter()
            try:
                progress = next(tracing)
            except StopIteration as stop:
                made: Trace = stop.value
                return made
            traced_for += perf_counter() - began
            yield Working(progress.stage, progress.done, progress.of)
            draft = session.draft(selection.sample, selection.pruning)
            if draft is not None and draft is not shown:
                shown = draft
                yield from _show_draft(session, selection, screen, draft, probabilities)
            # The pictures go on meanwhile, but it shall not have to wait for them.
            if rendered_for > MEANWHILE * traced_for:
                continue
            began = perf_counter()
            if shown is not None and (morph := screen.morph) is not None:
                morph.step()
                yield Rendered("sparse", None, morph)
            elif dense is not None and dense.steps_done < session.steps:
                yield from _advance(session, dense)
            rendered_for += perf_counter() - began
    finally:
        tracing.close()


def _show_draft(
    session: Session, selection: Selection, screen: OnScreen, draft: Trace | Sketch, probabilities: Tensor
) -> Iterator[Event]:
    """The picture on screen goes on through what there is of the trace; then the numbers, which take a while."""
    yield from _follow(session, selection, screen, draft)
    if isinstance(draft, Trace):
        yield Traced(draft)
        yield Predicted(probabilities, session.probabilities(draft, selection.sample))


def _follow(session: Session, selection: Selection, screen: OnScreen, network: Trace | Sketch) -> Iterator[Event]:
    """The first step of what is on screen under a network; where nothing of the neuron is, of a draft's new picture."""
    if not selection.pictures:
        return
    origin, subject = _origin(session, selection, network), _subject(session, selection)
    morph = screen.follow(network, subject, origin)
    if morph is None and origin != _origin(session, selection):  # a draft
        morph = screen.begin(network, subject, origin)
    if morph is not None:
        morph.step()
        yield Rendered("sparse", None, morph)


def _render(
    session: Session, selection: Selection, screen: OnScreen, dense: Renderer, sparse: Renderer
) -> Iterator[Event]:
    """Both pictures to their end; the morph, where one is on screen, first."""
    steps, turn = session.steps, 0
    # Either may have more steps than are asked for now.
    while (done := min(steps, dense.steps_done) + min(steps, sparse.steps_done)) < 2 * steps:
        yield Working("rendering", done, 2 * steps)
        turn += 1
        morph = screen.morph
        wanted: list[Renderer | Morph] = []
        if morph is not None and sparse.steps_done < steps and (morph.alone or turn % EVERY == 0):
            wanted.append(morph)
        # The one that is behind goes on alone, so that both come to the same step and the pictures can be compared.
        # Meanwhile another job, which shares them, may have brought them to their end.
        least = min(dense.steps_done, sparse.steps_done)
        wanted += [renderer for renderer in (sparse, dense) if renderer.steps_done == least < steps]
        going = wanted[: lanes(session.classifier.device)]
        if going:
            at_once(*(one.step for one in going))
        for one in going:
            if one is dense:
                session.keep(dense)
                yield Rendered("dense", dense)
            elif one is sparse:
                session.keep(sparse)
                if screen.overtaken(sparse, steps):
                    screen.show(sparse, _subject(session, selection), _origin(session, selection))
                yield Rendered("sparse", sparse, screen.morph)
            else:
                yield Rendered("sparse", sparse, morph)


def _show(
    session: Session, selection: Selection, screen: OnScreen, which: Which, renderer: Renderer
) -> Iterator[Rendered]:
    """A picture as it was found."""
    if which == "sparse":
        screen.show(renderer, _subject(session, selection), _origin(session, selection))
    yield Rendered(which, renderer)


def _origin(session: Session, selection: Selection, network: Trace | Sketch | None = None) -> Origin:
    """Of the trace that is asked for, or of a network that is a draft of it."""
    pruning = selection.pruning
    augmentations = network.augmentations if isinstance(network, Trace) else session.augmentations
    solver = session.solver(pruning) if network is None else network.solver
    sequential = pruning.sequential if network is None else isinstance(network, Trace) and network.sequential
    return Origin(selection.sample, pruning, augmentations, solver, sequential)


def _subject(session: Session, selection: Selection) -> Subject:
    return session.subject(selection.neuron, selection.drawing)


def begun(session: Session, selection: Selection) -> dict[Which, Renderer | None]:
    """The selection's pictures as far as they have come; None for one that has had no step."""
    networks: dict[Which, Network | None] = {
        "dense": session.classifier,
        "sparse": session.known_trace(selection.sample, selection.pruning),
    }
    neuron, drawing = selection.neuron, selection.drawing
    found = {w: session.known_renderer(n, neuron, drawing) if n else None for w, n in networks.items()}
    return {which: renderer if renderer and renderer.steps_done else None for which, renderer in found.items()}


def _advance(session: Session, dense: Renderer) -> Iterator[Rendered]:
    if dense.steps_done < session.steps:
        dense.step()
        session.keep(dense)
        yield Rendered("dense", dense)
