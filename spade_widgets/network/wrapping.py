"""What to wrap a module in that gives or takes something else than a classifier does: the ends of errors' sentences.

Notebook 02 shows each wrapper.
"""

from __future__ import annotations

import contextlib
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
    if isinstance(output, Tensor):
        if output.numel() == 1 and output.ndim in (1, 2):  # (1, 1), or squeezed
            made = "torch.cat([-z, z], 1)" if output.ndim == 2 else "torch.stack([-z, z], 1)"
            return f"; if that is one logit z of yes or no, wrap it in a module that gives {made} / 2"
        if output.ndim > 2 and is_logits(output.flatten(1)) and output.shape[1] == output.flatten(1).shape[1]:
            return "; wrap it in a module that gives output.flatten(1)"
        return ""
    place = _place(output)
    return f"; wrap it in a module that gives {place}" if place else ""


def of_input(module: nn.Module, image: Tensor) -> str:
    """What to put before a module that cannot be run on an image (1, 3, h, w), if that is what makes it run."""
    # Whatever the user's own forward raises again: then it is not the number of channels.
    with contextlib.suppress(Exception), torch.no_grad():
        module(image.mean(1, keepdim=True))
        return f"; it runs on one channel, so put a module before it that gives {GREY}"
    return ""


def _place(output: Any) -> str:
    """Where the logits are in a tuple, a dict, or an object as transformers' models give; empty where nowhere."""
    if is_logits(getattr(output, "logits", None)):
        return "output.logits"
    if isinstance(output, Mapping):
        return next((f"output[{key!r}]" for key, value in output.items() if is_logits(value)), "")
    if isinstance(output, tuple | list):
        return next((f"output[{i}]" for i, value in enumerate(output) if is_logits(value)), "")
    return ""
