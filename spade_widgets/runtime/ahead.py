"""Neighbouring sparsities, solved while nothing else is to be done: the slider finds them there."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import replace
from time import perf_counter

from spade_widgets.runtime.session import Session
from spade_widgets.runtime.tracing import Pruning
from spade_widgets.sample import Sample

#: Where the slider has its marks, and the last of them where it ends (`js/src/lib/scale.ts`).
MARKS = (0.0, 0.5, 0.8, 0.9, 0.95, 0.98, 0.99)
#: Steps of a key to either side.
STEPS = 4
#: Seconds of work, and bytes of weights, after which it is enough.
SECONDS, NBYTES = 20.0, 256 * 2**20


def neighbours(sparsity: float) -> list[float]:
    """The sparsities that keys and marks lead to from one, the nearest on the slider first; without itself."""
    near: list[float] = []
    for sign in (1, -1):
        value = sparsity
        for _ in range(STEPS):
            # A step is half as wide from 90 % on, as in the front end.
            coarse = value < 0.9 - 1e-9 if sign > 0 else value < 0.9 + 1e-9
            value = round(min(MARKS[-1], max(0.0, value + sign * (0.01 if coarse else 0.005))), 3)
            near.append(value)
    return sorted({*near, *MARKS} - {round(sparsity, 3)}, key=lambda other: abs(_place(other) - _place(sparsity)))


def ahead(session: Session, sample: Sample, pruning: Pruning, at: Sequence[float] | None = None) -> Iterator[bool]:
    """Trace a sample at other sparsities; nothing runs between two yields.

    Args:
        session: that makes and keeps them.
        sample: the sample.
        pruning: how, but for the sparsity.
        at: the sparsities; default: the neighbours.

    Yields:
        Whether one more is there now.

    Raises:
        SpadeError: where one cannot be traced.
    """
    spent, nbytes = 0.0, 0
    for sparsity in neighbours(pruning.sparsity) if at is None else at:
        tracing = session.trace(sample, replace(pruning, sparsity=sparsity))
        try:
            while True:
                began = perf_counter()
                try:
                    next(tracing)
                except StopIteration as stop:
                    nbytes += sum(w.numel() * w.element_size() for w in stop.value.weights().values())
                    break
                spent += perf_counter() - began
                if spent > SECONDS:
                    return
                yield False
        finally:
            tracing.close()
        yield True
        if nbytes > NBYTES:
            return


def _place(sparsity: float) -> float:
    """Where a sparsity lies on the slider, in 0…1."""
    return 1 - math.sqrt(max(0.0, 1 - sparsity / MARKS[-1]))
