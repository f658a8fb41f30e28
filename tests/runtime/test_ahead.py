"""Neighbouring sparsities, solved in idle time."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from spade_widgets.classifier import ImageClassifier
from spade_widgets.pruning.progress import finish
from spade_widgets.runtime import ahead as module
from spade_widgets.runtime.ahead import MARKS, ahead, neighbours
from spade_widgets.runtime.session import Session
from spade_widgets.runtime.tracing import Pruning
from spade_widgets.sample import Sample


@pytest.fixture
def session(tiny: ImageClassifier) -> Session:
    pixels = np.random.default_rng(0).integers(0, 256, (32, 32, 3), dtype=np.uint8)
    return Session(tiny, [Sample(Image.fromarray(pixels))], augmentations=4, steps=2)


def test_neighbours_are_where_keys_and_marks_lead_the_nearest_first() -> None:
    near = neighbours(0.9)
    assert set(near) == {0.86, 0.87, 0.88, 0.89, 0.905, 0.91, 0.915, 0.92, 0.0, 0.5, 0.8, 0.95, 0.98, 0.99}
    assert near[:2] == [0.905, 0.89]
    assert near[-1] == 0.0
    assert set(neighbours(0.0)) == {0.01, 0.02, 0.03, 0.04, *MARKS} - {0.0}
    assert max(neighbours(0.99)) < 0.99
    assert 0.9 not in neighbours(0.9 + 1e-12)


def test_they_are_there_for_the_slider(session: Session, calls: dict[str, int]) -> None:
    sample, pruning = session.samples[0], Pruning(0.9, "all")
    finish(session.trace(sample, pruning))
    there = [0.9]
    for more in ahead(session, sample, pruning):
        if more:
            assert len(session.solved(sample, pruning)) == len(there) + 1
            there = session.solved(sample, pruning)
    assert set(there) == {0.9, *neighbours(0.9)}
    made = calls["prune"]
    finish(session.trace(sample, Pruning(0.905, "all")))
    assert calls["prune"] == made
    assert calls["calibrate"] == 1


@pytest.mark.parametrize(("bound", "value"), [("SECONDS", 0.0), ("NBYTES", 0)])
def test_there_is_an_end_to_it(session: Session, monkeypatch: pytest.MonkeyPatch, bound: str, value: float) -> None:
    monkeypatch.setattr(module, bound, value)
    sample, pruning = session.samples[0], Pruning(0.9, "all")
    finish(session.trace(sample, pruning))
    assert sum(ahead(session, sample, pruning)) <= 1
