"""The solvers, by name. A new one is one file here and one line in the registry.

May import: `pruning.progress`, `pruning.calibration.precision`, and what lies below `pruning`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from spade_widgets.errors import InputError
from spade_widgets.pruning.solvers.base import (
    Prepared,
    Solver,
    SolverSteps,
    check_sparsity,
    relative_error,
    zeros,
)
from spade_widgets.pruning.solvers.exact import Exact
from spade_widgets.pruning.solvers.fast import Fast
from spade_widgets.pruning.solvers.magnitude import Magnitude
from spade_widgets.pruning.solvers.refined import Refined

SOLVERS: dict[str, Callable[..., Solver]] = {"exact": Exact, "fast": Fast, "magnitude": Magnitude, "refined": Refined}

__all__ = [
    "SOLVERS",
    "Prepared",
    "Solver",
    "SolverSteps",
    "check_sparsity",
    "relative_error",
    "solver",
    "zeros",
]


def solver(name: str, **options: Any) -> Solver:
    """A solver by name, with its options.

    Raises:
        InputError: if there is no such solver, or it has no such option.
    """
    if name not in SOLVERS:
        raise InputError(f"There is no solver '{name}': {', '.join(map(repr, SOLVERS))} can be chosen.")
    try:
        return SOLVERS[name](**options)
    except TypeError as error:
        raise InputError(f"The solver '{name}' does not take these options: {error}.") from None
