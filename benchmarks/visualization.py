"""Steps a second of our renderer and of Lucent's `render_vis`, and what their steps are spent on, side by side.

    python benchmarks/visualization.py [--steps 24] [--rounds 5] [--threads 1] [--busy] [--layers layer3 fc]

Both render the same neuron with the same image parameterisation and optimiser, seen through the same movements: Lucent
through its chain of standard transforms, we through one warp that is that chain composed. In one process and in turns.
Lucent runs the network on what the transforms give (at 224 px about 250), or, asked to, on a fixed size as we do: both
are measured, and beside them the bare forward and backward pass to the layer, of a plain PyTorch model with frozen
weights that stops there. "A pair" is a panel's two pictures, a thread each: steps of both a second. Each step is timed
by itself, from transforms to transforms, and the median is taken: other work on the machine disturbs some steps, not
the median. Weights are random: they do not change what a step costs.

The second table takes a step apart: each part forward, then backward through it alone, in turns as well.
"""

from __future__ import annotations

import argparse
import copy
import importlib
import itertools
import statistics
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import torch
from torch import Tensor, nn

from spade_widgets.classifier import ImageClassifier
from spade_widgets.network.capture import capture
from spade_widgets.runtime.lanes import at_once
from spade_widgets.visualization import Renderer
from spade_widgets.visualization.lucent_bridge import standard_transforms, transform_image
from spade_widgets.visualization.transforms import turns_and_shifts

timing = SimpleNamespace(now=time.perf_counter)
PARTS = ("image", "transforms", "normalisation", "network", "optimiser")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=24, help="steps of one measurement, at least 3")
    parser.add_argument("--rounds", type=int, default=5, help="measurements of each")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads(), help="threads of PyTorch")
    parser.add_argument("--layers", nargs="+", default=["layer1", "layer2", "layer3", "fc"], help="of the two ResNets")
    parser.add_argument("--busy", action="store_true", help="take processor time: the machine does other work too")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    if options.busy:
        timing.now = time.process_time

    resnet, emoji, photos = (
        ImageClassifier.from_torchvision("resnet18", weights=None),
        built_in("emoji"),
        built_in("photos"),
    )
    compared = [(resnet, layer, options.steps) for layer in options.layers]
    compared += [(emoji, layer, options.steps * 4) for layer in options.layers]
    compared += [(photos, layer, options.steps) for layer in ("features.9", "features.12", "classifier.1")]
    row(
        "steps a second",
        "ours, a pair",
        "ours, one",
        "float32, one",
        "Lucent, same size",
        "Lucent as it comes",
        "bare passes",
    )
    for classifier, layer, steps in compared:
        compare(classifier, layer, steps, options.rounds)
    print()
    row("ms of a step: Lucent → ours", *PARTS)
    for classifier, layer, steps in compared:
        take_apart(classifier, layer, steps)


def row(name: str, *cells: str) -> None:
    print(f"{name:40}" + "".join(f"{cell:>20}" for cell in cells), flush=True)


def built_in(name: str) -> ImageClassifier:
    classifier: ImageClassifier = importlib.import_module(f"spade_widgets.demo.{name}").classifier()
    return classifier


class Clock:
    """A transform that does nothing but note when it is called: once a step."""

    def __init__(self) -> None:
        self.times: list[float] = []

    def __call__(self, images: Tensor) -> Tensor:
        self.times.append(timing.now())
        return images

    def laps(self) -> list[float]:
        """Seconds from each call to the next, the first left out: it warms up."""
        return [b - a for a, b in itertools.pairwise(self.times)][1:]


def compare(classifier: ImageClassifier, layer: str, steps: int, rounds: int) -> None:
    laps: dict[str, list[float]] = {"pair": [], "ours": [], "float": [], "same": [], "free": [], "bare": []}
    for _ in range(rounds):
        laps["pair"] += run_pair(classifier, layer, steps)
        laps["ours"] += run_ours(classifier, layer, steps)
        laps["float"] += run_ours(classifier, layer, steps, bfloat16=False)
        laps["same"] += run_lucent(classifier, layer, steps, classifier.input_size)
        laps["free"] += run_lucent(classifier, layer, steps, None)
        laps["bare"] += run_bare(classifier, layer, steps)
    seconds = {name: statistics.median(values) for name, values in laps.items()}
    names = ("ours", "float", "same", "free", "bare")
    others = (f"{1 / seconds[n]:.1f} ({seconds[n] / seconds['pair']:.2f}×)" for n in names)
    row(f"{classifier.name} {layer}, {classifier.input_size[0]} px", f"{1 / seconds['pair']:.1f}", *others)


def run_pair(classifier: ImageClassifier, layer: str, steps: int) -> list[float]:
    """Seconds a step, where two are done at once."""
    clock = Clock()
    pair = [Renderer(classifier, f"{layer}:{channel}") for channel in (1, 2)]
    for _ in range(steps):
        clock.times.append(timing.now())
        at_once(*(renderer.step for renderer in pair))
    return [lap / len(pair) for lap in clock.laps()]


def run_ours(classifier: ImageClassifier, layer: str, steps: int, *, bfloat16: bool | None = None) -> list[float]:
    clock = Clock()
    renderer = Renderer(classifier, f"{layer}:1", bfloat16=bfloat16)
    for _ in range(steps):
        clock.times.append(timing.now())
        renderer.step()
    return clock.laps()


def lucent(name: str) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return importlib.import_module(f"lucent.optvis.{name}")


def users_model(classifier: ImageClassifier) -> nn.Module:
    """A copy, since `render_vis` leaves its hooks behind; with parameters as a user's model has them."""
    return copy.deepcopy(classifier.module()).requires_grad_(True)


def run_lucent(classifier: ImageClassifier, layer: str, steps: int, input_size: tuple[int, int] | None) -> list[float]:
    rows, cols = classifier.input_size
    clock = Clock()
    lucent("render").render_vis(
        users_model(classifier),
        f"{layer.replace('.', '_')}:1",
        lambda: lucent("param").image(cols, rows),
        transforms=[clock, *standard_transforms(classifier.input_size)],
        thresholds=(steps,),
        progress=False,
        show_image=False,
        fixed_image_size=input_size,
    )
    return clock.laps()


def run_bare(classifier: ImageClassifier, layer: str, steps: int) -> list[float]:
    module = classifier.module()
    inputs = torch.randn(1, 3, *classifier.input_size, requires_grad=True)
    clock = Clock()
    for _ in range(steps):
        clock.times.append(timing.now())
        torch.autograd.grad(capture(module, inputs, [layer])[layer][:, 1].mean(), inputs)
    return clock.laps()


@dataclass(frozen=True)
class Loop:
    """A step in its parts: each a function of what the one before it gives.

    Attributes:
        leaf: what is optimised.
        image: gives the picture.
        move: the transforms; the second argument numbers the step.
        normalise: what the network takes of it.
        loss: runs the network.
        also: what else gets gradients: Lucent's loop computes those of all weights, and throws them away.
        optimizer: of the leaf.
    """

    leaf: Tensor
    image: Callable[[], Tensor]
    move: Callable[[Tensor, int], Tensor]
    normalise: Callable[[Tensor], Tensor]
    loss: Callable[[Tensor], Tensor]
    also: list[Tensor]
    optimizer: torch.optim.Optimizer

    def step(self, number: int) -> list[float]:
        """Seconds that each of `PARTS` takes, forward and backward."""
        times = [timing.now()]
        values: list[Tensor] = []
        for forward in (
            self.image,
            lambda: self.move(values[0], number),
            lambda: self.normalise(values[1]),
            lambda: self.loss(values[2]),
        ):
            values.append(forward())
            times.append(timing.now())
        seconds = [after - before for before, after in itertools.pairwise(times)]
        gradient: Tensor | None = None
        for part in (3, 2, 1, 0):
            began = timing.now()
            sources = [self.leaf if part == 0 else values[part - 1], *(self.also if part == 3 else [])]
            gradient = torch.autograd.grad(values[part], sources, gradient, allow_unused=True, retain_graph=True)[0]
            seconds[part] += timing.now() - began
        began = timing.now()
        self.leaf.grad = gradient
        self.optimizer.step()
        return [*seconds, timing.now() - began]


def take_apart(classifier: ImageClassifier, layer: str, steps: int) -> None:
    loops = our_loop(classifier, layer), lucents_loop(classifier, layer)
    laps: list[list[list[float]]] = [[], []]
    for number in range(steps):
        for loop, taken in zip(loops, laps, strict=True):
            taken.append(loop.step(number))
    ours, theirs = ([statistics.median(part) * 1e3 for part in zip(*taken[1:], strict=True)] for taken in laps)
    cells = (f"{a:.1f} → {b:.1f}" for a, b in zip(theirs, ours, strict=True))
    row(f"{classifier.name} {layer}, {classifier.input_size[0]} px", *cells)


def our_loop(classifier: ImageClassifier, layer: str) -> Loop:
    renderer = Renderer(classifier, f"{layer}:1")
    transforms = turns_and_shifts(renderer.size)
    return Loop(
        renderer._leaf,
        renderer._picture,
        lambda images, number: transform_image(transforms, images, 0, number, fork_global=False),
        classifier.normalize,
        lambda inputs: renderer._target.losses(inputs, inputs)[0],
        [],
        renderer._optimizer,
    )


def lucents_loop(classifier: ImageClassifier, layer: str) -> Loop:
    rows, cols = classifier.input_size
    model = users_model(classifier)
    (leaf,), image = lucent("param").image(cols, rows)
    transforms, normalise = standard_transforms(classifier.input_size), lucent("transform").normalize()
    resize = nn.Upsample(size=classifier.input_size, mode="bilinear", align_corners=True)
    kept: list[Tensor] = []
    model.get_submodule(layer).register_forward_hook(lambda *given: kept.append(given[2]))

    def loss(inputs: Tensor) -> Tensor:
        model(inputs)  # to its end
        return -kept.pop()[:, 1].mean()

    return Loop(
        leaf,
        image,
        lambda images, number: transform_image(transforms, images, 0, number, fork_global=False),
        lambda images: resize(normalise(images)),
        loss,
        list(model.parameters()),
        torch.optim.Adam([leaf], lr=0.05),
    )


if __name__ == "__main__":
    main()
