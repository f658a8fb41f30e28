"""A picture in one call, and its frames on the way."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from PIL import Image

from spade_widgets.checks import whole
from spade_widgets.errors import InputError
from spade_widgets.neuron import Neuron
from spade_widgets.prediction import Network
from spade_widgets.pruning.traces.trace import Trace
from spade_widgets.sample import Source
from spade_widgets.visualization.objective import Objective
from spade_widgets.visualization.parameterization import Samples
from spade_widgets.visualization.pictures import grid
from spade_widgets.visualization.renderer import Frame, Renderer
from spade_widgets.visualization.transforms import Transform


def render(
    network: Network,
    neuron: str | Neuron | Objective,
    *,
    steps: int = 256,
    every: int = 1,
    seed: int = 0,
    size: int | tuple[int, int] | None = None,
    lr: float | None = None,
    transforms: Sequence[Transform] | None = None,
    image: str = "fourier",
    magnitude_from: Samples | None = None,
    sample: Source | None = None,
    near: float | None = None,
    count: int = 1,
    diversity: float = 1.0,
    bfloat16: bool | None = None,
) -> Iterator[Frame]:
    """The frames of a new rendering, one each `every` steps; see `Renderer` for the arguments and errors.

    Nothing runs between two frames: drop the iterator, and the rendering has stopped.
    """
    renderer = Renderer(
        network, neuron, seed=seed, size=size, lr=lr, transforms=transforms, image=image,
        magnitude_from=magnitude_from, sample=sample, near=near, count=count, diversity=diversity, bfloat16=bfloat16,
    )  # fmt: skip
    return renderer.run(steps, every=every)


def visualize(
    network: Network,
    neuron: str | Neuron | Objective,
    *,
    steps: int = 256,
    seed: int = 0,
    size: int | tuple[int, int] | None = None,
    lr: float | None = None,
    transforms: Sequence[Transform] | None = None,
    image: str = "fourier",
    magnitude_from: Samples | None = None,
    sample: Source | None = None,
    near: float | None = None,
    count: int = 1,
    diversity: float = 1.0,
    bfloat16: bool | None = None,
    transparent: bool = False,
) -> Image.Image:
    """The picture that excites a neuron, under a classifier or under a trace; see `Renderer` for arguments and errors.

    Two calls that differ in the network alone share start and transforms: what differs in the pictures is the network.

    Args:
        network, neuron, seed, size, lr, transforms, image, magnitude_from, sample, near, diversity, bfloat16: see
            `Renderer`.
        steps: how many.
        count: how many pictures of the neuron; several come in one image, in rows (`Renderer.pictures` gives a list).
        transparent: whether the image is RGBA, and shows no more than what mattered; see `Renderer.opacity`.

    Raises:
        InputError: also where a trace has pruned all that reaches the neuron: there is nothing to be seen then.
    """
    options: dict[str, Any] = {
        "seed": seed, "size": size, "lr": lr, "transforms": transforms, "image": image,
        "magnitude_from": magnitude_from, "sample": sample, "near": near,
        "count": count, "diversity": diversity, "bfloat16": bfloat16,
    }  # fmt: skip
    renderer = Renderer(network, neuron, **options)
    for _ in range(whole("steps", steps)):
        renderer.step()
    if renderer.dead and isinstance(network, Trace) and _reached(network.dense, neuron, steps, options):
        raise InputError(f"This trace has pruned all that reaches {neuron}: take a lower sparsity, or another neuron.")
    return grid(renderer.pictures(transparent=transparent))


def _reached(network: Network, neuron: str | Neuron | Objective, steps: int, options: dict[str, Any]) -> bool:
    """Whether anything moves the neuron's picture within so many steps; if not, no trace is to blame."""
    renderer = Renderer(network, neuron, **options)
    for _ in range(steps):
        renderer.step()
        if not renderer.dead:
            return True
    return False
