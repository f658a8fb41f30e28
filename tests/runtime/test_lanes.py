"""Steps side by side: all are done, on no more threads than there may be; the caller is left with its own."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator

import pytest
import torch

from spade_widgets.runtime.lanes import at_once, lanes


@pytest.fixture(params=[1, 2, 4])
def threads(request: pytest.FixtureRequest) -> Iterator[int]:
    before = torch.get_num_threads()
    torch.set_num_threads(request.param)
    yield request.param
    torch.set_num_threads(before)


def test_all_are_done_on_as_many_threads_as_there_may_be(threads: int) -> None:
    seen: list[tuple[int, int]] = []

    def step() -> None:
        seen.append((threading.get_ident(), torch.get_num_threads()))

    at_once(step, step)
    assert len(seen) == 2
    assert sum(count for _, count in dict(seen).items()) <= threads
    assert threading.get_ident() in dict(seen)
    assert torch.get_num_threads() == threads


def test_they_are_under_way_at_the_same_time() -> None:
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    both = threading.Barrier(2, timeout=20)  # in turn, the first would wait for the second until it breaks
    try:
        at_once(both.wait, both.wait)
    finally:
        torch.set_num_threads(before)


def test_other_threads_keep_theirs(threads: int) -> None:
    told: list[int] = []
    inside, over = threading.Event(), threading.Event()

    def user() -> None:
        assert inside.wait(20)
        told.append(torch.get_num_threads())
        over.set()

    def step() -> None:
        inside.set()
        assert over.wait(20)

    other = threading.Thread(target=user)
    other.start()
    at_once(step, lambda: None)
    other.join()
    assert told == [threads]


def test_one_alone_has_all_threads(threads: int) -> None:
    told: list[int] = []
    at_once(lambda: told.append(torch.get_num_threads()))
    assert told == [threads]


@pytest.mark.parametrize("failing", [0, 1])
def test_an_error_is_raised_once_all_have_ended(failing: int) -> None:
    ended: list[int] = []

    def step(number: int) -> None:
        ended.append(number)
        if number == failing:
            raise ValueError(str(number))

    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        with pytest.raises(ValueError, match=str(failing)):
            at_once(lambda: step(0), lambda: step(1))
        assert sorted(ended) == [0, 1]
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)


def test_products_are_the_same_in_any_lane() -> None:
    matrices = torch.randn(2, 300, 300, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    found: dict[int, torch.Tensor] = {}

    def step(number: int) -> None:
        found[number] = matrices[number] @ matrices[number].T

    at_once(lambda: step(0), lambda: step(1))
    for number in (0, 1):
        torch.testing.assert_close(found[number], matrices[number] @ matrices[number].T)


def test_a_forked_process_has_lanes_of_its_own() -> None:
    at_once(lambda: None, lambda: None)  # this process has some now
    child = os.fork()
    if child == 0:
        done: list[int] = []
        at_once(lambda: done.append(1), lambda: done.append(1))
        os._exit(0 if len(done) == 2 else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


def test_a_gpu_works_in_turn() -> None:
    assert lanes(torch.device("cuda")) == 1
    assert lanes(torch.device("cpu")) == torch.get_num_threads()
