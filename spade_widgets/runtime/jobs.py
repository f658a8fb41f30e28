"""Jobs: one worker thread that runs generators a step at a time, so that everything can be superseded and cancelled.

A job belongs to an owner (a panel's main work, its chart, …). A newer job of the same owner supersedes the older one,
which is dropped between two of its steps. Owners take turns, step by step: every second turn is the last touched
one's, the others share the rest evenly. An idle job has a turn only while no other wants one, and a job that is held
(nobody looks at its panel) has none; it goes on from where it is.
"""

from __future__ import annotations

import atexit
import logging
import threading
from collections import OrderedDict
from collections.abc import Callable, Generator, Hashable
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from spade_widgets.network.blame import blame

log = logging.getLogger(__name__)

#: What a job runs: each `next` is one step. What it yields is nobody's business but its own.
Steps: TypeAlias = Generator[Any, None, Any]


def always() -> bool:
    """Of a job that is never held."""
    return True


@dataclass(eq=False)
class Job:
    """One cancellable computation.

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


class Worker:
    """The thread that runs jobs. It starts with the first one and is a daemon: it never keeps the kernel alive."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        # By owner, the next in turn first. A job stays here until it has ended or is dropped.
        self._jobs: OrderedDict[Hashable, Job] = OrderedDict()
        # The last touched: one of `_jobs`, or None; whether it had the last turn; and whether it went before another
        # whose turn it was, which is not done twice in a row: a hand that moves all the time must not starve the rest.
        self._favourite: Job | None = None
        self._favoured = self._jumped = False
        # Generators are closed where they run: by another thread, one that is in the middle of a step cannot be.
        self._dropped: list[Job] = []
        self._thread: threading.Thread | None = None
        self._closing = False

    def submit(
        self,
        owner: Hashable,
        steps: Steps,
        on_error: Callable[[Exception], None],
        *,
        idle: bool = False,
        runs: Callable[[], bool] = always,
    ) -> Job:
        """Run `steps`, in the place of what this owner had running or waiting. Returns at once.

        Args:
            owner: whose job it is.
            steps: run on the worker's thread, closed there when superseded, before the new one's first step.
            on_error: told, on the worker's thread, of an exception that `steps` raised.
            idle: has a turn only while no job that is not idle wants one.
            runs: whether it may have a turn now; asked before each, so it must be quick and take no lock. When it
                comes to be true, say so with `look_again`.
        """
        job = Job(owner, steps, on_error, idle=idle, runs=runs)
        with self._changed:
            old = self._jobs.get(owner)
            self._jobs[owner] = job  # in the old one's place in the line: else who is often touched would hold it up
            if old is not None:
                self._leave(old)
            if not idle:
                self._favour(job)
            if self._thread is None or not self._thread.is_alive():  # a forked process has the object alone
                self._thread = threading.Thread(target=self._run, name="spade-widgets", daemon=True)
                self._thread.start()
                atexit.register(self.close)
            self._changed.notify()
        return job

    def favour(self, owner: Hashable) -> None:
        """The owner is the last touched one: what it has running goes first."""
        with self._changed:
            job = self._jobs.get(owner)
            if job is not None and job is not self._favourite and not job.idle:
                self._favour(job)

    @property
    def here(self) -> bool:
        """Whether the caller is on the worker's thread."""
        return threading.current_thread() is self._thread

    def look_again(self) -> None:
        """A job that was held may run now."""
        with self._changed:
            self._changed.notify()

    def cancel(self, owner: Hashable) -> None:
        """Drop the owner's job; if it is in the middle of a step, after that step. Returns at once."""
        with self._changed:
            self._drop(owner)
            self._changed.notify()

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
            self._changed.notify()

    def close(self, timeout: float = 10) -> None:
        """Drop all jobs and end the thread, after the step that it is in. A later job starts a new one.

        Called when the interpreter ends: a daemon thread that it then finds within torch would abort the process.

        Args:
            timeout: seconds to wait for that step.
        """
        with self._changed:
            for owner in list(self._jobs):
                self._drop(owner)
            self._closing = True
            self._changed.notify()
            thread = self._thread
        if thread is not None:
            thread.join(timeout)
        with self._changed:
            self._thread, self._closing = None, False
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
        while self._dropped or not self._closing:
            self._turn()  # a call, so that nothing of the last job is held while there is none

    def _favour(self, job: Job) -> None:
        self._favourite = job
        if self._favoured and not self._jumped:
            self._favoured, self._jumped = False, True

    def _unfavour(self, job: Job) -> None:
        if self._favourite is job:
            self._favourite = None

    def _turn(self) -> None:
        """Close what was dropped, and do one step of the next in turn; wait while there is neither."""
        with self._changed:
            while (job := self._next()) is None and not (self._dropped or self._closing):
                self._changed.wait()
            dropped, self._dropped = self._dropped, []
        for old in dropped:
            self._close(old)
        if job is None or self._step(job):
            return
        with self._changed:
            if self._jobs.get(job.owner) is job:
                del self._jobs[job.owner]
                self._unfavour(job)
        job.finished.set()

    def _next(self) -> Job | None:
        """The job whose turn it is; None where none wants one."""
        able = [job for job in self._jobs.values() if job.runs()]
        wanted = [job for job in able if not job.idle] or able
        favourite = self._favourite if self._favourite in wanted else None
        others = [job for job in wanted if job is not favourite]
        if favourite is not None and not (self._favoured and others):
            self._favoured = True
            return favourite
        if not others:
            return None
        self._favoured = self._jumped = False
        self._jobs.move_to_end(others[0].owner)
        return others[0]

    def _close(self, job: Job) -> None:
        try:
            job.steps.close()
        except Exception:
            log.exception("A job could not be closed")
        job.finished.set()

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


#: The one worker of this process: torch is used by one job at a time, however many panels there are.
WORKER = Worker()
