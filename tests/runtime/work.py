"""Jobs for the tests of the worker, and how they are waited for."""

from __future__ import annotations

from collections.abc import Generator, Iterator
from typing import Any

import pytest

from spade_widgets.runtime.jobs import Job

PATIENCE = 20.0


def fail(error: Exception) -> None:
    pytest.fail(f"unexpected: {error}")


def ended(*jobs: Job) -> None:
    for job in jobs:
        assert job.finished.wait(PATIENCE)


def counted(log: list[str], name: str, steps: int) -> Generator[None, None, None]:
    for i in range(steps):
        log.append(f"{name}{i}")
        yield


def endless(log: list[Any], owner: Any) -> Iterator[None]:
    """A job that is there all the time and writes down its turns."""
    while True:
        log.append(owner)
        yield
