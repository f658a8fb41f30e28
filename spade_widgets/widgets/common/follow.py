"""Who sets a trait: a user chooses; the worker, which has found a value, and a link, which copies one, follow."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

_here = threading.local()


@contextmanager
def following() -> Iterator[None]:
    """What this thread sets within is no choice of a user's."""
    before = follows()
    _here.follows = True
    try:
        yield
    finally:
        _here.follows = before


def follows() -> bool:
    """Whether what this thread sets now is no choice of a user's."""
    return getattr(_here, "follows", False)
