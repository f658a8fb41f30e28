"""Trojan AUC, pointing game and fidelity, against plain definitions."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from PIL import Image

import spade_widgets as sw
from spade_widgets.classifier import ImageClassifier
from spade_widgets.errors import InputError
from spade_widgets.evidence.metrics import fidelity, pointing_game, trojan_auc

PATCH = np.array([[True, True, False], [False, False, False]])


def by_pairs(values: np.ndarray, mask: np.ndarray) -> float:
    """The definition: over all pairs, how often the patch's pixel is the larger; ties count half."""
    inside, outside = values[mask][:, None], values[~mask][None]
    return float(((inside > outside) + 0.5 * (inside == outside)).mean())


@settings(max_examples=50, deadline=None)
@given(
    arrays(np.int8, (5, 7), elements=st.integers(-3, 3)),  # few values, so that ties abound
    arrays(np.bool_, (5, 7)).filter(lambda m: m.any() and not m.all()),
)
def test_trojan_auc_is_the_share_of_ordered_pairs(values: np.ndarray, mask: np.ndarray) -> None:
    assert trojan_auc(values, mask) == pytest.approx(by_pairs(np.abs(values), mask), abs=1e-12)
    assert trojan_auc(values, mask, absolute=False) == pytest.approx(by_pairs(values, mask), abs=1e-12)


def test_trojan_auc_is_what_scikit_learn_calls_it() -> None:
    metrics = pytest.importorskip("sklearn.metrics")
    values = np.random.default_rng(0).normal(size=(96, 96)).round(1).astype(np.float32)
    mask = np.zeros((96, 96), bool)
    mask[10:30, 40:65] = True
    assert trojan_auc(values, mask) == pytest.approx(metrics.roc_auc_score(mask.ravel(), np.abs(values).ravel()))


def test_trojan_auc_of_known_cases() -> None:
    assert trojan_auc(np.array([[-5.0, 4.0, 3.0], [2.0, 1.0, 0.0]]), PATCH) == 1.0
    assert trojan_auc(np.array([[0.0, 1.0, -3.0], [2.0, -4.0, 5.0]]), PATCH) == 0.0
    assert trojan_auc(np.zeros((2, 3)), PATCH) == 0.5


def test_float_maps_are_not_rounded() -> None:
    """Half precision maps, and differences below float32's: ranks are exact."""
    tiny = np.array([[1 + 2e-12, 1 + 1e-12, 1.0], [1.0, 1.0, 1.0]])
    assert trojan_auc(tiny, PATCH) == 1.0
    assert trojan_auc(np.array([[3, 2, 1], [1, 0, 0]], np.float16), PATCH) == 1.0


def test_pointing_game() -> None:
    assert pointing_game(np.array([[0.0, -9.0, 3.0], [2.0, 1.0, 0.0]]), PATCH) == 1
    assert pointing_game(np.array([[0.0, -9.0, 3.0], [2.0, 1.0, 0.0]]), PATCH, absolute=False) == 0
    assert pointing_game(np.array([[1.0, 0.0, 1.0], [1.0, 0.0, 1.0]]), PATCH) == 0.25  # one of four equal peaks
    assert pointing_game(np.zeros((2, 3)), PATCH) == pytest.approx(2 / 6)


def test_the_pointing_game_forgives_near_misses() -> None:
    mask = np.zeros((9, 9), bool)
    mask[4, 4] = True
    near = np.zeros((9, 9))
    near[7, 8] = 1  # 3 rows and 4 columns away: 5 pixels
    assert [pointing_game(near, mask, tolerance=t) for t in (0, 4, 5)] == [0, 0, 1]
    with pytest.raises(InputError, match="tolerance"):
        pointing_game(near, mask, tolerance=-1)


@pytest.mark.parametrize("metric", [trojan_auc, pointing_game])
@pytest.mark.parametrize(
    ("values", "mask", "says"),
    [
        (np.zeros((2, 2)), PATCH, "shape"),
        (np.zeros(6), PATCH, "shape"),
        (np.full((2, 3), np.nan), PATCH, "NaN"),
        (np.zeros((2, 3)), np.zeros((2, 3)), "nothing"),
        (np.zeros((2, 3)), np.ones((2, 3)), "everything"),
    ],
)
def test_what_cannot_be_judged_is_said(metric: object, values: np.ndarray, mask: np.ndarray, says: str) -> None:
    with pytest.raises(InputError, match=says):
        metric(values, mask)  # type: ignore[operator]


def test_fidelity_is_what_a_trace_says_of_its_own_sample(tiny: ImageClassifier) -> None:
    sample = sw.Sample.read(Image.effect_noise((32, 32), 90))
    trace = sw.trace(tiny, sample, layers=["3", "7"], sparsity=0.8, solver="fast", augmentations=16)
    found = fidelity(trace, sample)
    assert (found.dense_class, found.sparse_class) == (trace.agreement.dense_class, trace.agreement.sparse_class)
    assert found.kl == pytest.approx(trace.agreement.kl, abs=1e-6)
    assert found.kl > 1e-4
    p, q = (torch.softmax(n.module()(tiny.prepare(sample)).double(), 1)[0] for n in (tiny, trace))
    assert found.kl == pytest.approx(float((p * (p / q).log()).sum()))


def test_fidelity_of_the_dense_network_is_perfect(tiny: ImageClassifier) -> None:
    found = fidelity(tiny, Image.new("RGB", (32, 32), "red"))
    assert found.agrees
    assert found.kl == 0
