"""A user's own observers: what they raise is theirs to read, and never ends what the panel is at.

Traits are set on many threads: by the user's cell, by the page, by the worker that has found something. In a user's own
thread an observer's exception comes out of the assignment, as with any widget, but after the panel has done all that
follows from it. Elsewhere nobody could catch it: its traceback is printed where the cell that observes prints.
"""

from __future__ import annotations

import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from traitlets import EventHandler

from spade_widgets.errors import InputError

#: Seconds in which an error that was printed is not printed again: progress comes five times a second.
QUIET = 30.0
#: Whose observers are the panel's own.
_OURS = "spade_widgets."

_here = threading.local()
_printed: dict[tuple[str, str], float] = {}


class Guarded:
    """An observer that is not the panel's own; equal to the function that it calls, so that it can be taken off."""

    def __init__(self, handler: Callable[[Any], Any]) -> None:
        self.handler = handler
        self._parent = getattr(sys.stderr, "parent_header", None)  # of the cell that observes

    def __eq__(self, other: object) -> bool:
        return bool(self.handler == (other.handler if isinstance(other, Guarded) else other))

    def __hash__(self) -> int:
        return hash(self.handler)

    def __call__(self, change: Any) -> None:
        before = observing()
        _here.observing = True
        try:
            self.handler(change)
        except Exception as error:  # noqa: BLE001 - whatever a user's function raises
            if getattr(_here, "alone", False) or change["owner"].session.worker.here:
                self._print(error, change["name"])
            else:
                _pending().append((self, error, change["name"]))
        finally:
            _here.observing = before

    def _print(self, error: Exception, name: str) -> None:
        text = "".join(traceback.format_exception(type(error), error, _user_part(error)))
        now, key = time.monotonic(), (name, text)
        if now - _printed.get(key, float("-inf")) < QUIET:
            return
        for old in [known for known, at in _printed.items() if now - at > QUIET]:
            _printed.pop(old, None)
        _printed[key] = now
        with _printing_to(self._parent):
            sys.stderr.write(f"An observer of '{name}' failed; the panel goes on.\n{text}\n")
            sys.stderr.flush()


def guard(handler: Any) -> Any:
    """The observer as a panel calls it."""
    module = getattr(handler, "__module__", None) or ""
    if isinstance(handler, EventHandler | Guarded) or module.startswith(_OURS):
        return handler
    return Guarded(handler)


def observing() -> bool:
    """Whether this thread is within a user's observer."""
    return bool(getattr(_here, "observing", False))


def refuse_waiting(name: str, *, on_worker: bool) -> None:
    """Nobody can wait for work that waits for him.

    Args:
        name: of what would wait.
        on_worker: whether this is the thread that does the work.

    Raises:
        InputError: if this is within an observer, or on that thread.
    """
    if on_worker or observing():
        raise InputError(
            f"`{name}` waits for the panel's work, which waits for its observers: "
            "call it in a cell, not in an observer."
        )


@contextmanager
def alone() -> Iterator[None]:
    """What this thread does within, no user's code has called: nobody could catch what an observer raises."""
    before = getattr(_here, "alone", False)
    _here.alone = True
    try:
        yield
    finally:
        _here.alone = before


@contextmanager
def notifying() -> Iterator[None]:
    """One trait's observers are called. What users' raise comes out when all that follows from it is done.

    A trait that the panel's own observer sets is part of what follows.
    """
    depth = getattr(_here, "depth", 0)
    _here.depth = depth + 1
    raised: list[tuple[Guarded, Exception, str]] = []
    first = None
    try:
        yield
        first = next(iter(_pending()), None) if depth == 0 else None
    finally:
        _here.depth = depth
        if depth == 0:
            raised, _here.pending = _pending(), []
        for guarded, error, name in raised[first is not None :]:  # only one can come out of the assignment
            guarded._print(error, name)
    if first is not None:
        raise first[1]


def _pending() -> list[tuple[Guarded, Exception, str]]:
    if not hasattr(_here, "pending"):
        _here.pending = []
    pending: list[tuple[Guarded, Exception, str]] = _here.pending
    return pending


def _user_part(error: Exception) -> Any:
    """The traceback without our own call of the observer."""
    return error.__traceback__.tb_next if error.__traceback__ is not None else None


@contextmanager
def _printing_to(parent: Any) -> Iterator[None]:
    """What this thread prints to stderr within belongs to the cell of this header, where the kernel can say so."""
    stream: Any = sys.stderr
    if not parent or not hasattr(stream, "set_thread_parent"):
        yield
        return
    token = stream.set_thread_parent({"header": parent})
    try:
        yield
    finally:
        stream.reset_thread_parent(token)
