"""What every panel is: a selection that is checked, a job that computes it, and a wire that says what came out."""

from __future__ import annotations

import itertools
import logging
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

import spade_widgets
from spade_widgets.errors import SpadeError, first_line
from spade_widgets.evidence.plan_file import PlanFile
from spade_widgets.pruning.plans.choose import AUTO, choices
from spade_widgets.pruning.plans.plan import NOMINAL
from spade_widgets.pruning.traces.trace import Trace
from spade_widgets.runtime.jobs import Job, Steps
from spade_widgets.runtime.session import Session
from spade_widgets.runtime.tracing import PLAN, Pruning
from spade_widgets.sample import Sample
from spade_widgets.widgets.common.display import Displayed
from spade_widgets.widgets.common.estimates import estimates
from spade_widgets.widgets.common.follow import following, follows
from spade_widgets.widgets.common.link import Link
from spade_widgets.widgets.common.notebook import NOTEBOOK
from spade_widgets.widgets.common.observers import alone, notifying, refuse_waiting
from spade_widgets.widgets.common.opening import Opened
from spade_widgets.widgets.common.plans import read_plan
from spade_widgets.widgets.common.screen import PanelScreen
from spade_widgets.widgets.common.selecting import Selecting
from spade_widgets.widgets.common.still import Still
from spade_widgets.widgets.common.thumbnails import Thumbnails
from spade_widgets.widgets.common.views import Views
from spade_widgets.widgets.common.wire import SHARED

log = logging.getLogger(__name__)

#: What linked panels share. The samples first: one that is chosen is known by then; pattern and plan before the preset
#: that uses them; the fidelity before the sparsity, which counts without it.
ORDER = ("sample_id", "pattern", "plan", "preset", "solver", "sequential", "fidelity", "sparsity")
LINKED = ("samples", *sorted(SHARED, key=ORDER.index))


class Panel(Selecting):
    """A panel on a session. What it shows of which selection is its own; how it is selected and computed is here.

    A kind of panel names what can be selected (`SELECTS`) and what else can be set (`SETS`), and says what its
    selection is (`_selection`), which events a job for it has (`_events`), and the Python that makes the same
    (`_recipe`); its screen shows the events. Once all of it is made, it calls `_begin`.

    Args:
        opened, session: what is shown.
        sample_id: of the sample to begin with.
        pruning: to begin with.
        traits: the values that its own traits begin with.
    """

    #: Which of these change the saved picture.
    DRAWS: ClassVar[tuple[str, ...]] = ()

    _screen: PanelScreen[Any]
    _closed = False
    _estimated: Pruning | None = None
    #: Whether it is to work at all: the Explorer's Saliency panel does while it is in the middle.
    _active = True
    #: Whether it was on the page and no cell shows it any more.
    _left = False

    def __init__(self, opened: Opened, session: Session, sample_id: str, pruning: Pruning, **traits: Any) -> None:
        classifier = session.classifier
        session.check(pruning)  # said here, before there is a panel
        self._opened = opened
        self.session = session
        self._job: Job | None = None
        # The page, the worker and the user's own threads all select: each start sees all that was selected before it.
        self._starting = threading.RLock()
        self._numbers = itertools.count()
        self._chosen = pruning.sparsity  # the last one that a user chose
        self._links: list[Link] = []
        self._awaiting = 0
        self.views = Views(lambda: self.send({"type": "look"}))
        super().__init__(
            sample_id=sample_id,
            sparsity=pruning.sparsity,
            preset=pruning.preset,
            pattern=pruning.pattern,
            plan=pruning.plan,
            solver=pruning.solver,
            sequential=pruning.sequential,
            fidelity=pruning.fidelity,
            app={
                "title": classifier.name,
                "input": list(classifier.input_size),
                "weights": classifier.weights,
                "remarks": list(classifier.remarks),
                "classes": list(classifier.class_names),
                "version": spade_widgets.__version__,
            },
            presets=[{"key": p.key, "title": p.title, "description": p.description} for p in session.presets()],
            solvers=list(choices()),
            **traits,
        )
        NOTEBOOK.made(self)

    def _begin(self, linked: Panel | None = None) -> None:
        """All of the panel is made: begin to listen and to compute. `linked`: shares its selection, both ways."""
        if self._lists_samples():
            thumbnails = Thumbnails(self)
            self.observe(lambda _: thumbnails.show(), "samples")  # also those that another panel adds
        self._list_samples()
        self._displayed = Displayed(self, self.session, self._still, self.DRAWS)
        if (disk := self.session.cache.disk) is not None:
            disk.tell(self._warn)
        self._open = True
        self.observe(self._selected, self.SELECTS)
        self.on_msg(self._hear)
        if linked is not None:
            link = Link(linked, self, LINKED)
            for panel in (self, linked):
                panel._links.append(link)
        self._start()

    def _work(self, active: bool) -> None:
        """Whether the panel is to work at all; if not, it leaves off where it is."""
        with self._starting:
            if active == self._active:
                return
            self._active = active
            if active:
                self._start()
            else:
                self.stop()

    def _worthwhile(self) -> bool:
        """Whether somebody sees it, or waits for it; one that was never on a page works for whoever made it."""
        return self._awaiting > 0 or self.views.seen or not self.views.shown or self._left

    @contextmanager
    def _awaited(self) -> Iterator[None]:
        """Within, it works though nobody sees it."""
        with self._starting:
            self._awaiting += 1
            self._look_again()
        self.session.worker.look_again()
        try:
            yield
        finally:
            with self._starting:
                self._awaiting -= 1
                self._look_again()

    def leave_page(self) -> list[threading.Event]:
        """No cell shows it any more: it rests, unless somebody sees it within another widget or waits for it."""
        self._displayed.clear()
        with self._starting:
            self._left, self._estimated = True, None
            ending = self._rest()
        self.views.ask()
        return ending

    def _rest(self) -> list[threading.Event]:
        """End what it has running, which holds it though nobody else may. Returns what tells when it has ended."""
        self._work(False)
        self.session.worker.cancel_parts(self)
        return [self._job.finished] if self._job is not None else []

    def _look_again(self) -> None:
        """Once it has left the page, it works while somebody sees it all the same, or waits for it."""
        with self._starting:
            if not self._left or self._closed:
                return
            if self.views.seen or self._awaiting > 0:
                self._work(True)
            elif self._active:
                NOTEBOOK.collect(self._rest())

    # What a kind of panel says

    def _lists_samples(self) -> bool:
        """Whether the samples are among what it shows."""
        return True

    def _selection(self) -> Any:
        """What is selected, as one value."""
        raise NotImplementedError

    def _events(self, selection: Any) -> Iterator[Any]:
        """The job that computes a selection: nothing runs between two events."""
        raise NotImplementedError

    def _recipe(self, selection: Any) -> str:
        """The Python that makes what is selected."""
        raise NotImplementedError

    def _still(self) -> Still:
        """What is on screen, for where no front end runs."""
        raise NotImplementedError

    def _repr_mimebundle_(self, **options: Any) -> tuple[dict[str, Any], dict[str, Any]]:
        if self._closed:
            return {"text/plain": f"This {type(self).__name__} is closed: make another one to see it."}, {}
        with self._starting:
            self._left = False
            self._work(True)
        NOTEBOOK.showing(self, self._displayed, self.model_id)
        shown = super()._repr_mimebundle_(**options)
        assert shown is not None  # it has a view
        return shown

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.app['title']}, {self.sample.title!r}, sparsity {self.sparsity:g})"

    # What a user reads and sets

    @property
    def trace(self) -> Trace | None:
        """The trace for what is selected; None while it is not there."""
        return self.session.known_trace(self.sample, self._pruning())

    def wait(self, timeout: float | None = None) -> bool:
        """Wait until everything selected is computed (or stopped); whether it is, after `timeout` seconds at most.

        Raises:
            InputError: within an observer, which the panel's work itself waits for.
        """
        refuse_waiting("wait", on_worker=self.session.worker.here)
        deadline = None if timeout is None else time.monotonic() + timeout
        with self._awaited():
            while (job := self._job) is not None:
                if not job.finished.wait(None if deadline is None else max(0.0, deadline - time.monotonic())):
                    return False
                if job is self._job:  # else it was superseded meanwhile
                    break
        self._displayed.refresh()  # the kernel may end next
        return True

    def stop(self) -> None:
        """Stop computing; what is done stays."""
        with self._starting:
            if self._job is not None and not self._job.finished.is_set():
                self._job = self.session.submit(self, self._screen.stopped(self._selection()), self._failed)

    def resume(self) -> None:
        """Go on from where it was stopped."""
        self._start()

    def close(self) -> None:
        """Take the panel off the screen and drop its work."""
        if self._open:
            with self._starting:
                self._closed = True
                self.session.worker.cancel_all(self)
            for link in self._links:
                link.end()
            self._links.clear()
            self._displayed.clear()
            NOTEBOOK.places.closed(self)
        with notifying():
            super().close()
            self.layout.close()  # a widget of its own, which ipywidgets would keep for good
        self.__dict__.pop("_repr_mimebundle_", None)  # which ipywidgets takes away: ours says that it is closed

    # What happens then

    def _selected(self, change: Any) -> None:
        self.error = ""
        if change["name"] == "sparsity":
            if not follows():
                self._choose_sparsity(change["new"])
            elif self.fidelity is not None:
                return  # it was found, or it is another panel's, which says next that it asks for no fidelity
        self._start()

    def _choose_sparsity(self, sparsity: float) -> None:
        """A user's own sparsity counts, and no longer that of a trace that keeps the prediction."""
        self._chosen = sparsity
        if self.fidelity is not None:
            self.fidelity = None
            if self.sparsity != sparsity:  # the worker has found one in this very moment
                self.sparsity = sparsity

    def found(self, sample: Sample, pruning: Pruning, sparsity: float) -> None:
        """A trace that keeps the prediction was found: the slider goes there, if it is still asked for."""
        if (self.sample_id, self._pruning()) != (sample.id, pruning):
            return
        with following():
            self.sparsity = sparsity
        # No lock is held while a trait is set: links set others' then.
        if self.fidelity is None and self.sparsity == sparsity:
            self.sparsity = self._chosen  # a user has chosen one in this very moment

    def _start(self) -> None:
        """Compute what is selected, in the place of what was being computed. Returns at once."""
        with self._starting:
            if self._closed:
                return
            selection = self._selection()
            self.code = self._recipe(selection)
            self._estimate()
            # At rest, nothing is computed; but nothing old passes for what was selected meanwhile.
            if not self._active:
                self._job = self.session.submit(self, self._screen.stopped(selection), self._failed)
                return
            marked = threading.Event()  # the same holds where nobody looks: so far it always comes
            self._job = self.session.submit(
                self,
                self._run(selection, marked),
                self._failed,
                runs=lambda: not marked.is_set() or self._worthwhile(),
            )

    def _estimate(self) -> None:
        """Have it said what traces take, where other layers or ways to prune them are selected than before."""
        pruning = self._pruning(sparsity=NOMINAL, solver=AUTO)
        if pruning != self._estimated and self._active:
            self._estimated = pruning
            self._besides("estimates", self._estimates(pruning))

    def _estimates(self, pruning: Pruning) -> Steps:
        told = {}
        for solver, seconds in estimates(self.session, pruning):
            told[solver] = round(seconds, 1)
            yield
        self.estimates = told

    def _run(self, selection: Any, marked: threading.Event) -> Steps:
        """On the worker's thread: every event to the screen, one a step."""
        self._screen.begin(selection)
        marked.set()
        if not self._worthwhile():
            yield
        for event in self._events(selection):
            self._screen.show(selection, event)
            yield
        self._screen.finished()

    def _failed(self, error: Exception) -> None:
        self._say(error)
        self._screen.failed(self._selection())

    def _say(self, error: Exception) -> None:
        if isinstance(error, SpadeError):
            self.error = str(error)
        else:
            log.error("The %s's work failed", type(self).__name__, exc_info=error)
            self.error = f"This could not be computed ({type(error).__name__}: {first_line(error)})."

    def _warn(self, sentence: str) -> None:
        """The work goes on, but not as it was asked for."""
        self.error = sentence

    def _besides(self, name: str, steps: Steps, *, idle: bool = False) -> Job:
        """Run something besides the panel's main job, in the place of what runs so named. `idle`: see `submit`."""
        return self.session.submit((self, name), steps, self._say, idle=idle, runs=self._worthwhile)

    def _hear(self, widget: Any, content: dict[str, Any], buffers: list[Any]) -> None:
        with alone():
            self._message(widget, content, buffers)

    def _message(self, _widget: Any, content: dict[str, Any], buffers: list[Any]) -> None:
        """A message from the page. Nothing is computed here: the kernel's own thread waits for it."""
        kind = content.get("type")
        if kind == "stop":
            self.stop()
        elif kind == "resume":
            self.resume()
        elif kind == "dismiss":
            self.error = ""
        elif kind == "visible":
            self.views.view(str(content.get("view")), visible=bool(content.get("visible")))
            self._look_again()
            self.session.worker.look_again()
        elif kind == "add":
            names = [str(file.get("name", "")) for file in content.get("files", [])]
            adding = self._read_files(list(zip(names, buffers, strict=False)))
            # Names of their own: neither files that come later nor another selection keep these from being read.
            self._besides(f"add {next(self._numbers)}", adding)

    def _read_files(self, files: list[tuple[str, Any]]) -> Steps:
        """On the worker's thread: the files that were dropped or chosen become samples; the last good one is chosen.

        A JSON file is a plan.
        """
        problems = []
        for name, data in files:
            if self._closed:
                return
            try:
                if Path(name).suffix.lower() == ".json":
                    self._use_plan(PlanFile.parse(bytes(data), name))
                    continue
                read = Sample.read(data, title=name or "the file")  # its whole name, should it have to be named
                self.sample_id = self._add(replace(read, title=Path(name).stem or "image")).id
            except SpadeError as error:
                problems.append(str(error))
            yield
        if problems:
            self.error = " ".join(problems)

    def _use_plan(self, file: PlanFile) -> None:
        """Prune by a plan, with its own numbers."""
        plan = read_plan(file.plan)
        self.session.check(self._pruning(plan=plan, preset=PLAN.key))
        self.plan, self.preset, self.fidelity, self.sparsity = plan, PLAN.key, None, NOMINAL
