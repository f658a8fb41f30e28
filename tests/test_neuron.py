"""Neurons: how they are written, read back, and refused."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from spade_widgets.classifier import ImageClassifier
from spade_widgets.errors import InputError
from spade_widgets.neuron import Neuron, find_class, parse_neuron, record_layers

NAMES = ("goose", "Crane", "crane", "maillot", "maillot", "a:b@1,2", " padded ", "")


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("0:3", Neuron("0", 3)),
        (" 0:3 ", Neuron("0", 3)),
        ("3:15@15,0", Neuron("3", 15, (15, 0))),
        ("7:4", Neuron("7", 4)),
        ("7:4@0,0", Neuron("7", 4, (0, 0))),
        ("logit:bee", Neuron(None, 1, class_name="bee")),
        ("logit:BEE", Neuron(None, 1, class_name="bee")),
        ("logit:4", Neuron(None, 4, class_name="eel")),
    ],
)
def test_reading(tiny: ImageClassifier, written: str, meant: Neuron) -> None:
    found = tiny.neuron(written)
    assert found == meant
    assert tiny.neuron(str(found)) == found
    assert tiny.neuron(found) == found


@pytest.mark.parametrize(
    ("written", "said"),
    [
        ("", "is not a neuron: write 'layer:channel'"),
        ("0", "is not a neuron"),
        ("0:", "is not a neuron"),
        ("0:x", "is not a neuron"),
        ("0:-1", "is not a neuron"),
        ("0:1@2", "is not a neuron"),
        ("0:1@2,3,4", "is not a neuron"),
        ("0:1@-1,3", "is not a neuron"),
        ("conv9:0", "no layer 'conv9'"),
        ("1:0", "no layer '1'"),  # a norm passes on what the convolution computes
        ("0:8", "channels 0 to 7; there is no channel 8"),
        ("3:0@16,0", "16 × 16 positions; there is no row 16, column 0"),
        ("7:0@0,1", "1 × 1 positions"),
        ("logit:5", "no class 5: the classes are 0 to 4"),
        ("logit:wolf", "no class 'wolf'"),
        ("logit:bees", "did you mean 'bee'"),
        ("logit:", "no class ''"),
        ("logit:-1", "no class '-1'"),
        ("logit:²", "no class '²'"),
    ],
)
def test_refusing(tiny: ImageClassifier, written: str, said: str) -> None:
    with pytest.raises(InputError, match=said):
        tiny.neuron(written)


@pytest.mark.parametrize("index", range(len(NAMES)))
def test_every_class_is_found_again_by_what_it_is_written_as(index: int) -> None:
    neuron = parse_neuron(f"logit:{index}", (), NAMES)
    assert neuron.channel == index
    assert parse_neuron(str(neuron), (), NAMES) == neuron


def test_names_that_are_numbers_of_other_classes() -> None:
    names = ("1", "2", "0")
    assert find_class("1", names) == 0
    assert find_class(1, names) == 1
    for name in names:
        neuron = parse_neuron(f"logit:{name}", (), names)
        assert names[neuron.channel] == name
        assert parse_neuron(str(neuron), (), names) == neuron


def test_classes_by_name() -> None:
    assert find_class("Crane", NAMES) == 1
    assert find_class("crane", NAMES) == 2
    assert find_class("GOOSE", NAMES) == 0
    assert find_class("padded", NAMES) == 6
    assert find_class(7, NAMES) == 7
    with pytest.raises(InputError, match=r"'maillot' names 2 classes \(3, 4\): give the number"):
        find_class("maillot", NAMES)
    with pytest.raises(InputError, match="names 2 classes"):
        find_class("CRANE", NAMES)
    for index in (-1, 8):
        with pytest.raises(InputError, match="the classes are 0 to 7"):
            find_class(index, NAMES)


def test_layers_come_in_the_order_in_which_they_run() -> None:
    class Backwards(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.fc = nn.Linear(4, 3)
            self.spare = nn.Linear(2, 2)
            self.block = nn.Sequential(nn.Conv2d(3, 4, 3, stride=2), nn.ReLU())
            self.tokens = nn.Linear(4, 4)

        def forward(self, x: Tensor) -> Tensor:
            maps = self.block(x)
            return self.fc(self.tokens(maps.flatten(2).transpose(1, 2)).mean(1))

    layers, prunable = record_layers(Backwards(), torch.zeros(1, 3, 11, 21))
    assert [(layer.name, layer.kind, layer.channels, layer.size) for layer in layers] == [
        ("block.0", "conv", 4, (5, 10)),
        ("block", "block", 4, (5, 10)),
        ("fc", "linear", 3, (1, 1)),
    ]
    assert prunable == ("block.0", "tokens", "fc")


def test_maps_with_their_channels_last_are_not_mistaken_for_maps() -> None:
    class Last(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.embed, self.mix, self.fc = nn.Conv2d(3, 6, 2, stride=2), nn.Linear(6, 6), nn.Linear(6, 2)

        def forward(self, x: Tensor) -> Tensor:
            return self.fc(self.mix(self.embed(x).permute(0, 2, 3, 1)).mean((1, 2)))

    layers, prunable = record_layers(Last(), torch.zeros(1, 3, 32, 32))
    assert [layer.name for layer in layers] == ["embed", "fc"]
    assert prunable == ("embed", "mix", "fc")
