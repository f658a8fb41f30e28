"""From what a job finds out to what the page shows: events become traits. What every panel has of it."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import Any, Generic, TypeVar

from spade_widgets.pruning.traces.trace import Trace
from spade_widgets.runtime.explore import Predicted
from spade_widgets.runtime.jobs import Steps
from spade_widgets.runtime.session import Session
from spade_widgets.runtime.tracing import Pruning
from spade_widgets.sample import Sample
from spade_widgets.widgets.common.estimates import about
from spade_widgets.widgets.common.facts import found_sparsity, prediction_rows, trace_facts
from spade_widgets.widgets.common.wire import PanelWire

#: Seconds between two changes of a progress trait: enough for a number that a person reads.
PROGRESS = 0.2
#: What is done for a trace.
TRACING = ("calibrating", "solving", "searching")

S = TypeVar("S")


class PanelScreen(Generic[S]):
    """Shows one panel's events, on the worker's thread: what every panel has. S: the panel's selection.

    Args:
        panel: whose traits are set.
    """

    def __init__(self, panel: PanelWire) -> None:
        self._panel = panel
        self._began = time.monotonic()
        self._said: dict[str, float] = {}
        self._trace: Trace | None = None
        self._pruning: Pruning | None = None
        self._status("working", "starting")

    def begin(self, selection: S) -> None:
        """A new job begins."""
        raise NotImplementedError

    def show(self, selection: S, event: Any) -> None:
        """An event of the job."""
        raise NotImplementedError

    def finished(self) -> None:
        """The job has come to its end."""
        self._status("idle", "done")

    def stopped(self, selection: S) -> Steps:
        """The user has stopped the job: a job in its place, which keeps what there is."""
        if self._leave_off(selection):
            self.finished()
        else:
            self._status("stopped", "stopped")
        yield

    def failed(self, selection: S) -> None:
        """The job has failed; the panel's `error` says why."""
        self._leave_off(selection)
        self._status("error", "failed")

    def _leave_off(self, selection: S) -> bool:
        """Nothing more comes: what is there is shown as it is, and nothing old passes for it. Whether all is there."""
        raise NotImplementedError

    def _begun(self, sample: Sample, pruning: Pruning) -> None:
        self._began, self._pruning = time.monotonic(), pruning
        self._status("working", "predicting")
        self._panel.solved = self._solved(sample, pruning)

    def _predicted(self, sample: Sample, event: Predicted) -> None:
        if event.sparse is None and self._panel.predictions["sample_id"] == sample.id:
            return  # the last trace's stay until there are others; the page says that they are of another one
        self._predict(sample, event)

    def _predict(self, sample: Sample, event: Predicted) -> None:
        names = self._panel.session.classifier.class_names
        rows = prediction_rows(names, event.dense, event.sparse)
        self._panel.predictions = {"sample_id": sample.id, "rows": rows}

    def _blank(self, sample: Sample, pruning: Pruning) -> None:
        """The numbers of another trace do not pass for those of this one, which nobody makes."""
        session = self._panel.session
        dense, trace = session.known_probabilities(session.classifier, sample), session.known_trace(sample, pruning)
        if dense is not None:
            self._predict(sample, Predicted(dense, session.known_probabilities(trace, sample) if trace else None))

    def _traced(self, sample: Sample, pruning: Pruning, trace: Trace) -> None:
        self._trace = trace
        seconds, draft = time.monotonic() - self._began, drafted(self._panel.session, pruning, trace)
        if trace.fidelity is not None:
            self._panel.found(sample, pruning, found_sparsity(trace))
        self._panel.trace_summary = trace_facts(trace, pruning.sparsity, seconds, draft)
        self._panel.solved = self._solved(sample, pruning)

    def _solved(self, sample: Sample, pruning: Pruning) -> list[float]:
        """Where the slider finds a trace at once; moved, it asks for a sparsity and no longer for a fidelity."""
        return self._panel.session.solved(sample, replace(pruning, fidelity=None))

    def _working(self, text: str, done: float, of: int) -> None:
        if text != self._panel.status.get("text") or self._due("status"):
            self._status("working", text, done, of)

    def _due(self, what: str) -> bool:
        """Whether it is time to say again how far `what` is."""
        now = time.monotonic()
        if now - self._said.get(what, 0.0) < self._pause():
            return False
        self._said[what] = now
        return True

    def _pause(self) -> float:
        """Seconds between two changes of a progress trait."""
        return PROGRESS

    def _status(self, state: str, text: str, done: float | None = None, of: int | None = None) -> None:
        seconds = round(time.monotonic() - self._began, 2)
        whole = {"state": state, "text": text, "done": done, "of": of, "seconds": seconds}
        self._panel.status = {**whole, "about": self._about() if text in TRACING else ""}

    def _about(self) -> str:
        """How long the trace takes in all, where that is long."""
        return "" if self._pruning is None else about(self._panel.estimates.get(self._pruning.solver))


def drafted(session: Session, pruning: Pruning, trace: Trace) -> str:
    """What a trace is made with that is not what was asked for yet, in few words; "" where it is the trace itself."""
    said = []
    if trace.augmentations < session.augmentations:
        said.append(f"{trace.augmentations} of {session.augmentations} augmentations")
    if trace.solver != session.solver(pruning):
        said.append(trace.solver)
    if trace.sequential != pruning.sequential:
        said.append("all blocks at once")
    return ", ".join(said)
