"""The networks that pictures are made under, each at each sparsity."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from spade_widgets.errors import InputError
from spade_widgets.evidence.networks import NetworkName, Pruning
from spade_widgets.pruning.plans.plan import SparsityPlan


@dataclass(frozen=True)
class Condition:
    """A network, and how sparse it is.

    Attributes:
        network: by name.
        pruning: how its traces are made; None for dense.
        at: what its plan is called beside other plans, such as `"0.9"`; `""` where there is but one.
    """

    network: NetworkName
    pruning: Pruning | None
    at: str = ""

    def __str__(self) -> str:
        return f"{self.network} {self.at}".rstrip()

    @property
    def settings(self) -> dict[str, Any]:
        """See `Pruning.settings`."""
        return {} if self.pruning is None else self.pruning.settings(self.network)


def conditions(
    networks: Sequence[NetworkName], plans: Mapping[str, SparsityPlan], augmentations: int, seed: int
) -> tuple[Condition, ...]:
    """Each network under each plan, solver by solver; the dense one once.

    Args:
        networks: by name.
        plans: what a plan is called → it; all of the same layers.
        augmentations, seed: of the calibrations.

    Raises:
        InputError: if there is a trace among the networks and no plan.
    """
    found = []
    for name in networks:
        if name.solver is None:
            found.append(Condition(name, None))
        elif not plans:
            raise InputError("Traces cannot be made without a plan: say which layers are pruned, and how much.")
        else:
            found += [Condition(name, Pruning(plan, augmentations, seed), at) for at, plan in plans.items()]
    return tuple(found)
