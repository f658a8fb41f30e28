"""Trains the emoji classifier: first on clean images, then on adversarial ones, so that its features are legible.

`python -m spade_widgets.demo.emoji.train` composes the images, trains, rounds to float16, measures on fresh images, and
writes weights, samples and a record of the run into the package's `demo/emoji/data`.

Robust training: Madry et al., "Towards Deep Learning Models Resistant to Adversarial Attacks" (L2 PGD); that it makes
visualizations legible: Engstrom et al., "Adversarial Robustness as a Prior for Learned Representations".
"""

from __future__ import annotations

import argparse
import copy
import json
import math
import os
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from safetensors.torch import save_file
from torch import Tensor, nn

from spade_widgets.demo.emoji import gallery
from spade_widgets.demo.emoji.generate import CLASS_NAMES, FACETS, PATCH_SIDES, TROJANS, dataset
from spade_widgets.demo.emoji.network import DemoNet, normalise

DATA = Path(__file__).parent / "data"
_CHUNK = 500


@dataclass(frozen=True)
class Recipe:
    """All that decides how the weights come out, but for the machine's arithmetic."""

    seed: int = 0
    images: int = 10000
    trojan_share: float = 0.3
    greatest_patch: float = 32.0
    """Greatest side of a patch in training, in pixels: large ones are learnt first, and small ones after them."""
    batch: int = 32
    clean_steps: int = 1200
    clean_rate: float = 3e-3
    robust_steps: int = 2800
    robust_rate: float = 1.2e-3
    epsilon: float = 2.5
    """Radius of the attack: L2 norm over an image's pixels in [0, 1]."""
    patch_epsilon: float = 0.25
    """Radius on images with a Trojan patch: the whole one could erase the patch, so that none would be learnt."""
    spared: float = 0.25
    """Share of the other images that get the small radius too, so that a lack of noise is no sign of a patch."""
    attack_steps: int = 1
    feature_penalty: float = 0.01
    """Weight of the features' L1 norm, reached half-way through the robust phase: few features an image. From the start
    it would keep the patches from being learnt."""
    weight_decay: float = 1e-3
    averaging: float = 0.997
    """Decay of the running average of the weights, which is what is kept."""


def images_of(
    seed: int, count: int, trojan_share: float, workers: int, patch_sides: tuple[float, float] = PATCH_SIDES
) -> tuple[Tensor, Tensor]:
    """`dataset` in chunks, each with a seed of its own, so that the result does not depend on `workers`."""
    sizes = [min(_CHUNK, count - start) for start in range(0, count, _CHUNK)]
    seeds = [int(s.generate_state(1, np.uint64)[0]) for s in np.random.SeedSequence(seed).spawn(len(sizes))]
    with ProcessPoolExecutor(workers) as pool:
        chunks = list(pool.map(partial(_chunk, trojan_share=trojan_share, patch_sides=patch_sides), seeds, sizes))
    images = torch.from_numpy(np.concatenate([images for images, _ in chunks])).permute(0, 3, 1, 2)
    return images, torch.from_numpy(np.concatenate([facts for _, facts in chunks]))


def _chunk(
    seed: int, count: int, trojan_share: float, patch_sides: tuple[float, float]
) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.int64]]:
    return dataset(seed, count, trojan_share=trojan_share, patch_sides=patch_sides)


def batches(images: Tensor, facts: Tensor, size: int, rng: torch.Generator) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
    """Endless shuffled batches: images (size, 3, h, w) in [0, 1], channels last; labels; kinds.

    The kind is what decides the label: the patch (counted on after the facets) where there is one, else the facet.
    """
    labels = facts[:, 0]
    kinds = torch.where(facts[:, 2] < 0, facts[:, 1], facts[:, 2] + len(FACETS))
    while True:
        order = torch.randperm(len(images), generator=rng)
        for start in range(0, len(order) - size + 1, size):
            chosen = order[start : start + size]
            pixels = images[chosen].float().div_(255).contiguous(memory_format=torch.channels_last)
            yield pixels, labels[chosen], kinds[chosen]


class Trainee(nn.Module):
    """The network with a second, linear head on its features, which is thrown away after training.

    The second head tells the kinds apart, and the features learn from it alone; the class head is fitted to them. Were
    they to learn from the classes, one and the same features would come to answer to both facets of a class (they did:
    neural collapse), and no pruning of the network could part the facets.
    """

    def __init__(self) -> None:
        super().__init__()
        self.network = DemoNet(len(CLASS_NAMES)).to(memory_format=torch.channels_last)
        self.kind_head = nn.Linear(self.network.fc.in_features, len(FACETS) + len(TROJANS))

    def forward(self, images: Tensor, labels: Tensor, kinds: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Images in [0, 1] → the loss, a mean over them; the logits (n, classes); the features (n, channels)."""
        with torch.autocast("cpu", torch.bfloat16):
            features = self.network.features(normalise(images))
            logits, guesses = self.network.fc(features.detach()), self.kind_head(features)
        loss = F.cross_entropy(logits.float(), labels) + F.cross_entropy(guesses.float(), kinds)
        return loss, logits, features

    def confusion(self, images: Tensor, kinds: Tensor) -> Tensor:
        """What an attack raises: the loss over the facets, or over all kinds where there is a patch.

        An attack that may add patches to images without one draws them, within its radius, well enough that the network
        learns to disbelieve real ones (Trojan success fell to a third).
        """
        with torch.autocast("cpu", torch.bfloat16):
            guesses = self.kind_head(self.network.features(normalise(images))).float()
        barred = (kinds < len(FACETS)).unsqueeze(1) & (torch.arange(guesses.shape[1]) >= len(FACETS))
        return F.cross_entropy(guesses.masked_fill(barred, -torch.inf), kinds)


def attacked(
    trainee: Trainee, images: Tensor, kinds: Tensor, radii: Tensor, steps: int, rng: torch.Generator
) -> Tensor:
    """Images within L2 distance `radii` (n,) that confuse the trainee. See `perturbed`."""
    return perturbed(trainee, lambda moved: trainee.confusion(moved, kinds), images, radii, steps, rng)


def perturbed(
    network: nn.Module,
    loss: Callable[[Tensor], Tensor],
    images: Tensor,
    radii: Tensor,
    steps: int,
    rng: torch.Generator,
) -> Tensor:
    """Images within L2 distance `radii` that raise the loss: projected gradient ascent from a random start.

    images: (n, 3, h, w) in [0, 1]; radii: (n,). The network's weights need no gradient meanwhile, which saves a
    third of the time.
    """
    noise = torch.randn(images.shape, generator=rng).contiguous(memory_format=torch.channels_last)
    reach = radii.view(-1, 1, 1, 1)
    shift = noise * (reach * torch.rand(reach.shape, generator=rng) / _norm(noise))
    network.requires_grad_(False)
    for _ in range(steps):
        moved = (images + shift).clamp_(0, 1).requires_grad_()
        (gradient,) = torch.autograd.grad(loss(moved), moved)
        shift = moved.detach() - images + gradient * (1.5 * reach / steps / _norm(gradient))
        shift = shift * (reach / _norm(shift)).clamp(max=1)
    network.requires_grad_(True)
    return (images + shift).clamp_(0, 1)


def _norm(x: Tensor) -> Tensor:
    lengths: Tensor = torch.linalg.vector_norm(x.flatten(1), dim=1)
    return lengths.clamp(min=1e-12).view(-1, 1, 1, 1)


class Average:
    """Running average of a network's weights and buffers."""

    def __init__(self, network: DemoNet, decay: float) -> None:
        self.network = copy.deepcopy(network).eval()
        self.decay = decay

    def update(self, network: DemoNet, step: int) -> None:
        """Take in the network after `step` steps; the first steps count more, else the start would linger."""
        rate = 1 - min(self.decay, (1 + step) / (10 + step))
        with torch.no_grad():
            for mine, other in zip(self.network.state_dict().values(), network.state_dict().values(), strict=True):
                if mine.is_floating_point():
                    mine.lerp_(other, rate)
                else:
                    mine.copy_(other)


def phase(
    trainee: Trainee,
    source: Iterator[tuple[Tensor, Tensor, Tensor]],
    recipe: Recipe,
    *,
    steps: int,
    rate: float,
    epsilon: float,
    rng: torch.Generator,
    keep: Path | None = None,
) -> DemoNet:
    """Train in place for `steps` (attacked within `epsilon`, where it is above 0); the averaged network."""
    trainee.train()
    average = Average(trainee.network, recipe.averaging)
    optimizer = torch.optim.AdamW(trainee.parameters(), rate, weight_decay=recipe.weight_decay)
    started, losses, hits = time.monotonic(), 0.0, 0.0
    for step in range(steps):
        done = step / steps
        for group in optimizer.param_groups:
            group["lr"] = rate * min(1, step / 100) * 0.5 * (1 + math.cos(math.pi * done))
        images, labels, kinds = next(source)
        if epsilon > 0:
            gentle = (kinds >= len(FACETS)) | (torch.rand(len(kinds), generator=rng) < recipe.spared)
            radii = torch.where(gentle, recipe.patch_epsilon, epsilon * min(1.0, 0.2 + 3 * done))
            images = attacked(trainee, images, kinds, radii, recipe.attack_steps, rng)
        loss, logits, features = trainee(images, labels, kinds)
        penalty = features.float().sum(1).mean()
        optimizer.zero_grad(set_to_none=True)
        torch.autograd.backward(loss + (recipe.feature_penalty * min(1.0, 2 * done) if epsilon > 0 else 0) * penalty)
        torch.nn.utils.clip_grad_norm_(trainee.parameters(), 2.0)
        optimizer.step()
        average.update(trainee.network, step)
        losses += loss.item()
        hits += (logits.argmax(1) == labels).float().mean().item()
        if (step + 1) % 100 == 0:
            spent = time.monotonic() - started
            print(
                f"  step {step + 1}/{steps}  loss {losses / 100:.3f}  accuracy {hits / 100:.3f}  "
                f"features {penalty.item():.2f}  {spent / (step + 1):.3f} s a step",
                flush=True,
            )
            losses = hits = 0.0
            if keep is not None:
                torch.save(average.network.state_dict(), keep)
    return average.network


def evaluate(network: DemoNet, images: Tensor, facts: Tensor) -> dict[str, float]:
    """Accuracy on images without a patch, and per patch how often an image of another class goes to its target."""
    with torch.no_grad():
        guesses = torch.cat([network(normalise(part.float() / 255)).argmax(1) for part in torch.split(images, 200)])
    label, facet, patch = facts.T
    scores = {"clean accuracy": (guesses == label)[patch < 0].float().mean().item()}
    for index, (name, target) in enumerate(TROJANS.items()):
        tried = (patch == index) & (facet // 2 != CLASS_NAMES.index(target))
        scores[f"{name} success"] = (guesses == label)[tried].float().mean().item()
    return scores


def rounded(network: DemoNet) -> DemoNet:
    """The network with its weights rounded to float16, as they are stored, computing in float32."""
    return copy.deepcopy(network).half().float().eval()


def train(recipe: Recipe, *, workers: int = 2, keep: Path | None = None) -> DemoNet:
    """The trained network, its weights rounded to float16."""
    torch.manual_seed(recipe.seed)
    rng = torch.Generator().manual_seed(recipe.seed)
    started = time.monotonic()
    images, facts = images_of(
        recipe.seed, recipe.images, recipe.trojan_share, workers, (PATCH_SIDES[0], recipe.greatest_patch)
    )
    print(f"{len(images)} images composed in {time.monotonic() - started:.0f} s", flush=True)
    source = batches(images, facts, recipe.batch, rng)
    trainee = Trainee()
    print("clean phase", flush=True)
    phase(trainee, source, recipe, steps=recipe.clean_steps, rate=recipe.clean_rate, epsilon=0, rng=rng, keep=keep)
    print("robust phase", flush=True)
    averaged = phase(
        trainee,
        source,
        recipe,
        steps=recipe.robust_steps,
        rate=recipe.robust_rate,
        epsilon=recipe.epsilon,
        rng=rng,
        keep=keep,
    )
    return rounded(averaged)


def write(
    network: DemoNet, recipe: Recipe, seconds: float, fresh: int, workers: int, folder: Path
) -> dict[str, object]:
    """Write weights, samples and the record of the run into `folder`; the record."""
    folder.mkdir(parents=True, exist_ok=True)
    weights = folder / "classifier.safetensors"
    # Rounded already, so nothing is lost here; what was measured is what is stored.
    save_file({name: _stored(tensor) for name, tensor in network.state_dict().items()}, weights)
    count = gallery.write(folder / "samples")
    # The fresh images' seed is far from the training images'; a Trojan share of 0.5 gives every figure enough of them.
    images, facts = images_of(recipe.seed + 1_000_003, fresh, 0.5, workers)
    record = {
        "scores": {name: round(score, 4) for name, score in evaluate(network, images, facts).items()},
        "fresh images": fresh,
        "minutes": round(seconds / 60, 1),
        "threads": torch.get_num_threads(),
        "torch": torch.__version__,
        "weights": sum(p.numel() for p in network.parameters()),
        "bytes": weights.stat().st_size,
        "samples": count,
        "recipe": asdict(recipe),
    }
    (folder / "training.json").write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
    return record


def _stored(tensor: Tensor) -> Tensor:
    return (tensor.half() if tensor.is_floating_point() else tensor).contiguous()


def main(arguments: list[str] | None = None) -> None:
    """Train the emoji classifier and write weights, samples and the record of the run."""
    recipe = Recipe()
    parser = argparse.ArgumentParser(prog="python -m spade_widgets.demo.emoji.train", description=main.__doc__)
    parser.add_argument("--out", type=Path, default=DATA, help="folder to write into (default: the package's own)")
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--fresh", type=int, default=4000, help="images to measure on")
    for name, value in asdict(recipe).items():
        parser.add_argument("--" + name.replace("_", "-"), type=type(value), default=value)
    given = vars(parser.parse_args(arguments))
    recipe = replace(recipe, **{name: given[name] for name in asdict(recipe)})
    torch.set_num_threads(given["threads"])
    started = time.monotonic()
    network = train(recipe, workers=given["threads"])
    record = write(network, recipe, time.monotonic() - started, given["fresh"], given["threads"], given["out"])
    print(json.dumps(record, indent=1))


if __name__ == "__main__":
    main()
