"""The chart of what is left of each layer."""

from __future__ import annotations

import re
from collections import OrderedDict

import numpy as np
import pytest
from PIL import Image
from torch import nn
from torchvision import transforms

import spade_widgets as sw
from spade_widgets.classifier import ImageClassifier
from spade_widgets.widgets.explorer.chart import chart, fill

MARKUP = "<b>&lt;i&gt; <img src=x onerror=alert(1)> & co"


@pytest.fixture
def named() -> ImageClassifier:
    """A classifier with a layer whose name is markup: names come from a user's own module."""
    layers: OrderedDict[str, nn.Module] = OrderedDict()
    layers[MARKUP] = nn.Conv2d(3, 4, 3)
    layers["pool"], layers["flat"], layers["head"] = nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 3)
    preprocess = transforms.Compose(
        [transforms.Resize((32, 32)), transforms.ToTensor(), transforms.Normalize([0.5] * 3, [0.25] * 3)]
    )
    return ImageClassifier(nn.Sequential(layers), preprocess=preprocess)


def test_it_shows_a_trace(tiny: ImageClassifier) -> None:
    sample = np.random.default_rng(0).integers(0, 256, (32, 32, 3), dtype=np.uint8)
    figure = chart()
    for sparsity in (0.5, 0.9):
        trace = sw.trace(tiny, Image.fromarray(sample), sparsity=sparsity, layers=["3", "7"], augmentations=4)
        fill(figure, trace)
        kept, error = figure.data
        rows = trace.stats()
        assert list(kept.y) == list(error.y) == ["3", "7"]
        assert list(kept.x) == [100 * row.kept / row.total for row in rows]
        assert list(error.x) == [row.error for row in rows]
        assert [tuple(pair) for pair in kept.customdata] == [(row.kept, row.total) for row in rows]
    assert figure.layout.yaxis.type == "category"  # "3" and "7" are names, not numbers
    figure.close()


def test_layer_names_are_text(named: ImageClassifier) -> None:
    sample = np.random.default_rng(0).integers(0, 256, (32, 32, 3), dtype=np.uint8)
    figure = chart()
    fill(figure, sw.trace(named, sample, sparsity=0.5, layers=["*"], augmentations=4))
    shown = figure.data[0].y[0]
    assert "<" not in shown
    assert re.sub("&lt;", "<", shown).replace("&amp;", "&") == MARKUP
    assert figure.data[0].y[1] == "head"
    figure.close()
