"""How much of a neuron's activation on its examples a trace keeps."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import numpy.typing as npt

from spade_widgets.inspection.examples.example import Example
from spade_widgets.inspection.examples.examples import maps_of
from spade_widgets.neuron import Neuron
from spade_widgets.prediction import Network


def kept(network: Network, neuron: str | Neuron, examples: Iterable[Example]) -> npt.NDArray[np.float64]:
    """The neuron's activation under a trace, as a share of the dense network's, on each example at its place: (n,).

    1 is all of it, 0 nothing, below 0 what has changed its sign; more than 1 is possible, since a trace also drops what
    held the neuron back. Where the dense network's own value is not above zero the neuron is not excited, and there is
    nothing that could be kept: that is 0. There is no NaN.

    Both are computed anew, so that rounding in an index is not taken for pruning. A logit is measured from zero, as the
    network gives it.

    Args:
        network: a trace (of a classifier, all is kept).
        neuron: the neuron.
        examples: some of its examples.

    Raises:
        InputError: if there is no such neuron, or an example's file is no longer there.
        ModelError: if the dense model was changed since the trace was made.
    """
    dense = network.dense
    asked = dense.neuron(neuron)
    shares = []
    for example in examples:
        sample, place = example.sample, example.place
        whole = float(maps_of(dense, sample, asked.layer)[asked.channel][place])
        left = float(maps_of(network, sample, asked.layer)[asked.channel][place])
        shares.append(left / whole if whole > 0 else 0.0)
    return np.asarray(shares, np.float64)
