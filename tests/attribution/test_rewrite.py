"""Recorded passes do what the network does, by modules that share its weights and can be hooked."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from attribution.nets import HARD, SIZE, Attentive, Functional, ReusedReLU, hard, lively, plain
from torch import Tensor, nn

from spade_widgets.attribution.canonizers import find_gates, merge_batch_norms
from spade_widgets.attribution.operations import Add, BatchNorm, Pointwise, Product, Rectifier, Reshape, Scale, Squash
from spade_widgets.attribution.rewrite import record
from spade_widgets.classifier import shared_copy
from spade_widgets.errors import ModelError


class Writes(nn.Module):
    """Writes into tensors in every way there is."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.fc = nn.Conv2d(3, 6, 3, padding=1), nn.Linear(6, 5)

    def forward(self, x: Tensor) -> Tensor:
        x = self.conv(x)
        kept = x.clone()
        x.mul_(2).add_(1)  # not bound to a name again
        x[:, :2] = kept[:, 1:3]
        padded = torch.zeros(*x.shape[:2], x.shape[2] + 2, x.shape[3])
        padded[:, :, 1:-1] = x  # a constant that becomes the image's
        x = F.hardtanh(padded, 0.0, 6.0, True)
        x = F.leaky_relu(x - 1, 0.1, True)
        x = torch.sub(x, kept.mean((2, 3), keepdim=True), alpha=2)
        x = F.dropout(x, 0.5, False, True)
        return self.fc(x.flatten(2).mean(2))


class Chunks(nn.Module):
    """Several outputs of one call, shuffled channels, shapes of the batch in the code."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.fc = nn.Conv2d(3, 8, 3), nn.Linear(8, 5)

    def forward(self, x: Tensor) -> Tensor:
        n = x.shape[0]
        a, b = self.conv(x).chunk(2, dim=1)
        c, *_ = torch.split(torch.relu(a), 4, 1)
        x = torch.cat((c, b.tanh()), 1)
        x = x.view(n, 2, 4, *x.shape[2:]).transpose(1, 2).contiguous().view(n, 8, -1)
        return self.fc(x.sum(-1) / 100)


class Loops(nn.Module):
    """What `torch.fx` cannot trace."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.fc = nn.Conv2d(3, 3, 3, padding=1), nn.Linear(3, 5)

    def forward(self, x: Tensor) -> Tensor:
        while x.shape[-1] > 4:
            x = F.avg_pool2d(F.relu(self.conv(x)), 2)
        return self.fc(x.amax((2, 3))) if x.ndim == 4 else x


NETS: dict[str, Any] = {
    "plain": plain, "writes": Writes, "chunks": Chunks, "loops": Loops, "attention": Attentive,
    **{name: lambda name=name: hard(name) for name in HARD},
}  # fmt: skip


@pytest.mark.parametrize("name", NETS)
@pytest.mark.parametrize("batch", [1, 2])
def test_a_recorded_pass_gives_what_the_network_gives(name: str, batch: int) -> None:
    net = NETS[name]().eval().requires_grad_(False)
    x, other = torch.randn(2, batch, 3, SIZE, SIZE)
    recorded = record(net, x, "the net")
    for images in (x, other):
        before = images.clone()
        assert torch.allclose(recorded(images), net(images.clone()), rtol=1e-5, atol=1e-6)
        assert torch.equal(images, before)


@pytest.mark.parametrize("name", NETS)
def test_its_gradient_is_the_networks(name: str) -> None:
    net = NETS[name]().eval().requires_grad_(False)
    x = torch.randn(1, 3, SIZE, SIZE)
    recorded = record(net, x, "the net")
    gradients = []
    for module, inputs in ((recorded, x.clone().requires_grad_()), (net, x.clone().requires_grad_())):
        module(inputs * 1)[0, 2].backward()  # a leaf may not be written into
        gradients.append(inputs.grad)
    assert torch.allclose(gradients[0], gradients[1], rtol=1e-4, atol=1e-7)


def test_every_call_is_a_module_of_its_own() -> None:
    net = hard("reused ReLU")
    recorded = record(net, torch.randn(1, 3, SIZE, SIZE), "the net")
    relus = [call for call in recorded.calls if isinstance(call, nn.ReLU)]
    assert len(relus) == len({id(relu) for relu in relus}) == 3
    assert not any(relu.inplace for relu in relus)
    assert sum(isinstance(call, Add) for call in recorded.calls) == 2


@pytest.mark.parametrize(
    ("name", "kinds"),
    [
        ("gated", {Rectifier: 3, Squash: 1, Product: 1, Add: 1}),
        ("channels last", {Pointwise: 2, Rectifier: 1, Scale: 1, Add: 1, Reshape: 2}),
    ],
)
def test_operations_are_known_by_what_they_compute(name: str, kinds: dict[type, int]) -> None:
    recorded = record(hard(name), torch.randn(1, 3, SIZE, SIZE), "the net")
    assert {kind: sum(type(call) is kind for call in recorded.calls) for kind in kinds} == kinds


def test_weights_are_shared() -> None:
    net = hard("functional")
    assert isinstance(net, Functional)
    recorded = record(net, torch.randn(1, 3, SIZE, SIZE), "the net")
    first = next(call for call in recorded.calls if isinstance(call, nn.Conv2d))
    assert first.weight.data_ptr() == net.a.weight.data_ptr()


@pytest.mark.parametrize("name", HARD)
def test_merging_batch_norms_changes_no_output_and_no_shared_tensor(name: str) -> None:
    net = hard(name)
    before = {key: value.clone() for key, value in net.state_dict().items()}
    versions = {key: value._version for key, value in net.state_dict().items()}
    x = torch.randn(1, 3, SIZE, SIZE)
    recorded = record(shared_copy(net), x, "the net")
    merge_batch_norms(recorded)
    with torch.no_grad():
        assert torch.allclose(recorded(x), net(x), rtol=1e-4, atol=1e-5)
    for key, value in net.state_dict().items():
        assert torch.equal(value, before[key])
        assert value._version == versions[key]


def test_batch_norms_behind_a_convolution_are_gone_and_others_stay() -> None:
    for net, left in ((lively(ReusedReLU()), 0), (lively(Functional()), 1)):
        recorded = record(net, torch.randn(1, 3, SIZE, SIZE), "the net")
        merge_batch_norms(recorded)
        assert sum(isinstance(call, BatchNorm) for call in recorded.calls) == left


def test_the_gate_is_the_squashed_side() -> None:
    recorded = record(hard("gated"), torch.randn(1, 3, SIZE, SIZE), "the net")
    find_gates(recorded)
    assert [call.gate for call in recorded.calls if isinstance(call, Product)] == [0]


class Escapes(nn.Module):
    """Leaves PyTorch half-way, or wholly."""

    def __init__(self, wholly: bool) -> None:
        super().__init__()
        self.conv, self.fc, self.wholly = nn.Conv2d(3, 4, 3), nn.Linear(4, 5), wholly

    def forward(self, x: Tensor) -> Tensor:
        x = self.conv(x).mean((2, 3))
        y = torch.from_numpy(np.sinh(self.fc(x).detach().numpy()))
        return y if self.wholly else y + self.fc(x)


@pytest.mark.parametrize("wholly", [False, True])
def test_what_cannot_be_followed_is_refused(wholly: bool) -> None:
    with pytest.raises(ModelError, match=r"needs to follow each operation of the net, and cannot"):
        record(Escapes(wholly).eval(), torch.randn(1, 3, SIZE, SIZE), "the net")
