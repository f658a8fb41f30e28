"""The refined solver by property, and against the others on the golden cases."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from pruning.solvers.test_fast import Problem, problems, sparsities, zeros_in
from pruning.solvers.test_golden import Case
from safetensors import safe_open
from torch import Tensor

from spade_widgets.errors import InputError, ModelError
from spade_widgets.pruning.calibration.calibration import gram
from spade_widgets.pruning.progress import finish
from spade_widgets.pruning.solvers import refined, relative_error, solver, zeros
from spade_widgets.pruning.solvers.admm import TAU, Splitting, largest, support
from spade_widgets.pruning.solvers.exchange import eliminate, widened
from spade_widgets.pruning.solvers.least_squares import Quadratic, error, least_squares
from spade_widgets.pruning.solvers.refined import Refined

few = settings(max_examples=40, deadline=None, derandomize=True)
patiences = st.sampled_from([0.01, 1.0, 3.0, math.inf])


def layer(seed: int, rows: int, columns: int, seen: int = 600) -> tuple[Tensor, Tensor]:
    """Weights and a Gram matrix of inputs as layers have them: correlated and not negative."""
    rng = torch.Generator().manual_seed(seed)
    factors = torch.randn(columns, max(2, columns // 4), generator=rng)
    X = (
        factors @ torch.randn(factors.shape[1], seen, generator=rng) + torch.randn(columns, seen, generator=rng)
    ).relu()
    return torch.randn(rows, columns, generator=rng), 2 / seen * X @ X.T


@contextmanager
def searching_alone() -> Iterator[None]:
    """Without the exact solver's help, and without the bound that magnitude pruning sets."""
    small = refined.SMALL
    refined.SMALL = 0
    try:
        yield
    finally:
        refined.SMALL = small


@few
@given(problems(), sparsities, st.integers(0, 2), patiences)
def test_zeros_are_counted_exactly(problem: Problem, sparsity: float, row_floor: int, patience: float) -> None:
    row_floor = min(row_floor, problem.W.shape[1])
    for dtype in (torch.float32, torch.float64):
        W, H = problem.W.to(dtype), problem.H.to(dtype)
        pruned = Refined(patience).prepare(H).solve(W, sparsity, row_floor=row_floor)
        assert zeros_in(pruned) == zeros(W.numel(), sparsity, keep=max(1, row_floor * len(W)))
        assert pruned.shape == W.shape
        assert pruned.dtype == dtype
        assert bool(pruned.isfinite().all())
        alive = (~problem.dead).sum(1).repeat_interleave(len(W) // len(problem.dead))
        assert bool(((pruned != 0).sum(1) >= alive.clamp(max=row_floor)).all())


@few
@given(problems(), sparsities, patiences)
def test_never_above_magnitude_pruning_with_least_squares(problem: Problem, sparsity: float, patience: float) -> None:
    ours = Refined(patience).prepare(problem.H).solve(problem.W, sparsity)
    bound = solver("magnitude", refit=True).prepare(problem.H).solve(problem.W, sparsity)
    limit = relative_error(problem.W, bound, problem.H)
    assert relative_error(problem.W, ours, problem.H) <= limit * (1 + 1e-6) + 1e-9


def test_the_bound_holds_where_the_search_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    """A search that keeps the smallest weights: the result is magnitude pruning's, however rows are solved."""
    W, H = layer(0, 30, 40)
    W = W.sign() * W.abs() ** 3

    def worst(problem: Any, left: float, pacer: Any) -> Any:
        yield 0.0
        keep = largest(-problem.w.abs(), problem.count)
        v = torch.zeros_like(problem.w)
        for rows, solved in least_squares(problem.quadratic, problem.target, keep):
            v[rows] = solved
        return refined.Fitted(keep, v, 0.0)

    monkeypatch.setattr(refined, "_refine", worst)
    bound = solver("magnitude", refit=True).prepare(H).solve(W, 0.7)
    torch.testing.assert_close(Refined().prepare(H).solve(W, 0.7), bound)
    monkeypatch.setattr(refined, "DESCENTS", 0)  # conjugate gradients then seem to take no time
    by_gradients = Refined().prepare(H).solve(W, 0.7)
    assert not torch.equal(by_gradients, bound)
    assert torch.equal(by_gradients != 0, bound != 0)
    assert relative_error(W, by_gradients, H) < 1.1 * relative_error(W, bound, H)


def test_on_average_below_exact_below_fast_below_magnitude() -> None:
    for sparsity in (0.5, 0.8, 0.95):
        sums = dict.fromkeys(("refined", "exact", "fast", "magnitude"), 0.0)
        for seed in range(10):
            W, H = layer(seed, 24, 32)
            for name in sums:
                sums[name] += relative_error(W, solver(name).prepare(H).solve(W, sparsity), H)
        assert sums["refined"] <= sums["exact"] < sums["fast"] < sums["magnitude"]


def test_the_search_alone_is_as_good_as_greedy_elimination() -> None:
    """Where no exact solver helps: below it with time for exchange, a little above without."""
    for sparsity in (0.5, 0.8, 0.9):
        exact = patient = hasty = 0.0
        for seed in range(4):
            W, H = layer(seed, 32, 96)
            exact += relative_error(W, solver("exact").prepare(H).solve(W, sparsity), H)
            with searching_alone():
                patient += relative_error(W, Refined(math.inf).prepare(H).solve(W, sparsity), H)
                hasty += relative_error(W, Refined(1e-3).prepare(H).solve(W, sparsity), H)
        assert patient < exact
        assert patient < hasty < 1.25 * exact


def test_weights_are_least_squares_without_time_for_exchange() -> None:
    W, H = layer(9, 40, 60)
    pruned = Refined(1e-3).prepare(H).solve(W.double(), 0.8)
    for row, dense in zip(pruned, W.double(), strict=True):
        S = row.nonzero().squeeze(1)
        best = torch.linalg.solve(H.double()[S][:, S], (H.double() @ dense)[S])
        torch.testing.assert_close(row[S], best, rtol=1e-3, atol=1e-4)


def test_the_metric_is_what_a_part_of_the_columns_leaves_unexplained() -> None:
    """300 columns in two parts, of every other one."""
    _, H = layer(8, 4, 300)
    quadratic = Quadratic.of(H.unsqueeze(0))
    metric, C = Splitting.of(quadratic).metric[0], quadratic.C[0]
    for first in (0, 1):
        damped = C[first::2, first::2] + TAU * torch.eye(150)
        torch.testing.assert_close(metric[first::2], torch.linalg.inv(damped).diagonal().rsqrt())
    uneven = Splitting.of(Quadratic.of(H[:299, :299].unsqueeze(0))).metric[0]
    damped = C[1:299:2, 1:299:2] + TAU * torch.eye(149)
    torch.testing.assert_close(uneven[1::2], torch.linalg.inv(damped).diagonal().rsqrt())


def test_more_patience_is_never_worse_where_it_adds_rounds() -> None:
    W, H = layer(5, 32, 64)
    with searching_alone():
        prepared = Refined(math.inf).prepare(H)
        found = relative_error(W, prepared.solve(W, 0.8), H)
        rounds, refined.ROUNDS = refined.ROUNDS, 0
        try:
            none = relative_error(W, prepared.solve(W, 0.8), H)
        finally:
            refined.ROUNDS = rounds
    assert found < 0.999 * none


@few
@given(st.integers(0, 99), st.integers(1, 3), st.integers(1, 6), st.integers(2, 14), st.floats(0.1, 0.9))
def test_elimination_tracks_the_error_and_leaves_least_squares(
    seed: int, groups: int, rows: int, columns: int, share: float
) -> None:
    rng = torch.Generator().manual_seed(seed)
    X = torch.randn(groups, columns, 60, generator=rng, dtype=torch.float64)
    quadratic = Quadratic.of(X @ X.mT)
    w = torch.randn(groups * rows, columns, generator=rng, dtype=torch.float64)
    target = quadratic.times(w)
    wide = largest(torch.rand(w.shape, generator=rng), max(1, int(0.8 * w.numel())))
    count = max(1, int(share * int(wide.sum())))
    found = finish(eliminate(quadratic, target, wide, torch.zeros(len(w), dtype=torch.long), count, 0, entries=200))
    assert int(found.keep.sum()) == count
    assert not bool((found.keep & ~wide).any())
    refit = torch.zeros_like(w)
    for chosen, solved in least_squares(quadratic, target, found.keep):
        refit[chosen] = solved
    torch.testing.assert_close(found.v, refit, rtol=1e-6, atol=1e-8)
    energy = float((target * w).sum())
    assert energy - found.explained == pytest.approx(error(quadratic, w, found.v), rel=1e-6, abs=1e-6 * energy)


def test_elimination_of_one_place_takes_the_one_that_costs_least() -> None:
    W, H = layer(2, 1, 9)
    quadratic = Quadratic.of(H.unsqueeze(0))
    w = W.double() * quadratic.scale
    wide = torch.ones_like(w, dtype=torch.bool)
    target = quadratic.times(w)
    found = finish(eliminate(quadratic, target, wide, torch.ones(1, dtype=torch.long), 8, 0))
    errors = []
    for place in range(9):
        keep = wide.clone()
        keep[0, place] = False
        ((_, v),) = least_squares(quadratic, target, keep)
        errors.append(error(quadratic, w, v))
    assert int((~found.keep).nonzero()[0, 1]) == int(torch.tensor(errors).argmin())
    assert error(quadratic, w, found.v) == pytest.approx(min(errors))


def test_widening_takes_in_the_largest_gradients_but_does_not_crowd_a_row() -> None:
    W, H = layer(3, 8, 30)
    W[0] *= 1e3  # its gradients are the largest by far
    quadratic = Quadratic.of(H.unsqueeze(0))
    w = W.double() * quadratic.scale
    keep = largest(w.abs(), 60)
    alive = torch.ones_like(keep)
    alive[:, 7] = False
    fitted = refined.Fitted(keep, torch.where(keep, w, 0), 0.0)
    wide = widened(quadratic, w, fitted, alive, 16)
    new = wide & ~keep
    assert bool((wide | ~keep).all())
    assert 0 < int(new.sum()) <= 16
    assert int(new.sum(1).max()) <= 6
    assert not bool(new[:, 7].any())
    gradient = quadratic.times(w - fitted.v).abs()
    for row in new.any(1).nonzero().flatten():
        assert float(gradient[row][new[row]].min()) >= float(gradient[row][~wide[row] & alive[row]].max()) or (
            int(new[row].sum()) == 6
            or float(gradient[new].min()) >= float(gradient[row][~wide[row] & alive[row]].max())
        )


@few
@given(problems(), st.integers(0, 2), st.floats(0.05, 0.95))
def test_the_support_is_exact_in_number_and_never_on_dead_inputs(problem: Problem, floor: int, share: float) -> None:
    quadratic = Quadratic.of(problem.H)
    alive = ~quadratic.spread(problem.dead, len(problem.W))
    floor = min(floor, problem.W.shape[1])
    floors = alive.sum(1).clamp(max=floor)
    count = min(int(alive.sum()), max(int(share * int(alive.sum())), int(floors.sum())))
    w = problem.W * quadratic.spread(quadratic.scale, len(problem.W))
    keep, _ = finish(support(Splitting.of(quadratic), w, alive, count, floor, 5))
    assert int(keep.sum()) == count
    assert not bool((keep & ~alive).any())
    assert bool((keep.sum(1) >= floors).all())


def test_floors_where_a_row_has_fewer_live_places() -> None:
    """One live place in the first group, six in the second: two of its rows are all but worthless."""
    X = torch.randn(2, 6, 40, dtype=torch.float64)
    X[0, 1:] = 0
    quadratic = Quadratic.of(X @ X.mT)
    w = torch.randn(8, 6, dtype=torch.float64) * quadratic.spread(quadratic.scale, 8)
    w[5:7] *= 1e-6
    alive = ~quadratic.spread(quadratic.dead, 8)
    keep, _ = finish(support(Splitting.of(quadratic), w, alive, 16, 2, 5))
    assert int(keep.sum()) == 16
    assert not bool((keep & ~alive).any())
    assert keep.sum(1).tolist()[:4] == [1] * 4
    assert int(keep.sum(1)[4:].min()) >= 2
    found = finish(eliminate(quadratic, quadratic.times(w), alive, torch.full((8,), 6), 14, 2))
    assert int(found.keep.sum()) == 14
    assert int(found.keep.sum(1)[4:].min()) >= 2


def test_ties_are_broken_exactly() -> None:
    sizes = torch.tensor([[1.0, 2, 2, 2], [2, 3, 0, 2]])
    assert largest(sizes, 3).tolist() == [[False, True, True, False], [False, True, False, False]]
    assert int(largest(torch.zeros(4, 5), 7).sum()) == 7
    assert not bool(largest(sizes, 0).any())
    assert bool(largest(sizes, 8).all())


@few
@given(problems(), st.sampled_from([torch.float16, torch.bfloat16, torch.float32, torch.float64]))
def test_sparsity_zero_is_the_dense_weight(problem: Problem, dtype: torch.dtype) -> None:
    W = problem.W.to(dtype)
    pruned = Refined().prepare(problem.H.float()).solve(W, 0.0)
    assert pruned.dtype == dtype
    assert torch.equal(pruned, W)


def test_a_sweep_is_its_single_solves_and_the_same_again() -> None:
    W, H = layer(4, 20, 40)
    for patience in (0.01, 3.0):
        prepared = Refined(patience).prepare(H)
        together = prepared.sweep(W, [0.9, 0.0, 0.5], row_floor=[1, 0, 2])
        for pruned, sparsity, floor in zip(together, (0.9, 0.0, 0.5), (1, 0, 2), strict=True):
            assert torch.equal(pruned, prepared.solve(W, sparsity, row_floor=floor))
            assert torch.equal(pruned, Refined(patience).prepare(H).solve(W, sparsity, row_floor=floor))


def test_memory_changes_nothing_but_rounding() -> None:
    W, H = layer(4, 20, 40)
    plenty, scarce = (Refined(memory=m).prepare(H).solve(W, 0.8) for m in (1 << 30, 1))
    assert torch.equal(plenty != 0, scarce != 0)
    torch.testing.assert_close(plenty, scarce)


def test_samples_and_groups() -> None:
    (W, H), (V, G) = layer(1, 12, 18), layer(2, 12, 18)
    several = Refined().prepare(torch.stack([H, G]).unsqueeze(1)).solve(W, 0.7)
    for h, mine in zip((H, G), several, strict=True):
        assert torch.equal(mine, Refined().prepare(h).solve(W, 0.7))
    grouped = Refined(1.0).prepare(torch.stack([H, G])).solve(torch.cat([W, 1e-6 * V]), 0.5)
    assert zeros_in(grouped) == 216
    assert zeros_in(grouped[12:]) > 200  # they hardly count
    alone = Refined(1.0).prepare(H).solve(W, zeros_in(grouped[:12]) / 216)
    errors = [relative_error(W, found, H) for found in (grouped[:12], alone)]
    assert errors[0] == pytest.approx(errors[1], abs=0.02)


def test_dead_inputs_go_first_and_change_nothing_else() -> None:
    X = torch.randn(10, 50)
    X[[1, 4, 7]] = 0
    H, W = X @ X.T, torch.randn(5, 10)
    prepared = Refined().prepare(H)
    alive = [0, 2, 3, 5, 6, 8, 9]
    for count in (1, 9, 15):
        pruned = prepared.solve(W, count / 50)
        assert zeros_in(pruned[:, [1, 4, 7]]) == count
        assert torch.equal(pruned[:, alive], W[:, alive])
    assert not prepared.solve(W, 20 / 50)[:, [1, 4, 7]].any()


def test_a_singular_layer_loses_nothing_that_it_need_not() -> None:
    """20 columns of inputs of rank 5: any 5 weights a row do."""
    X = torch.randn(20, 5, dtype=torch.float64) @ torch.randn(5, 80, dtype=torch.float64)
    H, W = X @ X.T, torch.randn(8, 20, dtype=torch.float64)
    assert relative_error(W, Refined(math.inf).prepare(H).solve(W, 0.75), H) < 1e-7
    assert relative_error(W, Refined().prepare(H.float()).solve(W.float(), 0.5), H) < 1e-5


def test_steps_say_how_far_they_are_and_can_be_dropped(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("spade_widgets.pruning.solvers.elimination.PAUSE", 0.0)
    W, H = layer(6, 16, 48)
    for patience in (0.01, math.inf):
        prepared = Refined(patience).prepare(H)
        shares = list(prepared.steps(W, [0.5, 0.9]))
        assert len(shares) >= 16  # after each of 2 × 7 products of ADMM, and each batch of rows
        assert shares == sorted(shares)
        assert 0 <= shares[0] < 0.2
        assert 0.8 < shares[-1] < 1
        expected, steps = prepared.solve(W, 0.9), prepared.steps(W, [0.9])
        next(steps)
        steps.close()
        assert torch.equal(prepared.solve(W, 0.9), expected)


def test_what_is_given_stays() -> None:
    W, H = layer(7, 9, 20)
    before = W.clone(), H.clone()
    Refined().prepare(H).sweep(W, [0.0, 0.3, 0.9], row_floor=1)
    assert torch.equal(W, before[0])
    assert torch.equal(H, before[1])


@pytest.mark.parametrize("options", [{"patience": 0}, {"patience": float("nan")}, {"memory": 0}, {"memory": "1 GB"}])
def test_options_that_cannot_be(options: dict[str, Any]) -> None:
    with pytest.raises(InputError, match=f"The {next(iter(options))} is .* a number above 0 is accepted"):
        solver("refined", **options)


def test_bad_input() -> None:
    with pytest.raises(ModelError, match="NaN or infinite"):
        Refined().prepare(torch.full((2, 2), float("nan")))
    with pytest.raises(ModelError, match="not positive semidefinite"):
        Refined().prepare(torch.tensor([[1.0, 2], [2, 1]]))
    with pytest.raises(InputError, match="Gram matrix of shape"):
        Refined().prepare(torch.ones(2, 3))
    prepared = Refined().prepare(torch.eye(3))
    with pytest.raises(InputError, match="do not fit"):
        prepared.solve(torch.ones(2, 2), 0.5)
    with pytest.raises(InputError, match="outside the accepted range"):
        prepared.solve(torch.ones(2, 3), 1.0)
    with pytest.raises(ModelError, match="weights hold NaN"):
        prepared.solve(torch.full((2, 3), float("nan")), 0.5)


@pytest.mark.parametrize("name", ["obc_conv1x1", "obc_conv3x3"])
def test_golden(data_dir: Path, name: str) -> None:
    """At or below the published result and exact elimination by single weights, at every sparsity."""
    case = Case(data_dir, name)
    with safe_open(data_dir / "golden" / f"{name}.safetensors", framework="pt") as file:
        published = [file.get_tensor(f"pruned.{i}").float().flatten(1) for i in range(len(case.meta["sparsity"]))]
    H = gram(case.layer, case.inputs[0])
    ours, exact = Refined().prepare(H), solver("exact").prepare(H)
    for theirs in published:
        sparsity = zeros_in(theirs) / theirs.numel()
        found, greedy = ours.solve(case.W, sparsity), exact.solve(case.W, sparsity)
        assert zeros_in(found) == zeros_in(theirs)
        reached, *others = (relative_error(case.W.double(), x.double(), H.double()) for x in (found, theirs, greedy))
        assert reached <= min(others) * (1 + 1e-4)
