"""Greedy elimination with exact updates, many rows at once: the core of OBC (Frantar, Singh, Alistarh 2022).

A row starts at its dense weights w and the inverse A of the Hessian. Each step drops the block q of weights with the
least loss `w_qᵀ A_qq⁻¹ w_q`, moves the rest to the optimum without it, and eliminates q from A. Written with
`A_qq = L Lᵀ` and `u = L⁻¹ A_q:` (a pivoted Cholesky factorisation of A, the pivot being the cheapest block):

    w ← w − (L⁻¹ w_q)ᵀ u        A ← A − uᵀ u

Only what the next choice needs is computed at once: the loss needs A's diagonal blocks, the update the chosen block's
rows. The u of a window of steps are therefore collected in U, the rows of `A − UᵀU` are made where one is chosen, and A
itself is brought up to date once a window, by one matrix product over the columns that are left. Until the first such
refresh all rows share one A.
"""

from __future__ import annotations

import math
import time
from typing import TypeAlias, TypeVar

import torch
from torch import Tensor

from spade_widgets.pruning.calibration.precision import full_precision
from spade_widgets.pruning.progress import Shares, part

T = TypeVar("T")

#: What a window of steps leaves: see `_single_steps`.
_Window: TypeAlias = tuple[Tensor, Tensor, Tensor, Tensor]

#: Rows of up to so many columns are eliminated in one window: a refresh would cost more than it saves.
SHORT = 64
#: Floating point operations between two chances to cancel.
SLICE = 2e9
#: Seconds between two yields.
PAUSE = 0.05


class Pacer:
    """Says when it is time to yield."""

    def __init__(self) -> None:
        self._last = time.monotonic()

    def due(self) -> bool:
        """Whether `PAUSE` seconds have passed since this was last true."""
        now = time.monotonic()
        if now - self._last < PAUSE:
            return False
        self._last = now
        return True


def precisely(steps: Shares[T], device: torch.device) -> Shares[T]:
    """The steps with their products in full precision, and the caller's setting between two of them."""
    while True:
        with full_precision(device):
            try:
                share = next(steps)
            except StopIteration as stop:
                result: T = stop.value
                return result
        yield share


def window(columns: int, block: int) -> int:
    """How many blocks are dropped between two refreshes of A.

    A step reads U, half a window on average, and a refresh reads and writes A a few times: √(8 · columns) columns
    balance the two.
    """
    if columns <= SHORT:
        return columns // block
    return min(columns // block, max(1, round(math.sqrt(8 * columns) / block)))


def row_bytes(columns: int, block: int, itemsize: int) -> int:
    """What `eliminate` holds for each row at most: A and a smaller copy of it, U and its like, diagonal blocks."""
    held = 0 if columns <= SHORT else columns * columns * 5 // 4
    return itemsize * (held + 4 * window(columns, block) * block * columns + (4 * block + 16) * columns)


def eliminate(W: Tensor, inverse: Tensor, owner: Tensor, block: int, pacer: Pacer) -> Shares[tuple[Tensor, Tensor]]:
    """Eliminate every row down to nothing; no row's result depends on the others.

    Args:
        W: (rows, c), scaled so that H has a unit diagonal; not changed.
        inverse: (groups, c, c), H⁻¹; not changed.
        owner: (rows,) the group that each row belongs to.
        block: weights a block, a divisor of c; blocks are runs of consecutive columns.
        pacer: says when to yield.

    Yields:
        The share that is done, in [0, 1).

    Returns:
        order: (rows, blocks), the blocks in the order in which they are dropped.
        losses: (rows, blocks), what each drop adds to `(w − w') H (w − w')ᵀ` of its row, in the same order.
    """
    rows, columns = W.shape
    A = inverse
    w = W.reshape(rows, columns // block, block)
    ids = torch.arange(columns // block, device=W.device).expand(rows, -1)
    orders, losses = [], []
    while ids.shape[1]:
        n = ids.shape[1]
        work = 1 - (n * block / columns) ** 3  # a step costs about the square of what is left
        steps = _single_steps(A, w, owner, pacer) if block == 1 else _block_steps(A, w, owner, pacer)
        chosen, lost, w, U = yield from part(steps, work, 0)
        orders.append(ids.gather(1, chosen))
        losses.append(lost)
        if chosen.shape[1] == n:
            break
        dest, src = _moves(chosen, n)
        left = n - chosen.shape[1]
        ids = ids.scatter(1, dest, ids.gather(1, src))[:, :left]
        wide = (-1, -1, block)
        w = w.scatter(1, dest.unsqueeze(2).expand(wide), w.gather(1, src.unsqueeze(2).expand(wide)))[:, :left]
        fresh = A is inverse or 2 * left * block < A.shape[1]
        A, U = _compact(A, U, owner, _columns(dest, block), _columns(src, block), left * block, fresh)
        owner = torch.arange(rows, device=W.device)
        at_once = max(1, int(SLICE / (2 * A.shape[1] ** 2 * U.shape[1])))
        for start in range(0, rows, at_once):
            u = U[start : start + at_once]
            A[start : start + at_once].baddbmm_(u.mT, u, alpha=-1)
            if pacer.due():
                yield work
    return torch.cat(orders, 1), torch.cat(losses, 1)


def _single_steps(A: Tensor, w: Tensor, owner: Tensor, pacer: Pacer) -> Shares[_Window]:
    """A window of steps with blocks of one weight.

    Args:
        A: (groups or rows, ≥ n, ≥ n); its first n columns are the ones that are left.
        w: (rows, n, 1).

    Returns:
        What was chosen (rows, m), its losses (rows, m), w afterwards, U (rows, m, n).
    """
    rows, n, _ = w.shape
    m = window(n, 1)
    U = w.new_empty(rows, m, n)
    D = A.diagonal(dim1=1, dim2=2)[:, :n][owner]
    w = w.reshape(rows, n).clone()
    chosen, roots = [], []
    for t in range(m):
        # The inverse of the loss: a dropped weight is then told by D = −∞ alone, and a weight of 0 comes first.
        q = (D / (w * w)).argmax(1)
        q1 = q.unsqueeze(1)
        row = A[owner, q, :n]
        if t:
            at_q = U[:, :t].gather(2, q1.unsqueeze(1).expand(-1, t, 1)).mT
            row = torch.baddbmm(row.unsqueeze(1), at_q, U[:, :t], alpha=-1).squeeze(1)
        # [(H_SS)⁻¹]_qq ≥ 1 / H_qq = 1 for every S: less is rounding.
        scale = D.gather(1, q1).clamp_(min=1).rsqrt_()
        u = torch.mul(row, scale, out=U[:, t])
        root = w.gather(1, q1) * scale
        chosen.append(q1)
        roots.append(root)
        w.addcmul_(u, root, value=-1)
        D.addcmul_(u, u, value=-1)
        D.scatter_(1, q1, -torch.inf)
        if pacer.due():
            yield 0.0
    return torch.cat(chosen, 1), torch.cat(roots, 1).square_(), w.unsqueeze(2), U


def _block_steps(A: Tensor, w: Tensor, owner: Tensor, pacer: Pacer) -> Shares[_Window]:
    """A window of steps with blocks of b weights; as `_single_steps`, w (rows, n, b), U (rows, m · b, n · b)."""
    rows, n, b = w.shape
    m, R = window(n * b, b), torch.arange(rows, device=w.device)
    U = w.new_empty(rows, m * b, n * b)
    # The diagonal blocks with rows and blocks last, so that all are factored at once by long vector operations.
    D = A[:, : n * b, : n * b].view(-1, n, b, n, b).diagonal(dim1=1, dim2=3)  # (…, b, b, n)
    D = D[owner].permute(1, 2, 0, 3).contiguous()
    w = w.clone()
    eye = torch.eye(b, dtype=w.dtype, device=w.device)
    scratch = w.new_empty(b + 1, b, rows, n)
    gone = w.new_zeros(rows, n)
    chosen, losses = owner.new_empty(rows, m), w.new_empty(rows, m)
    for t in range(m):
        least, q = _block_losses(D, w, scratch).add_(gone).min(1)
        chosen[:, t], losses[:, t] = q, least
        columns = _columns(q.unsqueeze(1), b)
        row = A[owner.unsqueeze(1), columns, : n * b]
        done = t * b
        if t:
            at_q = U[:, :done].gather(2, columns.unsqueeze(1).expand(-1, done, -1)).mT
            row.baddbmm_(at_q, U[:, :done], alpha=-1)
        lower = torch.linalg.cholesky_ex(D[:, :, R, q].permute(2, 0, 1))[0]
        whiten = torch.linalg.solve_triangular(lower, eye, upper=False)
        u = whiten @ row
        U[:, done : done + b] = u
        w.view(rows, 1, n * b).baddbmm_((whiten @ w[R, q].unsqueeze(2)).mT, u, alpha=-1)
        by_block = u.view(rows, b, n, b).permute(1, 3, 0, 2).contiguous()  # (b of u, b, rows, n)
        for k in range(b):
            D.addcmul_(by_block[k].unsqueeze(0), by_block[k].unsqueeze(1), value=-1)
        gone[R, q] = torch.inf
        D[:, :, R, q] = eye.unsqueeze(-1)
        w[R, q] = 0
        if pacer.due():
            yield 0.0
    return chosen, losses, w, U


def _block_losses(D: Tensor, w: Tensor, scratch: Tensor) -> Tensor:
    """`wᵀ D⁻¹ w` of every block, by a Cholesky factorisation of D with w as one more row.

    Args:
        D: (b, b, rows, n).
        w: (rows, n, b).
        scratch: (b + 1, b, rows, n), overwritten.
    """
    b = D.shape[0]
    scratch[:b] = D
    scratch[b] = w.permute(2, 0, 1)
    loss = torch.zeros_like(D[0, 0])
    for i in range(b):
        # A pivot is at least 1 but for rounding, as in `_single_steps`.
        column = scratch[i + 1 :, i].mul_(scratch[i, i].clamp_(min=1).rsqrt_())
        loss.addcmul_(column[-1], column[-1])
        if i + 1 < b:
            scratch[i + 1 :, i + 1 :].addcmul_(column.unsqueeze(1), column[:-1].unsqueeze(0), value=-1)
    return loss


def _columns(blocks: Tensor, block: int) -> Tensor:
    """The columns of each row's blocks. blocks: (rows, k). Returns (rows, k · block)."""
    return (blocks.unsqueeze(2) * block + torch.arange(block, device=blocks.device)).flatten(1)


def _moves(chosen: Tensor, n: int) -> tuple[Tensor, Tensor]:
    """Which blocks move where, so that the n − m that are left come first and few of them move.

    Every row moves equally many, so that the host needs to know nothing: some of the moves are from a place to itself.

    Args:
        chosen: (rows, m), the blocks that are gone.

    Returns:
        dest, src: (rows, min(m, n − m)); dest without repetition in a row.
    """
    left = n - chosen.shape[1]
    moves = min(n - left, left)
    gone = torch.zeros(chosen.shape[0], n, dtype=torch.uint8, device=chosen.device).scatter_(1, chosen, 1)
    head, tail = gone[:, :left], 1 - gone[:, left:]
    dest = head.argsort(dim=1, descending=True, stable=True)[:, :moves]
    src = left + tail.argsort(dim=1, descending=True, stable=True)[:, :moves]
    real = torch.arange(moves, device=chosen.device) < head.sum(1, keepdim=True)
    return dest, torch.where(real, src, dest)


def _compact(
    A: Tensor, U: Tensor, owner: Tensor, dest: Tensor, src: Tensor, left: int, fresh: bool
) -> tuple[Tensor, Tensor]:
    """A and U with the columns `src` moved to `dest` and cut to the first `left`; a row's own A from now on.

    `fresh`: into new memory, because rows share A or it is much too large by now; else A is changed in place.
    """
    width = U.shape[2]

    def move(rectangle: Tensor) -> Tensor:
        wide = (-1, rectangle.shape[1], -1)
        moved = rectangle.gather(2, src.unsqueeze(1).expand(wide))
        return rectangle.scatter_(2, dest.unsqueeze(1).expand(wide), moved)[..., :left]

    moved = move(A[owner.unsqueeze(1), src, :width])
    A = A[:, :left, :left][owner] if fresh else A[:, :left, :left]
    A[torch.arange(A.shape[0], device=A.device).unsqueeze(1), dest] = moved
    A.scatter_(2, dest.unsqueeze(1).expand(-1, left, -1), moved.mT)
    return A, move(U)
