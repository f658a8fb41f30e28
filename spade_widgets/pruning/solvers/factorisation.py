"""The triangular factor of a Gram matrix, V Vᵀ = H, in float32 where that is enough and in float64 where not."""

from __future__ import annotations

import torch
from torch import Tensor

#: Columns and rows of the pieces in which H is factored.
PANEL, TILE = 128, 512
#: Error of a system that is solved with a float32 factor (root mean square, of ones) above which H is factored anew in
#: float64. With fewer columns of X than weights a row H is near singular, and rounding tips near-ties between weights.
#: Below, it tips no more of them than the rounding of H itself does: on layers with errors of 1e-5 to 3e-4 none, with
#: 2e-3 to 8e-3 some in a thousand, and with a float64 factor as many where H is summed in another order. ‖WX − W'X‖² is
#: the same to five digits in the first case, and to two percent, either way, in the second.
ENOUGH = 0.02


def factored(H: Tensor, diagonal: Tensor) -> tuple[Tensor, Tensor]:
    """V, upper triangular, of H with another diagonal; what is below V's diagonal means nothing.

    Args:
        H: (b, c, c), symmetric.
        diagonal: (b, c) float64.

    Returns:
        (b, c, c), in H's type and at least float32, or float64 where float32 is not enough; and (b, 1), whether the
        factorisation failed.
    """
    dtype = torch.promote_types(H.dtype, torch.float32)
    factor, failed = _factored(H, diagonal, dtype)
    if dtype == torch.float64 or (not bool(failed.any()) and _enough(factor, H, diagonal)):
        return factor, failed
    del factor  # before there is another one
    return _factored(H, diagonal, torch.float64)


def _factored(H: Tensor, diagonal: Tensor, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    """V of H with another diagonal, and whether that failed. H: (b, c, c); diagonal: (b, c)."""
    factor = H.to(dtype, copy=True)
    factor.diagonal(dim1=-2, dim2=-1).copy_(diagonal)
    return factor, _factor(factor)


def _enough(factor: Tensor, H: Tensor, diagonal: Tensor) -> bool:
    """Whether a factor V of H is good enough: whether a system of H whose solution is known, all ones, has it.

    Ones, because activations are mostly positive: they lie near H's largest eigenvector, where rounding is largest.
    """
    rows = torch.cat([some.sum(-1, dtype=torch.float64) for some in torch.split(H, TILE, dim=1)], dim=1)
    known = rows - H.diagonal(dim1=-2, dim2=-1) + diagonal
    half = torch.linalg.solve_triangular(factor, known.to(factor.dtype).unsqueeze(-1), upper=True)
    ones = torch.linalg.solve_triangular(factor.mT, half, upper=False)
    return bool(((ones - 1).square().mean((-2, -1)) <= ENOUGH**2).all())


def _factor(H: Tensor) -> Tensor:
    """Overwrite H's upper triangle with V, upper triangular, V Vᵀ = H; what is below becomes meaningless.

    Panel by panel from the last column back: a third of c³ operations, as Cholesky's, and no memory beside H.

    Args:
        H: (b, c, c), symmetric.

    Returns:
        (b, 1), whether the factorisation failed.
    """
    failed = torch.zeros(H.shape[0], 1, dtype=torch.bool, device=H.device)
    for stop in range(H.shape[-1], 0, -PANEL):
        start = max(0, stop - PANEL)
        panel = slice(start, stop)
        lower, info = torch.linalg.cholesky_ex(H[:, panel, panel].flip(-1, -2))
        failed |= (info != 0).unsqueeze(1)
        corner = lower.flip(-1, -2)
        H[:, panel, panel] = corner
        above = torch.linalg.solve_triangular(corner.mT, H[:, :start, panel], upper=False, left=False)
        H[:, :start, panel] = above
        for top in range(0, start, TILE):
            rows = above[:, top : min(top + TILE, start)]
            add_product(H[:, top : top + rows.shape[1], top:start], rows, above[:, top:].mT, -1)
    return failed


def inverted_blocks(factor: Tensor, block_size: int) -> Tensor:
    """R's blocks on the diagonal, the inverses of V's: (b, blocks, block_size, block_size), the last one padded."""
    batch, side, _ = factor.shape
    if block_size == 1:
        return factor.diagonal(dim1=-2, dim2=-1).reciprocal()[..., None, None]
    whole = side // block_size
    blocks = factor.as_strided((batch, whole, block_size, block_size), (side * side, block_size * (side + 1), side, 1))
    identity = torch.eye(block_size, dtype=factor.dtype, device=factor.device)
    left = side - whole * block_size
    if left:
        last = identity.repeat(batch, 1, 1, 1)
        last[:, 0, :left, :left] = factor[:, -left:, -left:]
        blocks = torch.cat([blocks, last], dim=1)
    inverse: Tensor = torch.linalg.solve_triangular(blocks, identity.expand_as(blocks), upper=True)
    return inverse


def add_product(total: Tensor, first: Tensor, second: Tensor, factor: float = 1) -> None:
    """total += factor · first @ second, in place; each (b, …, …)."""
    if total.shape[0] == 1:
        total[0].addmm_(first[0], second[0], alpha=factor)
    else:
        total.baddbmm_(first, second, alpha=factor)
