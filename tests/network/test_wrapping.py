"""What the errors' sentences say to wrap a module in does what they say. Notebook 02 has the same wrappers."""

from __future__ import annotations

from dataclasses import dataclass
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


@pytest.mark.parametrize(
    "wrapped",
    [
        nn.Sequential(network(classes=1), Then(lambda z: torch.cat([-z, z], 1) / 2)),
        nn.Sequential(network(classes=1), nn.Flatten(0), Then(lambda z: torch.stack([-z, z], 1) / 2)),
        nn.Sequential(Then(lambda x: x.mean(1, keepdim=True)), network(channels=1)),
        nn.Sequential(network(), Then(lambda x: (x, None)), Then(lambda output: output[0])),
        nn.Sequential(network(), Then(lambda x: SimpleNamespace(logits=x)), Then(lambda output: output.logits)),
        nn.Sequential(network(), Then(lambda x: {"logits": x}), Then(lambda output: output["logits"])),
        nn.Sequential(network(), nn.Unflatten(1, (4, 1, 1)), Then(lambda output: output.flatten(1))),
    ],
    ids=["one logit", "one logit, squeezed", "one channel", "tuple", "logits", "dict", "1 × 1"],
)
def test_a_wrapped_model_is_a_classifier_like_any_other(wrapped: nn.Module) -> None:
    classifier = sw.ImageClassifier(wrapped, preprocess=small)
    assert len(classifier.prunable()) == 3
    trace = sw.trace(classifier, PICTURE, sparsity=0.5, augmentations=8)
    assert 0 < trace.kept < trace.total
    assert sw.predict(trace, PICTURE)[0].probability > 0
    assert sw.visualize(trace, "logit:1", steps=2).size == (32, 32)
    assert np.isfinite(sw.saliency(trace, PICTURE, method="lrp")).all()


def test_the_probability_of_two_logits_is_the_sigmoid_of_one() -> None:
    model = network(classes=1).eval()
    classifier = sw.ImageClassifier(
        nn.Sequential(model, Then(lambda z: torch.cat([-z, z], 1) / 2)), class_names=["no", "yes"], preprocess=small
    )
    with torch.no_grad():
        expected = float(model(classifier.prepare(PICTURE)).sigmoid())
    (found,) = (p.probability for p in sw.predict(classifier, PICTURE) if p.name == "yes")
    assert found == pytest.approx(expected, rel=1e-5)


@dataclass
class Answer:
    scores: Any


@pytest.mark.parametrize(
    ("answer", "place"),
    [
        (lambda z: (z, z), "output[0]"),
        (lambda z: ((None, z), z[:, :, None, None]), "output[0][1]"),
        (lambda z: {"aux": {"a": z[0, 0]}, "y": z, "y2": z}, "output['y']"),
        (Answer, "output.scores"),
        (lambda z: Answer(Answer([z])), "output.scores.scores[0]"),
    ],
)
def test_where_the_logits_are_is_said_however_deep(answer: Any, place: str) -> None:
    model = nn.Sequential(network(), Then(answer))
    with pytest.raises(sw.ModelError) as raised:
        sw.ImageClassifier(model, preprocess=small)
    assert str(raised.value).endswith(f"wrap it in a module that gives {place}.")
    taken = eval(f"lambda output: {place}")  # noqa: S307 - what the sentence says
    assert sw.ImageClassifier(nn.Sequential(model, Then(taken)), preprocess=small).prunable() == (
        "0.0.0",
        "0.0.2",
        "0.0.6",
    )
