"""What every solver is: `(W, H, sparsity) → W'` that keeps ‖WX − W'X‖² small with a given number of zeros."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Generator, Sequence
from typing import Protocol, TypeAlias

import torch
from torch import Tensor

from spade_widgets.errors import InputError
from spade_widgets.pruning.progress import finish

#: A sweep in steps: yields the share that is done, returns the pruned weights.
SolverSteps: TypeAlias = Generator[float, None, list[Tensor]]


class Prepared(ABC):
    """A solver that has done all that depends on H alone; one serves every W, sparsity and number of rows."""

    @abstractmethod
    def steps(self, W: Tensor, sparsities: Sequence[float], *, row_floor: int | Sequence[int] = 0) -> SolverSteps:
        """`sweep` in steps: yields the share of the work that is done, in [0, 1), at least a few times a second.

        Dropping the generator cancels the work.
        """

    def sweep(self, W: Tensor, sparsities: Sequence[float], *, row_floor: int | Sequence[int] = 0) -> list[Tensor]:
        """The pruned weights, one a sparsity.

        Args:
            W: (rows, c) weights. Under a 3-D H the rows are split evenly over its groups, in order.
            sparsities: each in [0, 1).
            row_floor: how many weights each row keeps: one number, or one a sparsity.

        Returns:
            Tensors of W's shape and dtype. Exactly `zeros(rows · c, sparsity)` weights are dropped in each, capped
            where `row_floor` needs it; at sparsity 0 it is W.

        Raises:
            InputError: if W does not fit H or a sparsity is outside [0, 1).
        """
        return finish(self.steps(W, sparsities, row_floor=row_floor))

    def solve(self, W: Tensor, sparsity: float, *, row_floor: int | Sequence[int] = 0) -> Tensor:
        """`sweep` for one sparsity."""
        return self.sweep(W, [sparsity], row_floor=row_floor)[0]


class Solver(Protocol):
    """Makes a `Prepared` of a Gram matrix."""

    def prepare(self, H: Tensor) -> Prepared:
        """H: (c, c), or (groups, c, c); symmetric, positive semidefinite."""


def zeros(weights: int, sparsity: float, *, keep: int = 1) -> int:
    """How many of a layer's weights are dropped: the nearest whole number to `sparsity · weights`.

    At least `keep` weights stay: no layer loses everything, whatever the sparsity.

    Raises:
        InputError: if the sparsity is outside [0, 1).
    """
    return min(int(check_sparsity(sparsity) * weights + 0.5), weights - keep)


def check_sparsity(sparsity: float) -> float:
    """The sparsity as a float.

    Raises:
        InputError: if it is no number in [0, 1).
    """
    try:
        value = float(sparsity)
    except (TypeError, ValueError):
        raise InputError(f"The sparsity {sparsity!r} is not a number: 0 ≤ sparsity < 1 is accepted.") from None
    if not 0 <= value < 1:
        raise InputError(f"The sparsity {value:g} is outside the accepted range: 0 ≤ sparsity < 1.")
    return value


def check_floors(row_floor: int | Sequence[int], sparsities: Sequence[float]) -> list[int]:
    """One row floor a sparsity.

    Raises:
        InputError: if there are more or fewer of them.
    """
    floors = [row_floor] * len(sparsities) if isinstance(row_floor, int) else list(row_floor)
    if len(floors) != len(sparsities):
        raise InputError(f"There are {len(floors)} row floors for {len(sparsities)} sparsities: one each is accepted.")
    return floors


def relative_error(W: Tensor, pruned: Tensor, H: Tensor) -> float:
    """‖WX − W'X‖² / ‖WX‖², from the Gram matrix alone; 0 where WX is zero everywhere.

    Args:
        W, pruned: (rows, c).
        H: (c, c), or (groups, c, c).
    """
    groups = H.shape[0] if H.ndim == 3 else 1
    hessian = H.reshape(groups, H.shape[-1], H.shape[-1])

    def energy(weights: Tensor) -> float:
        grouped = weights.to(hessian.dtype).reshape(groups, -1, weights.shape[1])
        return float(torch.einsum("grc,gcd,grd->", grouped, hessian, grouped))

    whole = energy(W)
    return max(0.0, energy(W - pruned)) / whole if whole > 0 else 0.0
