"""What the Explorer computes for a selection, as a job: predictions, channels, trace, both pictures, in this order.

A generator of events. What the store knows comes at once, so that starting again after any change costs little: a
picture that was half done goes on from there.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from time import perf_counter
from typing import Literal, TypeAlias

import numpy as np
import numpy.typing as npt
from torch import Tensor

from spade_widgets.neuron import Neuron
from spade_widgets.prediction import Network
from spade_widgets.pruning.trace import Trace
from spade_widgets.runtime.session import Pruning, Session
from spade_widgets.sample import Sample
from spade_widgets.visualization import Renderer
from spade_widgets.visualization.activations import excitement

Which: TypeAlias = Literal["dense", "sparse"]

#: Time that the dense picture may take while the trace is made, as a share of the trace's own. A solver yields many
#: times a second: with a step of the picture each time, the trace would have to wait for the whole picture.
MEANWHILE = 0.25


@dataclass(frozen=True)
class Selection:
    """What is on screen: a sample, how it is traced, the neuron, and the layer whose channels are listed.

    Attributes:
        pictures: whether the pictures are looked at; else they are not rendered.
    """

    sample: Sample
    pruning: Pruning
    neuron: Neuron
    layer: str
    pictures: bool = True


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
    """The trace is there."""

    trace: Trace


@dataclass(frozen=True)
class Rendered:
    """A picture has gone on by a step, or was found as far as it is."""

    which: Which
    renderer: Renderer


Event: TypeAlias = Working | Predicted | Excited | Traced | Rendered


def explore(session: Session, selection: Selection) -> Iterator[Event]:
    """All that the Explorer shows for a selection; nothing runs between two events.

    Raises:
        SpadeError: where the selection cannot be computed (see the rooms that do it).
    """
    sample, classifier = selection.sample, session.classifier
    found = begun(session, selection)["dense"]
    if found is not None:
        yield Rendered("dense", found)
    known = session.known_trace(sample, selection.pruning)
    probabilities = session.probabilities(classifier, sample)
    yield Predicted(probabilities, session.probabilities(known, sample) if known else None)
    maps = session.maps(sample, selection.layer)
    yield Excited(maps, excitement(maps))
    dense: Renderer | None = None
    if selection.pictures:
        dense = found or session.renderer(classifier, selection.neuron)  # the first takes a second to import Lucent
        if found is None and dense.steps_done:  # it was found on disk
            yield Rendered("dense", dense)
    tracing = session.trace(sample, selection.pruning)
    traced_for = rendered_for = 0.0
    while True:
        began = perf_counter()
        try:
            progress = next(tracing)
        except StopIteration as stop:
            trace: Trace = stop.value
            break
        traced_for += perf_counter() - began
        yield Working(progress.stage, progress.done, progress.of)
        # The dense picture needs no trace: it goes on meanwhile.
        if dense is not None and rendered_for <= MEANWHILE * traced_for and dense.steps_done < session.steps:
            began = perf_counter()
            dense.step()
            session.keep(dense)
            rendered_for += perf_counter() - began
            yield Rendered("dense", dense)
    yield Traced(trace)
    yield Predicted(probabilities, session.probabilities(trace, sample))
    if dense is None:
        return
    sparse = session.renderer(trace, selection.neuron)
    if sparse.steps_done:
        yield Rendered("sparse", sparse)
    while (done := dense.steps_done + sparse.steps_done) < 2 * session.steps:
        yield Working("rendering", done, 2 * session.steps)
        # The one that is behind goes on, so that both come to the same step and the pictures can be compared.
        if dense.steps_done < sparse.steps_done:
            yield from _advance(session, "dense", dense)
        else:
            yield from _advance(session, "sparse", sparse)


def begun(session: Session, selection: Selection) -> dict[Which, Renderer | None]:
    """The selection's pictures as far as they have come; None for one that has had no step."""
    networks: dict[Which, Network | None] = {
        "dense": session.classifier,
        "sparse": session.known_trace(selection.sample, selection.pruning),
    }
    found = {w: session.known_renderer(n, selection.neuron) if n else None for w, n in networks.items()}
    return {which: renderer if renderer and renderer.steps_done else None for which, renderer in found.items()}


def _advance(session: Session, which: Which, renderer: Renderer) -> Iterator[Rendered]:
    if renderer.steps_done < session.steps:
        renderer.step()
        session.keep(renderer)
        yield Rendered(which, renderer)
