"""From what the Explorer's job finds out to what the page shows: events become traits and frames."""

from __future__ import annotations

from collections.abc import Hashable, Mapping

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
from spade_widgets.visualization import Renderer
from spade_widgets.widgets.common import images
from spade_widgets.widgets.common.facts import State, picture_facts
from spade_widgets.widgets.common.frames import Frames
from spade_widgets.widgets.common.screen import PROGRESS, PanelScreen
from spade_widgets.widgets.explorer.channels import channel_list, channel_shares
from spade_widgets.widgets.explorer.wire import ExplorerWire

#: Seconds between two changes of a progress trait at most, however slow the link is.
SELDOM = 2.0


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
        self._listed: Hashable = None
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
                self.list_channels(selection, event)
            case Traced(trace):
                self._traced(selection.sample, selection.pruning, trace)
                if self._panel.chart is not None:
                    from spade_widgets.widgets.explorer.chart import fill

                    fill(self._panel.chart, trace)
            case Rendered():
                self._rendered(selection, event)

    def make_chart(self) -> Steps:
        """The chart, when it is first looked at: Plotly takes a second to import."""
        from spade_widgets.widgets.explorer.chart import chart, fill

        if self._panel.chart is None:
            figure = chart()
            if self._trace is not None:
                fill(figure, self._trace)
            self._panel.chart = figure
        yield

    # One method an event

    def list_channels(self, selection: Selection, event: Excited) -> None:
        """The layer's channels, if they are to be listed otherwise than they are."""
        panel, gallery = self._panel, self._panel.gallery
        shares = gallery.percentiles(selection.layer, event.maps.max(axis=(1, 2))) if gallery.whole else None
        ranking = shares if panel.channel_order == "percentile" else None
        # The maps are sent again only where the order may have changed: they weigh more than all else.
        listed = selection.sample.id, selection.layer, None if ranking is None else gallery.seen
        if listed != self._listed:
            self._listed = listed
            panel.channels = channel_list(panel.session, selection, event, ranking)
        if shares is not None:
            panel.channel_shares = channel_shares(panel.channels, shares)

    def forget_channels(self) -> None:
        """What is said of channels is of photographs that are no longer there."""
        self._listed = None
        self._panel.channel_shares = {**self._panel.channel_shares, "rows": []}

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
            self._keep(which, images.webp(shown.sheet()))

    # How it is said

    def _keep(self, which: str, picture: bytes) -> None:
        setattr(self._panel, f"{which}_file", picture)

    def _pause(self) -> float:
        """What a slow link has not carried yet is not followed by more."""
        return min(max(PROGRESS, self.frames.delay), SELDOM)

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
            self._keep(which, images.webp(shown.sheet()) if shown else b"")
            setattr(self._panel, which, picture_facts(selection.neuron, state, renderer, steps, morphed))
            whole = whole and over
            if which == "sparse" and shown is None:
                self.on_screen.clear()
        self._blank(selection.sample, selection.pruning)
        self._showing = self._wanted(selection)
        return whole
