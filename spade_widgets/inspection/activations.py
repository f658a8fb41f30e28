"""What a sample excites: activation maps, and the channels in order of excitement."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from spade_widgets.checks import whole
from spade_widgets.network.capture import capture
from spade_widgets.prediction import Network
from spade_widgets.sample import Sample, Source


def activation_maps(network: Network, sample: Source, layer: str) -> npt.NDArray[np.float32]:
    """The output of a layer for a sample: (channels, rows, columns) float32; (units, 1, 1) for a linear layer.

    No layer behind it is run. Convolutions are taken as they are, before the norm and activation that follow.

    Raises:
        InputError: if there is no such layer, or the sample is no image.
    """
    classifier = network.dense
    found = classifier.layer(layer)
    with torch.no_grad():
        output = capture(network.module(), classifier.prepare(Sample.read(sample)), [found.name])[found.name]
    maps: npt.NDArray[Any] = found.maps(output)[0].float().cpu().numpy()
    return maps.reshape(maps.shape[0], *(maps.shape[1:] or (1, 1)))


def strongest(network: Network, sample: Source, layer: str, top: int | None = None) -> list[tuple[int, float]]:
    """The channels of a layer that a sample excites most: (channel, excitement), the strongest first.

    See `excitement`; it is 0 for a channel that is nowhere above zero.

    Raises:
        InputError: as `activation_maps`, or if `top` is not a whole number from 1.
    """
    count = None if top is None else whole("top", top)
    values = excitement(activation_maps(network, sample, layer))
    # Stable: of equal ones (dead channels, say) the lower number first.
    order = np.argsort(-values, kind="stable")[:count]
    return [(int(i), float(values[i])) for i in order]


def excitement(maps: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """How strongly each channel is excited: (channels, rows, columns) → (channels,), the mean of the positive part.

    The mean, as in Lucent's channel objective: what a visualization maximises is what the list is ordered by. The
    positive part, since the layer behind mostly sees no more: a channel far below zero in the background is not
    therefore asleep where the object is.
    """
    means: npt.NDArray[np.float32] = np.maximum(maps, 0).mean(axis=(1, 2))
    return means
