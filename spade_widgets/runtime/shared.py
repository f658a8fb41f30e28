"""Computations that several jobs want: each is made once, by whoever has the turn, and can be left off."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Generator, Hashable
from dataclasses import dataclass, field
from typing import Any, TypeVar

T = TypeVar("T")
P = TypeVar("P")


@dataclass(eq=False)
class _Running:
    """A computation in the making; `users` jobs wait for it."""

    steps: Generator[Any, None, Any]
    users: int = 0
    over: bool = False
    result: Any = None
    error: Exception | None = None
    turn: threading.Lock = field(default_factory=threading.Lock)

    def advance(self) -> Any:
        """One step, unless it is over; what the step yields."""
        with self.turn:
            if self.over:
                return None
            try:
                return next(self.steps)
            except StopIteration as stop:
                self.result, self.over = stop.value, True
            except Exception as error:  # noqa: BLE001 - each of its users is told
                self.error, self.over = error, True
            return None


class Shared:
    """Computations in the making, by key.

    Two panels on one session want the same trace at the same time: whichever job has the worker's turn takes the next
    step of the one computation, and both get its result. One that everybody has left goes on from there when it is
    wanted again: a slider moves often while something long is made.

    Args:
        kept: how many are kept that everybody has left; they may hold much memory.
    """

    def __init__(self, kept: int) -> None:
        self._kept = kept
        self._lock = threading.Lock()
        self._running: OrderedDict[Hashable, _Running] = OrderedDict()

    def run(self, key: Hashable, make: Callable[[], Generator[P, None, T]]) -> Generator[P, None, T]:
        """The computation of that key, made by `make` where it is not begun: yields what it yields, returns its result.

        Raises:
            Exception: what the computation raised; a later run begins anew.
        """
        with self._lock:
            running = self._running.get(key)
            if running is None:
                running = self._running[key] = _Running(make())
            running.users += 1
        try:
            while True:
                progress: P = running.advance()
                if running.over:
                    break
                yield progress
        finally:
            self._leave(key, running)
        if running.error is not None:
            raise running.error
        result: T = running.result
        return result

    def _leave(self, key: Hashable, running: _Running) -> None:
        dropped = []
        with self._lock:
            running.users -= 1
            if running.over:
                if self._running.get(key) is running:
                    del self._running[key]
            elif running.users == 0:
                self._running.move_to_end(key)
                idle = [k for k, r in self._running.items() if r.users == 0]
                dropped = [self._running.pop(k) for k in idle[: len(idle) - self._kept]]
        for old in dropped:
            old.steps.close()
