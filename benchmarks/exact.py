"""The exact solver beside the authors' published one (IST-DASLab/SPADE, src/trueobs.py): time, peak memory, error.

    python benchmarks/exact.py [CHECKOUT] [--layers 64x64 64x576x3 …] [--threads 1] [--repeats 3]

A layer is ROWSxCOLUMNS, solved weight by weight, or ROWSxCOLUMNSxK, a K×K convolution solved in blocks of K² weights.
Its inputs are random, rectified and correlated; both get the same H and make the same sweep of sparsities. Both run in
turns in one process, the least time of each counts. Peak memory is that of a process of its own, beyond what it had
before. Without a checkout only ours is run.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib.util
import io
import math
import multiprocessing
import os
import resource
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import torch
from torch import Tensor, nn

from spade_widgets.pruning.solvers import relative_error, solver

SPARSITIES = (0.5, 0.8, 0.9, 0.95, 0.99)
LAYERS = ("64x64", "64x256", "32x1024", "64x576x3")


def layer(spec: str) -> tuple[Tensor, Tensor, int]:
    """W (rows, c), H (c, c) and the kernel's side."""
    rows, columns, side = [*map(int, spec.split("x")), 1][:3]
    generator = torch.Generator().manual_seed(0)
    seen = 3 * columns
    X = torch.randn(columns, seen, generator=generator)
    X += 2 * torch.randn(columns, 16, generator=generator) / 4 @ torch.randn(16, seen, generator=generator)
    X = X.relu_()
    return torch.randn(rows, columns, generator=generator), 2 / seen * X @ X.T, side


def counts(W: Tensor, side: int) -> list[float]:
    """The sparsities at which both drop equally many weights: the published code rounds up to whole blocks."""
    blocks = W.numel() // side**2
    return [min(math.ceil(blocks * s), blocks - 1) / blocks for s in SPARSITIES]


def ours(W: Tensor, H: Tensor, side: int) -> list[Tensor]:
    return solver("exact", block_size=side**2, kernel_size=side**2).prepare(H).sweep(W, counts(W, side))


def published(checkout: Path) -> Callable[[Tensor, Tensor, int], list[Tensor]]:
    """The published code. Weight by weight it is faster than in blocks of one, so that is what is run there."""
    spec = importlib.util.spec_from_file_location("trueobs", checkout / "src" / "trueobs.py")
    if spec is None or spec.loader is None:
        raise SystemExit(f"{checkout} is no checkout of the published code: it has no src/trueobs.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    if not torch.cuda.is_available():
        torch.cuda.synchronize = lambda *_: None  # it is called whatever the device

    def run(W: Tensor, H: Tensor, side: int) -> list[Tensor]:
        rows, columns = W.shape
        convolution = nn.Conv2d(columns // side**2, rows, side, bias=False)
        convolution.weight.data.copy_(W.view_as(convolution.weight))
        with tempfile.NamedTemporaryFile() as log, contextlib.redirect_stdout(io.StringIO()):
            method = module.TrueOBS(convolution, log.name)
            method.H = H.double()
            if side == 1:
                method.prepare_unstr()
            else:
                method.prepare_blocked(size=side**2)
            pruned: list[Tensor] = method.prune_blocked(list(SPARSITIES))
        return pruned

    return run


def runners(checkout: Path | None) -> dict[str, Callable[[Tensor, Tensor, int], list[Tensor]]]:
    return {"ours": ours} | ({"published": published(checkout)} if checkout else {})


def _peak(name: str, checkout: Path | None, spec: str, threads: int) -> int:
    torch.set_num_threads(threads)
    run, problem = runners(checkout)[name], layer(spec)
    run(*layer("8x36x3" if problem[2] > 1 else "8x8"))  # libraries load
    before = int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    run(*problem)
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 - before


def peak(name: str, checkout: Path | None, spec: str, threads: int) -> float:
    """MiB, in a process of its own."""
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
        return pool.submit(_peak, name, checkout, spec, threads).result() / 2**20


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("checkout", type=Path, nargs="?")
    parser.add_argument("--layers", nargs="+", default=LAYERS)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--repeats", type=int, default=3)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    methods = runners(options.checkout)
    print(f"{len(SPARSITIES)} sparsities at once, {options.threads} threads\n")
    print("| layer | solver | s | MiB | error at " + " | ".join(map(str, SPARSITIES)) + " |")
    print("|" + "---|" * (4 + len(SPARSITIES)))
    for spec in options.layers:
        W, H, side = layer(spec)
        best = dict.fromkeys(methods, math.inf)
        solved: dict[str, list[Tensor]] = {}
        for _ in range(options.repeats):
            for name, run in methods.items():
                start = time.perf_counter()
                solved[name] = run(W, H, side)
                best[name] = min(best[name], time.perf_counter() - start)
        memory = {name: peak(name, options.checkout, spec, options.threads) for name in methods}
        for name in methods:
            errors = " | ".join(f"{relative_error(W, pruned, H):.4f}" for pruned in solved[name])
            print(f"| {spec} | {name} | {best[name]:.3f} | {memory[name]:.0f} | {errors} |")
        if options.checkout:
            time_ratio, memory_ratio = (values["published"] / values["ours"] for values in (best, memory))
            print(
                f"| {spec} | **ratio** | {time_ratio:.1f} | {memory_ratio:.1f} |" + " |" * len(SPARSITIES), flush=True
            )


if __name__ == "__main__":
    main()
