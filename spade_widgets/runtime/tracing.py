"""How a sample's trace is made for the panels: of what is known of it, in steps, with drafts on the way."""

from __future__ import annotations

import threading
from collections.abc import Hashable, Mapping
from dataclasses import dataclass, replace
from time import perf_counter
from typing import TypeAlias

from torch import Tensor

from spade_widgets.classifier import ImageClassifier
from spade_widgets.errors import InputError
from spade_widgets.pruning.calibration.calibration import Calibration, batch_size, stages
from spade_widgets.pruning.plans.choose import AUTO, choices, resolve
from spade_widgets.pruning.plans.fidelity import GRID, check_fidelity, faithful
from spade_widgets.pruning.plans.plan import DEFAULT, PRESETS, Preset, SparsityPlan, matching, preset
from spade_widgets.pruning.progress import Progress, Steps, mapped, saying
from spade_widgets.pruning.pruner import Pruner, Sketch, Solved
from spade_widgets.pruning.sequential import sequential as in_sequence
from spade_widgets.pruning.solvers import check_sparsity
from spade_widgets.pruning.traces.trace import Trace
from spade_widgets.runtime.cache import Cache
from spade_widgets.runtime.shared import Shared
from spade_widgets.runtime.store import Store
from spade_widgets.sample import Sample

#: Augmentations after which a trace is looked at already, while the others are gone through.
EARLY = (16, 64)
#: Seconds of calibration still to come for which it is worth a while to solve all layers for a draft.
WORTH = 0.5

#: The preset that stands for layer patterns of the user's own.
PATTERN = Preset("pattern", "by pattern", "The layers whose names match, such as 'layer4.*, fc'.")


#: The preset that stands for a plan of the user's own, as `spade-widgets tune` writes it.
PLAN = Preset("plan", "plan file", "The layers and sparsities of a plan of yours; the slider scales them together.")
#: The solver whose trace is looked at already while a slower one is at work, and those that are no slower.
FIRST, QUICK = "fast", ("fast", "magnitude")

#: A plan of the user's own: (layer name or pattern, sparsity), later ones overrule earlier ones.
Numbers: TypeAlias = tuple[tuple[str, float], ...]


@dataclass(frozen=True)
class Pruning:
    """How a sample is traced: what a user sets below the pictures.

    Attributes:
        sparsity: in [0, 1).
        preset: a preset's key, or `"pattern"`, or `"plan"`.
        pattern: layer name patterns, used by `"pattern"` alone.
        solver: a solver's name, or `"auto"`.
        sequential: whether to prune block by block; see `sequential`.
        fidelity: in (0, 1], asks for the sparsest trace that keeps the prediction, in the place of `sparsity`; see
            `fidelity.faithful`. None: the sparsity counts.
        plan: used by `"plan"` alone: what the plan's layers are at the nominal sparsity, 0.95; see `Preset.plan`.
    """

    sparsity: float = 0.9
    preset: str = DEFAULT
    pattern: str = ""
    solver: str = "refined"
    sequential: bool = False
    fidelity: float | None = None
    plan: Numbers = ()

    @property
    def family(self) -> Hashable:
        """What it shares with the same at other sparsities."""
        pattern = self.pattern if self.preset == PATTERN.key else ""
        plan = self.plan if self.preset == PLAN.key else ()
        return self.preset, pattern, plan, self.solver, self.sequential, self.fidelity


class Tracing:
    """The traces of one classifier's samples, and what they are made of: plans, calibrations, pruners.

    Args:
        classifier: the dense classifier.
        store, cache: where what was made is found again.
        augmentations, seed: of every calibration.
    """

    def __init__(self, classifier: ImageClassifier, store: Store, cache: Cache, augmentations: int, seed: int) -> None:
        self.classifier, self.store, self.cache = classifier, store, cache
        self.augmentations, self.seed = augmentations, seed
        self._lock = threading.Lock()
        self._solved: dict[Hashable, dict[float, Hashable]] = {}
        self._tracing = Shared(0)  # what a pruner has factorised is in the store
        self._calibrating = Shared(1)  # one alone: its sums may be large

    def presets(self) -> tuple[Preset, ...]:
        """The presets whose layers the classifier has, then `"pattern"` and `"plan"`."""
        return (*(p for p in PRESETS if p.fits(self.classifier)), PATTERN, PLAN)

    def check(self, pruning: Pruning) -> None:
        """Whether a plan can be made of a user's settings; cheap, unlike the plan itself, which walks the model.

        Raises:
            InputError: for an unknown preset or solver, a sparsity or fidelity out of its range, a pattern or a plan
                without a match, or a plan that is not there.
        """
        check_sparsity(pruning.sparsity)
        if pruning.fidelity is not None:
            check_fidelity(pruning.fidelity)
        if pruning.solver not in choices():
            raise InputError(f"There is no solver '{pruning.solver}': {', '.join(map(repr, choices()))} can be chosen.")
        if pruning.preset == PATTERN.key:
            matching(self.classifier.prunable(), pruning.pattern)
        elif pruning.preset == PLAN.key:
            if not pruning.plan:
                raise InputError("There is no plan yet: give one, as 'spade-widgets tune' writes it.")
            SparsityPlan.check(self.classifier, dict(pruning.plan))
        elif pruning.preset not in (keys := [p.key for p in self.presets()]):
            known = ", ".join(map(repr, keys))
            raise InputError(f"{self.classifier.name} has no preset '{pruning.preset}': {known} can be chosen.")

    def plan(self, pruning: Pruning) -> SparsityPlan:
        """The plan that a user's settings mean.

        Raises:
            InputError: see `check`.
        """
        self.check(pruning)
        known: SparsityPlan | None = self.store.get(pruning)
        if known is not None:
            return known
        if pruning.preset == PATTERN.key:
            made = SparsityPlan.uniform(self.classifier, pruning.sparsity, pruning.pattern)
        elif pruning.preset == PLAN.key:
            made = replace(PLAN, weights=dict(pruning.plan)).plan(self.classifier, pruning.sparsity)
        else:
            made = preset(pruning.preset).plan(self.classifier, pruning.sparsity)
        return self.store.put(pruning, made, 200 * len(made.layers))

    def solved(self, sample: Sample, pruning: Pruning) -> list[float]:
        """The sparsities whose trace of the sample with these settings is there, ascending."""
        with self._lock:
            traced = dict(self._solved.get((sample.id, pruning.family), {}))
        return sorted(sparsity for sparsity, key in traced.items() if key in self.store)

    def trace_key(self, sample: Sample, pruning: Pruning) -> Hashable:
        """Names a trace by what makes it."""
        plan, fidelity = self.plan(pruning), pruning.fidelity
        # With a fidelity the sparsities are found, not given.
        asked = plan if fidelity is None else (plan.layers, fidelity)
        return ("trace", sample.id, asked, self.solver(pruning), pruning.sequential)

    def solver(self, pruning: Pruning) -> str:
        """The solver that a user's settings mean: the one chosen where it is `"auto"`."""
        if pruning.solver != AUTO:
            return pruning.solver
        layers = self.plan(pruning).layers
        key = ("solver", layers, pruning.sequential, pruning.fidelity is None)
        known: str | None = self.store.get(key)
        if known is not None:
            return known
        sparsities = 1 if pruning.fidelity is None else len(GRID)
        made = resolve(
            AUTO,
            self.classifier,
            layers,
            sparsities=sparsities,
            augmentations=self.augmentations,
            sequential=pruning.sequential,
        )
        return self.store.put(key, made, 200 * len(layers))

    def known_trace(self, sample: Sample, pruning: Pruning) -> Trace | None:
        """The trace, if it is in the store."""
        found: Trace | None = self.store.get(self.trace_key(sample, pruning))
        return found

    def draft(self, sample: Sample, pruning: Pruning) -> Trace | Sketch | None:
        """What there is of a trace in the making: one from the first augmentations, or its weights, not yet measured.

        Of a trace that is there, or that nobody has begun: None.
        """
        found: Trace | Sketch | None = self.store.get(("draft", self.trace_key(sample, pruning)))
        return found

    def trace(self, sample: Sample, pruning: Pruning, *, drafts: bool = False) -> Steps[Trace]:
        """The sample's trace, from the store or made now; a calibration and its factorisations serve every sparsity.

        Two jobs that want the same one at the same time make it together.

        Args:
            drafts: whether it is worth a while to have traces from the first augmentations earlier. See `draft`.
        """
        key = self.trace_key(sample, pruning)
        made: Trace | None = self.store.get(key)
        if made is None:
            made = yield from self._tracing.run(key, lambda: self._trace(key, sample, pruning, drafts))
        with self._lock:  # also when it is found: other settings may have led to the same plan
            self._solved.setdefault((sample.id, pruning.family), {})[pruning.sparsity] = key
        return made

    def _trace(self, key: Hashable, sample: Sample, pruning: Pruning, drafts: bool) -> Steps[Trace]:
        plan, sequential, fidelity = self.plan(pruning), pruning.sequential, pruning.fidelity
        name = self.cache.trace_name(sample, plan, self.solver(pruning), sequential, fidelity)
        made = self.cache.trace(name, sample)
        if made is None:
            made = yield from self._make_trace(("draft", key), sample, pruning, drafts)
            self.cache.keep_trace(name, made)
        return self.store.put(key, made, nbytes_of(made.weights()))

    def _make_trace(self, draft: Hashable, sample: Sample, pruning: Pruning, drafts: bool) -> Steps[Trace]:
        """The trace; what there is of it meanwhile is in the store under `draft`.

        A draft is the trace that `FIRST` makes of the first augmentations, or of all, while there is more to do. Of a
        trace that is to keep the prediction there is none: how sparse it will be, nobody knows yet.
        """
        plan, method, drafted, took = self.plan(pruning), self.solver(pruning), 0, 0.0
        slow = method not in QUICK or pruning.sequential
        drafts = drafts and pruning.fidelity is None
        calibrating = self._calibration(sample, plan)
        try:
            while True:
                early: tuple[Calibration, float] | None = self.store.get(_early(sample, plan))
                if drafts and early and early[0].augmentations > drafted and early[1] > max(WORTH, took):
                    drafted, began = early[0].augmentations, perf_counter()
                    said = Progress("calibrating", drafted, self.augmentations)
                    made = yield from saying(self._prune(None, sample, plan, FIRST if slow else method, early[0]), said)
                    took = perf_counter() - began
                    self.store.put(draft, made, nbytes_of(made.weights()))
                try:
                    progress = next(calibrating)
                except StopIteration as stop:
                    calibration: Calibration = stop.value
                    break
                yield progress
        finally:
            calibrating.close()
        if drafts and slow:
            made = yield from self._prune(draft, sample, plan, FIRST, calibration)
            self.store.put(draft, made, nbytes_of(made.weights()))
        pruner = Pruner(self.classifier, sample, method, self.seed)
        if pruning.fidelity is not None:
            steps = faithful(
                pruner,
                plan.layers,
                pruning.fidelity,
                self.augmentations,
                in_sequence=pruning.sequential,
                calibration=calibration,
            )
            made = yield from steps
        elif pruning.sequential:
            (made,) = yield from in_sequence(pruner, [plan], self.augmentations)
        else:
            made = yield from self._prune(draft, sample, plan, method, calibration)
        self.store.put(draft, None, 0)
        return made

    def _prune(
        self, draft: Hashable | None, sample: Sample, plan: SparsityPlan, method: str, calibration: Calibration
    ) -> Steps[Trace]:
        """The trace of a calibration. `draft`: where its weights are to be found before they are measured."""
        pruner_key = ("pruner", sample.id, frozenset(plan.layers), method)
        pruner: Pruner = self.store.get(pruner_key) or Pruner(self.classifier, sample, method, self.seed)
        # Before it is used, so that what it has factorised is not lost when the user moves on meanwhile. A factor
        # is at least as large as the Gram matrix that it is made of.
        self.store.put(pruner_key, pruner, max(calibration.nbytes, pruner.nbytes))

        def said(progress: Progress) -> Progress:
            if isinstance(progress, Solved) and draft is not None:
                self.store.put(draft, progress.sketches[0], nbytes_of(progress.sketches[0].weights))
            # Measuring is a small part of solving.
            return Progress("solving", progress.of, progress.of) if progress.stage == "measuring" else progress

        made = (yield from mapped(pruner.prune(calibration, [plan]), said))[0]
        self.store.put(pruner_key, pruner, pruner.nbytes)
        return made

    def _calibration(self, sample: Sample, plan: SparsityPlan) -> Steps[Calibration]:
        """From the store, or made now. Left off, it goes on from there next time: a slider moves often meanwhile."""
        key = ("calibration", sample.id, frozenset(plan.layers))
        known: Calibration | None = self.store.get(key)
        if known is not None:
            return known
        made = yield from self._calibrating.run(key, lambda: self._calibrate(sample, plan))
        return self.store.put(key, made, made.nbytes)

    def _calibrate(self, sample: Sample, plan: SparsityPlan) -> Steps[Calibration]:
        """A calibration; the store has it over the first few augmentations earlier, with the seconds still to come."""
        batch, whole = batch_size(self.classifier), self.augmentations
        # At the ends of batches: so the sums are added up in the same order as in one go.
        counts = [*(count for count in EARLY if count < whole and count % batch == 0), whole]
        spent, began = 0.0, perf_counter()
        for steps in stages(self.classifier, sample, plan.layers, counts=counts, seed=self.seed):
            while True:
                try:
                    progress = next(steps)
                except StopIteration as stop:
                    made: Calibration = stop.value
                    break
                spent += perf_counter() - began
                yield Progress(progress.stage, progress.done, whole)
                began = perf_counter()
            spent += perf_counter() - began
            left = spent * (whole / made.augmentations - 1)
            self.store.put(_early(sample, plan), (made, left) if left else None, made.nbytes if left else 0)
            began = perf_counter()
        return made


def _early(sample: Sample, plan: SparsityPlan) -> Hashable:
    """Names a calibration over the first augmentations."""
    return "early", sample.id, frozenset(plan.layers)


def nbytes_of(weights: Mapping[str, Tensor]) -> int:
    return sum(weight.numel() * weight.element_size() for weight in weights.values())
