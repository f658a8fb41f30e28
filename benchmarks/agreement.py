"""How often a trace still says what the dense network says of its own sample, by sparsity.

    python benchmarks/agreement.py squeezenet1_1 WEIGHTS PHOTOS [--augmentations 64] [--layers …]

One sweep a photograph: the share of photographs whose trace has the dense network's most probable class, the median
KL(dense ‖ trace) of the class probabilities in nats, and the median over photographs of the mean error of the layers.
"""

from __future__ import annotations

import argparse
import statistics

import spade_widgets as sw
from spade_widgets.sample import read_samples

SPARSITIES = (0.5, 0.8, 0.9, 0.95, 0.99)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", help="a torchvision name")
    parser.add_argument("weights", help="its state dict")
    parser.add_argument("photos", help="a folder of pictures")
    parser.add_argument("--augmentations", type=int, default=64)
    parser.add_argument("--layers", help="patterns; default: the last block and the head")
    options = parser.parse_args()
    classifier = sw.ImageClassifier.from_torchvision(options.model, weights=options.weights)
    sweeps = [
        sw.sweep(classifier, sample, SPARSITIES, layers=options.layers, augmentations=options.augmentations)
        for sample in read_samples(options.photos)
    ]
    print(f"{options.model}, {len(sweeps)} photographs, {options.augmentations} augmentations\n")
    print("| sparsity | same class | median KL | median error |\n|---|---|---|---|")
    for sparsity, traces in zip(SPARSITIES, zip(*sweeps, strict=True), strict=True):
        same = statistics.mean(trace.agreement.agrees for trace in traces)
        kl = statistics.median(trace.agreement.kl for trace in traces)
        error = statistics.median(statistics.mean(row.error for row in trace.stats()) for trace in traces)
        print(f"| {sparsity} | {100 * same:.0f} % | {kl:.2f} | {error:.3f} |")


if __name__ == "__main__":
    main()
