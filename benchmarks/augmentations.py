"""How many augmentations a calibration needs: what traces of more of them are worth on augmentations of no calibration.

    python benchmarks/augmentations.py photos PHOTOS [--samples 6] [--solver refined]
    python benchmarks/augmentations.py emoji

Of the built-in photograph classifier, on some pictures of a folder that are taken evenly, or of the emoji classifier,
on its own samples. Error: the mean over layers of ‖WX − W'X‖² / ‖WX‖² on the X of held-out augmentations, the median
over samples and in brackets the worst; same class: the share of other held-out augmentations of which trace and dense
network name one class.
"""

from __future__ import annotations

import argparse
import statistics
from collections import defaultdict

import torch
from plans import FRESH, evenly

import spade_widgets as sw
from spade_widgets.demo import emoji, photos
from spade_widgets.network.weights import weight
from spade_widgets.pruning.calibration.calibration import Calibration, calibrate, stages
from spade_widgets.pruning.plans.held_out import HeldOut
from spade_widgets.pruning.progress import finish
from spade_widgets.pruning.pruner import Pruner
from spade_widgets.pruning.traces.statistics import layer_energies
from spade_widgets.sample import read_samples

COUNTS = (16, 32, 64, 128, 256)
SPARSITIES = (0.8, 0.9, 0.95)


def error(trace: sw.Trace, held_out: Calibration) -> float:
    """The mean over layers of the relative error on held-out inputs."""
    module = trace.dense.module()
    shares = []
    for name, pruned in trace.weights().items():
        W = weight(module, name).flatten(1)
        missed, whole = (float(layer_energies(held_out, name, V).sum()) for V in (W - pruned.flatten(1), W))
        shares.append(missed / whole if whole else 0.0)
    return statistics.mean(shares)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("classifier", choices=("photos", "emoji"))
    parser.add_argument("pictures", nargs="?", help="a folder of photographs")
    parser.add_argument("--samples", type=int, default=6)
    parser.add_argument("--solver", default="refined")
    parser.add_argument("--preset", default="third")
    parser.add_argument("--held-out", type=int, default=256, help="augmentations of which the error is")
    parser.add_argument("--fresh", type=int, default=64, help="augmentations on which classes are compared")
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    if options.classifier == "photos":
        classifier = photos.planted().classifier
        samples = list(read_samples(options.pictures)) if options.pictures else list(photos.samples())
    else:
        classifier, samples = emoji.classifier(), list(emoji.samples())
    chosen = evenly(samples, options.samples)
    plans = [sw.SparsityPlan.preset(classifier, sparsity, options.preset) for sparsity in SPARSITIES]
    found: dict[tuple[float, int], list[tuple[float, float]]] = defaultdict(list)
    for sample in chosen:
        others = calibrate(classifier, sample, plans[0].layers, augmentations=options.held_out, seed=FRESH)
        held_out, judge = finish(others), HeldOut(classifier, sample, options.fresh, FRESH)
        pruner = Pruner(classifier, sample, options.solver)
        for steps in stages(classifier, sample, plans[0].layers, counts=COUNTS):
            calibration = finish(steps)
            for sparsity, trace in zip(SPARSITIES, finish(pruner.prune(calibration, plans)), strict=True):
                same = judge.judge(trace.weights()).agreement
                found[sparsity, calibration.augmentations].append((error(trace, held_out), same))
    print(
        f"{options.classifier}, {len(chosen)} samples, {options.preset}, {options.solver}; error (worst), same class\n"
    )
    print("| sparsity | " + " | ".join(map(str, COUNTS)) + " |\n|---|" + "---|" * len(COUNTS))
    for sparsity in SPARSITIES:
        print(f"| {sparsity} | " + " | ".join(cell(found[sparsity, count]) for count in COUNTS) + " |")


def cell(judged: list[tuple[float, float]]) -> str:
    """Median and worst error, and the mean share of the same class, over samples."""
    errors, same = zip(*judged, strict=True)
    return f"{statistics.median(errors):.4f} ({max(errors):.3g}), {100 * statistics.mean(same):.1f} %"


if __name__ == "__main__":
    main()
