"""Predictions of a classifier and of a trace."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import spade_widgets as sw


@pytest.fixture
def picture() -> sw.Sample:
    return sw.Sample.read(np.random.default_rng(1).integers(0, 256, (40, 60, 3), dtype=np.uint8))


def test_predictions_are_the_models_softmax(tiny: sw.ImageClassifier, picture: sw.Sample) -> None:
    with torch.no_grad():
        expected = tiny._model(tiny.prepare(picture))[0].softmax(0)
    found = sw.predict(tiny, picture)
    assert [p.probability for p in found] == sorted((float(v) for v in expected), reverse=True)
    assert [p.index for p in found] == expected.argsort(descending=True).tolist()
    assert all(p.name == tiny.class_names[p.index] for p in found)
    assert sum(p.probability for p in found) == pytest.approx(1)


def test_top(tiny: sw.ImageClassifier, picture: sw.Sample) -> None:
    everything = sw.predict(tiny, picture, top=99)
    assert len(everything) == 5
    assert sw.predict(tiny, picture, top=2) == everything[:2]
    for bad in (0, -1):
        with pytest.raises(sw.InputError, match=f"top {bad} classes cannot be given"):
            sw.predict(tiny, picture, top=bad)


def test_a_trace_predicts_with_its_own_weights(tiny: sw.ImageClassifier, picture: sw.Sample) -> None:
    trace = sw.trace(tiny, picture, sparsity=0.9, layers="*", augmentations=3)
    with torch.no_grad():
        expected = trace.module()(tiny.prepare(picture))[0].softmax(0)
    found = sw.predict(trace, picture)
    assert found[0].index == int(expected.argmax()) == trace.agreement.sparse_class
    assert found[0].probability == float(expected.max())
    assert found != sw.predict(tiny, picture)


def test_half_precision_logits_make_full_precision_probabilities(
    tiny_model: torch.nn.Module, picture: sw.Sample
) -> None:
    classifier = sw.ImageClassifier(tiny_model.half())
    found = sw.predict(classifier, picture)
    with torch.no_grad():
        expected = classifier.module()(classifier.prepare(picture))[0].double().softmax(0)
    assert [p.probability for p in found] == pytest.approx(expected.sort(descending=True).values.tolist(), rel=1e-6)
