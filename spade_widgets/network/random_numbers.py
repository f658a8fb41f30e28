"""The process's random numbers, which a model may draw from while we run it: the caller's are left as they were."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

import torch

#: There is one state for all threads: whose model draws from it now, the others wait.
_TURN = threading.RLock()


@contextmanager
def own_random_numbers(seed: int | None = None, device: torch.device | None = None) -> Iterator[None]:
    """Within, what is drawn from PyTorch's own generators is of this seed, or of whatever they are at.

    Args:
        seed: None leaves them as they are.
        device: a GPU's are kept for the caller too.
    """
    with _TURN, torch.random.fork_rng([device] if device is not None and device.type == "cuda" else []):
        if seed is not None:
            torch.manual_seed(seed)
        yield
