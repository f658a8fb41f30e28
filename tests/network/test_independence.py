"""Networks whose answer on an image depends on the others are run one image at a time, or refused."""

from __future__ import annotations

import logging
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import spade_widgets as sw
from spade_widgets.evidence.curves import insertion
from spade_widgets.network.independence import same_logits
from spade_widgets.pruning.calibration.augment import augment


def small(image: Any) -> Tensor:
    return torch.from_numpy(np.asarray(image.resize((24, 24)), dtype=np.float32) / 127.5 - 1).permute(2, 0, 1)


class Net(nn.Module):
    """A network with something between its features and its head."""

    def __init__(self, between: Any = None, norm: nn.Module | None = None) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.conv, self.norm, self.fc = nn.Conv2d(3, 8, 3), norm or nn.Identity(), nn.Linear(8, 3)
        self.between = between

    def forward(self, x: Tensor) -> Tensor:
        x = self.norm(self.conv(x)).relu().mean((2, 3))
        return self.fc(x if self.between is None else self.between(x))


DEPENDENT = {
    "statistics of the batch": lambda: Net(norm=nn.BatchNorm2d(8, track_running_stats=False)),
    "mean of the batch": lambda: Net(lambda x: x - 0.2 * x.mean(0)),
    "sum over the batch": lambda: Net(lambda x: x / x.norm()),
    "turned round": lambda: Net(lambda x: x.flip(0)),
    "shuffled": lambda: Net(lambda x: x[torch.randperm(len(x))]),
    "the first alone": lambda: Net(lambda x: x[:1]),
    "one image": lambda: Net(lambda x: x.view(1, 8)),
}
INDEPENDENT = {
    "plain": Net,
    "a loop": lambda: Net(lambda x: torch.stack([row * 2 for row in x])),
    "batch norm": lambda: Net(norm=nn.BatchNorm2d(8)),
    "instance norm": lambda: Net(norm=nn.InstanceNorm2d(8)),
}
PICTURE = sw.Sample.read(np.random.default_rng(0).integers(0, 256, (24, 24, 3), dtype=np.uint8))


@pytest.mark.parametrize("name", INDEPENDENT)
def test_independent_images_go_together(name: str) -> None:
    made = sw.ImageClassifier(INDEPENDENT[name](), preprocess=small)
    assert made.independent
    assert [len(batch) for batch in augment(made, PICTURE, 5, batch=4)] == [4, 1]


@pytest.mark.filterwarnings("ignore:The map of")  # of how near 50 steps come to the sum
@pytest.mark.parametrize("name", DEPENDENT)
def test_dependent_ones_go_one_by_one(name: str, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        made = sw.ImageClassifier(DEPENDENT[name](), preprocess=small)
    assert not made.independent
    assert "one image at a time, which is slow" in caplog.text
    assert [len(batch) for batch in augment(made, PICTURE, 3, batch=4)] == [1, 1, 1]
    for method in ("integrated_gradients", "gradient_shap", "smoothgrad", "lime", "occlusion", "scorecam"):
        one, many = (sw.saliency(made, PICTURE, 0, method=method, batch=batch) for batch in (1, 8))
        assert np.array_equal(one, many), method
    one, many = (
        insertion(made, PICTURE, np.arange(576.0).reshape(24, 24), 0, steps=6, batch=b).probability for b in (1, 8)
    )
    assert np.array_equal(one, many)
    assert sw.trace(made, PICTURE, sparsity=0.5, augmentations=6).kept > 0
    assert sw.visualize(made, "logit:1", steps=2).size == (24, 24)


@pytest.mark.parametrize("name", DEPENDENT)
def test_what_needs_two_at_once_is_refused(name: str) -> None:
    made = sw.ImageClassifier(DEPENDENT[name](), preprocess=small)
    with pytest.raises(sw.ModelError, match="sends two images through Net at once"):
        sw.saliency(made, PICTURE, 0, method="deeplift")
    with pytest.raises(sw.InputError, match="several pictures cannot be made at once: leave count at 1"):
        sw.visualize(made, "logit:1", steps=2, count=2)


@pytest.mark.parametrize("name", ["statistics of the batch", "mean of the batch", "sum over the batch"])
def test_integrated_gradients_keep_their_sum(name: str) -> None:
    made = sw.ImageClassifier(DEPENDENT[name](), preprocess=small)
    x = made.prepare(PICTURE)
    with torch.no_grad():
        module, black = made.module(), made.normalize(torch.zeros_like(x))
        wanted = float((module(x) - module(black))[0, 0])
    found = sw.saliency(made, PICTURE, 0, method="integrated_gradients", steps=400)
    assert float(found.sum()) == pytest.approx(wanted, rel=0.05, abs=5e-3)


def test_buffers_that_hold_infinity_are_no_broken_weights() -> None:
    class Masked(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.net, self.head = Net(), nn.Linear(3, 3)
            self.register_buffer("mask", torch.full((3, 3), -torch.inf).triu(1))
            self.register_buffer("least", torch.tensor(torch.inf))

        def forward(self, x: Tensor) -> Tensor:
            return self.head(self.net(x)) @ (self.mask.exp())

    assert sw.ImageClassifier(Masked(), preprocess=small).independent
    broken = Masked()
    with torch.no_grad():
        broken.head.weight[0, 0] = torch.nan
    with pytest.raises(sw.ModelError, match=r"its weights 'head\.weight' hold NaN"):
        sw.ImageClassifier(broken, preprocess=small)


def test_the_callers_random_numbers_are_not_drawn() -> None:
    torch.manual_seed(5)
    expected = torch.rand(3)
    model = DEPENDENT["the first alone"]()
    torch.manual_seed(5)
    sw.ImageClassifier(model, preprocess=small)
    assert torch.equal(torch.rand(3), expected)


def test_logits_that_are_not_finite_are_compared_too() -> None:
    odd = torch.tensor([[1.0, float("nan"), float("inf"), -float("inf")]])
    assert same_logits(odd, odd.clone())
    assert same_logits(torch.full((1, 3), float("nan")), torch.full((1, 3), float("nan")))
    assert not same_logits(torch.tensor([[1.0, 2.0]]), torch.tensor([[1.0, float("nan")]]))
    assert not same_logits(odd + 1, odd)
