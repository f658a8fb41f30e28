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
from spade_widgets.visualization import lucent_bridge, maco
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
    """

    network: Network
    size: tuple[int, int]
    seeds: Sequence[int]
    samples: Samples | None

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
    """

    start: Callable[[Canvas], Start]
    transforms: Callable[[tuple[int, int]], list[Transform]]
    lr: float


def parameterization(name: object) -> Parameterization:
    """The parameterisation of that name.

    Raises:
        InputError: if there is none.
    """
    if not isinstance(name, str) or name not in IMAGES:
        raise InputError(f"There is no image {name!r}; there are {', '.join(map(repr, IMAGES))}.")
    return IMAGES[name]


def _fourier(canvas: Canvas) -> Start:
    if canvas.samples is not None:
        raise InputError("'magnitude_from' belongs to image='maco'; the image 'fourier' takes nothing from samples.")
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


#: A new parameterisation is one more line here.
IMAGES: Mapping[str, Parameterization] = MappingProxyType(
    {
        "fourier": Parameterization(_fourier, turns_and_shifts, lr=0.05),
        "maco": Parameterization(_maco, crops_and_noise, lr=0.2),
    }
)
