"""Sparse tensors as values and places: bit for bit, and never larger than they have to be."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from spade_widgets.pruning.traces.sparse_code import decode, encode


def bits(tensor: Tensor) -> list[int]:
    return tensor.contiguous().view(-1).view(torch.uint8).tolist()  # type: ignore[no-any-return]


@settings(deadline=None, max_examples=150)
@given(
    entries=st.integers(1, 5000),
    share=st.floats(0, 1),
    seed=st.integers(0, 99),
    dtype=st.sampled_from([torch.float32, torch.float16, torch.bfloat16, torch.float64]),
)
def test_what_is_decoded_is_what_was_encoded(entries: int, share: float, seed: int, dtype: torch.dtype) -> None:
    rng = torch.Generator().manual_seed(seed)
    kept = torch.rand(entries, generator=rng) < share
    tensor = torch.where(kept, torch.randn(entries, generator=rng), 0.0).to(dtype)
    code, values, places = encode(tensor)
    assert len(values) == int((tensor != 0).sum())
    assert places.numel() <= -(-entries // 8)
    assert bits(decode(code, values, places, tensor.shape)) == bits(tensor)


@pytest.mark.parametrize("gap", [0, 1, 254, 255, 256, 509, 510, 511, 70_000])
def test_gaps_of_every_length(gap: int) -> None:
    tensor = torch.zeros(200_000)
    tensor[gap] = 1
    tensor[2 * gap + 1] = 2
    tensor[2 * gap + 2] = 3
    code, values, places = encode(tensor)
    assert code == "gaps"
    assert len(places) == 3 + 2 * (gap // 255)
    assert torch.equal(decode(code, values, places, tensor.shape), tensor)


def test_the_smallest_code_is_taken() -> None:
    full, half, few = torch.ones(800), torch.zeros(800), torch.zeros(800)
    half[::2], few[::20] = 1, 1
    assert [encode(t)[0] for t in (full, half, few)] == ["all", "mask", "gaps"]
    assert [len(encode(t)[2]) for t in (full, half, few)] == [0, 100, 40]


def test_zeros_with_a_sign_are_kept() -> None:
    """At sparsity 0 a trace equals the dense weights, bit for bit."""
    tensor = torch.tensor([0.0, -0.0, 1e-45, 0.0])
    code, values, places = encode(tensor)
    assert len(values) == 2
    assert bits(decode(code, values, places, tensor.shape)) == bits(tensor)


def test_nothing_at_all_is_kept() -> None:
    code, values, places = encode(torch.zeros(3, 4))
    assert torch.equal(decode(code, values, places, torch.Size([3, 4])), torch.zeros(3, 4))


def test_a_transposed_tensor_keeps_its_rows() -> None:
    tensor = (torch.arange(12.0) % 5).view(3, 4).T
    assert torch.equal(decode(*encode(tensor), tensor.shape), tensor)


@pytest.mark.parametrize(
    ("code", "values", "places", "says"),
    [
        ("gaps", [1.0], [9, 9], "1 values have 2 places among 8"),
        ("gaps", [1.0], [8], "among 8"),
        ("gaps", [1.0], [255, 1], "among 8"),
        ("gaps", [1.0], [255], "1 values have 0 places"),
        ("mask", [1.0], [1, 0], "the mask has 2 bytes for 8 weights"),
        ("mask", [1.0], [3], "1 values have 2 places"),
        ("all", [1.0], [], "1 values have 8 places"),
        ("zip", [1.0], [], "the code 'zip' is not known"),
    ],
)
def test_parts_that_do_not_fit_are_refused(code: str, values: list[float], places: list[int], says: str) -> None:
    with pytest.raises(ValueError, match=says):
        decode(code, torch.tensor(values), torch.tensor(places, dtype=torch.uint8), torch.Size([2, 4]))
    with pytest.raises(ValueError, match="not lists"):
        decode("all", torch.ones(1, 8), torch.empty(0, dtype=torch.uint8), torch.Size([2, 4]))
