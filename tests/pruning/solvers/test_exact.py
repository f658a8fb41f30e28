"""SPADE proper by property, and against a textbook OBC in float64: one weight at a time, H inverted anew for each."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from spade_widgets.errors import InputError, ModelError
from spade_widgets.pruning.solvers import elimination as elimination_module
from spade_widgets.pruning.solvers import exact as exact_module
from spade_widgets.pruning.solvers import relative_error, solver, zeros
from spade_widgets.pruning.solvers.exact import Exact

many = settings(max_examples=50, deadline=None, derandomize=True)
few = settings(max_examples=20, deadline=None, derandomize=True)

sparsities = st.one_of(st.floats(0, 0.999), st.sampled_from([0.0, 0.5, 0.95, 0.99]))


@dataclass(frozen=True)
class Problem:
    """A layer: W (groups · rows, c) and H (groups, c, c), float64."""

    W: Tensor
    H: Tensor

    @property
    def dead(self) -> Tensor:
        """Like W: which weights lie on inputs that are always zero."""
        return (self.H.diagonal(dim1=1, dim2=2) == 0).repeat_interleave(len(self.W) // len(self.H), 0)


@st.composite
def problems(draw: st.DrawFn, max_columns: int = 20, full_rank: bool = False) -> Problem:
    """Correlated inputs in one group or several; unless `full_rank`, few or many of them, and some always zero."""
    groups, rows, columns = draw(st.integers(1, 3)), draw(st.integers(1, 6)), draw(st.integers(1, max_columns))
    seen = 4 * columns if full_rank else draw(st.integers(1, 30))
    generator = torch.Generator().manual_seed(draw(st.integers(0, 10**6)))

    def randn(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=generator, dtype=torch.float64)

    X = randn(groups, columns, seen) + 2 * randn(groups, columns, 2) @ randn(groups, 2, seen)
    if not full_rank:
        for column in draw(st.lists(st.integers(0, groups * columns - 1), max_size=4)):
            X[column // columns, column % columns] = 0
    return Problem(randn(groups * rows, columns), 2 / seen * X @ X.mT)


def layer(rows: int, columns: int, seed: int = 0, dtype: torch.dtype = torch.float64) -> Problem:
    """A layer of correlated inputs that is not singular."""
    generator = torch.Generator().manual_seed(seed)

    def randn(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=generator, dtype=torch.float64)

    X = randn(columns, 3 * columns) + 2 * randn(columns, 4) @ randn(4, 3 * columns)
    H = (2 / X.shape[1] * X @ X.T).unsqueeze(0)
    return Problem(randn(rows, columns).to(dtype), H.to(dtype))


def reference_row(w: Tensor, H: Tensor, block: int) -> tuple[list[Tensor], list[float]]:
    """OBC of one row, by the book.

    Returns the row after 0, 1, … drops, and what each drop costs.
    """
    inverse, w = torch.linalg.inv(H), w.clone()
    rows, losses = [w.clone()], []
    left = list(range(len(w) // block))
    while left:
        costs = []
        for q in left:
            at = slice(q * block, (q + 1) * block)
            costs.append(float(w[at] @ torch.linalg.inv(inverse[at, at]) @ w[at]))
        q = left.pop(costs.index(min(costs)))
        losses.append(min(costs))
        at = slice(q * block, (q + 1) * block)
        pivot = torch.linalg.inv(inverse[at, at])
        w -= inverse[:, at] @ pivot @ w[at]
        inverse -= inverse[:, at] @ pivot @ inverse[at]
        gone = [j for j in range(len(w)) if j // block not in left]
        w[gone] = 0
        inverse[gone], inverse[:, gone] = 0, 0
        inverse[gone, gone] = 1
        rows.append(w.clone())
    return rows, losses


def reference(problem: Problem, drops: int, block: int = 1, row_floor: int = 0) -> Tensor:
    """OBC of a layer with `drops` blocks dropped: what each row loses is read off all losses together."""
    per_group = len(problem.W) // len(problem.H)
    traces = [reference_row(w, problem.H[i // per_group], block) for i, w in enumerate(problem.W)]
    most = (problem.W.shape[1] - row_floor) // block
    ranked = sorted((loss, row) for row, (_, losses) in enumerate(traces) for loss in losses[:most])
    counts = [0] * len(traces)
    for _, row in ranked[:drops]:
        counts[row] += 1
    return torch.stack([trace[count] for (trace, _), count in zip(traces, counts, strict=True)])


@contextmanager
def refreshed_every(blocks: int) -> Iterator[None]:
    """Small rows are eliminated in one window: this makes them refresh, compact and repack as large ones do."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(elimination_module, "window", lambda columns, block: min(columns // block, blocks))
        yield


def check_counts(problem: Problem, pruned: Tensor, sparsity: float, row_floor: int = 0) -> None:
    keep = max(1, row_floor * len(problem.W))
    assert int((pruned == 0).sum()) == zeros(problem.W.numel(), sparsity, keep=keep)
    assert bool(torch.isfinite(pruned).all())


@many
@given(problems(full_rank=True), sparsities, st.integers(0, 3), st.integers(1, 7))
def test_agrees_with_the_textbook(problem: Problem, sparsity: float, row_floor: int, window: int) -> None:
    row_floor = min(row_floor, problem.W.shape[1])
    drops = zeros(problem.W.numel(), sparsity, keep=max(1, row_floor * len(problem.W)))
    with refreshed_every(window):
        ours = Exact().prepare(problem.H).solve(problem.W, sparsity, row_floor=row_floor)
    torch.testing.assert_close(ours, reference(problem, drops, row_floor=row_floor), rtol=1e-7, atol=1e-8)


@few
@given(problems(8, full_rank=True), st.integers(2, 4), st.floats(0, 0.999), st.integers(1, 3))
def test_blocks_agree_with_the_textbook(problem: Problem, block: int, share: float, window: int) -> None:
    columns = problem.W.shape[1]
    wide = Problem(problem.W.repeat(1, block), torch.block_diag(*[problem.H[0]] * block).unsqueeze(0))
    blocks = wide.W.numel() // block
    drops = min(int(share * blocks), blocks - 1)
    with refreshed_every(window):
        ours = Exact(block_size=block).prepare(wide.H).solve(wide.W, drops / blocks)
    assert ours.shape == (len(problem.W), columns * block)
    torch.testing.assert_close(ours, reference(wide, drops, block), rtol=1e-7, atol=1e-8)


def test_long_rows_agree_with_the_textbook() -> None:
    """Rows that are refreshed, compacted and repacked of themselves, in float64 and float32."""
    problem = layer(3, 130)
    expected = reference(problem, zeros(390, 0.8))
    ours = Exact().prepare(problem.H).solve(problem.W, 0.8)
    torch.testing.assert_close(ours, expected, rtol=1e-7, atol=1e-8)
    single = Exact().prepare(problem.H.float()).solve(problem.W.float(), 0.8)
    assert bool(((single == 0) == (expected == 0)).all())
    torch.testing.assert_close(single.double(), expected, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("block", [3, 9])
def test_long_rows_in_blocks_agree_with_the_textbook(block: int) -> None:
    problem = layer(3, 108)
    prepared, blocks = Exact(block_size=block).prepare(problem.H), 3 * 108 // block
    for share in (0.3, 0.6, 0.9):
        drops = int(share * blocks)
        ours = prepared.solve(problem.W, drops / blocks)
        torch.testing.assert_close(ours, reference(problem, drops, block), rtol=1e-7, atol=1e-8)


@many
@given(problems(), sparsities, st.integers(0, 3), st.integers(1, 30))
def test_zeros_are_exact(problem: Problem, sparsity: float, row_floor: int, window: int) -> None:
    row_floor = min(row_floor, problem.W.shape[1])
    with refreshed_every(window):
        pruned = Exact().prepare(problem.H.float()).solve(problem.W.float(), sparsity, row_floor=row_floor)
    check_counts(problem, pruned, sparsity, row_floor)
    assert int((pruned != 0).sum(1).min()) >= row_floor
    if sparsity == 0:
        assert torch.equal(pruned, problem.W.float())


def test_rows_that_lose_nothing_keep_their_bits() -> None:
    problem = layer(6, 50)
    problem.W[3:] *= 1e3
    dense, pruned = Exact().prepare(problem.H).sweep(problem.W, [0.0, 0.3])
    assert torch.equal(dense, problem.W)
    assert torch.equal(pruned[3:], problem.W[3:])
    assert not torch.equal(pruned[:3], problem.W[:3])


@many
@given(problems(9), st.integers(1, 4), sparsities, st.integers(0, 5))
def test_zeros_are_exact_with_blocks(problem: Problem, block: int, sparsity: float, row_floor: int) -> None:
    """Also where the count is no whole number of blocks: one block (under a floor, one a row) is dropped in part."""
    H = torch.stack([torch.block_diag(*[h] * block) for h in problem.H])
    wide = Problem(problem.W.repeat(1, block), H)
    row_floor = min(row_floor, wide.W.shape[1])
    pruned = Exact(block_size=block, kernel_size=block).prepare(H).solve(wide.W, sparsity, row_floor=row_floor)
    check_counts(wide, pruned, sparsity, row_floor)
    assert int((pruned != 0).sum(1).min()) >= row_floor
    if not row_floor:
        order = torch.arange(wide.W.shape[1]).view(-1, block).T.flatten()
        in_part = (pruned[:, order] == 0).view(-1, block).sum(1) % block
        assert int((in_part > 0).sum()) <= 1


@few
@given(problems(), st.lists(sparsities, min_size=1, max_size=4))
def test_a_sweep_is_its_solutions(problem: Problem, asked: list[float]) -> None:
    floors = [i % 2 for i in range(len(asked))]
    swept = Exact().prepare(problem.H).sweep(problem.W, asked, row_floor=floors)
    for sparsity, floor, pruned in zip(asked, floors, swept, strict=True):
        alone = Exact().prepare(problem.H).solve(problem.W, sparsity, row_floor=floor)
        torch.testing.assert_close(pruned, alone)


def test_under_autocast_it_is_as_exact() -> None:
    problem = layer(4, 100, dtype=torch.float32)
    expected = Exact().prepare(problem.H).solve(problem.W, 0.7)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert torch.equal(Exact().prepare(problem.H).solve(problem.W, 0.7), expected)


@few
@given(problems(), st.floats(0.1, 0.9))
def test_weights_that_stay_are_least_squares(problem: Problem, sparsity: float) -> None:
    """No change of the weights that stay makes the (damped) error smaller: its gradient on them is zero."""
    prepared = Exact().prepare(problem.H)
    pruned = prepared.solve(problem.W, sparsity)
    diagonal = torch.diag_embed(problem.H.diagonal(dim1=1, dim2=2))
    damped = problem.H + prepared.damping.view(-1, 1, 1) * diagonal
    rows = len(problem.W) // len(problem.H)
    gradient = (problem.W - pruned).view(-1, rows, problem.W.shape[1]) @ damped
    gradient = gradient.flatten(0, 1).masked_fill(pruned == 0, 0)
    assert float(gradient.abs().max()) <= 1e-9 * float(problem.H.abs().max())


def test_dropping_few_in_float32_is_least_squares_too() -> None:
    """Where few weights are dropped the float32 inverse is used: refinement must take its rounding away."""
    problem = layer(4, 150, dtype=torch.float32)
    prepared = Exact().prepare(problem.H)
    pruned = prepared.solve(problem.W.double(), 0.2)
    change = (problem.W - pruned) * prepared.scale
    gradient = (change @ prepared.quadratic.H[0].double()).masked_fill(pruned == 0, 0)
    assert float(gradient.abs().max()) < 1e-9 * float(change.abs().max())


@few
@given(problems(), sparsities)
def test_weights_on_dead_inputs_go_first(problem: Problem, sparsity: float) -> None:
    pruned = Exact().prepare(problem.H).solve(problem.W, sparsity)
    zero, dead = pruned == 0, problem.dead
    dropped = int(zero.sum())
    assert int((zero & dead).sum()) == min(dropped, int(dead.sum()))
    assert torch.equal(pruned[dead & ~zero], problem.W[dead & ~zero])
    if 0 < dropped < int(dead.sum()):
        sizes = problem.W.abs()
        assert float(sizes[zero & dead].max()) <= float(sizes[dead & ~zero].min())


def test_a_weight_on_a_dead_input_does_not_hold_its_block() -> None:
    H, W = torch.eye(6, dtype=torch.float64), torch.ones(1, 6, dtype=torch.float64)
    H[0, 0] = 0
    W[0, :2] = torch.tensor([100.0, 0.1])
    assert torch.equal(Exact(block_size=2).prepare(H).solve(W, 1 / 3) == 0, torch.tensor([[1, 1, 0, 0, 0, 0]]).bool())


def test_a_singular_gram_matrix_is_damped_by_a_thousandth_and_no_other() -> None:
    problem = layer(4, 12)
    assert float(Exact().prepare(problem.H).damping) == 0
    X = torch.randn(12, 5, dtype=torch.float64)
    H = X @ X.T
    prepared = Exact().prepare(H)
    assert float(prepared.damping) == exact_module.DAMPING
    damped = Problem(problem.W, (H + 1e-3 * H.diagonal().diag()).unsqueeze(0))
    torch.testing.assert_close(prepared.solve(problem.W, 0.7), reference(damped, zeros(48, 0.7)), rtol=1e-6, atol=1e-7)


def test_an_input_that_the_others_explain_counts_as_singular() -> None:
    """Also where no input is explained by those before it: the first one here, but by all the others together."""
    X = torch.randn(8, 400, dtype=torch.float64)
    X[0] = 0.05 * X[7] + X[1:7].sum(0) + 2e-3 * X[0]
    assert float(torch.linalg.cholesky(torch.corrcoef(X)).diagonal().min()) ** 2 > exact_module.SINGULAR
    for inputs in (X, X.flip(0)):
        assert float(Exact().prepare(inputs @ inputs.T).damping) == exact_module.DAMPING


@pytest.mark.parametrize("option", [{}, {"block_size": 5}, {"block_size": 9, "kernel_size": 9}])
def test_the_memory_budget_does_not_change_the_result(option: dict[str, int]) -> None:
    problem = layer(11, 90)
    whole = Exact(**option).prepare(problem.H).sweep(problem.W, [0.3, 0.6, 0.9])
    row = elimination_module.row_bytes(90, option.get("block_size", 1), 8)
    for rows in (1, 3):
        small = Exact(**option, memory=rows * row + 8).prepare(problem.H).sweep(problem.W, [0.3, 0.6, 0.9])
        for a, b in zip(whole, small, strict=True):
            assert bool(((a == 0) == (b == 0)).all())
            torch.testing.assert_close(a, b, rtol=1e-9, atol=1e-10)


def test_the_number_of_threads_does_not_change_the_result() -> None:
    problem, threads = layer(8, 100), torch.get_num_threads()
    try:
        results = []
        for count in (1, 2, 3):
            torch.set_num_threads(count)
            results.append(Exact().prepare(problem.H).solve(problem.W, 0.7))
    finally:
        torch.set_num_threads(threads)
    for other in results[1:]:
        assert bool(((results[0] == 0) == (other == 0)).all())
        torch.testing.assert_close(results[0], other, rtol=1e-9, atol=1e-10)


def test_only_the_first_sweep_of_a_weight_eliminates(monkeypatch: pytest.MonkeyPatch) -> None:
    problem, other = layer(4, 20), layer(4, 20, seed=1)
    prepared = Exact().prepare(problem.H)
    first = prepared.solve(problem.W, 0.5)
    real, calls = elimination_module.eliminate, []

    def counted(*args: Any) -> Any:
        calls.append(args)
        return real(*args)

    monkeypatch.setattr(exact_module, "eliminate", counted)
    assert torch.equal(prepared.sweep(problem.W.clone(), [0.9, 0.5])[1], first)
    assert prepared.solve(problem.W, 0.5, row_floor=8).shape == (4, 20)
    assert not calls
    expected = Exact().prepare(problem.H).solve(other.W, 0.5)
    assert torch.equal(prepared.solve(other.W, 0.5), expected)
    changed = problem.W.clone()
    prepared.solve(changed, 0.5)
    changed[0, 0] += 1
    assert torch.equal(prepared.solve(changed, 0.5), Exact().prepare(problem.H).solve(changed, 0.5))


def test_a_cancelled_elimination_goes_on_where_it_was(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(elimination_module, "PAUSE", 0)
    problem = layer(6, 80)
    prepared = Exact(memory=2 * elimination_module.row_bytes(80, 1, 8)).prepare(problem.H)
    steps = prepared.steps(problem.W, [0.8])
    shares = [next(steps)]
    while shares[-1] < 0.9 * 0.7:
        shares.append(next(steps))
    steps.close()
    assert shares == sorted(shares)
    assert len(shares) > 40
    done = []
    real = elimination_module.eliminate

    def counted(W: Tensor, *args: Any) -> Any:
        done.append(len(W))
        return real(W, *args)

    monkeypatch.setattr(exact_module, "eliminate", counted)
    ours = prepared.solve(problem.W, 0.8)
    assert done == [2]
    torch.testing.assert_close(ours, Exact().prepare(problem.H).solve(problem.W, 0.8))


def test_shares_rise_and_stay_below_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(elimination_module, "PAUSE", 0)
    problem = layer(4, 90)
    for options in ({}, {"block_size": 3}):
        shares = list(Exact(**options).prepare(problem.H).steps(problem.W, [0.3, 0.5, 0.9]))
        assert shares == sorted(shares)
        assert shares[0] >= 0
        assert shares[-1] < 1


def test_the_kernel_size_orders_the_columns_as_the_published_code_does() -> None:
    """Blocks are runs in (kh, kw, c_in) order: the same as reordering W and H, solving, and reordering back."""
    problem = layer(4, 36)  # 4 input channels, 3 × 3
    order = torch.arange(36).view(4, 3, 3).permute(1, 2, 0).flatten()
    moved = Exact(block_size=9).prepare(problem.H[:, order][:, :, order]).solve(problem.W[:, order], 0.5)
    ours = Exact(block_size=9, kernel_size=9).prepare(problem.H).solve(problem.W, 0.5)
    torch.testing.assert_close(ours[:, order], moved)


def test_several_samples_at_once_are_each_alone() -> None:
    problem = layer(4, 12)
    H = torch.stack([torch.stack([layer(1, 12, seed=2 * s + g).H[0] for g in range(2)]) for s in range(3)])
    together = Exact().prepare(H).sweep(problem.W, [0.5, 0.9])
    assert together[0].shape == (3, 4, 12)
    for sample in range(3):
        alone = Exact().prepare(H[sample]).sweep(problem.W, [0.5, 0.9])
        for i in range(2):
            torch.testing.assert_close(together[i][sample], alone[i])


@pytest.mark.parametrize("scale", [1e-16, 1e16])
def test_the_inputs_scale_does_not_matter(scale: float) -> None:
    problem = layer(4, 40, dtype=torch.float32)
    expected = Exact().prepare(problem.H).solve(problem.W, 0.8)
    scaled = Exact().prepare(problem.H * scale).solve(problem.W * 1e-12, 0.8) * 1e12
    torch.testing.assert_close(scaled, expected, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("columns", [24, 7])
def test_is_better_than_fast_and_than_magnitude(columns: int) -> None:
    """On average over layers, at each sparsity."""
    for sparsity in (0.3, 0.6, 0.9):
        errors = []
        for seed in range(10):
            problem = layer(8, columns, seed)
            size = problem.W.abs().flatten()
            small = problem.W.flatten().clone()
            small[size.argsort()[: zeros(size.numel(), sparsity)]] = 0
            solved = [Exact().prepare(problem.H).solve(problem.W, sparsity)]
            solved += [solver("fast").prepare(problem.H).solve(problem.W, sparsity), small.view_as(problem.W)]
            errors.append([relative_error(problem.W, pruned, problem.H) for pruned in solved])
        exact, fast, magnitude = torch.tensor(errors).mean(0)
        assert exact < 0.9 * fast
        assert fast < magnitude


def test_nothing_is_changed() -> None:
    problem = layer(4, 20)
    H, W = problem.H.clone(), problem.W.clone().requires_grad_()
    random = torch.get_rng_state()
    for options in ({}, {"block_size": 4, "kernel_size": 4}):
        prepared = Exact(**options).prepare(problem.H)
        pruned = prepared.sweep(W, [0.0, 0.5])
        assert not pruned[1].requires_grad
        pruned[0].detach().zero_()
        prepared.sweep(W, [0.7])
        problem.H.zero_()  # what was prepared does not hang on it
        again = prepared.sweep(W, [0.5])[0]
        assert torch.equal(again, pruned[1])
        problem.H.copy_(H)
    assert torch.equal(W, problem.W)
    assert torch.equal(torch.get_rng_state(), random)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32])
def test_keeps_the_weights_dtype(dtype: torch.dtype) -> None:
    problem = layer(4, 20)
    pruned = Exact().prepare(problem.H.float()).solve(problem.W.to(dtype), 0.5)
    assert pruned.dtype == dtype
    assert int((pruned == 0).sum()) == 40


@pytest.mark.parametrize("rows", [1, 3])
def test_degenerate_layers(rows: int) -> None:
    H = layer(1, 10).H
    zero = torch.zeros(rows, 10)
    assert torch.equal(Exact().prepare(H).solve(zero, 0.5), zero)
    W = torch.randn(rows, 10)
    no_input = Exact().prepare(torch.zeros(10, 10)).solve(W, 0.5)
    assert int((no_input == 0).sum()) == 5 * rows
    assert torch.equal(Exact().prepare(torch.ones(1, 1)).solve(torch.ones(1, 1), 0.99), torch.ones(1, 1))
    one_sample = torch.randn(10, 1)
    check_counts(Problem(W, H), Exact().prepare(one_sample @ one_sample.T).solve(W, 0.8), 0.8)
    constant = torch.ones(10, 10)
    check_counts(Problem(W, H), Exact().prepare(constant).solve(W, 0.8), 0.8)


def test_what_it_refuses() -> None:
    W, H = torch.randn(4, 12), torch.eye(12)
    with pytest.raises(InputError, match=r"block_size is 0"):
        Exact(block_size=0)
    with pytest.raises(InputError, match=r"memory is 'much'"):
        Exact(memory="much")  # type: ignore[arg-type]
    with pytest.raises(InputError, match=r"12 columns do not split into parts of block_size 5"):
        Exact(block_size=5).prepare(H)
    with pytest.raises(InputError, match=r"12 columns do not split into parts of kernel_size 9"):
        Exact(block_size=2, kernel_size=9).prepare(H)
    with pytest.raises(InputError, match=r"A row of 1000 columns needs \d+ bytes"):
        Exact(memory=1_000_000).prepare(torch.eye(1000))
    with pytest.raises(InputError, match=r"shape \(12, 3\) is not"):
        Exact().prepare(torch.ones(12, 3))
    with pytest.raises(ModelError, match="NaN or infinite"):
        Exact().prepare(H / 0)
    with pytest.raises(ModelError, match="positive semidefinite"):
        Exact().prepare(torch.ones(12, 12) - 3 * torch.eye(12) + 4 * torch.eye(12).flip(0) + 4 * torch.eye(12))
    prepared = Exact().prepare(H)
    with pytest.raises(InputError, match=r"shape \(4, 11\) do not fit"):
        prepared.solve(W[:, :11], 0.5)
    with pytest.raises(InputError, match="outside the accepted range"):
        prepared.solve(W, 1.0)
    with pytest.raises(ModelError, match="weights hold NaN"):
        prepared.solve(W / 0, 0.5)


def test_is_in_the_registry() -> None:
    assert isinstance(solver("exact", block_size=9, kernel_size=9, memory=1 << 20), Exact)
