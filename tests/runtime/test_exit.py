"""A process that ends while the worker works ends well."""

from __future__ import annotations

import subprocess
import sys

from spade_widgets.runtime.jobs import Worker

BUSY = """
import torch
from spade_widgets.runtime.jobs import WORKER

def steps():
    image = torch.rand(1, 8, 64, 64, requires_grad=True)
    kernel = torch.rand(8, 8, 3, 3)
    while True:
        torch.nn.functional.conv2d(image, kernel).sum().backward()
        yield

WORKER.submit("panel", steps(), print)
"""


def test_the_interpreter_ends_while_a_job_runs() -> None:
    done = subprocess.run([sys.executable, "-c", BUSY], capture_output=True, text=True, check=False, timeout=120)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_a_closed_worker_has_dropped_its_jobs_and_starts_again_for_the_next() -> None:
    worker = Worker()

    def forever():
        while True:
            yield

    first = worker.submit("panel", forever(), print)
    worker.close()
    assert first.cancelled
    assert first.finished.is_set()
    second = worker.submit("panel", iter_once(), print)
    assert second.finished.wait(10)
    assert not second.cancelled
    worker.close()


def iter_once():
    yield
