"""A plan of the user's own, in any way that a user has it, as panels keep it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeAlias

from spade_widgets.errors import InputError
from spade_widgets.evidence.plan_file import PlanFile
from spade_widgets.pruning.plans.fidelity import check_fidelity
from spade_widgets.pruning.plans.plan import NOMINAL, SparsityPlan
from spade_widgets.pruning.solvers import check_sparsity
from spade_widgets.runtime.tracing import PATTERN, PLAN, Numbers, Pruning
from spade_widgets.widgets.common.wire import check_flag

#: What can be given for a plan: the path of a file that `spade-widgets tune` wrote, its content, a plan, or pairs.
PlanSource: TypeAlias = "str | Path | Mapping[str, Any] | SparsityPlan | Iterable[tuple[str, float]]"


def read_plan(given: Any) -> Numbers:
    """The (layer or pattern, sparsity) pairs of a plan, in its order; of None, none.

    Raises:
        InputError: if a file cannot be read, or what is given is no plan.
    """
    if given is None:
        return ()
    if isinstance(given, str | Path):
        given = PlanFile.read(given).plan
    elif isinstance(given, SparsityPlan):
        given = given.sparsities
    elif isinstance(given, Mapping):
        given = PlanFile.of(given).plan
    pairs = list(given.items()) if isinstance(given, Mapping) else given
    if not isinstance(pairs, list | tuple) or not all(map(_is_pair, pairs)):
        raise InputError(f"A {type(given).__name__} is no plan: say a sparsity for each layer, as in {{'fc': 0.9}}.")
    return tuple((name, check_sparsity(sparsity)) for name, sparsity in pairs)


def asked_pruning(
    begun: Pruning,
    *,
    sparsity: float | None,
    preset: str | None,
    pattern: str | None,
    plan: PlanSource | None,
    solver: str | None,
    sequential: bool | None,
    fidelity: float | None,
) -> Pruning:
    """How a panel is asked to prune. What is None is as it was begun; a pattern or a plan stands for its preset.

    Raises:
        InputError: if a plan is none, or two are asked for that exclude each other.
    """
    if fidelity is not None and sparsity is not None:
        raise InputError("A fidelity is asked for instead of a sparsity: give one of the two.")
    if plan is not None and pattern is not None:
        raise InputError("A plan says its layers: give either a plan or a pattern.")
    key = PLAN.key if plan is not None else PATTERN.key if pattern is not None else begun.preset
    own = plan is not None and fidelity is None  # the plan's own numbers count
    given: dict[str, Any] = {
        "sparsity": NOMINAL if sparsity is None and own else sparsity,
        "preset": preset or key,
        "pattern": pattern,
        "plan": None if plan is None else read_plan(plan),
        "solver": solver,
        "sequential": None if sequential is None else check_flag("sequential", sequential),
        "fidelity": fidelity if fidelity is None else check_fidelity(fidelity),
    }
    if sparsity is not None or own:
        begun = replace(begun, fidelity=None)
    return replace(begun, **{name: value for name, value in given.items() if value is not None})


def _is_pair(given: Any) -> bool:
    return isinstance(given, list | tuple) and len(given) == 2 and isinstance(given[0], str)
