"""Least squares on a given support, many rows at once, each with a support of its own size."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from spade_widgets.pruning.progress import Shares
from spade_widgets.pruning.solvers.elimination import SLICE
from spade_widgets.pruning.solvers.least_squares import submatrices

#: Rows that are solved together at most: few enough that those of about one size are padded little.
BATCH = 64
#: Passes of `_dropping`: the first solves, the others take away what rounding in a float32 inverse left.
PASSES = 3


@dataclass(frozen=True, eq=False)
class Quadratic:
    """Some matrices H, scaled to a diagonal of 1 (more where they are damped), and their inverses.

    Attributes:
        H, inverse: (n, c, c), float32 or float64.
    """

    H: Tensor
    inverse: Tensor


def refit(quadratic: Quadratic, w: Tensor, keep: Tensor, owner: Tensor, memory: int) -> Shares[Tensor]:
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
    if 16 * quadratic.H.numel() <= memory:  # else each batch makes its own, again and again
        quadratic = Quadratic(quadratic.H.double(), quadratic.inverse.double() if most else quadratic.inverse)
    for chosen, method, mask in ((some, _keeping, keep), (most, _dropping, ~keep)):
        for rows, least, most_places in _batches(chosen, mask.sum(1).tolist() if chosen else [], columns, memory):
            index = torch.tensor(rows, device=w.device)
            # Each row's places first; a shorter row is filled up with others, which `real` tells.
            places = mask[index].to(torch.uint8).argsort(dim=1, descending=True, stable=True)[:, :most_places]
            real = mask[index].gather(1, places)
            solved[index] = method(quadratic, w[index], places, real, least, owner[index])
            done += len(rows)
            yield (done - 1) / total
    return solved


def _keeping(quadratic: Quadratic, w: Tensor, places: Tensor, real: Tensor, all_real: int, owner: Tensor) -> Tensor:
    """`v_S = H_SS⁻¹ (w H)_S`. places: (rows, k), S and more; real: (rows, k), whether a place belongs to S."""
    lower = _factor(quadratic.H, places, real, all_real, owner)
    target = _times(w, quadratic.H, owner).gather(1, places) * real
    return torch.zeros_like(w).scatter_(1, places, _solve(lower, target))


def _dropping(quadratic: Quadratic, w: Tensor, places: Tensor, real: Tensor, all_real: int, owner: Tensor) -> Tensor:
    """The same by the dropped places D: with `G = H⁻¹`, `H_SS⁻¹ g_S = (x − G_:D G_DD⁻¹ x_D)_S` for `x = G g_S`."""
    dropped = torch.zeros_like(w, dtype=torch.bool).scatter_(1, places, real)
    lower = _factor(quadratic.inverse, places, real, all_real, owner)
    v = w.masked_fill(dropped, 0)
    for _ in range(PASSES):
        gradient = _times(w - v, quadratic.H, owner).masked_fill_(dropped, 0)
        step = _times(gradient, quadratic.inverse, owner)
        held = torch.zeros_like(w).scatter_(1, places, _solve(lower, step.gather(1, places) * real))
        v += (step - _times(held, quadratic.inverse, owner)).masked_fill_(dropped, 0)
    return v


def _factor(matrices: Tensor, places: Tensor, real: Tensor, all_real: int, owner: Tensor) -> Tensor:
    """The Cholesky factors of the matrices' parts at `places`, those that are not real made the identity; float64.

    The first `all_real` places are real in every row.
    """
    part = submatrices(matrices, owner, places).double()
    some = real.double()
    part[:, all_real:].mul_(some[:, all_real:].unsqueeze(2)).mul_(some.unsqueeze(1))
    part[:, :, all_real:].mul_(some.unsqueeze(2)).mul_(some[:, all_real:].unsqueeze(1))
    part.diagonal(dim1=1, dim2=2).add_(real.logical_not())
    lower: Tensor = torch.linalg.cholesky_ex(part)[0]
    return lower


def _solve(lower: Tensor, right: Tensor) -> Tensor:
    return torch.cholesky_solve(right.unsqueeze(2), lower).squeeze(2)


def _times(w: Tensor, matrices: Tensor, owner: Tensor) -> Tensor:
    """Each row of w (rows, c) times its own of the matrices (n, c, c), in w's dtype."""
    if len(matrices) == 1:
        return w @ matrices[0].to(w.dtype)
    out = torch.empty_like(w)
    for index in sorted(set(owner.tolist())):
        mine = (owner == index).nonzero().squeeze(1)
        out[mine] = w[mine] @ matrices[index].to(w.dtype)
    return out


def _batches(rows: list[int], sizes: list[int], columns: int, memory: int) -> Iterator[tuple[list[int], int, int]]:
    """Rows of like sizes together, with the least and the largest size, so that their systems fit the memory.

    And few enough that a batch takes a moment only.
    """
    rows = sorted(rows, key=lambda row: sizes[row])
    while rows:
        batch = rows[-BATCH:]
        size = sizes[batch[-1]]
        fitting = min(memory // (8 * size * (4 * size + columns)), int(SLICE / size**3))
        batch = batch[-max(1, fitting) :]
        yield batch, sizes[batch[0]], size
        del rows[-len(batch) :]
