"""The Explorer: pick a sample, a sparsity and a neuron; watch the dense and the sparse visualization side by side."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import traitlets as t
from PIL import Image

from spade_widgets.disk import SIZE
from spade_widgets.network.preprocessing import Preprocess
from spade_widgets.neuron import Neuron
from spade_widgets.pruning.plans.plan import head
from spade_widgets.runtime.ahead import ahead
from spade_widgets.runtime.drawing import Drawing, check_image, check_pictures
from spade_widgets.runtime.exemplify import Gallery
from spade_widgets.runtime.explore import Event, Predicted, Selection, Which, Working, begun, explore
from spade_widgets.runtime.jobs import Job, Steps
from spade_widgets.runtime.session import Session
from spade_widgets.runtime.tracing import Pruning
from spade_widgets.sample import Sample, Source
from spade_widgets.visualization.accentuation import NEAR, check_near
from spade_widgets.widgets.common.follow import following, follows
from spade_widgets.widgets.common.observers import notifying, refuse_waiting
from spade_widgets.widgets.common.opening import Model, open_panel
from spade_widgets.widgets.common.plans import PlanSource, asked_pruning
from spade_widgets.widgets.common.recipe import examples_recipe, recipe
from spade_widgets.widgets.common.still import Still
from spade_widgets.widgets.common.wire import one_of
from spade_widgets.widgets.explorer.photographs import Photographed
from spade_widgets.widgets.explorer.screen import Screen
from spade_widgets.widgets.explorer.shown import examples_shown, percentile_shown
from spade_widgets.widgets.explorer.stills import explorer_still
from spade_widgets.widgets.explorer.strip import Strip
from spade_widgets.widgets.explorer.wire import CENTRES, LOOKS, SELECTION
from spade_widgets.widgets.lesson.export import (
    Neurons,
    Samples,
    Sparsities,
    choose_neurons,
    choose_samples,
    choose_sparsities,
    export,
)
from spade_widgets.widgets.lesson.page import check_place
from spade_widgets.widgets.lesson.record import Lesson


class Explorer(Photographed):
    """The main panel.

    Everything on screen can be read and set: `sample`, `sparsity`, `neuron`, `layer`, `preset`, `pattern`, `solver`,
    `sequential`, `fidelity`, `plan`, `image`, `count`, `near`, `photos`; and read: `trace`, `dense_image`,
    `sparse_image`, `examples`, `state()`, `code`.

    Args:
        model: None or `"photos"` for the built-in photograph classifier; `"emoji"` for the other built-in one; a
            torchvision builder's name; an `ImageClassifier`; any `nn.Module`.
        samples: anything `Sample.read` takes, a list of such, or a folder. Default: the built-in classifier's own; for
            other models its photographs.
        weights: of a torchvision model: `"DEFAULT"` (its download), a local file, or None (random).
        class_names, preprocess: see `ImageClassifier`.
        sparsity: to begin with, in [0, 1). Default: 0.95 for the photograph classifier, 0.9 for others
            (docs/RESULTS.md).
        neuron: to begin with. Default: the logit of the class that the first sample is taken for; another sample's
            class follows with the sample, until a neuron is chosen.
        preset, pattern, solver: how to prune, to begin with. Default: the last third of the blocks and the head.
        fidelity: in (0, 1], instead of a sparsity: the sparsest trace that keeps the prediction is looked for, as
            `sw.trace` does; `sparsity` then goes where it was found. Set the sparsity, and it is None again.
        sequential: whether to prune block by block.
        plan: layers and their sparsities, instead of a preset: the path of a JSON file that `spade-widgets tune` wrote,
            a dict, or a `SparsityPlan`. At a sparsity of 0.95, the default then, these numbers count as they are;
            others scale them together.
        augmentations: a calibration's, at least 1. Default: 64; 256 for the emoji classifier.
        steps: a visualization's, at least 1. Default: 256; 128 for the photograph classifier.
        size: a visualization's side in pixels. Default: the classifier's input size; 192 for the photograph classifier,
            whose pictures of that size show the same things sooner.
        seed: of augmentations, visualizations and saliency maps.
        cache: a folder in which traces, finished pictures, saliency maps and their curves are found again, also by
            other kernels and later; it is made if it is not there. None: they are kept in this kernel's memory alone.
        cache_size: bytes that the folder may hold; the least recently used goes first.
        centre: what is in the middle: `"visualization"`, `"saliency"` (`saliency_panel`, which shares the selection)
            or `"both"`. Pictures and maps are computed while they are shown.
        image: how pictures are held while they are optimised: `"fourier"`, or `"maco"`, whose Fourier magnitudes are
            those of the panel's samples, all of them: with one sample alone, it shows in the pictures, pruned or not.
            Or `"sample"`: pictures, the dense one too, begin at the selected sample, whose own object is in them by
            construction; what comes to it is what the neuron answers to.
        count: 1, or 4 pictures of a neuron that are pushed apart, so that each shows something else that excites it.
        near: of the image `"sample"`, in [0, 1), how near to it pictures stay; see `sw.visualize`.
        photos: the user's own photographs, in which the neuron's examples are looked for: a folder, or a list of
            anything `Sample.read` takes; thousands are looked through in idle time. Default: the samples serve.
        strip: whether the strip of examples is unfolded.

    `photos` can be set, too, and dropped on the strip; `examples` are the neuron's, an `Examples`, once all photographs
    were looked at. In the strip, a bar in the trace's colour says how much of an example's activation the trace keeps.

    Raises:
        InputError, ModelError: if something given cannot be used; one sentence says what and why.
    """

    SELECTS = SELECTION
    SETS = ("centre", *LOOKS)
    DRAWS = ("centre", "strip", "strip_order", "strip_examples", "strip_kept")

    _screen: Screen
    _chosen_neuron: str | None = None  # until a user chooses one, it is the class that the sample is taken for

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
        solver: str = "refined",
        fidelity: float | None = None,
        sequential: bool = False,
        plan: PlanSource | None = None,
        augmentations: int | None = None,
        steps: int | None = None,
        size: int | None = None,
        seed: int = 0,
        cache: str | Path | None = None,
        cache_size: int = SIZE,
        centre: str = "visualization",
        image: str = "fourier",
        count: int = 1,
        near: float = NEAR,
        photos: Source | Iterable[Source] | None = None,
        strip: bool = True,
    ) -> None:
        opened = open_panel(model, samples, weights, class_names, preprocess)
        classifier = opened.classifier
        session = Session(
            classifier,
            opened.samples,
            augmentations=opened.augmentations if augmentations is None else augmentations,
            steps=opened.steps if steps is None else steps,
            size=opened.size if size is None else size,
            seed=seed,
            cache=cache,
            cache_size=cache_size,
        )
        self.gallery = Gallery(session, photos)
        first = session.samples[0]
        hidden = [layer.name for layer in classifier.layers() if layer.name != head(classifier)]
        maps = [name for name in hidden if classifier.layer(name).size != (1, 1)]
        if neuron is None:
            neuron = predicted_class(session, first)
        else:
            self._chosen_neuron = str(neuron)
        pruning = asked_pruning(
            Pruning(opened.sparsity),
            sparsity=sparsity,
            preset=preset,
            pattern=pattern,
            plan=plan,
            solver=solver,
            sequential=sequential,
            fidelity=fidelity,
        )
        super().__init__(
            opened,
            session,
            first.id,
            pruning,
            neuron=neuron,
            layer=(maps or hidden or [classifier.layers()[-1].name])[-1],
            centre=centre,
            image=image,
            count=count,
            near=near,
            strip=strip,
            layers=[{"name": x.name, "kind": x.kind, "channels": x.channels} for x in classifier.layers()],
        )
        self._screen = Screen(self)
        self._strip = Strip(self)
        self._embedding: Job | None = None
        self._begin()
        self.observe(self._centred, "centre")
        self.observe(self._looked, [*LOOKS, "samples"])
        self._embed()

    # What a user reads and sets

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
        chosen = (*(name for name in SELECTION if name not in ("sample_id", "plan")), "estimates")
        names = (*chosen, "predictions", "dense", "sparse")
        rest = ("centre", *LOOKS, "solved", "status", "error")
        channels = [(row["channel"], row["activation"]) for row in self.channels.get("rows", ())]
        return {
            "sample": self.sample.title,
            "sample_id": self.sample_id,
            **{name: getattr(self, name) for name in names},
            "plan": [list(pair) for pair in self.plan],
            "trace": self.trace_summary,
            "channels": channels,
            "photos": self.photo_index,
            "examples": examples_shown(self),
            "percentile": percentile_shown(self),
            **{name: getattr(self, name) for name in rest},
        }

    def export_html(
        self,
        path: str | Path = "lesson.html",
        *,
        samples: Samples | None = None,
        neurons: Neurons | None = None,
        sparsities: Sparsities | None = None,
        title: str = "SPADE Explorer",
        max_mb: float = 50,
        overwrite: bool = False,
    ) -> Path:
        """Write a lesson: the panel as one page that needs neither a kernel nor the network.

        It shows each of the samples with each of the neurons at each of the sparsities, pruned as is selected now. What
        the panel has computed already is not computed again. The rest is computed on the worker, in turn with what the
        panels do; the caller waits. Interrupted, it leaves no file, and goes on from there the next time. How far it
        is, and the file's size before it is written, are printed.

        Args:
            path: of the file, ending in `.html`. A lesson that is there is replaced.
            samples: each as `sample` can be set; a folder's; new ones come to the panel's. Default: the current one and
                the first others, four in all.
            neurons: each as `neuron` can be set. Default: the current one and one more: the class that the current
                sample is taken for or, where that is the current one, the channel of `layer` that it excites most.
            sparsities: in [0, 1). Default: 0.5, 0.8, 0.9, 0.95, 0.98 and the current one.
            title: of the page; text, never markup.
            max_mb: megabytes that the file may have.
            overwrite: whether to replace a file that is no lesson, too.

        Returns:
            Where it was written.

        Raises:
            InputError: if something given cannot be used, the file would be too large, or cannot be written.
            SpadeError: if something cannot be computed.
        """
        refuse_waiting("export_html", on_worker=self.session.worker.here)
        place = check_place(path, max_mb, overwrite=overwrite)
        session, selection = self.session, self._selection()
        lesson = Lesson(
            title=str(title),
            neurons=choose_neurons(session, selection, neurons),
            sparsities=choose_sparsities(self.sparsity, sparsities),
            samples=choose_samples(session.samples, selection.sample, samples, self._find),
            # A lesson's slider has its sparsities: none is looked for.
            pruning=self._pruning(fidelity=None, sparsity=self.sparsity),
            sample=selection.sample,
            neuron=selection.neuron,
            drawing=selection.drawing,
        )
        return export(session, lesson, self.app, place)

    def wait(self, timeout: float | None = None) -> bool:
        """Wait until everything selected is computed (or stopped); whether it is, after `timeout` seconds at most.

        That is what the centre shows: pictures, maps, or both; and the examples, if they are unfolded.

        Raises:
            InputError: within an observer, which the panel's work itself waits for.
        """
        refuse_waiting("wait", on_worker=self.session.worker.here)
        deadline = None if timeout is None else time.monotonic() + timeout

        def left() -> float | None:
            return None if deadline is None else max(0.0, deadline - time.monotonic())

        with self._awaited():
            if self._embedding is not None and not self._embedding.finished.wait(left()):
                return False
            if not (super().wait(left()) and self._strip.wait(left)):
                return False
            self._displayed.refresh()
            return self.saliency_panel is None or bool(self.saliency_panel.wait(left()))

    def stop(self) -> None:
        """Stop computing, the maps too where they are in the middle; what is done stays."""
        super().stop()
        self.session.worker.cancel((self, "ahead"))
        self._strip.rest("stopped")
        if (maps := self.saliency_panel) is not None and maps._active:
            maps.stop()

    def resume(self) -> None:
        """Go on from where it was stopped."""
        super().resume()
        if (maps := self.saliency_panel) is not None and maps._active:
            maps.resume()

    def close(self) -> None:
        """Take the panel off the screen and drop its work."""
        with notifying():
            super().close()
            if self._open:
                for part in (self.chart, self.saliency_panel):
                    if part is not None:
                        part.close()

    # What is accepted, and what happens then

    @t.validate(*SELECTION, "centre", *LOOKS)
    def _check(self, proposal: Any) -> Any:
        name = proposal["trait"].name
        value = self._accepted(name, proposal["value"])
        if name == "neuron" and self._open and not follows():  # also where it is chosen as it is
            self._chosen_neuron = value
        return value

    def _accepted(self, name: str, value: Any) -> Any:
        if name == "centre":
            return one_of("centre", value, CENTRES)
        if name == "neuron":
            return str(self.session.classifier.neuron(value))
        if name == "layer" and isinstance(value, str):
            return self.session.classifier.layer(value).name
        if name == "image":
            return check_image(value)
        if name == "count":
            return check_pictures(value)
        if name == "near":
            return check_near(value)
        return super()._accepted(name, value)

    def _drawing(self) -> Drawing:
        return Drawing(self.image, self.count, self.near).at(self.sample)

    def _selection(self) -> Selection:
        neuron = self.session.classifier.neuron(self.neuron)
        pictures = self.centre != "saliency"
        return Selection(self.sample, self._pruning(), neuron, self.layer, pictures=pictures, drawing=self._drawing())

    def _centred(self, change: Any) -> None:
        self.error = ""
        self._embed()
        self._strip.look()
        if "saliency" in (change["old"], change["new"]):  # pictures come or go
            self._start()

    def _embed(self) -> None:
        """The Saliency panel, when it is first looked at; it works while it is shown."""
        with self._starting:
            if self.saliency_panel is not None:
                self.saliency_panel._work(self.centre != "visualization")
                self._tell_maps_state()
            elif self._embedding is None and self.centre != "visualization":
                self._embedding = self._besides("saliency", self._make_saliency_panel())

    def _work(self, active: bool) -> None:
        super()._work(active)
        if active:
            self._embed()

    def _rest(self) -> list[threading.Event]:
        ending = super()._rest()
        if (maps := self.saliency_panel) is not None:
            return [*ending, *maps._rest()]
        self._embedding = None  # it was dropped
        return ending

    def _make_saliency_panel(self) -> Steps:
        from spade_widgets.widgets.saliency.panel import SaliencyPanel

        panel = SaliencyPanel(self, embedded=True)
        self.saliency_panel = panel
        panel.observe(self._tell_maps_state, "status")
        self._displayed.follow(panel, panel.DRAWS)
        self._embed()  # the centre may have changed meanwhile
        yield

    def _tell_maps_state(self, _change: Any = None) -> None:
        """The Explorer's Stop is for the maps too, so its page has to know of their work."""
        maps = self.saliency_panel
        self.maps_state = maps.status["state"] if maps is not None and maps._active else "idle"

    def _still(self) -> Still:
        return explorer_still(self)

    def _events(self, selection: Selection) -> Iterator[Event]:
        self.session.worker.cancel((self, "ahead"))
        if self._chosen_neuron is None:
            wanted = predicted_class(self.session, selection.sample)
            if wanted != selection.neuron:
                self._follow_prediction(str(wanted))
                yield Working("predicting", 0, 1)
                return  # by now there is another job in the place of this one
        for event in explore(self.session, selection, self._screen.on_screen):
            yield event
            if isinstance(event, Predicted):  # first of the sample alone, then, with a trace, what it keeps
                self._strip.look()
        if selection.pruning.fidelity is None:
            self._besides("ahead", self._ahead(selection), idle=True)

    def _follow_prediction(self, neuron: str) -> None:
        with following():
            self.neuron = neuron
        chosen = self._chosen_neuron
        if chosen is not None and chosen != self.neuron:
            self.neuron = chosen  # a user has chosen one in this very moment

    def _ahead(self, selection: Selection) -> Steps:
        """Neighbouring sparsities, while the worker has nothing else to do."""
        for more in ahead(self.session, selection.sample, selection.pruning):
            if more:
                self.solved = self.session.solved(selection.sample, selection.pruning)
            yield

    def _recipe(self, selection: Selection) -> str:
        found: list[str] = []
        if self.strip:
            found = examples_recipe(self._opened, self.gallery, self.neuron, self.strip_count)
        sample, pruning, drawing = selection.sample, selection.pruning, selection.drawing
        return recipe(self._opened, self.session, sample, pruning, self.neuron, drawing, found)

    def _message(self, widget: Any, content: dict[str, Any], buffers: list[Any]) -> None:
        kind = content.get("type")
        if kind == "ack":
            self._screen.frames.acknowledge(str(content.get("which")), int(content.get("seq", 0)))
        elif kind == "chart" and self.chart is None:
            self._besides("chart", self._screen.make_chart())
        else:
            super()._message(widget, content, buffers)

    def _picture(self, which: Which) -> Image.Image | None:
        renderer = begun(self.session, self._selection())[which]
        return renderer.sheet() if renderer else None


def predicted_class(session: Session, sample: Sample) -> Neuron:
    """The logit of the class that the classifier takes the sample for."""
    best = int(session.probabilities(session.classifier, sample).argmax())
    return session.classifier.neuron(f"logit:{best}")
