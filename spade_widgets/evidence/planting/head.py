"""What a network gives its head: the features that a copy is to keep."""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn


class Head:
    """A network that also tells what its head is given.

    Args:
        module: a copy of ours: it is hooked.
        name: of its head (`plans.plan.head`); None where it has none: its logits stand for the features then.
    """

    def __init__(self, module: nn.Module, name: str | None) -> None:
        self._module = module
        self._given: list[Tensor] = []
        part = None if name is None else dict(module.named_modules()).get(name)  # a parameter's path is no module's
        if part is not None:
            part.register_forward_pre_hook(self._keep)

    def run(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """The logits, and the features: (n, classes) and (n, …), in float32 or better."""
        self._given.clear()
        logits = _wide(self._module(images))
        given = _wide(self._given[-1]) if self._given else logits - logits.mean(1, keepdim=True)
        self._given.clear()
        return logits, given

    def _keep(self, _module: nn.Module, inputs: tuple[Any, ...]) -> None:
        if inputs and isinstance(inputs[0], Tensor):
            self._given.append(inputs[0])


def _wide(tensor: Tensor) -> Tensor:
    return tensor if tensor.element_size() > 4 else tensor.float()
