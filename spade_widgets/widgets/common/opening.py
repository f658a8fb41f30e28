"""What a panel is opened on: a classifier and samples, given in any way that a user has them, and how code says so."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

from torch import nn

from spade_widgets.classifier import ImageClassifier, Preprocess
from spade_widgets.errors import InputError
from spade_widgets.runtime.session import Session
from spade_widgets.sample import Sample, Source, list_sources

Model: TypeAlias = "ImageClassifier | nn.Module | str | None"


@dataclass(frozen=True)
class Opened:
    """A classifier and samples, with the Python that makes them again.

    Attributes:
        classifier, samples: what was opened.
        classifier_code: an expression.
        sample_code: sample id → an expression; samples that only live in this kernel have none.
        panel: what code calls the panel, for what only lives in this kernel.
    """

    classifier: ImageClassifier
    samples: tuple[Sample, ...]
    classifier_code: str
    sample_code: dict[str, str]
    panel: str = "explorer"


def open_panel(
    model: Model,
    samples: Source | Iterable[Source] | None,
    weights: str | Path | None,
    class_names: Sequence[str] | None,
    preprocess: Preprocess | None,
    panel: str = "explorer",
) -> Opened:
    """Make a classifier and samples of what the user gave. See `Explorer` for the arguments and errors."""
    classifier, code = _classifier(model, weights, class_names, preprocess)
    code = code or f"{panel}.session.classifier"
    builtin = model is None
    if samples is None:
        from spade_widgets.demo import emoji

        # Their labels are the built-in classifier's classes: to another one they are pictures.
        read = tuple(s if builtin else Sample(s.image, s.title) for s in emoji.samples())
        written = {s.id: f"emoji.samples()[{i}]" for i, s in enumerate(read)}
    else:
        given = list_sources(samples)
        read = tuple(map(Sample.read, given))
        pairs = zip(read, given, strict=True)
        written = {s.id: repr(str(g)) for s, g in pairs if isinstance(g, str | Path)}
    return Opened(classifier, read, code, written, panel)


def open_session(session: Session) -> Opened:
    """What a session has, for a panel that code calls `panel`."""
    return Opened(session.classifier, session.samples, "panel.session.classifier", {}, "panel")


def _classifier(
    model: Model, weights: str | Path | None, class_names: Sequence[str] | None, preprocess: Preprocess | None
) -> tuple[ImageClassifier, str]:
    """The classifier and the code that makes it; no code where it only lives in this kernel."""
    if not isinstance(model, str) and weights != "DEFAULT":
        raise InputError("`weights` are for a model that is given by its torchvision name.")
    whole = model is None or isinstance(model, ImageClassifier)
    if whole and (class_names is not None or preprocess is not None):
        raise InputError("`class_names` and `preprocess` are for a plain module or a torchvision name.")
    if isinstance(model, ImageClassifier):
        return model, ""
    if model is None:
        from spade_widgets.demo import emoji

        return emoji.classifier(), "emoji.classifier()"
    if isinstance(model, str):
        classifier = ImageClassifier.from_torchvision(model, weights, class_names=class_names, preprocess=preprocess)
        # Random weights are others each time.
        plain = class_names is None and preprocess is None and weights is not None
        given = "" if weights == "DEFAULT" else f", weights={str(weights)!r}"
        return classifier, f"sw.ImageClassifier.from_torchvision({model!r}{given})" if plain else ""
    return ImageClassifier(model, class_names=class_names, preprocess=preprocess), ""
