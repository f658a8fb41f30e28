"""Means over samples with bootstrap intervals (Efron 1979; the percentile interval)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from spade_widgets.errors import InputError

DRAWS = 10_000
LEVEL = 0.95
_CHUNK = 2_000_000
"""Numbers drawn at a time, so that memory stays small however many samples there are."""


@dataclass(frozen=True)
class Interval:
    """A mean over samples and the interval that holds `level` of the means of samples drawn again.

    Attributes:
        mean, low, high: in the values' own unit.
        count: how many samples.
    """

    mean: float
    low: float
    high: float
    count: int

    def apart(self, other: Interval) -> bool:
        """Whether the two intervals do not touch."""
        return self.low > other.high or self.high < other.low


def interval(values: Sequence[float], *, seed: int = 0, draws: int = DRAWS, level: float = LEVEL) -> Interval:
    """The mean of one value a sample, samples being drawn again with replacement.

    For a paired comparison give the differences, sample by sample (`differences`): what makes a sample easy or hard for
    both networks then cancels.

    Raises:
        InputError: if there is no value, one is not finite, or `draws` or `level` make no sense.
    """
    return balanced([values], seed=seed, draws=draws, level=level)


def balanced(groups: Sequence[Sequence[float]], *, seed: int = 0, draws: int = DRAWS, level: float = LEVEL) -> Interval:
    """The mean of the groups' means, however many samples each has; samples are drawn again within their group.

    Raises:
        InputError: as `interval`, of any group; or if there is none.
    """
    data = [np.asarray(values, dtype=np.float64) for values in groups]
    if not data or any(d.ndim != 1 or d.size == 0 or not np.isfinite(d).all() for d in data):
        raise InputError("An interval needs at least one value, all of them finite.")
    if draws < 1 or not 0 < level < 1:
        raise InputError(f"{draws} draws at level {level:g} make no interval: at least 1, and a level in (0, 1).")
    rng = np.random.default_rng(seed)
    means = np.mean([_means(rng, values, draws) for values in data], axis=0)
    low, high = np.quantile(means, [(1 - level) / 2, (1 + level) / 2])
    mean = float(np.mean([values.mean() for values in data]))
    return Interval(mean, float(low), float(high), sum(values.size for values in data))


def _means(rng: np.random.Generator, data: npt.NDArray[np.float64], draws: int) -> npt.NDArray[np.float64]:
    """The means of as many samples drawn again, (draws,)."""
    rows = max(1, _CHUNK // data.size)
    parts = [
        data[rng.integers(data.size, size=(min(rows, draws - i), data.size))].mean(1) for i in range(0, draws, rows)
    ]
    return np.concatenate(parts)


def differences(values: Mapping[str, float], reference: Mapping[str, float]) -> list[float]:
    """value − reference of every sample that both have, in the first one's order."""
    return [value - reference[sample] for sample, value in values.items() if sample in reference]
