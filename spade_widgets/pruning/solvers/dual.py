"""FastSPADE for layers whose H is too large to hold, from their inputs X themselves: n × n matrices, not c × c.

The sweep of `fast` keeps the weights that are not decided yet at the optimum given those that are. With X (c, n), its
columns scaled so that H = X Xᵀ + λI, x_j row j of X, `K_j = Σ_{i≥j} x_iᵀ x_i + λI` (n × n) and the outputs' error so
far, `r = Σ_{i<j} (w⁰_i − w_i) x_i`, that optimum is, by the push-through identity,

    w_j = w⁰_j + r K_j⁻¹ x_jᵀ

In blocks of columns B, at whose start r is brought up to date, only the factor R of H⁻¹ inside the block is needed. By
Woodbury's identity, with K after the block, it is the one of `H_B = λ (I + X_B K⁻¹ X_Bᵀ)`. So the cost is that of
c · n² + rows · c · n instead of c³ + rows · c² products, and c · n numbers are held instead of c².
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from spade_widgets.errors import InputError, ModelError
from spade_widgets.pruning.calibration.precision import full_precision
from spade_widgets.pruning.solvers.base import Prepared, SolverSteps, check_floors, zeros
from spade_widgets.pruning.solvers.elimination import Pacer, precisely
from spade_widgets.pruning.solvers.fast import _shares

#: Columns between two factorisations of K. More make the updates inside a block dear, fewer the factorisations.
BLOCK = 64


@dataclass(frozen=True)
class Dual:
    """FastSPADE with blocks of one column, from X: the same result as `fast` gives with H = 2/n · X Xᵀ.

    It serves layers that are held as inputs because their H does not fit the calibration's memory (the first layer of
    VGG's classifier has 25088 columns: 2.5 GB), where X has few columns.

    Attributes:
        damping: added to H's diagonal, as a share of its mean; above 0.

    Raises:
        InputError: for another damping.
    """

    damping: float = 0.01

    def __post_init__(self) -> None:
        try:
            usable = 0 < float(self.damping) < math.inf
        except (TypeError, ValueError):
            usable = False
        if not usable:
            raise InputError(f"The damping is {self.damping!r}: a number above 0 is accepted.")

    def prepare_inputs(self, X: Tensor) -> DualPrepared:
        """Do all that depends on X alone, in float64, block by block from the last column to the first.

        Args:
            X: (c, n), or (groups, c, n); in any scale, which changes nothing in the result.

        Raises:
            InputError: if X has another shape.
            ModelError: if X is not finite.
        """
        if X.ndim not in (2, 3) or not X.numel():
            raise InputError(f"Inputs of shape {tuple(X.shape)} are not (c, n) or (groups, c, n).")
        if not bool(torch.isfinite(X).all()):
            raise ModelError("The inputs hold NaN or infinite values.")
        dtype = torch.promote_types(X.dtype, torch.float32)
        with full_precision(X.device):
            return self._prepare(X.detach().reshape(-1, *X.shape[-2:]).to(dtype))

    def _prepare(self, X: Tensor) -> DualPrepared:
        columns, n = X.shape[1:]
        energy = X.double().square().sum(-1)
        shift = self.damping * energy.mean(-1)
        shift = torch.where(shift > 0, shift, 1)
        K = torch.diag_embed(shift.unsqueeze(-1).expand(-1, n))
        lower = _cholesky(K)
        pull = torch.empty_like(X)
        factors = []
        for start in reversed(range(0, columns, BLOCK)):
            part = X[:, start : start + BLOCK].double()
            spread = torch.linalg.solve_triangular(lower, part.mT, upper=False)
            eye = torch.eye(part.shape[1], dtype=part.dtype, device=X.device)
            factors.append(_inverse_factor((spread.mT @ spread + eye) * shift.view(-1, 1, 1)).to(X.dtype))
            K += part.mT @ part
            lower = _cholesky(K)
            pull[:, start : start + BLOCK] = torch.cholesky_solve(part.mT, lower).mT
        return DualPrepared(X, pull, tuple(reversed(factors)), energy <= 0)


def _inverse_factor(H: Tensor) -> Tensor:
    """R, upper triangular, with RᵀR = H⁻¹: reversed in order, H's Cholesky factor is upper triangular, and R⁻¹."""
    eye = torch.eye(H.shape[-1], dtype=H.dtype, device=H.device)
    factor: Tensor = torch.linalg.solve_triangular(_cholesky(H.flip(1, 2)), eye, upper=False)
    return factor.flip(1, 2)


def _cholesky(K: Tensor) -> Tensor:
    lower, info = torch.linalg.cholesky_ex(K)
    if bool(info.any()):
        raise ModelError("The inputs are too large or too unlike each other in size to be factored: use more damping.")
    result: Tensor = lower
    return result


@dataclass(frozen=True, eq=False)
class DualPrepared(Prepared):
    """X and the factors of each block.

    Attributes:
        X: (groups, c, n).
        pull: (groups, c, n), row j the one that the outputs' error at its block's start is multiplied with: x_j K⁻¹.
        factors: of each block the upper triangular R inside it, (groups, ≤ BLOCK, ≤ BLOCK).
        dead: (groups, c), inputs that are zero throughout.
    """

    X: Tensor
    pull: Tensor
    factors: tuple[Tensor, ...]
    dead: Tensor

    def steps(self, W: Tensor, sparsities: Sequence[float], *, row_floor: int | Sequence[int] = 0) -> SolverSteps:
        """See `Prepared.sweep`. All sparsities go through the columns together."""
        return precisely(self._steps(W, sparsities, row_floor), W.device)

    def _steps(self, W: Tensor, sparsities: Sequence[float], row_floor: int | Sequence[int]) -> SolverSteps:
        groups, columns = self.dead.shape
        if W.ndim != 2 or W.shape[1] != columns or W.shape[0] % groups:
            raise InputError(f"Weights of shape {tuple(W.shape)} do not fit inputs of {groups} × {columns} columns.")
        rows = W.shape[0] // groups
        floors = check_floors(row_floor, sparsities)
        drops = [zeros(W.numel(), s, keep=max(1, f * W.shape[0])) for s, f in zip(sparsities, floors, strict=True)]
        left = torch.tensor(drops, device=W.device)
        dense = W.detach().view(groups, rows, columns)
        solved = dense.repeat(len(drops), 1, 1, 1)
        # Weights on inputs that are always zero go first: dropping them costs nothing and changes no other weight.
        at = self.dead.nonzero(as_tuple=True)
        idle = dense.mT[at].expand(len(drops), -1, -1)  # (sparsities, dead inputs, rows)
        lost = _first(idle.abs(), torch.minimum(left, torch.full_like(left, idle[:1].numel())))
        solved.mT[:, at[0], at[1]] = idle.masked_fill(lost, 0)
        left = left - lost.flatten(1).sum(1)

        dtype = torch.promote_types(W.dtype, self.X.dtype)
        free = ~self.dead.unsqueeze(-1).unsqueeze(0)
        if any(floors):
            free = free & ~self._spared(dense.to(dtype), floors)
        shares = _shares(left, (free.sum((1, 3)) * (rows // free.shape[3])).expand(len(drops), -1), 1)
        error = torch.zeros(len(drops), groups, self.X.shape[2], rows, dtype=dtype, device=W.device)
        pacer = Pacer()
        for number, start in enumerate(range(0, columns, BLOCK)):
            if pacer.due():
                yield start / columns
            part = slice(start, start + BLOCK)
            before = dense[..., part].mT.to(dtype)
            w = before + self.pull[:, part].to(dtype) @ error
            _sweep(w, self.factors[number].to(dtype), free[:, :, part], shares[:, part])
            w = torch.where(self.dead[:, part].unsqueeze(-1), solved[..., part].mT.to(dtype), w)
            error += self.X[:, part].mT.to(dtype) @ (before - w)
            solved[..., part] = w.mT.to(W.dtype)
        return list(solved.flatten(1, 2))

    def _spared(self, dense: Tensor, floors: Sequence[int]) -> Tensor:
        """(sparsities, groups, c, rows), True on those of a row's weights, a floor many, that cost most to drop."""
        scale = torch.cat([factor.diagonal(dim1=1, dim2=2) for factor in self.factors], 1).to(dense.dtype)
        cost = (dense / scale.unsqueeze(1)).square_().masked_fill_(self.dead.unsqueeze(1), -1)
        best = cost.topk(max(floors), dim=-1).indices
        spared = torch.zeros(len(floors), *dense.shape, dtype=torch.bool, device=dense.device)
        for one, floor in zip(spared, floors, strict=True):
            one.scatter_(-1, best[..., :floor], True)
        return spared.mT


def _sweep(w: Tensor, factor: Tensor, free: Tensor, shares: Tensor) -> None:
    """The sweep of `fast` through a block, in place.

    Args:
        w: (sparsities, groups, b, rows).
        factor: (groups, b, b), R.
        free: (sparsities or 1, groups, b, rows or 1), which weights may be dropped.
        shares: (sparsities, b), how many are dropped in each column.
    """
    for j in range(w.shape[2]):
        scaled = w[:, :, j] / factor[:, j, j].unsqueeze(-1)
        gone = _first(scaled.square().masked_fill_(~free[:, :, j], torch.inf), shares[:, j])
        w[:, :, j + 1 :] -= factor[:, j, j + 1 :].unsqueeze(-1) * scaled.masked_fill_(~gone, 0).unsqueeze(-2)
        w[:, :, j].masked_fill_(gone, 0)


def _first(scores: Tensor, counts: Tensor) -> Tensor:
    """True on the `counts[b]` least scores of each batch entry. scores: (b, …); ties go to the first in order."""
    flat = scores.flatten(1)
    order = flat.argsort(dim=1, stable=True)
    chosen = torch.arange(flat.shape[1], device=flat.device) < counts.unsqueeze(1)
    return torch.zeros_like(flat, dtype=torch.bool).scatter_(1, order, chosen).view_as(scores)
