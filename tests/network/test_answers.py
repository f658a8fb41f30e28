"""Whatever a model answers with, the probabilities shown are its own, and every way of asking works on it."""

from __future__ import annotations

import logging
from collections import OrderedDict
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from network.small import Then, network
from torch import Tensor, nn

import spade_widgets as sw


def small(image: Any) -> Tensor:
    return torch.from_numpy(np.asarray(image.resize((32, 32)), dtype=np.float32) / 127.5 - 1).permute(2, 0, 1)


PICTURE = sw.Sample.read(np.random.default_rng(0).integers(0, 256, (32, 32, 3), dtype=np.uint8))
#: Name → what stands behind the logits (n, 4), and how that is probabilities.
ENDS: dict[str, Any] = {
    "softmax": (nn.Softmax(1), lambda out: out),
    "softmax, a function": (Then(lambda z: z.softmax(1)), lambda out: out),
    "softmax in a dict": (nn.Sequential(nn.Softmax(-1), Then(lambda p: {"logits": p})), lambda out: out["logits"]),
    "probabilities made to sum to one": (Then(lambda z: z.sigmoid() / z.sigmoid().sum(1, True)), lambda out: out),
    "log-softmax": (nn.LogSoftmax(1), Tensor.exp),
    "log-softmax, a function": (Then(lambda z: z.log_softmax(1)), Tensor.exp),
    "softmax without gradients": (Then(torch.no_grad()(lambda z: z.softmax(1))), lambda out: out),
    "per cent": (Then(lambda z: 100 * z.softmax(1)), lambda out: out / 100),
    "negative log-softmax": (Then(lambda z: -z.log_softmax(1)), lambda out: (-out).exp()),
    "tuple": (Then(lambda z: (z, None)), lambda out: out[0].softmax(1)),
    "tuple with maps": (Then(lambda z: (None, z, z[:, :, None, None])), lambda out: out[1].softmax(1)),
    "object": (Then(lambda z: SimpleNamespace(loss=None, logits=z)), lambda out: out.logits.softmax(1)),
    "dict with features": (Then(lambda z: OrderedDict(logits=z, pooled=z)), lambda out: out["logits"].softmax(1)),
    "dict": (Then(lambda z: {"y": z}), lambda out: out["y"].softmax(1)),
    "1 × 1": (nn.Unflatten(1, (4, 1, 1)), lambda out: out.flatten(1).softmax(1)),
    "squeezed": (Then(torch.squeeze), lambda out: out[None].softmax(1)),
}
#: Name → what stands behind one number z (n, 1), and how that is a probability of yes.
BINARY: dict[str, Any] = {
    "one logit": (nn.Identity(), Tensor.sigmoid),
    "one logit, squeezed": (nn.Flatten(0), Tensor.sigmoid),
    "one logit of an object": (Then(lambda z: SimpleNamespace(logits=z)), lambda out: out.logits.sigmoid()),
    "one sigmoid": (nn.Sigmoid(), lambda out: out),
    "one sigmoid, a function": (Then(torch.sigmoid), lambda out: out),
    "one sigmoid, written out": (Then(lambda z: 1 / (1 + (-z).exp())), lambda out: out),
    "one sigmoid without gradients": (Then(torch.no_grad()(torch.sigmoid)), lambda out: out),
    "one sigmoid, squeezed": (nn.Sequential(nn.Sigmoid(), nn.Flatten(0)), lambda out: out),
}


def used(classifier: sw.ImageClassifier, *, gradients: bool = True) -> None:
    """Everything that can be asked of a classifier can be asked of this one, and of its trace."""
    assert classifier.prunable() == ("0.0", "0.2", "0.6")
    trace = sw.trace(classifier, PICTURE, sparsity=0.5, augmentations=8)
    assert 0 < trace.kept < trace.total
    for asked in (classifier, trace):
        assert sum(p.probability for p in sw.predict(asked, PICTURE)) == pytest.approx(1, abs=1e-3)
        if not gradients:
            continue
        assert sw.visualize(asked, "logit:1", steps=2).size == (32, 32)
        assert np.abs(sw.saliency(asked, PICTURE, 1, method="smoothgrad")).max() > 0


@pytest.mark.parametrize("end", ENDS)
def test_probabilities_are_the_models_own(end: str) -> None:
    last, read = ENDS[end]
    model = nn.Sequential(network(), last).eval()
    classifier = sw.ImageClassifier(model, preprocess=small)
    with torch.no_grad():
        expected = read(model(classifier.prepare(PICTURE)))[0]
    shown = {p.index: p.probability for p in sw.predict(classifier, PICTURE)}
    assert [shown[i] for i in range(4)] == pytest.approx(expected.tolist(), abs=1e-5)
    used(classifier, gradients="without gradients" not in end)


@pytest.mark.parametrize("end", BINARY)
def test_one_number_is_two_classes(end: str) -> None:
    last, read = BINARY[end]
    model = nn.Sequential(network(classes=1), last).eval()
    classifier = sw.ImageClassifier(model, preprocess=small, class_names=["no", "yes"])
    with torch.no_grad():
        expected = float(read(model(classifier.prepare(PICTURE))))
    shown = {p.name: p.probability for p in sw.predict(classifier, PICTURE)}
    assert shown == pytest.approx({"yes": expected, "no": 1 - expected}, abs=1e-5)
    used(classifier, gradients="without gradients" not in end)


@pytest.mark.parametrize("end", ["softmax", "log-softmax", "tuple", "object", "1 × 1"])
@pytest.mark.parametrize("method", ["lrp", "deeplift"])
def test_rules_reach_through_the_end(end: str, method: str) -> None:
    plain = sw.ImageClassifier(network(), preprocess=small)
    ended = sw.ImageClassifier(nn.Sequential(network(), ENDS[end][0]), preprocess=small)
    expected = sw.saliency(plain, PICTURE, 1, method=method)
    np.testing.assert_allclose(sw.saliency(ended, PICTURE, 1, method=method), expected, rtol=1e-4, atol=1e-5)


def test_what_is_taken_is_said(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        found = sw.ImageClassifier(nn.Sequential(network(), nn.Softmax(1)), preprocess=small, name="mine").answer
        assert (found.kind, found.taken_off) == ("softmax", "1")
        assert "mine ends in a softmax" in caplog.text
        caplog.clear()
        assert not sw.ImageClassifier(network(), preprocess=small).answer.said
        assert not caplog.text


def test_a_softmax_that_is_used_twice_stays() -> None:
    """Taking it off would take it off inside, too."""

    class Gated(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.body, self.soft = network(), nn.Softmax(1)

        def forward(self, x: Tensor) -> Tensor:
            z = self.body(x)
            return self.soft(z * self.soft(z))

    model = Gated().eval()
    classifier = sw.ImageClassifier(model, preprocess=small)
    assert classifier.answer.taken_off is None
    with torch.no_grad():
        expected = model(classifier.prepare(PICTURE))[0]
    shown = {p.index: p.probability for p in sw.predict(classifier, PICTURE)}
    assert [shown[i] for i in range(4)] == pytest.approx(expected.tolist(), abs=1e-5)


SQUASHED = [
    nn.Sigmoid(),
    nn.Hardsigmoid(),
    Then(torch.sigmoid),
    Then(torch.no_grad()(torch.sigmoid)),
    Then(lambda z: 1 / (1 + (-z).exp())),
    Then(lambda z: z.sigmoid().clamp(1e-6, 1 - 1e-6)),
    Then(lambda z: (z.tanh() + 1) / 2),
]


@pytest.mark.parametrize("end", SQUASHED)
def test_a_probability_for_each_class_is_refused_and_its_remedy_works(end: nn.Module) -> None:
    model = nn.Sequential(network(), end)
    with pytest.raises(sw.ModelError, match=r"a sigmoid for each class by itself.* output\[:, i:i \+ 1\]"):
        sw.ImageClassifier(model, preprocess=small)
    one = sw.ImageClassifier(nn.Sequential(model, Then(lambda out: out[:, 2:3])), preprocess=small)
    with torch.no_grad():
        expected = float(model(one.prepare(PICTURE))[0, 2])
    assert {p.index: p.probability for p in sw.predict(one, PICTURE)}[1] == pytest.approx(expected, abs=1e-5)


@pytest.mark.parametrize("end", [torch.abs, torch.relu, lambda z: (z + 3).tanh(), lambda z: z * 0 + 0.3])
@pytest.mark.parametrize("scale", [0.0, 0.01, 1.0])
@pytest.mark.parametrize("classes", [2, 3, 7])
def test_small_logits_are_no_probabilities(classes: int, scale: float, end: Any) -> None:
    model = nn.Sequential(network(classes=classes, scale=scale), Then(end))
    assert sw.ImageClassifier(model, preprocess=small).answer.kind == "logits"


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_a_softmax_is_seen_in_any_type(dtype: torch.dtype) -> None:
    model = nn.Sequential(network(), nn.Softmax(1)).to(dtype)
    assert sw.ImageClassifier(model, preprocess=small).answer.kind == "softmax"
