"""Least squares on given supports, against one system a row in float64."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from spade_widgets.errors import InputError, ModelError
from spade_widgets.pruning.progress import finish
from spade_widgets.pruning.solvers.least_squares import (
    DAMPINGS,
    Quadratic,
    batches,
    descend,
    error,
    least_squares,
    pack,
    stacked,
    unpack,
)

few = settings(max_examples=40, deadline=None, derandomize=True)


def problem(seed: int, groups: int, rows: int, columns: int, seen: int = 200) -> tuple[Quadratic, Tensor, Tensor]:
    """A quadratic of correlated inputs, weights in its scale, and supports of all sizes."""
    rng = torch.Generator().manual_seed(seed)
    mixed = torch.randn(groups, columns, columns, generator=rng, dtype=torch.float64)
    X = mixed @ torch.randn(groups, columns, seen, generator=rng, dtype=torch.float64)
    w = torch.randn(groups * rows, columns, generator=rng, dtype=torch.float64)
    keep = torch.rand(w.shape, generator=rng) < torch.rand(len(w), 1, generator=rng)
    return Quadratic.of(X @ X.mT), w, keep


def by_hand(quadratic: Quadratic, w: Tensor, keep: Tensor) -> Tensor:
    v = torch.zeros_like(w)
    for row in range(len(w)):
        S = keep[row].nonzero().squeeze(1)
        C = quadratic.C[row * quadratic.groups // len(w)]
        v[row, S] = torch.linalg.solve(C[S][:, S], (C @ w[row])[S])
    return v


@few
@given(st.integers(0, 999), st.integers(1, 3), st.integers(1, 8), st.integers(1, 30), st.sampled_from([1, 300, 10**6]))
def test_same_as_one_system_a_row(seed: int, groups: int, rows: int, columns: int, entries: int) -> None:
    quadratic, w, keep = problem(seed, groups, rows, columns)
    v, seen = torch.zeros_like(w), []
    for chosen, solved in least_squares(quadratic, quadratic.times(w), keep, entries=entries):
        v[chosen] = solved
        seen += chosen.tolist()
    assert sorted(seen) == keep.any(1).nonzero().squeeze(1).tolist()
    assert bool((v[~keep] == 0).all())
    expected = by_hand(quadratic, w, keep)
    torch.testing.assert_close(v, expected, rtol=1e-5, atol=1e-5 * max(1.0, float(expected.abs().max())))


def test_rows_that_keep_least_come_first() -> None:
    quadratic, w, keep = problem(0, 1, 40, 30)
    sizes = [
        int(n) for rows, _ in least_squares(quadratic, quadratic.times(w), keep, entries=1) for n in keep[rows].sum(1)
    ]
    assert sizes == sorted(sizes)


@few
@given(st.lists(st.integers(0, 300), max_size=60), st.sampled_from([1, 5000, 10**6]))
def test_batches_hold_every_row_once_and_fit(sizes: list[int], entries: int) -> None:
    found = list(batches(sizes, entries))
    assert sorted(row for rows, _ in found for row in rows) == [row for row, size in enumerate(sizes) if size]
    for rows, size in found:
        assert size == max(sizes[row] for row in rows)
        assert len(rows) == 1 or len(rows) * size * size <= entries


def test_packing_and_back() -> None:
    mask = torch.rand(9, 14, generator=torch.Generator().manual_seed(1)) < 0.4
    mask[3], mask[5] = False, True
    places, real = pack(mask, 14)
    assert torch.equal(real.sum(1), mask.sum(1))
    assert bool((places.diff(dim=1)[real[:, 1:]] > 0).all())
    assert torch.equal(unpack(places, real, real.double(), 14).bool(), mask)


def test_conjugate_gradients_come_close_and_never_worse() -> None:
    quadratic, w, keep = problem(3, 2, 20, 25, seen=2000)
    best = error(quadratic, w, by_hand(quadratic, w, keep))
    start = torch.where(keep, w, 0)
    errors = [error(quadratic, w, finish(descend(quadratic, w, start, keep, steps))) for steps in (1, 3, 9, 60)]
    assert errors == sorted(errors, reverse=True)
    assert errors[0] < error(quadratic, w, start)
    assert best - 1e-9 <= errors[-1] < 1.02 * best
    assert bool((finish(descend(quadratic, w, start, keep))[~keep] == 0).all())


def test_conjugate_gradients_stop_where_they_gain_nothing() -> None:
    quadratic, w, keep = problem(3, 1, 20, 8, seen=2000)
    best = by_hand(quadratic, w, keep)
    assert len(list(descend(quadratic, w, best, keep, 60))) == 0
    assert 2 < len(list(descend(quadratic, w, torch.zeros_like(w), keep, 60))) < 20


def test_damping_begins_at_the_rounding_of_the_entries() -> None:
    X = torch.randn(200, 900, dtype=torch.float64)
    H = (X @ X.T).unsqueeze(0)
    assert Quadratic.of(H).damping == DAMPINGS[0]
    assert Quadratic.of(H.float()).damping == 1e-6
    low = torch.randn(200, 20)
    assert Quadratic.of((low @ low.T).unsqueeze(0)).damping >= 1e-6


def test_the_scale_has_a_unit_diagonal_and_little_damping() -> None:
    X = torch.randn(12, 90, dtype=torch.float64) * torch.logspace(-6, 6, 12, dtype=torch.float64).unsqueeze(1)
    X[4] = 0
    quadratic = Quadratic.of((X @ X.T).unsqueeze(0))
    assert quadratic.damping == DAMPINGS[0]
    assert quadratic.dead[0].nonzero().flatten().tolist() == [4]
    torch.testing.assert_close(quadratic.C.diagonal(dim1=1, dim2=2), torch.full((1, 12), 1 + DAMPINGS[0]).double())
    torch.testing.assert_close(quadratic.scale[0].square(), (X @ X.T).diagonal())
    assert bool((quadratic.C[0, 4, [0, 1, 2, 3, 5]] == 0).all())


def test_a_singular_matrix_takes_the_least_damping_that_helps() -> None:
    x = torch.randn(40, 3)
    H = (x @ x.T).unsqueeze(0)
    quadratic = Quadratic.of(H)
    assert quadratic.damping in DAMPINGS
    assert int(torch.linalg.cholesky_ex(quadratic.C)[1]) == 0
    if quadratic.damping > DAMPINGS[0]:
        smaller = quadratic.C.clone()
        smaller.diagonal(dim1=1, dim2=2).fill_(1 + DAMPINGS[DAMPINGS.index(quadratic.damping) - 1])
        assert int(torch.linalg.cholesky_ex(smaller)[1]) > 0


def test_matrices_that_cannot_be() -> None:
    with pytest.raises(ModelError, match="NaN or infinite"):
        Quadratic.of(torch.tensor([[[1.0, float("nan")], [float("nan"), 1]]]))
    with pytest.raises(ModelError, match="not positive semidefinite"):
        Quadratic.of(torch.tensor([[[1.0, 2], [2, 1]]]))
    for shape in ((3,), (2, 3), (2, 2, 2, 2, 2)):
        with pytest.raises(InputError, match="Gram matrix of shape"):
            stacked(torch.ones(shape))
    assert stacked(torch.ones(2, 2)).shape == (1, 1, 2, 2)
    assert stacked(torch.ones(3, 2, 2)).shape == (1, 3, 2, 2)
