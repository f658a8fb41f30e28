"""Magnitude pruning: the largest weights stay. The baseline that every solver must beat."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from spade_widgets.errors import InputError, ModelError
from spade_widgets.pruning.calibration.precision import full_precision
from spade_widgets.pruning.progress import saying
from spade_widgets.pruning.solvers.admm import best_of_rows, largest
from spade_widgets.pruning.solvers.base import Prepared, SolverSteps, check_floors, zeros
from spade_widgets.pruning.solvers.elimination import precisely
from spade_widgets.pruning.solvers.least_squares import Quadratic, least_squares, stacked


@dataclass(frozen=True)
class Magnitude:
    """Magnitude pruning over the whole layer; weights on inputs that are zero throughout go first.

    Attributes:
        refit: whether the weights that stay are moved to the least squares; else they stay what they are.
    """

    refit: bool = False

    def prepare(self, H: Tensor) -> MagnitudePrepared:
        """Note which inputs are dead; scale H if it is needed.

        Args:
            H: (c, c), (groups, c, c), or (samples, groups, c, c) for several samples at once.

        Raises:
            InputError: if H has another shape.
            ModelError: if H is not finite or, with `refit`, not positive semidefinite.
        """
        hessians = stacked(H)
        if not bool(torch.isfinite(H).all()):
            raise ModelError("The Gram matrix holds NaN or infinite values.")
        with full_precision(H.device):
            quadratics = [Quadratic.of(h) for h in hessians] if self.refit else []
        dead = hessians.diagonal(dim1=-2, dim2=-1) <= 0
        return MagnitudePrepared(dead, tuple(quadratics), batched=H.ndim == 4)


@dataclass(frozen=True, eq=False)
class MagnitudePrepared(Prepared):
    """What magnitude pruning knows of H.

    Attributes:
        dead: (samples, groups, c), inputs that are zero throughout.
        quadratics: one a sample, or none without `refit`.
        batched: whether results carry a leading sample dimension.
    """

    dead: Tensor
    quadratics: tuple[Quadratic, ...]
    batched: bool

    def steps(self, W: Tensor, sparsities: Sequence[float], *, row_floor: int | Sequence[int] = 0) -> SolverSteps:
        """See `Prepared.sweep`; (samples, rows, c) where several samples were prepared."""
        return precisely(self._steps(W, sparsities, row_floor), W.device)

    def _steps(self, W: Tensor, sparsities: Sequence[float], row_floor: int | Sequence[int]) -> SolverSteps:
        drops, floors = counted(W, self.dead[0], sparsities, row_floor)
        solved: list[Tensor] = []
        for i, (drop, floor) in enumerate(zip(drops, floors, strict=True)):
            pruned = []
            for sample, dead in enumerate(self.dead):
                keep = kept_by_size(W, dead, drop, floor)
                if self.quadratics and drop:
                    steps = refit(self.quadratics[sample], W, keep)
                    share = (i + sample / len(self.dead)) / len(drops)
                    pruned.append((yield from saying(steps, share)))
                else:
                    pruned.append(torch.where(keep, W.detach(), 0))
            solved.append(torch.stack(pruned) if self.batched else pruned[0])
        return solved


def counted(
    W: Tensor, dead: Tensor, sparsities: Sequence[float], row_floor: int | Sequence[int]
) -> tuple[list[int], list[int]]:
    """How many weights each sparsity drops, and each row keeps at least.

    Raises:
        InputError: if W does not fit dead (groups, c), or a sparsity is outside [0, 1).
        ModelError: if W is not finite.
    """
    groups, columns = dead.shape
    if W.ndim != 2 or W.shape[1] != columns or W.shape[0] % groups:
        raise InputError(f"Weights of shape {tuple(W.shape)} do not fit a Gram matrix of {groups} × {columns} columns.")
    floors = check_floors(row_floor, sparsities)
    drops = [zeros(W.numel(), s, keep=max(1, f * len(W))) for s, f in zip(sparsities, floors, strict=True)]
    if not bool(torch.isfinite(W).all()):
        raise ModelError("The weights hold NaN or infinite values.")
    return drops, floors


def kept_by_size(W: Tensor, dead: Tensor, drop: int, floor: int) -> Tensor:
    """What magnitude pruning keeps, (rows, c): all but `drop` weights; those on dead inputs go first."""
    sizes = W.detach().abs().float() if W.dtype.itemsize < 4 else W.detach().abs()
    gone = dead.repeat_interleave(len(W) // len(dead), 0)
    # Below all others, in their own order.
    sizes = torch.where(gone, sizes - sizes.max() - 1, sizes)
    spared = best_of_rows(sizes, floor)
    if spared is not None:
        spared &= ~gone
    return largest(sizes, W.numel() - drop, spared)


def refit(quadratic: Quadratic, W: Tensor, keep: Tensor) -> Generator[None, None, Tensor]:
    """Least squares on a support, in W's own scale and dtype; weights on dead inputs stay what they are."""
    scale = quadratic.spread(quadratic.scale, len(W))
    w = W.detach().double() * scale
    alive = keep & (scale > 0)
    v = torch.zeros_like(w)
    for rows, solved in least_squares(quadratic, quadratic.times(w), alive):
        v[rows] = solved
        yield
    return restored(quadratic, W, v, keep)


def restored(quadratic: Quadratic, W: Tensor, v: Tensor, keep: Tensor) -> Tensor:
    """v, in the scale of C, as weights like W. Dead inputs' weights that are kept, and whole rows, keep their bits."""
    scale = quadratic.spread(quadratic.scale, len(W))
    dead = scale == 0
    moved = torch.where(dead, 0.0, v / torch.where(dead, 1.0, scale)).to(W.dtype)
    same = dead | (keep | dead).all(1, keepdim=True)
    return torch.where(keep, torch.where(same, W.detach(), moved), 0)
