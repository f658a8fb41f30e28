"""How long computations are put together of parts that yield."""

from __future__ import annotations

from collections.abc import Generator

import pytest

from spade_widgets.pruning.progress import Progress, finish, mapped, saying, within


def computation(closed: list[str]) -> Generator[float, None, str]:
    try:
        yield 0.0
        yield 0.5
    finally:
        closed.append("closed")
    return "made"


def test_a_part_says_its_share_of_the_whole_and_returns_what_it_made() -> None:
    said: list[Progress] = []
    closed: list[str] = []
    made = finish(mapped(within(computation(closed), 3, 8, share=2), said.append))
    assert made == "made"
    assert said == [Progress("solving", 3.0, 8), Progress("solving", 4.0, 8)]


def test_every_step_may_say_the_same() -> None:
    assert list(saying(computation([]), 7)) == [7, 7]


def test_dropping_the_whole_closes_the_part_at_once() -> None:
    closed: list[str] = []
    inner = computation(closed)  # held here: only closing it can end it
    steps = mapped(inner, lambda share: share)
    next(steps)
    steps.close()
    assert closed == ["closed"]


def test_an_error_of_a_part_is_the_whole_s() -> None:
    def broken() -> Generator[float, None, None]:
        yield 0.0
        raise ZeroDivisionError

    steps = mapped(broken(), lambda share: share)
    next(steps)
    with pytest.raises(ZeroDivisionError):
        next(steps)
