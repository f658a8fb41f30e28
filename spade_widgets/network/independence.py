"""Whether a model's answer on an image depends on the others that go through it at once."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from spade_widgets.network.random_numbers import own_random_numbers

#: A seed of PyTorch's generator whose first `randperm(2)` swaps the two: a model that shuffles its batch shows it.
SWAPS = next(
    seed for seed in range(64) if torch.randperm(2, generator=torch.Generator("cpu").manual_seed(seed))[0] == 1
)


#: What is said of a model whose images are not independent.
ALONE = (
    "gives an image other logits alone than among others (batch statistics, or a model of one image): "
    "it is run one image at a time, which is slow"
)


def among_others(run: Callable[[Tensor], object], images: Tensor, alone: Tensor) -> bool:
    """Whether the first of two images has the same logits when both go through a model at once as it has alone.

    Args:
        run: logits (n, classes) of images; it may fail, or give something else for two.
        images: (2, c, h, w), unlike each other.
        alone: (1, classes), of the first.
    """
    try:
        with own_random_numbers(SWAPS, images.device):
            both = run(images)
    except Exception:  # noqa: BLE001  # a model of one image at a time says so in whatever way
        return False
    if not isinstance(both, Tensor) or both.shape != (2, alone.shape[1]):
        return False
    return same_logits(both[:1], alone)


def same_logits(found: Tensor, alone: Tensor) -> bool:
    """Whether logits (1, classes) are the same but for the order in which the library sums.

    Of a batch it is another one; with TF32 or half precision that is seen.
    """
    exact = alone.dtype in (torch.float32, torch.float64)
    share = (1e-4 if not alone.is_cuda else 5e-3) if exact else 3e-2
    slack = share * float(alone.abs().nan_to_num(0, 0, 0).max()) + 1e-7  # NaN and infinity are themselves
    return bool(torch.isclose(found, alone, rtol=0, atol=slack, equal_nan=True).all())
