"""The support that ADMM finds: which weights a layer keeps, before they are refined.

The problem `min ‖WX − VX‖²` subject to "V has K nonzeros over the whole layer" is split into a quadratic and a
projection (Boyd et al. 2011, section 9.1; Boža 2024 for pruning):

    V = (W C + ρ (Z − U)) (C + ρI)⁻¹,   Z = the K largest entries of V + U,   U = U + V − Z

"Largest" is meant in a metric: each column is scaled by what dropping an entry of it costs once others of its row make
up for it: the diagonal of `(C_PP + τI)⁻¹`, P being some `PART` of the columns, spread evenly. Of all columns it would
leave more error, and take a factorisation of C: near an optimum most others are gone, and make up for nothing.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from spade_widgets.pruning.progress import Shares
from spade_widgets.pruning.solvers.least_squares import Quadratic

#: τ: how much of the unit diagonal is taken as not made up for. Chosen, as ρ and the schedule, on layers of
#: SqueezeNet, MobileNetV2 and the emoji classifier other than those that are reported.
TAU = 0.01
#: Columns that are taken to make up for each other, about.
PART = 128
#: ρ, as a share of the mean diagonal.
RHO = 0.3
#: The number of weights kept falls with this power of the share of the iterations that is done.
POWER = 0.07
#: Entries that are looked at for the threshold of an iteration; only the last one is exact.
SAMPLE = 1 << 14


@dataclass(frozen=True, eq=False)
class Splitting:
    """What ADMM needs of H.

    Attributes:
        metric: (groups, c), what a weight in the scale of C is multiplied with before sizes are compared.
        shrink: (groups, c, c) float32, `ρ (C' + ρI)⁻¹` for C in that metric.
    """

    metric: Tensor
    shrink: Tensor

    @staticmethod
    def of(quadratic: Quadratic) -> Splitting:
        """Of a quadratic; one factorisation."""
        metric = _metric(quadratic.C)
        # Large ones in float32: they need no more, being damped.
        dtype = torch.float32 if quadratic.C.shape[-1] > 256 else torch.float64
        size = metric.to(dtype)
        C = quadratic.C.to(dtype, copy=True).div_(size.unsqueeze(1)).div_(size.unsqueeze(2))
        diagonal = C.diagonal(dim1=1, dim2=2)
        rho = RHO * diagonal.mean(1)
        diagonal.add_(rho.unsqueeze(1))
        lower = torch.linalg.cholesky_ex(C)[0]
        return Splitting(metric, torch.cholesky_inverse(lower).mul_(rho.view(-1, 1, 1)).float())


def _metric(C: Tensor) -> Tensor:
    """`1 / √[(C_PP + τI)⁻¹]_jj` for each column j, P its part of the columns: (groups, c)."""
    columns = C.shape[-1]
    parts = max(1, round(columns / PART))
    size = -(-columns // parts)
    places = torch.arange(parts * size, device=C.device).view(size, parts).T  # part p has p, p + parts, …
    real, places = places < columns, places.clamp(max=columns - 1)
    part = C[:, places.unsqueeze(2), places.unsqueeze(1)] * (real.unsqueeze(2) & real.unsqueeze(1))
    part.diagonal(dim1=2, dim2=3).add_(torch.where(real, TAU, 1.0))
    inverse = torch.cholesky_inverse(torch.linalg.cholesky_ex(part)[0])
    return inverse.diagonal(dim1=2, dim2=3).mT.flatten(1)[:, :columns].rsqrt()


def largest(sizes: Tensor, count: int, spared: Tensor | None = None) -> Tensor:
    """True on exactly the `count` largest sizes (rows, c); ties go to the first. `spared` ones are taken first."""
    flat = sizes.flatten() if spared is None else sizes.masked_fill(spared, torch.inf).flatten()
    chosen = torch.zeros_like(flat, dtype=torch.bool)
    if count <= 0:
        return chosen.view_as(sizes)
    if count < flat.numel():
        threshold = flat.kthvalue(flat.numel() - count + 1).values
        above, ties = flat > threshold, flat == threshold
        chosen = above | (ties & (ties.cumsum(0) <= count - above.sum()))
    else:
        chosen.fill_(True)
    return chosen.view_as(sizes)


def best_of_rows(sizes: Tensor, floor: int) -> Tensor | None:
    """True on the `floor` largest sizes of each row (rows, c); None if the floor is 0."""
    if floor == 0:
        return None
    top = sizes.topk(min(floor, sizes.shape[1]), dim=1).indices
    return torch.zeros_like(sizes, dtype=torch.bool).scatter_(1, top, True)


def support(
    splitting: Splitting, w: Tensor, alive: Tensor, count: int, floor: int, iterations: int
) -> Shares[tuple[Tensor, Tensor]]:
    """Iterate.

    Args:
        w: (rows, c) weights in the scale of C.
        alive: (rows, c), places that may be kept.
        count: how many are, at the end exactly; those of `alive` at most.
        floor: how many each row keeps at least; rows with fewer alive places keep those.
        iterations: at least 1.

    Yields:
        The share that is done, after each iteration.

    Returns:
        (rows, c) support; (rows, c) float32 weights in the scale of C, not zero off the support.
    """
    groups = len(splitting.metric)
    metric = splitting.metric.repeat_interleave(len(w) // groups, 0).float()
    dense = (w.float() * metric).view(groups, -1, w.shape[1])
    total = int(alive.sum())
    pull = dense - dense @ splitting.shrink
    moved, held, dual = dense, dense, torch.zeros_like(dense)
    stride = max(1, dense.numel() // SAMPLE) | 1
    for step in range(1, iterations):
        if step > 1:  # the first product would give the dense weights again
            moved = torch.baddbmm(pull, held, splitting.shrink)
        sizes = (moved + dual).abs_()
        now = total - (total - count) * (step / iterations) ** POWER
        seen = sizes.view(-1)[step % stride :: stride]
        rank = min(seen.numel() - 1, int((1 - now / sizes.numel()) * seen.numel()))
        kept = sizes >= seen.kthvalue(rank + 1).values
        dual += moved
        projected = dual * kept
        dual -= projected
        held = projected - dual
        yield step / iterations
    moved = torch.baddbmm(pull, held, splitting.shrink).flatten(0, 1)
    sizes = (moved + dual.flatten(0, 1)).abs_().masked_fill_(~alive, -1)
    spared = best_of_rows(sizes, floor)
    if spared is not None:
        spared &= alive
    return largest(sizes, count, spared), moved / metric
