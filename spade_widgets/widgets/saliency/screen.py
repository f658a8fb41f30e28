"""From what the Saliency panel's jobs find out to what its page shows: events become traits."""

from __future__ import annotations

import time
from collections.abc import Hashable, Mapping
from typing import Any, Literal, TypeAlias

import numpy as np

from spade_widgets.attribution.methods import METHODS
from spade_widgets.evidence.curves import Curve, Mode
from spade_widgets.runtime.attribute import (
    MODES,
    NETWORKS,
    Attributed,
    Attributing,
    Cell,
    Event,
    Question,
    Refusal,
    Seen,
    Walked,
    map_keys,
    walk,
)
from spade_widgets.runtime.explore import Predicted, Traced, Working
from spade_widgets.runtime.jobs import Steps
from spade_widgets.widgets.common import images
from spade_widgets.widgets.common.screen import PanelScreen
from spade_widgets.widgets.saliency.wire import SaliencyWire, map_trait

State = Literal["waiting", "running", "stale", "stopped", "done", "error"]
#: The metrics under a map, in the order in which they stand.
METRICS = ("trojan_auc", "pointing_game", *MODES)
#: Every place that a map can have.
ALL_CELLS: tuple[Cell, ...] = tuple((network, method) for network in NETWORKS for method in METHODS)
Curves: TypeAlias = dict[Mode, Curve]


class SaliencyScreen(PanelScreen[Question]):
    """Shows one Saliency panel's events, on the worker's thread.

    Args:
        panel: whose traits are set.
    """

    _panel: SaliencyWire

    def __init__(self, panel: SaliencyWire) -> None:
        super().__init__(panel)
        self._sample_id = ""
        # What each map on screen is, or will be, of.
        self._wanted: dict[Cell, Hashable] = {}
        # The maps whose curves are on screen, by the key of their content.
        self._walked: dict[Cell, str] = {}

    def begin(self, selection: Question) -> None:
        """A new job begins."""
        self._begun(selection.sample, selection.pruning)
        self._mark(selection)

    def show(self, selection: Question, event: Event) -> None:
        """An event of the job."""
        match event:
            case Working(text, done, of):
                self._working(text, done, of)
            case Seen():
                self._seen(selection, event)
            case Predicted():
                self._predicted(selection.sample, event)
                self._wanted = map_keys(self._panel.session, selection)
            case Traced(trace):
                self._traced(selection.sample, selection.pruning, trace)
            case Attributing(cell, done, of, seconds):
                self._attributing(cell, done, of, seconds)
            case Attributed():
                self._attributed(event)
                self._compare_curves()

    def _mark(self, selection: Question) -> None:
        """What is another sample's goes at once; what is of another selection is said to be old."""
        before = self._panel.cells
        if self._sample_id != selection.sample.id:
            self._sample_id, self._wanted, before = selection.sample.id, {}, {}
            for cell in ALL_CELLS:
                self._put(cell, b"")
        wanted = map_keys(self._panel.session, selection)
        cells = {}
        for cell in selection.cells:
            shown = before.get(_name(cell))
            if shown is None or shown["state"] == "stopped":
                cells[_name(cell)] = _cell("waiting")
            elif cell in wanted and self._wanted.get(cell) == wanted[cell]:
                cells[_name(cell)] = shown
            elif shown["key"]:
                left = {name: shown[name] for name in ("key", "sum", "low", "high")}
                cells[_name(cell)] = {**_cell("stale"), **left}
            else:
                cells[_name(cell)] = _cell("waiting")
        self._panel.cells = cells
        self._wanted = wanted
        for cell in ALL_CELLS:
            if cell not in selection.cells:
                self._put(cell, b"")
        self._compare_curves()

    def _seen(self, selection: Question, event: Seen) -> None:
        if self._panel.image["sample_id"] != selection.sample.id:
            self._panel.image = {
                "sample_id": selection.sample.id,
                "file": images.webp(images.picture(event.view)),
                "mask": b"" if event.mask is None else event.mask.astype(np.uint8).tobytes(),
            }

    def _attributing(self, cell: Cell, done: float, of: int, seconds: float) -> None:
        shown = self._panel.cells[_name(cell)]
        # A map of the selection before stays on screen, dimmed, until the new one is there.
        state = "stale" if shown["key"] else "running"
        if shown["state"] != state or self._due(_name(cell)):
            self._set(
                cell, {**shown, "state": state, "done": done, "of": of, "seconds": round(seconds, 2), "error": ""}
            )

    def _attributed(self, event: Attributed) -> None:
        cell, outcome = event.cell, event.outcome
        self._wanted[cell] = event.key
        if isinstance(outcome, Refusal):
            self._put(cell, b"")
            self._set(cell, _cell("error", error=outcome.sentence))
            return
        self._put(cell, np.ascontiguousarray(outcome.map, "<f4").tobytes())
        self._set(
            cell,
            _cell(
                "done",
                done=1.0,
                of=1,
                seconds=round(outcome.seconds, 2),
                key=outcome.key,
                sum=float(outcome.map.sum(dtype=np.float64)),
                low=float(outcome.map.min()),
                high=float(outcome.map.max()),
                note=outcome.note,
                metrics=_metrics({**outcome.metrics, **event.areas}),
            ),
        )

    def _leave_off(self, selection: Question) -> bool:
        """What is not there is not shown either: a map of something else must not pass for it."""
        self._mark(selection)  # the job may have been stopped before it had begun
        cells, whole = {}, True
        for cell in selection.cells:
            shown = self._panel.cells.get(_name(cell), _cell("waiting"))
            if shown["state"] not in ("done", "error"):
                whole = False
                self._put(cell, b"")
                shown = _cell("stopped", done=shown["done"], of=shown["of"], seconds=shown["seconds"])
            cells[_name(cell)] = shown
        self._panel.cells = cells
        self._compare_curves()
        self._blank(selection.sample, selection.pruning)
        return whole

    # The curves

    def walk(self, selection: Question) -> Steps:
        """A job besides: the curves of all maps that are there. Dropped, it says so."""
        self._walking_since = time.monotonic()
        self._curves_status("working", 0.0, None)
        walked: dict[Cell, Curves] = {}
        found: dict[Cell, str] = {}
        try:
            for event in walk(self._panel.session, selection):
                match event:
                    case Working(_, done, of):
                        if self._due("curves"):
                            self._curves_status("working", done, of)
                    case Walked(cell, outcome, curve):
                        found[cell] = outcome.key
                        walked.setdefault(cell, {})[curve.mode] = curve
                        self._judged(cell, outcome.key, curve)
                yield
            self._draw(walked)
            self._walked = found
        except BaseException:  # also when it is dropped
            self._curves_status("stopped")
            raise
        self._compare_curves()
        self._curves_status("idle")

    def _judged(self, cell: Cell, key: str, curve: Curve) -> None:
        shown = self._panel.cells.get(_name(cell))
        if shown is not None and shown["key"] == key and shown["state"] == "done":
            self._set(cell, {**shown, "metrics": {**shown["metrics"], curve.mode: curve.auc}})

    def _draw(self, walked: Mapping[Cell, Curves]) -> None:
        from spade_widgets.widgets.saliency.chart import chart, fill

        figure = chart() if self._panel.curves is None else self._panel.curves
        fill(figure, walked, self._panel.session.classifier.class_names)
        self._panel.curves = figure

    def _compare_curves(self) -> None:
        """Whether other maps are on screen than those whose curves are."""
        cells = self._panel.cells.items()
        shown = {name: cell["key"] for name, cell in cells if cell["state"] == "done"}
        walked = {_name(cell): key for cell, key in self._walked.items()}
        self._panel.curves_stale = self._panel.curves is not None and shown != walked

    def _curves_status(self, state: str, done: float | None = None, of: int | None = None) -> None:
        seconds = round(time.monotonic() - self._walking_since, 2)
        text = "curves" if state == "working" else state
        self._panel.curves_status = {"state": state, "text": text, "done": done, "of": of, "seconds": seconds}

    # How it is said

    def _set(self, cell: Cell, value: dict[str, Any]) -> None:
        self._panel.cells = {**self._panel.cells, _name(cell): value}

    def _put(self, cell: Cell, values: bytes) -> None:
        setattr(self._panel, map_trait(*cell), values)


def _name(cell: Cell) -> str:
    return "/".join(cell)


def _cell(state: State, **values: Any) -> dict[str, Any]:
    empty = {
        "done": 0.0,
        "of": 0,
        "seconds": 0.0,
        "error": "",
        "note": "",
        "key": "",
        "sum": 0.0,
        "low": 0.0,
        "high": 0.0,
    }
    return {"state": state, **empty, "metrics": _metrics({}), **values}


def _metrics(known: Mapping[str, float]) -> dict[str, float | None]:
    return {name: known.get(name) for name in METRICS}
