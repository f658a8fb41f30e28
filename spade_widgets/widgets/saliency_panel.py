"""The Saliency panel: the maps of several methods on the dense network and on the sample's trace, side by side."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import traitlets as t

from spade_widgets.attribution.methods import METHODS
from spade_widgets.attribution.saliency import Map, find_method
from spade_widgets.classifier import Preprocess
from spade_widgets.errors import InputError
from spade_widgets.runtime.attribute import Event, Question, Which, attribute, known_maps
from spade_widgets.runtime.session import Pruning, Session
from spade_widgets.sample import Source
from spade_widgets.widgets.opening import Model, open_panel
from spade_widgets.widgets.panel import Panel
from spade_widgets.widgets.recipe import saliency_recipe
from spade_widgets.widgets.saliency_screen import SaliencyScreen
from spade_widgets.widgets.saliency_wire import PREDICTED, SELECTION, VIEW, SaliencyWire


class SaliencyPanel(Panel, SaliencyWire):
    """Saliency maps of the dense network and of the sample's trace, method beside method.

    Everything on screen can be read and set: `sample`, `sparsity`, `preset`, `pattern`, `solver`, `methods`, `target`,
    and how maps are drawn: `opacity`, `colormap`, `signed`, `clip`, `scale`, `outline`; and read: `trace`, `maps()`,
    `state()`, `code`.

    Args:
        source: what the Explorer takes as its model: None for the built-in classifier, a torchvision builder's name, an
            `ImageClassifier`, any `nn.Module`.
        samples, weights, class_names, preprocess, augmentations, seed: as the Explorer takes them.
        methods: keys of the saliency methods, at least one, in the order in which they are shown.
        target: index or name of the class that the maps speak of. Default: the one that the dense network predicts.
        sparsity, preset, pattern, solver: how to prune, to begin with. Default: the Explorer's.

    Raises:
        InputError, ModelError: if something given cannot be used; one sentence says what and why.
    """

    SELECTS = SELECTION
    SETS = VIEW

    _screen: SaliencyScreen

    def __init__(
        self,
        source: Model = None,
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
        solver: str = "fast",
        augmentations: int = 256,
        seed: int = 0,
    ) -> None:
        opened = open_panel(source, samples, weights, class_names, preprocess, "panel")
        session = Session(opened.classifier, opened.samples, augmentations=augmentations, seed=seed)
        pruning = Pruning(
            sparsity=(0.9 if source is None else 0.8) if sparsity is None else sparsity,
            preset=preset or ("late" if pattern is None else "pattern"),
            pattern=pattern or "",
            solver=solver,
        )
        self.session = session
        super().__init__(
            opened,
            session,
            session.samples[0].id,
            pruning,
            methods=methods,
            target=target,
            all_methods=[
                {"key": m.key, "title": m.title, "description": m.description, "source": m.source, "slow": m.slow}
                for m in METHODS.values()
            ],
        )
        self._screen = SaliencyScreen(self)
        self._begin()

    def maps(self) -> dict[tuple[Which, str], Map]:
        """The maps of what is selected, as far as they are there: (network, method) → (h, w) float32, copies."""
        return {cell: found.map.copy() for cell, found in known_maps(self.session, self._selection()).items()}

    @t.validate(*SELECTION, *VIEW)
    def _check(self, proposal: Any) -> Any:
        return self._accepted(proposal["trait"].name, proposal["value"])

    def _accepted(self, name: str, value: Any) -> Any:
        match name:
            case "methods":
                return check_methods(value)
            case "target":
                return PREDICTED if value is None or value == PREDICTED else self.session.classifier.class_index(value)
        return value if name in VIEW else super()._accepted(name, value)

    def _selection(self) -> Question:
        target = None if self.target == PREDICTED else self.target
        return Question(self.sample, self._pruning(), self.methods, target)

    def _events(self, selection: Question) -> Iterator[Event]:
        return attribute(self.session, selection)

    def _recipe(self, selection: Question) -> str:
        return saliency_recipe(
            self._opened, self.session, selection.sample, selection.pruning, selection.methods, selection.target
        )


def check_methods(value: Any) -> tuple[str, ...]:
    """Keys of methods, each once."""
    if isinstance(value, str) or not isinstance(value, Iterable):
        raise InputError(f"The methods are {value!r}; a list of names is needed: {', '.join(METHODS)} can be chosen.")
    keys = tuple(dict.fromkeys(value))
    if not keys:
        raise InputError(f"There is no method to show: {', '.join(METHODS)} can be chosen.")
    for key in keys:
        find_method(key)
    return keys
