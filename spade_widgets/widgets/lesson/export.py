"""Lessons: the Explorer as one file that needs neither kernel nor network."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Generic, TypeAlias, TypeVar, cast

import numpy as np

from spade_widgets.errors import InputError, SpadeError
from spade_widgets.inspection.activations import excitement
from spade_widgets.neuron import Neuron
from spade_widgets.pruning.progress import Progress, Steps, mapped
from spade_widgets.pruning.solvers import check_sparsity
from spade_widgets.runtime.explore import Selection
from spade_widgets.runtime.session import Session
from spade_widgets.sample import Sample, Source, list_sources
from spade_widgets.widgets.lesson.page import Place, page
from spade_widgets.widgets.lesson.record import Lesson, Recorder, Values, too_large

T = TypeVar("T")

#: Samples of a lesson that no samples are chosen for: with the emoji classifier it takes a minute or two.
SAMPLES = 4
#: Sparsities likewise; the panel's own comes to them.
SPARSITIES = (0.5, 0.8, 0.9, 0.95, 0.98)
#: Seconds between two lines that say how far the computing is.
SAID_EVERY = 10.0

#: What can be given for each. A sample may be its number among the panel's, too.
Samples: TypeAlias = "Source | int | Iterable[Source | int]"
Neurons: TypeAlias = "str | Neuron | Iterable[str | Neuron]"
Sparsities: TypeAlias = "float | Iterable[float]"


def choose_samples(
    known: Sequence[Sample], current: Sample, given: Samples | None, find: Callable[[Any], Sample]
) -> tuple[Sample, ...]:
    """The samples that are meant, each once; where none are, the current one and the first others, in their order.

    Args:
        known: the panel's.
        current: the one that is selected.
        given: one, or several, or a folder.
        find: says which sample a single one is.

    Raises:
        InputError: if there is none, or one cannot be read.
    """
    if given is None:
        others = [sample for sample in known if sample.id != current.id][: SAMPLES - 1]
        kept = {current.id, *(sample.id for sample in others)}
        return tuple(sample for sample in known if sample.id in kept)
    listed = [given] if isinstance(given, int | np.integer) else list_sources(cast(Source, given))
    found = [find(each) for each in listed]
    return tuple({sample.id: sample for sample in found}.values())


def choose_neurons(session: Session, selection: Selection, given: Neurons | None) -> tuple[Neuron, ...]:
    """The neurons that are meant, each once; where none are, the selected one and one more.

    That is the class that the sample is taken for or, where that one is selected, the channel of the listed layer that
    it excites most.

    Raises:
        InputError: if there is none, or one is none of the classifier's.
    """
    if given is None:
        return tuple(dict.fromkeys((selection.neuron, on_worker(session, _another(session, selection)))))
    found = [session.classifier.neuron(each) for each in _several(given, "neurons")]
    return tuple(dict.fromkeys(found))


def _another(session: Session, selection: Selection) -> Steps[Neuron]:
    yield Progress("choosing", 0, 1)
    classifier, sample = session.classifier, selection.sample
    best = int(session.probabilities(classifier, sample).argmax())
    neuron = classifier.neuron(f"logit:{best}")
    if neuron != selection.neuron:
        return neuron
    channel = int(excitement(session.maps(sample, selection.layer)).argmax())
    return classifier.neuron(f"{selection.layer}:{channel}")


def choose_sparsities(current: float, given: Sparsities | None) -> tuple[float, ...]:
    """The sparsities that are meant, ascending, each once; where none are, `SPARSITIES` and the current one.

    Raises:
        InputError: if there is none, or one is not in [0, 1).
    """
    chosen = (*SPARSITIES, current) if given is None else _several(given, "sparsities")
    return tuple(sorted({check_sparsity(each) for each in chosen}))


def _several(given: Any, what: str) -> list[Any]:
    """One thing or several, as a list.

    Raises:
        InputError: if there is none.
    """
    if isinstance(given, str | Neuron) or not isinstance(given, Iterable):
        return [given]
    found = list(given)
    if not found:
        raise InputError(f"A lesson without {what} would be empty: give at least one.")
    return found


def export(session: Session, lesson: Lesson, app: Values, place: Place) -> Path:
    """Compute what a lesson shows, say how large it is, and write it; see `Explorer.export_html`."""
    name, limit = place.path.name, place.limit
    print(f"{name}: {lesson.pictures} pictures; what the panel has is not computed again")
    text = page(on_worker(session, Recorder(session, lesson, limit).run(app)))
    nbytes = len(text.encode())
    print(f"{name}: {lesson}, {nbytes / 1e6:.1f} MB")
    if nbytes > limit:
        raise too_large(limit)
    place.write(text)
    return place.path


@dataclass(eq=False)
class _Computing(Generic[T]):
    """What the worker has come to."""

    progress: Progress | None = None
    results: list[T] = field(default_factory=list)
    error: Exception | None = None

    def run(self, steps: Steps[T]) -> Steps[None]:
        self.results.append((yield from mapped(steps, self._note)))

    def _note(self, progress: Progress) -> Progress:
        self.progress = progress
        return progress

    def failed(self, error: Exception) -> None:
        self.error = error


def on_worker(session: Session, steps: Steps[T]) -> T:
    """Run it on the worker, where it takes turns with the panels; say meanwhile how far it is.

    Interrupting the caller drops it. What was computed stays in the session's store.

    Raises:
        Exception: what the computation raised.
        SpadeError: if the worker was closed meanwhile.
    """
    computing: _Computing[T] = _Computing()
    began = time.monotonic()
    job = session.submit(computing, computing.run(steps), computing.failed)
    try:
        while not job.finished.wait(SAID_EVERY):
            if computing.progress is not None:
                print(_line(computing.progress, time.monotonic() - began))
    finally:
        session.worker.cancel(computing)  # nothing, where it is over
    if computing.error is not None:
        raise computing.error
    if not computing.results:
        raise SpadeError("The lesson was left off before all of it was computed: nothing is written.")
    return computing.results[0]


def _line(progress: Progress, seconds: float) -> str:
    left = seconds * (progress.of - progress.done) / progress.done if progress.done > 0 else math.inf
    about = f", about {left:.0f} s left" if left < 120 else f", about {left / 60:.0f} min left" if left < 1e6 else ""
    return f"  {int(progress.done)} of {progress.of} pictures{about}"
