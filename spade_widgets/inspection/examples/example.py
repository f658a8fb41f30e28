"""What is found: an image that excites a neuron, and all of those together, with how the other images compare."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Literal, TypeAlias, overload

import numpy as np
import numpy.typing as npt

from spade_widgets.inspection.examples.spread import Spread
from spade_widgets.neuron import Neuron
from spade_widgets.sample import Sample, Source

#: What examples are ranked by.
By: TypeAlias = Literal["activation", "relevance"]


@dataclass(frozen=True, eq=False)
class Example:
    """An image of the user's own that excites a neuron, and where in it the neuron is excited most.

    Attributes:
        source: the path, where it came from a file; else the user's own object, or the `Sample` it was read as.
        id: the image's `Sample.id`.
        title: what to call it on screen; text, never markup.
        value: what it was ranked by: the neuron's activation at `place` (the largest of the map; a class neuron's
            logit), or its relevance for the class that the image is taken for (summed over the map).
        place: (row, column) of the peak in the layer's map; (0, 0) for logits and linear layers.
    """

    source: Source
    id: str
    title: str
    value: float
    place: tuple[int, int]

    @cached_property
    def sample(self) -> Sample:
        """The image itself, read from `source` when it is first asked for.

        Raises:
            InputError: if the file is no longer there, or no longer an image.
        """
        return Sample.read(self.source)


@dataclass(frozen=True, eq=False)
class Examples(Sequence[Example]):
    """The images that excite a neuron most, the strongest first.

    Attributes:
        neuron: which neuron.
        found: the examples.
        seen: how many different images were looked at.
        left_out: the images that could not be read or looked at, a sentence each.
        spread: the neuron's values over all images.
        by: what `value` is, and what the order is by.
    """

    neuron: Neuron
    found: tuple[Example, ...] = field(repr=False)
    seen: int
    left_out: tuple[str, ...] = field(repr=False)
    spread: Spread = field(repr=False)
    by: By = "activation"

    @property
    def quantiles(self) -> npt.NDArray[np.float64]:
        """The neuron's value at each hundredth of all images: (101,), the least first, the largest last."""
        return self.spread.quantiles(np.linspace(0, 1, 101))

    def percentile(self, sample_value: float) -> float:
        """How exceptional a value is: the share of all images that are below it, in per cent, 0…100.

        Images with the very same value count half.
        """
        return float(self.spread.percentiles(np.asarray([sample_value]))[0])

    def __len__(self) -> int:
        return len(self.found)

    @overload
    def __getitem__(self, item: int) -> Example: ...

    @overload
    def __getitem__(self, item: slice) -> tuple[Example, ...]: ...

    def __getitem__(self, item: int | slice) -> Example | tuple[Example, ...]:
        return self.found[item]
