"""Least squares on a given support, many rows at once, each with a support of its own size."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from spade_widgets.pruning.solvers.elimination import Steps

#: Rows that are solved together at most: few enough that those of about one size are padded little.
BATCH = 64
#: Passes of `_dropping`: the first solves, the others take away what rounding in a float32 inverse left.
PASSES = 3


@dataclass(frozen=True, eq=False)
class Quadratic:
    """H in a scale where its diagonal is 1: `H_ij / (s_i s_j)`, damped; made in float64 where it is needed.

    Attributes:
        H: (n, c, c), with a positive diagonal.
        scale: (n, c), s; float64.
        damping: (n,), added to the diagonal of 1; float64.
        inverse: (n, c, c), of the scaled and damped H, in H's dtype.
    """

    H: Tensor
    scale: Tensor
    damping: Tensor
    inverse: Tensor

    def whole(self, index: int) -> Tensor:
        """One of the matrices, (c, c)."""
        return scaled(self.H[index], self.scale[index], self.damping[index])

    def part(self, owner: Tensor, columns: Tensor) -> Tensor:
        """(rows, k, k): of the matrix `owner` (rows,) the rows and columns `columns` (rows, k)."""
        scale = self.scale[owner.unsqueeze(1), columns]
        return scaled(_part(self.H, owner, columns), scale, self.damping[owner])

    def times(self, w: Tensor, owner: Tensor) -> Tensor:
        """Each row w (rows, c) times its H."""
        out = torch.empty_like(w)
        for index, mine in _by_owner(owner):
            out[mine] = w[mine] @ self.whole(index)
        return out

    def divided(self, w: Tensor, owner: Tensor) -> Tensor:
        """Each row w (rows, c) times its H⁻¹, but for rounding."""
        out = torch.empty_like(w)
        for index, mine in _by_owner(owner):
            out[mine] = w[mine] @ self.inverse[index].double()
        return out


def scaled(H: Tensor, scale: Tensor, damping: Tensor) -> Tensor:
    """H (…, c, c) over scale (…, c) from both sides, plus damping (…) on the diagonal; float64."""
    out = H.double() / scale.unsqueeze(-1) / scale.unsqueeze(-2)
    out.diagonal(dim1=-2, dim2=-1).add_(damping.unsqueeze(-1))
    return out


def refit(quadratic: Quadratic, w: Tensor, keep: Tensor, owner: Tensor, memory: int) -> Steps[Tensor]:
    """The least `(w − v) H (w − v)ᵀ` over v that is zero off the support, row by row, in float64.

    Rows that keep at most half are solved with H on what they keep, the others with H⁻¹ on what they drop. The host
    reads how many weights the rows keep, once.

    Args:
        w: (rows, c), in the scale of `quadratic`; float64.
        keep: (rows, c), the support.
        owner: (rows,), the matrix that each row belongs to.
        memory: bytes for the systems that are solved at a time.

    Yields:
        The share that is done, in [0, 1).

    Returns:
        v: (rows, c).
    """
    columns = w.shape[1]
    solved = torch.where(keep, w, 0)
    kept = keep.sum(1).tolist()
    some = [row for row, count in enumerate(kept) if 0 < count <= columns // 2]
    most = [row for row, count in enumerate(kept) if columns // 2 < count < columns]
    done, total = 0, max(1, len(some) + len(most))
    for chosen, method, mask in ((some, _keeping, keep), (most, _dropping, ~keep)):
        for rows, size in _batches(chosen, mask.sum(1).tolist() if chosen else [], memory):
            index = torch.tensor(rows, device=w.device)
            # Each row's places first; a shorter row is filled up with others, which `real` tells.
            places = mask[index].to(torch.uint8).argsort(dim=1, descending=True, stable=True)[:, :size]
            real = mask[index].gather(1, places)
            solved[index] = method(quadratic, w[index], places, real, owner[index])
            done += len(rows)
            yield (done - 1) / total
    return solved


def _keeping(quadratic: Quadratic, w: Tensor, places: Tensor, real: Tensor, owner: Tensor) -> Tensor:
    """`v_S = H_SS⁻¹ (H w)_S`. places: (rows, k), S and more; real: (rows, k), whether a place belongs to S."""
    lower = _factor(quadratic.part(owner, places), real)
    target = quadratic.times(w, owner).gather(1, places) * real
    return torch.zeros_like(w).scatter_(1, places, _solve(lower, target) * real)


def _dropping(quadratic: Quadratic, w: Tensor, places: Tensor, real: Tensor, owner: Tensor) -> Tensor:
    """The same by the dropped places D: with `G = H⁻¹`, `H_SS⁻¹ g_S = (x − G_:D G_DD⁻¹ x_D)_S` for `x = G g_S`."""
    dropped = torch.zeros_like(w, dtype=torch.bool).scatter_(1, places, real)
    lower = _factor(_part(quadratic.inverse, owner, places).double(), real)
    v = w.masked_fill(dropped, 0)
    for _ in range(PASSES):
        gradient = quadratic.times(w - v, owner).masked_fill_(dropped, 0)
        step = quadratic.divided(gradient, owner)
        held = torch.zeros_like(w).scatter_(1, places, _solve(lower, step.gather(1, places) * real) * real)
        v += (step - quadratic.divided(held, owner)).masked_fill_(dropped, 0)
    return v


def _factor(system: Tensor, real: Tensor) -> Tensor:
    """The Cholesky factors of systems whose places that are not real are cut off and made the identity."""
    system *= real.unsqueeze(1) & real.unsqueeze(2)
    system.diagonal(dim1=1, dim2=2).add_(real.logical_not())
    lower: Tensor = torch.linalg.cholesky_ex(system)[0]
    return lower


def _solve(lower: Tensor, right: Tensor) -> Tensor:
    return torch.cholesky_solve(right.unsqueeze(2), lower).squeeze(2)


def _part(matrices: Tensor, owner: Tensor, columns: Tensor) -> Tensor:
    return matrices[owner.view(-1, 1, 1), columns.unsqueeze(2), columns.unsqueeze(1)]


def _by_owner(owner: Tensor) -> Iterator[tuple[int, Tensor]]:
    for index in sorted(set(owner.tolist())):
        yield index, (owner == index).nonzero().squeeze(1)


def _batches(rows: list[int], sizes: list[int], memory: int) -> Iterator[tuple[list[int], int]]:
    """Rows of like sizes together, and the largest size among them, so that a few float64 systems fit the memory."""
    rows = sorted(rows, key=lambda row: sizes[row])
    while rows:
        batch = rows[-BATCH:]
        size = sizes[batch[-1]]
        batch = batch[-max(1, memory // (4 * 8 * size * size)) :]
        yield batch, size
        del rows[-len(batch) :]
