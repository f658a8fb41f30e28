"""Steps a second of our renderer and of Lucent's `render_vis`, side by side on this machine.

    python benchmarks/visualization.py [--steps 24] [--rounds 5] [--threads 2]

Both render the same neuron with the same transforms, image parameterisation and optimiser, in one process and in turns.
Lucent runs the network on what the transforms give (at 224 px about 250), or, asked to, on a fixed size as we do: both
are measured. Each step is timed by itself, from transforms to transforms, and the median is taken: other work on the
machine disturbs some steps, not the median. The share of the transforms is what a step costs less without any. Weights
are random: they do not change what a step costs.
"""

from __future__ import annotations

import argparse
import copy
import importlib
import itertools
import statistics
import time
import warnings

import torch
from torch import Tensor

from spade_widgets.classifier import ImageClassifier
from spade_widgets.visualization import Renderer
from spade_widgets.visualization.lucent_bridge import Transform, standard_transforms


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=24, help="steps of one measurement")
    parser.add_argument("--rounds", type=int, default=5, help="measurements of each")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads(), help="threads of PyTorch")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)

    print(
        f"{'steps a second':32}{'ours':>8}{'Lucent, same size':>24}{'Lucent as it comes':>24}{'transforms in ours':>22}"
    )
    resnet = ImageClassifier.from_torchvision("resnet18", weights=None)
    for layer in ("layer1", "layer2", "layer3", "fc"):
        compare(resnet, layer, options.steps, options.rounds)
    demo = builtin()
    if demo is not None:
        for layer in ("layer2", "layer3", "fc"):
            compare(demo, layer, options.steps * 4, options.rounds)


def builtin() -> ImageClassifier | None:
    """The built-in classifier, if this checkout holds its weights."""
    try:
        from spade_widgets import demo
    except ImportError:
        return None
    try:
        return demo.classifier()
    except FileNotFoundError as error:
        print(f"without the built-in classifier: {error}")
        return None


class Clock:
    """A transform that does nothing but note when it is called: once a step."""

    def __init__(self) -> None:
        self.times: list[float] = []

    def __call__(self, images: Tensor) -> Tensor:
        self.times.append(time.perf_counter())
        return images

    def laps(self) -> list[float]:
        """Seconds from each call to the next, the first left out: it warms up."""
        return [b - a for a, b in itertools.pairwise(self.times)][1:]


def compare(classifier: ImageClassifier, layer: str, steps: int, rounds: int) -> None:
    standard = standard_transforms(classifier.input_size)
    laps: dict[str, list[float]] = {"ours": [], "same": [], "free": [], "bare": []}
    for _ in range(rounds):
        laps["ours"] += run_ours(classifier, layer, steps, standard)
        laps["same"] += run_lucent(classifier, layer, steps, standard, classifier.input_size)
        laps["free"] += run_lucent(classifier, layer, steps, standard, None)
        laps["bare"] += run_ours(classifier, layer, steps, [])
    seconds = {name: statistics.median(values) for name, values in laps.items()}
    same, free = (f"{1 / seconds[n]:.1f} ({seconds[n] / seconds['ours']:.2f}×)" for n in ("same", "free"))
    name = f"{classifier.name} {layer}, {classifier.input_size[0]} px"
    print(
        f"{name:32}{1 / seconds['ours']:8.1f}{same:>24}{free:>24}{1 - seconds['bare'] / seconds['ours']:22.0%}",
        flush=True,
    )


def run_ours(classifier: ImageClassifier, layer: str, steps: int, transforms: list[Transform]) -> list[float]:
    clock = Clock()
    renderer = Renderer(classifier, f"{layer}:1", transforms=[clock, *transforms])
    for _ in range(steps):
        renderer.step()
    return clock.laps()


def run_lucent(
    classifier: ImageClassifier,
    layer: str,
    steps: int,
    transforms: list[Transform],
    input_size: tuple[int, int] | None,
) -> list[float]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        render = importlib.import_module("lucent.optvis.render")
        param = importlib.import_module("lucent.optvis.param")
    # A copy, since `render_vis` leaves its hooks behind; with parameters as a user's model has them.
    model = copy.deepcopy(classifier.module()).requires_grad_(True)
    rows, cols = classifier.input_size
    clock = Clock()
    render.render_vis(
        model,
        f"{layer}:1",
        lambda: param.image(cols, rows),
        transforms=[clock, *transforms],
        thresholds=(steps,),
        progress=False,
        show_image=False,
        fixed_image_size=input_size,
    )
    return clock.laps()


if __name__ == "__main__":
    main()
