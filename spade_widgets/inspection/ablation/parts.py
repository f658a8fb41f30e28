"""What can be taken away, and how it is written: `"layer:3"`, `"layer:3 > next:5"`, or a region of the sample."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from spade_widgets.classifier import ImageClassifier
from spade_widgets.errors import InputError
from spade_widgets.neuron import Neuron


@dataclass(frozen=True)
class Part:
    """A channel (`into` is None), or what of it goes into one channel of a later layer."""

    channel: Neuron
    into: Neuron | None = None

    def __str__(self) -> str:
        return str(self.channel) if self.into is None else f"{self.channel} > {self.into}"


Region: TypeAlias = npt.NDArray[np.bool_]
#: What `ablate` takes: a part, how one is written, or a mask of pixels to be taken away.
Asked: TypeAlias = "Part | Neuron | str | npt.NDArray[Any]"


def read_parts(classifier: ImageClassifier, asked: Asked | Iterable[Asked]) -> tuple[list[Part], list[Region]]:
    """Channels and connections, and regions, of what was asked for.

    Raises:
        InputError: if there is no such channel, a class or a single place is asked for, or nothing at all.
    """
    listed = [asked] if isinstance(asked, Part | Neuron | str | np.ndarray) else list(asked)
    if not listed:
        raise InputError("Nothing is to be taken away: name at least one part, as 'layer:channel'.")
    regions = [_region(classifier, part) for part in listed if isinstance(part, np.ndarray)]
    return [_part(classifier, part) for part in listed if not isinstance(part, np.ndarray)], regions


def _part(classifier: ImageClassifier, asked: Part | Neuron | str) -> Part:
    if isinstance(asked, Part):
        before, after = asked.channel, asked.into
        return Part(_channel(classifier, before), None if after is None else _channel(classifier, after))
    first, arrow, second = str(asked).partition(">")
    return Part(_channel(classifier, first), _channel(classifier, second) if arrow else None)


def _channel(classifier: ImageClassifier, spec: str | Neuron) -> Neuron:
    found = classifier.neuron(spec)
    if found.layer is None or found.position is not None:
        raise InputError(f"'{found}' cannot be taken away: a channel of a layer can, written 'layer:channel'.")
    return found


def _region(classifier: ImageClassifier, mask: npt.NDArray[Any]) -> Region:
    if mask.shape != classifier.input_size:
        raise InputError(
            f"The region has shape {mask.shape}; it is a mask of what the model sees, {classifier.input_size} "
            "(rows, columns), True where it is to be taken away."
        )
    return mask.astype(bool)
