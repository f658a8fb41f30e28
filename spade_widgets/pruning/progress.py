"""What a long computation says of itself while it runs."""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass
from typing import TypeAlias, TypeVar

T = TypeVar("T")


@dataclass(frozen=True)
class Progress:
    """`done` of `of` units of a stage (`"calibrating"`: augmentations; `"solving"`: layers, in parts)."""

    stage: str
    done: float
    of: int


#: A computation that yields its progress and returns a T. Dropping it cancels it; `finish` runs it through.
Steps: TypeAlias = Generator[Progress, None, T]


def finish(steps: Steps[T]) -> T:
    """Run a computation to its end and return what it made."""
    while True:
        try:
            next(steps)
        except StopIteration as stop:
            result: T = stop.value
            return result
