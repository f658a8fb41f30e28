"""FastSPADE: one sweep over the columns, as SparseGPT does it (SPADE, section 3.2; SparseGPT, algorithm 1).

Columns are swept left to right in blocks. At a block's start the weights with the least `(w_j / R_jj)²` are marked;
then, column by column, each marked weight is dropped and its error `w_j / R_jj` is spread over the columns to its right
with row j of R, the upper Cholesky factor of H⁻¹.
"""

from __future__ import annotations

import math
from collections.abc import Generator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from spade_widgets.errors import InputError, ModelError
from spade_widgets.pruning.solvers.base import Prepared, SolverSteps, check_count, zeros

#: Columns whose spread errors are collected before the rest is updated with one matrix product (SparseGPT's lazy
#: updates). It changes the order of sums, not the numbers. Few enough that the small products stay in the cache.
LAZY = 32


@dataclass(frozen=True)
class Fast:
    """FastSPADE.

    Attributes:
        block_size: columns a block, at least 1; the published code takes k² for a k×k convolution and 1 for other
            layers.
        damping: added to H's diagonal, as a share of its mean; 0 or more.

    Raises:
        InputError: for another block size or damping.
    """

    block_size: int = 1
    damping: float = 0.01

    def __post_init__(self) -> None:
        check_count(self.block_size, "block_size")
        try:
            usable = 0 <= float(self.damping) < math.inf
        except (TypeError, ValueError):
            usable = False
        if not usable:
            raise InputError(f"The damping is {self.damping!r}: a number from 0 on is accepted.")

    def prepare(self, H: Tensor) -> FastPrepared:
        """Factor H once, for every W and sparsity.

        Args:
            H: (c, c), (groups, c, c), or (samples, groups, c, c) for several samples at once (Batch FastSPADE).

        Raises:
            InputError: if H has another shape.
            ModelError: if H is not finite, or not positive definite with the damping.
        """
        if H.ndim not in (2, 3, 4) or H.shape[-1] != H.shape[-2]:
            raise InputError(f"A Gram matrix of shape {tuple(H.shape)} is not (c, c), (groups, c, c) or batched.")
        if not bool(torch.isfinite(H).all()):
            raise ModelError("The Gram matrix holds NaN or infinite values.")
        stacked = H.reshape(-1, *((1,) * (3 - H.ndim)), *H.shape[-3:]) if H.ndim < 4 else H
        # In float64: with fewer columns of X than weights a row H is near singular, and a float32 factor then carries
        # errors of 1e-4 that tip near-ties, so that the choice of weights would depend on the number of threads.
        stacked = stacked.double()
        diagonal = stacked.diagonal(dim1=-2, dim2=-1)
        dead = diagonal <= 0
        # A dead input is uncoupled: any positive diagonal does. One of the others' size keeps the factor well scaled.
        shift = self.damping * diagonal.mean(-1, keepdim=True)
        diagonal = torch.where(dead, torch.ones_like(diagonal), diagonal) + shift
        damped = stacked.clone()
        damped.diagonal(dim1=-2, dim2=-1).copy_(diagonal)
        factor = _inverse_factor(damped).to(torch.promote_types(H.dtype, torch.float32))
        return FastPrepared(factor, dead, self.block_size, H.ndim == 4)


def _inverse_factor(H: Tensor) -> Tensor:
    """R, upper triangular, with RᵀR = H⁻¹, from one Cholesky factorisation and one triangular solve.

    With J reversing the order, J H J = L Lᵀ, so H = V Vᵀ for the upper triangular V = J L J, and R = V⁻¹. Reversal
    is a flip, so no explicit inverse of H is formed and none is factored again.
    """
    lower, info = torch.linalg.cholesky_ex(H.flip(-1, -2))
    if bool(info.any()):
        raise ModelError("The Gram matrix is not positive definite: use more damping.")
    identity = torch.eye(H.shape[-1], dtype=H.dtype, device=H.device).expand_as(H)
    inverse: Tensor = torch.linalg.solve_triangular(lower, identity, upper=False)
    return inverse.flip(-1, -2)


@dataclass(frozen=True, eq=False)
class FastPrepared(Prepared):
    """The factor R of H⁻¹ and what can be solved with it.

    Attributes:
        factor: (samples, groups, c, c).
        dead: (samples, groups, c), inputs that are zero throughout.
        block_size: columns a block.
        batched: whether several samples were given, so that results carry a leading sample dimension.
    """

    factor: Tensor
    dead: Tensor
    block_size: int
    batched: bool

    def steps(self, W: Tensor, sparsities: Sequence[float], *, row_floor: int = 0) -> SolverSteps:
        """See `Prepared.sweep`; (samples, rows, c) where several samples were prepared.

        All sparsities go through the columns together, as one batch.
        """
        samples, groups, columns = self.dead.shape
        if W.ndim != 2 or W.shape[1] != columns or W.shape[0] % groups:
            raise InputError(
                f"Weights of shape {tuple(W.shape)} do not fit a Gram matrix of {groups} × {columns} columns."
            )
        rows = W.shape[0]
        # A column of W becomes a contiguous row: the sweep goes through memory once, in order.
        dtype = torch.promote_types(W.dtype, self.factor.dtype)
        dense = W.to(dtype).reshape(1, groups, rows // groups, columns).transpose(-1, -2)
        batch = dense.repeat(len(sparsities) * samples, 1, 1, 1)
        drops = [zeros(W.numel(), s, keep=max(1, row_floor * rows)) for s in sparsities for _ in range(samples)]
        yield from self._prune(batch, torch.tensor(drops, device=W.device), row_floor)
        pruned = batch.transpose(-1, -2).reshape(len(sparsities), samples, rows, columns).to(W.dtype)
        return list(pruned if self.batched else pruned[:, 0])

    def _prune(self, W: Tensor, drops: Tensor, row_floor: int) -> Generator[float, None, None]:
        """Prune a batch in place. W: (b, groups, c, rows), b a multiple of samples; drops: (b,) weights to drop."""
        repeat = W.shape[0] // self.factor.shape[0]
        factor = self.factor.to(W.dtype)
        factor = factor.repeat(repeat, 1, 1, 1) if factor.shape[0] > 1 else factor
        scale = factor.diagonal(dim1=-2, dim2=-1).unsqueeze(-1)  # (b or 1, groups, c, 1)
        dead = self.dead.repeat(repeat, 1, 1).unsqueeze(-1).expand(W.shape)
        # Weights on inputs that are always zero go first: dropping them costs nothing and changes no other weight.
        dropped = _first(W.abs().masked_fill(~dead, torch.inf), torch.minimum(drops, dead.flatten(1).sum(1)))
        W.masked_fill_(dropped, 0)
        left = drops - dropped.flatten(1).sum(1)
        candidates = ~dead
        if row_floor:
            best = (W / scale).square().masked_fill(dead, -1).topk(row_floor, dim=-2).indices
            candidates = candidates.scatter(-2, best, False)
        per_block = _shares(left, candidates.sum((1, 3)), self.block_size)
        lazy = self.block_size * max(1, LAZY // self.block_size)
        columns = W.shape[-2]
        for start in range(0, columns, lazy):
            if start:
                yield start / columns
            stop = min(start + lazy, columns)
            errors = torch.zeros_like(W[..., start:stop, :])
            for left_edge in range(start, stop, self.block_size):
                right_edge = min(left_edge + self.block_size, stop)
                block = slice(left_edge, right_edge)
                scores = (W[..., block, :] / scale[..., block, :]).square_()
                scores.masked_fill_(~candidates[..., block, :], torch.inf)
                mask = _first(scores, per_block[:, left_edge // self.block_size])
                for j in range(left_edge, right_edge):
                    gone = mask[..., j - left_edge, :]
                    error = (W[..., j, :] / scale[..., j, :]).masked_fill_(~gone, 0)
                    W[..., j + 1 : stop, :] -= factor[..., j, j + 1 : stop].unsqueeze(-1) * error.unsqueeze(-2)
                    W[..., j, :].masked_fill_(gone, 0)
                    errors[..., j - start, :] = error
            W[..., stop:, :] -= factor[..., start:stop, stop:].transpose(-1, -2) @ errors


def _first(scores: Tensor, counts: Tensor) -> Tensor:
    """True on the `counts[b]` least scores of each batch entry. scores: (b, …); ties go to the first in order."""
    flat = scores.flatten(1)
    order = flat.argsort(dim=1, stable=True)
    rank = torch.empty_like(order)
    rank.scatter_(1, order, torch.arange(flat.shape[1], device=flat.device).expand_as(order))
    return (rank < counts.unsqueeze(1)).view_as(scores)


def _shares(drops: Tensor, candidates: Tensor, block_size: int) -> Tensor:
    """Spread each batch entry's drops over the blocks in proportion to their candidates, exactly in sum.

    The running total is rounded, not each block's share: a head of 10 rows at 0.95 then keeps one weight in every
    second column, where a threshold for each column alone would keep none. No block gets more than its candidates.

    Args:
        drops: (b,).
        candidates: (b, c), how many weights of each column may be dropped.

    Returns:
        (b, blocks) whole numbers.
    """
    running = candidates.cumsum(1)
    ends = torch.arange(block_size, running.shape[1] + block_size, block_size, device=running.device) - 1
    running = running[:, ends.clamp(max=running.shape[1] - 1)]
    total = running[:, -1:].clamp(min=1)
    done = (2 * drops.unsqueeze(1) * running + total) // (2 * total)
    return torch.diff(done, dim=1, prepend=torch.zeros_like(done[:, :1]))
