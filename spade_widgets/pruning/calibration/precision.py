"""Products in full precision, whatever the caller has set."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch


@contextmanager
def full_precision(device: torch.device) -> Iterator[None]:
    """Matrix products in the type of their factors: no autocast, and no TF32, which keeps ten bits.

    TF32 is one setting for all threads: another thread's products may be in full precision too, meanwhile.
    """
    with torch.autocast(device.type, enabled=False):
        if device.type != "cuda" or not torch.backends.cuda.matmul.allow_tf32:
            yield
            return
        torch.backends.cuda.matmul.allow_tf32 = False
        try:
            yield
        finally:
            torch.backends.cuda.matmul.allow_tf32 = True
