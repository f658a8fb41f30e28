"""What a panel is opened on: a classifier and samples, given in any way that a user has them, and how code says so."""

from __future__ import annotations

import importlib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import TypeAlias

from torch import nn

from spade_widgets.classifier import ImageClassifier
from spade_widgets.errors import InputError
from spade_widgets.evidence.planting import Planted
from spade_widgets.evidence.planting.file import is_planted
from spade_widgets.network.class_names import ClassNames
from spade_widgets.network.preprocessing import Preprocess
from spade_widgets.network.torchvision_models import Weights
from spade_widgets.runtime.session import Session
from spade_widgets.sample import Sample, Source, read_each

Model: TypeAlias = "ImageClassifier | Planted | nn.Module | str | Path | None"


#: The built-in classifiers, each a room of `demo`; the first is what a panel opens on.
BUILT_IN = ("photos", "emoji")


@dataclass(frozen=True)
class Opened:
    """A classifier and samples, with the Python that makes them again.

    Attributes:
        classifier, samples: what was opened.
        classifier_code: an expression.
        sample_code: sample id → an expression; samples that only live in this kernel have none.
        panel: what code calls the panel, for what only lives in this kernel.
        sparsity, augmentations, steps, size: what a panel on it begins with; see the Explorer.
    """

    classifier: ImageClassifier
    samples: tuple[Sample, ...]
    classifier_code: str
    sample_code: dict[str, str]
    panel: str = "explorer"
    sparsity: float = 0.9
    augmentations: int = 64
    steps: int = 256
    size: int | None = None


def open_panel(
    model: Model,
    samples: Source | Iterable[Source] | None,
    weights: Weights,
    class_names: ClassNames | None,
    preprocess: Preprocess | None,
    panel: str = "explorer",
) -> Opened:
    """Make a classifier and samples of what the user gave. See `Explorer` for the arguments and errors."""
    model = BUILT_IN[0] if model is None else model
    classifier, code = _classifier(model, weights, class_names, preprocess)
    code = code or f"{panel}.session.classifier"
    if samples is None:
        name = model if isinstance(model, str) and model in BUILT_IN else BUILT_IN[0]
        source = _built_in(name)
        # Their labels are the built-in classifier's classes: to another one they are pictures.
        ours = classifier.class_names == source.classifier().class_names
        read = tuple(s if ours else Sample(s.image, s.title) for s in source.samples())
        written = {s.id: f"{name}.samples()[{i}]" for i, s in enumerate(read)}
    else:
        pairs = list(read_each(samples))
        read = tuple(sample for _, sample in pairs)
        written = {sample.id: repr(str(given)) for given, sample in pairs if isinstance(given, str | Path)}
    own = {} if not isinstance(model, str) or model not in BUILT_IN else _built_in(model).BEGIN
    return Opened(classifier, read, code, written, panel, **own)


def _built_in(name: str) -> ModuleType:
    """The room of a built-in classifier."""
    return importlib.import_module(f"spade_widgets.demo.{name}")


def open_session(session: Session) -> Opened:
    """What a session has, for a panel that code calls `panel`."""
    return Opened(session.classifier, session.samples, "panel.session.classifier", {}, "panel")


def _classifier(
    model: ImageClassifier | Planted | nn.Module | str | Path,
    weights: Weights,
    class_names: ClassNames | None,
    preprocess: Preprocess | None,
) -> tuple[ImageClassifier, str]:
    """The classifier and the code that makes it; no code where it only lives in this kernel."""
    built_in = isinstance(model, str) and model in BUILT_IN
    folder = ""
    if isinstance(model, Path) or (isinstance(model, str) and not built_in and is_planted(model)):
        folder, model = str(model), Planted.load(model)
    if (built_in or not isinstance(model, str)) and weights != "DEFAULT":
        raise InputError("`weights` are for a model that is given by its torchvision name.")
    whole = built_in or isinstance(model, ImageClassifier | Planted)
    if whole and (class_names is not None or preprocess is not None):
        raise InputError("`class_names` and `preprocess` are for a plain module or a torchvision name.")
    if isinstance(model, ImageClassifier):
        return model, ""
    if isinstance(model, Planted):
        return model.classifier, f"sw.Planted.load({folder!r}).classifier" if folder else ""
    if isinstance(model, str) and built_in:
        return _built_in(model).classifier(), f"{model}.classifier()"
    if isinstance(model, str):
        classifier = ImageClassifier.from_torchvision(model, weights, class_names=class_names, preprocess=preprocess)
        # Random weights are others each time.
        plain = class_names is None and preprocess is None and weights is not None
        given = "" if weights == "DEFAULT" else f", weights={str(weights)!r}"
        return classifier, f"sw.ImageClassifier.from_torchvision({model!r}{given})" if plain else ""
    return ImageClassifier(model, class_names=class_names, preprocess=preprocess), ""
