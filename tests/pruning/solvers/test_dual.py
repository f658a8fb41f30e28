"""The dual form of FastSPADE against FastSPADE itself, on the H of the same inputs."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from spade_widgets.errors import InputError, ModelError
from spade_widgets.pruning.solvers import dual, zeros
from spade_widgets.pruning.solvers.dual import Dual
from spade_widgets.pruning.solvers.fast import Fast

many = settings(max_examples=60, deadline=None, derandomize=True)
few = settings(max_examples=25, deadline=None, derandomize=True)

sparsities = st.one_of(st.floats(0, 0.999), st.sampled_from([0.0, 0.5, 0.95, 0.99]))


@dataclass(frozen=True)
class Problem:
    """A layer: W (groups · rows, c) and its inputs X (groups, c, n), float64."""

    W: Tensor
    X: Tensor

    @property
    def hessian(self) -> Tensor:
        return 2 / self.X.shape[2] * self.X @ self.X.mT


@st.composite
def problems(draw: st.DrawFn) -> Problem:
    """Correlated inputs of any sizes, more or fewer columns of X than rows, some inputs always zero."""
    groups, rows, columns = draw(st.integers(1, 3)), draw(st.integers(1, 6)), draw(st.integers(1, 20))
    seen = draw(st.integers(1, 30))
    generator = torch.Generator().manual_seed(draw(st.integers(0, 10**6)))

    def randn(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=generator, dtype=torch.float64)

    X = randn(groups, columns, seen) + 2 * randn(groups, columns, 2) @ randn(groups, 2, seen)
    for column in draw(st.lists(st.integers(0, groups * columns - 1), max_size=4)):
        X[column // columns, column % columns] = 0
    return Problem(randn(groups * rows, columns), X)


def same(ours: Tensor, expected: Tensor, tolerance: float = 1e-7) -> None:
    assert ours.dtype == expected.dtype
    assert torch.equal(ours == 0, expected == 0)
    torch.testing.assert_close(ours, expected, rtol=tolerance, atol=tolerance)


@many
@given(problems(), st.lists(sparsities, min_size=1, max_size=3), st.integers(0, 3), st.integers(1, 30))
def test_same_as_fast(problem: Problem, several: list[float], row_floor: int, block: int) -> None:
    row_floor = min(row_floor, problem.W.shape[1])
    floors = [row_floor if i % 2 == 0 else 0 for i in range(len(several))]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(dual, "BLOCK", block)
        ours = Dual().prepare_inputs(problem.X).sweep(problem.W, several, row_floor=floors)
    expected = Fast().prepare(problem.hessian).sweep(problem.W, several, row_floor=floors)
    for one, other, sparsity, floor in zip(ours, expected, several, floors, strict=True):
        same(one, other)
        dropped = zeros(problem.W.numel(), sparsity, keep=max(1, floor * len(problem.W)))
        assert int((one == 0).sum()) == dropped


@few
@given(problems(), st.sampled_from([1e-4, 0.1, 3.0]), st.sampled_from([1e-6, 1e6]))
def test_same_as_fast_with_any_damping_and_scale(problem: Problem, damping: float, scale: float) -> None:
    ours = Dual(damping).prepare_inputs(problem.X * scale).solve(problem.W, 0.6)
    same(ours, Fast(damping=damping).prepare(problem.hessian).solve(problem.W, 0.6))


@pytest.mark.parametrize(("columns", "seen"), [(300, 20), (150, 400), (64, 64), (129, 3)])
def test_same_as_fast_over_several_blocks(columns: int, seen: int) -> None:
    problem = Problem(torch.randn(7, columns).double(), torch.randn(1, columns, seen).double().relu())
    ours = Dual().prepare_inputs(problem.X).sweep(problem.W, [0.3, 0.9])
    for one, other in zip(ours, Fast().prepare(problem.hessian).sweep(problem.W, [0.3, 0.9]), strict=True):
        same(one, other)


def test_in_float32_it_is_as_good_as_fast() -> None:
    """Near-ties may fall otherwise, so errors are compared."""
    problem = Problem(torch.randn(16, 400), torch.randn(1, 400, 50).relu())
    H = problem.hessian[0]
    for sparsity in (0.5, 0.9):
        pruned = [
            Dual().prepare_inputs(problem.X[0]).solve(problem.W, sparsity),
            Fast().prepare(H).solve(problem.W, sparsity),
        ]
        ours, theirs = (float(((problem.W - p) @ H * (problem.W - p)).sum()) for p in pruned)
        assert ours == pytest.approx(theirs, rel=1e-2)


def test_under_autocast_it_is_as_exact() -> None:
    W, X = torch.randn(5, 100), torch.randn(100, 9)
    expected = Dual().prepare_inputs(X).solve(W, 0.7)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert torch.equal(Dual().prepare_inputs(X).solve(W, 0.7), expected)


def test_it_holds_no_matrix_of_all_columns() -> None:
    prepared = Dual().prepare_inputs(torch.randn(2000, 8))
    held = [prepared.X, prepared.pull, prepared.dead, *prepared.factors]
    assert sum(t.numel() for t in held) < 2000 * (2 * 8 + dual.BLOCK + 2)


def test_sparsity_zero_is_the_dense_weight_and_nothing_is_changed() -> None:
    for dtype in (torch.float16, torch.float32, torch.float64):
        W, X = torch.randn(4, 70).to(dtype).requires_grad_(), torch.randn(70, 9).to(dtype)
        before = (W.clone(), X.clone())
        prepared = Dual().prepare_inputs(X)
        dense, pruned = prepared.sweep(W, [0.0, 0.5])
        assert dense.dtype == dtype
        assert torch.equal(dense, W)
        assert int((pruned == 0).sum()) == 140
        assert not pruned.requires_grad
        assert torch.equal(W, before[0])
        assert torch.equal(X, before[1])


def test_degenerate_inputs() -> None:
    W = torch.randn(3, 10)
    for X in (torch.zeros(10, 4), torch.ones(10, 1), torch.ones(10, 4)):
        pruned = Dual().prepare_inputs(X).solve(W, 0.8)
        assert int((pruned == 0).sum()) == 24
        assert bool(torch.isfinite(pruned).all())


def test_shares_rise_and_stay_below_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("spade_widgets.pruning.solvers.elimination.PAUSE", 0)
    shares = list(Dual().prepare_inputs(torch.randn(400, 5)).steps(torch.randn(3, 400), [0.5]))
    assert len(shares) >= 5
    assert shares == sorted(set(shares))
    assert shares[-1] < 1


def test_what_it_refuses() -> None:
    for damping in (0, -1, float("nan"), "much"):
        with pytest.raises(InputError, match="a number above 0 is accepted"):
            Dual(damping)  # type: ignore[arg-type]
    with pytest.raises(InputError, match=r"shape \(3,\) are not"):
        Dual().prepare_inputs(torch.ones(3))
    with pytest.raises(InputError, match=r"shape \(3, 0\) are not"):
        Dual().prepare_inputs(torch.ones(3, 0))
    with pytest.raises(ModelError, match="NaN or infinite"):
        Dual().prepare_inputs(torch.ones(3, 2) / 0)
    prepared = Dual().prepare_inputs(torch.randn(6, 2))
    with pytest.raises(InputError, match=r"shape \(2, 5\) do not fit"):
        prepared.solve(torch.ones(2, 5), 0.5)
    with pytest.raises(InputError, match="outside the accepted range"):
        prepared.solve(torch.ones(2, 6), 1.0)
