"""The session: one classifier, its samples, and what was computed of them. Panels on one session share it."""

from __future__ import annotations

import threading
from collections.abc import Generator, Hashable, Iterable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from torch import Tensor

from spade_widgets.classifier import ImageClassifier
from spade_widgets.errors import InputError
from spade_widgets.neuron import Neuron
from spade_widgets.prediction import Network, softmax
from spade_widgets.pruning.calibration import Calibration, calibrate
from spade_widgets.pruning.plan import PRESETS, Preset, SparsityPlan, preset
from spade_widgets.pruning.progress import Progress
from spade_widgets.pruning.solvers import SOLVERS
from spade_widgets.pruning.spade import Pruner
from spade_widgets.pruning.trace import Trace
from spade_widgets.runtime.jobs import WORKER, Worker
from spade_widgets.runtime.store import Store
from spade_widgets.sample import Sample
from spade_widgets.visualization import Renderer, activation_maps

#: The preset that stands for layer patterns of the user's own.
PATTERN = Preset("pattern", "by pattern", "The layers whose names match, such as 'layer4.*, fc'.")


@dataclass(frozen=True)
class Pruning:
    """How a sample is traced: what a user sets below the pictures.

    Attributes:
        sparsity: in [0, 1).
        preset: a preset's key, or `"pattern"`.
        pattern: layer name patterns, used by `"pattern"` alone.
        solver: the solver's name.
    """

    sparsity: float = 0.9
    preset: str = "late"
    pattern: str = ""
    solver: str = "fast"

    @property
    def family(self) -> Hashable:
        """What it shares with the same at other sparsities."""
        return self.preset, self.pattern if self.preset == PATTERN.key else "", self.solver


class Session:
    """One classifier, its samples, and what was computed of them.

    Args:
        classifier: the dense classifier.
        samples: at least one.
        augmentations, seed: of every calibration; `seed` also starts every visualization.
        steps: of every visualization.

    Raises:
        InputError: if there is no sample, or a number is too small.
    """

    def __init__(
        self,
        classifier: ImageClassifier,
        samples: Iterable[Sample],
        *,
        augmentations: int = 256,
        steps: int = 256,
        seed: int = 0,
        worker: Worker = WORKER,
    ) -> None:
        for name, value in (("augmentations", augmentations), ("steps", steps)):
            if value < 1:
                raise InputError(f"{name} is {value}; at least 1 is needed.")
        self.classifier = classifier
        self.augmentations, self.steps, self.seed = augmentations, steps, seed
        self.worker = worker
        self.store = Store()
        self._lock = threading.Lock()
        self._samples: dict[str, Sample] = {}
        self._solved: dict[Hashable, set[float]] = {}
        for sample in samples:
            self.add(sample)
        if not self._samples:
            raise InputError("There is no sample: give at least one image.")

    @property
    def samples(self) -> tuple[Sample, ...]:
        """The samples in the order in which they came."""
        with self._lock:
            return tuple(self._samples.values())

    def add(self, sample: Sample) -> Sample:
        """Add a sample; the same one twice is one."""
        with self._lock:
            return self._samples.setdefault(sample.id, sample)

    def sample(self, identifier: str) -> Sample:
        """The sample with this id.

        Raises:
            InputError: if there is none.
        """
        with self._lock:
            found = self._samples.get(identifier)
        if found is None:
            raise InputError(f"There is no sample with the id '{identifier}'.")
        return found

    def presets(self) -> tuple[Preset, ...]:
        """The presets whose layers the classifier has, then `"pattern"`."""
        return (*(p for p in PRESETS if p.fits(self.classifier)), PATTERN)

    def plan(self, pruning: Pruning) -> SparsityPlan:
        """The plan that a user's settings mean.

        Raises:
            InputError: for an unknown preset or solver, a sparsity outside [0, 1), or a pattern without a match.
        """
        if pruning.solver not in SOLVERS:
            raise InputError(f"There is no solver '{pruning.solver}': {', '.join(map(repr, SOLVERS))} can be chosen.")
        if pruning.preset == PATTERN.key:
            return SparsityPlan.uniform(self.classifier, pruning.sparsity, pruning.pattern)
        return preset(pruning.preset).plan(self.classifier, pruning.sparsity)

    def solved(self, sample: Sample, pruning: Pruning) -> list[float]:
        """The sparsities already traced for the sample with these settings, ascending."""
        with self._lock:
            return sorted(self._solved.get((sample.id, pruning.family), ()))

    def probabilities(self, network: Network, sample: Sample) -> Tensor:
        """The probabilities of all classes, (classes,). See `softmax`."""
        key = ("probabilities", self.name(network), sample.id)
        known: Tensor | None = self.store.get(key)
        if known is not None:
            return known
        made = softmax(network, sample)
        return self.store.put(key, made, made.numel() * 4)

    def maps(self, sample: Sample, layer: str) -> npt.NDArray[np.float32]:
        """The dense classifier's activation maps, (channels, rows, columns)."""
        key = ("maps", sample.id, layer)
        known: npt.NDArray[np.float32] | None = self.store.get(key)
        if known is not None:
            return known
        made = activation_maps(self.classifier, sample, layer)
        return self.store.put(key, made, made.nbytes)

    def trace_key(self, sample: Sample, pruning: Pruning) -> Hashable:
        """Names a trace by what makes it."""
        return ("trace", sample.id, self.plan(pruning), pruning.solver)

    def known_trace(self, sample: Sample, pruning: Pruning) -> Trace | None:
        """The trace, if it is in the store."""
        found: Trace | None = self.store.get(self.trace_key(sample, pruning))
        return found

    def trace(self, sample: Sample, pruning: Pruning) -> Generator[Progress, None, Trace]:
        """The sample's trace, from the store or made now; a calibration and its factorisations serve every sparsity."""
        key = self.trace_key(sample, pruning)
        known: Trace | None = self.store.get(key)
        if known is not None:
            return known
        plan = self.plan(pruning)
        calibration_key = ("calibration", sample.id, frozenset(plan.layers))
        calibration: Calibration | None = self.store.get(calibration_key)
        if calibration is None:
            calibration = yield from calibrate(
                self.classifier, sample, plan.layers, augmentations=self.augmentations, seed=self.seed
            )
            self.store.put(calibration_key, calibration, calibration.nbytes)
        pruner_key = ("pruner", sample.id, frozenset(plan.layers), pruning.solver)
        pruner: Pruner = self.store.get(pruner_key) or Pruner(self.classifier, sample, pruning.solver, self.seed)
        made = (yield from pruner.prune(calibration, [plan]))[0]
        # A factor is as large as the Gram matrix that it was made of.
        self.store.put(pruner_key, pruner, calibration.nbytes)
        self.store.put(key, made, sum(w.numel() * w.element_size() for w in made.weights().values()))
        with self._lock:
            self._solved.setdefault((sample.id, pruning.family), set()).add(pruning.sparsity)
        return made

    def renderer(self, network: Network, neuron: Neuron) -> Renderer:
        """The visualization of a neuron, as far as it has come; a new one where it has not been begun."""
        key = ("renderer", self.name(network), neuron)
        known: Renderer | None = self.store.get(key)
        if known is not None:
            return known
        made = Renderer(network, neuron, seed=self.seed)
        # The picture, Adam's two moments and the module's own structure, and the trace's weights that it keeps alive.
        weights = network.weights().values() if isinstance(network, Trace) else ()
        own = 48 * made.size[0] * made.size[1] + 2**20
        return self.store.put(key, made, own + sum(w.numel() * w.element_size() for w in weights))

    def name(self, network: Network) -> Hashable:
        """Names a network in the store's keys by what makes it; the weights' digest would have to read them all."""
        return (network.sample.id, network.plan, network.solver) if isinstance(network, Trace) else "dense"
