"""What a long computation says of itself while it runs."""

from __future__ import annotations

from collections.abc import Callable, Generator
from dataclasses import dataclass
from typing import Any, TypeAlias, TypeVar

from spade_widgets.network.blame import model_errors

T = TypeVar("T")
P = TypeVar("P")
Q = TypeVar("Q")


@dataclass(frozen=True)
class Progress:
    """`done` of `of` units of a stage.

    `"calibrating"`: augmentations; `"solving"`: layers, in parts; `"searching"`: plans judged, of at most so many;
    `"measuring"`: layers that are solved; `"judging"`: pruned networks.
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
    return mapped(steps, lambda inner: done + share * inner)


def within(steps: Shares[T], done: float, layers: int, share: float = 1) -> Steps[T]:
    """The shares of what counts as `share` layers, as the solving of `layers`, of which `done` were done before."""
    return mapped(part(steps, done, share), lambda solved: Progress("solving", solved, layers))


def mapped(steps: Generator[P, None, T], say: Callable[[P], Q]) -> Generator[Q, None, T]:
    """The same computation, whose progress is said in other words."""
    try:
        while True:
            try:
                inner = next(steps)
            except StopIteration as stop:
                result: T = stop.value
                return result
            yield say(inner)
    finally:
        steps.close()


def saying(steps: Generator[Any, None, T], said: P) -> Generator[P, None, T]:
    """The same computation, whose every step says the same."""
    return mapped(steps, lambda _: said)


def finish(steps: Generator[Any, None, T]) -> T:
    """Run a computation to its end and return what it made."""
    while True:
        try:
            with model_errors():
                next(steps)
        except StopIteration as stop:
            result: T = stop.value
            return result
