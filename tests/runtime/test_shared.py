"""Computations that several jobs want."""

from __future__ import annotations

import threading
import time
from collections.abc import Generator, Iterator
from typing import Any

import pytest

from spade_widgets.runtime.shared import Shared


class Counting:
    """Makes computations of five steps, and counts what was done of each."""

    def __init__(self) -> None:
        self.begun: list[str] = []
        self.steps: list[str] = []
        self.closed: list[str] = []

    def __call__(self, name: str) -> Generator[int, None, str]:
        self.begun.append(name)
        try:
            for i in range(5):
                self.steps.append(name)
                yield i
        except GeneratorExit:
            self.closed.append(name)
            raise
        return f"{name} made"


@pytest.fixture
def counting() -> Counting:
    return Counting()


def ask(shared: Shared, counting: Counting, name: str) -> Generator[int, None, str]:
    return shared.run(name, lambda: counting(name))


def rest(steps: Iterator[Any]) -> Any:
    while True:
        try:
            next(steps)
        except StopIteration as stop:
            return stop.value


def test_two_that_take_turns_make_it_once(counting: Counting) -> None:
    shared = Shared(0)
    one, two = ask(shared, counting, "a"), ask(shared, counting, "a")
    seen = [next(one), next(two), next(one), next(two), next(one)]
    assert seen == [0, 1, 2, 3, 4]
    assert rest(two) == rest(one) == "a made"
    assert counting.begun == ["a"]
    assert len(counting.steps) == 5


def test_one_that_leaves_does_not_take_it_along(counting: Counting) -> None:
    shared = Shared(0)
    one, two = ask(shared, counting, "a"), ask(shared, counting, "a")
    next(one)
    next(two)
    one.close()
    assert counting.closed == []
    assert rest(two) == "a made"
    assert len(counting.steps) == 5


def test_left_by_all_the_last_few_go_on_and_older_ones_are_closed(counting: Counting) -> None:
    shared = Shared(2)
    for name in "abc":
        steps = ask(shared, counting, name)
        next(steps)
        next(steps)
        steps.close()
    assert counting.closed == ["a"]
    counting.steps.clear()
    assert rest(ask(shared, counting, "b")) == "b made"
    assert counting.steps == ["b"] * 3  # two were done before
    assert rest(ask(shared, counting, "a")) == "a made"
    assert counting.begun == ["a", "b", "c", "a"]


def test_what_is_done_is_made_anew(counting: Counting) -> None:
    """Results are the store's business."""
    shared = Shared(2)
    for _ in range(2):
        rest(ask(shared, counting, "a"))
    assert counting.begun == ["a", "a"]


def test_an_error_is_told_to_each_and_forgotten() -> None:
    shared = Shared(2)

    def broken() -> Generator[int, None, str]:
        yield 0
        raise ValueError("no")

    one, two = shared.run("a", broken), shared.run("a", broken)
    next(one)
    for steps in (two, one):
        with pytest.raises(ValueError, match="no"):
            rest(steps)
    assert next(shared.run("a", broken)) == 0


def test_two_threads_never_are_in_it_at_once() -> None:
    inside, clashes, done = threading.Lock(), [], []

    def made() -> Generator[int, None, int]:
        for i in range(100):
            if not inside.acquire(blocking=False):
                clashes.append(i)
            time.sleep(0.001)  # lets the others go on
            inside.release()
            yield i
        return 7

    shared = Shared(0)
    steps = [shared.run("a", made) for _ in range(4)]
    for generator in steps:
        next(generator)
    threads = [threading.Thread(target=lambda g=g: done.append(rest(g))) for g in steps]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert done == [7] * 4
    assert clashes == []
