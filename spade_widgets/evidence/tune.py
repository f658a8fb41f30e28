"""Coordinate search over per-layer sparsities for a metric of saliency maps. What `spade-widgets tune` runs.

As the paper tunes its plan for saliency (SPADE, appendix): the network's blocks are gone through, the last one first;
in each all sparsities of a grid are tried, everything else staying as it is, and the best is kept. Every trial is kept
in a file as evaluation results are, so that a stopped search goes on: it walks the same way again, without computing.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from statistics import fmean
from typing import Any, TypeAlias

from spade_widgets.classifier import ImageClassifier
from spade_widgets.errors import InputError
from spade_widgets.evidence.bootstrap import Interval, interval
from spade_widgets.evidence.evaluate import Explain, Protocol, describe, evaluate_steps, explain
from spade_widgets.evidence.judging import How, Metric
from spade_widgets.evidence.networks import NetworkName, Pruning
from spade_widgets.evidence.plan_file import PlanFile, picture_id
from spade_widgets.evidence.results import Results
from spade_widgets.evidence.solved import MEMORY, Choice, Planned, Solved
from spade_widgets.pruning.plans.plan import Patterns, SparsityPlan, blocks, body, matching
from spade_widgets.pruning.progress import Progress, Steps, mapped
from spade_widgets.pruning.solvers import check_sparsity
from spade_widgets.sample import Sample

GRID = (0.0, 0.2, 0.5, 0.8, 0.9, 0.95, 0.99)
"""The sparsities tried; the paper's plan for saliency is made of these but 0.5."""

#: Layers that get one sparsity together.
Unit: TypeAlias = tuple[str, ...]
#: A number a sample; None where the plan cannot be judged on one of them.
Scores: TypeAlias = list[float] | None


@dataclass(frozen=True)
class Search:
    """What is searched, and for what.

    Attributes:
        units: the coordinates, in the network's order; the last one is tuned first.
        metric: what is to become best, on average over samples and methods.
        methods: the saliency methods whose maps are judged; none for a metric that needs no map.
        solver: makes the traces; not sequentially, for then a layer depends on all before it.
        start: layer → sparsity that the search sets out from; layers not named start dense. Those in no unit stay.
        grid: the sparsities tried.
        passes: how often to go through all units at most; a pass that changes nothing is the last.
        gain: by how much a sparsity must better the present one's mean to replace it.
        augmentations, seed: of the calibration; the seed also of saliency methods.
        how: the metric's settings.
        memory: bytes for weights kept between trials.
        explain, describe: as in `Protocol`.

    Raises:
        InputError: if there is no unit, a sparsity is outside [0, 1), or a number makes no sense.
    """

    units: tuple[Unit, ...]
    metric: Metric
    methods: tuple[str, ...] = ()
    solver: str = "refined"
    start: Mapping[str, float] = field(default_factory=dict)
    grid: tuple[float, ...] = GRID
    passes: int = 1
    gain: float = 0.0
    augmentations: int = 256
    seed: int = 0
    how: How = field(default_factory=How)
    memory: int = MEMORY
    explain: Explain = explain
    describe: Callable[[str], Mapping[str, Any]] = describe

    def __post_init__(self) -> None:
        if not self.units:
            raise InputError("There is no layer to tune.")
        if not self.grid or self.passes < 1 or self.gain < 0:
            raise InputError("A search needs a sparsity to try, at least one pass, and a gain of 0 or more.")
        object.__setattr__(self, "grid", tuple(dict.fromkeys(map(check_sparsity, self.grid))))
        self.protocol({})

    def protocol(self, plan: Mapping[str, float]) -> Protocol:
        """The protocol that judges one plan."""
        dense = {layer: 0.0 for unit in self.units for layer in unit}
        return Protocol(
            networks=(NetworkName.parse(self.solver),),
            methods=self.methods,
            metrics=(self.metric,),
            pruning=Pruning(SparsityPlan({**dense, **plan}), self.augmentations, self.seed),
            how=self.how,
            seed=self.seed,
            explain=self.explain,
            describe=self.describe,
        )


@dataclass(frozen=True)
class Trial:
    """One unit's turn.

    Attributes:
        unit: its layers.
        scores: sparsity → the metric's mean, for those tried that could be judged.
        kept: the sparsity that was taken from there; None: it stayed as it was.
    """

    unit: Unit
    scores: Mapping[float, float]
    kept: float | None


@dataclass(frozen=True)
class Tuned:
    """What a search found.

    Attributes:
        plan: layer → sparsity, those above 0 only.
        before, after: the metric's mean under the start and under the plan, on the samples that it was tuned on, so
            that `after` flatters the plan.
        trials: in the order in which they were made.
    """

    plan: Mapping[str, float]
    before: Interval
    after: Interval
    trials: tuple[Trial, ...]

    def file(self, classifier: ImageClassifier, samples: Sequence[Sample], search: Search) -> PlanFile:
        """The plan, how it came about, and the samples that it must not be judged on."""
        origin: dict[str, Any] = {
            "classifier": {"name": classifier.name, "digest": classifier.digest},
            "solver": search.solver,
            "augmentations": search.augmentations,
            "seed": search.seed,
            "metric": search.metric.key,
            "methods": list(search.methods),
            "start": dict(search.start),
            "grid": list(search.grid),
            "gain": search.gain,
            "before": [self.before.mean, self.before.low, self.before.high],
            "after": [self.after.mean, self.after.low, self.after.high],
            "trials": [
                {"layers": list(t.unit), "scores": {f"{s:g}": v for s, v in t.scores.items()}, "kept": t.kept}
                for t in self.trials
            ],
        }
        return PlanFile(self.plan, tuple(picture_id(sample) for sample in samples), origin)


def layer_units(classifier: ImageClassifier, by: str = "blocks", layers: Patterns | None = None) -> tuple[Unit, ...]:
    """The coordinates of a search, in the network's order.

    Args:
        classifier: whose layers.
        by: `"blocks"` (residual blocks and the like; layers outside of them each alone) or `"layers"`.
        layers: names or patterns of those to tune; default: all but the first one.

    Raises:
        InputError: if a pattern matches nothing, or `by` is something else.
    """
    names = body(classifier) if layers is None else matching(classifier.prunable(), layers)
    if by not in ("blocks", "layers"):
        raise InputError(f"Sparsities cannot be tuned by '{by}': by 'blocks' or 'layers' they can.")
    units: dict[str, Unit] = {name: (name,) for name in names}
    for block in blocks(classifier) if by == "blocks" else ():
        members = tuple(name for name in block if name in units)
        units |= dict.fromkeys(members, members)
    return tuple(dict.fromkeys(units[name] for name in names))


def tune_steps(
    classifier: ImageClassifier, samples: Sequence[Sample], search: Search, results: Results
) -> Steps[Tuned]:
    """Search for the plan under which a metric is best. Yields its progress; the stage says what is being tried.

    Args:
        classifier: the dense classifier.
        samples: to tune on; not those that the plan is to be judged on afterwards.
        search: what is searched.
        results: where trials are found and kept.

    Raises:
        InputError: if there is no sample, one lacks a mask that the metric needs, or the start cannot be judged.
    """
    objective = _Objective(classifier, samples, search, results)
    plan = dict(search.start)
    of = 1 + search.passes * len(search.units)
    (best,) = yield from objective.scores([plan], (), 0, of)
    if best is None:
        raise InputError(f"The start cannot be judged by {search.metric.title}: {objective.complaint}")
    first, trials = best, []
    for turn in range(search.passes):
        changed = False
        for i, unit in enumerate(reversed(search.units)):
            here = {plan.get(layer, 0.0) for layer in unit}
            values = [s for s in search.grid if here != {s}]
            plans = [plan | dict.fromkeys(unit, s) for s in values]
            soon = [(layer, s) for layer in unit for s in values]
            found = yield from objective.scores(plans, soon, 1 + turn * len(search.units) + i, of)
            scored = {s: score for s, score in zip(values, found, strict=True) if score is not None}
            means = {s: fmean(score) for s, score in scored.items()}
            kept = max(means, key=lambda s: _worth(search, means[s]), default=None)
            if kept is not None and _worth(search, means[kept]) > _worth(search, fmean(best)) + search.gain:
                best, changed = scored[kept], True
                plan |= dict.fromkeys(unit, kept)
            else:
                kept = None
            trials.append(Trial(unit, means, kept))
        if not changed:
            break
    left = {layer: s for layer, s in plan.items() if s > 0}
    return Tuned(left, interval(first), interval(best), tuple(trials))


def _worth(search: Search, mean: float) -> float:
    return mean if search.metric.higher else -mean


class _Objective:
    """The metric under plans."""

    def __init__(
        self, classifier: ImageClassifier, samples: Sequence[Sample], search: Search, results: Results
    ) -> None:
        self.classifier, self.samples, self.search, self.results = classifier, samples, search, results
        self.solved = Solved(classifier, search.solver, search.augmentations, search.seed, search.memory)
        self.later: list[Choice] = [(layer, s) for unit in search.units for layer in unit for s in search.grid]
        self.complaint = ""

    def scores(
        self, plans: Sequence[Mapping[str, float]], soon: Sequence[Choice], done: int, of: int
    ) -> Steps[list[Scores]]:
        """Each plan's numbers. Sample by sample, so that a sample's layers are pruned once for all the plans."""
        if not self.samples:
            raise InputError("There is no sample to tune on.")
        rows: list[Scores] = [[] for _ in plans]
        for i, sample in enumerate(self.samples):
            for j, plan in enumerate(plans):
                row = rows[j]
                if row is not None:
                    share = (i * len(plans) + j) / (len(self.samples) * len(plans))
                    value = yield from self._value(sample, plan, soon, done + share, of)
                    rows[j] = None if value is None else [*row, value]
        return rows

    def _value(
        self, sample: Sample, plan: Mapping[str, float], soon: Sequence[Choice], done: float, of: int
    ) -> Steps[float | None]:
        """The mean over methods; None, and a complaint, where one of them gives no number."""
        protocol = self.search.protocol(plan)
        maker = Planned(self.solved, sample, plan, soon, self.later)
        steps = evaluate_steps(self.classifier, [sample], protocol, self.results, lambda _: maker)
        table = yield from mapped(steps, lambda inner: Progress(inner.stage, done, of))
        values: list[float] = []
        for method in self.search.methods if self.search.metric.needs_map else ("",):
            found = table.values(protocol.networks[0], method, self.search.metric)
            if not found:
                self.complaint = " ".join(table.errors(protocol.networks[0], method, self.search.metric))
                return None
            values += found.values()
        return fmean(values)
