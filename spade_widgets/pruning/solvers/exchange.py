"""Exchange: a support takes in what would help most, then gives up what it needs least, until this gains nothing.

A round widens every row's support by the places with the largest gradient of the error, solves it, and eliminates back
to the count: exactly and greedily as OBC does, but within the small support, where it costs little. How many each row
gives up is chosen over the layer. A round that gains nothing is undone, so errors only fall.
"""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass

import torch
from torch import Tensor

from spade_widgets.pruning.progress import Shares, saying
from spade_widgets.pruning.solvers.least_squares import ENTRIES, Quadratic, batches, pack, system, unpack

#: A row may give up so many times the number of places that it took in.
LEEWAY = 1.5
#: A row may take in so many times its share of the places that are taken in.
CROWD = 2


@dataclass(frozen=True, eq=False)
class Fitted:
    """A support with its least squares.

    Attributes:
        keep: (rows, c), the support.
        v: (rows, c) float64, the solution; zero off the support.
        explained: what `w C wᵀ` summed over the rows exceeds the error by.
    """

    keep: Tensor
    v: Tensor
    explained: float


@dataclass(frozen=True, eq=False)
class _Batch:
    """Some rows' elimination: m places a row, T steps.

    Attributes:
        rows: (n,).
        places, real: (n, m), as `pack` makes them.
        v: (n, m), the least squares before the first step.
        explained: (n,), by v.
        moves: (n, T, m), what step t changes v by, but for a factor.
        lengths: (n, T), these factors.
        chosen: (n, T), what was dropped, as an index into the places.
        losses: (n, T), by how much the error rose; infinite where a row has no more to give.
    """

    rows: Tensor
    places: Tensor
    real: Tensor
    v: Tensor
    explained: Tensor
    moves: Tensor
    lengths: Tensor
    chosen: Tensor
    losses: Tensor


def eliminate(
    quadratic: Quadratic, target: Tensor, wide: Tensor, extra: Tensor, count: int, floor: int, entries: int = ENTRIES
) -> Shares[Fitted]:
    """Eliminate from a support to a smaller one.

    Args:
        target: (rows, c), w C.
        wide: (rows, c), the support to start from.
        extra: (rows,), about how many each row has too many; it gives up `LEEWAY` times that and two at most.
        count: how many places are left over the layer.
        floor: how many are left in each row at least, if it has them.
        entries: bound on the entries of the systems that are held at a time.

    Yields:
        The share that is done.
    """
    sizes = wide.sum(1)
    drops = int(sizes.sum()) - count
    most = (sizes - floor).clamp(min=0)
    limits = torch.minimum((extra * LEEWAY).long() + 2, most)
    if int(limits.sum()) < drops:
        limits = most
    per_group = max(1, len(wide) // quadratic.groups)
    done: list[_Batch] = []
    listed = sizes.tolist()
    finished = 0
    for chosen, size in batches(listed, entries):
        rows = torch.tensor(chosen, device=wide.device)
        places, real = pack(wide[rows], size)
        finished += len(chosen)
        steps = _pivot(quadratic, rows, rows // per_group, target, places, real, limits[rows])
        done.append((yield from saying(steps, min(finished / len(wide), 0.99))))
    return _settle(done, drops, wide, target)


def _pivot(
    quadratic: Quadratic, rows: Tensor, owner: Tensor, target: Tensor, places: Tensor, real: Tensor, limits: Tensor
) -> Generator[None, None, _Batch]:
    """A pivoted Cholesky factorisation of each row's `C_SS⁻¹`, the pivot being the place that costs least to drop."""
    lower = torch.linalg.cholesky_ex(system(quadratic, owner, places, real))[0]
    yield
    inverse = torch.cholesky_inverse(lower)
    wanted = target[rows].gather(1, places) * real
    v = torch.bmm(inverse, wanted.unsqueeze(2)).squeeze(2)
    explained = (wanted * v).sum(1)
    n, m = places.shape
    steps = int(limits.max())
    every = torch.arange(n, device=rows.device)
    diagonal = inverse.diagonal(dim1=1, dim2=2).clone()
    barred = torch.where(real, 0.0, torch.inf).to(v.dtype)
    moves, lengths = v.new_zeros(n, steps, m), v.new_zeros(n, steps)
    losses, chosen = v.new_full((n, steps), torch.inf), rows.new_zeros(n, steps)
    now = v
    tiny = torch.finfo(v.dtype).tiny
    for t in range(steps):
        loss, pick = now.square().div_(diagonal).add_(barred).min(1)
        at = pick.unsqueeze(1)
        row = inverse[every, pick]
        if t:
            row = torch.baddbmm(row.unsqueeze(1), moves[every, :t, pick].unsqueeze(1), moves[:, :t], alpha=-1)[:, 0]
        # Rows with nothing left have an infinite loss: their moves are zero.
        root = row.gather(1, at).clamp_(min=tiny).rsqrt_().masked_fill_(loss.isinf().unsqueeze(1), 0)
        row *= root
        length = now.gather(1, at) * root
        now = torch.addcmul(now, row, length, value=-1)
        diagonal.addcmul_(row, row, value=-1).clamp_(min=tiny)
        barred.scatter_(1, at, torch.inf)
        moves[:, t], lengths[:, t], losses[:, t], chosen[:, t] = row, length[:, 0], loss, pick
        yield
    late = torch.arange(steps, device=rows.device) >= limits.unsqueeze(1)
    return _Batch(rows, places, real, v, explained, moves, lengths, chosen, losses.masked_fill_(late, torch.inf))


def _settle(done: list[_Batch], drops: int, wide: Tensor, target: Tensor) -> Fitted:
    """Take the `drops` smallest losses; a row drops as many of its first as it has among them."""
    keep, v = torch.zeros_like(wide), torch.zeros_like(target)
    taken = torch.zeros(sum(b.losses.numel() for b in done), dtype=torch.bool, device=wide.device)
    if drops:
        # In the order of rows, so that ties do not depend on the batches.
        taken[torch.cat([b.losses.flatten() for b in done]).argsort(stable=True)[:drops]] = True
    explained = target.new_zeros(())
    start = 0
    for b in done:
        n, steps = b.losses.shape
        given = taken[start : start + n * steps].view(n, steps).sum(1, keepdim=True)
        start += n * steps
        gone = torch.arange(steps, device=wide.device) < given
        explained += b.explained.sum() - b.losses.masked_fill(~gone, 0).sum()
        left = torch.baddbmm(b.v.unsqueeze(1), (b.lengths * gone).unsqueeze(1), b.moves, alpha=-1)[:, 0]
        # Steps that were not taken point beside the places.
        lost = b.chosen.masked_fill(~gone, b.real.shape[1])
        stays = torch.nn.functional.pad(b.real, (0, 1)).scatter_(1, lost, False)[:, :-1]
        keep[b.rows] = unpack(b.places, stays, stays, wide.shape[1])
        v[b.rows] = unpack(b.places, stays, left, wide.shape[1])
    return Fitted(keep, v, float(explained))


def widened(quadratic: Quadratic, w: Tensor, fitted: Fitted, alive: Tensor, count: int) -> Tensor:
    """The support with `count` places more, or somewhat fewer: those with the largest gradient of the error.

    No row takes in more than `CROWD` times its share and two: the longest elimination sets the time of its batch.
    """
    gradient = quadratic.times(w - fitted.v).abs_().masked_fill_(fitted.keep | ~alive, 0)
    crowd = min(w.shape[1], CROWD * count // len(w) + 2)
    best, places = gradient.topk(crowd, dim=1)
    flat = best.flatten()
    threshold = flat.kthvalue(max(1, flat.numel() - count + 1)).values
    return fitted.keep.scatter(1, places, fitted.keep.gather(1, places) | ((best >= threshold) & (best > 0)))
