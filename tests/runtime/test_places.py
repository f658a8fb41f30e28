"""The worker: jobs of several places side by side, each on its share of the cores, and never two of one place."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator

import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from runtime.work import PATIENCE, counted, ended, endless, fail

from spade_widgets.runtime.jobs import Job, Worker


def many_cored(cores: int = 2) -> Worker:
    return Worker(lambda: cores)


def test_jobs_of_two_places_are_in_a_step_at_the_same_time() -> None:
    worker, both = many_cored(), threading.Barrier(2, timeout=PATIENCE)  # in turn, the first would wait for ever
    submitted, told = threading.Event(), list[int]()

    def steps() -> Iterator[None]:
        assert submitted.wait(PATIENCE)  # as long as the first is alone it has all cores
        yield
        both.wait()
        told.append(torch.get_num_threads())
        yield

    jobs = [worker.submit(owner, steps(), fail, place=owner) for owner in "ab"]
    submitted.set()
    ended(*jobs)
    assert told == [1, 1]


def test_jobs_of_one_place_never_are() -> None:
    worker, inside = many_cored(4), list[str]()

    def steps(owner: str) -> Iterator[None]:
        for _ in range(50):
            assert inside == []
            inside.append(owner)
            time.sleep(0.0005)
            inside.remove(owner)
            yield

    jobs = [worker.submit(owner, steps(owner), fail, place="here") for owner in "abc"]
    beside = worker.submit("d", counted([], "d", 50), fail, place="there")
    ended(*jobs, beside)


def test_what_is_dropped_is_closed_before_anything_else_of_its_place_begins() -> None:
    worker, log = many_cored(), list[str]()
    inside, go_on = threading.Event(), threading.Event()

    def older() -> Iterator[None]:
        try:
            inside.set()
            assert go_on.wait(PATIENCE)
            yield
        finally:
            log.append("closed")

    there = worker.submit("b", endless([], "b"), fail, place="there")  # so that nobody has all cores
    first = worker.submit("a", older(), fail, place="here")
    assert inside.wait(PATIENCE)
    newer = worker.submit("a", counted(log, "newer ", 1), fail, place="here")
    worker.cancel("b")
    ended(there, worker.submit("b", counted(log, "b", 3), fail, place="there"))  # the other thread's, meanwhile
    assert log == ["b0", "b1", "b2"]
    go_on.set()
    ended(first, newer)
    assert log[3:] == ["closed", "newer 0"]


def test_a_long_step_of_one_place_does_not_hold_up_another() -> None:
    worker, inside, go_on = many_cored(), threading.Event(), threading.Event()

    def long() -> Iterator[None]:
        yield
        inside.set()
        assert go_on.wait(PATIENCE)
        yield

    quick = worker.submit("quick", endless([], "quick"), fail, place="there")  # else the long one has all cores
    job = worker.submit("long", long(), fail, place="here")
    assert inside.wait(PATIENCE)
    ended(worker.submit("b", counted([], "b", 100), fail, place="there"))
    assert not job.finished.is_set()
    worker.cancel("quick")
    go_on.set()
    ended(job, quick)


@given(
    st.integers(1, 3),
    st.lists(st.tuples(st.sampled_from("abcdef"), st.sampled_from(["submit", "idle", "cancel"])), max_size=40),
)
@settings(deadline=None, max_examples=30)
def test_no_place_is_in_two_steps_and_no_more_cores_are_used_than_there_are(
    cores: int, acts: list[tuple[str, str]]
) -> None:
    worker, lock = many_cored(cores), threading.Lock()
    busy: dict[str, int] = {}
    wrong: list[str] = []
    jobs: list[Job] = []

    def steps(place: str) -> Iterator[None]:
        for _ in range(5):
            with lock:
                if place in busy:
                    wrong.append(f"two steps in {place}")
                busy[place] = worker._at_work.get(place, 0)
                if not all(busy.values()) or sum(busy.values()) > cores:
                    wrong.append(f"{busy} of {cores}")
            time.sleep(0.0001)
            with lock:
                del busy[place]
            yield

    for owner, act in acts:
        place = "xyz"["abcdef".index(owner) % 3]
        if act == "cancel":
            worker.cancel(owner)
        else:
            jobs.append(worker.submit(owner, steps(place), fail, place=place, idle=act == "idle"))
    ended(*jobs)
    worker.close()
    assert wrong == []
    assert not worker._jobs
    assert not worker._dropped
    assert not worker._at_work
    assert worker._threads == []


def test_the_last_touched_has_half_of_its_place_also_while_another_place_is_at_work() -> None:
    worker, log = many_cored(), list[str]()
    worker._threads = 2 * [threading.current_thread()]
    for owner, place in [("z", "there"), ("x", "here"), ("y", "here")]:
        worker.submit(owner, endless(log, owner), fail, place=place)
    worker._at_work["there"] = 1  # z is in the middle of a long step
    for _ in range(10):
        worker._turn()
    assert "".join(log) == "yxyxyxyxyx"
