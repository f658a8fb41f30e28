"""Magnitude pruning: what stays, how many, and least squares on it."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from pruning.solvers.test_fast import Problem, problems, sparsities, zeros_in

from spade_widgets.errors import InputError, ModelError
from spade_widgets.pruning.solvers import relative_error, solver, zeros

few = settings(max_examples=30, deadline=None, derandomize=True)


@few
@given(problems(), sparsities, st.integers(0, 2), st.booleans())
def test_counts_floors_and_what_stays(problem: Problem, sparsity: float, row_floor: int, refit: bool) -> None:
    W, size = problem.W, problem.W.numel()
    row_floor = min(row_floor, W.shape[1])
    pruned = solver("magnitude", refit=refit).prepare(problem.H).solve(W, sparsity, row_floor=row_floor)
    assert zeros_in(pruned) == zeros(size, sparsity, keep=max(1, row_floor * len(W)))
    dead = problem.dead.repeat_interleave(len(W) // len(problem.dead), 0)
    assert int(((pruned != 0) & dead).sum()) == 0 or bool((pruned != 0)[~dead].all())
    if not refit:
        assert torch.equal(pruned, torch.where(pruned != 0, W, 0))
    if not row_floor:
        kept, gone = W.abs()[(pruned != 0) & ~dead], W.abs()[(pruned == 0) & ~dead]
        assert not len(kept) or not len(gone) or float(kept.min()) >= float(gone.max())


@few
@given(problems(), sparsities)
def test_refit_is_least_squares_on_the_same_support(problem: Problem, sparsity: float) -> None:
    plain = solver("magnitude").prepare(problem.H).solve(problem.W, sparsity)
    refit = solver("magnitude", refit=True).prepare(problem.H).solve(problem.W, sparsity)
    assert torch.equal(plain != 0, refit != 0)
    groups = problem.H.shape[0]
    for row, (dense, found) in enumerate(zip(problem.W, refit, strict=True)):
        H = problem.H[row * groups // len(refit)]
        gradient = ((dense - found) @ H)[(found != 0) & (H.diagonal() > 0)]
        assert float(gradient.abs().max() if len(gradient) else 0) < 1e-6 * float(H.diagonal().max() + 1)
    assert relative_error(problem.W, refit, problem.H) <= relative_error(problem.W, plain, problem.H) + 1e-9


def test_samples_and_dtypes() -> None:
    X = torch.randn(3, 1, 10, 60)
    H, W = X @ X.mT, torch.randn(7, 10)
    for refit in (False, True):
        chosen = solver("magnitude", refit=refit)
        several = chosen.prepare(H).sweep(W, [0.0, 0.6])
        assert [tuple(p.shape) for p in several] == [(3, 7, 10)] * 2
        assert torch.equal(several[0], W.expand(3, -1, -1))
        for h, mine in zip(H, several[1], strict=True):
            torch.testing.assert_close(mine, chosen.prepare(h).solve(W, 0.6))
        half = chosen.prepare(H[0]).solve(W.half(), 0.6)
        assert half.dtype == torch.float16
        assert zeros_in(half) == 42


@pytest.mark.parametrize("refit", [False, True])
def test_bad_input(refit: bool) -> None:
    chosen: Any = solver("magnitude", refit=refit)
    with pytest.raises(ModelError, match="NaN or infinite"):
        chosen.prepare(torch.full((2, 2), float("nan")))
    with pytest.raises(InputError, match="Gram matrix of shape"):
        chosen.prepare(torch.ones(2, 3))
    prepared = chosen.prepare(torch.eye(3))
    with pytest.raises(InputError, match="do not fit"):
        prepared.solve(torch.ones(2, 2), 0.5)
    with pytest.raises(ModelError, match="weights hold NaN"):
        prepared.solve(torch.full((2, 3), float("inf")), 0.5)
