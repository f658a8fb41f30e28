"""Pictures that begin at a sample: what they excite, how near they stay, and what a step costs.

    python benchmarks/accentuation.py [--classifier photos] [--samples 4] [--steps 128] [--threads 1] [--sheet FILE]

For each of a built-in classifier's first clean samples: the logit of the class that it is taken for, and the channel of
the last block that it excites most, under the dense network and under a trace, for three values of `near`. Activations
are those of the picture as it is, without transforms, as a multiple of the sample's own under the same network; how far
it is, is the early layer's distance in the dense network, relative to the sample's activations. How far dense and trace
part is the mean difference of their pixels, of 255.

What a step costs is taken in turns in one process: of the image "sample" at `near` 0.5 and at 0, where nothing holds
it, as a multiple of a step of "fourier", medians. `--sheet` writes the pictures side by side: sample; dense and trace
for each `near`.
"""

from __future__ import annotations

import argparse
import importlib
import statistics
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

import spade_widgets as sw
from spade_widgets.classifier import ImageClassifier
from spade_widgets.inspection import strongest
from spade_widgets.prediction import Network
from spade_widgets.sample import Sample
from spade_widgets.visualization import Renderer
from spade_widgets.visualization.accentuation import allowed, early_layer
from spade_widgets.visualization.objective import target_of

NEARNESS = (0.25, 0.5, 0.75)
#: Of each built-in classifier: sparsity of a trace, side of a picture, the layer whose channels are asked.
SETTINGS: dict[str, tuple[float, int, str]] = {"photos": (0.95, 192, "features.12"), "emoji": (0.9, 96, "layer4")}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--classifier", choices=tuple(SETTINGS), default="photos")
    parser.add_argument("--samples", type=int, default=4)
    parser.add_argument("--steps", type=int, default=128)
    parser.add_argument("--augmentations", type=int, default=64, help="of a trace")
    parser.add_argument("--threads", type=int, default=1, help="threads of PyTorch")
    parser.add_argument("--sheet", type=Path, help="where the pictures go")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)

    demo: Any = importlib.import_module(f"spade_widgets.demo.{options.classifier}")
    classifier: ImageClassifier = demo.classifier()
    sparsity, size, layer = SETTINGS[options.classifier]
    samples = [s for s in demo.samples() if s.mask is None][: options.samples]
    print(f"{classifier.name}, {size} px; nearness measured in {early_layer(classifier).name}")

    found: dict[tuple[str, float], list[tuple[float, float]]] = {}
    parted: dict[float, list[float]] = {near: [] for near in NEARNESS}
    rows = []
    for sample in samples:
        trace = sw.trace(classifier, sample, sparsity=sparsity, augmentations=options.augmentations)
        best, _ = strongest(classifier, sample, layer)[0]
        for neuron in (f"logit:{sw.predict(classifier, sample, 1)[0].index}", f"{layer}:{best}"):
            row = [_small(classifier.view(sample), size)]
            for near in NEARNESS:
                pair = []
                for which, network in (("dense", classifier), ("trace", trace)):
                    renderer, gained = accentuate(network, neuron, sample, near, size, options.steps)
                    found.setdefault((which, near), []).append((gained, renderer.distance()))
                    pair.append(renderer.image())
                    row.append(renderer.picture())
                parted[near].append(255 * float((pair[0] - pair[1]).abs().mean()))
            rows.append(row)
            print(f"  {sample.title}, {neuron}", flush=True)

    print(
        f"\n{'near':>6}{'allowed':>9}{'':3}{'network':9}{'activation, × the sample':>32}{'distance':>26}{'parted':>10}"
    )
    for (which, near), values in sorted(found.items(), key=lambda item: (item[0][1], item[0][0])):
        gains, distances = zip(*values, strict=True)
        apart = f"{statistics.median(parted[near]):10.1f}" if which == "trace" else ""
        print(f"{near:6}{allowed(near):9.2f}   {which:9}{_spread(gains):>32}{_spread(distances):>26}{apart}")
    fourier, held, free = step_costs(classifier, f"{layer}:1", samples[0], size)
    print(f"\na step: {held / fourier:.2f} × Fourier's ({1e3 * fourier:.1f} ms); free (near=0) {free / fourier:.2f} ×")
    if options.sheet is not None:
        _sheet(rows, size).save(options.sheet)


def accentuate(
    network: Network, neuron: str, sample: Sample, near: float, size: int, steps: int
) -> tuple[Renderer, float]:
    """The picture after all steps, and its activation as a multiple of the sample's own."""
    renderer = Renderer(network, neuron, image="sample", sample=sample, near=near, size=size)
    before = _activation(network, neuron, renderer)
    for _ in range(steps):
        renderer.step()
    return renderer, _activation(network, neuron, renderer) / before


def _activation(network: Network, neuron: str, renderer: Renderer) -> float:
    image = renderer.images()
    with torch.no_grad():
        loss, _ = target_of(network.dense, network.module(), neuron).losses(network.dense.normalize(image), image)
    return -float(loss)


def step_costs(classifier: ImageClassifier, neuron: str, sample: Sample, size: int, rounds: int = 30) -> list[float]:
    """Seconds of a step of "fourier", of "sample" and of one that nothing holds: medians, in turns."""
    renderers = [
        Renderer(classifier, neuron, size=size),
        *(Renderer(classifier, neuron, image="sample", sample=sample, near=near, size=size) for near in (0.5, 0.0)),
    ]
    laps: list[list[float]] = [[] for _ in renderers]
    for _ in range(rounds):
        for renderer, taken in zip(renderers, laps, strict=True):
            began = time.perf_counter()
            renderer.step()
            taken.append(time.perf_counter() - began)
    return [statistics.median(taken[2:]) for taken in laps]


def _spread(values: Sequence[float]) -> str:
    return f"{statistics.median(values):.2f} ({min(values):.2f} to {max(values):.2f})"


def _small(view: torch.Tensor, size: int) -> Image.Image:
    return Image.fromarray((view.permute(1, 2, 0).numpy() * 255).round().astype(np.uint8)).resize((size, size))


def _sheet(rows: Sequence[Sequence[Image.Image]], size: int, gap: int = 4) -> Image.Image:
    sheet = Image.new("RGB", (len(rows[0]) * (size + gap) - gap, len(rows) * (size + gap) - gap), "white")
    for i, row in enumerate(rows):
        for j, picture in enumerate(row):
            sheet.paste(picture, (j * (size + gap), i * (size + gap)))
    return sheet


if __name__ == "__main__":
    main()
