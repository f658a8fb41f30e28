"""Measures SPADE's two claims on the emoji classifier, on fresh images that nothing was tuned on.

`python -m spade_widgets.demo.emoji.measure` prints a Markdown table.

1. Facet score: the class logit is visualized under the traces of samples of either facet; a reader (another network,
   with another seed, trained here on single facets, and not shipped) says which of the class's two facets the picture
   shows. The dense visualization is the same for both, so it can be right for one of them only: 50 % by construction.
2. Trojan AUC: how well |∂ logit / ∂ pixel|, summed over the channels, of the predicted class finds the patch.
"""

from __future__ import annotations

import argparse
import functools
import itertools
import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor, nn

import spade_widgets as sw
from spade_widgets.demo import emoji
from spade_widgets.demo.emoji.generate import CLASS_OF, CLASSES, FACETS, TROJANS, compose
from spade_widgets.demo.emoji.train import images_of, perturbed

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Figure:
    """A mean over samples with its 95 % bootstrap interval."""

    mean: float
    low: float
    high: float
    count: int

    @staticmethod
    def of(values: Sequence[float], seed: int = 0, draws: int = 10_000) -> Figure:
        """The mean of the values, drawn again `draws` times with replacement."""
        data = np.asarray(values, dtype=float)
        chosen = np.random.default_rng(seed).integers(len(data), size=(draws, len(data)))
        low, high = np.quantile(data[chosen].mean(axis=1), [0.025, 0.975])
        return Figure(float(data.mean()), float(low), float(high), len(data))

    def __str__(self) -> str:
        return f"{100 * self.mean:.1f} % ({100 * self.low:.1f} to {100 * self.high:.1f}, n = {self.count})"


def reader_network() -> nn.Sequential:
    """The reader: five plain convolutions, without shortcuts, of other widths than the classifier's."""
    widths = (3, 24, 48, 96, 128)
    layers: list[nn.Module] = []
    for index, (inputs, outputs) in enumerate(itertools.pairwise(widths)):
        size = 5 if index == 0 else 3
        layers += [nn.Conv2d(inputs, outputs, size, 2, size // 2, bias=False), nn.BatchNorm2d(outputs), nn.ReLU()]
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(widths[-1], len(FACETS)))


def train_reader(seed: int, *, images: int, steps: int, epsilon: float = 1.5, batch: int = 32) -> nn.Sequential:
    """A network that names the facet, (n, 3, h, w) in [0, 1] → (n, facets); robust, to read what no camera took."""
    torch.manual_seed(seed)
    rng = torch.Generator().manual_seed(seed)
    pixels, facts = images_of(seed, images, 0.0, 1)
    network = reader_network()
    optimizer = torch.optim.AdamW(network.parameters(), 3e-3)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 3e-3, total_steps=steps)

    def loss_of(facets: Tensor, shown: Tensor) -> Tensor:
        with torch.autocast("cpu", torch.bfloat16):
            guesses = network(shown - 0.5)
        return F.cross_entropy(guesses.float(), facets)

    for step in range(steps):
        chosen = torch.randint(len(pixels), (batch,), generator=rng)
        shown, facets = pixels[chosen].float() / 255, facts[chosen, 1]
        radii = torch.full((batch,), epsilon * min(1.0, 2 * step / steps))
        shown = perturbed(network, functools.partial(loss_of, facets), shown, radii, 1, rng)
        optimizer.zero_grad(set_to_none=True)
        torch.autograd.backward(loss_of(facets, shown))
        optimizer.step()
        schedule.step()
    return network.eval()


def read_facet(reader: nn.Module, picture: Image.Image, label: str) -> str:
    """Which of the class's two facets the picture shows, to the reader."""
    pixels = torch.from_numpy(np.array(picture.convert("RGB"))).permute(2, 0, 1)[None].float() / 255
    with torch.no_grad():
        scores = reader(pixels - 0.5)[0]
    return max(CLASSES[label], key=lambda facet: float(scores[FACETS.index(facet)]))


def fresh(rng: np.random.Generator, facet: str | None = None, trojan: str | None = None) -> sw.Sample:
    """A fresh sample of the generator, with its mask."""
    made = compose(rng, facet=facet, trojan=trojan)
    return sw.Sample(Image.fromarray(made.pixels), made.facet, CLASS_OF[made.facet], made.mask)


def facet_score(
    reader: nn.Module, plan: Mapping[str, float], *, seed: int, each: int, steps: int, solver: str = "fast"
) -> tuple[list[float], list[float]]:
    """Per sample, 1 where the visualization shows its facet and 0 where the other one: under its trace, and dense."""
    classifier = emoji.classifier()
    rng = np.random.default_rng(seed)
    sparse: list[float] = []
    dense: list[float] = []
    for repeat in range(each):
        for label, facets in CLASSES.items():
            neuron = f"logit:{label}"
            shown = read_facet(reader, sw.visualize(classifier, neuron, steps=steps, seed=repeat), label)
            for facet in facets:
                trace = sw.trace(classifier, fresh(rng, facet), plan=dict(plan), solver=solver, seed=repeat)
                picture = sw.visualize(trace, neuron, steps=steps, seed=repeat)
                sparse.append(float(read_facet(reader, picture, label) == facet))
                dense.append(float(shown == facet))
    return sparse, dense


def gradient_map(network: nn.Module, inputs: Tensor, target: int) -> Floats:
    """|∂ logit / ∂ input| of a (1, 3, h, w) input, summed over the channels: (h, w)."""
    asked = inputs.detach().clone().requires_grad_()
    (gradient,) = torch.autograd.grad(network(asked)[0, target], asked)
    return gradient[0].abs().sum(0).double().numpy()


def auc(scores: Floats, mask: npt.NDArray[np.bool_]) -> float:
    """Area under the ROC curve: how often a pixel of the mask scores above one outside of it; ties count half."""
    inside, outside = scores[mask], np.sort(scores[~mask])
    below = np.searchsorted(outside, inside, "left") + np.searchsorted(outside, inside, "right")
    return float(below.mean() / (2 * len(outside)))


def trojan_auc(
    plan: Mapping[str, float], *, seed: int, count: int, solver: str = "fast"
) -> tuple[list[float], list[float]]:
    """Per Trojan sample the AUC of the gradient map against the patch's mask: under its trace, and dense."""
    classifier = emoji.classifier()
    network = classifier.module()
    rng = np.random.default_rng(seed)
    sparse: list[float] = []
    dense: list[float] = []
    while len(sparse) < count:
        trojan = tuple(TROJANS)[len(sparse) % len(TROJANS)]
        facet = str(rng.choice([f for f in FACETS if CLASS_OF[f] != TROJANS[trojan]]))
        sample = fresh(rng, facet, trojan)
        inputs = classifier.prepare(sample)
        with torch.no_grad():
            predicted = int(network(inputs).argmax())
        assert sample.mask is not None
        trace = sw.trace(classifier, sample, plan=dict(plan), solver=solver)
        sparse.append(auc(gradient_map(trace.module(), inputs, predicted), sample.mask))
        dense.append(auc(gradient_map(network, inputs, predicted), sample.mask))
    return sparse, dense


def main(arguments: list[str] | None = None) -> None:
    """Measure both claims and print a Markdown table."""
    parser = argparse.ArgumentParser(prog="python -m spade_widgets.demo.emoji.measure", description=main.__doc__)
    parser.add_argument("--seed", type=int, default=424_242, help="of the fresh samples; tuning used other seeds")
    parser.add_argument("--each", type=int, default=5, help="samples of each facet")
    parser.add_argument("--trojans", type=int, default=120, help="Trojan samples")
    parser.add_argument("--steps", type=int, default=256, help="of each visualization")
    parser.add_argument("--reader-steps", type=int, default=2500)
    parser.add_argument("--reader-images", type=int, default=6000)
    parser.add_argument("--solver", default="fast")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--out", type=Path, help="file for the figures, JSON")
    given = parser.parse_args(arguments)
    torch.set_num_threads(given.threads)
    started = time.monotonic()
    reader = train_reader(given.seed + 1, images=given.reader_images, steps=given.reader_steps)
    pixels, facts = images_of(given.seed + 2, 500, 0.0, 1)
    with torch.no_grad():
        guesses = reader(pixels.float() / 255 - 0.5).argmax(1)
    read = Figure.of((guesses == facts[:, 1]).double().tolist())
    print(f"reader trained: names the facet of fresh images in {read}", flush=True)
    sparse, dense = facet_score(
        reader, emoji.PLAN, seed=given.seed, each=given.each, steps=given.steps, solver=given.solver
    )
    inside, outside = trojan_auc(emoji.PLAN, seed=given.seed + 3, count=given.trojans, solver=given.solver)
    better = Figure.of([float(a > b) for a, b in zip(inside, outside, strict=True)])
    rows = {
        "facet score": (Figure.of(dense), Figure.of(sparse)),
        "Trojan AUC of the gradient": (Figure.of(outside), Figure.of(inside)),
    }
    print("\n| | dense | trace |\n|---|---|---|")
    for title, (before, after) in rows.items():
        print(f"| {title} | {before} | {after} |")
    print(f"\nThe trace's Trojan AUC is above the dense one in {better} of the samples.")
    if given.out is not None:
        record = {
            "facet score": {"dense": asdict(rows["facet score"][0]), "trace": asdict(rows["facet score"][1])},
            "trojan auc": {
                "dense": asdict(rows["Trojan AUC of the gradient"][0]),
                "trace": asdict(rows["Trojan AUC of the gradient"][1]),
                "trace above dense": asdict(better),
            },
            "reader accuracy": asdict(read),
            "plan": dict(emoji.PLAN),
            "settings": {k: v for k, v in vars(given).items() if k != "out"},
            "minutes": round((time.monotonic() - started) / 60, 1),
        }
        given.out.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
