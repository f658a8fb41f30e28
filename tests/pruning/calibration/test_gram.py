"""Gram sums of every geometry against unfolded columns in float64."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.nn import functional as F

from spade_widgets.errors import InputError
from spade_widgets.network.weights import Product
from spade_widgets.pruning.calibration import gram_sums as gram
from spade_widgets.pruning.calibration.gram_sums import GramSum, columns, gram_sum, operations

many = settings(max_examples=100, deadline=None, derandomize=True)
dtypes = st.sampled_from([torch.float16, torch.bfloat16, torch.float32, torch.float64])


def unfolded(product: Product) -> Tensor:
    """X, (groups, c, n), in float64."""
    x, weight = product.input.double(), product.weight
    dims = weight.ndim - 2
    if not dims:
        return x.reshape(-1, product.groups, weight.shape[1]).permute(1, 2, 0)
    x = x if x.ndim == dims + 2 else x.unsqueeze(0)
    x = F.pad(x, [side for pad in reversed(product.padding) for side in (pad, pad)])
    for axis, (k, s, d) in enumerate(zip(weight.shape[2:], product.stride, product.dilation, strict=True), start=2):
        x = x.unfold(axis, d * (k - 1) + 1, s)[..., ::d]
    x = x.reshape(x.shape[0], product.groups, weight.shape[1], *x.shape[2:])
    order = (1, 2, *range(3 + dims, 3 + 2 * dims), 0, *range(3, 3 + dims))
    return x.permute(order).reshape(product.groups, weight[0].numel(), -1)


@st.composite
def convolutions(draw: st.DrawFn) -> Product:
    dims = draw(st.integers(1, 3))

    def each(low: int, high: int) -> tuple[int, ...]:
        return tuple(draw(st.lists(st.integers(low, high), min_size=dims, max_size=dims)))

    kernel, stride, padding, dilation = each(1, 3), each(1, 3), each(0, 4), each(1, 3)
    needed = [d * (k - 1) + 1 - 2 * p for k, p, d in zip(kernel, padding, dilation, strict=True)]
    size = [max(1, n, s) for n, s in zip(needed, each(1, 8), strict=True)]
    groups, channels = draw(st.sampled_from([1, 1, 2, 3])), draw(st.integers(1, 3))
    generator = torch.Generator().manual_seed(draw(st.integers(0, 10**6)))
    batch = draw(st.sampled_from([(), (1,), (3,)]))
    x = torch.randn(*batch, groups * channels, *size, generator=generator).to(draw(dtypes))
    if len(batch) == 1 and dims == 2 and draw(st.booleans()):
        x = x.contiguous(memory_format=torch.channels_last)
    return Product(x, torch.empty(2 * groups, channels, *kernel), stride, padding, dilation, groups)


@many
@given(convolutions(), st.booleans(), st.booleans())
def test_convolutions_of_every_geometry(product: Product, shifted: bool, piecewise: bool) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(gram, "SHIFT_CHANNELS", 1 if shifted else 99)
        patch.setattr(gram, "TILE", 5)
        if piecewise:
            patch.setattr(gram, "UNFOLD_BYTES", 1)
        total, count = gram_sum(product)
    X = unfolded(product)
    assert count == X.shape[2]
    assert total.dtype == (torch.float64 if product.input.dtype == torch.float64 else torch.float32)
    torch.testing.assert_close(total.double(), X @ X.mT, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(columns(product).double() @ columns(product).double().mT, X @ X.mT, rtol=1e-5, atol=1e-5)


@many
@given(st.sampled_from([(), (4,), (2, 3), (2, 2, 3)]), st.integers(1, 12), st.integers(1, 3), dtypes)
def test_linear_layers_of_any_leading_dimensions(
    leading: tuple[int, ...], width: int, groups: int, dtype: torch.dtype
) -> None:
    product = Product(torch.randn(*leading, groups * width).to(dtype), torch.empty(groups, width), groups=groups)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(gram, "TILE", 5)
        total, count = gram_sum(product)
    X = unfolded(product)
    assert count == math.prod(leading) == X.shape[2]
    torch.testing.assert_close(total.double(), X @ X.mT, rtol=1e-5, atol=1e-5)
    assert torch.equal(columns(product).double(), X)


def convolution(channels: int = 16, size: int = 7, kernel: int = 3, stride: int = 1) -> Product:
    x = torch.randn(4, channels, size, size)
    pad = kernel // 2
    return Product(x, torch.empty(8, channels, kernel, kernel), (stride, stride), (pad, pad), (1, 1))


def test_calls_add_up_also_of_different_sizes() -> None:
    """As where a weight is shared between modules, or a network sees several resolutions."""
    several = [convolution(size=size) for size in (7, 9, 7)]
    total = GramSum()
    for product in several:
        total.add(product)
    X = torch.cat([unfolded(product) for product in several], dim=2)
    assert total.columns == X.shape[2]
    torch.testing.assert_close(total.total().double(), X @ X.mT, rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(total.total(), total.total())  # reading it changes nothing
    total.add(several[0])
    more = unfolded(several[0])
    torch.testing.assert_close(total.total().double(), X @ X.mT + more @ more.mT, rtol=1e-4, atol=1e-4)


def test_what_was_read_stays_as_it_was() -> None:
    for product in (convolution(), Product(torch.randn(5, 700), torch.empty(1, 700))):
        sums = GramSum()
        sums.add(product)
        read = sums.total()
        before = read.clone()
        sums.add(product)
        sums.total()
        assert torch.equal(read, before)


def test_the_sum_is_symmetric_to_the_last_bit_off_the_tiles_diagonal() -> None:
    for product in (convolution(), convolution(stride=2), Product(torch.randn(9, 1200), torch.empty(1, 1200))):
        total = gram_sum(product)[0]
        torch.testing.assert_close(total, total.mT, rtol=1e-6, atol=1e-5)


def test_inputs_that_are_always_zero_have_exactly_zero() -> None:
    """Nothing is subtracted: a channel that is zero but for one corner has its other taps' diagonal at zero."""
    product = convolution()
    product.input[:, 3] = 0
    product.input[:, 5] = 0
    product.input[:, 5, 0, 0] = 1.7
    total = gram_sum(product)[0][0].view(16, 9, 16, 9)
    assert not total[3].any()
    assert not total[:, :, 3].any()
    # The upper left pixel is never under the lower or right taps' … it is seen by taps 0, 1, 3 and 4 alone.
    seen = [tap for tap in range(9) if float(total[5, tap, 5, tap]) != 0]
    X = unfolded(product)[0].view(16, 9, -1)[5]
    assert seen == [tap for tap in range(9) if bool(X[tap].any())]
    assert len(seen) == 4


def test_half_precision_is_summed_in_float32() -> None:
    for dtype in (torch.float16, torch.bfloat16):
        product = Product(torch.full((70000, 3), 1.5, dtype=dtype), torch.empty(1, 3))
        assert torch.equal(gram_sum(product)[0], torch.full((1, 3, 3), 2.25 * 70000))


def test_autocast_does_not_reach_the_products() -> None:
    product = convolution(channels=20)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        total = gram_sum(product)[0]
    torch.testing.assert_close(total, gram_sum(product)[0], rtol=0, atol=0)


def test_no_inputs_are_an_error() -> None:
    product = convolution()
    with pytest.raises(InputError, match="empty"):
        gram_sum(replace(product, input=product.input[:0]))
    with pytest.raises(InputError, match="empty"):
        columns(replace(product, input=product.input[:0]))


def test_fewer_operations_than_unfolding() -> None:
    """An eighth for a 3 × 3 convolution on 7 × 7 inputs, just over half for a wide linear layer."""
    product = convolution(channels=512)
    assert operations(product) < 2 * (512 * 9) ** 2 * 4 * 49 / 7.5
    linear = Product(torch.empty(8, 2048), torch.empty(1, 2048))
    assert operations(linear) == 2 * 8 * 2048**2 * 10 // 16
    assert operations(convolution(channels=3)) == 2 * 27**2 * 4 * 49  # unfolded: too few channels
    assert operations(convolution(stride=2)) < 2 * (16 * 9) ** 2 * 4 * 16


def test_products_do_not_copy_the_inputs_k_squared_times(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_args: object) -> None:
        raise AssertionError("unfolded")

    monkeypatch.setattr(gram, "_unfolded", refuse)
    gram_sum(convolution())


@pytest.mark.parametrize("channels", [1, 3, 8])
def test_an_input_that_is_constant(channels: int) -> None:
    """A long sum of equal numbers keeps its digits: H would have large negative eigenvalues else."""
    product = Product(
        torch.full((4, 2 * channels, 96, 96), 0.0876), torch.empty(2, channels, 3, 3), (1, 1), (1, 1), (1, 1), 2
    )
    total, _ = gram_sum(product)
    exact, _ = gram_sum(replace(product, input=product.input.double()))
    torch.testing.assert_close(total.double(), exact, rtol=2e-5, atol=0)
