"""What a long computation says of itself while it runs."""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass
from typing import TypeAlias, TypeVar

T = TypeVar("T")


@dataclass(frozen=True)
class Progress:
    """`done` of `of` units of a stage.

    `"calibrating"`: augmentations; `"solving"`: layers, in parts; `"searching"`: plans judged, of at most so many;
    `"judging"`: pruned networks.
    """

    stage: str
    done: float
    of: int


#: A computation that yields its progress and returns a T. Dropping it cancels it; `finish` runs it through.
Steps: TypeAlias = Generator[Progress, None, T]

#: A part of a computation: yields the share of it that is done, in [0, 1), and returns a T.
Shares: TypeAlias = Generator[float, None, T]


def part(steps: Shares[T], done: float, share: float) -> Shares[T]:
    """The shares of a part as those of the whole, of which `done` was done before; the part is `share` of it."""
    while True:
        try:
            inner = next(steps)
        except StopIteration as stop:
            result: T = stop.value
            return result
        yield done + share * inner


def within(steps: Shares[T], done: float, layers: int, share: float = 1) -> Steps[T]:
    """The shares of what counts as `share` layers, as the solving of `layers`, of which `done` were done before."""
    steps = part(steps, done, share)
    while True:
        try:
            solved = next(steps)
        except StopIteration as stop:
            result: T = stop.value
            return result
        yield Progress("solving", solved, layers)


def finish(steps: Steps[T]) -> T:
    """Run a computation to its end and return what it made."""
    while True:
        try:
            next(steps)
        except StopIteration as stop:
            result: T = stop.value
            return result
