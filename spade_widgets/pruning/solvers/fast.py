"""FastSPADE: one sweep over the columns, as SparseGPT does it (SPADE, section 3.2; SparseGPT, algorithm 1).

Columns are swept left to right in blocks. At a block's start the weights with the least `(w_j / R_jj)²` are marked;
then, column by column, each marked weight is dropped and its error `e_j = w_j / R_jj` is spread over the columns to its
right with row j of R, the upper Cholesky factor of H⁻¹.

R itself is not needed. H = V Vᵀ with V = R⁻¹, upper triangular, is one factorisation, and what the sweep has done to
the weights by then, W − W' = E R, says E = (W − W') V. So before a block the errors' effect on it is
`E[:, :block] R[:block, block] = −(W − W')[:, :block] V[:block, block] R[block, block]`: a product with V and one with
the block's own small inverse. It is better conditioned, too: entries of V are at most √H_jj.
"""

from __future__ import annotations

import math
from collections.abc import Generator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from spade_widgets.checks import check_count
from spade_widgets.errors import InputError, ModelError
from spade_widgets.pruning.calibration.precision import full_precision
from spade_widgets.pruning.solvers.alone import Alone
from spade_widgets.pruning.solvers.base import Prepared, SolverSteps, check_floors, zeros
from spade_widgets.pruning.solvers.factorisation import add_product, factored, inverted_blocks

#: Columns after which everything to their right is updated with one matrix product. Wide ones make large products; the
#: numbers are the same.
WIDE = 256
#: Bytes that the weights of all sparsities may take in one sweep; more sparsities are swept in turns.
SWEEP_BYTES = 512 * 2**20


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
        side = H.shape[-1]
        groups = H.shape[-3] if H.ndim > 2 else 1
        whole = H.reshape(-1, side, side)
        diagonal = whole.diagonal(dim1=-2, dim2=-1).double()
        dead = diagonal <= 0
        # A dead input is uncoupled: any positive diagonal does. One of the others' size keeps the factor well scaled.
        damped = torch.where(dead, 1.0, diagonal) + self.damping * diagonal.mean(-1, keepdim=True)
        with full_precision(H.device):
            factor, failed = factored(whole, damped)
        if bool((failed | ~torch.isfinite(factor.diagonal(dim1=-2, dim2=-1))).any()):
            if not bool(torch.isfinite(H).all()):
                raise ModelError("The Gram matrix holds NaN or infinite values.")
            raise ModelError("The Gram matrix is not positive definite: use more damping.")
        inverses, dtype = inverted_blocks(factor, self.block_size), torch.promote_types(H.dtype, torch.float32)
        return FastPrepared(
            factor.to(dtype), inverses.to(dtype), dead, bool(dead.any()), groups, self.block_size, batched=H.ndim == 4
        )


@dataclass(frozen=True, eq=False)
class FastPrepared(Prepared):
    """The factor V of H, V Vᵀ = H, and what can be solved with it.

    Attributes:
        factor: (samples · groups, c, c), upper triangular; what is below the diagonal means nothing.
        inverses: (samples · groups, blocks, block_size, block_size), the inverses of its blocks on the diagonal.
        dead: (samples · groups, c), inputs that are zero throughout.
        any_dead: whether there are such.
        groups: how many groups of rows the weights have.
        block_size: columns a block.
        batched: whether several samples were given, so that results carry a leading sample dimension.
    """

    factor: Tensor
    inverses: Tensor
    dead: Tensor
    any_dead: bool
    groups: int
    block_size: int
    batched: bool

    def steps(self, W: Tensor, sparsities: Sequence[float], *, row_floor: int | Sequence[int] = 0) -> SolverSteps:
        """See `Prepared.sweep`; (samples, rows, c) where several samples were prepared.

        All sparsities go through the columns together, as one batch.
        """
        samples, columns = self.dead.shape[0] // self.groups, self.dead.shape[1]
        if W.ndim != 2 or W.shape[1] != columns or W.shape[0] % self.groups:
            raise InputError(
                f"Weights of shape {tuple(W.shape)} do not fit a Gram matrix of {self.groups} × {columns} columns."
            )
        rows = W.shape[0]
        floors = check_floors(row_floor, sparsities)
        drops = [zeros(W.numel(), s, keep=max(1, f * rows)) for s, f in zip(sparsities, floors, strict=True)]
        dtype = torch.promote_types(W.dtype, self.factor.dtype)
        # A column of W becomes a contiguous row: the sweep goes through memory in order.
        dense = W.detach().to(dtype).reshape(1, self.groups, -1, columns).transpose(-1, -2).contiguous()
        turn = max(1, SWEEP_BYTES // (samples * dense.numel() * dense.element_size()))
        solved: list[Tensor] = []
        for first in range(0, len(drops), turn):
            sweep = _Sweep(self, dense, drops[first : first + turn], floors[first : first + turn])
            for share in sweep.run():
                yield (first + share * sweep.count) / len(drops)
            # (samples, groups, c, sparsities, rows / groups) → (sparsities, samples, rows, c)
            pruned = sweep.pruned.permute(3, 0, 1, 4, 2).reshape(-1, samples, rows, columns).to(W.dtype)
            solved += list(pruned if self.batched else pruned[:, 0])
        return solved


class _Sweep:
    """One sweep over the columns, of all sparsities together. Reads nothing back from the device.

    Tensors have dimensions samples, groups, columns, sparsities, rows of a group; those that products are made with
    have the first two and the last two joined.

    Args:
        dense: the weights, (1, groups, c, rows).
        drops: how many weights each sparsity drops in all.
        floors: how many each row keeps at least, a sparsity.

    Attributes:
        pruned: the pruned weights, to the left of what was swept. To the right (W − W') V, of what was swept alone.
    """

    def __init__(self, prepared: FastPrepared, dense: Tensor, drops: list[int], floors: list[int]) -> None:
        self._prepared = prepared
        self._block = prepared.block_size
        self._batch, self._columns = prepared.dead.shape
        groups, rows = dense.shape[1], dense.shape[3]
        self.count = len(drops)
        self._shape = (self._batch // groups, groups, -1, self.count, rows)
        self._dense = dense.unsqueeze(3)
        self._factor = prepared.factor.to(dense.dtype)
        self._inverses = prepared.inverses.to(dense.dtype)
        self._scale = self._factor.diagonal(dim1=-2, dim2=-1).reshape(self._shape[0], groups, -1, 1, 1)
        self._sums = dense.new_zeros(self._batch, self._columns, self.count * rows)
        self.pruned = self._sums.view(self._shape)
        self._wide = self._block * max(1, WIDE // self._block)
        width = min(self._wide, self._columns)
        self._taken = dense.new_empty(self._batch, width, self.count * rows)  # W − W' of the current wide block
        self._choose(torch.tensor(drops, device=dense.device), floors)

    def _choose(self, drops: Tensor, floors: list[int]) -> None:
        """What is decided before the sweep: which weights go at once, which may go, how many of each block go."""
        samples, groups, _, count, rows = self._shape
        self._lost: Tensor | None = None
        self._barred: Tensor | None = None
        self._alone: Alone | None = None
        dead = self._prepared.dead.view(samples, groups, -1, 1, 1)
        left = drops.unsqueeze(1)
        if self._prepared.any_dead:
            # Weights on inputs that are always zero go first: it costs nothing and changes no other weight. In each
            # sample they go in the same order whatever the sparsity.
            rank = _rank(self._dense.abs(), dead)
            gone = torch.minimum(left, rows * dead.sum((1, 2, 3, 4)))  # (sparsities, samples)
            left = left - gone
            lost = rank < gone.unsqueeze(2)
            self._lost = lost.view(count, samples, groups, -1, rows).permute(1, 2, 3, 0, 4)
            self._barred = dead.expand(-1, -1, -1, count, rows)
        open_columns = (~dead).sum((1, 3, 4)).mul(rows).expand(count, samples, -1)
        if any(floors):
            scores = (self._dense * self._scale).square_().masked_fill_(dead, -1)
            best = scores.topk(max(floors), dim=2).indices
            spared = dead.repeat(1, 1, 1, count, rows)
            for i, floor in enumerate(floors):
                spared[:, :, :, i].scatter_(2, best[:, :, :floor, 0], True)
            self._barred = spared
            open_columns = (~spared).sum((1, 4)).permute(2, 0, 1)
        self._quota = _shares(left, open_columns, self._block)
        # By block; a GPU would have to wait for them.
        on_cpu = self._quota.device.type == "cpu"
        self._counts: list[list[int]] = self._quota.flatten(0, 1).T.tolist() if on_cpu else []
        if on_cpu and samples == groups == count == 1:
            barred = None if self._barred is None else self._barred[0, 0, :, 0]
            counts = [block[0] for block in self._counts]
            self._alone = Alone(
                self._dense[0, 0, :, 0], self._sums[0], self._scale[0, 0, :, 0], self._inverses[0], barred, counts
            )

    def run(self) -> Generator[float, None, None]:
        """Sweep; yields the share that is done."""
        for start in range(0, self._columns, self._wide):
            if start:
                yield start / self._columns
            stop = min(start + self._wide, self._columns)
            with full_precision(self._sums.device):
                self._halve(start, start, stop)
                if stop < self._columns:
                    across = self._factor[:, start:stop, stop:]
                    add_product(self._sums[:, stop:], across.mT, self._taken[:, : stop - start])
        if self._lost is not None:
            self.pruned.masked_fill_(self._lost, 0)

    def _halve(self, wide: int, start: int, stop: int) -> None:
        """Sweep the left half, add its effect to the right half, sweep that: products as large as they can be."""
        blocks = math.ceil((stop - start) / self._block)
        if blocks == 1:
            self._sweep_block(wide, start, stop - start)
            return
        left = blocks // 2 * self._block
        middle = start + left
        self._halve(wide, start, middle)
        across = self._factor.narrow(1, start, left).narrow(2, middle, stop - middle)
        right = self._sums.narrow(1, middle, stop - middle)
        add_product(right, across.mT, self._taken.narrow(1, start - wide, left))
        self._halve(wide, middle, stop)

    def _sweep_block(self, wide: int, start: int, width: int) -> None:
        block = start // self._block
        if self._alone is not None and width == self._block:
            self._alone.sweep(block, self._taken[0, start - wide : start - wide + width])
            return
        dense, sums = self._dense.narrow(2, start, width), self.pruned.narrow(2, start, width)
        inverse = self._inverses.narrow(1, block, 1)
        scale = self._scale.narrow(2, start, width)
        if width == 1:
            weights = torch.addcmul(dense, sums, inverse[..., :1, :1].reshape(scale.shape))
        else:
            inverse = inverse[:, 0, :width, :width]
            weights = dense + (inverse.mT @ self._sums.narrow(1, start, width)).view(self._shape)
        # Where all scores have one scale, it does not change which are least.
        scores = weights.abs() if width == 1 and self._shape[1] == 1 else (weights * scale).square_()
        if self._barred is not None:
            scores.masked_fill_(self._barred.narrow(2, start, width), torch.inf)
        gone = self._least(scores, block)
        if width > 1:
            errors = scale * gone  # e_j is this times w_j
            spread = inverse.reshape(*self._shape[:2], width, width, 1, 1)
            for j in range(width - 1):
                error = weights.narrow(2, j, 1) * errors.narrow(2, j, 1)
                weights.narrow(2, j + 1, width - 1 - j).addcmul_(spread[:, :, j, j + 1 :], error, value=-1)
        weights.masked_fill_(gone, 0)
        torch.sub(dense, weights, out=self._taken.narrow(1, start - wide, width).view(self._shape))
        sums.copy_(weights)

    def _least(self, scores: Tensor, block: int) -> Tensor:
        """True on as many of the least scores of each sparsity and sample as the block is to lose."""
        in_order = scores.permute(3, 0, 1, 2, 4)
        flat = in_order.flatten(0, 1).flatten(1)
        if self._counts:
            least = _first_on_cpu(flat, self._counts[block])
        else:
            least = _first(flat, self._quota[..., block].flatten())
        return least.view(in_order.shape).permute(1, 2, 3, 0, 4)


def _rank(sizes: Tensor, among: Tensor) -> Tensor:
    """For each sample the ranks of the sizes in rising order, (samples, n), those that count before all others.

    Args:
        sizes: (1, groups, c, 1, rows).
        among: (samples, groups, c, 1, 1), True where they count. The ranks of others mean nothing but that.
    """
    samples = among.shape[0]
    if sizes.device.type != "cpu":  # how many count would have to be read back
        order = sizes.masked_fill(~among, torch.inf).flatten(1).argsort(dim=1, stable=True)
        numbers = torch.arange(order.shape[1], device=order.device)
        return torch.empty_like(order).scatter_(1, order, numbers.expand_as(order))
    flat = sizes.flatten()
    rank = torch.full((samples, len(flat)), len(flat))
    for ranks, counted in zip(rank, among.expand(-1, *sizes.shape[1:]).flatten(1), strict=True):
        places = counted.nonzero()[:, 0]
        ranks[places[flat[places].argsort(stable=True)]] = torch.arange(len(places))
    return rank


def _first(scores: Tensor, counts: Tensor) -> Tensor:
    """True on the `counts[b]` least scores of each batch entry. scores: (b, …); ties go to the first in order."""
    order = scores.flatten(1).argsort(dim=1, stable=True)
    among = torch.arange(order.shape[1], device=order.device) < counts.unsqueeze(1)
    return torch.empty_like(among).scatter_(1, order, among).view(scores.shape)


def _first_on_cpu(scores: Tensor, counts: Sequence[int]) -> Tensor:
    """`_first` by selecting, not sorting, for counts that are at hand. scores: (b, n), 0 or more."""
    # NumPy's selection is vectorised, PyTorch's is not.
    rows = zip(scores.numpy(), counts, strict=True)
    least = [float(np.partition(row, count - 1)[count - 1]) if count else -1.0 for row, count in rows]
    mask = scores <= torch.tensor(least, dtype=scores.dtype).unsqueeze(1)
    for i, (found, count) in enumerate(zip(mask.count_nonzero(dim=1).tolist(), counts, strict=True)):
        if found != count:  # ties
            mask[i] = _first(scores[i : i + 1], torch.tensor([count]))
    return mask


def _shares(drops: Tensor, candidates: Tensor, block_size: int) -> Tensor:
    """Spread each batch entry's drops over the blocks in proportion to their candidates, exactly in sum.

    The running total is rounded, not each block's share: a head of 10 rows at 0.95 then keeps one weight in every
    second column, where a threshold for each column alone would keep none. No block gets more than its candidates.

    Args:
        drops: (…).
        candidates: (…, c), how many weights of each column may be dropped.

    Returns:
        (…, blocks) whole numbers.
    """
    running = candidates.cumsum(-1)
    side = running.shape[-1]
    ends = torch.arange(block_size, side + block_size, block_size, device=running.device) - 1
    running = running[..., ends.clamp(max=side - 1)]
    total = running[..., -1:].clamp(min=1)
    done = (2 * drops.unsqueeze(-1) * running + total) // (2 * total)
    return torch.diff(done, dim=-1, prepend=torch.zeros_like(done[..., :1]))
