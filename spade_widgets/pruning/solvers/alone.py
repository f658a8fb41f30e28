"""The blocks of FastSPADE's sweep where one sample, group and sparsity are swept alone on a CPU: when a slider moves.

A solve has hundreds of blocks of a few thousand weights. Making a view of them takes as long as using it, so all views
are made beforehand and all results go where views of them are already. The operations and their order are those of
`fast`, and so are the numbers, to the last bit.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor


class Alone:
    """What is needed to sweep whole blocks.

    Args:
        dense: the weights, (c, rows).
        sums: (c, rows), see `_Sweep.pruned`; written into.
        scale: V's diagonal, (c, 1).
        inverses: (blocks, block_size, block_size).
        barred: (c, rows), which weights stay, or None.
        counts: how many weights each block loses.
    """

    def __init__(
        self,
        dense: Tensor,
        sums: Tensor,
        scale: Tensor,
        inverses: Tensor,
        barred: Tensor | None,
        counts: Sequence[int],
    ) -> None:
        size, rows = inverses.shape[-1], dense.shape[1]
        self._size, self._counts = size, counts
        self._dense, self._sums, self._scale = (torch.split(x, size) for x in (dense, sums, scale))
        self._barred = None if barred is None else torch.split(barred, size)
        self._inverses = torch.split(inverses, 1)
        self._weights, self._scores, self._errors = dense.new_empty(3, size, rows).unbind()
        self._product, self._flat = self._weights.unsqueeze(0), self._scores.view(-1)
        self._error = dense.new_empty(1, rows)
        self._inverse = inverses.new_empty(size, size)
        # For each column but the last: its weights, their errors' factors, the weights to its right, its row of R.
        self._columns = [
            (self._weights[j : j + 1], self._errors[j : j + 1], self._weights[j + 1 :], self._inverse[j, j + 1 :, None])
            for j in range(size - 1)
        ]

    def sweep(self, block: int, taken: Tensor) -> None:
        """Sweep a block; what it has taken from the dense weights goes to `taken`, (block_size, rows)."""
        dense, sums, weights, scores = self._dense[block], self._sums[block], self._weights, self._scores
        if self._size == 1:
            torch.addcmul(dense, sums, self._inverses[block][0], out=weights)
            torch.abs(weights, out=scores)
        else:
            torch.bmm(self._inverses[block].mT, sums.unsqueeze(0), out=self._product)
            weights.add_(dense)
            torch.mul(weights, self._scale[block], out=scores).square_()
        if self._barred is not None:
            scores.masked_fill_(self._barred[block], torch.inf)
        gone = self._least(self._counts[block])
        if self._size > 1:
            torch.mul(self._scale[block], gone, out=self._errors)
            self._inverse.copy_(self._inverses[block][0])
            for column, error, right, spread in self._columns:
                right.addcmul_(spread, torch.mul(column, error, out=self._error), value=-1)
        weights.masked_fill_(gone, 0)
        torch.sub(dense, weights, out=taken)
        sums.copy_(weights)

    def _least(self, count: int) -> Tensor:
        """True on the `count` least scores; ties go to the first in order."""
        if not count:
            return torch.zeros_like(self._scores, dtype=torch.bool)
        mask = self._scores <= self._flat.kthvalue(count).values
        if int(mask.count_nonzero()) != count:
            mask.zero_().view(-1)[self._flat.argsort(stable=True)[:count]] = True
        return mask
