"""What a forward pass multiplies with which weights, against references made by hand."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils import parametrizations

from spade_widgets.network.products import Survey, Watch
from spade_widgets.network.weights import Product, weight
from spade_widgets.pruning.calibration.gram_sums import gram_sum

OTHERWISE = "used by {}, which is neither a convolution nor a linear layer"


def watched(module: nn.Module, *inputs: Tensor, layers: set[str] | None = None) -> dict[str, list[Product]]:
    """Layer → its products in a forward pass, which is checked to give what an unwatched one does."""
    seen: dict[str, list[Product]] = {}
    module = module.double().eval()
    with torch.inference_mode():
        expected = module(*inputs)
        with Watch(module, lambda name, product: seen.setdefault(name, []).append(product), layers):
            got = module(*inputs)
    torch.testing.assert_close(got, expected, rtol=1e-12, atol=1e-12)
    return seen


def survey(module: nn.Module, *inputs: Tensor) -> Survey:
    with torch.no_grad(), Survey(module.eval()) as seen:
        module(*inputs)
    return seen


def summed(products: list[Product]) -> tuple[Tensor, int]:
    """Σ X Xᵀ and the number of columns."""
    parts = [gram_sum(product) for product in products]
    return torch.stack([total for total, _ in parts]).sum(0), sum(columns for _, columns in parts)


def tokens(x: Tensor) -> Tensor:
    """Σ X Xᵀ of a linear layer's inputs (…, c)."""
    rows = x.reshape(-1, x.shape[-1])
    return rows.T @ rows


CONVOLUTIONS: dict[str, tuple[Callable[..., nn.Module], dict[str, Any], tuple[int, ...]]] = {
    "1d": (nn.Conv1d, {"kernel_size": 3, "stride": 2, "padding": 1}, (2, 4, 11)),
    "1d, grouped, circular": (
        nn.Conv1d,
        {"kernel_size": 4, "padding": 2, "groups": 2, "padding_mode": "circular"},
        (2, 4, 9),
    ),
    "1d, same, even kernel": (nn.Conv1d, {"kernel_size": 4, "padding": "same"}, (2, 4, 9)),
    "1d, unbatched": (nn.Conv1d, {"kernel_size": 3}, (4, 9)),
    "2d, same, dilated": (nn.Conv2d, {"kernel_size": (2, 3), "padding": "same", "dilation": (3, 2)}, (2, 4, 8, 9)),
    "2d, valid": (nn.Conv2d, {"kernel_size": 3, "padding": "valid"}, (2, 4, 8, 9)),
    "2d, reflect": (nn.Conv2d, {"kernel_size": 3, "padding": (1, 2), "padding_mode": "reflect"}, (2, 4, 8, 9)),
    "2d, unbatched": (nn.Conv2d, {"kernel_size": 3, "padding": 1}, (4, 8, 9)),
    "3d": (nn.Conv3d, {"kernel_size": (2, 3, 1), "stride": (1, 2, 1), "padding": (1, 0, 0)}, (2, 4, 5, 6, 3)),
    "3d, depthwise": (nn.Conv3d, {"kernel_size": 2, "groups": 4, "dilation": 2}, (2, 4, 5, 6, 4)),
}


@pytest.mark.filterwarnings("ignore:Using padding='same' with even kernel lengths")
@pytest.mark.parametrize(("layer", "options", "shape"), CONVOLUTIONS.values(), ids=CONVOLUTIONS)
def test_convolutions(layer: Callable[..., nn.Module], options: dict[str, Any], shape: tuple[int, ...]) -> None:
    module = nn.ModuleDict({"conv": layer(4, 8, **options)}).double()
    module.forward = module["conv"].forward
    x = torch.randn(*shape, dtype=torch.float64)
    (product,) = watched(module, x)["conv"]
    assert product.input.ndim == product.weight.ndim
    # A convolution whose weights are one-hot hands out the patches that it sees.
    groups, side = options.get("groups", 1), product.weight[0].numel()
    probe = layer(4, groups * side, bias=False, **options).double()
    eye = torch.eye(side, dtype=torch.float64).repeat(groups, 1)
    probe.weight = nn.Parameter(eye.view_as(probe.weight))  # type: ignore[operator]
    out = probe(x).detach()
    patches = (out if out.ndim == probe.weight.ndim else out[None]).transpose(0, 1).reshape(groups, side, -1)  # type: ignore[operator]
    total, columns = summed([product])
    assert columns == patches.shape[2]
    torch.testing.assert_close(total, patches @ patches.transpose(1, 2))


class Functions(nn.Module):
    """No layer at all; arguments by name and by place."""

    def __init__(self) -> None:
        super().__init__()
        self.kernel, self.mix = nn.Parameter(torch.randn(6, 3, 2, 2)), nn.Parameter(torch.randn(5, 6))
        self.bias = nn.Parameter(torch.randn(5))

    def forward(self, x: Tensor) -> Tensor:
        x = F.conv2d(x, weight=self.kernel, padding="same", dilation=3)
        return F.linear(weight=self.mix, input=torch.conv2d(x, self.kernel[:, :1].repeat(1, 6, 1, 1)).mean((2, 3)))


def test_functions_with_parameters_of_no_layer() -> None:
    torch.manual_seed(0)
    module, x = Functions(), torch.randn(2, 3, 7, 8, dtype=torch.float64)
    seen = survey(module.float(), x.float())
    assert seen.prunable() == ("mix",)
    assert seen.left_dense() == {"kernel": "also " + OTHERWISE.format("indexing")}
    products = watched(module, x)
    assert set(products) == {"kernel", "mix"}
    assert products["kernel"][0].padding == (1, 1)
    assert products["kernel"][0].input.shape == (2, 3, 8, 9)
    assert set(watched(module, x, layers={"mix"})) == {"mix"}


class Shared(nn.Module):
    """A weight in two linear layers, and a convolution that runs three times."""

    def __init__(self) -> None:
        super().__init__()
        self.one, self.two = nn.Linear(4, 4), nn.Linear(4, 4, bias=False)
        self.two.weight = self.one.weight
        self.conv = nn.Conv2d(4, 4, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        for _ in range(3):
            x = self.conv(x).tanh()
        return self.two(self.one(x.mean((2, 3))))


def test_every_use_of_a_weight_is_counted() -> None:
    module, x = Shared(), torch.randn(2, 4, 5, 6, dtype=torch.float64)
    products = watched(module, x)
    assert {name: len(uses) for name, uses in products.items()} == {"conv": 3, "one": 2}
    with torch.no_grad():
        maps = [x]
        for _ in range(3):
            maps.append(module.conv(maps[-1]).tanh())
        means = maps[-1].mean((2, 3))
        linear = torch.stack([means, module.one(means)])
    torch.testing.assert_close(summed(products["one"])[0][0], tokens(linear))
    assert summed(products["one"])[1] == 4
    patches = torch.cat([F.unfold(x, 3, padding=1) for x in maps[:3]])
    torch.testing.assert_close(summed(products["conv"])[0][0], torch.einsum("ncp,ndp->cd", patches, patches))


class Attention(nn.Module):
    def __init__(self, **options: Any) -> None:
        super().__init__()
        self.attention = nn.MultiheadAttention(8, 2, **options)
        for bias in (self.attention.in_proj_bias, self.attention.out_proj.bias):
            nn.init.normal_(bias)  # they start as zeros

    def forward(self, query: Tensor, key: Tensor | None = None, value: Tensor | None = None) -> Tensor:
        key = query if key is None else key
        attended: Tensor = self.attention(query, key, key if value is None else value)[0]
        return attended


def attended(attention: nn.MultiheadAttention, query: Tensor, key: Tensor, value: Tensor) -> Tensor:
    """What the last projection is given, written out: all (n, tokens, c)."""
    if attention._qkv_same_embed_dim:
        weights = attention.in_proj_weight.chunk(3)
    else:
        weights = (attention.q_proj_weight, attention.k_proj_weight, attention.v_proj_weight)
    biases = attention.in_proj_bias.chunk(3)
    q, k, v = (
        (x @ w.T + b).unflatten(2, (2, 4)).transpose(1, 2)
        for x, w, b in zip((query, key, value), weights, biases, strict=True)
    )
    return ((q @ k.mT / 2).softmax(-1) @ v).transpose(1, 2).flatten(2)


@pytest.mark.parametrize("batch_first", [True, False])
def test_self_attention(batch_first: bool) -> None:
    module, x = Attention(batch_first=batch_first), torch.randn(3, 5, 8, dtype=torch.float64)
    products = watched(module, x if batch_first else x.transpose(0, 1))
    assert list(products) == ["attention.in_proj_weight", "attention.out_proj"]
    total, columns = summed(products["attention.in_proj_weight"])
    assert (total.shape, columns) == ((1, 8, 8), 15)
    torch.testing.assert_close(total[0], tokens(x))
    total, columns = summed(products["attention.out_proj"])
    assert columns == 15
    torch.testing.assert_close(total[0], tokens(attended(module.attention, x, x, x).detach()))


def test_attention_on_other_tokens() -> None:
    """Three groups, all over as many columns as the longest has."""
    module = Attention(batch_first=True)
    query, key = (torch.randn(3, n, 8, dtype=torch.float64) for n in (2, 7))
    products = watched(module, query, key)
    (packed,) = products["attention.in_proj_weight"]
    assert packed.groups == 3
    total, columns = summed([packed])
    assert columns == 21
    torch.testing.assert_close(total, torch.stack([tokens(query), tokens(key), tokens(key)]))
    expected = attended(module.attention, query, key, key).detach()
    torch.testing.assert_close(summed(products["attention.out_proj"])[0][0], tokens(expected))
    # In the layer's own way, queries alone, (tokens, c).
    with torch.no_grad():
        total, columns = summed(watched(Attention(), query[0], key[0])["attention.in_proj_weight"])
    assert columns == 7
    torch.testing.assert_close(total, torch.stack([tokens(query[0]), tokens(key[0]), tokens(key[0])]))


def test_attention_with_separate_projections() -> None:
    module = Attention(batch_first=True, kdim=6, vdim=5)
    query, key, value = (torch.randn(2, n, c, dtype=torch.float64) for n, c in ((3, 8), (4, 6), (4, 5)))
    products = watched(module, query, key, value)
    for name, x in (("q", query), ("k", key), ("v", value)):
        torch.testing.assert_close(summed(products[f"attention.{name}_proj_weight"])[0][0], tokens(x))
    expected = attended(module.attention, query, key, value).detach()
    torch.testing.assert_close(summed(products["attention.out_proj"])[0][0], tokens(expected))


def test_attention_of_which_only_one_end_is_watched() -> None:
    x = torch.randn(2, 3, 8, dtype=torch.float64)
    for name in ("attention.in_proj_weight", "attention.out_proj"):
        assert list(watched(Attention(), x, layers={name})) == [name]


def test_a_fused_encoder_layer_is_taken_apart() -> None:
    module = nn.TransformerEncoder(nn.TransformerEncoderLayer(8, 2, 16, batch_first=True), 2)
    products = watched(module, torch.randn(2, 3, 8, dtype=torch.float64))
    per_layer = ("self_attn.in_proj_weight", "self_attn.out_proj", "linear1", "linear2")
    assert list(products) == [f"layers.{i}.{name}" for i in range(2) for name in per_layer]
    assert summed(products["layers.1.linear2"])[1] == 6


class Mixed(nn.Module):
    """Everything that cannot be pruned, and why."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.up = nn.Conv2d(4, 4, 1), nn.ConvTranspose2d(4, 4, 2)
        self.normed = parametrizations.weight_norm(nn.Linear(4, 4))
        self.spare, self.fc = nn.Linear(4, 4), nn.Linear(4, 4)
        self.scale, self.token = nn.Parameter(torch.ones(4, 1, 1)), nn.Parameter(torch.ones(1, 4))
        self.embedding, self.product = nn.Embedding(4, 4), nn.Parameter(torch.ones(4, 4))
        self.both, self.grouped = nn.Linear(4, 4), nn.Parameter(torch.ones(4, 2, 1, 1))
        self.recurrent = nn.GRU(4, 4)
        self.register_buffer("blur", torch.ones(4, 1, 3, 3))

    def forward(self, x: Tensor) -> Tensor:
        x = self.up(self.conv(x)) * self.scale
        x = F.conv2d(x, self.grouped, groups=2) + F.conv2d(x[:, :2], self.grouped)
        x = F.conv2d(x, self.blur, groups=4).mean((2, 3)).to(self.fc.weight) + torch.zeros_like(self.fc.weight)[0]
        x = self.normed(x) @ self.product.T + self.embedding.weight[0] + self.embedding(torch.tensor([1]))
        x = self.both(x) * self.both.weight.mean()
        x = F.linear(torch.cat([self.token, x]), self.fc.weight)
        return self.recurrent(x)[0][1:]


def test_what_is_left_dense_has_a_reason() -> None:
    seen = survey(Mixed(), torch.randn(2, 4, 6, 6))
    assert seen.prunable() == ("conv", "fc")
    recurrent = OTHERWISE.format("gru")
    assert seen.left_dense() == {
        "scale": OTHERWISE.format("mul"),
        "token": OTHERWISE.format("cat"),
        "product": OTHERWISE.format("T"),
        "grouped": "used with different numbers of groups",
        "up": OTHERWISE.format("conv_transpose2d"),
        "normed": "parametrised: computed from other parameters",
        "spare": "not reached",
        "embedding": OTHERWISE.format("indexing"),
        "both": "also " + OTHERWISE.format("mean"),
        "recurrent.weight_ih_l0": recurrent,
        "recurrent.weight_hh_l0": recurrent,
        "blur": "a buffer, not a parameter",
    }


def test_a_learned_query_is_an_input() -> None:
    class Probe(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.probe, self.fc = nn.Parameter(torch.randn(3, 4)), nn.Linear(4, 4)

        def forward(self, x: Tensor) -> Tensor:
            return self.fc(self.probe) + x

    seen = survey(Probe(), torch.randn(3, 4))
    assert seen.prunable() == ("fc",)
    assert seen.left_dense() == {"probe": OTHERWISE.format("linear")}


@pytest.mark.filterwarnings("ignore:`torch.jit.script:FutureWarning")
def test_scripted_parts_are_not_seen_and_said_so() -> None:
    module = nn.Sequential(nn.Linear(4, 4), torch.jit.script(nn.Sequential(nn.Linear(4, 4))))
    seen = survey(module, torch.randn(2, 4))
    assert seen.prunable() == ("0",)
    assert seen.left_dense() == {"1.0": "not reached"}


def test_a_watch_is_its_own_threads_alone() -> None:
    """Two threads run one module at once; each watch sees its own thread's passes and no other."""
    module = nn.Sequential(nn.Linear(3, 3), nn.Linear(3, 3)).eval()
    together = threading.Barrier(3)
    seen: dict[int, list[float]] = {0: [], 1: []}

    def run(thread: int) -> None:
        def report(_name: str, product: Product) -> None:
            seen[thread].append(float(product.input[0, 0]))

        with torch.no_grad(), Watch(module, report, {"0"}):
            for _ in range(20):
                together.wait()
                module(torch.full((1, 3), float(thread)))

    threads = [threading.Thread(target=run, args=(i,)) for i in (0, 1)]
    for thread in threads:
        thread.start()
    for _ in range(20):
        together.wait()
        module(torch.full((1, 3), 7.0))
    for thread in threads:
        thread.join()
    assert seen == {0: [0.0] * 20, 1: [1.0] * 20}


def test_nothing_stays_on_the_module() -> None:
    module = Attention(batch_first=True)
    before = {name: (id(p), p.clone()) for name, p in module.named_parameters()}
    watched(module.double(), torch.randn(2, 3, 8, dtype=torch.float64))
    for name, parameter in module.named_parameters():
        assert id(parameter) == before[name][0]
        assert torch.equal(parameter, before[name][1].double())
    assert not any(part._forward_hooks or part._forward_pre_hooks for part in module.modules())
    assert weight(module, "attention.out_proj") is module.attention.out_proj.weight
