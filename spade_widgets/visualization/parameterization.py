"""What is optimised in place of pixels: the registry of image parameterisations."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import TypeAlias

import torch
from torch import Tensor

from spade_widgets.errors import InputError
from spade_widgets.prediction import Network
from spade_widgets.sample import Sample, Source, read_samples
from spade_widgets.visualization import accentuation, lucent_bridge, maco
from spade_widgets.visualization.transforms import Transform, crops_and_noise, turns_and_shifts

#: Where a picture's look comes from: anything that `read_samples` takes, or what was already made of samples.
Samples: TypeAlias = "Source | Iterable[Source] | maco.Magnitude"

#: The parameters, a leaf (n, …) that requires gradients, and a function of them that gives the pictures (n, 3, h, w).
Start: TypeAlias = tuple[Tensor, Callable[[], Tensor]]


@dataclass(frozen=True)
class Canvas:
    """What a picture is begun from.

    Attributes:
        network: the classifier or trace that it is for.
        size: rows and columns.
        seeds: of the start, one a picture.
        samples: what the user gave for its look, if anything.
        sample: what the user gave for it to begin at, if anything.
    """

    network: Network
    size: tuple[int, int]
    seeds: Sequence[int]
    samples: Samples | None
    sample: Source | None = None

    @property
    def device(self) -> torch.device:
        """Where the picture is made."""
        return self.network.dense.device


@dataclass(frozen=True)
class Parameterization:
    """One way to hold a picture while it is optimised.

    Attributes:
        start: begins one.
        transforms: rows and columns → what it goes through before the network sees it, unless the user says otherwise.
        lr: Adam's step size that suits its parameters.
        held: whether it begins at a sample and is held near it, and what did not matter fades.
    """

    start: Callable[[Canvas], Start]
    transforms: Callable[[tuple[int, int]], list[Transform]]
    lr: float
    held: bool = False


def parameterization(name: object) -> Parameterization:
    """The parameterisation of that name.

    Raises:
        InputError: if there is none.
    """
    if not isinstance(name, str) or name not in IMAGES:
        raise InputError(f"There is no image {name!r}; there are {', '.join(map(repr, IMAGES))}.")
    return IMAGES[name]


def _fourier(canvas: Canvas) -> Start:
    _no_magnitude(canvas, "the image 'fourier' takes nothing from samples")
    return lucent_bridge.fourier_image(canvas.size, canvas.seeds, canvas.device)


def _maco(canvas: Canvas) -> Start:
    if canvas.samples is None:  # a trace's own sample would not do: it shows in the picture, whatever was pruned
        raise InputError(
            "The image 'maco' takes its Fourier magnitude from samples: give magnitude_from=, images or a folder."
        )
    made = canvas.samples
    if not isinstance(made, maco.Magnitude):
        samples: tuple[Sample, ...] = read_samples(made)
        made = maco.Magnitude.of(canvas.network.dense, samples, canvas.size)
    elif made.size != canvas.size:
        there, asked = ("×".join(map(str, size)) for size in (made.size, canvas.size))
        raise InputError(f"The magnitude is one of {there} px, the picture is to have {asked}.")
    return maco.maco_image(made.values, canvas.size, canvas.seeds, canvas.device)


def _sample(canvas: Canvas) -> Start:
    _no_magnitude(canvas, "the image 'sample' begins at sample=")
    if canvas.sample is None:  # not a trace's own unasked: the dense picture beside it would have none
        raise InputError(
            "The image 'sample' begins at an image: give sample=, to the dense network and the trace alike."
        )
    if len(canvas.seeds) > 1:  # seen: nothing that pushes them apart is as strong as what holds them
        raise InputError(
            "Pictures that begin at one sample come to the same: leave count at 1, and give other samples."
        )
    view = accentuation.seen(canvas.network.dense, Sample.read(canvas.sample), canvas.size)
    return accentuation.sample_image(view, canvas.device)


def _no_magnitude(canvas: Canvas, instead: str) -> None:
    if canvas.samples is not None:
        raise InputError(f"'magnitude_from' belongs to image='maco'; {instead}.")


#: A new parameterisation is one more line here.
IMAGES: Mapping[str, Parameterization] = MappingProxyType(
    {
        "fourier": Parameterization(_fourier, turns_and_shifts, lr=0.05),
        "maco": Parameterization(_maco, crops_and_noise, lr=0.2),
        "sample": Parameterization(_sample, turns_and_shifts, lr=0.03, held=True),
    }
)
