"""How close traces stay to the dense network: block by block or not, by solver; and how sparse a fidelity lets them be.

    python benchmarks/plans.py sequential squeezenet1_1 WEIGHTS PHOTOS [--solvers fast refined] [--layers late all]
    python benchmarks/plans.py fidelity demo [--fidelities 0.8 0.9 0.95]

The model is a torchvision name with its state dict and a folder of pictures, of which some are taken evenly; or `demo`,
the built-in classifier with its own samples. Agreement (same class) and KL(dense ‖ trace) in nats are over augmentations
that no trace was calibrated on and no plan chosen on, and over the samples; times are of the processor, beside those of
the plain trace with `fast`.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable, Sequence

import torch

import spade_widgets as sw
from spade_widgets import demo
from spade_widgets.pruning.held_out import HeldOut
from spade_widgets.pruning.spade import trace
from spade_widgets.sample import read_samples

#: Seed of the augmentations that traces are judged on.
FRESH = 12345


def timed(make: Callable[[], sw.Trace]) -> tuple[sw.Trace, float]:
    began = time.process_time()
    made = make()
    return made, time.process_time() - began


def evenly(samples: Sequence[sw.Sample], count: int) -> list[sw.Sample]:
    return [samples[i * len(samples) // count] for i in range(min(count, len(samples)))]


def sequential(classifier: sw.ImageClassifier, samples: list[sw.Sample], options: argparse.Namespace) -> None:
    print("| layers | sparsity | solver | | same class | KL | error | time |\n|---|---|---|---|---|---|---|---|")
    for preset in options.layers:
        for sparsity in options.sparsities:
            plan = sw.SparsityPlan.preset(classifier, sparsity, preset)
            plain = 0.0
            for solver in options.solvers:
                for blocks in (False, True):
                    rows = []
                    for sample in samples:
                        made, seconds = timed(
                            lambda sample=sample, solver=solver, blocks=blocks: trace(
                                classifier,
                                sample,
                                plan=plan,
                                solver=solver,
                                sequential=blocks,
                                augmentations=options.augmentations,
                            )  # fmt: skip
                        )
                        verdict = HeldOut(classifier, sample, options.fresh, FRESH).judge(made.weights())
                        error = statistics.mean(row.error for row in made.stats())
                        rows.append((verdict.agreement, verdict.kl, error, seconds))
                    same, kl, error, seconds = (statistics.mean(column) for column in zip(*rows, strict=True))
                    plain = plain or seconds
                    how = "block by block" if blocks else ""
                    print(
                        f"| {preset} | {sparsity} | {solver} | {how} | {100 * same:.0f} % | {kl:.3f} | {error:.3f} "
                        f"| {seconds / plain:.1f} |",
                        flush=True,
                    )


def fidelity(classifier: sw.ImageClassifier, samples: list[sw.Sample], options: argparse.Namespace) -> None:
    print("| layers | asked | solver | | reached | fresh | KL | weights kept | time |")
    print("|---|---|---|---|---|---|---|---|---|")
    for preset in options.layers:
        layers = sw.SparsityPlan.preset(classifier, 0.5, preset).layers
        for asked in options.fidelities:
            for solver in options.solvers:
                for blocks in (False, True) if options.sequential else (False,):
                    rows = []
                    for sample in samples:
                        _, plain = timed(
                            lambda sample=sample, layers=layers: trace(
                                classifier, sample, layers=layers, augmentations=options.augmentations
                            )
                        )
                        made, seconds = timed(
                            lambda sample=sample, solver=solver, blocks=blocks, asked=asked, layers=layers: trace(
                                classifier,
                                sample,
                                fidelity=asked,
                                layers=layers,
                                solver=solver,
                                sequential=blocks,
                                augmentations=options.augmentations,
                            )  # fmt: skip
                        )
                        verdict = HeldOut(classifier, sample, options.fresh, FRESH).judge(made.weights())
                        assert made.fidelity is not None
                        rows.append(
                            (
                                made.fidelity.reached,
                                verdict.agreement,
                                verdict.kl,
                                made.kept / made.total,
                                seconds / plain,
                            )  # fmt: skip
                        )
                    reached, same, kl, kept, ratio = (statistics.mean(column) for column in zip(*rows, strict=True))
                    how = "block by block" if blocks else ""
                    print(
                        f"| {preset} | {asked} | {solver} | {how} | {100 * reached:.0f} % | {100 * same:.0f} % "
                        f"| {kl:.3f} | {100 * kept:.1f} % | {ratio:.1f} |",
                        flush=True,
                    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("sequential", "fidelity"))
    parser.add_argument("model", help="a torchvision name, or demo")
    parser.add_argument("weights", nargs="?", help="its state dict")
    parser.add_argument("photos", nargs="?", help="a folder of pictures")
    parser.add_argument("--samples", type=int, default=6)
    parser.add_argument("--augmentations", type=int, default=64)
    parser.add_argument("--fresh", type=int, default=128, help="augmentations that traces are judged on")
    parser.add_argument("--solvers", nargs="+", default=["fast"])
    parser.add_argument("--layers", nargs="+", default=["late", "all"], help="presets")
    parser.add_argument("--sparsities", nargs="+", type=float, default=[0.8, 0.95])
    parser.add_argument("--fidelities", nargs="+", type=float, default=[0.9])
    parser.add_argument("--sequential", action="store_true", help="fidelity: also block by block")
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    if options.model == "demo":
        classifier, samples = demo.classifier(), list(demo.samples())
    else:
        classifier = sw.ImageClassifier.from_torchvision(options.model, weights=options.weights)
        samples = list(read_samples(options.photos))
    chosen = evenly(samples, options.samples)
    print(f"{options.model}, {len(chosen)} samples, {options.augmentations} augmentations\n")
    (sequential if options.what == "sequential" else fidelity)(classifier, chosen, options)


if __name__ == "__main__":
    main()
