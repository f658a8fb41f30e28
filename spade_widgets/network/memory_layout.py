"""Whether a model may be given images channels last, which halves the time of its convolutions on a CPU."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from spade_widgets.network.independence import same_logits


def takes_channels_last(copy: Callable[[], nn.Module], images: Tensor) -> bool:
    """Whether a model runs on images that lie so in memory, and gives the same logits.

    One that uses `view` may not run on them; one that reads memory as it lies gives other logits.

    Args:
        copy: makes a fresh copy of it.
        images: (n, c, h, w), unlike each other; two where it takes two, since of one either layout may pass for both.
    """
    layout = torch.channels_last
    with torch.no_grad():
        plain = copy()(images)
        try:
            found = copy().to(memory_format=layout)(images.contiguous(memory_format=layout))
        except RuntimeError:
            return False
    return same_logits(found, plain)
