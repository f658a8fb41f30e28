"""The worker: jobs that supersede each other between two steps, owners that take turns."""

from __future__ import annotations

import gc
import itertools
import logging
import threading
import time
import weakref
from collections.abc import Callable, Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from runtime.work import PATIENCE, counted, ended, endless, fail

from spade_widgets.runtime.jobs import Job, Worker


@pytest.fixture
def worker() -> Worker:
    return Worker()


class Gate:
    """A job whose first step holds the worker until it is opened: what is submitted meanwhile waits in its turn."""

    def __init__(self, worker: Worker) -> None:
        self._entered, self._opened = threading.Event(), threading.Event()
        self._job = worker.submit(self, self._steps(), fail)
        assert self._entered.wait(PATIENCE)

    def _steps(self) -> Iterator[None]:
        self._entered.set()
        assert self._opened.wait(PATIENCE)
        yield

    def open(self) -> None:
        self._opened.set()


def test_a_job_runs_step_by_step_on_a_thread_of_its_own(worker: Worker) -> None:
    log: list[str] = []
    threads = []

    def steps() -> Iterator[None]:
        for _ in range(3):
            threads.append(threading.current_thread())
            yield

    ended(worker.submit("a", steps(), fail), worker.submit("b", counted(log, "b", 2), fail))
    assert log == ["b0", "b1"]
    assert len(threads) == 3
    assert len(set(threads)) == 1
    assert threads[0] is not threading.current_thread()
    assert threads[0].daemon


def test_no_thread_before_the_first_job(worker: Worker) -> None:
    assert worker._threads == []


def test_a_newer_job_supersedes_within_one_step_and_the_older_is_closed_first(worker: Worker) -> None:
    log: list[str] = []
    inside, go_on = threading.Event(), threading.Event()

    def older() -> Iterator[None]:
        try:
            for i in range(1000):
                log.append(f"older {i}")
                if i == 2:
                    inside.set()
                    assert go_on.wait(PATIENCE)
                yield
        finally:
            log.append("closed on " + threading.current_thread().name)

    first = worker.submit("panel", older(), fail)
    assert inside.wait(PATIENCE)
    second = worker.submit("panel", counted(log, "newer ", 2), fail)
    assert first.cancelled
    assert not first.finished.is_set()  # its step is still running
    go_on.set()
    ended(first, second)
    assert log == ["older 0", "older 1", "older 2", "closed on spade-widgets", "newer 0", "newer 1"]


def test_submit_and_cancel_return_at_once_while_a_step_is_running(worker: Worker) -> None:
    gate = Gate(worker)
    log: list[str] = []
    # Were either to wait for the step, this thread would never come to open the gate.
    job = worker.submit("panel", counted(log, "a", 1), fail)
    worker.submit("other", counted(log, "b", 1), fail)
    worker.cancel("other")
    gate.open()
    ended(job)
    assert log == ["a0"]


@pytest.mark.parametrize("how", ["cancel", "supersede"])
def test_what_waits_is_dropped_without_ever_starting_and_is_closed(worker: Worker, how: str) -> None:
    gate = Gate(worker)
    log: list[str] = []
    steps = counted(log, "dropped ", 3)
    job = worker.submit("panel", steps, fail)
    if how == "cancel":
        worker.cancel("panel")
    else:
        worker.submit("panel", counted(log, "newer ", 1), fail)
    gate.open()
    ended(job)
    assert not any(line.startswith("dropped") for line in log)
    assert steps.gi_frame is None  # closed: there is nothing left to run


def test_a_job_dropped_between_two_of_its_steps_is_closed_by_the_worker(worker: Worker) -> None:
    """Closed by whoever drops it, its `finally` would run in a handler of the page, which must not compute."""
    closed_on: list[str] = []
    begun = threading.Event()

    def steps() -> Iterator[None]:
        try:
            begun.set()
            while True:
                yield
        finally:
            closed_on.append(threading.current_thread().name)

    job = worker.submit("panel", steps(), fail)
    assert begun.wait(PATIENCE)
    gate = Gate(worker)  # so that it is not in a step now
    worker.cancel("panel")
    assert closed_on == []
    gate.open()
    ended(job)
    assert closed_on == ["spade-widgets"]


def test_cancel_of_an_owner_without_a_job_is_nothing(worker: Worker) -> None:
    worker.cancel("nobody")
    log: list[str] = []
    ended(worker.submit("a", counted(log, "a", 1), fail))
    worker.cancel("a")
    ended(worker.submit("a", counted(log, "b", 1), fail))
    assert log == ["a0", "b0"]


@pytest.fixture
def still(worker: Worker) -> Worker:
    """A worker without a thread: its turns are taken by the test."""
    worker._threads = [threading.current_thread()]
    return worker


def test_owners_take_turns_and_every_second_is_the_last_touched_ones(still: Worker) -> None:
    log: list[str] = []
    for owner in "abc":
        still.submit(owner, endless(log, owner), fail)
    for _ in range(8):
        still._turn()
    assert "".join(log) == "cacbcacb"
    still.cancel("c")
    for _ in range(1 + 4):  # in the first, it is closed
        still._turn()
    assert "".join(log[8:]) == "abab"


@pytest.mark.parametrize("others", [1, 3, 9])
def test_while_many_work_the_last_touched_has_half_of_the_turns_and_the_rest_share_evenly(
    still: Worker, others: int
) -> None:
    log: list[int] = []
    for owner in range(others + 1):
        still.submit(owner, endless(log, owner), fail)
    still.favour(0)  # touched, and nothing of it began anew
    for _ in range(2 * others * 20):
        still._turn()
    assert log[0] == 0
    assert log.count(0) == others * 20
    assert {log.count(owner) for owner in range(1, others + 1)} == {20}


@given(st.lists(st.sampled_from(["a", "b", "favour a", "favour c", "turn", "turn", "turn"]), max_size=60))
@settings(deadline=None)
def test_nobody_starves_whoever_is_touched_however_often(acts: list[str]) -> None:
    """c and d, whom nobody submits again, come at least every twelfth turn: each of the others thrice before them."""
    worker, log = Worker(), list[str]()
    worker._threads = [threading.current_thread()]
    for owner in "abcd":
        worker.submit(owner, endless(log, owner), fail)
    for act in [*acts, *["turn"] * 30]:
        if act == "turn":
            worker._turn()
        elif act.startswith("favour"):
            worker.favour(act[-1])
        else:
            worker.submit(act, endless(log, act), fail)
            worker._turn()  # the worst case: each turn comes after a new submission
    for quiet in "cd":
        gaps = [i for i, owner in enumerate(log) if owner == quiet]
        assert max(b - a for a, b in itertools.pairwise([-1, *gaps, len(log)])) <= 12


def test_the_last_touched_goes_first_though_it_would_be_anothers_turn(still: Worker) -> None:
    log: list[str] = []
    still.submit("a", counted(log, "a", 9), fail)
    still.submit("b", counted(log, "b", 9), fail)
    still._turn()
    assert log == ["b0"]
    still.submit("c", counted(log, "c", 9), fail)
    still._turn()
    assert log == ["b0", "c0"]


def test_an_idle_job_has_a_turn_only_while_no_other_wants_one(worker: Worker) -> None:
    log: list[str] = []
    gate = Gate(worker)
    idle = [worker.submit(owner, counted(log, owner, 2), fail, idle=True) for owner in "xy"]
    busy = worker.submit("a", counted(log, "a", 5), fail)
    gate.open()
    ended(*idle, busy)
    assert log[:5] == [f"a{i}" for i in range(5)]
    assert sorted(log[5:7]) == ["x0", "y0"]
    assert sorted(log[7:]) == ["x1", "y1"]


def test_an_idle_job_that_runs_gives_way_after_its_step(worker: Worker) -> None:
    log: list[str] = []
    inside, go_on = threading.Event(), threading.Event()

    def idle() -> Iterator[None]:
        inside.set()
        assert go_on.wait(PATIENCE)
        yield
        log.append("idle")

    first = worker.submit("x", idle(), fail, idle=True)
    assert inside.wait(PATIENCE)
    second = worker.submit("a", counted(log, "a", 3), fail)
    go_on.set()
    ended(first, second)
    assert log == ["a0", "a1", "a2", "idle"]


def test_a_held_job_stays_where_it_is_until_it_may_run(worker: Worker) -> None:
    log: list[str] = []
    looked_at = threading.Event()
    looked_at.set()

    def steps() -> Iterator[None]:
        for i in range(4):
            log.append(f"{i}")
            if i == 1:
                looked_at.clear()
            yield

    job = worker.submit("a", steps(), fail, runs=looked_at.is_set)
    ended(worker.submit("b", counted([], "b", 20), fail))
    deadline = time.monotonic() + PATIENCE
    while len(log) < 2 and time.monotonic() < deadline:
        time.sleep(0.01)
    ended(worker.submit("b", counted([], "b", 20), fail))
    assert log == ["0", "1"]
    assert not job.finished.is_set()
    looked_at.set()
    worker.look_again()
    ended(job)
    assert log == ["0", "1", "2", "3"]


def test_a_held_job_can_be_dropped_and_keeps_no_idle_one_from_running(worker: Worker) -> None:
    log: list[str] = []
    held = worker.submit("a", counted(log, "a", 3), fail, runs=lambda: False)
    ended(worker.submit("x", counted(log, "x", 2), fail, idle=True))
    assert log == ["x0", "x1"]
    worker.cancel("a")
    ended(held)
    assert log == ["x0", "x1"]


def test_a_long_job_does_not_starve_a_short_one(worker: Worker) -> None:
    def endless() -> Iterator[None]:
        while True:
            time.sleep(0.001)
            yield

    long = worker.submit("long", endless(), fail)
    ended(worker.submit("short", counted([], "s", 5), fail))
    assert not long.finished.is_set()
    worker.cancel("long")
    ended(long)


def test_an_exception_is_told_and_the_worker_lives_on(worker: Worker) -> None:
    def broken() -> Iterator[None]:
        yield
        raise RuntimeError("no")

    told: list[tuple[str, str]] = []
    job = worker.submit("a", broken(), lambda e: told.append((str(e), threading.current_thread().name)))
    ended(job)
    assert told == [("no", "spade-widgets")]  # and it was told before the job counts as finished
    log: list[str] = []
    ended(worker.submit("a", counted(log, "a", 1), fail))
    assert log == ["a0"]


def test_an_error_that_cannot_be_told_is_logged(worker: Worker, caplog: pytest.LogCaptureFixture) -> None:
    def broken() -> Iterator[None]:
        raise RuntimeError("no")
        yield

    def worse(error: Exception) -> None:
        raise ValueError("cannot say it") from error

    with caplog.at_level(logging.ERROR, "spade_widgets"):
        ended(worker.submit("a", broken(), worse))
    (record,) = caplog.records
    assert record.exc_info is not None
    assert "cannot say it" in str(record.exc_info[1])
    ended(worker.submit("a", counted([], "a", 1), fail))


def test_a_generator_that_fails_to_close_is_logged_and_the_worker_lives_on(
    worker: Worker, caplog: pytest.LogCaptureFixture
) -> None:
    begun = threading.Event()

    def stubborn() -> Iterator[None]:
        try:
            while True:
                begun.set()
                yield
        finally:
            raise RuntimeError("will not close")

    job = worker.submit("a", stubborn(), fail)
    assert begun.wait(PATIENCE)
    with caplog.at_level(logging.ERROR, "spade_widgets"):
        worker.cancel("a")
        ended(job)
    assert "could not be closed" in caplog.text
    ended(worker.submit("a", counted([], "a", 1), fail))


def test_the_error_of_a_superseded_job_is_not_told(worker: Worker) -> None:
    inside, go_on = threading.Event(), threading.Event()

    def broken() -> Iterator[None]:
        inside.set()
        assert go_on.wait(PATIENCE)
        raise RuntimeError("about what nobody looks at any more")
        yield

    told: list[Exception] = []
    first = worker.submit("a", broken(), told.append)
    assert inside.wait(PATIENCE)
    second = worker.submit("a", counted([], "a", 1), fail)
    go_on.set()
    ended(first, second)
    assert told == []


def test_a_job_superseded_in_its_last_step_leaves_the_newer_alone(worker: Worker) -> None:
    inside, go_on = threading.Event(), threading.Event()

    def ending() -> Iterator[None]:
        inside.set()
        assert go_on.wait(PATIENCE)
        return
        yield

    log: list[str] = []
    first = worker.submit("a", ending(), fail)
    assert inside.wait(PATIENCE)
    second = worker.submit("a", counted(log, "newer ", 3), fail)
    go_on.set()
    ended(first, second)
    assert log == ["newer 0", "newer 1", "newer 2"]


def test_a_job_may_supersede_itself(worker: Worker) -> None:
    log: list[str] = []
    newer: list[Job] = []

    def steps() -> Iterator[None]:
        try:
            log.append("step")
            newer.append(worker.submit("a", counted(log, "newer ", 1), fail))
            yield
            log.append("never")
        finally:
            log.append("closed")

    ended(worker.submit("a", steps(), fail))
    ended(*newer)
    assert log == ["step", "closed", "newer 0"]


def test_many_threads_submit_and_every_job_ends(worker: Worker) -> None:
    """Nothing is lost or run twice, whoever supersedes whom at whatever moment."""
    opened, closed = [0], [0]
    jobs: list[Job] = []
    lock = threading.Lock()

    def steps() -> Iterator[None]:
        opened[0] += 1
        try:
            for _ in range(3):
                yield
        finally:
            closed[0] += 1

    def submit(owner: int) -> None:
        for i in range(100):
            job = worker.submit(owner % 3, steps(), fail)
            with lock:
                jobs.append(job)
            if i % 10 == 0:
                worker.cancel(owner % 3)

    threads = [threading.Thread(target=submit, args=(i,)) for i in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(PATIENCE)
    ended(*jobs)
    assert len(jobs) == 600
    assert opened == closed
    assert not worker._jobs
    assert not worker._dropped


def test_an_idle_worker_holds_nothing_of_its_last_job(worker: Worker) -> None:
    class Owner:
        def fail(self, error: Exception) -> None:
            raise AssertionError from error

        def steps(self) -> Iterator[None]:
            yield

    def run(end: Callable[[Owner, Job], None]) -> weakref.ref[Owner]:
        owner = Owner()
        end(owner, worker.submit(owner, owner.steps(), owner.fail))
        return weakref.ref(owner)

    def wait_for_end(_owner: Owner, job: Job) -> None:
        ended(job)

    def cancel(owner: Owner, job: Job) -> None:
        worker.cancel(owner)
        ended(job)

    for end in (wait_for_end, cancel):
        left = run(end)
        deadline = time.monotonic() + PATIENCE  # it says that it has ended a moment before it lets go
        while left() is not None and time.monotonic() < deadline:
            gc.collect()
            time.sleep(0.01)
        assert left() is None
