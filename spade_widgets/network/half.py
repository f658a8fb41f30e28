"""Half the bits for the network's part of a step, where the processor multiplies them in half the time."""

from __future__ import annotations

import functools
from contextlib import AbstractContextManager, nullcontext

import torch

#: From this side on, in pixels: the steps of smaller pictures are short, and rounding takes what multiplying saves.
SIDE = 128


def suits(device: torch.device, dtype: torch.dtype, size: tuple[int, int]) -> bool:
    """Whether bfloat16 saves time on pictures of that size, of a network on this device in this type."""
    return device.type == "cpu" and dtype == torch.float32 and max(size) >= SIDE and _multiplied()


def bits(half: bool) -> AbstractContextManager[object]:
    """Within, this thread's convolutions and products are in bfloat16, or as they are.

    Its exponent is float32's: nothing overflows that would not, and gradients need no scaling.
    """
    return torch.autocast("cpu", torch.bfloat16) if half else nullcontext()


@functools.cache
def _multiplied() -> bool:
    """Whether the processor multiplies bfloat16 by itself; without, PyTorch goes through float32, which is slower."""
    can: dict[str, object] = getattr(torch.cpu, "get_capabilities", dict)()  # since PyTorch 2.10
    return bool(can.get("avx512_bf16") or can.get("amx_bf16"))
