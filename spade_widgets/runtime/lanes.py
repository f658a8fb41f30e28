"""Several steps at once, on a thread each.

One picture's step gains next to nothing from a second core; two pictures' steps, a core each, take little longer than
one. So what a job may do at once it does at once, within one of its own steps: between two of them nothing runs.
"""

from __future__ import annotations

import functools
import os
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import torch
from threadpoolctl import ThreadpoolController


def lanes(device: torch.device) -> int:
    """How many steps are done at once: as many as PyTorch may have threads; one on a GPU, which works in turn."""
    return torch.get_num_threads() if device.type == "cpu" else 1


def at_once(*steps: Callable[[], object]) -> None:
    """Do all of the steps, side by side; return when the last has ended.

    Never on more threads altogether than `torch.get_num_threads()` says: where that is one, in turn.

    Raises:
        Exception: what a step raised; where several did, the first one's.
    """
    first, *others = steps
    if len(steps) == 1 or (each := torch.get_num_threads() // len(steps)) == 0:
        for step in steps:
            step()
        return
    waited = [_pool(os.getpid()).submit(_within, each, step) for step in others]
    try:
        _within(each, first)
    finally:
        failed = [one.exception() for one in waited]  # which waits
    for error in failed:
        if error is not None:
            raise error


def _within(threads: int, step: Callable[[], object]) -> None:
    with threads_of_torch(threads):
        step()


@contextmanager
def threads_of_torch(count: int) -> Iterator[None]:
    """Within, PyTorch works for this thread on so many; for others on as many as before, unlike `set_num_threads`."""
    torch.get_num_threads()  # the first call of a thread sets what the next line is to change
    with _openmp().limit(limits=count):
        yield


@functools.cache
def _openmp() -> ThreadpoolController:
    return ThreadpoolController().select(user_api="openmp")


@functools.cache
def _pool(_process: int) -> ThreadPoolExecutor:
    """Of this process: a forked one has its parent's executor, but not its threads."""
    return ThreadPoolExecutor(max(1, (os.cpu_count() or 1) - 1), thread_name_prefix="spade-widgets")
