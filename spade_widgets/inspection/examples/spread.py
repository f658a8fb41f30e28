"""How a neuron's values are spread over many images, of which not all are kept."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Spread:
    """The spread of values, of which each stands for one or more images.

    Attributes:
        values: ascending, (n,).
        weights: how many images each stands for, (n,), positive.
    """

    values: Floats
    weights: Floats

    @staticmethod
    def of(best: npt.ArrayLike, sampled: npt.ArrayLike, seen: int) -> Spread:
        """The spread of `seen` values, of which the largest and a random sample are known.

        The largest stand for themselves, so that the upper tail is exact; what of the sample is below them stands for
        all the rest. Where everything was sampled, everything is exact.

        Args:
            best: the largest of all values, (k,).
            sampled: (m,), drawn from all values, the best among them.
            seen: how many there are.
        """
        sample = np.sort(np.asarray(sampled, np.float64))
        if len(sample) == seen:
            return Spread(sample, np.ones(seen))
        top = np.sort(np.asarray(best, np.float64))
        below = sample[sample < top[0]]
        rest = seen - len(top)
        # Of many that are equal to the last of the best (0 behind a ReLU), the sample has its share, too.
        equal = int((sample == top[0]).sum())
        low = np.concatenate([below, np.full(max(equal, not len(below)), top[0])])
        values = np.concatenate([low, top])
        weights = np.concatenate([np.full(len(low), rest / len(low)), np.ones(len(top))])
        return Spread(values, weights)

    def quantiles(self, shares: npt.ArrayLike) -> Floats:
        """The value below which a share of all images lies, for each share in 0…1; between two values, in line."""
        middle = np.cumsum(self.weights) - self.weights / 2
        ends = middle[0], middle[-1]
        found: Floats = np.interp(ends[0] + np.asarray(shares) * (ends[1] - ends[0]), middle, self.values)
        return found

    def percentiles(self, values: npt.ArrayLike) -> Floats:
        """The share of all images below each value, in per cent; those that are equal to it count half."""
        summed = np.concatenate([[0.0], np.cumsum(self.weights)])
        below = summed[np.searchsorted(self.values, values, "left")]
        up_to = summed[np.searchsorted(self.values, values, "right")]
        shares: Floats = np.minimum(50 * (below + up_to) / summed[-1], 100)
        return shares
