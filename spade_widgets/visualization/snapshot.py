"""Where a rendering stands, as tensors and plain values: what it needs to go on bit for bit, here or elsewhere."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from spade_widgets.errors import InputError

_MOMENT = "optimizer/"


@dataclass(frozen=True, eq=False)
class Snapshot:
    """Where a renderer stands: see `Renderer.snapshot`.

    Attributes:
        tensors: by name, on the CPU.
        numbers: plain values by name.
    """

    tensors: Mapping[str, Tensor]
    numbers: Mapping[str, Any]


def take(tensors: Mapping[str, Tensor], optimizer: torch.optim.Optimizer, numbers: Mapping[str, Any]) -> Snapshot:
    """Copies of tensors and of what an optimiser of one parameter remembers, and the numbers."""
    moments = optimizer.state_dict()["state"].get(0, {})
    every = {**tensors, **{f"{_MOMENT}{name}": torch.as_tensor(value) for name, value in moments.items()}}
    return Snapshot({name: tensor.detach().cpu().clone() for name, tensor in every.items()}, dict(numbers))


def put_back(
    snapshot: Snapshot,
    tensors: Mapping[str, Tensor],
    optimizer: torch.optim.Optimizer,
    numbers: Mapping[str, Any],
) -> None:
    """Write a snapshot into tensors, on whatever device they are, and into an optimiser.

    Args:
        numbers: those that it must have, with any values.

    Raises:
        InputError: if the snapshot is of others.
    """
    for name, here in tensors.items():
        there = snapshot.tensors.get(name)
        if there is None or there.shape != here.shape or there.dtype != here.dtype:
            raise InputError(f"The snapshot's '{name}' is missing or of another shape than this renderer's.")
    if snapshot.numbers.keys() != numbers.keys():
        raise InputError(f"The snapshot does not say {', '.join(sorted(numbers))} alone: it is no renderer's.")
    with torch.no_grad():
        for name, here in tensors.items():
            here.copy_(snapshot.tensors[name])
    moments = {n.removeprefix(_MOMENT): t for n, t in snapshot.tensors.items() if n.startswith(_MOMENT)}
    groups = optimizer.state_dict()["param_groups"]
    optimizer.load_state_dict({"state": {0: moments} if moments else {}, "param_groups": groups})
