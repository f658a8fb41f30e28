"""The solvers against what the authors' published code makes of real layers (the folder's README says what is in them).

"1e-4 of the largest weight" is taken of the published result's largest weight. The published code computes in float32,
and on `fast_linear`, where what is left of the weights grows to four times the dense ones, the same algorithm in
float64 comes no closer to it than 3e-5 of the largest published weight, which is 1.3e-4 of the largest dense one.
"""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors import safe_open
from torch import Tensor, nn

from spade_widgets.pruning.calibration.calibration import gram
from spade_widgets.pruning.solvers import relative_error, solver

FAST = ("fast_conv1x1", "fast_conv3x3", "fast_linear", "fast_strided_conv")


class Case:
    """One golden file."""

    def __init__(self, folder: Path, name: str) -> None:
        path = folder / "golden" / f"{name}.safetensors"
        if not path.is_file():
            pytest.skip(f"no golden case {name} in the folder of real weights")
        with safe_open(path, framework="pt") as file:
            self.meta: dict[str, Any] = {key: json.loads(value) for key, value in file.metadata().items()}
            tensors = {key: file.get_tensor(key).float() for key in file.keys()}  # noqa: SIM118
        self.inputs, self.pruned = (
            [tensors[f"{kind}.{i}"] for i in range(sum(key.startswith(f"{kind}.") for key in tensors))]
            for kind in ("inputs", "pruned")
        )
        self.pruned = [pruned.flatten(1) for pruned in self.pruned]
        self.weight = tensors["weight"]
        out, in_channels = self.weight.shape[:2]
        geometry = {key: self.meta[key] for key in ("kernel_size", "stride", "padding", "dilation", "groups")}
        self.layer = nn.Conv2d(in_channels * geometry["groups"], out, **geometry, bias=False)
        self.layer.weight.data.copy_(self.weight)
        self.W = self.weight.flatten(1)

    def sparsity(self, sample: int) -> float:
        """That leaves as many zeros in each block as the published code left: one more than it was asked for."""
        per_block = set(self.meta["zeros_per_block"][sample])
        assert len(per_block) == 1
        return float(per_block.pop() / (self.W.shape[0] * self.meta["block_size"]))

    def solver(self) -> Any:
        return solver("fast", block_size=self.meta["block_size"], damping=self.meta["damping"])

    def check(self, ours: Tensor, sample: int) -> None:
        published = self.pruned[sample]
        differ = int(((ours == 0) != (published == 0)).sum())
        assert differ == 0, f"{differ} weights are zero in one and not in the other"
        worst = float((ours - published).abs().max() / published.abs().max())
        assert worst < 1e-4, f"values differ by {worst:.1e} of the largest weight"


@pytest.mark.parametrize("name", FAST)
def test_fast(data_dir: Path, name: str) -> None:
    case = Case(data_dir, name)
    H = gram(case.layer, case.inputs[0])
    case.check(case.solver().prepare(H).solve(case.W, case.sparsity(0)), 0)


def test_batch(data_dir: Path) -> None:
    case = Case(data_dir, "batch_conv3x3")
    H = torch.stack([gram(case.layer, x) for x in case.inputs])
    assert case.sparsity(0) == case.sparsity(1)
    ours = case.solver().prepare(H.unsqueeze(1)).solve(case.W, case.sparsity(0))  # (samples, groups, c, c)
    for sample in range(len(case.inputs)):
        case.check(ours[sample], sample)


def test_sweep_of_a_golden_case_holds_the_published_result(data_dir: Path) -> None:
    case = Case(data_dir, "fast_strided_conv")
    prepared = case.solver().prepare(gram(case.layer, case.inputs[0]))
    case.check(prepared.sweep(case.W, [0.2, case.sparsity(0), 0.9])[1], 0)


@pytest.mark.parametrize("name", ["obc_conv1x1", "obc_conv3x3"])
def test_exact(data_dir: Path, name: str) -> None:
    """The published code drops `ceil(rows · blocks · sparsity)` blocks; asked for as many, ours drops the same ones."""
    case = Case(data_dir, name)
    H, block = gram(case.layer, case.inputs[0]), case.meta["block_size"]
    blocks = case.W.numel() // block
    asked = [math.ceil(blocks * sparsity) / blocks for sparsity in case.meta["sparsity"]]
    prepared = solver("exact", block_size=block, kernel_size=case.weight[0, 0].numel()).prepare(H)
    for ours, published in zip(prepared.sweep(case.W, asked), case.pruned, strict=True):
        assert int((ours == 0).sum()) == int((published == 0).sum())
        same = float(((ours == 0) == (published == 0)).float().mean())
        assert same >= 0.99, f"only {same:.2%} of the weights are zero in both or in neither"
        assert relative_error(case.W, ours, H) <= 1.01 * relative_error(case.W, published, H)
