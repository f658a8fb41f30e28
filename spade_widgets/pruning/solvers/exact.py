"""SPADE proper: exact greedy elimination, row by row (OBC: Frantar, Singh, Alistarh 2022; SPADE, section 3.1).

Each row loses its weights one after the other, always the one whose loss costs the row's output least, and the rest of
the row is moved to the optimum after each. How many each row loses is chosen over the whole layer: of all recorded
losses the smallest are taken, and a row drops as many of its first as it has among them. So one elimination gives every
sparsity. The weights that stay are least squares on what stays, in float64.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from spade_widgets.checks import check_count
from spade_widgets.errors import InputError, ModelError
from spade_widgets.pruning.calibration.precision import full_precision
from spade_widgets.pruning.progress import Shares, part
from spade_widgets.pruning.solvers.base import Prepared, SolverSteps, check_floors, zeros
from spade_widgets.pruning.solvers.elimination import Pacer, eliminate, precisely, row_bytes
from spade_widgets.pruning.solvers.support import Quadratic, refit

#: An input is as good as a combination of the others where they leave less than this share of its energy unexplained:
#: H counts as singular. In float32 the losses are then good to a thousandth still.
SINGULAR = 1e-4
#: What is then added to each diagonal entry of H, as a share of it.
DAMPING = 1e-3


@dataclass(frozen=True)
class Exact:
    """Exact greedy elimination.

    Where H is singular (fewer columns of X than weights, or inputs that are combinations of others), a thousandth of
    each diagonal entry is added to it; otherwise it is not damped.

    Attributes:
        block_size: weights that are dropped together, at least 1; a divisor of the columns.
        kernel_size: of a convolution, k² (k for one dimension, k³ for three): blocks are then runs of columns in
            (kh, kw, c_in) order, as in the published code, not of W's own order.
        memory: bytes that the elimination may use at a time, beside H and its inverse; rows are taken in turns. At
            least about 5 · c² bytes, for one row (10 · c² for an H in float64). The result does not depend on it.

    Raises:
        InputError: for options outside these ranges.
    """

    block_size: int = 1
    kernel_size: int = 1
    memory: int = 1 << 30

    def __post_init__(self) -> None:
        for option in ("block_size", "kernel_size", "memory"):
            check_count(getattr(self, option), option)

    def prepare(self, H: Tensor) -> ExactPrepared:
        """Invert H once, for every W and sparsity.

        Args:
            H: (c, c), (groups, c, c), or (samples, groups, c, c) for several samples at once.

        Raises:
            InputError: if H has another shape, does not split into the blocks, or a row does not fit the memory.
            ModelError: if H is not finite or not positive semidefinite.
        """
        if H.ndim not in (2, 3, 4) or H.shape[-1] != H.shape[-2]:
            raise InputError(f"A Gram matrix of shape {tuple(H.shape)} is not (c, c), (groups, c, c) or batched.")
        columns = H.shape[-1]
        for option in ("block_size", "kernel_size"):
            if columns % getattr(self, option):
                raise InputError(f"{columns} columns do not split into parts of {option} {getattr(self, option)}.")
        dtype = torch.promote_types(H.dtype, torch.float32)
        row = row_bytes(columns, self.block_size, dtype.itemsize)
        if row > self.memory:
            raise InputError(
                f"A row of {columns} columns needs {row} bytes of memory to be solved exactly, more than the "
                f"{self.memory} allowed: a larger memory, or the solver 'fast', is accepted."
            )
        if not bool(torch.isfinite(H).all()):
            raise ModelError("The Gram matrix holds NaN or infinite values.")
        order = torch.arange(columns, device=H.device)
        if self.block_size > 1:
            order = order.view(-1, self.kernel_size).T.flatten()
        hessian = H.detach().to(dtype).reshape(-1, columns, columns)[:, order][:, :, order]
        dead = hessian.diagonal(dim1=1, dim2=2) <= 0
        # A dead input is uncoupled: any positive diagonal does.
        hessian.masked_fill_(dead.unsqueeze(1) | dead.unsqueeze(2), 0)
        hessian.diagonal(dim1=1, dim2=2).masked_fill_(dead, 1)
        samples = H.shape[0] if H.ndim == 4 else 1
        with full_precision(H.device):
            inverted = _invert(hessian)
        return ExactPrepared(*inverted, dead, order, samples, H.ndim == 4, self.block_size, self.memory)


def _invert(H: Tensor) -> tuple[Quadratic, Tensor, Tensor]:
    """H (n, c, c), scaled in place to a unit diagonal and damped where it is singular, with its inverse.

    Returns:
        quadratic: the two.
        scale: (n, c), the roots of H's diagonal; float64.
        damping: (n,), what was added to the diagonal of 1.
    """
    scale = H.diagonal(dim1=1, dim2=2).double().sqrt()
    damping, inverse = torch.zeros_like(H[:, 0, 0]), torch.empty_like(H)
    for one, s, damped, inverted in zip(H, scale, damping, inverse, strict=True):  # in float64 each may be large
        double = one.double() / s / s.unsqueeze(1)
        lower, info = torch.linalg.cholesky_ex(double)
        # What of an input the others leave unexplained: those before it its squared pivot, all of them 1 / H⁻¹_jj.
        singular = bool(info) or float(lower.diagonal().min()) ** 2 < SINGULAR
        if not singular:
            inverted.copy_(torch.cholesky_inverse(lower))
            singular = float(inverted.diagonal().max()) > 1 / SINGULAR
        if singular:
            damped.fill_(DAMPING)
            double.diagonal().add_(DAMPING)
            lower, info = torch.linalg.cholesky_ex(double)
            if bool(info):
                raise ModelError("The Gram matrix is not positive semidefinite.")
            inverted.copy_(torch.cholesky_inverse(lower))
        one.copy_(double)
    return Quadratic(H, inverse), scale, damping


@dataclass(eq=False)
class _Elimination:
    """What is known about a W: kept for the next sparsity, and for going on after a cancellation.

    Attributes:
        W: (rows, c), a copy.
        rank: (samples · rows, blocks), as how many-eth each block is dropped in its row.
        losses: (samples · rows, blocks), what each drop costs, in the order of dropping.
        sequence: (samples, rows · blocks), the places of a sample's losses from the smallest to the largest; when all
            rows are done.
        rows_done: how many rows of `rank` and `losses` are there yet.
    """

    W: Tensor
    rank: Tensor
    losses: Tensor
    sequence: Tensor
    rows_done: int = 0


@dataclass(eq=False)
class ExactPrepared(Prepared):
    """The inverse of H, and the elimination of the W that was solved last.

    Attributes:
        quadratic: H and H⁻¹, (samples · groups, c, c), with their columns in the blocks' order.
        scale, damping: (samples · groups, c) and (samples · groups,): see `_invert`.
        dead: (samples · groups, c), inputs that are zero throughout, in the same order.
        order: (c,), W's columns in the blocks' order.
        samples, batched: how many samples H is of, and whether results carry a leading sample dimension.
        block_size, memory: as in `Exact`.
    """

    quadratic: Quadratic
    scale: Tensor
    damping: Tensor
    dead: Tensor
    order: Tensor
    samples: int
    batched: bool
    block_size: int
    memory: int
    _known: _Elimination | None = field(default=None, init=False, repr=False)

    def steps(self, W: Tensor, sparsities: Sequence[float], *, row_floor: int | Sequence[int] = 0) -> SolverSteps:
        """See `Prepared.sweep`; (samples, rows, c) where several samples were prepared.

        Only the first call for a W eliminates. If that is dropped half way, the next one goes on from the rows that
        were done. Blocks of several weights are dropped whole, but for the last one where the count asks for a part.

        Raises:
            InputError: if W does not fit H or a sparsity is outside [0, 1).
            ModelError: if W is not finite.
        """
        return precisely(self._steps(W, sparsities, row_floor), W.device)

    def _steps(self, W: Tensor, sparsities: Sequence[float], row_floor: int | Sequence[int]) -> SolverSteps:
        groups, columns = len(self.dead) // self.samples, self.dead.shape[1]
        if W.ndim != 2 or W.shape[1] != columns or W.shape[0] % groups:
            raise InputError(
                f"Weights of shape {tuple(W.shape)} do not fit a Gram matrix of {groups} × {columns} columns."
            )
        rows = W.shape[0]
        floors = check_floors(row_floor, sparsities)
        drops = [zeros(W.numel(), s, keep=max(1, f * rows)) for s, f in zip(sparsities, floors, strict=True)]
        if not bool(torch.isfinite(W).all()):
            raise ModelError("The weights hold NaN or infinite values.")
        owner = torch.arange(len(self.dead), device=W.device).repeat_interleave(rows // groups)
        scale = self.scale[owner]
        w = W.detach()[:, self.order].repeat(self.samples, 1).double() * scale
        known = self._recall(W)
        yield from part(self._eliminate(known, w, owner), 0, 0.9)
        back = self.order.argsort()
        solved: list[Tensor] = []
        turn = max(1, self.memory // (64 * w.numel()))  # sparsities at once
        for begin in range(0, len(drops), turn):
            keeps = []
            for drop, floor in zip(drops[begin : begin + turn], floors[begin : begin + turn], strict=True):
                keeps.append((yield from self._support(known, w, owner, drop, floor)))
            count, keep = len(keeps), torch.cat(keeps)
            steps = refit(self.quadratic, w.repeat(count, 1), keep, owner.repeat(count), self.memory)
            v = yield from part(steps, 0.9 + 0.1 * begin / len(drops), 0.1 * count / len(drops))
            pruned = (v.view(count, -1, columns) / scale)[..., back].view(-1, self.samples, rows, columns).to(W.dtype)
            # A row that loses nothing keeps its very bits.
            pruned = torch.where(keep.view_as(pruned).all(-1, keepdim=True), W.detach(), pruned)
            solved += list(pruned if self.batched else pruned[:, 0])
        return solved

    def _recall(self, W: Tensor) -> _Elimination:
        """What is known about W, or a new start."""
        known = self._known
        if known is None or known.W.dtype != W.dtype or not torch.equal(known.W, W):
            rows, blocks = self.samples * W.shape[0], W.shape[1] // self.block_size
            rank = torch.empty(rows, blocks, dtype=torch.int32, device=W.device)
            losses = torch.empty(rows, blocks, dtype=self.quadratic.inverse.dtype, device=W.device)
            known = self._known = _Elimination(W.detach().clone(), rank, losses, losses.new_empty(0))
        return known

    def _eliminate(self, known: _Elimination, w: Tensor, owner: Tensor) -> Shares[None]:
        """Eliminate the rows that are not done yet, as many at once as the memory holds."""
        rows, columns = w.shape
        # An input that is zero throughout adds nothing. Each sample's largest weight is made 1, for float32's range.
        live = w.masked_fill(self.dead[owner], 0).view(self.samples, -1)
        live = (live / live.abs().amax(1, keepdim=True).clamp(min=1e-300)).view_as(w).to(known.losses.dtype)
        most = self.memory // row_bytes(columns, self.block_size, live.element_size())
        turns = -(-rows // most)
        pacer = Pacer()
        while known.rows_done < rows:
            start = known.rows_done
            turn = slice(start, min(start + -(-rows // turns), rows))
            steps = eliminate(live[turn], self.quadratic.inverse, owner[turn], self.block_size, pacer)
            order, losses = yield from part(steps, start / rows, (turn.stop - start) / rows)
            if self.block_size == 1:
                order, losses = _dead_first(order, losses, w[turn], self.dead[owner[turn]])
            ranks = torch.arange(order.shape[1], dtype=torch.int32, device=w.device)
            known.rank[turn] = torch.empty_like(order, dtype=torch.int32).scatter_(1, order, ranks.expand_as(order))
            known.losses[turn] = losses
            known.rows_done = turn.stop
            if turn.stop == rows:
                known.sequence = known.losses.view(self.samples, -1).argsort(dim=1, stable=True)

    def _support(self, known: _Elimination, w: Tensor, owner: Tensor, drop: int, row_floor: int) -> Shares[Tensor]:
        """Which weights stay. Of each sample's losses the smallest are taken, but a row's last `row_floor`."""
        rows, columns = w.shape
        b, blocks = self.block_size, known.rank.shape[1]
        capacity = (columns - row_floor) // b
        whole = min(drop // b, rows // self.samples * capacity)
        allowed = known.sequence % blocks < capacity
        taken = allowed & (allowed.cumsum(1) <= whole)
        counts = torch.zeros(self.samples, rows // self.samples, dtype=torch.long, device=w.device)
        counts = counts.scatter_add_(1, known.sequence // blocks, taken.long()).flatten()
        keep = (known.rank >= counts.unsqueeze(1)).repeat_interleave(b, 1)
        if drop > whole * b:
            yield from self._drop_parts(known, w, owner, keep, counts, drop - whole * b, row_floor)
        return keep

    def _drop_parts(
        self, known: _Elimination, w: Tensor, owner: Tensor, keep: Tensor, counts: Tensor, rest: int, row_floor: int
    ) -> Shares[None]:
        """Drop `rest` more weights of each sample from the rows' next blocks, the least loss first; in place."""
        columns, b, blocks = w.shape[1], self.block_size, known.rank.shape[1]
        following = known.losses.gather(1, counts.clamp(max=blocks - 1).unsqueeze(1)).squeeze(1)
        following = following.masked_fill(counts >= blocks, torch.inf).view(self.samples, -1)
        spare = (columns - row_floor - counts * b).clamp(max=b).tolist()
        for sample, ordered in enumerate(following.argsort(dim=1, stable=True).tolist()):
            left = rest
            for row in (sample * len(ordered) + place for place in ordered):
                if left and spare[row]:
                    take = min(left, spare[row])
                    one = slice(row, row + 1)
                    v = yield from refit(self.quadratic, w[one], keep[one], owner[one], self.memory)
                    block = int((known.rank[row] == counts[row]).nonzero())
                    S = keep[row].nonzero().squeeze(1)
                    H = self.quadratic.H[owner[row]].double()[S][:, S]
                    inside = (S // b == block).nonzero().squeeze(1)
                    inverse = torch.linalg.inv(H)[inside][:, inside]
                    keep[row, S[inside[_cheapest(v[0, S[inside]], inverse, take)]]] = False
                    left -= take


def _dead_first(order: Tensor, losses: Tensor, w: Tensor, dead: Tensor) -> tuple[Tensor, Tensor]:
    """Each row's weights on inputs that are zero throughout to the front, the small ones first over all rows.

    They cost nothing: their losses are made negative, rising with their size.
    """
    gone = dead.gather(1, order)
    size = -1 / (w.gather(1, order).abs() + 1e-30)
    place = torch.where(gone, size, torch.arange(order.shape[1], device=order.device).double())
    moved = place.argsort(dim=1, stable=True)
    return order.gather(1, moved), torch.where(gone, size.to(losses.dtype), losses).gather(1, moved)


def _cheapest(w: Tensor, inverse: Tensor, count: int) -> Tensor:
    """Greedy elimination inside one block. w: (b,), inverse: (b, b). Returns `count` places."""
    chosen = torch.empty(0, dtype=torch.long, device=w.device)
    for _ in range(count):
        q = (w.square() / inverse.diagonal()).index_fill(0, chosen, torch.inf).argmin()
        row = inverse[q] / inverse[q, q]
        w = w - w[q] * row
        inverse = inverse - inverse[q].unsqueeze(1) * row
        inverse[q, q] = 1
        chosen = torch.cat((chosen, q.view(1)))
    return chosen
