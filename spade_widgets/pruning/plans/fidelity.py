"""Sparsity without ground truth: the sparsest plan under which a network still says what it says dense.

How faithful a plan is, is judged on held-out augmentations. Which of the many plans to judge, the layers' own curves of
error against sparsity say. Three families of plans go from dense to sparse along them: one sparsity for all layers; one
error for all layers; and the least error for the weights that are dropped, which takes, one after the other, the steps
of the curves that add least error for each weight. In each the sparsest faithful plan is found by bisection, which
supposes that sparser plans of a family are less faithful.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from itertools import accumulate
from typing import Any, TypeAlias, TypeVar

from torch import Tensor

from spade_widgets.errors import InputError
from spade_widgets.pruning.calibration.calibration import Calibration, calibrate
from spade_widgets.pruning.plans.curves import Curve, curves
from spade_widgets.pruning.plans.held_out import HeldOut
from spade_widgets.pruning.plans.plan import SparsityPlan
from spade_widgets.pruning.progress import Progress, Steps
from spade_widgets.pruning.pruner import Pruned, Pruner
from spade_widgets.pruning.sequential import sequential
from spade_widgets.pruning.traces.trace import Fidelity, Trace

T = TypeVar("T")

#: Sparsities that a layer of a faithful plan may have.
GRID = (0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.75, 0.8, 0.85, 0.9, 0.925, 0.95, 0.97, 0.98, 0.99)
#: Augmentations that plans are judged on.
HELD_OUT = 64

#: Plans that are judged by their sequential traces; as many walks through the network as their number has bits.
WALKED = 31

#: Of each layer the number of its sparsity in `GRID`.
Choice: TypeAlias = tuple[int, ...]


def check_fidelity(value: Any) -> float:
    """The fidelity as a float.

    Raises:
        InputError: if it is no number in (0, 1].
    """
    try:
        asked = float(value)
    except (TypeError, ValueError):
        raise InputError(f"The fidelity {value!r} is not a number: 0 < fidelity ≤ 1 is accepted.") from None
    if not 0 < asked <= 1:
        raise InputError(f"The fidelity {asked:g} is outside the accepted range: 0 < fidelity ≤ 1.")
    return asked


def faithful(
    pruner: Pruner,
    layers: Sequence[str],
    asked: float,
    augmentations: int,
    *,
    in_sequence: bool = False,
    calibration: Calibration | None = None,
) -> Steps[Trace]:
    """The trace of the sparsest plan found that is as faithful as asked, in steps.

    A plan is faithful if its trace names the dense network's class for the sample, and for at least a share `asked` of
    `HELD_OUT` further augmentations of it the class that the dense network names for that augmentation. The dense plan
    is; where no other one is found, it is the answer. The plan is chosen on these augmentations: on others the
    agreement may come out lower (64 of them tell a share of 0.9 with a standard error of 0.04).

    Args:
        pruner: says the classifier, the sample, the solver and the seed.
        layers: those that may be pruned.
        asked: in (0, 1].
        augmentations: for calibration, at least 1.
        in_sequence: whether the trace is a sequential one. `WALKED` plans of the family that was best otherwise are
            judged by their sequential traces then, which takes several times as long.
        calibration: of these layers over so many augmentations, where it is there already.

    Raises:
        ModelError: if activations are NaN or infinite.
    """
    if calibration is None:
        calibration = yield from calibrate(
            pruner.classifier, pruner.sample, layers, augmentations=augmentations, seed=pruner.seed
        )
    found = yield from curves(pruner, calibration, layers, GRID)
    held_out = HeldOut(pruner.classifier, pruner.sample, HELD_OUT, pruner.seed)
    tried = 0

    def solved(choice: Choice) -> dict[str, Pruned]:
        return {name: curve.pruned(number) for (name, curve), number in zip(found.items(), choice, strict=True)}

    def judged(weights: Mapping[str, Tensor]) -> Fidelity | None:
        verdict = held_out.judge(weights)
        good = verdict.same and verdict.agreement >= asked
        return Fidelity(asked, verdict.agreement, held_out.count) if good else None

    def parallel(choice: Choice) -> Steps[tuple[Choice, Fidelity] | None]:
        nonlocal tried
        yield Progress("searching", tried, longest)
        tried += 1
        fidelity = judged({name: layer.weight for name, layer in solved(choice).items()})
        return None if fidelity is None else (choice, fidelity)

    def walked(choice: Choice) -> Steps[Trace | None]:
        (trace,) = yield from sequential(pruner, [_plan(layers, found, choice)], augmentations)
        fidelity = judged(trace.weights())
        return None if fidelity is None else replace(trace, fidelity=fidelity)

    plans = families(found)
    longest = sum(len(family).bit_length() for family in plans)
    dense = plans[0][0]
    best, fidelity, best_family = dense, Fidelity(asked, 1.0, held_out.count), plans[0]
    for family in plans:
        sparser = [choice for choice in family if kept(found, choice) < kept(found, best)]
        chosen = yield from _sparsest(sparser, parallel)
        if chosen is not None:
            (best, fidelity), best_family = chosen, family
    if in_sequence:
        trace = yield from _sparsest(thinned(best_family, WALKED), walked)
        if trace is not None:
            return trace
        best, fidelity = dense, Fidelity(asked, 1.0, held_out.count)
    more = {"fidelity": fidelity, "sequential": in_sequence}
    return pruner.traces([_plan(layers, found, best)], [solved(best)], augmentations, **more)[0]


def families(found: Mapping[str, Curve]) -> list[list[Choice]]:
    """Families of plans, each from the dense plan on to sparser ones."""
    uniform = [(number,) * len(found) for number in range(len(GRID))]
    return [_least_error(found), _equal_error(found), uniform]


def kept(found: Mapping[str, Curve], choice: Choice) -> int:
    """The weights that a plan keeps."""
    return sum(curve.stats[number].kept for curve, number in zip(found.values(), choice, strict=True))


def thinned(family: Sequence[Choice], count: int) -> list[Choice]:
    """At most so many of the plans, the first and the last among them, evenly from one to the other."""
    places = [round(i * (len(family) - 1) / (count - 1)) for i in range(count)]
    return [family[place] for place in sorted(set(places))]


def _equal_error(found: Mapping[str, Curve]) -> list[Choice]:
    """Each layer as sparse as it can be with an error of at most τ: a plan for every τ."""
    errors = [list(accumulate((row.error for row in curve.stats), max)) for curve in found.values()]
    bounds = sorted({error for curve in errors for error in curve[1:]})
    plans = [tuple(bisect_right(curve, bound) - 1 for curve in errors) for bound in bounds]
    return list(dict.fromkeys([(0,) * len(errors), *plans]))


def _least_error(found: Mapping[str, Curve]) -> list[Choice]:
    """The steps of all layers' lower convex hulls, least error for each dropped weight first: a plan after each step.

    These are the plans that have the least sum of errors for the weights that they drop.
    """
    steps = sorted(
        (slope, layer, number)
        for layer, curve in enumerate(found.values())
        for slope, number in _hull([(row.total - row.kept, row.error) for row in curve.stats])
    )
    plans = [[0] * len(found)]
    for _, layer, number in steps:
        plans.append([*plans[-1][:layer], number, *plans[-1][layer + 1 :]])
    return [tuple(plan) for plan in plans]


def _hull(points: Sequence[tuple[float, float]]) -> list[tuple[float, int]]:
    """The lower convex hull of points (x ascending, y), but for the first: slope up to the point, its number."""
    steps: list[tuple[float, int]] = []
    at = 0
    while at < len(points) - 1:
        x, y = points[at]
        slopes = [((v - y) / (u - x) if u > x else math.inf, -j) for j, (u, v) in enumerate(points) if j > at]
        slope, number = min(slopes)
        if slope == math.inf:  # layers so small that the last sparsities drop the same weights
            break
        at = -number
        steps.append((slope, at))
    return steps


def _plan(layers: Sequence[str], found: Mapping[str, Curve], choice: Choice) -> SparsityPlan:
    """Layers that the forward pass did not reach are asked to stay dense."""
    chosen = {name: GRID[number] for name, number in zip(found, choice, strict=True)}
    return SparsityPlan({name: chosen.get(name, 0.0) for name in layers})


def _sparsest(plans: Sequence[Choice], attempt: Callable[[Choice], Steps[T | None]]) -> Steps[T | None]:
    """What came of the last attempt that did not fail, by bisection; None if that is none of them."""
    best: T | None = None
    good, bad = -1, len(plans)
    while bad - good > 1:
        middle = (good + bad) // 2
        made = yield from attempt(plans[middle])
        if made is None:
            bad = middle
        else:
            good, best = middle, made
    return best
