"""What to wrap a module in that gives or takes something else than a classifier does: the ends of errors' sentences.

Notebook 02 shows each wrapper.
"""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Mapping
from typing import Any, TypeGuard

import torch
from torch import Tensor, nn

#: What a model of grey images begins with, so that it can be asked about coloured ones.
GREY = "x.mean(1, keepdim=True)"


def is_logits(output: object) -> TypeGuard[Tensor]:
    """Whether a module gave what a classifier gives: a tensor (n, classes) of two or more classes."""
    return isinstance(output, Tensor) and output.ndim == 2 and output.shape[1] > 1


def of_output(output: object) -> str:
    """How logits (n, classes) are had from what a module gave for one image; empty where that cannot be said."""
    place = _place(output)
    return f"; wrap it in a module that gives {place}" if place else ""


def of_input(module: nn.Module, image: Tensor) -> str:
    """What to do for a module that cannot be run on an image (1, c, h, w), if that is what makes it run."""
    channels = image.shape[1]
    if channels > 1 and runs_on(module, image.mean(1, keepdim=True)):
        return f"; it runs on one channel, so put a module before it that gives {GREY}"
    if channels == 1 and runs_on(module, image.expand(-1, 3, -1, -1)):
        return "; it runs on three channels, so end the preprocessing with .expand(3, -1, -1)"
    if channels == 3 and runs_on(module, torch.cat([image, image[:, :1]], 1)):
        return (
            "; it runs on four channels, so let the preprocessing give the fourth, "
            "or put a module before it that gives torch.cat([x, torch.ones_like(x[:, :1])], 1)"
        )
    return ""


def of_sigmoids(name: str) -> str:
    """The sentence for a model that gives a probability for each class by itself."""
    return (
        f"{name} ends in a sigmoid for each class by itself, of which several may be true, so its probabilities are no "
        "softmax of logits: wrap it in a module that gives one class's column, output[:, i:i + 1], which is taken as "
        "yes or no."
    )


def runs_on(module: nn.Module, image: Tensor) -> bool:
    """Whether a module can be run on an image (1, c, h, w)."""
    # Whatever the user's own forward raises: then it cannot.
    with contextlib.suppress(Exception), torch.no_grad():
        module(image)
        return True
    return False


def _place(output: Any, depth: int = 3) -> str:
    """Where the logits are in a tuple, a dict, a dataclass, or an object as hubs' models give; empty where nowhere."""
    if isinstance(output, Mapping):
        held = [(f"[{key!r}]", value) for key, value in output.items()]
    elif isinstance(output, tuple | list):
        held = [(f"[{i}]", value) for i, value in enumerate(output)]
    elif dataclasses.is_dataclass(output):
        held = [(f".{field.name}", getattr(output, field.name)) for field in dataclasses.fields(output)]
    else:
        held = []
    named = [(f".{key}", getattr(output, key)) for key in ("logits",) if hasattr(output, key)]
    for path, value in [*named, *held]:
        if is_logits(value):
            return f"output{path}"
    for path, value in held:
        if depth > 1 and not isinstance(value, Tensor | nn.Module) and (inner := _place(value, depth - 1)):
            return inner.replace("output", f"output{path}", 1)
    return ""
