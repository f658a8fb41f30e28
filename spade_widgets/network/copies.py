"""Safe copies of any module: nothing that runs or is set on a copy reaches the user's own."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from spade_widgets.errors import ModelError, described
from spade_widgets.network.copier import Copier
from spade_widgets.network.reach import compiled_from, reached


def shared_copy(model: nn.Module, *, weights: bool = True, outside: Sequence[Any] = ()) -> nn.Module:
    """A copy of a module in eval mode, with frozen parameters that share the module's storage. The module stays.

    Everything else is the copy's own: buffers, tensors that a forward pass left on the module (as values, without
    their history), and what hooks and replaced methods close over or keep in global variables. A compiled part is
    copied as what was compiled, and a parameter made in inference mode is copied as an ordinary one.

    Args:
        weights: whether the parameters' storage is shared; if not, they are copied too.
        outside: what the code of the model's classes keeps, which no copy has for its own; see `Outside`.

    Raises:
        ModelError: if the module cannot be copied, or the copy would still use parts of the module's own.
    """
    model = unwrapped(model)
    parts = list(reached(model))
    with torch.inference_mode(False), torch.no_grad():
        try:
            twin: nn.Module = Copier(parts, outside, share=weights).copy(model)
        except Exception as error:  # whatever a user's object does when it is copied
            raise ModelError(
                f"{type(model).__name__} cannot be copied, because of {_culprit(model, outside)} "
                f"({described(error)}): take that off the model, or make it anew in each forward pass."
            ) from error
    _check_apart(model, parts, twin, outside)
    return twin.eval()


def unwrapped(model: nn.Module) -> nn.Module:
    """The module that `torch.compile` was given; any other as it is."""
    while isinstance(inner := compiled_from(model), nn.Module):
        model = inner
    return model


def _culprit(model: nn.Module, outside: Sequence[Any]) -> str:
    """Which attribute of which layer cannot be copied."""
    for path, module in model.named_modules():
        for key, value in vars(module).items():
            if key in ("_modules", "_parameters", "_buffers"):
                continue
            try:
                Copier(list(reached(value)), outside, share=True).copy(value)
            except Exception:  # noqa: BLE001 - this is the one
                hook = "one of its hooks" if key.endswith("_hooks") else f"its attribute '{key}'"
                return f"{hook} on layer '{path}'" if path else hook
    return "something that its hooks or methods close over"


def _check_apart(model: nn.Module, parts: list[Any], twin: nn.Module, outside: Sequence[Any]) -> None:
    """Whether a copy is free of the original's modules and buffers, which running it would run or write."""
    free = {id(part) for part in outside}
    theirs = {id(part) for part in parts if isinstance(part, nn.Module | Tensor)} - free
    for part in reached(twin):
        if id(part) in theirs:
            what = "tensor" if isinstance(part, Tensor) else type(part).__name__
            raise ModelError(
                f"{type(model).__name__} cannot be copied: something on it (a hook, a method put in place of another, "
                f"or an object with a way of its own to be copied) would make the copy use the model's own {what}; "
                "take it off the model, or define it in the model's class."
            )
