"""The metrics of saliency maps against Quantus (pip install quantus): whether they agree, and the ratio of the times.

    python benchmarks/metrics.py [--count 24] [--threads 1] [--mobilenet WEIGHTS PHOTOGRAPH]

Trojan AUC and pointing game on maps of the built-in classifier's fresh Trojan samples; the deletion curve against
Quantus' pixel flipping, in as many steps as the image has rows.
"""

from __future__ import annotations

import argparse
import logging
from collections.abc import Callable
from time import perf_counter
from typing import Any

import numpy as np
import quantus
import torch
from torch import nn

import spade_widgets as sw
from spade_widgets.demo import emoji
from spade_widgets.demo.emoji import fresh
from spade_widgets.evidence import deletion, pointing_game, trojan_auc

SEED = 777


def timed(run: Callable[[], Any]) -> tuple[Any, float]:
    start = perf_counter()
    return run(), perf_counter() - start


def row(name: str, ours: tuple[Any, float], theirs: tuple[Any, float]) -> None:
    apart = np.abs(np.asarray(ours[0], float).ravel() - np.asarray(theirs[0], float).ravel()).max()
    print(f"| {name} | {apart:.1e} | {ours[1]:.3f} | {theirs[1]:.3f} | {theirs[1] / ours[1]:.1f}× |")


def localisation(count: int) -> None:
    classifier = emoji.classifier()
    samples = fresh.trojans(classifier, SEED, count)
    masks = [classifier.view_mask(sample) for sample in samples]
    maps = [sw.saliency(classifier, sample) for sample in samples]
    batch = {
        "x_batch": np.stack([classifier.prepare(sample)[0].numpy() for sample in samples]),
        "y_batch": np.zeros(count, int),  # neither metric asks the network
        "a_batch": np.stack(maps)[:, None],
        "s_batch": np.stack(masks)[:, None].astype(float),
        "device": "cpu",
    }
    settings = {"abs": True, "normalise": False, "disable_warnings": True}
    for name, ours, theirs in (
        ("Trojan AUC", trojan_auc, quantus.AUC(**settings)),
        ("pointing game", pointing_game, quantus.PointingGame(**settings)),
    ):
        mine = timed(lambda ours=ours: [ours(*pair) for pair in zip(maps, masks, strict=True)])
        row(f"{name}, {count} maps", mine, timed(lambda theirs=theirs: theirs(model=classifier.module(), **batch)))


def curve(classifier: sw.ImageClassifier, sample: sw.Sample) -> None:
    height, width = classifier.input_size
    # No two values alike: the order is one. It is random, so that the curve goes all the way down in small steps.
    values = np.random.default_rng(SEED).permutation(height * width).reshape(height, width).astype(np.float32)
    target = sw.predict(classifier, sample, top=1)[0].index
    flipping = quantus.PixelFlipping(
        features_in_step=width, perturb_func=_zeroed, normalise=False, disable_warnings=True
    )
    shown = {"x_batch": np.ones((1, 1, height, width), np.float32), "a_batch": values[None, None]}
    model = Shown(classifier.module(), classifier.prepare(sample)).eval()
    mine = timed(lambda: deletion(classifier, sample, values, target, steps=height).probability[1:])
    theirs = timed(lambda: flipping(model=model, softmax=True, y_batch=np.array([target]), device="cpu", **shown))
    row(f"deletion, {height} steps, {classifier.name}", mine, theirs)


class Shown(nn.Module):
    """What a network says of the part of an image that is shown: Quantus flips colours, not pixels."""

    def __init__(self, network: nn.Module, image: torch.Tensor) -> None:
        super().__init__()
        self.network, self.image = network, image

    def forward(self, shown: torch.Tensor) -> torch.Tensor:
        return self.network(self.image * shown)


def _zeroed(arr: np.ndarray, indices: np.ndarray, **_: Any) -> np.ndarray:
    changed = arr.copy()
    np.put_along_axis(changed, indices, 0.0, 1)
    return changed


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=24)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--mobilenet", nargs=2, metavar=("WEIGHTS", "PHOTOGRAPH"), help="a curve on MobileNetV2 too")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    logging.disable(logging.WARNING)
    print("| | largest difference | ours, s | Quantus, s | ratio |\n|---|---|---|---|---|")
    localisation(options.count)
    curve(emoji.classifier(), emoji.samples()[0])
    if options.mobilenet:
        weights, photograph = options.mobilenet
        mobilenet = sw.ImageClassifier.from_torchvision("mobilenet_v2", weights=weights)
        curve(mobilenet, sw.Sample.read(photograph))


if __name__ == "__main__":
    main()
