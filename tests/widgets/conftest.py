"""Panels that are closed after each test."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch
from widgets.kernel import Kernel, Outputs
from widgets.page import Page, masked, picture, settle

from spade_widgets.classifier import ImageClassifier
from spade_widgets.runtime.jobs import WORKER
from spade_widgets.runtime.session import Session
from spade_widgets.widgets.common import display, notebook
from spade_widgets.widgets.common import panel as panels
from spade_widgets.widgets.common.panel import Panel
from spade_widgets.widgets.explorer.panel import Explorer
from spade_widgets.widgets.saliency.panel import SaliencyPanel


def pruned(options: dict[str, Any]) -> dict[str, Any]:
    """The tiny classifier's last third is its head alone, which changes no picture of a hidden neuron."""
    preset = {} if "pattern" in options or "plan" in options else {"preset": "late"}
    sparsity = {} if "fidelity" in options or "plan" in options else {"sparsity": 0.8}
    return {**preset, **sparsity}


@pytest.fixture
def make(tiny: ImageClassifier) -> Iterator[Callable[..., Explorer]]:
    """Makes small Explorers: on the tiny classifier, of two samples, where nothing else is said."""
    made: list[Explorer] = []

    def new(model: Any = tiny, **options: Any) -> Explorer:
        if model is not None:
            options = {"samples": [picture(0, "first"), picture(1, "second")], **options}
        panel = Explorer(
            model, **{"augmentations": 4, "steps": 4, **(pruned(options) if model is tiny else {}), **options}
        )
        made.append(panel)
        return panel

    yield new
    for panel in made:
        panel.close()


@pytest.fixture
def panel(make: Callable[..., Explorer]) -> Explorer:
    """A small Explorer that has computed everything."""
    panel = make()
    settle(panel)
    return panel


@pytest.fixture
def page(panel: Explorer) -> Page:
    """The page that shows `panel`."""
    return Page(panel)


@pytest.fixture
def make_saliency(tiny: ImageClassifier) -> Iterator[Callable[..., SaliencyPanel]]:
    """Makes small Saliency panels: on the tiny classifier, of a plain and a masked sample, unless said otherwise."""
    made: list[SaliencyPanel] = []

    def new(source: Any = tiny, **options: Any) -> SaliencyPanel:
        if not isinstance(source, Panel | Session):
            samples = {} if source is None else {"samples": [picture(0, "first"), masked(1, "second")]}
            options = {**samples, "augmentations": 4, **(pruned(options) if source is not None else {}), **options}
        panel = SaliencyPanel(source, **{"methods": ("saliency", "gradcam"), **options})
        made.append(panel)
        return panel

    yield new
    for panel in made:
        panel.close()


@pytest.fixture
def saliency(make_saliency: Callable[..., SaliencyPanel]) -> SaliencyPanel:
    """A small Saliency panel that has computed everything."""
    panel = make_saliency()
    settle(panel)
    return panel


@pytest.fixture
def saliency_page(saliency: SaliencyPanel) -> Page:
    """The page that shows `saliency`."""
    return Page(saliency)


@pytest.fixture
def busy() -> Iterator[None]:
    """Another panel's work that never ends."""

    def endless() -> Iterator[None]:
        a = torch.rand(256, 256)
        while True:
            a = (a @ a).softmax(1)
            yield

    owner = object()
    WORKER.submit(owner, endless(), lambda _error: None)
    yield
    WORKER.cancel(owner)


@pytest.fixture
def outputs(monkeypatch: pytest.MonkeyPatch) -> Outputs:
    """What is displayed."""
    kept = Outputs()
    monkeypatch.setattr(display, "_display", kept.display)
    monkeypatch.setattr(display.InteractiveShell, "initialized", lambda: True)
    return kept


@pytest.fixture
def kernel(outputs: Outputs, monkeypatch: pytest.MonkeyPatch) -> Kernel:
    """The kernel whose cells display it."""
    made = Kernel(outputs)
    monkeypatch.setattr(notebook, "get_ipython", lambda: made)
    monkeypatch.setattr(panels, "NOTEBOOK", notebook.Notebook())
    return made
