"""The strip of examples below the pictures: "in your photographs".

Three things follow each other on the worker's thread: the photographs are looked through (while nothing else is to be
done), the neuron's examples are cropped, and what the sample's trace keeps of them is measured. Nothing of it is
computed while nobody wants to see it.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from spade_widgets.errors import InputError
from spade_widgets.inspection.activations import excitement
from spade_widgets.inspection.examples import Example, IndexProgress
from spade_widgets.neuron import Neuron
from spade_widgets.runtime.exemplify import MOST
from spade_widgets.runtime.explore import Excited, Selection
from spade_widgets.runtime.jobs import Job, Steps
from spade_widgets.widgets.common.examples import example_row
from spade_widgets.widgets.common.screen import PROGRESS

if TYPE_CHECKING:
    from spade_widgets.widgets.explorer.photographs import Photographed

#: Seconds between two looks at what the photographs show so far, while they are looked through.
PREVIEW = 5.0
#: Sentences about photographs that are left out that a page is told.
LEFT_OUT = 50


class Strip:
    """What one Explorer shows of its photographs.

    Args:
        panel: whose traits are set.
    """

    def __init__(self, panel: Photographed) -> None:
        self._panel = panel
        self._indexing: Job | None = None
        self._showing: Job | None = None
        # Which pass over the photographs counts: one that was left off may be in the middle of its last step. And what
        # was said then. (No lock: a user's observer of what is said may do anything.)
        self._turn, self._rested = 0, "idle"
        # What the page was told last: the neuron, and the ids of its examples.
        self._told: tuple[str, Sequence[str]] | None = None

    @property
    def seen(self) -> bool:
        """Whether the strip is unfolded, below pictures that are looked at."""
        return bool(self._panel.strip) and self._panel.centre != "saliency"

    def look(self, *, hurry: bool = False) -> None:
        """Bring what is shown up to date with the selection, the photographs and the trace. Returns at once.

        Args:
            hurry: somebody waits for it: the photographs are not left to idle time.
        """
        panel = self._panel
        with panel._starting:
            if panel._closed or not panel._active:
                return
            if not (self.seen or panel.channel_order == "percentile"):
                self.rest()
                return
            job = self._indexing
            running = job is not None and not (job.cancelled or job.finished.is_set())
            if not panel.gallery.whole and (not running or (hurry and job is not None and job.idle)):
                if not running:
                    self._say("waiting")
                self._turn += 1
                self._indexing = self._submit("photographs", self._look_through(self._turn), idle=not hurry)
            self._showing = self._submit("strip", self._show())

    def rest(self, state: str = "idle") -> None:
        """Leave off; what is there stays."""
        worker, gallery = self._panel.session.worker, self._panel.gallery
        self._rested = "idle" if gallery.whole else state
        self._turn += 1
        for part in ("photographs", "strip"):
            worker.cancel((self._panel, part))
        self._say(self._rested)

    def forget(self) -> None:
        """There are other photographs: what was found in the former ones does not pass for theirs."""
        panel = self._panel
        self.rest()
        self._told = None
        panel._screen.forget_channels()
        panel.strip_examples = {**panel.strip_examples, "rows": []}
        panel.strip_kept = {**panel.strip_kept, "rows": []}
        panel.exceptional = {**panel.exceptional, "seen": 0, "examples": 0, "percentile": None}

    def wait(self, left: Callable[[], float | None]) -> bool:
        """Wait until all of it is there; whether it is. `left`: seconds that are left."""
        if self.ending():
            self.look(hurry=True)
        while ending := self.ending():
            if not ending[0].wait(left()):
                return False
        return True

    def ending(self) -> list[threading.Event]:
        """What tells when its jobs, which hold the panel, have ended."""
        jobs = (self._indexing, self._showing)
        return [job.finished for job in jobs if job is not None and not job.finished.is_set()]

    def _submit(self, name: str, steps: Steps, *, idle: bool = False) -> Job:
        panel = self._panel
        return panel.session.submit((panel, name), steps, self._failed, idle=idle, runs=panel._worthwhile)

    def _failed(self, error: Exception) -> None:
        self._panel._say(error)
        self._say("error")

    # On the worker's thread

    def _look_through(self, turn: int) -> Steps:
        said = shown = time.monotonic()
        for looked in self._panel.gallery.look_through():
            now = time.monotonic()
            if turn == self._turn and (now - said > PROGRESS or self._panel.photo_index["state"] != "working"):
                said = now
                self._say("working", looked)
                if turn != self._turn:  # it was left off in this very moment
                    self._say(self._rested)
            if turn != self._turn:
                return
            if now - shown > PREVIEW:
                shown = now
                self._showing = self._submit("strip", self._show())
            yield
        self._say("idle")
        self.look()

    def _show(self) -> Steps:
        panel = self._panel
        selection = panel._selection()
        maps = panel.session.maps(selection.sample, selection.layer)
        panel._screen.list_channels(selection, Excited(maps, excitement(maps)))
        yield
        if not self.seen:
            return
        yield from self._show_examples(selection)

    def _show_examples(self, selection: Selection) -> Steps:
        panel, gallery, neuron = self._panel, self._panel.gallery, selection.neuron
        found = gallery.examples(neuron, MOST)
        shown = () if found is None else found[: panel.strip_count]
        panel.exceptional = {
            "neuron": str(neuron),
            "sample_id": selection.sample.id,
            "seen": 0 if found is None else found.seen,
            "examples": 0 if found is None else len(found),
            "percentile": None if found is None else gallery.percentile(found, selection.sample),
        }
        told = str(neuron), [example.id for example in shown]
        if told != self._told:
            rows = []
            for example in shown:
                rows.append(self._row(neuron, example))
                yield
            panel.strip_examples = {"neuron": str(neuron), "rows": rows}
            self._told = told
        trace = panel.session.known_trace(selection.sample, selection.pruning)
        if trace is None or not shown:
            return
        kept = []
        for example in shown:
            try:
                kept.append([example.id, gallery.kept(trace, neuron, example)])
            except InputError:  # its file is no longer there: its row says so
                continue
            yield
        panel.strip_kept = {"neuron": str(neuron), "sample_id": selection.sample.id, "rows": kept}

    def _row(self, neuron: Neuron, example: Example) -> dict[str, Any]:
        try:
            return example_row(example, self._panel.gallery.crop(neuron, example))
        except InputError as error:
            return {**example_row(example, None), "title": str(error)}

    # How it is said

    def _say(self, state: str, looked: IndexProgress | None = None) -> None:
        gallery = self._panel.gallery
        left_out = gallery.left_out
        more = len(left_out) - LEFT_OUT
        self._panel.photo_index = {
            "state": state,
            "own": gallery.own,
            "total": len(gallery.photos) if looked is None else looked.total,
            "done": gallery.done if looked is None else looked.done,
            "left": None if looked is None or looked.seconds_left is None else round(looked.seconds_left, 1),
            "left_out": [*left_out[:LEFT_OUT], *([f"And {more} more."] if more > 0 else [])],
        }
