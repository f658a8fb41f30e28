"""The solvers side by side, as Markdown tables: errors relative to the dense output's energy, and times.

    python benchmarks/solvers.py [--golden FOLDER] [--layers 64x256 256x1024x3 …]
        [--networks built-in mobilenet_v2=FILE …] [--images FOLDER] [--samples 4] [--exact-limit 2e10]

1. Golden cases: every file in FOLDER, a layer with its inputs, as the folder's README describes them.
2. Layers of random weights and of inputs that are rectified and correlated: ROWSxCOLUMNS, or ROWSxCOLUMNSxK for a K×K
   convolution, where `fast` drops by blocks of K².
3. Networks: the built-in classifier on samples of its own; torchvision's by name with a file of weights, on the images
   of a folder. The mean of the layers' errors, the Kullback-Leibler divergence from the dense prediction in nats, how
   often both name the same class.

`fast`, `exact` and `refined` drop single weights but where K² is said, `magnitude` does not update what stays, `refit`
does by least squares. Each time is the least of all rounds, in which the solvers take turns in one process, and is
processor time, as a multiple of `fast` by single weights. The exact solver is left out where rows · columns³ is beyond
the limit.
"""

from __future__ import annotations

import argparse
import json
import math
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import safe_open
from torch import Tensor, nn

import spade_widgets as sw
from spade_widgets.demo import emoji
from spade_widgets.demo.emoji.measure import fresh
from spade_widgets.pruning.calibration.calibration import gram
from spade_widgets.pruning.solvers import relative_error, solver

SPARSITIES = (0.5, 0.8, 0.9, 0.95)
NETWORK_SPARSITIES = (0.8, 0.9, 0.95)
METHODS: dict[str, tuple[str, dict[str, Any]]] = {
    "magnitude": ("magnitude", {}),
    "refit": ("magnitude", {"refit": True}),
    "fast": ("fast", {}),
    "fast K²": ("fast", {}),  # with a block size, where there are blocks
    "exact": ("exact", {}),
    "refined": ("refined", {}),
}


def table(head: Iterable[str]) -> None:
    cells = list(head)
    print("\n| " + " | ".join(cells) + " |\n|" + "---|" * len(cells))


def row(cells: Iterable[Any]) -> None:
    print("| " + " | ".join(map(str, cells)) + " |", flush=True)


def least_time(work: Callable[[], Tensor]) -> tuple[float, Tensor]:
    start = time.process_time()
    made = work()
    return time.process_time() - start, made


def compare(
    title: str, W: Tensor, H: Tensor, block: int, options: argparse.Namespace, published: dict[float, Tensor]
) -> None:
    """A row a sparsity. published: sparsity → what the authors' code makes of the layer."""
    methods = dict(METHODS)
    methods["fast K²"] = ("fast", {"block_size": block})
    if block == 1:
        del methods["fast K²"]
    if W.shape[0] * W.shape[1] ** 3 > options.exact_limit:
        del methods["exact"]
    for sparsity in published or SPARSITIES:
        best = dict.fromkeys(methods, math.inf)
        errors: dict[str, float] = {}
        for _ in range(options.rounds):
            for name, (method, given) in methods.items():

                def work(method: str = method, given: dict[str, Any] = given) -> Tensor:
                    return solver(method, **given).prepare(H).solve(W, sparsity)  # noqa: B023

                seconds, pruned = least_time(work)
                best[name] = min(best[name], seconds)
                errors[name] = relative_error(W.double(), pruned.double(), H.double())
        theirs = published.get(sparsity)
        shown = "" if theirs is None else f"{relative_error(W.double(), theirs.double(), H.double()):.5f}"
        cells = [f"{errors[n]:.5f}" if n in errors else "" for n in METHODS]
        times = [f"{best[n] / best['fast']:.2f}" if n in best else "" for n in ("fast K²", "exact", "refined")]
        row([title, "×".join(map(str, W.shape)), f"{sparsity:.3g}", *cells, shown, f"{1e3 * best['fast']:.0f}", *times])


def layers_head(first: str) -> None:
    times = ("fast, ms", "fast K² / fast", "exact / fast", "refined / fast")
    table((first, "rows × columns", "sparsity", *METHODS, "published", *times))


def golden(folder: Path, options: argparse.Namespace) -> None:
    print("\n## Golden cases")
    layers_head("case")
    for path in sorted(folder.glob("*.safetensors")):
        with safe_open(path, framework="pt") as file:
            meta = {key: json.loads(value) for key, value in file.metadata().items()}
            tensors = {key: file.get_tensor(key).float() for key in file.keys()}  # noqa: SIM118
        weight = tensors["weight"]
        geometry = {key: meta[key] for key in ("kernel_size", "stride", "padding", "dilation", "groups")}
        layer = nn.Conv2d(weight.shape[1] * meta["groups"], weight.shape[0], **geometry, bias=False)
        published = {}
        if meta["algorithm"] == "obc":
            made = [tensors[f"pruned.{i}"].flatten(1) for i in range(len(meta["sparsity"]))]
            published = {float((p == 0).sum()) / p.numel(): p for p in made}
        block = math.prod(meta["kernel_size"])
        compare(path.stem, weight.flatten(1), gram(layer, tensors["inputs.0"]), block, options, published)


def made(specs: Iterable[str], options: argparse.Namespace) -> None:
    print("\n## Layers of random weights, with rectified and correlated inputs")
    layers_head("layer")
    for spec in specs:
        rows, columns, side = [*map(int, spec.split("x")), 1][:3]
        generator = torch.Generator().manual_seed(0)
        seen, factors = 3 * columns, max(2, columns // 8)
        X = torch.randn(columns, factors, generator=generator) @ torch.randn(factors, seen, generator=generator)
        X = (X / factors**0.5 + 0.5 * torch.randn(columns, seen, generator=generator)).relu_()
        compare(spec, torch.randn(rows, columns, generator=generator), 2 / seen * X @ X.T, side**2, options, {})


def network(spec: str, options: argparse.Namespace) -> None:
    name, _, weights = spec.partition("=")
    if name == "built-in":
        classifier = emoji.classifier()
        rng = np.random.default_rng(options.seed)
        samples = [fresh(rng) for _ in range(options.samples)]
    else:
        classifier = sw.ImageClassifier.from_torchvision(name, weights=weights or "DEFAULT")
        if options.images is None:
            raise SystemExit(f"The network {name} needs images: --images FOLDER.")
        paths = sorted(p for p in options.images.iterdir() if p.suffix.lower() in (".jpg", ".jpeg", ".png"))
        samples = [sw.Sample.read(p) for p in paths[:: max(1, len(paths) // options.samples)][: options.samples]]
    plan = sw.SparsityPlan.uniform(classifier, 0.5, options.pattern)
    widest = max(_work(classifier.module().get_submodule(n)) for n in plan.layers)
    for method in options.solvers:
        if method == "exact" and widest > options.exact_limit:
            row([name, "", "exact", "left out: a layer is beyond the limit", "", "", ""])
            continue
        rows: dict[float, list[tuple[float, float, float]]] = {s: [] for s in NETWORK_SPARSITIES}
        start = time.process_time()
        for sample in samples:
            traces = sw.sweep(
                classifier, sample, NETWORK_SPARSITIES, layers=options.pattern, solver=method,
                augmentations=options.augmentations,
            )  # fmt: skip
            for s, trace in zip(NETWORK_SPARSITIES, traces, strict=True):
                error = float(np.mean([layer.error for layer in trace.stats()]))
                rows[s].append((error, trace.agreement.kl, float(trace.agreement.agrees)))
        seconds = (time.process_time() - start) / len(samples)
        for s, found in rows.items():
            error, kl, agrees = np.mean(found, axis=0)
            row([name, s, method, f"{error:.4f}", f"{kl:.3f}", f"{agrees:.0%}", f"{seconds:.1f}"])


def _work(layer: nn.Module) -> float:
    weight = layer.weight
    assert isinstance(weight, Tensor)
    return float(weight.shape[0]) * float(weight[0].numel()) ** 3


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--golden", type=Path, help="folder of golden cases")
    parser.add_argument("--layers", nargs="*", default=[], help="ROWSxCOLUMNS or ROWSxCOLUMNSxK")
    parser.add_argument("--networks", nargs="*", default=[], help="built-in, or NAME=FILE of torchvision")
    parser.add_argument("--images", type=Path, help="folder of images for the networks")
    parser.add_argument("--samples", type=int, default=4, help="a network")
    parser.add_argument("--augmentations", type=int, default=64, help="a sample")
    parser.add_argument(
        "--pattern", help="layers of the networks that are pruned; default: the last block and the head"
    )
    parser.add_argument("--solvers", nargs="+", default=["magnitude", "fast", "exact", "refined"], help="for networks")
    parser.add_argument("--exact-limit", type=float, default=2e10, help="rows · columns³ of the largest layer")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--seed", type=int, default=77)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    if options.golden:
        golden(options.golden, options)
    if options.layers:
        made(options.layers, options)
    if options.networks:
        print("\n## Networks")
        table(("network", "sparsity", "solver", "mean error", "KL", "same class", "s a sample, three sparsities"))
        for spec in options.networks:
            network(spec, options)


if __name__ == "__main__":
    main()
