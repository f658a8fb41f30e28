"""Groups of rows, and whether there are any: k-means, its silhouette, and the silhouettes of data without groups.

A silhouette (Rousseeuw 1987) says how much nearer each row is to its own group than to the next, in −1…1; whatever is
cut in two has one above zero. So it is compared with those of data that have no groups and are alike otherwise, of
three kinds. Each channel's values are permuted among the rows, which keeps the channels' own distributions. Rows are
mixed by a random rotation, which keeps their mean and covariance to the last digit (Langsrud, "Rotation tests",
Statistics and Computing 2005): permuted channels depend on each other no longer, and against them whatever varies along
one direction would look like groups. And along each principal direction rows get values of one hump that are as skewed
as theirs: a facet may have few strong examples and many weak ones, which is skew, and no two facets.
The answer is several groups if all three say so.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

Floats: TypeAlias = npt.NDArray[np.float64]
Ints: TypeAlias = npt.NDArray[np.int64]

#: The most facets that are looked for.
MOST = 6
#: Kinds of data without groups that the rows are compared with, and how many of each.
KINDS, DRAWS = 3, 99
#: Share of data without groups that may be split.
LEVEL = 0.05
#: Resamples that the stability is the mean of.
RESAMPLES = 30
#: The skewness of an exponential distribution; of what is skewed more, a stray row is the reason.
MOST_SKEW = 2.0
#: Fewer groups are taken for more where their silhouette is so large a share of the larger one.
AS_GOOD = 0.95
#: Rows that a group has at least.
LEAST = 4
#: Rows from which on the number of groups is looked for: of fewer, chance looks like groups too often.
ENOUGH = 16


@dataclass(frozen=True, eq=False)
class Grouping:
    """How rows were grouped.

    Attributes:
        labels: (n,), the number of each row's group, from 0 on; the largest group first.
        silhouette: the mean silhouette of these groups; of the best split where the answer is one group.
        null: the same of the best splits of data without groups: (draws,).
        stability: mean adjusted Rand index with groupings of resamples, at most 1.
    """

    labels: Ints
    silhouette: float
    null: Floats
    stability: float


def group(rows: Floats, count: int | None = None, *, seed: int = 0, draws: int = DRAWS) -> Grouping:
    """Group rows by their directions.

    Args:
        rows: (n, channels), at least one; their lengths do not matter.
        count: how many groups; None for as many as there are, which may be one.
        seed: of the data without groups and of the resamples.
        draws: how many data without groups, of each kind.
    """
    n = len(rows)
    looked_for = range(2, min(MOST, n // LEAST) + 1) if n >= ENOUGH else range(0)
    counts = list(looked_for) if count is None else [count]
    one = np.zeros(n, np.int64)
    if not counts or counts == [1]:
        return Grouping(one, 0.0, np.zeros(0), 1.0)
    if counts == [n]:  # nothing is left that a silhouette could say
        return Grouping(np.arange(n), 0.0, np.zeros(0), 1.0)
    points, rng = coordinates(rows), np.random.default_rng(seed)
    found, silhouette = best_split(points, counts)
    null = np.array([best_split(without_groups(points, rows, rng, i), counts)[1] for i in range(KINDS * draws)])
    if count is None and not is_split(silhouette, null):
        return Grouping(one, silhouette, null, 1.0)
    labels = by_size(clusters(points, found))
    return Grouping(labels, silhouette, null, stability(points, labels, seed=seed))


def is_split(silhouette: float, null: Floats) -> bool:
    """Whether a silhouette is above those of data without groups, of every kind, as a test at `LEVEL` has it."""
    kinds = (null[i::KINDS] for i in range(KINDS))
    return all((1 + (kind >= silhouette).sum()) / (1 + len(kind)) <= LEVEL for kind in kinds)


def bar(null: Floats) -> float:
    """What data without groups reach in 95 of 100 draws, of the kind that reaches most; see `Grouping.null`."""
    return float(max(np.quantile(null[i::KINDS], 1 - LEVEL) for i in range(KINDS)))


def coordinates(rows: Floats) -> Floats:
    """Rows of unit length in the coordinates of their principal directions: (n, ≤ min(n, channels)), centred."""
    u, s, vt = np.linalg.svd(directions(rows), full_matrices=False)
    # The sign of a principal direction is no fact: the largest entry is positive.
    signs = np.sign(vt[np.arange(len(vt)), np.abs(vt).argmax(1)])
    found: Floats = u * (s * signs)
    return found


def directions(rows: Floats) -> Floats:
    """Rows brought to unit length, less their mean: (n, channels)."""
    lengths = np.linalg.norm(rows, axis=1, keepdims=True)
    unit: Floats = rows / np.where(lengths > 0, lengths, 1)
    centred: Floats = unit - unit.mean(0)
    return centred


def without_groups(points: Floats, rows: Floats, rng: np.random.Generator, number: int) -> Floats:
    """Data like these without their groups, of each kind in turn: permuted, rotated, skewed. See the module.

    Args:
        points: the rows' `coordinates`.
        rows: the rows.
        rng: what is drawn from.
        number: of the draw; says the kind.
    """
    n = len(points)
    if number % KINDS == 0:
        return directions(rng.permuted(rows, axis=0))
    if number % KINDS == 1:  # a rotation of the rows that leaves their mean, zero, where it is
        mixed = rng.normal(size=(n, n - 1))
        basis = np.linalg.qr(np.eye(n)[:, : n - 1] - 1 / n)[0]
        rotated: Floats = np.linalg.qr(mixed - mixed.mean(0))[0] @ (basis.T @ points)
        return rotated
    spread: Floats = np.stack([skewed(rng, values) for values in points.T], axis=1)
    return spread


def skewed(rng: np.random.Generator, values: Floats) -> Floats:
    """As many values of one hump: of the same mean, variance and skewness as these, gamma distributed (Pearson III)."""
    centred = values - values.mean()
    deviation = max(float(centred.std()), np.finfo(float).tiny)
    skew = float(np.clip(np.mean((centred / deviation) ** 3), -MOST_SKEW, MOST_SKEW))
    if abs(skew) < 0.05:
        drawn = rng.normal(size=len(values))
    else:
        drawn = np.sign(skew) * rng.gamma(4 / skew**2, size=len(values))
    drawn -= drawn.mean()
    found: Floats = drawn * (deviation / max(float(drawn.std()), np.finfo(float).tiny))
    return found


def clusters(points: Floats, count: int) -> Ints:
    """k-means from the centres of Ward's groups: (n,). The same at every call."""
    from sklearn.cluster import KMeans
    from sklearn.exceptions import ConvergenceWarning

    start = ward(points, [count])[0]
    centres = np.stack([points[start == i].mean(0) for i in range(count)])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        labels: Ints = KMeans(count, init=centres, n_init=1).fit(points).labels_.astype(np.int64)
    # Of rows that are equal but for rounding it may leave a group empty, and says so: then nothing is to be moved.
    return labels if len(np.unique(labels)) == count else start


def ward(points: Floats, counts: Sequence[int]) -> list[Ints]:
    """Ward's groups for each count, from one tree."""
    from sklearn.cluster import ward_tree

    children = ward_tree(points)[0]
    n = len(points)
    found = []
    for count in counts:
        parents = np.arange(2 * n - 1)
        for i, pair in enumerate(children[: n - count]):
            parents[pair] = n + i
        for i in range(2 * n - 2, -1, -1):  # a parent's number is larger than its children's
            parents[i] = parents[parents[i]]
        found.append(np.unique(parents[:n], return_inverse=True)[1].astype(np.int64))
    return found


def distances(points: Floats) -> Floats:
    """Euclidean distances between the rows: (n, n)."""
    square = np.square(points).sum(1)
    found: Floats = np.sqrt(np.maximum(square[:, None] + square - 2 * points @ points.T, 0))
    np.fill_diagonal(found, 0)
    return found


def silhouette_of(between: Floats, labels: Ints) -> float:
    """Mean silhouette; 0 for a row alone in its group. between: distances, (n, n)."""
    groups = np.eye(labels.max() + 1)[labels]  # (n, k)
    sizes = groups.sum(0)
    sums = between @ groups
    own = sizes[labels]
    inside = sums[np.arange(len(labels)), labels] / np.maximum(own - 1, 1)
    others = np.where(groups > 0, np.inf, sums / np.maximum(sizes, 1))
    outside = np.where(sizes > 0, others, np.inf).min(1)
    most = np.maximum(np.maximum(inside, outside), np.finfo(float).tiny)
    return float(np.where(own > 1, (outside - inside) / most, 0).mean())


def by_size(labels: Ints) -> Ints:
    """The same groups with the largest first; of equal ones, the one whose first row comes first."""
    names, first, sizes = np.unique(labels, return_index=True, return_counts=True)
    order = names[np.lexsort((first, -sizes))]
    place = {int(name): i for i, name in enumerate(order)}
    return np.array([place[int(label)] for label in labels], np.int64)


def best_split(points: Floats, counts: Sequence[int]) -> tuple[int, float]:
    """The count of Ward's groups whose silhouette is largest, and that; the fewest of those that are about `AS_GOOD`.

    A split that leaves a group of fewer than `LEAST` rows counts as none, 0: a stray row is no group.
    """
    between = distances(points)
    silhouettes = [
        silhouette_of(between, labels) if np.bincount(labels).min() >= min(LEAST, len(points) // (2 * count)) else 0.0
        for count, labels in zip(counts, ward(points, counts), strict=True)
    ]
    most = max(silhouettes)
    # Groups that fall into parts of their own have nearly the same silhouette whole and in parts.
    chosen = next(i for i, one in enumerate(silhouettes) if one >= (AS_GOOD * most if most > 0 else most))
    return counts[chosen], silhouettes[chosen]


def stability(points: Floats, labels: Ints, *, seed: int) -> float:
    """Mean adjusted Rand index of the groups with those that half of the rows give, on that half; 1 for one group."""
    from sklearn.metrics import adjusted_rand_score

    count, rng = int(labels.max()) + 1, np.random.default_rng([seed, 1])
    if count == 1:
        return 1.0
    size = min(len(points), max(count + 1, len(points) // 2))
    scores = []
    for _ in range(RESAMPLES):
        half = np.sort(rng.permutation(len(points))[:size])
        scores.append(adjusted_rand_score(labels[half], clusters(points[half], count)))
    return float(np.mean(scores))
