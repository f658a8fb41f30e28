"""From what the Facet panel's jobs find out to what its page shows: events become traits and frames."""

from __future__ import annotations

import time
from collections.abc import Hashable
from dataclasses import replace
from typing import Any

from PIL import Image

from spade_widgets.inspection.facets import ChannelFacets, Facets
from spade_widgets.pruning.plans.choose import spoken
from spade_widgets.pruning.traces.trace import Trace
from spade_widgets.runtime.explore import Working
from spade_widgets.runtime.facets import (
    ENOUGH,
    PLACES,
    Cropped,
    Drawn,
    FacetEvent,
    FacetKept,
    FacetTraced,
    Grouped,
    Inquiry,
    known_facets,
    known_pictures,
    survey,
    trace_key,
)
from spade_widgets.runtime.jobs import Steps
from spade_widgets.visualization import Renderer
from spade_widgets.widgets.common import images
from spade_widgets.widgets.common.facts import State, picture_facts
from spade_widgets.widgets.common.frames import Frames
from spade_widgets.widgets.common.screen import PanelScreen
from spade_widgets.widgets.facets.wire import FacetWire, file_trait
from spade_widgets.widgets.facets.words import sentence

#: Longest side of a crop in pixels, and its quality: sixty of them are in a saved notebook.
CROP, CROP_QUALITY = 80, 42
#: Of a picture in a file, likewise.
PICTURE_QUALITY = 80
#: Seconds between two changes of the crops, which go over the wire together.
CROPS = 1.0
#: Seconds after which it is said how long something still takes, and of what is left that is worth saying.
AFTER, WORTH = 2.0, 3.0
NOTHING: dict[str, Any] = {"neuron": "", "sentence": "", "seen": 0, "own": True, "facets": []}


class FacetScreen(PanelScreen[Inquiry]):
    """Shows one Facet panel's events, on the worker's thread.

    Args:
        panel: whose traits are set.
    """

    _panel: FacetWire

    def __init__(self, panel: FacetWire) -> None:
        self._stage = ("", 0.0, 0.0)
        super().__init__(panel)
        self.frames = Frames(panel.send, panel.views)
        # What each picture on screen is of.
        self._showing: list[Hashable] = []
        #: Whose facets are on screen, and these; in one, for other threads read it.
        self._grouped: tuple[Inquiry, Facets] | None = None
        # What is said of each facet's trace, by what the picture is of.
        self._traces: dict[Hashable, dict[str, Any]] = {}
        self._crops: dict[str, bytes] = {}
        self._crops_of = ""
        self._crops_said = 0.0
        self._drawn: dict[int, tuple[Renderer, int]] = {}

    def begin(self, selection: Inquiry) -> None:
        """A new job begins."""
        self._began, self._stage = time.monotonic(), ("", 0.0, 0.0)
        self._status("working", "starting")
        known = known_facets(self._panel.session, selection)
        if known is not None:
            self._group(selection, known)
        elif self._panel.summary["neuron"] != str(selection.neuron):
            self._forget()

    def show(self, selection: Inquiry, event: FacetEvent) -> None:
        """An event of the job."""
        match event:
            case Working(text, done, of):
                self._working(text, done, of)
            case Grouped(facets):
                self._group(selection, facets)
            case Cropped(place, crop):
                self._cropped(place, crop)
            case FacetTraced(facet, trace):
                self._set_trace(facet, trace)
            case FacetKept(facet, own, others):
                self._traces[self._showing[facet + 1]] |= {"keeps_own": own, "keeps_others": others}
                self._tell_traces()
            case Drawn(place, renderer):
                self._draw(selection, place, renderer)

    def finished(self) -> None:
        """The job has come to its end."""
        self._say_crops()
        super().finished()

    # What was found

    def facets_of(self, selection: Inquiry) -> Facets | None:
        """The facets of a selection, where they are on screen. At once, on any thread."""
        if self._grouped is None:
            return None
        shown, facets = self._grouped
        return facets if replace(shown, pruning=selection.pruning) == selection else None

    def _forget(self) -> None:
        """Another neuron's facets do not pass for this one's."""
        panel = self._panel
        self._grouped, self._showing, self._drawn, self._traces = None, [], {}, {}
        panel.summary, panel.examples, panel.trace_rows, panel.pictures = NOTHING, [], [], []
        for place in range(1 + PLACES):
            setattr(panel, file_trait(place), b"")

    def _group(self, selection: Inquiry, facets: Facets) -> None:
        """The facets, and in what state their pictures are: an old one stays until there is a new one."""
        panel, neuron = self._panel, str(selection.neuron)
        self._grouped = selection, facets
        if self._crops_of != neuron:
            self._crops, self._crops_of = {}, neuron
        panel.summary = {
            "neuron": neuron,
            "sentence": sentence(facets, selection.count),
            "seen": selection.gallery.seen,
            "own": selection.gallery.own,
            "facets": [{"members": list(one.members), "share": one.share} for one in facets],
        }
        self._say_crops(always=True)
        wanted: list[Hashable] = ["dense"]
        wanted += [trace_key(panel.session, selection, facets, i) for i in range(len(facets))]
        wanted = [(neuron, one) for one in wanted]
        before, files = dict(zip(self._showing, panel.pictures, strict=False)), {}
        for place, one in enumerate(self._showing):
            files[one] = getattr(panel, file_trait(place))
        waiting = picture_facts(neuron, "waiting", None, panel.session.steps)
        panel.pictures = [before.get(one, waiting) for one in wanted]
        for place in range(1 + PLACES):
            name, there = file_trait(place), files.get(wanted[place], b"") if place < len(wanted) else b""
            if getattr(panel, name) != there:
                setattr(panel, name, there)
        self._showing = wanted
        self._tell_traces()

    def _cropped(self, place: int, crop: Image.Image | None) -> None:
        assert self._grouped is not None
        identifier = self._grouped[1].examples[place].id
        if identifier not in self._crops:
            self._crops[identifier] = b"" if crop is None else small(crop)
            self._say_crops()

    def _say_crops(self, *, always: bool = False) -> None:
        if self._grouped is None:
            return
        facets, now = self._grouped[1], time.monotonic()
        missing = any(example.id not in self._crops for example in facets.examples)
        if not always and missing and now - self._crops_said < CROPS:
            return
        self._crops_said = now
        told = [
            {
                "id": example.id,
                "title": example.title,
                "value": example.value,
                "crop": self._crops.get(example.id, b""),
                "x": float(x),
                "y": float(y),
                "facet": int(label),
            }
            for example, (x, y), label in zip(facets.examples, facets.directions, facets.assignment, strict=True)
        ]
        if told != self._panel.examples:
            self._panel.examples = told

    def _set_trace(self, facet: int, trace: Trace) -> None:
        told = {"kept": trace.kept, "total": trace.total, "solver": trace.solver, "augmentations": trace.augmentations}
        self._traces.setdefault(self._showing[facet + 1], {**told, "keeps_own": None, "keeps_others": None})
        self._tell_traces()

    def _tell_traces(self) -> None:
        told = [None if (known := self._traces.get(one)) is None else dict(known) for one in self._showing[1:]]
        if told != self._panel.trace_rows:
            self._panel.trace_rows = told

    # The pictures

    def _draw(self, selection: Inquiry, place: int, renderer: Renderer) -> None:
        panel, steps = self._panel, self._panel.session.steps
        over = renderer.steps_done >= steps
        progress = picture_facts(selection.neuron, "done" if over else "rendering", renderer, steps)
        turns = panel.pictures[place]["state"] != progress["state"]
        drawn = (renderer, renderer.steps_done)
        if turns or over or self._due(f"picture {place}"):
            self._set_picture(place, progress)
        if not over and self._drawn.get(place) != drawn:
            self._drawn[place] = drawn
            content = {key: progress[key] for key in ("step", "steps", "seconds")}
            self.frames.offer(str(place), content, lambda: images.frame(renderer.sheet()))
        if turns or over:
            self._keep(place, renderer)

    def _set_picture(self, place: int, value: dict[str, Any]) -> None:
        if self._panel.pictures[place] != value:
            self._panel.pictures = [value if i == place else one for i, one in enumerate(self._panel.pictures)]

    def _keep(self, place: int, renderer: Renderer) -> None:
        setattr(self._panel, file_trait(place), images.webp(renderer.sheet(), quality=PICTURE_QUALITY))

    def _leave_off(self, selection: Inquiry) -> bool:
        """Pictures as they are become traits; what is not there is not shown. Returns whether all is there."""
        panel = self._panel
        facets = known_facets(panel.session, selection)
        if facets is None:
            if self.facets_of(selection) is None:
                self._forget()
            return False
        self._group(selection, facets)
        whole = True
        for place, renderer in enumerate(known_pictures(panel.session, selection, facets)):
            over = renderer is not None and renderer.steps_done >= panel.session.steps
            state: State = "empty" if renderer is None else "done" if over else "stopped"
            self._set_picture(place, picture_facts(selection.neuron, state, renderer, panel.session.steps))
            if renderer is None:
                setattr(panel, file_trait(place), b"")
            else:
                self._keep(place, renderer)
            whole = whole and over
        return whole

    # Which neurons have several

    def survey(self, selection: Inquiry, layer: str) -> Steps:
        """A job besides: how many facets each of a layer's channels has. Dropped, it says so."""
        panel, rows = self._panel, list[list[Any]]()
        of, done, since, first = panel.session.classifier.layer(layer).channels, 0, 0.0, 0
        self._surveying(layer, "working", 0, of, None, rows)
        try:
            for event in survey(panel.session, selection.gallery, layer):
                if isinstance(event, ChannelFacets):
                    done += 1
                    if event.examples >= ENOUGH:
                        row = [event.neuron.channel, event.count, event.excess, event.stability, event.examples]
                        rows.append(row)
                else:  # what was known has come at once, and says nothing of the rest
                    since, first = time.monotonic(), done
                    if self._due("survey"):
                        self._surveying(layer, "looking", int(event.done), event.of, None, rows)
                    yield
                    continue
                new = done - first
                left = None if new < 2 or not since else (time.monotonic() - since) / new * (of - done)
                if self._due("survey"):
                    self._surveying(layer, "working", done, of, left, rows)
                yield
        except BaseException:
            self._surveying(layer, "stopped", done, of, None, rows)
            raise
        self._surveying(layer, "done", of, of, None, rows)

    def _surveying(self, layer: str, state: str, done: int, of: int, left: float | None, rows: list[list[Any]]) -> None:
        told = {"layer": layer, "state": state, "done": done, "of": of, "left": left, "rows": list(rows)}
        self._panel.survey = told

    # How it is said

    def _status(self, state: str, text: str, done: float | None = None, of: int | None = None) -> None:
        """With the time that is left, once it can be told."""
        now, about = time.monotonic(), ""
        if text != self._stage[0] or done is None:
            self._stage = text, now, done or 0.0
        elif of is not None:
            _, since, first = self._stage
            left = (now - since) / (done - first) * (of - done) if done > first else 0.0
            if now - since > AFTER and left > WORTH:
                about = f"{spoken(left)} left"
        seconds = round(now - self._began, 2)
        self._panel.status = {
            "state": state, "text": text, "done": done, "of": of, "seconds": seconds, "about": about
        }  # fmt: skip


def small(crop: Image.Image) -> bytes:
    """A crop as a small file."""
    made = crop.convert("RGB")
    made.thumbnail((CROP, CROP), Image.Resampling.LANCZOS)
    return images.webp(made, images.SMALL_LOSSY_FROM, CROP_QUALITY)
