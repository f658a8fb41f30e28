"""From what a job finds out to what the page shows: events become traits and frames."""

from __future__ import annotations

import time
from collections.abc import Hashable, Mapping
from typing import Any, Generic, TypeVar

from spade_widgets.pruning.traces.trace import Trace
from spade_widgets.runtime.explore import (
    Event,
    Excited,
    Predicted,
    Rendered,
    Selection,
    Traced,
    Which,
    Working,
    begun,
)
from spade_widgets.runtime.jobs import Steps
from spade_widgets.runtime.morph import OnScreen
from spade_widgets.runtime.session import Pruning
from spade_widgets.sample import Sample
from spade_widgets.visualization import Renderer
from spade_widgets.widgets import images
from spade_widgets.widgets.facts import State, picture_facts, prediction_rows, trace_facts
from spade_widgets.widgets.frames import Frames
from spade_widgets.widgets.wire import ExplorerWire, PanelWire

#: Seconds between two changes of a progress trait: enough for a number that a person reads.
PROGRESS = 0.2
#: Channels listed.
CHANNELS = 24


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
        self._began = time.monotonic()
        self._status("working", "predicting")
        self._panel.solved = self._panel.session.solved(sample, pruning)

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
        seconds, asked = time.monotonic() - self._began, self._panel.session.augmentations
        self._panel.trace_summary = trace_facts(trace, pruning.sparsity, seconds, asked)
        self._panel.solved = self._panel.session.solved(sample, pruning)

    def _working(self, text: str, done: float, of: int) -> None:
        if text != self._panel.status.get("text") or self._due("status"):
            self._status("working", text, done, of)

    def _due(self, what: str) -> bool:
        """Whether it is time to say again how far `what` is."""
        now = time.monotonic()
        if now - self._said.get(what, 0.0) < PROGRESS:
            return False
        self._said[what] = now
        return True

    def _status(self, state: str, text: str, done: float | None = None, of: int | None = None) -> None:
        seconds = round(time.monotonic() - self._began, 2)
        self._panel.status = {"state": state, "text": text, "done": done, "of": of, "seconds": seconds}


class Screen(PanelScreen[Selection]):
    """Shows one Explorer's events, on the worker's thread.

    Args:
        panel: whose traits are set.
    """

    _panel: ExplorerWire

    def __init__(self, panel: ExplorerWire) -> None:
        super().__init__(panel)
        self.frames = Frames(panel.send, panel.views)
        #: What is on screen of the trace.
        self.on_screen = OnScreen()
        # Which picture was drawn last, at which step; and what each on screen is of.
        self._drawn: dict[Which, tuple[Renderer, int]] = {}
        self._showing: Mapping[Which, Hashable] = {}
        panel.dense = picture_facts(panel.neuron, "empty", None, panel.session.steps)
        panel.sparse = dict(panel.dense)

    def begin(self, selection: Selection) -> None:
        """A new job begins."""
        self._begun(selection.sample, selection.pruning)
        neuron = str(selection.neuron)
        showing = self._wanted(selection)
        for which, wanted in showing.items():
            shown = getattr(self._panel, which)
            if self._showing.get(which) != wanted or shown["state"] == "empty":
                # The old picture stays until there is a new one, and is said to be an old one.
                setattr(self._panel, which, picture_facts(neuron, "waiting", None, self._panel.session.steps))
        self._showing = showing

    def show(self, selection: Selection, event: Event) -> None:
        """An event of the job."""
        match event:
            case Working(text, done, of):
                self._working(text, done, of)
            case Predicted():
                self._predicted(selection.sample, event)
            case Excited():
                self._excited(selection, event)
            case Traced(trace):
                self._traced(selection.sample, selection.pruning, trace)
                if self._panel.chart is not None:
                    from spade_widgets.widgets.chart import fill

                    fill(self._panel.chart, trace)
            case Rendered():
                self._rendered(selection, event)

    def make_chart(self) -> Steps:
        """The chart, when it is first looked at: Plotly takes a second to import."""
        from spade_widgets.widgets.chart import chart, fill

        if self._panel.chart is None:
            figure = chart()
            if self._trace is not None:
                fill(figure, self._trace)
            self._panel.chart = figure
        yield

    # One method an event

    def _excited(self, selection: Selection, event: Excited) -> None:
        shown = self._panel.channels
        if (shown.get("sample_id"), shown.get("layer")) == (selection.sample.id, selection.layer):
            return
        view = images.small_view(self._panel.session.classifier.view(selection.sample))
        order = (-event.strengths).argsort(kind="stable")[:CHANNELS].tolist()
        self._panel.channels = {
            "sample_id": selection.sample.id,
            "layer": selection.layer,
            "total": len(event.strengths),
            "rows": [
                {"channel": i, "activation": float(event.strengths[i]), "map": images.heat(view, event.maps[i])}
                for i in order
            ],
        }

    def _rendered(self, selection: Selection, event: Rendered) -> None:
        which, steps, morph = event.which, self._panel.session.steps, event.morph
        shown = morph.renderer if morph else event.renderer
        assert shown is not None  # there is one or the other
        over = morph is None and shown.steps_done >= steps
        progress = picture_facts(selection.neuron, "done" if over else "rendering", event.renderer, steps, morph)
        before = getattr(self._panel, which)
        turns = before["state"] != progress["state"] or (before["morph"] is None) != (morph is None)
        drawn = (shown, shown.steps_done)
        if turns or over or self._due(which):  # before its pixels: the page then knows what they are of
            setattr(self._panel, which, progress)
        if not over and drawn != self._drawn.get(which):  # else what went on is not what is on screen
            self._drawn[which] = drawn
            content = {key: progress[key] for key in ("step", "steps", "seconds")}
            self.frames.offer(which, content, lambda: images.frame(shown.sheet()))
        if turns or over:
            self._keep(which, images.png(shown.sheet()))

    # How it is said

    def _keep(self, which: str, picture: bytes) -> None:
        setattr(self._panel, f"{which}_png", picture)

    def _wanted(self, selection: Selection) -> dict[Which, Hashable]:
        """What each picture is of, once it is there."""
        what = str(selection.neuron), selection.drawing
        key = self._panel.session.trace_key(selection.sample, selection.pruning)
        return {"dense": what, "sparse": (what, key)}

    def _leave_off(self, selection: Selection) -> bool:
        """The pictures as they are become traits: a late view, a reloaded page and a saved notebook see those alone.

        What is not there is not shown either: a picture of something else must not pass for it. Returns whether both
        are whole.
        """
        steps, whole = self._panel.session.steps, True
        session = self._panel.session
        subject = session.subject(selection.neuron, selection.drawing)
        morph = self.on_screen.morph_of(selection.sample, selection.pruning, subject)
        for which, renderer in begun(session, selection).items():
            over = renderer is not None and renderer.steps_done >= steps
            morphed = morph if which == "sparse" and not over else None
            shown = morphed.renderer if morphed else renderer
            state: State = "empty" if shown is None else "done" if over else "stopped"
            self._keep(which, images.png(shown.sheet()) if shown else b"")
            setattr(self._panel, which, picture_facts(selection.neuron, state, renderer, steps, morphed))
            whole = whole and over
            if which == "sparse" and shown is None:
                self.on_screen.clear()
        self._blank(selection.sample, selection.pruning)
        self._showing = self._wanted(selection)
        return whole
