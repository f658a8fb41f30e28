"""The Explorer: pick a sample, a sparsity and a neuron; watch the dense and the sparse visualization side by side."""

from __future__ import annotations

import itertools
import logging
import threading
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import traitlets as t
from PIL import Image

import spade_widgets
from spade_widgets.classifier import Preprocess
from spade_widgets.errors import InputError, SpadeError
from spade_widgets.neuron import Neuron
from spade_widgets.pruning.choose import choices
from spade_widgets.pruning.plan import head
from spade_widgets.pruning.solvers import check_sparsity
from spade_widgets.pruning.trace import Trace
from spade_widgets.runtime.explore import Selection, Which, begun, explore
from spade_widgets.runtime.jobs import Job, Steps
from spade_widgets.runtime.session import Pruning, Session
from spade_widgets.sample import Sample, Source
from spade_widgets.widgets.images import thumbnail
from spade_widgets.widgets.opening import Model, open_panel
from spade_widgets.widgets.recipe import recipe
from spade_widgets.widgets.screen import Screen
from spade_widgets.widgets.wire import SELECTION, ExplorerWire

log = logging.getLogger(__name__)


class Explorer(ExplorerWire):
    """The main panel.

    Everything on screen can be read and set: `sample`, `sparsity`, `neuron`, `layer`, `preset`, `pattern`, `solver`;
    and read: `trace`, `dense_image`, `sparse_image`, `state()`, `code`.

    Args:
        model: None for the built-in classifier; a torchvision builder's name; an `ImageClassifier`; any `nn.Module`.
        samples: anything `Sample.read` takes, a list of such, or a folder. Default: the built-in samples.
        weights: of a torchvision model: `"DEFAULT"` (its download), a local file, or None (random).
        class_names, preprocess: see `ImageClassifier`.
        sparsity: to begin with, in [0, 1). Default: 0.9 for the built-in classifier; 0.8 for others, few of whose
            traces keep their prediction beyond it (docs/RESULTS.md).
        neuron: to begin with. Default: the logit of the class that the first sample is taken for.
        preset, pattern, solver: how to prune, to begin with. Default: the last block and the head.
        augmentations: a calibration's, at least 1.
        steps: a visualization's, at least 1.
        seed: of augmentations and visualizations.

    Raises:
        InputError, ModelError: if something given cannot be used; one sentence says what and why.
    """

    _open = False  # until all of it is made
    _closed = False

    def __init__(
        self,
        model: Model = None,
        *,
        samples: Source | Iterable[Source] | None = None,
        weights: str | Path | None = "DEFAULT",
        class_names: Sequence[str] | None = None,
        preprocess: Preprocess | None = None,
        sparsity: float | None = None,
        neuron: str | Neuron | None = None,
        preset: str | None = None,
        pattern: str | None = None,
        solver: str = "fast",
        augmentations: int = 256,
        steps: int = 256,
        seed: int = 0,
    ) -> None:
        opened = open_panel(model, samples, weights, class_names, preprocess)
        classifier = opened.classifier
        self._opened = opened
        self.session = Session(classifier, opened.samples, augmentations=augmentations, steps=steps, seed=seed)
        first = self.session.samples[0]
        hidden = [layer.name for layer in classifier.layers() if layer.name != head(classifier)]
        maps = [name for name in hidden if classifier.layer(name).size != (1, 1)]
        if neuron is None:
            best = int(self.session.probabilities(classifier, first).argmax())
            neuron = classifier.neuron(f"logit:{best}")
        pruning = Pruning(
            sparsity=(0.9 if model is None else 0.8) if sparsity is None else sparsity,
            preset=preset or ("late" if pattern is None else "pattern"),
            pattern=pattern or "",
            solver=solver,
        )
        self.session.check(pruning)  # said here, before there is a panel
        self._job: Job | None = None
        # The page, the worker and the user's own threads all select: each start sees all that was selected before it.
        self._starting = threading.RLock()
        self._listing = threading.Lock()
        self._numbers = itertools.count()
        super().__init__(
            sample_id=first.id,
            sparsity=pruning.sparsity,
            neuron=neuron,
            layer=(maps or hidden or [classifier.layers()[-1].name])[-1],
            preset=pruning.preset,
            pattern=pruning.pattern,
            solver=pruning.solver,
            app={
                "title": classifier.name,
                "input": list(classifier.input_size),
                "weights": classifier.weights,
                "classes": list(classifier.class_names),
                "version": spade_widgets.__version__,
            },
            layers=[{"name": x.name, "kind": x.kind, "channels": x.channels} for x in classifier.layers()],
            presets=[{"key": p.key, "title": p.title, "description": p.description} for p in self.session.presets()],
            solvers=list(choices()),
        )
        self._list_samples()
        self._screen = Screen(self)
        self._open = True
        self.observe(self._selected, SELECTION)
        self.on_msg(self._message)
        self._start()

    # What a user reads and sets

    @property
    def sample(self) -> Sample:
        """The chosen sample. Set it to a `Sample`, an id, a number, a title, or anything that `Sample.read` takes."""
        return self.session.sample(self.sample_id)

    @sample.setter
    def sample(self, value: Source | int | np.integer[Any]) -> None:
        known = self.session.samples
        if isinstance(value, int | np.integer):
            if not -len(known) <= value < len(known):
                raise InputError(f"There is no sample {value}: they are numbered 0 to {len(known) - 1}.")
            self.sample_id = known[value].id
            return
        for candidate in known:
            if isinstance(value, str) and value in (candidate.id, candidate.title):
                self.sample_id = candidate.id
                return
        self.sample_id = self._add(Sample.read(value)).id

    @property
    def trace(self) -> Trace | None:
        """The trace for what is selected; None while it is not there."""
        return self.session.known_trace(self.sample, self._pruning())

    @property
    def dense_image(self) -> Image.Image | None:
        """The neuron's picture under the dense classifier, as far as it is; None before its first step."""
        return self._picture("dense")

    @property
    def sparse_image(self) -> Image.Image | None:
        """The neuron's picture under the trace, as far as it is; None before its first step."""
        return self._picture("sparse")

    def state(self) -> dict[str, Any]:
        """Everything on screen in plain values: the selection, predictions, trace, pictures' progress, status."""
        names = ("sparsity", "neuron", "layer", "preset", "pattern", "solver", "predictions", "dense", "sparse")
        rest = ("solved", "status", "error")
        channels = [(row["channel"], row["activation"]) for row in self.channels.get("rows", ())]
        return {
            "sample": self.sample.title,
            "sample_id": self.sample_id,
            **{name: getattr(self, name) for name in names},
            "trace": self.trace_summary,
            "channels": channels,
            **{name: getattr(self, name) for name in rest},
        }

    def wait(self, timeout: float | None = None) -> bool:
        """Wait until everything selected is computed (or stopped); whether it is, after `timeout` seconds at most."""
        deadline = None if timeout is None else time.monotonic() + timeout
        while (job := self._job) is not None:
            if not job.finished.wait(None if deadline is None else max(0.0, deadline - time.monotonic())):
                return False
            if job is self._job:  # else it was superseded meanwhile
                break
        return True

    def stop(self) -> None:
        """Stop computing; what is done stays."""
        with self._starting:
            if self._job is not None and not self._job.finished.is_set():
                self._job = self.session.worker.submit(self, self._screen.stopped(self._selection()), self._failed)

    def resume(self) -> None:
        """Go on from where it was stopped."""
        self._start()

    def close(self) -> None:
        """Take the panel off the screen and drop its work."""
        if self._open:
            with self._starting:
                self._closed = True
                self.session.worker.cancel(self)
            if self.chart is not None:
                self.chart.close()
        super().close()

    # What is accepted

    @t.validate(*SELECTION)
    def _check(self, proposal: Any) -> Any:
        return self._accepted(proposal["trait"].name, proposal["value"])

    def _accepted(self, name: str, value: Any) -> Any:
        """A selected value as it is kept; an `InputError` says why it cannot be."""
        classifier = self.session.classifier
        if name not in ("sparsity", "neuron") and not isinstance(value, str):
            raise InputError(f"The {name} is {value!r}, which is no text.")
        match name:
            case "sample_id":
                return self.session.sample(value).id
            case "sparsity":
                return check_sparsity(value)
            case "neuron":
                return str(classifier.neuron(value))
            case "layer":
                return classifier.layer(value).name
        if self._open:  # while the panel is made, preset, pattern and solver come one by one
            self.session.check(self._pruning(**{name: value}))
        return value

    @contextmanager
    def hold_trait_notifications(self) -> Iterator[None]:
        """Notifications are not held once the panel is open.

        They would be on whatever thread sets a trait while the page sets another: the worker's could then be lost.
        """
        if self._open:
            yield
        else:
            with super().hold_trait_notifications():
                yield

    def set_state(self, sync_data: Mapping[str, Any]) -> None:
        """What the page sets. Bad input is said in `error`, and the page gets the value that still holds."""
        problems = []
        # The pattern first: it is checked against the layers when the preset that uses it comes.
        for name in sorted(sync_data, key=lambda n: n != "pattern"):
            try:
                value = self._accepted(name, sync_data[name]) if name in SELECTION else sync_data[name]
            except SpadeError as error:
                problems.append(str(error))
                self.send_state(name)
            else:
                super().set_state({name: value})
        if not sync_data.keys().isdisjoint(SELECTION):  # also when it is what was selected already
            self.error = " ".join(problems)

    # What happens then

    def _pruning(self, **changed: Any) -> Pruning:
        values = {"sparsity": self.sparsity, "preset": self.preset, "pattern": self.pattern, "solver": self.solver}
        return Pruning(**{**values, **changed})

    def _selection(self) -> Selection:
        return Selection(self.sample, self._pruning(), self.session.classifier.neuron(self.neuron), self.layer)

    def _selected(self, _change: Any) -> None:
        self.error = ""
        self._start()

    def _start(self) -> None:
        """Compute what is selected, in the place of what was being computed. Returns at once."""
        with self._starting:
            if self._closed:
                return
            selection = self._selection()
            self.code = recipe(self._opened, self.session, selection.sample, selection.pruning, self.neuron)
            self._job = self.session.worker.submit(self, self._explore(selection), self._failed)

    def _explore(self, selection: Selection) -> Steps:
        """On the worker's thread: every event to the screen, one a step."""
        self._screen.begin(selection)
        for event in explore(self.session, selection):
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
            log.error("The Explorer's work failed", exc_info=error)
            self.error = f"This could not be computed ({type(error).__name__}: {first_line(error)})."

    def _message(self, _widget: Any, content: dict[str, Any], buffers: list[Any]) -> None:
        """A message from the page. Nothing is computed here: the kernel's own thread waits for it."""
        kind = content.get("type")
        if kind == "ack":
            self._screen.frames.acknowledge(str(content.get("which")), int(content.get("seq", 0)))
        elif kind == "visible":
            self._screen.frames.view(str(content.get("view")), visible=bool(content.get("visible")))
        elif kind == "stop":
            self.stop()
        elif kind == "resume":
            self.resume()
        elif kind == "dismiss":
            self.error = ""
        elif kind == "add":
            names = [str(file.get("name", "")) for file in content.get("files", [])]
            adding = self._read_files(list(zip(names, buffers, strict=False)))
            # Owners of their own: neither files that come later nor another selection keep these from being read.
            self.session.worker.submit((self, "add", next(self._numbers)), adding, self._say)
        elif kind == "chart" and self.chart is None:
            self.session.worker.submit((self, "chart"), self._screen.make_chart(), self._say)

    def _read_files(self, files: list[tuple[str, Any]]) -> Steps:
        """On the worker's thread: the files that were dropped or chosen become samples; the last good one is chosen."""
        problems = []
        for name, data in files:
            if self._closed:
                return
            try:
                read = Sample.read(data, title=name or "the file")  # its whole name, should it have to be named
                self.sample_id = self._add(replace(read, title=Path(name).stem or "image")).id
            except SpadeError as error:
                problems.append(str(error))
            yield
        if problems:
            self.error = " ".join(problems)

    def _add(self, sample: Sample) -> Sample:
        try:
            self.session.classifier.view(sample)
        except Exception as error:  # whatever the user's own preprocessing raises
            raise InputError(f"The preprocessing fails on '{sample.title}': {first_line(error)}") from error
        added = self.session.add(sample)
        self._list_samples()
        return added

    def _list_samples(self) -> None:
        """The samples for the page; thumbnails that it has already are not made again."""
        view = self.session.classifier.view
        with self._listing:  # else whoever saw fewer samples could come last
            known = {row["id"]: row for row in self.samples}
            self.samples = [
                known.get(s.id) or {"id": s.id, "title": s.title, "label": s.label or "", "thumb": thumbnail(view(s))}
                for s in self.session.samples
            ]

    def _picture(self, which: Which) -> Image.Image | None:
        renderer = begun(self.session, self._selection())[which]
        return renderer.picture() if renderer else None


def first_line(error: Exception) -> str:
    """What an error says, in a line."""
    return next(iter(str(error).strip().splitlines()), type(error).__name__)[:200]
