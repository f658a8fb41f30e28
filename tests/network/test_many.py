"""Logits of many images: in fewer bits only where they say the same, and the last layer never."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from spade_widgets.demo import photos
from spade_widgets.errors import InputError
from spade_widgets.network import half
from spade_widgets.network.many import PROBABILITY, SHARE, logits_of_many


@pytest.fixture(autouse=True)
def multiplied(monkeypatch: pytest.MonkeyPatch) -> None:
    """A processor that multiplies bfloat16 by itself."""
    monkeypatch.setattr(half, "_multiplied", lambda: True)


class Told(nn.Module):
    """Two layers on large images; says in which types they were run.

    Args:
        offset: of all features, which the last layer takes off again: a rounded one is a wrong one.
    """

    def __init__(self, offset: float = 0.0) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.conv, self.fc = nn.Conv2d(3, 8, 3, padding=1), nn.Linear(8, 5)
        with torch.no_grad():
            assert self.conv.bias is not None
            self.conv.bias.add_(offset)
            self.fc.weight -= self.fc.weight.mean(1, keepdim=True)
        self.types: list[torch.dtype] = []

    def forward(self, x: Tensor) -> Tensor:
        maps = self.conv(x)
        logits: Tensor = self.fc(maps.relu().mean((2, 3)))
        self.types = [maps.dtype, logits.dtype]
        return logits


def images(count: int = 2) -> Tensor:
    return torch.randn(count, 3, half.SIDE, half.SIDE, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("layout", [torch.preserve_format, torch.channels_last])
def test_the_network_has_fewer_bits_and_its_last_layer_has_not(layout: torch.memory_format) -> None:
    module = Told()
    found = logits_of_many(module, images(), ["conv", "fc"], layout)(images())
    assert module.types == [torch.bfloat16, torch.float32]
    wanted = Told()(images()).detach()
    assert not torch.equal(found, wanted)
    assert not found.requires_grad
    torch.testing.assert_close(found, wanted, rtol=0, atol=SHARE * float(wanted.abs().max()))


def test_left_off_where_it_would_say_something_else() -> None:
    module = Told(offset=300)
    run = logits_of_many(module, images(), ["conv", "fc"], torch.preserve_format)
    assert torch.equal(run(images()), Told(offset=300)(images()))
    assert module.types == [torch.float32] * 2


@pytest.mark.parametrize("asked", [True, False])
def test_as_asked(asked: bool) -> None:
    module = Told(offset=300)
    logits_of_many(module, images(), ["conv", "fc"], torch.channels_last, bfloat16=asked)(images())
    assert module.types[0] == (torch.bfloat16 if asked else torch.float32)


def test_something_else_than_yes_or_no_is_refused() -> None:
    with pytest.raises(InputError, match="'bfloat16' is True, False or None; 'half' is none of them"):
        logits_of_many(Told(), images(), ["conv", "fc"], torch.channels_last, bfloat16="half")  # type: ignore[arg-type]


def test_small_images_and_other_types_stay_as_they_are() -> None:
    small = images()[..., : half.SIDE - 1, : half.SIDE - 1]
    module = Told()
    assert torch.equal(logits_of_many(module, small, ["conv", "fc"], torch.preserve_format)(small), Told()(small))
    exact = logits_of_many(Told().double(), images().double(), ["conv", "fc"], torch.preserve_format)(images().double())
    assert exact.dtype == torch.float64


def test_a_trained_network_says_the_same_of_photographs_with_a_part_hidden() -> None:
    classifier = photos.classifier()
    image = classifier.prepare(photos.samples()[0])
    hidden = image.repeat(4, 1, 1, 1)
    for i in range(4):
        hidden[i, :, 40 * i : 40 * i + 60, 50:120] = 0
    layers = classifier.prunable()
    run = logits_of_many(classifier.module(), image, layers, torch.channels_last, bfloat16=True)
    found, wanted = run(hidden), classifier.module()(hidden).detach()
    assert not torch.equal(found, wanted)
    assert float((found.softmax(1) - wanted.softmax(1)).abs().max()) < PROBABILITY
