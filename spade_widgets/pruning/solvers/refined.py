"""The refined solver: below exact greedy elimination in error, in the time of a few FastSPADE sweeps.

1. ADMM finds a support over the whole layer, somewhat too large (`admm`).
2. It is eliminated down to the count, then exchanged with what is outside, for as many rounds as pay (`exchange`).
3. The weights on it are least squares; magnitude pruning with least squares is the bound that it never exceeds.

Greedy elimination walks all the way from the dense weights, and every step has to live with those before. ADMM looks at
all weights at once, so that the elimination starts near its end: it is cheap there, and makes fewer mistakes.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar

import torch
from torch import Tensor

from spade_widgets.errors import InputError
from spade_widgets.pruning.calibration.precision import full_precision
from spade_widgets.pruning.progress import Shares, part
from spade_widgets.pruning.solvers import admm
from spade_widgets.pruning.solvers.base import Prepared, SolverSteps
from spade_widgets.pruning.solvers.elimination import Pacer, precisely
from spade_widgets.pruning.solvers.exact import Exact
from spade_widgets.pruning.solvers.exchange import LEEWAY, Fitted, eliminate, widened
from spade_widgets.pruning.solvers.least_squares import (
    ENTRIES,
    Quadratic,
    descend,
    error,
    least_squares,
    stacked,
)
from spade_widgets.pruning.solvers.magnitude import counted, kept_by_size, restored

T = TypeVar("T")

#: Share of the kept, and of the dropped, weights that a support is widened by, whichever is less; and how many a row.
WIDER_KEPT, WIDER_DROPPED, WIDER_ROW = 0.3, 0.15, 3
#: Rounds of exchange at most.
ROUNDS = 4
#: Iterations of ADMM, at least and at most, and the share of the time that they may take.
ITERATIONS, ADMM_SHARE = (8, 20), 0.35
#: Layers of at most so many columns are solved exactly too where the time is there.
SMALL = 512
#: A round that gains less than this share of what is explained was the last one.
GAIN = 1e-7
#: How many products conjugate gradients are taken to need.
DESCENTS = 10
#: What an entry of a system of equations takes: its index, itself, its inverse.
BYTES = 24
#: Magnitude pruning's rows are taken in so many parts where conjugate gradients solve them.
PARTS = 16


@dataclass(frozen=True)
class Refined:
    """ADMM, then elimination and exchange on its support.

    Where H is singular, the least damping that makes it positive definite in float64 is added: at first 1e-10 of each
    diagonal entry, at most 1e-3.

    Attributes:
        patience: about how many times as long as `fast` one sparsity may take. It bounds the rounds, by an estimate
            that knows shapes only, so the result does not depend on the machine's speed. Infinite: all rounds that
            gain something.
        memory: bytes for the systems of equations that are held at a time; at least one row's. The result depends on
            it in rounding only.

    Raises:
        InputError: for a patience that is not above 0, or a memory below 1.
    """

    patience: float = 3.0
    memory: int = 1 << 26

    def __post_init__(self) -> None:
        for option in ("patience", "memory"):
            value = getattr(self, option)
            if isinstance(value, bool) or not isinstance(value, int | float) or not value > 0:
                raise InputError(f"The {option} is {value!r}: a number above 0 is accepted.")

    def prepare(self, H: Tensor) -> RefinedPrepared:
        """Factor H once, for every W and sparsity.

        Args:
            H: (c, c), (groups, c, c), or (samples, groups, c, c): several samples are solved one after the other.

        Raises:
            InputError: if H has another shape.
            ModelError: if H is not finite or not positive semidefinite.
        """
        with full_precision(H.device):
            quadratics = tuple(Quadratic.of(h) for h in stacked(H))
            splittings = tuple(admm.Splitting.of(q) for q in quadratics)
        small = H.shape[-1] <= SMALL
        exact = tuple(Exact().prepare(h) if small else None for h in stacked(H))
        return RefinedPrepared(quadratics, splittings, exact, self.patience, self.memory, batched=H.ndim == 4)


@dataclass(frozen=True, eq=False)
class RefinedPrepared(Prepared):
    """What the refined solver knows of H.

    Attributes:
        quadratics, splittings, exact: one a sample; no exact solver where the layer is too wide for it.
        patience, memory: as in `Refined`.
        batched: whether results carry a leading sample dimension.
    """

    quadratics: tuple[Quadratic, ...]
    splittings: tuple[admm.Splitting, ...]
    exact: tuple[Prepared | None, ...]
    patience: float
    memory: int
    batched: bool

    def steps(self, W: Tensor, sparsities: Sequence[float], *, row_floor: int | Sequence[int] = 0) -> SolverSteps:
        """See `Prepared.sweep`; (samples, rows, c) where several samples were prepared.

        Every sparsity is solved on its own: none depends on which others are asked for.

        Raises:
            InputError: if W does not fit H or a sparsity is outside [0, 1).
            ModelError: if W is not finite.
        """
        return precisely(self._steps(W, sparsities, row_floor), W.device)

    def _steps(self, W: Tensor, sparsities: Sequence[float], row_floor: int | Sequence[int]) -> SolverSteps:
        drops, floors = counted(W, self.quadratics[0].dead, sparsities, row_floor)
        pacer = Pacer()
        solved: list[Tensor] = []
        parts = len(drops) * len(self.quadratics)
        for i, (drop, floor) in enumerate(zip(drops, floors, strict=True)):
            pruned = []
            for j in range(len(self.quadratics)):
                if not drop:
                    pruned.append(W.detach().clone())
                    continue
                start = (i * len(self.quadratics) + j) / parts
                pruned.append((yield from part(_solve(self, j, W, drop, floor, pacer), start, 1 / parts)))
            solved.append(torch.stack(pruned) if self.batched else pruned[0])
        return solved


@dataclass(frozen=True)
class _Problem:
    """One W, one sample, one sparsity.

    Attributes:
        quadratic, splitting, exact: as in `RefinedPrepared`, this sample's.
        W: (rows, c) weights.
        w: (rows, c) float64, in the scale of C.
        target: (rows, c), w C.
        alive: (rows, c), places on inputs that are not dead.
        count: how many of them are kept.
        floor: how many each row keeps at least, if it has them.
        entries: bound on the entries of systems of equations.
    """

    quadratic: Quadratic
    splitting: admm.Splitting
    exact: Prepared | None
    W: Tensor
    w: Tensor
    target: Tensor
    alive: Tensor
    count: int
    floor: int
    entries: int


def _solve(prepared: RefinedPrepared, sample: int, W: Tensor, drop: int, floor: int, pacer: Pacer) -> Shares[Tensor]:
    """The pruned weights of one sample."""
    quadratic = prepared.quadratics[sample]
    by_size = kept_by_size(W, quadratic.dead, drop, floor)
    w = W.detach().double() * quadratic.spread(quadratic.scale, len(W))
    alive = ~quadratic.spread(quadratic.dead, len(W))
    if W.numel() - drop >= int(alive.sum()):  # only weights on dead inputs have to go
        return restored(quadratic, W, w, by_size)
    problem = _Problem(
        quadratic,
        prepared.splittings[sample],
        prepared.exact[sample],
        W,
        w,
        quadratic.times(w),
        alive,
        W.numel() - drop,
        floor,
        max(1, min(ENTRIES, prepared.memory // BYTES)),
    )
    left = prepared.patience * _fast_time(*W.shape) - _prepare_time(W.shape[1], quadratic.groups)
    fitted = yield from part(_refine(problem, left, pacer), 0, 0.85)
    fitted = yield from part(_bounded(problem, fitted, by_size, pacer), 0.85, 0.15)
    return restored(quadratic, W, fitted.v, fitted.keep)


def _refine(problem: _Problem, left: float, pacer: Pacer) -> Shares[Fitted]:
    """The best start that the time `left` allows, and as many rounds of exchange as it allows and as gain something."""
    rows, columns = problem.w.shape
    living = int(problem.alive.sum())
    spare = min(WIDER_KEPT * problem.count, WIDER_DROPPED * (living - problem.count))
    spare = min(max(math.ceil(spare), WIDER_ROW * rows), living - problem.count)
    round_time = _round_time(rows, columns, problem.count, spare)
    least, most = ITERATIONS
    each = _iteration_time(rows, columns)
    iterations = int(min(most, max(least, ADMM_SHARE * left / each)))
    starts: list[Fitted] = []
    search, exactly = iterations * each + round_time, _exact_time(rows, columns)
    # ADMM with two rounds mostly finds better than greedy elimination, which still is a better start than nothing.
    if problem.exact is not None and left >= exactly and not exactly + search > left >= search + round_time:
        left -= exactly
        greedy = yield from part(_greedy(problem, problem.exact), 0, 0.3)
        starts += [] if greedy is None else [greedy]
    if left >= search:
        left -= search
        keep, _ = yield from part(_admm(problem, problem.count + spare, iterations, pacer), 0.3, 0.2)
        extra = (keep.sum(1) * spare).div(problem.count + spare, rounding_mode="floor") + 1
        starts.append((yield from part(_eliminated(problem, keep, extra, pacer), 0.5, 0.1)))
    if not starts:
        iterations = int(min(2 * most, max(least, 1.5 * ADMM_SHARE * left / each)))
        keep, moved = yield from part(_admm(problem, problem.count, iterations, pacer), 0, 0.5)
        return (yield from part(_descended(problem, keep, moved, pacer), 0.5, 0.5))
    best = max(starts, key=lambda fitted: fitted.explained)
    for turn in range(ROUNDS):
        if left < round_time:
            break
        left -= round_time
        wide = widened(problem.quadratic, problem.w, best, problem.alive, spare)
        extra = wide.sum(1) - best.keep.sum(1)
        steps = _eliminated(problem, wide, extra, pacer)
        other = yield from part(steps, 0.6 + 0.4 * turn / ROUNDS, 0.4 / ROUNDS)
        if not other.explained > best.explained * (1 + GAIN):
            break
        best = other
    return _measured(problem, best.keep, best.v)  # what an elimination tracks has its rounding


def _greedy(problem: _Problem, exact: Prepared) -> Shares[Fitted | None]:
    """What the exact solver finds; None where it does not tell what it keeps, because it keeps zeros."""
    sparsity = 1 - problem.count / problem.w.numel()
    (found,) = yield from exact.steps(problem.W, [sparsity], row_floor=problem.floor)
    v = found.double() * problem.quadratic.spread(problem.quadratic.scale, len(found))
    return _measured(problem, v != 0, v) if int((v != 0).sum()) == problem.count else None


def _admm(problem: _Problem, count: int, iterations: int, pacer: Pacer) -> Shares[tuple[Tensor, Tensor]]:
    """ADMM's support of so many places, and weights."""
    steps = admm.support(problem.splitting, problem.w, problem.alive, count, problem.floor, iterations)
    return (yield from paced(steps, pacer))


def paced(steps: Shares[T], pacer: Pacer) -> Shares[T]:
    """The steps, yielding only where it is time to."""
    while True:
        try:
            share = next(steps)
        except StopIteration as stop:
            result: T = stop.value
            return result
        if pacer.due():
            yield share


def _eliminated(problem: _Problem, wide: Tensor, extra: Tensor, pacer: Pacer) -> Shares[Fitted]:
    """From a wide support to the count."""
    steps = eliminate(problem.quadratic, problem.target, wide, extra, problem.count, problem.floor, problem.entries)
    return (yield from paced(steps, pacer))


def _descended(problem: _Problem, keep: Tensor, moved: Tensor, pacer: Pacer) -> Shares[Fitted]:
    """Least squares on a support, row by row, or by conjugate gradients from ADMM's weights where that takes less."""
    if _directly(problem, keep):
        return (yield from _solved(problem, keep, math.inf, pacer))
    steps = descend(problem.quadratic, problem.w, moved.double() * keep, keep)
    v = yield from paced(steps, pacer)
    return _measured(problem, keep, v)


def _measured(problem: _Problem, keep: Tensor, v: Tensor) -> Fitted:
    """With the error that v has, however it was found."""
    return Fitted(keep, v, float((problem.target * problem.w).sum()) - error(problem.quadratic, problem.w, v))


def _directly(problem: _Problem, keep: Tensor) -> bool:
    """Whether the rows' systems are factored rather than descended on."""
    return problem.quadratic.groups > 1 or _solve_time(keep.sum(1)) <= _descent_time(*problem.w.shape)


def _bounded(problem: _Problem, fitted: Fitted, by_size: Tensor, pacer: Pacer) -> Shares[Fitted]:
    """The better one of this and magnitude pruning with least squares.

    Rows of the latter are solved until their errors alone exceed this one's: most often a few of them do.
    """
    energy = float((problem.target * problem.w).sum())
    limit = energy - fitted.explained
    bounding = _solved if _directly(problem, by_size) else _approached
    bound = yield from bounding(problem, by_size, limit, pacer)
    return fitted if energy - bound.explained >= limit else bound


def _solved(problem: _Problem, keep: Tensor, limit: float, pacer: Pacer) -> Shares[Fitted]:
    """Least squares on a support, until the errors of the rows that are done exceed the limit."""
    energy = (problem.target * problem.w).sum(1)
    spent = float(energy[~keep.any(1)].sum())
    v = torch.zeros_like(problem.w)
    done = 0
    for rows, found in least_squares(problem.quadratic, problem.target, keep, entries=problem.entries):
        v[rows] = found
        done += len(rows)
        # (w − v) C (w − v)ᵀ is (w C)(w − v)ᵀ where the gradient is zero on the support.
        spent += float((problem.target[rows] * (problem.w[rows] - found)).sum())
        if spent >= limit:
            break
        if pacer.due():
            yield min(0.99, done / len(v))
    return Fitted(keep, v, float(energy.sum()) - spent)


def _approached(problem: _Problem, keep: Tensor, limit: float, pacer: Pacer) -> Shares[Fitted]:
    """The same by conjugate gradients. Rows that lose most without an update come first."""
    v = torch.where(keep, problem.w, 0)
    losses = (problem.quadratic.times(v.float() - problem.w.float()) * (v - problem.w)).sum(1)
    spent = 0.0
    for done, rows in enumerate(losses.argsort(descending=True, stable=True).chunk(PARTS)):
        w = problem.w[rows]
        steps = descend(problem.quadratic, w, v[rows], keep[rows])
        v[rows] = yield from part(paced(steps, pacer), done / PARTS, 1 / PARTS)
        spent += error(problem.quadratic, w, v[rows])
        if spent >= limit:
            break
    return Fitted(keep, v, float((problem.target * problem.w).sum()) - spent)


# About how long things take, in seconds on one core of a server of 2023. Only their ratios matter, and these roughly:
# they decide how many rounds `patience` allows.


def _fast_time(rows: int, columns: int) -> float:
    return 1.1e-4 * columns + 1.2e-10 * rows * columns**2 + 1.6e-11 * columns**3


def _exact_time(rows: int, columns: int) -> float:
    return 1.2e-4 * columns + 1.2e-10 * rows * columns**3


def _prepare_time(columns: int, groups: int) -> float:
    return 6e-11 * groups * columns**3


def _iteration_time(rows: int, columns: int) -> float:
    return 2e-4 + 1e-8 * rows * columns + 2.2e-11 * rows * columns**2


def _solve_time(sizes: Tensor) -> float:
    size = sizes.double()
    return float((5e-6 + 1.3e-8 * size**2 + 2.5e-11 * size**3).sum())


def _descent_time(rows: int, columns: int) -> float:
    """Of as many steps as are mostly made, and of the products in float64 before and after."""
    return DESCENTS * (1e-4 + 1e-8 * rows * columns + 2.8e-11 * rows * columns**2)


def _round_time(rows: int, columns: int, count: int, spare: int) -> float:
    size = 1.15 * (count + spare) / rows  # batches of rows of like sizes are padded
    steps = LEEWAY * spare / rows + 2
    row = 1.2e-8 * size**2 + 3e-10 * size**3 + 1e-9 * steps**2 * size
    return rows * row + 4e-4 * steps + 1e-7 * rows * columns + 4.5e-11 * rows * columns**2
