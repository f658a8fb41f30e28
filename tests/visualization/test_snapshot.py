"""A rendering goes on elsewhere from where it stood, bit for bit."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from spade_widgets.classifier import ImageClassifier
from spade_widgets.errors import InputError
from spade_widgets.visualization import Renderer

NEURON = "3:2"


def stepped(renderer: Renderer, steps: int) -> Renderer:
    for _ in range(steps):
        renderer.step()
    return renderer


@pytest.mark.parametrize("options", [{}, {"count": 2}], ids=["one", "several"])
@pytest.mark.parametrize("done", [0, 1, 3])
def test_a_renderer_goes_on_from_a_snapshot_bit_for_bit(tiny: ImageClassifier, done: int, options: dict) -> None:
    first = stepped(Renderer(tiny, NEURON, seed=5, **options), done)
    snapshot = first.snapshot()
    second = Renderer(tiny, NEURON, seed=5, **options)
    second.restore(snapshot)
    assert torch.equal(first.images(), second.images())
    assert torch.equal(first.opacity(), second.opacity())
    counted = ("steps_done", "activation", "seconds", "dead")
    assert [getattr(second, name) for name in counted] == [getattr(first, name) for name in counted]
    stepped(first, 3)
    stepped(second, 3)
    assert torch.equal(first.images(), second.images())
    assert (first.steps_done, first.activation) == (second.steps_done, second.activation)


def test_a_snapshot_stays_as_it_was_when_its_renderer_goes_on(tiny: ImageClassifier) -> None:
    renderer = stepped(Renderer(tiny, NEURON), 2)
    snapshot, image = renderer.snapshot(), renderer.image()
    stepped(renderer, 2)
    assert not torch.equal(renderer.image(), image)
    renderer.restore(snapshot)
    assert torch.equal(renderer.image(), image)
    assert renderer.steps_done == 2


def test_a_snapshot_of_another_size_or_kind_is_refused(tiny: ImageClassifier) -> None:
    renderer = stepped(Renderer(tiny, NEURON), 1)
    before = renderer.image()
    larger = Renderer(tiny, NEURON, size=40).snapshot()
    with pytest.raises(InputError, match="'leaf' is missing or of another shape"):
        renderer.restore(larger)
    lacking = replace(renderer.snapshot(), numbers={"steps_done": 3})
    with pytest.raises(InputError, match="no renderer's"):
        renderer.restore(lacking)
    assert torch.equal(renderer.image(), before)
