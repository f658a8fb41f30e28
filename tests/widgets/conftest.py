"""Panels that are closed after each test."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from widgets.page import Page, picture, settle

from spade_widgets.classifier import ImageClassifier
from spade_widgets.widgets.explorer import Explorer


@pytest.fixture
def make(tiny: ImageClassifier) -> Iterator[Callable[..., Explorer]]:
    """Makes small Explorers: on the tiny classifier, of two samples, where nothing else is said."""
    made: list[Explorer] = []

    def new(model: Any = tiny, **options: Any) -> Explorer:
        if model is not None:
            options = {"samples": [picture(0, "first"), picture(1, "second")], **options}
        panel = Explorer(model, **{"augmentations": 4, "steps": 4, **options})
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
