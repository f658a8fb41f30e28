"""DeepLIFT's rules for norms, products and quotients: they keep the sum and stay bounded."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from attribution.nets import ask, classify, lively, logit, picture
from torch import Tensor, nn

from spade_widgets.attribution import saliency
from spade_widgets.attribution.methods.deeplift_factors import Midpoint, RuledNorm, Scaled, SharedQuotient
from spade_widgets.attribution.operations import Norm
from spade_widgets.attribution.rewrite import record


class ByHand(nn.Module):
    """Layer norm over the channels as networks write it out."""

    def __init__(self, how: str, eps: float = 1e-6) -> None:
        super().__init__()
        self.how, self.eps = how, eps

    def forward(self, x: Tensor) -> Tensor:
        centred = x - x.mean(1, keepdim=True)
        if self.how == "rms":
            return x * torch.rsqrt(x.pow(2).mean(1, keepdim=True) + self.eps)
        variance = (centred**2).mean(1, keepdim=True) + self.eps
        if self.how == "divided":
            return centred / torch.sqrt(variance)
        if self.how == "expanded":
            return centred.div(variance.sqrt().expand_as(centred))
        return centred * {"rsqrt": variance.rsqrt, "power": lambda: variance**-0.5}[self.how]()


class ChannelsLastNorm(nn.LayerNorm):
    """As in ConvNeXt."""

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)


NORMS: dict[str, Callable[[], nn.Module]] = {
    "group": lambda: nn.GroupNorm(4, 8),
    "group of one": lambda: nn.GroupNorm(1, 8, eps=1e-6, affine=False),
    "layer": lambda: ChannelsLastNorm(8, eps=1e-6),
    "layer over the map": lambda: nn.LayerNorm((8, 15, 15)),
    "instance": lambda: nn.InstanceNorm2d(8),
    "instance, affine": lambda: nn.InstanceNorm2d(8, affine=True),
    "rms": lambda: nn.RMSNorm([8, 15, 15]),
    "rms with eps": lambda: nn.RMSNorm([8, 15, 15], eps=1e-6),
    **{f"by hand, {how}": lambda how=how: ByHand(how) for how in ("rms", "divided", "expanded", "rsqrt", "power")},
}  # fmt: skip


class Deep(nn.Module):
    """Norms and convolutions in turn: what one norm's multipliers blow up, the next ones blow up again."""

    def __init__(self, norm: Callable[[], nn.Module], depth: int, bias: bool = False) -> None:
        super().__init__()
        torch.manual_seed(depth)
        self.stem = nn.Conv2d(3, 8, 3, 2, bias=bias)
        self.norms = nn.ModuleList(norm() for _ in range(depth))
        self.convs = nn.ModuleList(nn.Conv2d(8, 8, 3, padding=1, bias=bias) for _ in range(depth))
        self.fc = nn.Linear(8, 5)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        for norm, conv in zip(self.norms, self.convs, strict=True):
            x = conv(norm(x))
        return self.fc(x.relu().mean((2, 3)))


@pytest.mark.parametrize("depth", [1, 24])
@pytest.mark.parametrize("name", NORMS)
def test_the_sum_is_kept_and_the_map_stays_bounded(name: str, depth: int) -> None:
    if name.startswith("instance"):
        # A channel that is the same everywhere is nothing but rounding after its mean is taken off, and each norm
        # multiplies that by 1/√ε: after seven, the baseline's logit itself is noise.
        depth = min(depth, 4)
    for net in (Deep(NORMS[name], depth).eval(), lively(Deep(NORMS[name], depth, bias=True))):
        classifier = classify(net)
        query = ask(classifier, 3)
        whole = logit(classifier, query.x, 3)
        gradients = saliency(classifier, picture(), 3, "input_x_gradient").astype(np.float64)
        for baseline in ("mean", "black", "blur"):
            change = whole - logit(classifier, query.baseline(baseline), 3)
            found = saliency(classifier, picture(), 3, "deeplift", baseline=baseline).astype(np.float64)
            magnitudes = float(np.abs(found).sum())
            assert float(found.sum()) == pytest.approx(change, rel=1e-4, abs=1e-6 * magnitudes), baseline
            assert magnitudes < 100 * (1 + float(np.abs(gradients).sum())), baseline


SINGLE = {
    "layer": (nn.LayerNorm(6), (2, 4, 6)),
    "layer over two": (nn.LayerNorm((3, 4), elementwise_affine=False), (2, 5, 3, 4)),
    "group": (nn.GroupNorm(2, 6), (2, 6, 3, 3)),
    "instance": (nn.InstanceNorm2d(6, affine=True), (2, 6, 3, 3)),
    "rms": (nn.RMSNorm(6), (2, 4, 6)),
    "rms over two": (nn.RMSNorm((3, 4), eps=1e-3), (2, 5, 3, 4)),
    "batch without statistics": (nn.BatchNorm2d(6, track_running_stats=False), (2, 6, 3, 3)),
}


def ruled(name: str) -> tuple[nn.Module, RuledNorm, tuple[int, ...]]:
    norm, shape = SINGLE[name]
    norm = norm.double().eval()
    torch.manual_seed(0)
    for parameter in norm.parameters():
        parameter.data = torch.randn(parameter.shape, dtype=torch.float64)
    (call,) = record(nn.Sequential(norm), torch.randn(shape, dtype=torch.float64), "the norm").calls
    assert isinstance(call, Norm)
    return norm, RuledNorm(call), shape


@pytest.mark.parametrize("name", SINGLE)
def test_a_ruled_norm_is_the_norm_of_each_image_alone(name: str) -> None:
    norm, rule, shape = ruled(name)
    x = torch.randn(shape, dtype=torch.float64)
    assert torch.allclose(rule(x), torch.cat([norm(x[:1]), norm(x[1:])]), atol=1e-10)


@pytest.mark.parametrize("scale", [0.0, 1e-9, 1e-3, 1.0, 1e3])
@pytest.mark.parametrize("name", SINGLE)
def test_a_norms_multipliers_are_bounded_whatever_the_baseline(name: str, scale: float) -> None:
    norm, rule, shape = ruled(name)
    x = torch.randn(shape, dtype=torch.float64)
    x[1] = 0.3 + scale * x[1]
    x.requires_grad_()
    out = rule(x)
    direction = torch.randn_like(out[:1])
    (multipliers,) = torch.autograd.grad((out[:1] * direction).sum(), x)
    x = x.detach()
    change = float(((norm(x[:1]) - norm(x[1:])) * direction).sum().detach())
    assert float((multipliers[:1] * (x[:1] - x[1:])).sum()) == pytest.approx(change, rel=1e-8, abs=1e-8)
    weight = max([float(p.detach().abs().max()) for p in norm.parameters()], default=1.0)
    spread = float(x[0].std())
    assert float(multipliers.norm()) < 10 * weight * float(direction.norm()) / spread


@pytest.mark.parametrize("name", SINGLE)
def test_where_sample_and_baseline_meet_the_rule_is_the_gradient(name: str) -> None:
    norm, rule, shape = ruled(name)
    one = torch.randn((1, *shape[1:]), dtype=torch.float64)
    x = one.repeat(2, *[1] * (len(shape) - 1)).requires_grad_()
    direction = torch.randn_like(one)
    (multipliers,) = torch.autograd.grad((rule(x)[:1] * direction).sum(), x)
    one.requires_grad_()
    (gradient,) = torch.autograd.grad((norm(one) * direction).sum(), one)
    assert torch.allclose(multipliers[:1], gradient, atol=1e-8)


@pytest.mark.parametrize("rule", [Midpoint(), Scaled(0), Scaled(1), SharedQuotient()], ids=str)
def test_what_has_two_factors_shares_their_whole_change(rule: nn.Module) -> None:
    torch.manual_seed(1)
    for small in (1.0, 1e-6):
        a, b = (torch.rand(2, 5, dtype=torch.float64) + 0.1 for _ in range(2))
        b[1] *= small
        a.requires_grad_()
        b.requires_grad_()
        out = rule(a, b)
        multipliers = torch.autograd.grad(out[0].sum(), (a, b))
        shared = sum((m[0] * (v[0] - v[1])).sum() for m, v in zip(multipliers, (a, b), strict=True))
        assert float(shared.detach()) == pytest.approx(float((out[0] - out[1]).sum().detach()), rel=1e-9)
