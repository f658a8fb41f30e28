"""What a trace takes with each solver, about: said before it begins."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from spade_widgets.pruning.plans.choose import LONG, choices, estimate, spoken
from spade_widgets.pruning.plans.fidelity import GRID
from spade_widgets.pruning.sequential import walk
from spade_widgets.runtime.session import Session
from spade_widgets.runtime.tracing import Pruning


def estimates(session: Session, pruning: Pruning) -> Iterator[tuple[str, float]]:
    """Each solver that can be chosen and the seconds that a trace takes with it; for the worker: the network is asked.

    `"auto"` takes what the solver that it chooses takes. See `estimate` for how far to trust it.
    """
    layers = session.plan(pruning).layers
    searched = pruning.fidelity is not None
    for name in choices():
        solver = session.solver(replace(pruning, solver=name))
        key = ("estimate", layers, solver, pruning.sequential, searched)
        known: float | None = session.store.get(key)
        if known is None:
            classifier = session.classifier
            blocks = len(walk(classifier, layers)) if pruning.sequential else 0
            sparsities = len(GRID) if searched else 1
            known = estimate(solver, classifier, layers, sparsities, session.augmentations, blocks)
            session.store.put(key, known, 200 * len(layers))
        yield name, known


def about(seconds: float | None) -> str:
    """How long it takes, as it is said while one waits; "" where it is not long, or not known."""
    return "" if seconds is None or seconds < LONG else f"about {spoken(seconds)}"
