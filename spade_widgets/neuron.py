"""Neurons and how they are written: `"layer4.1.conv2:17"`, `"layer4.1.conv2:17@3,4"`, `"logit:goose"`, `"logit:99"`."""

from __future__ import annotations

import difflib
import math
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

import torch
from torch import Tensor, nn

from spade_widgets.errors import InputError

#: Layers that only pass on what another one computed: their neurons would be listed twice.
_PASSING = (
    nn.modules.batchnorm._NormBase, nn.LayerNorm, nn.GroupNorm, nn.Dropout, nn.Dropout2d, nn.Identity, nn.Flatten,
    nn.ReLU, nn.ReLU6, nn.GELU, nn.SiLU, nn.Hardswish, nn.Hardsigmoid, nn.Sigmoid, nn.Softmax, nn.LeakyReLU, nn.ELU,
    nn.MaxPool2d, nn.AvgPool2d, nn.AdaptiveAvgPool2d, nn.AdaptiveMaxPool2d,
)  # fmt: skip

_WRITTEN = re.compile(r"(?P<layer>.+):(?P<channel>\d+)(?:@(?P<row>\d+),(?P<col>\d+))?")
_HOW = "write 'layer:channel', 'layer:channel@row,column' or 'logit:class'"


Kind: TypeAlias = Literal["conv", "linear", "block"]
Arrangement: TypeAlias = Literal["channels first", "channels last", "tokens"]


@dataclass(frozen=True)
class Layer:
    """A layer whose neurons can be visualised.

    Attributes:
        name: as in `named_modules()`.
        kind: `"conv"`, `"linear"`, or `"block"` for a module made of several.
        channels: how many neurons it has.
        size: rows and columns of its output on an input of the classifier's size; (1, 1) for a layer of single units.
        arrangement: how its output holds them: `"channels first"` (n, channels, rows, cols) or (n, channels),
            `"channels last"` (n, rows, cols, channels), or `"tokens"` (n, rows · cols, channels), where a class token
            may come before the others.
    """

    name: str
    kind: Kind
    channels: int
    size: tuple[int, int]
    arrangement: Arrangement = "channels first"

    def maps(self, output: Tensor) -> Tensor:
        """The layer's output with its channels first: (n, channels, rows, cols), or (n, channels) of single units.

        A class token is no place in the picture and is left out.
        """
        if self.arrangement == "channels last":
            return output.permute(0, 3, 1, 2)
        if self.arrangement == "tokens":
            rows, cols = grid(output.shape[1], self.size[0] / self.size[1]) or (1, output.shape[1])
            places = output[:, output.shape[1] - rows * cols :]
            return places.transpose(1, 2).reshape(output.shape[0], output.shape[2], rows, cols)
        return output


@dataclass(frozen=True)
class Neuron:
    """What is visualised: a channel of a layer (at one position or over all), or a class logit (`layer` is None)."""

    layer: str | None
    channel: int
    position: tuple[int, int] | None = None
    class_name: str | None = None

    def __str__(self) -> str:
        if self.layer is None:
            return f"logit:{self.class_name or self.channel}"
        at = f"@{self.position[0]},{self.position[1]}" if self.position else ""
        return f"{self.layer}:{self.channel}{at}"


def parse_neuron(spec: str | Neuron, layers: Sequence[Layer], class_names: Sequence[str]) -> Neuron:
    """See `ImageClassifier.neuron`."""
    text = str(spec).strip()
    if text.startswith("logit:"):
        index = find_class(text.removeprefix("logit:"), class_names)
        unique = class_names.count(class_names[index]) == 1
        return Neuron(None, index, class_name=class_names[index] if unique else None)
    match = _WRITTEN.fullmatch(text)
    if not match:
        raise InputError(f"'{text}' is not a neuron: {_HOW}.")
    name, channel = match["layer"], int(match["channel"])
    layer = next((candidate for candidate in layers if candidate.name == name), None)
    if layer is None:
        raise InputError(f"There is no layer '{name}'{_did_you_mean(name, [known.name for known in layers])}")
    if channel >= layer.channels:
        raise InputError(f"Layer '{name}' has channels 0 to {layer.channels - 1}; there is no channel {channel}.")
    if match["row"] is None:
        return Neuron(name, channel)
    position = int(match["row"]), int(match["col"])
    if position[0] >= layer.size[0] or position[1] >= layer.size[1]:
        rows, cols = layer.size
        raise InputError(
            f"Layer '{name}' has {rows} × {cols} positions; there is no row {position[0]}, column {position[1]}."
        )
    return Neuron(name, channel, position)


def find_class(spec: str | int, class_names: Sequence[str]) -> int:
    """See `ImageClassifier.class_index`."""
    if isinstance(spec, str):
        text = spec.strip()
        found = [i for i, name in enumerate(class_names) if name.strip() == text]
        if not found:
            found = [i for i, name in enumerate(class_names) if name.strip().lower() == text.lower()]
        if len(found) == 1:
            return found[0]
        if len(found) > 1:
            raise InputError(f"'{text}' names {len(found)} classes ({', '.join(map(str, found))}): give the number.")
        if not text.isdecimal():
            raise InputError(f"There is no class '{text}'{_did_you_mean(text, class_names)}")
    index = int(spec)
    if not 0 <= index < len(class_names):
        raise InputError(f"There is no class {index}: the classes are 0 to {len(class_names) - 1}.")
    return index


def record_layers(module: nn.Module, example: Tensor) -> tuple[Layer, ...]:
    """The layers of a module (a copy that may be hooked) whose neurons can be visualised, as `example` runs them.

    Args:
        module: the copy.
        example: (1, 3, h, w).
    """
    seen: dict[str, Layer] = {}

    def recorder(name: str, kind: Kind) -> Callable[..., None]:
        def record(part: nn.Module, _inputs: Any, output: Any) -> None:
            if name not in seen and isinstance(output, Tensor) and output.shape[0] == 1:
                found = _arranged(part, output, example)
                if found is not None:
                    arrangement, channels, size = found
                    seen[name] = Layer(name, kind, channels, size, arrangement)

        return record

    for name, part in module.named_modules():
        if name == "" or isinstance(part, _PASSING):
            continue
        if isinstance(part, nn.Conv2d):
            part.register_forward_hook(recorder(name, "conv"))
        elif isinstance(part, nn.Linear):
            part.register_forward_hook(recorder(name, "linear"))
        elif any(isinstance(inner, nn.Conv2d | nn.Linear) for inner in part.modules()):
            part.register_forward_hook(recorder(name, "block"))
    with torch.no_grad():
        module(example)
    return tuple(seen.values())


def _arranged(part: nn.Module, output: Tensor, example: Tensor) -> tuple[Arrangement, int, tuple[int, int]] | None:
    """How a layer's output holds its channels, how many they are, and rows and columns; None if it holds no map."""
    proportion = example.shape[2] / example.shape[3]
    if output.ndim == 2:
        return "channels first", output.shape[1], (1, 1)
    if output.ndim == 4:
        if not isinstance(part, nn.Linear) and _is_map(output.shape[2:], example):
            return "channels first", output.shape[1], (output.shape[2], output.shape[3])
        if _is_map(output.shape[1:3], example) and _has_width(part, output.shape[3]):
            return "channels last", output.shape[3], (output.shape[1], output.shape[2])
    if output.ndim == 3 and _has_width(part, output.shape[2]):
        size = grid(output.shape[1], proportion)
        if size is not None and _is_map(size, example):
            return "tokens", output.shape[2], size
    return None


def _is_map(size: Sequence[int], example: Tensor) -> bool:
    """Whether rows and columns have the input's proportions: otherwise one of them is something else."""
    (rows, cols), (h, w) = size, example.shape[2:]
    return abs(rows * w - cols * h) <= 2 * max(h, w)


def _has_width(part: nn.Module, channels: int) -> bool:
    """Whether a layer is, or holds, a linear layer that gives so many channels: in last place, as its kind does."""
    return any(isinstance(inner, nn.Linear) and inner.out_features == channels for inner in part.modules())


def grid(tokens: int, proportion: float) -> tuple[int, int] | None:
    """Rows and columns that so many tokens make, the first of them perhaps a class token; None if they make none."""
    for patches in (tokens, tokens - 1):
        rows = round(math.sqrt(patches * proportion))
        if rows > 0 and patches % rows == 0 and patches > 1:
            return rows, patches // rows
    return None


def _did_you_mean(text: str, names: Sequence[str]) -> str:
    close = difflib.get_close_matches(text, names, n=3, cutoff=0.5)
    if not close:
        return f"; the last ones are {', '.join(repr(name) for name in names[-3:])}."
    return f"; did you mean {' or '.join(repr(name) for name in close)}?"
