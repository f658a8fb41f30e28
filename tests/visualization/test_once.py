"""A picture in one call: what it says where there is nothing to be seen."""

from __future__ import annotations

import numpy as np
import pytest

import spade_widgets as sw


@pytest.fixture
def trace(tiny: sw.ImageClassifier) -> sw.Trace:
    """Keeps 1 weight in 20 of the convolution: of most channels none."""
    noise = np.random.default_rng(1).integers(0, 256, (40, 40, 3), dtype=np.uint8)
    return sw.trace(tiny, noise, plan={"3": 0.95}, augmentations=4)


def test_a_neuron_that_nothing_reaches_under_a_trace_is_said(tiny: sw.ImageClassifier, trace: sw.Trace) -> None:
    lives = trace.weights()["3"].flatten(1).any(1).tolist()
    dead, alive = (f"3:{lives.index(state)}" for state in (False, True))
    said = f"This trace has pruned all that reaches {dead}: take a lower sparsity, or another neuron."
    for neuron in (dead, tiny.neuron(dead)):
        for more in ({}, {"count": 2}, {"transparent": True}):
            with pytest.raises(sw.InputError) as caught:
                sw.visualize(trace, neuron, steps=2, **more)
            assert str(caught.value) == said
    # The dense network has a picture of it, and the trace of what it has kept.
    for network, neuron in ((tiny, dead), (tiny, alive), (trace, alive)):
        assert sw.visualize(network, neuron, steps=2).size == (32, 32)
