"""The Saliency panel: the maps of several methods on the dense network and on the sample's trace, side by side."""

from __future__ import annotations

import io
import re
import time
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import traitlets as t

from spade_widgets.attribution.methods import METHODS
from spade_widgets.attribution.saliency import Map, find_method
from spade_widgets.errors import InputError
from spade_widgets.network.preprocessing import Preprocess
from spade_widgets.runtime.attribute import Event, Question, Which, attribute, known_maps, seen
from spade_widgets.runtime.jobs import Job, Steps
from spade_widgets.runtime.session import Session
from spade_widgets.sample import Source
from spade_widgets.widgets.common.beside import open_beside
from spade_widgets.widgets.common.observers import notifying
from spade_widgets.widgets.common.opening import Model
from spade_widgets.widgets.common.panel import Panel
from spade_widgets.widgets.common.plans import PlanSource
from spade_widgets.widgets.common.recipe import saliency_recipe
from spade_widgets.widgets.common.still import Still
from spade_widgets.widgets.common.wire import check_flag, one_of
from spade_widgets.widgets.saliency.screen import SaliencyScreen
from spade_widgets.widgets.saliency.stills import saliency_still
from spade_widgets.widgets.saliency.wire import COLORMAPS, PREDICTED, SCALES, SELECTION, VIEW, SaliencyWire


class SaliencyPanel(Panel, SaliencyWire):
    """Saliency maps of the dense network and of the sample's trace, method beside method.

    Everything on screen can be read and set: `sample`, `sparsity`, `preset`, `pattern`, `solver`, `sequential`,
    `fidelity`, `plan`, `methods`, `target`, and how maps are drawn: `opacity`, `colormap`, `signed`, `clip`, `scale`,
    `outline`; and read: `trace`, `maps()`, `state()`, `code`.

    Args:
        source: another panel, such as an `Explorer` (both then select the same, whichever is touched), a `Session`, or
            what the Explorer takes as its model: None for the built-in classifier, a torchvision builder's name, an
            `ImageClassifier`, any `nn.Module`.
        samples, weights, class_names, preprocess, augmentations, seed, cache, cache_size: as the Explorer takes them;
            not for a panel or a session, which have them. The seed is that of the maps too.
        methods: keys of the saliency methods, at least one, in the order in which they are shown.
        target: index or name of the class that the maps speak of. Default: the one that the dense network predicts.
        sparsity, preset, pattern, solver, fidelity, sequential, plan: how to prune, to begin with; see the Explorer.
            Default: as it is in the panel given; else the Explorer's defaults.
        opacity: of the maps over the image, 0 to 1.
        colormap: one of `COLORMAPS`; `"auto"`: diverging where a map is signed, else sequential.
        signed: whether negative values are told from positive ones, or magnitudes are shown.
        clip: the percentile of |map| from which on the colour is the strongest, 90 to 100.
        scale: `"same"` for both rows of a column, so that dense and trace compare, or each map its `"own"`.
        outline: whether the mask's outline is drawn where a mask is known.
        embedded: shown within the Explorer, which has the samples and the pruning on screen itself.

    Raises:
        InputError, ModelError: if something given cannot be used; one sentence says what and why.
    """

    SELECTS = SELECTION
    SETS = VIEW
    DRAWS = VIEW

    _screen: SaliencyScreen

    def __init__(
        self,
        source: Panel | Session | Model = None,
        *,
        samples: Source | Iterable[Source] | None = None,
        weights: str | Path | None = "DEFAULT",
        class_names: Sequence[str] | None = None,
        preprocess: Preprocess | None = None,
        methods: Sequence[str] = ("saliency", "lrp", "gradcam"),
        target: int | str | None = None,
        sparsity: float | None = None,
        preset: str | None = None,
        pattern: str | None = None,
        solver: str | None = None,
        fidelity: float | None = None,
        sequential: bool | None = None,
        plan: PlanSource | None = None,
        augmentations: int | None = None,
        seed: int | None = None,
        cache: str | Path | None = None,
        cache_size: int | None = None,
        opacity: float = 0.75,
        colormap: str = "auto",
        signed: bool = True,
        clip: float = 99.5,
        scale: str = "same",
        outline: bool = True,
        embedded: bool = False,
    ) -> None:
        beside = open_beside(
            source,
            {
                "sparsity": sparsity,
                "preset": preset,
                "pattern": pattern,
                "plan": plan,
                "solver": solver,
                "sequential": sequential,
                "fidelity": fidelity,
            },
            samples=samples,
            weights=weights,
            class_names=class_names,
            preprocess=preprocess,
            augmentations=augmentations,
            seed=seed,
            cache=cache,
            cache_size=cache_size,
        )
        super().__init__(
            beside.opened,
            beside.session,
            beside.sample_id,
            beside.pruning,
            methods=methods,
            target=PREDICTED if target is None else target,
            all_methods=[
                {name: getattr(method, name) for name in ("key", "title", "description", "source", "slow", "signed")}
                for method in METHODS.values()
            ],
            opacity=opacity,
            colormap=colormap,
            signed=signed,
            clip=clip,
            scale=scale,
            outline=outline,
            embedded=embedded,
        )
        self._walking: Job | None = None
        self._screen = SaliencyScreen(self)
        self._begin(beside.panel)
        beside.agree(self)

    # What a user reads and does

    def maps(self) -> dict[tuple[Which, str], Map]:
        """The maps of what is selected, as far as they are there: (network, method) → (h, w) float32, copies.

        The network is `"dense"` or `"sparse"`.
        """
        return {cell: found.map.copy() for cell, found in known_maps(self.session, self._selection()).items()}

    def state(self) -> dict[str, Any]:
        """Everything on screen in plain values: the selection, predictions, trace, the maps' progress, status."""
        pruned = ("sparsity", "preset", "pattern", "solver", "sequential", "fidelity", "estimates")
        names = (*pruned, "target", *VIEW, "predictions", "cells", "solved", "status")
        return {
            "sample": self.sample.title,
            "sample_id": self.sample_id,
            "methods": list(self.methods),
            "plan": [list(pair) for pair in self.plan],
            **{name: getattr(self, name) for name in names},
            "trace": self.trace_summary,
            "curves": self.curves_status,
            "error": self.error,
        }

    def draw_curves(self) -> None:
        """Draw insertion and deletion curves of all maps that are there. Returns at once; `wait` waits for them."""
        with self._starting:
            if not self._closed:
                self._walking = self._besides("curves", self._screen.walk(self._selection()))

    def wait(self, timeout: float | None = None) -> bool:
        """Wait until all maps, and the curves if asked for, are there (or stopped); whether they are in time."""
        began = time.monotonic()
        with self._awaited():
            if not super().wait(timeout):
                return False
            left = None if timeout is None else max(0.0, timeout - (time.monotonic() - began))
            return self._walking is None or self._walking.finished.wait(left)

    def stop(self) -> None:
        """Stop computing, curves too; what is done stays."""
        with self._starting:
            self._leave_curves()
            super().stop()

    def close(self) -> None:
        """Take the panel off the screen and drop its work."""
        with notifying():
            super().close()
            if self._open and self.curves is not None:
                self.curves.close()

    def _lists_samples(self) -> bool:
        return not self.embedded

    # What is accepted, and what happens then

    @t.validate(*SELECTION, *VIEW)
    def _check(self, proposal: Any) -> Any:
        return self._accepted(proposal["trait"].name, proposal["value"])

    def _accepted(self, name: str, value: Any) -> Any:
        match name:
            case "methods":
                return check_methods(value)
            case "target":
                return self._class(value)
            case "opacity":
                return within(name, value, 0, 1)
            case "clip":
                return within(name, value, 90, 100)
            case "colormap":
                return one_of(name, value, COLORMAPS)
            case "scale":
                return one_of(name, value, SCALES)
            case "signed" | "outline":
                return check_flag(name, value)
        return super()._accepted(name, value)

    def _class(self, value: Any) -> int:
        if value is None:
            return PREDICTED
        if isinstance(value, bool) or not isinstance(value, int | np.integer | str):
            raise InputError(f"The target is {value!r}; the index or the name of a class is needed.")
        index = value if isinstance(value, str) else int(value)
        return PREDICTED if index == PREDICTED else self.session.classifier.class_index(index)

    def _selection(self) -> Question:
        target = None if self.target == PREDICTED else self.target
        return Question(self.sample, self._pruning(), self.methods, target)

    def _still(self) -> Still:
        return saliency_still(self)

    def _events(self, selection: Question) -> Iterator[Event]:
        return attribute(self.session, selection)

    def _selected(self, change: Any) -> None:
        self._leave_curves()  # they would be of what was selected before
        super()._selected(change)

    def _leave_curves(self) -> None:
        self.session.worker.cancel((self, "curves"))

    def _message(self, widget: Any, content: dict[str, Any], buffers: list[Any]) -> None:
        match content.get("type"):
            case "curves":
                self.draw_curves()
            case "export":
                self._besides("export", self._export(self._selection()))
            case _:
                super()._message(widget, content, buffers)

    def _export(self, selection: Question) -> Steps:
        """On the worker's thread: all maps that are there, as one file for the page to save."""
        shown = seen(self.session, selection.sample)
        arrays: dict[str, Any] = {
            "_".join(cell): found.map for cell, found in known_maps(self.session, selection).items()
        }
        arrays["image"] = shown.view.permute(1, 2, 0).numpy()
        if shown.mask is not None:
            arrays["mask"] = shown.mask
        with io.BytesIO() as out:
            np.savez(out, **arrays)
            data = out.getvalue()
        title = re.sub(r"[^\w.-]+", "-", selection.sample.title)[:60].strip("-.") or "sample"
        self.send({"type": "file", "name": f"saliency-{title}.npz"}, [data])
        yield

    def _recipe(self, selection: Question) -> str:
        return saliency_recipe(
            self._opened, self.session, selection.sample, selection.pruning, selection.methods, selection.target
        )


def within(name: str, value: Any, least: float, most: float) -> float:
    """The value, if it is a number in that range."""
    real = isinstance(value, int | float | np.number) and not isinstance(value, bool)
    if not real or not least <= value <= most:
        raise InputError(f"The {name} is {value!r}; a number from {least} to {most} is needed.")
    return float(value)


def check_methods(value: Any) -> tuple[str, ...]:
    """Keys of methods, each once."""
    if isinstance(value, str) or not isinstance(value, Iterable):
        raise InputError(f"The methods are {value!r}; a list of names is needed: {', '.join(METHODS)} can be chosen.")
    keys = [find_method(key if isinstance(key, str) else repr(key)).key for key in value]
    if not keys:
        raise InputError(f"There is no method to show: {', '.join(METHODS)} can be chosen.")
    return tuple(dict.fromkeys(keys))
