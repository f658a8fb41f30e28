"""The networks that a table compares, by name: dense, each solver's traces, and their sequential forms."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from spade_widgets.classifier import ImageClassifier
from spade_widgets.errors import InputError
from spade_widgets.prediction import Network
from spade_widgets.pruning.calibration.calibration import Calibration, calibrate
from spade_widgets.pruning.plans.plan import SparsityPlan
from spade_widgets.pruning.progress import Steps
from spade_widgets.pruning.pruner import Pruner
from spade_widgets.pruning.solvers import SOLVERS
from spade_widgets.pruning.spade import trace_steps
from spade_widgets.sample import Sample

DENSE = "dense"
SEQUENTIAL = "-sequential"


@dataclass(frozen=True)
class NetworkName:
    """A network by name: `"dense"`, a solver's name, or that with `"-sequential"` behind it.

    Attributes:
        solver: None for dense.
        sequential: whether each layer is pruned on what the layers pruned before it give.
    """

    solver: str | None
    sequential: bool = False

    def __str__(self) -> str:
        return DENSE if self.solver is None else self.solver + (SEQUENTIAL if self.sequential else "")

    @staticmethod
    def parse(name: str) -> NetworkName:
        """Read a name.

        Raises:
            InputError: if there is no such solver.
        """
        if name == DENSE:
            return NetworkName(None)
        solver = name.removesuffix(SEQUENTIAL)
        if solver not in SOLVERS:
            known = ", ".join([DENSE, *SOLVERS])
            raise InputError(
                f"There is no network '{name}': {known} can be compared, a solver also as '…{SEQUENTIAL}'."
            )
        return NetworkName(solver, name != solver)


@dataclass(frozen=True)
class Pruning:
    """How traces are made.

    Attributes:
        plan: layer → sparsity.
        augmentations, seed: of the calibration.
    """

    plan: SparsityPlan
    augmentations: int = 256
    seed: int = 0

    def settings(self, name: NetworkName) -> dict[str, Any]:
        """What a network depends on, beside the classifier and the sample; JSON. Nothing for the dense one."""
        if name.solver is None:
            return {}
        return {
            "solver": name.solver,
            "sequential": name.sequential,
            "plan": {layer: sparsity for layer, sparsity in self.plan.sparsities.items() if sparsity > 0},
            "augmentations": self.augmentations,
            "seed": self.seed,
        }


class Maker(Protocol):
    """Makes the networks of one sample."""

    def make(self, name: NetworkName) -> Steps[Network]:
        """The network of that name."""


class Networks:
    """The networks of one sample, made as `sw.trace` does. Those that are not sequential share one calibration."""

    def __init__(self, classifier: ImageClassifier, sample: Sample, pruning: Pruning | None) -> None:
        self._classifier, self._sample, self._pruning = classifier, sample, pruning
        self._calibration: Calibration | None = None

    def make(self, name: NetworkName, plan: SparsityPlan | None = None) -> Steps[Network]:
        """The network of that name.

        Args:
            name: dense, or a solver's.
            plan: another one of the same layers; they share the calibration too.

        Raises:
            InputError: if a trace is asked for and it was not said how traces are made; and what `sw.trace` raises.
        """
        if name.solver is None:
            return self._classifier
        if self._pruning is None:
            raise InputError("Traces cannot be made without a plan: say which layers are pruned, and how much.")
        plan = plan or self._pruning.plan
        count, seed = self._pruning.augmentations, self._pruning.seed
        if name.sequential:
            steps = trace_steps(self._classifier, self._sample, plan, name.solver, count, seed, sequential=True)
            return (yield from steps)[0]
        if self._calibration is None:
            self._calibration = yield from calibrate(
                self._classifier, self._sample, plan.layers, augmentations=count, seed=seed
            )
        pruner = Pruner(self._classifier, self._sample, name.solver, seed)
        return (yield from pruner.prune(self._calibration, [plan]))[0]


def parse_networks(names: Sequence[str]) -> tuple[NetworkName, ...]:
    """Read several names, each once.

    Raises:
        InputError: if there is none, or one is no network's.
    """
    if not names:
        raise InputError(f"There is no network to judge: name at least '{DENSE}'.")
    return tuple(dict.fromkeys(map(NetworkName.parse, names)))
