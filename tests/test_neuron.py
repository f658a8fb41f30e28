"""Neurons: how they are written, read back, and refused."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import Tensor, nn

from spade_widgets.classifier import ImageClassifier
from spade_widgets.errors import InputError
from spade_widgets.neuron import Neuron, find_class, grid, parse_neuron, record_layers

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
            self.side = nn.Linear(4, 4)

        def forward(self, x: Tensor) -> Tensor:
            maps = self.block(x)
            return self.fc(self.side(maps.mean((2, 3))))

    layers = record_layers(Backwards(), torch.zeros(1, 3, 11, 21))
    assert [(layer.name, layer.kind, layer.channels, layer.size) for layer in layers] == [
        ("block.0", "conv", 4, (5, 10)),
        ("block", "block", 4, (5, 10)),
        ("side", "linear", 4, (1, 1)),
        ("fc", "linear", 3, (1, 1)),
    ]


class Last(nn.Module):
    """Maps with their channels last; then tokens, a class token before them."""

    def __init__(self) -> None:
        super().__init__()
        self.embed, self.mix, self.fc = nn.Conv2d(3, 6, 4, stride=4), nn.Linear(6, 5), nn.Linear(5, 2)
        self.flat, self.windows = nn.Linear(5, 5), nn.Linear(5, 5)

    def forward(self, x: Tensor) -> Tensor:
        mixed = self.mix(self.embed(x).permute(0, 2, 3, 1))
        tokens = torch.cat([mixed.mean((1, 2))[:, None], mixed.flatten(1, 2)], 1)
        windows = self.windows(mixed.unflatten(2, (2, -1)).transpose(1, 2).flatten(0, 1))  # no longer one picture
        return self.fc(self.flat(tokens).mean(1) + windows.mean((1, 2))[:1])


def test_channels_last_and_tokens_make_maps() -> None:
    torch.manual_seed(0)
    module, x = Last(), torch.randn(1, 3, 24, 48)
    layers = {layer.name: layer for layer in record_layers(copy.deepcopy(module), torch.zeros(1, 3, 24, 48))}
    assert {name: (layer.channels, layer.size, layer.arrangement) for name, layer in layers.items()} == {
        "embed": (6, (6, 12), "channels first"),
        "mix": (5, (6, 12), "channels last"),
        "flat": (5, (6, 12), "tokens"),
        "fc": (2, (1, 1), "channels first"),
    }
    mixed = module.mix(module.embed(x).permute(0, 2, 3, 1))
    maps = layers["mix"].maps(mixed)
    assert maps.shape == (1, 5, 6, 12)
    assert maps[0, 3, 2, 7] == mixed[0, 2, 7, 3]
    tokens = torch.cat([torch.full((1, 1, 5), 9.0), mixed.flatten(1, 2)], 1)
    assert torch.equal(layers["flat"].maps(tokens), maps)
    assert torch.equal(layers["flat"].maps(tokens[:, 1:]), maps)
    units = torch.randn(3, 2)
    assert torch.equal(layers["fc"].maps(units), units)


@pytest.mark.parametrize(
    ("tokens", "proportion", "size"),
    [
        (196, 1.0, (14, 14)),
        (197, 1.0, (14, 14)),
        (72, 0.5, (6, 12)),
        (73, 0.5, (6, 12)),
        (4, 1.0, (2, 2)),
        (1, 1.0, None),
        (2, 1.0, (1, 2)),
        (7, 1.0, (2, 3)),
    ],
)
def test_grids_of_tokens(tokens: int, proportion: float, size: tuple[int, int] | None) -> None:
    assert grid(tokens, proportion) == size
