"""How close traces stay to the dense network: block by block or not, by solver; and how sparse a fidelity lets them be.

    python benchmarks/plans.py sequential squeezenet1_1 WEIGHTS PHOTOS [--solvers fast refined] [--layers late all]
    python benchmarks/plans.py fidelity demo [--fidelities 0.8 0.9 0.95]

The model is a torchvision name with its state dict and a folder of pictures, of which some are taken evenly; or `demo`,
the built-in classifier with its own samples. Agreement (same class) and KL(dense ‖ trace) in nats are over fresh
augmentations, on which no trace was calibrated and no plan chosen, and over the samples. Times are the processor's,
beside those of the plain trace with `fast` (for a fidelity: of one at 0.95).
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Sequence
from typing import Any

import torch

import spade_widgets as sw
from spade_widgets.demo import emoji
from spade_widgets.pruning.plans.held_out import HeldOut
from spade_widgets.sample import read_samples

#: Seed of the augmentations that traces are judged on.
FRESH = 12345


def timed(classifier: sw.ImageClassifier, sample: sw.Sample, **how: Any) -> tuple[sw.Trace, float]:
    began = time.process_time()
    made = sw.trace(classifier, sample, **how)
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
                    how = {"plan": plan, "solver": solver, "sequential": blocks, "augmentations": options.augmentations}
                    rows = []
                    for sample in samples:
                        made, seconds = timed(classifier, sample, **how)
                        verdict = HeldOut(classifier, sample, options.fresh, FRESH).judge(made.weights())
                        error = statistics.mean(row.error for row in made.stats())
                        rows.append((verdict.agreement, verdict.kl, error, seconds))
                    same, kl, error, seconds = (statistics.mean(column) for column in zip(*rows, strict=True))
                    plain = plain or seconds
                    print(
                        f"| {preset} | {sparsity} | {solver} | {'block by block' if blocks else ''} "
                        f"| {100 * same:.0f} % | {kl:.3f} | {error:.3f} | {seconds / plain:.1f} |",
                        flush=True,
                    )


def fidelity(classifier: sw.ImageClassifier, samples: list[sw.Sample], options: argparse.Namespace) -> None:
    print("| layers | asked | solver | | reached | fresh | KL | weights kept | time |")
    print("|---|---|---|---|---|---|---|---|---|")
    for preset in options.layers:
        plain = {
            "layers": sw.SparsityPlan.preset(classifier, 0.5, preset).layers,
            "augmentations": options.augmentations,
        }
        seconds = {sample.id: timed(classifier, sample, **plain)[1] for sample in samples}
        for asked in options.fidelities:
            for solver in options.solvers:
                for blocks in (False, True) if options.sequential else (False,):
                    rows = []
                    for sample in samples:
                        how = plain | {"fidelity": asked, "solver": solver, "sequential": blocks}
                        made, longer = timed(classifier, sample, **how)
                        assert made.fidelity is not None
                        verdict = HeldOut(classifier, sample, options.fresh, FRESH).judge(made.weights())
                        share, ratio = made.kept / made.total, longer / seconds[sample.id]
                        rows.append((made.fidelity.reached, verdict.agreement, verdict.kl, share, ratio))
                    reached, same, kl, kept, ratio = (statistics.mean(column) for column in zip(*rows, strict=True))
                    print(
                        f"| {preset} | {asked} | {solver} | {'block by block' if blocks else ''} "
                        f"| {100 * reached:.0f} % | {100 * same:.0f} % | {kl:.3f} | {100 * kept:.1f} % | {ratio:.1f} |",
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
        classifier, samples = emoji.classifier(), list(emoji.samples())
    else:
        classifier = sw.ImageClassifier.from_torchvision(options.model, weights=options.weights)
        samples = list(read_samples(options.photos))
    chosen = evenly(samples, options.samples)
    print(f"{options.model}, {len(chosen)} samples, {options.augmentations} augmentations\n")
    (sequential if options.what == "sequential" else fidelity)(classifier, chosen, options)


if __name__ == "__main__":
    main()
