"""Jobs: a worker that runs generators a step at a time, so that everything can be superseded and cancelled.

A job belongs to an owner (a panel's main work, its chart, …). A newer job of the same owner supersedes the older one,
which is dropped between two of its steps. Owners take turns, step by step: every second turn is the last touched
one's, the others share the rest evenly. An idle job has a turn only while no other wants one, and a job that is held
(nobody looks at its panel) has none; it goes on from where it is.

Jobs of one place (a classifier, and what is kept of it) touch each other, and never run at the same time. Those of
several places do, each on a share of the cores: a step of a picture gains next to nothing from a second one.
"""

from __future__ import annotations

import atexit
import logging
import threading
from collections import OrderedDict
from collections.abc import Callable, Generator, Hashable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import torch

from spade_widgets.network.blame import blame
from spade_widgets.runtime.lanes import threads_of_torch

log = logging.getLogger(__name__)

#: What a job runs: each `next` is one step. What it yields is nobody's business but its own.
Steps: TypeAlias = Generator[Any, None, Any]


def always() -> bool:
    """Of a job that is never held."""
    return True


@dataclass(eq=False)
class Job:
    """One cancellable computation. See `Worker.submit`.

    Attributes:
        finished: set once nothing of it runs any more: at its end, after its error was told, or after it was closed.
        cancelled: whether it was dropped, or superseded.
    """

    owner: Hashable
    steps: Steps
    on_error: Callable[[Exception], None]
    finished: threading.Event = field(default_factory=threading.Event)
    cancelled: bool = False
    idle: bool = False
    runs: Callable[[], bool] = always
    place: Hashable = None


class Worker:
    """The threads that run jobs: as many as there are places at work, and never more than cores.

    They start with the first jobs and are daemons: they never keep the kernel alive.

    Args:
        cores: how many PyTorch may use altogether; asked at each turn.
    """

    def __init__(self, cores: Callable[[], int] = torch.get_num_threads) -> None:
        self._cores = cores
        self._changed = threading.Condition()
        # By owner, the next in turn first. A job stays here until it has ended or is dropped.
        self._jobs: OrderedDict[Hashable, Job] = OrderedDict()
        # How many cores each place works on where a job of it is in the middle of a step.
        self._at_work: dict[Hashable, int] = {}
        # The last touched: one of `_jobs`, or None; whether it had the last turn; and whether it went before another
        # whose turn it was, which is not done twice in a row: a hand that moves all the time must not starve the rest.
        self._favourite: Job | None = None
        self._favoured = self._jumped = False
        # Generators are closed where they run: by another thread, one that is in the middle of a step cannot be.
        self._dropped: list[Job] = []
        self._threads: list[threading.Thread] = []
        self._closing = False

    def submit(
        self,
        owner: Hashable,
        steps: Steps,
        on_error: Callable[[Exception], None],
        *,
        idle: bool = False,
        runs: Callable[[], bool] = always,
        place: Hashable = None,
    ) -> Job:
        """Run `steps`, instead of what this owner had running or waiting. Returns at once.

        Args:
            owner: whose job it is.
            steps: run on a thread of the worker's, closed on one when superseded, before the new one's first step.
            on_error: told, on a thread of the worker's, of an exception that `steps` raised.
            idle: has a turn only while no job that is not idle wants one.
            runs: whether it may have a turn now; asked before each, so it must be quick and take no lock. When it
                comes to be true, say so with `look_again`.
            place: what it works on: of the jobs of one place, one at a time is in the middle of a step. An owner's
                jobs are all of one.
        """
        job = Job(owner, steps, on_error, idle=idle, runs=runs, place=place)
        with self._changed:
            old = self._jobs.get(owner)
            self._jobs[owner] = job  # in the old one's place in the line: else who is often touched would hold it up
            if old is not None:
                self._leave(old)
            if not idle:
                self._favour(job)
            self._man()
            self._changed.notify_all()
        return job

    def _man(self) -> None:
        """Start a thread, where more could work now."""
        alive = [thread for thread in self._threads if thread.is_alive()]
        if not alive:  # the first one; or a forked process, which has the object alone
            self._at_work.clear()
            atexit.register(self.close)
        if len(alive) < max(1, min(self._cores(), len({job.place for job in self._jobs.values()}))):
            alive.append(threading.Thread(target=self._run, name="spade-widgets", daemon=True))
            alive[-1].start()
        self._threads = alive

    def favour(self, owner: Hashable) -> None:
        """The owner is the last touched one: what it has running goes first."""
        with self._changed:
            job = self._jobs.get(owner)
            if job is not None and job is not self._favourite and not job.idle:
                self._favour(job)

    @property
    def here(self) -> bool:
        """Whether the caller is on a thread of the worker's."""
        return threading.current_thread() in self._threads

    def look_again(self) -> None:
        """A job that was held may run now."""
        with self._changed:
            self._changed.notify_all()

    def cancel(self, owner: Hashable) -> None:
        """Drop the owner's job; if it is in the middle of a step, after that step. Returns at once."""
        with self._changed:
            self._drop(owner)
            self._changed.notify_all()

    def cancel_all(self, owner: Hashable) -> None:
        """Drop the owner's job and those of its parts."""
        with self._changed:
            self._drop(owner)
            self.cancel_parts(owner)

    def cancel_parts(self, owner: Hashable) -> None:
        """Drop the jobs of the owner's parts: the owners that are a tuple which it begins."""
        with self._changed:
            for known in list(self._jobs):
                if isinstance(known, tuple) and known[:1] == (owner,):
                    self._drop(known)
            self._changed.notify_all()

    def close(self, timeout: float = 10) -> None:
        """Drop all jobs and end the threads, after the steps that they are in. A later job starts new ones.

        Called when the interpreter ends: a daemon thread that it then finds within torch would abort the process.

        Args:
            timeout: seconds to wait for each of these steps.
        """
        with self._changed:
            for owner in list(self._jobs):
                self._drop(owner)
            self._closing = True
            self._changed.notify_all()
            threads = self._threads
        for thread in threads:
            thread.join(timeout)
        with self._changed:
            self._threads, self._closing = [], False
        atexit.unregister(self.close)

    def _drop(self, owner: Hashable) -> None:
        job = self._jobs.pop(owner, None)
        if job is not None:
            self._leave(job)

    def _leave(self, job: Job) -> None:
        self._unfavour(job)
        job.cancelled = True
        self._dropped.append(job)

    def _run(self) -> None:
        while self._turn():  # a call, so that nothing of the last job is held while there is none
            pass

    def _favour(self, job: Job) -> None:
        self._favourite = job
        if self._favoured and not self._jumped:
            self._favoured, self._jumped = False, True

    def _unfavour(self, job: Job) -> None:
        if self._favourite is job:
            self._favourite = None

    def _turn(self) -> bool:
        """Close what was dropped, or do one step of the next in turn; wait while there is neither.

        Returns:
            Whether there are further turns: False once the worker is closed.
        """
        with self._changed:
            while (job := self._next()) is None:
                if self._closing and not self._dropped:
                    return False
                self._changed.wait()
            over, cores = job.cancelled, self._share()
            self._at_work[job.place] = cores
        more = True
        try:
            with nullcontext() if cores >= self._cores() else threads_of_torch(cores):
                more = self._close(job) if over else self._step(job)
        finally:
            with self._changed:
                del self._at_work[job.place]
                if not more and self._jobs.get(job.owner) is job:
                    del self._jobs[job.owner]
                    self._unfavour(job)
                self._changed.notify_all()
        if not more:
            job.finished.set()
        return True

    def _share(self) -> int:
        """How many cores the next in turn has: all that there are where no other place wants one."""
        places = {job.place for job in self._wanting()}
        cores = self._cores()
        return max(1, min(cores - sum(self._at_work.values()), cores // max(1, len(places))))

    def _wanting(self) -> list[Job]:
        """The jobs that want a turn, also those that have one."""
        able = [job for job in self._jobs.values() if job.runs()]
        return [job for job in able if not job.idle] or able

    def _next(self) -> Job | None:
        """The dropped job that is closed now, or else the one whose turn it is; None where there is none."""
        for i, dropped in enumerate(self._dropped):
            if dropped.place not in self._at_work:
                return self._dropped.pop(i)
        cores = self._cores()
        if sum(self._at_work.values()) >= cores:
            return None
        wanting = self._wanting()
        free = [job for job in wanting if job.place not in self._at_work]
        favourite = self._favourite if self._favourite in free else None
        others = [job for job in free if job is not favourite]
        if favourite is not None and not (self._favoured and self._rivals(others, cores)):
            self._favoured = True
            return favourite
        if not others:
            return None
        if self._favourite is None or others[0] in self._rivals(others, cores):
            self._favoured = self._jumped = False
        self._jobs.move_to_end(others[0].owner)
        return others[0]

    def _rivals(self, others: Sequence[Job], cores: int) -> Sequence[Job]:
        """Those of the others that can't run beside the last touched one."""
        favourite = self._favourite
        if favourite is None or len({favourite.place, *(job.place for job in others)}) > cores:
            return others
        return [job for job in others if job.place == favourite.place]

    def _close(self, job: Job) -> bool:
        """The end of a dropped job: there is no more of it."""
        try:
            job.steps.close()
        except Exception:
            log.exception("A job could not be closed")
        return False

    def _step(self, job: Job) -> bool:
        """One step of a job; whether there is more of it."""
        if job.cancelled:  # just now: it is closed in the next turn
            return True
        try:
            next(job.steps)
        except StopIteration:
            return False
        except Exception as error:  # noqa: BLE001 - whatever it is, it is told and the worker goes on
            if not job.cancelled:
                self._tell(job, blame(error) or error)
            return False
        return True

    def _tell(self, job: Job, error: Exception) -> None:
        try:
            job.on_error(error)
        except Exception:
            log.exception("An error could not be shown")


#: The one worker of this process: it has no more cores than PyTorch, however many panels there are.
WORKER = Worker()
