"""What maps and curves that ask a network of many images cost in float32 and in bfloat16, and how much they differ.

    python benchmarks/saliency.py photos PHOTOGRAPHS [--samples 6] [--threads 1] [--busy]
    python benchmarks/saliency.py mobilenet_v2 PHOTOGRAPHS --weights FILE

"photos" is the classifier that comes with the package, other names are torchvision's. On each photograph both are made
in turns, in one process. "alike": of maps, the rank correlation of their pixels, the least over the photographs; of
curves, the largest difference of the areas under them. bfloat16 is taken where the processor multiplies it and the
photograph has the same logits; "taken" counts on how many.
"""

from __future__ import annotations

import argparse
import importlib
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch

from spade_widgets.attribution.saliency import saliency
from spade_widgets.classifier import ImageClassifier
from spade_widgets.evidence.curves import deletion, insertion
from spade_widgets.sample import read_samples

MAPS = ("occlusion", "lime", "scorecam")
CURVES: dict[str, Callable[..., Any]] = {"insertion": insertion, "deletion": deletion}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("classifier")
    parser.add_argument("photographs", type=Path)
    parser.add_argument("--weights", help="a state dict, of a classifier of torchvision's")
    parser.add_argument("--samples", type=int, default=6)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads(), help="threads of PyTorch")
    parser.add_argument("--busy", action="store_true", help="take processor time: the machine does other work too")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    clock = time.process_time if options.busy else time.perf_counter
    if options.classifier == "photos":
        classifier: ImageClassifier = importlib.import_module("spade_widgets.demo.photos").classifier()
    else:
        classifier = ImageClassifier.from_torchvision(options.classifier, weights=options.weights)
    samples = read_samples(options.photographs)
    chosen = samples[:: max(1, len(samples) // options.samples)][: options.samples]
    print(f"{classifier.name}, {len(chosen)} photographs, {options.threads} threads\n")
    print(f"{'seconds':12}{'float32':>10}{'bfloat16':>10}{'ratio':>8}{'alike':>10}{'taken':>8}")
    for method in MAPS:
        row(method, [both(partial(saliency, classifier, s, method=method), clock) for s in chosen], correlated)
    for mode, curve in CURVES.items():
        maps = [saliency(classifier, s, method="saliency") for s in chosen]
        made = [both(partial(curve, classifier, s, m), clock) for s, m in zip(chosen, maps, strict=True)]
        row(mode, made, area)


def both(make: Callable[..., Any], clock: Callable[[], float]) -> list[Any]:
    """The seconds and the result in float32, then those as it is by default."""
    found: list[Any] = []
    for half in (False, None):
        began = clock()
        made = make(bfloat16=half)
        found += [clock() - began, made]
    return found


def correlated(exact: Any, other: Any) -> tuple[float, bool]:
    return float(np.corrcoef(ranks(exact), ranks(other))[0, 1]), not np.array_equal(exact, other)


def ranks(values: Any) -> Any:
    """Each value's rank, equal ones' the mean of theirs."""
    _, places, counts = np.unique(values, return_inverse=True, return_counts=True)
    return (counts.cumsum() - (counts - 1) / 2)[places.ravel()]


def area(exact: Any, other: Any) -> tuple[float, bool]:
    return -abs(exact.auc - other.auc), not np.array_equal(exact.probability, other.probability)


def row(name: str, made: list[list[Any]], compare: Callable[[Any, Any], tuple[float, bool]]) -> None:
    exact, half = sum(one[0] for one in made) / len(made), sum(one[2] for one in made) / len(made)
    alike = [compare(one[1], one[3]) for one in made]
    taken = sum(other for _, other in alike)
    worst = min(value for value, _ in alike)
    print(f"{name:12}{exact:10.2f}{half:10.2f}{exact / half:7.2f}×{worst:10.4f}{taken:8}", flush=True)


if __name__ == "__main__":
    main()
