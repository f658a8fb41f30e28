"""The store: what was computed is found again. Least recently used goes first once it holds too many bytes."""

from __future__ import annotations

import threading
from collections.abc import Hashable
from typing import Any, TypeVar

from cachetools import LRUCache

T = TypeVar("T")

#: Bytes kept in memory: the factors of a ResNet-50's late layers and hundreds of traces of the emoji classifier.
MEMORY = 2 * 2**30


class Store:
    """Results by key, in memory, for several threads.

    Args:
        nbytes: how much is kept.
    """

    def __init__(self, nbytes: int = MEMORY) -> None:
        self._lock = threading.Lock()
        self._items: LRUCache[Hashable, tuple[Any, int]] = LRUCache(nbytes, getsizeof=lambda item: item[1])

    def put(self, key: Hashable, value: T, nbytes: int) -> T:
        """Keep a value of about `nbytes`; one larger than the store is not kept. Returns the value."""
        with self._lock:
            self._items.pop(key, None)
            if nbytes <= self._items.maxsize:
                self._items[key] = (value, nbytes)
        return value

    def get(self, key: Hashable) -> Any | None:
        """The value, or None where it is not (or no longer) there."""
        with self._lock:
            item = self._items.get(key)
        return None if item is None else item[0]

    def __contains__(self, key: Hashable) -> bool:
        with self._lock:
            return key in self._items
