"""From what the Saliency panel's jobs find out to what its page shows: events become traits."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from typing import Any, Literal

import numpy as np

from spade_widgets.attribution.curves import Mode
from spade_widgets.runtime.attribute import (
    MODES,
    Attributed,
    Attributing,
    Cell,
    Event,
    Found,
    Question,
    Refusal,
    Seen,
    map_keys,
)
from spade_widgets.runtime.explore import Predicted, Traced, Working
from spade_widgets.widgets import images
from spade_widgets.widgets.saliency_wire import SaliencyWire, map_trait
from spade_widgets.widgets.screen import PanelScreen

State = Literal["waiting", "running", "stale", "stopped", "done", "error"]
#: The metrics under a map, in the order in which they stand.
METRICS = ("trojan_auc", "pointing_game", *MODES)


class SaliencyScreen(PanelScreen[Question]):
    """Shows one Saliency panel's events, on the worker's thread.

    Args:
        panel: whose traits are set.
    """

    _panel: SaliencyWire

    def __init__(self, panel: SaliencyWire) -> None:
        super().__init__(panel)
        # What each map on screen is of: a sample, and the key in the store; the sample's alone is the page's business.
        self._shown: dict[Cell, Hashable] = {}
        self._sample_id = ""
        # The maps whose curves are on screen, and the curves.
        self._walked: dict[Cell, Hashable] = {}

    def begin(self, selection: Question) -> None:
        """A new job begins. What belongs to another sample goes at once, what is old is said to be old."""
        self._begun(selection.sample, selection.pruning)
        wanted = map_keys(self._panel.session, selection)
        if self._sample_id != selection.sample.id:
            self._sample_id = selection.sample.id
            for cell in list(self._shown):
                self._drop(cell)
        cells = {}
        for cell in selection.cells:
            shown = self._panel.cells.get(_name(cell))
            if shown is not None and cell in self._shown and self._shown[cell] == wanted.get(cell):
                cells[_name(cell)] = shown
            elif shown is not None and shown["key"] and cell in self._shown:
                cells[_name(cell)] = {
                    **shown,
                    "state": "stale",
                    "done": 0.0,
                    "of": 0,
                    "error": "",
                    "metrics": _metrics(),
                }
            else:
                cells[_name(cell)] = _cell("waiting")
        for cell in [cell for cell in self._shown if cell not in selection.cells]:
            self._drop(cell)
        self._panel.cells = cells
        self._compare_curves()

    def show(self, selection: Question, event: Event) -> None:
        """An event of the job."""
        match event:
            case Working(text, done, of):
                self._working(text, done, of)
            case Seen():
                self._seen(selection, event)
            case Predicted():
                self._predicted(selection.sample, event)
            case Traced(trace):
                self._traced(selection.sample, selection.pruning, trace)
            case Attributing(cell, done, of, seconds):
                self._attributing(cell, done, of, seconds)
            case Attributed(cell, outcome, areas):
                self._attributed(selection, cell, outcome, areas)

    def finished(self) -> None:
        """The job has come to its end."""
        super().finished()
        self._compare_curves()

    def _seen(self, selection: Question, event: Seen) -> None:
        if self._panel.image["sample_id"] != selection.sample.id:
            self._panel.image = {
                "sample_id": selection.sample.id,
                "png": images.png(images.picture(event.view)),
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

    def _attributed(
        self, selection: Question, cell: Cell, outcome: Found | Refusal, areas: Mapping[Mode, float]
    ) -> None:
        wanted = map_keys(self._panel.session, selection)[cell]
        self._shown[cell] = wanted
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
                metrics=_metrics(**outcome.metrics, **areas),
            ),
        )

    def _leave_off(self, selection: Question) -> bool:
        """What is not there is not shown either: a map of something else must not pass for it."""
        whole = True
        cells = {}
        for cell in selection.cells:
            shown = self._panel.cells.get(_name(cell), _cell("waiting"))
            if shown["state"] not in ("done", "error"):
                whole = False
                self._drop(cell)
                shown = {**_cell("stopped"), "done": shown["done"], "of": shown["of"], "seconds": shown["seconds"]}
            cells[_name(cell)] = shown
        self._panel.cells = cells
        return whole

    def _set(self, cell: Cell, value: dict[str, Any]) -> None:
        self._panel.cells = {**self._panel.cells, _name(cell): value}

    def _put(self, cell: Cell, values: bytes) -> None:
        setattr(self._panel, map_trait(*cell), values)

    def _drop(self, cell: Cell) -> None:
        self._shown.pop(cell, None)
        self._put(cell, b"")

    def _compare_curves(self) -> None:
        pass


def _name(cell: Cell) -> str:
    return "/".join(cell)


def _cell(state: State, **values: Any) -> dict[str, Any]:
    empty = {"done": 0.0, "of": 0, "seconds": 0.0, "error": "", "key": "", "sum": 0.0, "low": 0.0, "high": 0.0}
    return {"state": state, **empty, "metrics": _metrics(), **values}


def _metrics(**known: float) -> dict[str, float | None]:
    return {name: known.get(name) for name in METRICS}
