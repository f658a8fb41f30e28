"""Groups of rows, and whether there are any: k-means, its silhouette, and the silhouettes of data without groups.

A silhouette (Rousseeuw 1987) says how much nearer each row is to its own group than to the next, in −1…1; whatever is
cut in two has one above zero. So it is compared with those of data that have no groups and are alike otherwise: the
rows are mixed by random rotations, which keep their mean and covariance to the last digit and leave nothing of groups
(rotation tests: Langsrud, "Rotation tests", Statistics and Computing 2005); and each channel's values are permuted
among the rows, which keeps the channels' own distributions, skew as they may be.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

Floats: TypeAlias = npt.NDArray[np.float64]
Ints: TypeAlias = npt.NDArray[np.int64]

#: The most facets that are looked for.
MOST = 6
#: Data without groups that the rows are compared with, of either kind.
DRAWS = 99
#: Share of data without groups that may be split.
LEVEL = 0.05
#: Resamples that the stability is the mean of.
RESAMPLES = 30


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
        draws: how many data without groups, of either kind.
    """
    points = coordinates(rows)
    most = min(MOST, len(points) // 4)
    counts = range(2, most + 1) if count is None else [max(2, count)]
    if len(points) < max(counts, default=len(points) + 1) + 1:
        return Grouping(np.zeros(len(points), np.int64), 0.0, np.zeros(0), 1.0)
    rng = np.random.default_rng(seed)
    found, silhouette, labels = _best(points, counts)
    null = np.array([_best(without_groups(points, rows, rng, i), counts)[1] for i in range(2 * draws)])
    chosen = found if count is not None or is_split(silhouette, null) else 1
    if 1 in (chosen, count):
        labels = np.zeros(len(points), np.int64)
    return Grouping(by_size(labels), silhouette, null, stability(points, labels, seed=seed))


def is_split(silhouette: float, null: Floats) -> bool:
    """Whether a silhouette is above those of data without groups, of either kind, as a test at `LEVEL` has it."""
    return all((1 + (kind >= silhouette).sum()) / (1 + len(kind)) <= LEVEL for kind in (null[::2], null[1::2]))


def coordinates(rows: Floats) -> Floats:
    """Rows of unit length in the coordinates of their principal directions: (n, ≤ min(n, channels)), centred."""
    lengths = np.linalg.norm(rows, axis=1, keepdims=True)
    unit = rows / np.where(lengths > 0, lengths, 1)
    centred = unit - unit.mean(0)
    u, s, vt = np.linalg.svd(centred, full_matrices=False)
    # The sign of a principal direction is no fact: the largest entry is positive.
    signs = np.sign(vt[np.arange(len(vt)), np.abs(vt).argmax(1)])
    found: Floats = u * (s * signs)
    return found


def without_groups(points: Floats, rows: Floats, rng: np.random.Generator, number: int) -> Floats:
    """Data like these without their groups: rotated for even numbers, permuted for odd ones. See the module."""
    if number % 2:
        return coordinates(rng.permuted(rows, axis=0))
    # A random rotation of the rows that leaves their mean, zero, where it is.
    n = len(points)
    mixed = rng.normal(size=(n, n - 1))
    q = np.linalg.qr(mixed - mixed.mean(0))[0]
    basis = np.linalg.qr(np.eye(n)[:, : n - 1] - 1 / n)[0]
    rotated: Floats = q @ (basis.T @ points)
    return rotated


def clusters(points: Floats, count: int, tree: Ints | None = None) -> Ints:
    """k-means from the centres of Ward's groups: (n,). The same at every call."""
    from sklearn.cluster import KMeans

    start = ward(points, [count])[0] if tree is None else tree
    centres = np.stack([points[start == i].mean(0) for i in range(count)])
    fitted = KMeans(count, init=centres, n_init=1).fit(points)
    labels: Ints = fitted.labels_.astype(np.int64)
    return labels


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


def _best(points: Floats, counts: Sequence[int] | Any) -> tuple[int, float, Ints]:
    """The count of groups whose silhouette is largest, with it and the labels; of equal ones the fewest."""
    between = distances(points)
    best: tuple[int, float, Ints] | None = None
    for count, start in zip(counts, ward(points, counts), strict=True):
        labels = clusters(points, count, start)
        silhouette = silhouette_of(between, labels)
        if best is None or silhouette > best[1] + 1e-12:
            best = count, silhouette, labels
    assert best is not None
    return best


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
