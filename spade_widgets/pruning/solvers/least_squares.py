"""Least squares on a given support: the layer-wise problem in a scale where H has a unit diagonal, and its solution.

For a row w and a set of places S, the v that is zero off S and has the least `(w − v) C (w − v)ᵀ` has
`C_SS v_S = (w C)_S`. Rows keep different numbers of places, so they are solved in batches of like sizes.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import TypeVar

import torch
from torch import Tensor

from spade_widgets.errors import InputError, ModelError
from spade_widgets.pruning.progress import Shares

#: Entries below which a batch is not split by size: more operations would cost more than padding does.
SMALL = 1 << 16

T = TypeVar("T")

#: What may have to be added to the unit diagonal before a Cholesky factorisation goes through, least first. A matrix
#: begins with the first that is not below the rounding of its entries, see `Quadratic.of`.
DAMPINGS = (1e-10, 1e-8, 1e-6, 1e-5, 1e-4, 1e-3)
#: Steps of conjugate gradients at most, where systems are too large to be factored row by row; and the share of the
#: error that a step takes away at least, or it is the last one.
CG_STEPS, CG_GAIN = 18, 2e-3
#: Entries of all systems that are solved at a time: few enough for the processor's cache.
ENTRIES = 1 << 18


@dataclass(frozen=True, eq=False)
class Quadratic:
    """One sample's H, scaled: `C_ij = H_ij / (s_i s_j)`, with the least damping that makes it positive definite.

    Attributes:
        C: (groups, c, c) float64, diagonal 1 + damping.
        scale: (groups, c), s; 0 on dead inputs.
        dead: (groups, c), inputs that are zero throughout; uncoupled in C.
        damping: what was added to the diagonal of 1.
    """

    C: Tensor
    scale: Tensor
    dead: Tensor
    damping: float

    @staticmethod
    def of(H: Tensor) -> Quadratic:
        """Of H (groups, c, c).

        Raises:
            ModelError: if H is not finite or not positive semidefinite.
        """
        C = H.detach().to(torch.float64, copy=True)
        diagonal = C.diagonal(dim1=1, dim2=2)
        if not bool(torch.isfinite(C).all()):
            raise ModelError("The Gram matrix holds NaN or infinite values.")
        dead = diagonal <= 0
        scale = torch.where(dead, 0.0, diagonal.clamp(min=0).sqrt())
        inverse = torch.where(dead, 0.0, 1 / scale)
        C.mul_(inverse.unsqueeze(1)).mul_(inverse.unsqueeze(2))
        # Entries that are rounded move eigenvalues by about ε √c. Where inputs are combinations of others, less damping
        # would fail, and cost a factorisation; elsewhere it makes no difference.
        noise = 0.5 * torch.finfo(torch.promote_types(H.dtype, torch.float32)).eps * C.shape[-1] ** 0.5
        for damping in DAMPINGS:
            if damping < noise:
                continue
            C.diagonal(dim1=1, dim2=2).fill_(1 + damping)
            if not bool(torch.linalg.cholesky_ex(C)[1].any()):
                return Quadratic(C, scale, dead, damping)
        raise ModelError("The Gram matrix is not positive semidefinite.")

    @cached_property
    def _single(self) -> Tensor:
        return self.C.float()

    @property
    def groups(self) -> int:
        """Groups of rows that share a matrix."""
        return self.C.shape[0]

    def spread(self, values: Tensor, rows: int) -> Tensor:
        """What is known per group (groups, c) for each row: (rows, c)."""
        return values.repeat_interleave(rows // self.groups, 0)

    def times(self, v: Tensor) -> Tensor:
        """v C for all rows v (rows, c), or some where there is one group; float64, or float32 for a float32 v."""
        matrix = self.C if v.dtype == self.C.dtype else self._single
        return torch.matmul(v.reshape(self.groups, -1, v.shape[1]), matrix).flatten(0, 1)

    def part(self, owner: Tensor, places: Tensor) -> Tensor:
        """C at places (n, k) of the groups `owner` (n,): (n, k, k)."""
        return submatrices(self.C, owner, places)


def submatrices(matrices: Tensor, owner: Tensor, places: Tensor) -> Tensor:
    """Of matrices (m, c, c) those of `owner` (n,) at rows and columns `places` (n, k): (n, k, k)."""
    columns = matrices.shape[-1]
    flat = ((owner.unsqueeze(1) * columns + places) * columns).unsqueeze(2) + places.unsqueeze(1)
    # Several times as fast as indexing, and as gathering from whole rows.
    return matrices.reshape(-1).index_select(0, flat.view(-1)).view(flat.shape)


def stacked(H: Tensor) -> Tensor:
    """A Gram matrix of any accepted shape as (samples, groups, c, c).

    Raises:
        InputError: if it has none of them.
    """
    if H.ndim not in (2, 3, 4) or H.shape[-1] != H.shape[-2]:
        raise InputError(f"A Gram matrix of shape {tuple(H.shape)} is not (c, c), (groups, c, c) or batched.")
    return H.reshape(*((1,) * (4 - H.ndim)), *H.shape)


def pack(mask: Tensor, size: int) -> tuple[Tensor, Tensor]:
    """The places where a mask (n, c) is true, in order, then zeros; and whether a place is one: both (n, size)."""
    counts = mask.sum(1)
    row, column = mask.nonzero(as_tuple=True)
    rank = torch.arange(len(row), device=mask.device) - (counts.cumsum(0) - counts)[row]
    places = row.new_zeros(len(mask), size)
    places[row, rank] = column
    return places, torch.arange(size, device=mask.device) < counts.unsqueeze(1)


def unpack(places: Tensor, real: Tensor, values: Tensor, columns: int) -> Tensor:
    """Values (n, size) put where they belong in (n, columns); zero elsewhere."""
    whole = values.new_zeros(len(values), columns + 1)  # what is not real goes beside the columns
    return whole.scatter_(1, places.masked_fill(~real, columns), values)[:, :-1]


def batches(sizes: list[int], entries: int = ENTRIES) -> Iterator[tuple[list[int], int]]:
    """Rows of like sizes together, smallest first, and the largest size among them; rows of size 0 are left out.

    Args:
        sizes: of each row's system.
        entries: how many entries the systems of a batch may have.
    """
    order = sorted((row for row, size in enumerate(sizes) if size), key=sizes.__getitem__)
    start = 0
    while start < len(order):
        stop, least = start + 1, sizes[order[start]]
        while stop < len(order):
            size, rows = sizes[order[stop]], stop + 1 - start
            together = rows * size * size
            if together > entries or (size > 1.4 * least + 4 and together > SMALL):
                break
            stop += 1
        yield order[start:stop], sizes[order[stop - 1]]
        start = stop


def system(quadratic: Quadratic, owner: Tensor, places: Tensor, real: Tensor) -> Tensor:
    """`C_SS` of each row, padded with the identity where a place is not real."""
    matrix = quadratic.part(owner, places)
    if not bool(real.all()):
        some = real.to(matrix.dtype)
        matrix.mul_(some.unsqueeze(1)).mul_(some.unsqueeze(2))
        matrix.diagonal(dim1=1, dim2=2).add_(~real)
    return matrix


def least_squares(
    quadratic: Quadratic, target: Tensor, keep: Tensor, *, entries: int = ENTRIES
) -> Iterator[tuple[Tensor, Tensor]]:
    """Solve the rows on their supports, in float64, a batch at a time; rows with few places come first.

    Args:
        target: (rows, c), w C.
        keep: (rows, c), the supports; not on dead inputs.
        entries: bound on the entries of the systems that are held at a time.

    Yields:
        (n,) rows and their (n, c) solutions. A row that keeps nothing never comes: its solution is 0.
    """
    sizes = keep.sum(1).tolist()
    per_group = max(1, len(sizes) // quadratic.groups)
    for chosen, size in batches(sizes, entries):
        rows = torch.tensor(chosen, device=target.device)
        places, real = pack(keep[rows], size)
        lower = torch.linalg.cholesky_ex(system(quadratic, rows // per_group, places, real))[0]
        wanted = target[rows].gather(1, places) * real
        solved = torch.cholesky_solve(wanted.unsqueeze(2), lower).squeeze(2) * real
        yield rows, unpack(places, real, solved, target.shape[1])


def descend(quadratic: Quadratic, w: Tensor, start: Tensor, keep: Tensor, steps: int = CG_STEPS) -> Shares[Tensor]:
    """Conjugate gradients on the supports, all rows at once: never worse than the start, but for rounding.

    The first residual is taken in float64, the steps are in float32: what they find is a correction.

    Args:
        w: (rows, c).
        start: (rows, c), zero off the support.
        keep: (rows, c), the support.
        steps: at most; fewer where one gains less than `CG_GAIN`.

    Yields:
        The share that is done, after each step.

    Returns:
        (rows, c).
    """
    slope = quadratic.times(w - start)
    left = float((slope * (w - start)).sum())
    residual = (slope * keep).float()
    direction, found = residual.clone(), torch.zeros_like(residual)
    size = residual.square().sum(1, keepdim=True)
    for step in range(steps):
        pushed = quadratic.times(direction) * keep
        # A row that is done has no direction left; the least positive number keeps its step zero.
        curvature = (direction * pushed).sum(1, keepdim=True).clamp_(min=torch.finfo(torch.float32).tiny)
        length = (size / curvature).nan_to_num_(0, 0, 0)
        found.addcmul_(direction, length)
        residual.addcmul_(pushed, -length)
        gain = float((size * length).sum())
        left -= gain
        if gain <= CG_GAIN * left:
            break
        before, size = size, residual.square().sum(1, keepdim=True)
        direction = residual + direction * (size / before).nan_to_num_(0, 0, 0)
        yield step / steps
    return start + found


def error(quadratic: Quadratic, w: Tensor, v: Tensor) -> float:
    """Σ over the rows of `(w − v) C (w − v)ᵀ`."""
    off = w - v
    return float((quadratic.times(off) * off).sum())
