"""Jobs: one worker thread that runs generators a step at a time, so that everything can be superseded and cancelled.

A job belongs to an owner (a panel's main work, its chart, …). A newer job of the same owner supersedes the older one,
which is dropped between two of its steps. Owners take turns, step by step.
"""

from __future__ import annotations

import atexit
import logging
import threading
from collections import OrderedDict
from collections.abc import Callable, Generator, Hashable
from dataclasses import dataclass, field
from typing import Any, TypeAlias

log = logging.getLogger(__name__)

#: What a job runs: each `next` is one step. What it yields is nobody's business but its own.
Steps: TypeAlias = Generator[Any, None, Any]


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


class Worker:
    """The thread that runs jobs. It starts with the first one and is a daemon: it never keeps the kernel alive."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        # By owner, the next in turn first. A job stays here until it has ended or is dropped.
        self._jobs: OrderedDict[Hashable, Job] = OrderedDict()
        # Generators are closed where they run: by another thread, one that is in the middle of a step cannot be.
        self._dropped: list[Job] = []
        self._thread: threading.Thread | None = None
        self._closing = False

    def submit(self, owner: Hashable, steps: Steps, on_error: Callable[[Exception], None]) -> Job:
        """Run `steps`, in the place of what this owner had running or waiting. Returns at once.

        Args:
            owner: whose job it is.
            steps: run on the worker's thread, closed there when superseded, before the new one's first step.
            on_error: told, on the worker's thread, of an exception that `steps` raised.
        """
        job = Job(owner, steps, on_error)
        with self._changed:
            self._drop(owner)
            self._jobs[owner] = job
            self._jobs.move_to_end(owner, last=False)  # the last touched goes first
            if self._thread is None or not self._thread.is_alive():  # a forked process has the object alone
                self._thread = threading.Thread(target=self._run, name="spade-widgets", daemon=True)
                self._thread.start()
                atexit.register(self.close)
            self._changed.notify()
        return job

    def cancel(self, owner: Hashable) -> None:
        """Drop the owner's job; if it is in the middle of a step, after that step. Returns at once."""
        with self._changed:
            self._drop(owner)
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
            job.cancelled = True
            self._dropped.append(job)

    def _run(self) -> None:
        while self._dropped or not self._closing:
            self._turn()  # a call, so that nothing of the last job is held while there is none

    def _turn(self) -> None:
        """Close what was dropped, and do one step of the next in turn; wait while there is neither."""
        with self._changed:
            while not (self._jobs or self._dropped or self._closing):
                self._changed.wait()
            dropped, self._dropped = self._dropped, []
            job = next(iter(self._jobs.values()), None)
            if job is not None:
                self._jobs.move_to_end(job.owner)
        for old in dropped:
            self._close(old)
        if job is None or self._step(job):
            return
        with self._changed:
            if self._jobs.get(job.owner) is job:
                del self._jobs[job.owner]
        job.finished.set()

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
                self._tell(job, error)
            return False
        return True

    def _tell(self, job: Job, error: Exception) -> None:
        try:
            job.on_error(error)
        except Exception:
            log.exception("An error could not be shown")


#: The one worker of this process: torch is used by one job at a time, however many panels there are.
WORKER = Worker()
