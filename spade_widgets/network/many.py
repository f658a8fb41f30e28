"""Logits of many images that are alike, as quickly as the processor gives them.

Channels last, and in bfloat16 where that is multiplied twice as fast: how much an image's logits change when parts of
it are hidden is known as well as before (docs/RESULTS.md). The last layer stays in float32, since its sums are the
logits themselves. Deep networks lose more than wide ones: so it is tried on images like those that are asked for, and
left off where it does not say the same.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from spade_widgets.errors import InputError
from spade_widgets.network.half import bits, suits

#: By how much logits, as a share of the largest one, and probabilities may differ from float32's.
SHARE, PROBABILITY = 0.02, 0.03


def logits_of_many(
    module: nn.Module,
    examples: Tensor,
    layers: Sequence[str],
    layout: torch.memory_format,
    *,
    bfloat16: bool | None = None,
) -> Callable[[Tensor], Tensor]:
    """The function (n, c, h, w) → (n, classes); it records no gradients.

    Args:
        module: a copy that is the function's own.
        examples: (n, c, h, w) images such as will be asked for.
        layers: those that multiply, in the order in which the network has them. The last gives the logits.
        layout: how images are to lie in memory.
        bfloat16: whether the network multiplies in it. Default: where that saves time and the examples have the same
            logits, but for two hundredths.

    Raises:
        InputError: if `bfloat16` is something else.
    """
    if bfloat16 not in (None, True, False):
        raise InputError(f"'bfloat16' is True, False or None; {bfloat16!r} is none of them.")
    module.to(memory_format=layout)
    # Put together of others, images may lie in memory in any way.
    lying = torch.contiguous_format if layout == torch.preserve_format else layout

    def whole(images: Tensor) -> Tensor:
        with torch.no_grad():
            logits: Tensor = module(images.contiguous(memory_format=lying))
        return logits

    def halved(images: Tensor) -> Tensor:
        with bits(half=True):
            return whole(images).float()

    # Autocast is of a processor, and of float32.
    able = bool(layers) and examples.device.type == "cpu" and examples.dtype == torch.float32
    size = examples.shape[2], examples.shape[3]
    if not able or bfloat16 is False or not (bfloat16 or suits(examples.device, examples.dtype, size)):
        return whole
    _keep_whole(module.get_submodule(layers[-1]))
    return halved if bfloat16 or _same(halved(examples), whole(examples)) else whole


def _keep_whole(layer: nn.Module) -> None:
    """Have a layer compute in float32, whatever is around it."""
    forward = layer.forward

    def run(inputs: Tensor, *args: Any, **kwargs: Any) -> Any:
        with torch.autocast("cpu", enabled=False):
            return forward(inputs.float(), *args, **kwargs)

    layer.forward = run


def _same(found: Tensor, wanted: Tensor) -> bool:
    off = (found - wanted).abs().amax()
    shares = (found.softmax(1) - wanted.softmax(1)).abs().amax()
    return bool(off <= SHARE * wanted.abs().amax()) and bool(shares <= PROBABILITY)
