"""FastSPADE as published and ours, side by side on this machine: time and memory.

    python benchmarks/published.py [--published CHECKOUT] [--weights FILE] [--threads 2] [--device cuda] [--rounds 2]

CHECKOUT is a checkout of github.com/IST-DASLab/SPADE; without one only ours is measured. Both prune torchvision's
ResNet-50 with the same weights (random ones, or a state dict in FILE) for the same augmentations of one random picture,
in the 17 layers of the paper's feature visualizations: `layer3.4`, `layer3.5`, `layer4` and `fc`. The published code is
driven as in its notebook: hooks on the layers, batches of 256, blocks of k² columns for convolutions, one solve a
sparsity. Making the augmentations is left out on both sides. Both are measured in one process and in turns, the least
of all rounds counts; peak memory is a process's own, so each has one of its own for that, and what model and
augmentations take is subtracted. On CUDA, matrix products are float32 with TF32 off.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib.util
import io
import json
import resource
import subprocess
import sys
import time
import types
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import torch
import torchvision
from torch import Tensor, nn

from spade_widgets.classifier import ImageClassifier
from spade_widgets.network.products import Watch
from spade_widgets.network.weights import Product, weight
from spade_widgets.pruning.calibration import gram_sums as gram
from spade_widgets.pruning.calibration.augment import augment
from spade_widgets.pruning.calibration.calibration import Calibration, batch_size, calibrate, memory_format
from spade_widgets.pruning.plans.plan import SparsityPlan
from spade_widgets.pruning.progress import finish
from spade_widgets.pruning.pruner import damped
from spade_widgets.pruning.solvers import solver
from spade_widgets.sample import Sample

SPARSITIES = (0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.98, 0.99)
ONE = 0.95
PUBLISHED_BATCH = 256


class Work:
    """What both are given: a model, the layers' names, augmentations."""

    def __init__(self, options: argparse.Namespace) -> None:
        torch.set_num_threads(options.threads)
        torch.manual_seed(0)
        self.clock = time.process_time if options.busy else time.perf_counter
        self.device = torch.device(options.device)
        model = torchvision.models.resnet50(weights=None)
        if options.weights:
            model.load_state_dict(torch.load(options.weights, weights_only=True))
        self.classifier = ImageClassifier(model.eval().to(self.device))
        self.module = self.classifier.module()
        plan = SparsityPlan.preset(self.classifier, ONE, "paper-visualization")
        self.layers = [name for name in plan.layers if plan.sparsities[name] > 0]
        noise = np.random.default_rng(0).integers(0, 256, (16, 16, 3), dtype=np.uint8)
        self.sample = Sample.read(noise.repeat(24, 0).repeat(24, 1))
        self.images = torch.cat(list(augment(self.classifier, self.sample, options.augmentations)))

    def batches(self, size: int) -> Iterator[Tensor]:
        return iter(self.images.split(size))

    def seconds(self, work: Callable[..., Any], *given: Any) -> tuple[float, Any]:
        self.wait()
        start = self.clock()
        made = work(*given)
        self.wait()
        return self.clock() - start, made

    def wait(self) -> None:
        if self.device.type == "cuda":
            torch.cuda.synchronize()


class Ours:
    name = "ours"

    def __init__(self, work: Work) -> None:
        self.work = work
        self.format = memory_format(work.classifier)
        self.module = work.classifier.module().to(memory_format=self.format)

    def forward(self) -> None:
        with torch.no_grad():
            for images in self.work.batches(batch_size(self.work.classifier)):
                self.module(images.to(memory_format=self.format))

    def calibrate(self) -> Calibration:
        ready = mock.patch(
            "spade_widgets.pruning.calibration.calibration.augment",
            lambda *_args, batch, **_options: self.work.batches(batch),
        )
        with ready:
            return finish(
                calibrate(self.work.classifier, self.work.sample, self.work.layers, augmentations=len(self.work.images))
            )

    def solve(self, calibration: Calibration, sparsities: tuple[float, ...]) -> None:
        for name in self.work.layers:
            dense = weight(self.work.module, name)
            options = {"block_size": dense[0, 0].numel()} if dense.ndim > 2 else {}
            prepared = solver("fast", **options).prepare(calibration.gram(name))
            prepared.sweep(dense.flatten(1), sparsities)

    def refine(self, calibration: Calibration) -> None:
        """One sparsity by our default solver, as traces have it."""
        for name in self.work.layers:
            prepared = solver("refined").prepare(damped(calibration.gram(name)))
            prepared.solve(weight(self.work.module, name).flatten(1), ONE)


class Published:
    name = "published"

    def __init__(self, work: Work, checkout: Path) -> None:
        self.work = work
        self.pruner = _published_module(checkout).SparseGPT

    def forward(self) -> None:
        with torch.no_grad():
            for images in self.work.batches(PUBLISHED_BATCH):
                self.work.module(images)

    def calibrate(self) -> dict[str, Any]:
        layers = {name: self.work.module.get_submodule(name) for name in self.work.layers}
        pruners = {name: self.pruner(layer) for name, layer in layers.items()}

        def hook(name: str) -> Callable[[nn.Module, tuple[Tensor, ...], Tensor], None]:
            return lambda _layer, given, out: pruners[name].add_batch(given[0].data, out.data)

        handles = [layer.register_forward_hook(hook(name)) for name, layer in layers.items()]
        try:
            self.forward()
        finally:
            for handle in handles:
                handle.remove()
        return pruners

    def solve(self, pruners: dict[str, Any], sparsities: tuple[float, ...]) -> None:
        """Once a sparsity, as there is no other way; H, which a solve uses up, is kept where another one follows."""
        again = len(sparsities) > 1
        for pruner in pruners.values():
            dense, H = pruner.layer.weight.data, pruner.H
            side = dense[0, 0].numel() if dense.ndim > 2 else 1
            for sparsity in sparsities:
                pruner.H = H.clone() if again else H
                with contextlib.redirect_stdout(io.StringIO()):
                    pruner.fasterprune(sparsity, percdamp=0.01, blocksize=side)
                pruner.layer.weight.data = dense
            pruner.free()


def _published_module(checkout: Path) -> types.ModuleType:
    path = checkout / "src" / "sparseGPT.py"
    if not path.is_file():
        raise SystemExit(f"There is no {path}: give a checkout of github.com/IST-DASLab/SPADE.")
    if importlib.util.find_spec("transformers") is None:  # of which it asks only whether a layer is its Conv1D
        stand_in = types.ModuleType("transformers")
        stand_in.Conv1D = type("Conv1D", (), {})  # type: ignore[attr-defined]
        sys.modules["transformers"] = stand_in
    spec = importlib.util.spec_from_file_location("published_sparse_gpt", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def measure(work: Work, ones: list[Ours | Published], rounds: int) -> dict[str, dict[str, float]]:
    """The least seconds of each part for each one."""
    best: dict[str, dict[str, float]] = {one.name: {} for one in ones}

    def note(one: Ours | Published, part: str, seconds: float) -> None:
        best[one.name][part] = min(seconds, best[one.name].get(part, seconds))
        print(f"{one.name}, {part}: {seconds:.2f} s", file=sys.stderr, flush=True)

    for _ in range(rounds):
        for one in ones:
            note(one, "forward passes", work.seconds(one.forward)[0])
        for one in ones:
            taken, calibration = work.seconds(one.calibrate)
            note(one, "calibration", taken)
            note(one, f"sweep of {len(SPARSITIES)}", work.seconds(one.solve, calibration, SPARSITIES)[0])
            calibration = one.calibrate()
            note(one, "solve", work.seconds(one.solve, calibration, (ONE,))[0])
            if isinstance(one, Ours):
                note(one, "solve, refined", work.seconds(one.refine, calibration)[0])
    for parts in best.values():
        parts["Hessians"] = parts["calibration"] - parts["forward passes"]
        parts["whole"] = parts["calibration"] + parts["solve"]
        if "solve, refined" in parts:
            parts["whole, refined"] = parts["calibration"] + parts["solve, refined"]
        parts[f"whole, sweep of {len(SPARSITIES)}"] = parts["calibration"] + parts[f"sweep of {len(SPARSITIES)}"]
    return best


def rates(work: Work, best: dict[str, dict[str, float]]) -> None:
    """How close the Gram products come to the machine's own matrix products."""
    products: list[Product] = []
    with torch.inference_mode(), Watch(work.module, lambda _name, p: products.append(p), set(work.layers)):
        work.module(work.images[:1])
    count = len(work.images)
    done = count * sum(gram.operations(p) for p in products)
    unfolded = 0
    for p in products:
        side = p.weight[0].numel()
        unfolded += 2 * count * side**2 * (gram.gram_sum(p)[1])
    square = torch.randn(2048, 2048, device=work.device)
    rate = 2 * 2048**3 / min(work.seconds(torch.matmul, square, square)[0] for _ in range(5))
    print(f"\nproducts of 2048 × 2048 matrices: {rate / 1e9:.0f} GFlop/s; unfolded, H takes {unfolded / 1e9:.0f} GFlop")
    for name, parts in best.items():
        took = done if name == "ours" else unfolded
        speed = took / parts["Hessians"] / rate
        print(f"  {name}: {took / 1e9:.0f} GFlop in {parts['Hessians']:.2f} s, {speed:.0%} of that rate")


def memory(options: argparse.Namespace, name: str) -> float:
    """MiB that calibration and one solve take at most beyond model and augmentations, in a process of its own."""
    run = subprocess.run(
        [sys.executable, __file__, "--alone", name, *options.arguments], check=True, stdout=subprocess.PIPE, text=True
    )
    return float(json.loads(run.stdout.splitlines()[-1]))


def alone(options: argparse.Namespace) -> None:
    work = Work(options)
    one = Ours(work) if options.alone == "ours" else Published(work, options.published)
    with torch.no_grad():
        work.module(work.images[:1])
    before = _peak(work.device)
    one.solve(one.calibrate(), (ONE,))  # type: ignore[arg-type]
    print(json.dumps(_peak(work.device) - before))


def _peak(device: torch.device) -> float:
    """MiB that this process, or its GPU, has held at most."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated() / 2**20
    status = Path("/proc/self/status")
    if status.is_file():  # getrusage would count what the parent held when it forked
        line = next(line for line in status.read_text().splitlines() if line.startswith("VmHWM"))
        return int(line.split()[1]) / 2**10
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (2**20 if sys.platform == "darwin" else 2**10)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--published", type=Path, help="a checkout of the published code")
    parser.add_argument("--weights", type=Path, help="a state dict of torchvision's ResNet-50; random ones by default")
    parser.add_argument("--augmentations", type=int, default=64)
    parser.add_argument("--rounds", type=int, default=1, help="measurements of each")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads(), help="threads of PyTorch")
    parser.add_argument("--busy", action="store_true", help="take processor time, with --threads 1")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--alone", choices=("ours", "published"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    options.arguments = sys.argv[1:]
    if options.alone:
        alone(options)
        return
    work = Work(options)
    ones: list[Ours | Published] = [Ours(work)]
    if options.published:
        ones.append(Published(work, options.published))
    best = measure(work, ones, options.rounds)
    print(f"ResNet-50, {len(work.layers)} layers, {len(work.images)} augmentations, {work.device.type},", end=" ")
    print(f"{torch.get_num_threads()} threads, PyTorch {torch.__version__}\n")
    print(f"{'seconds':24}" + "".join(f"{one.name:>12}" for one in ones) + ("       ratio" if len(ones) > 1 else ""))
    for part in best["ours"]:
        row([one[part] for one in best.values() if part in one], part, 2)
    row([memory(options, one.name) for one in ones], "peak memory, MiB", 0)
    rates(work, best)


def row(values: list[float], name: str, digits: int) -> None:
    ratio = f"{values[1] / values[0]:11.1f}×" if len(values) > 1 else ""
    print(f"{name:24}" + "".join(f"{value:12.{digits}f}" for value in values) + ratio, flush=True)


if __name__ == "__main__":
    main()
