"""SPADE, the procedure: augmentations → calibration → a sparse network for one sample (SPADE, algorithm 1).

`trace`, `sweep` and `trace_many` run it through. The same in steps, for whoever shows progress or may cancel:
`calibrate` (in `calibration`), then `Pruner` (in `pruner`), which keeps what later sparsities need again.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from spade_widgets.classifier import ImageClassifier
from spade_widgets.errors import InputError
from spade_widgets.pruning.calibration import calibrate
from spade_widgets.pruning.plan import Patterns, SparsityPlan
from spade_widgets.pruning.progress import Steps, finish
from spade_widgets.pruning.pruner import Pruner
from spade_widgets.pruning.solvers import check_count
from spade_widgets.pruning.trace import Trace
from spade_widgets.sample import Sample, Source, read_samples


def trace(
    classifier: ImageClassifier,
    sample: Source,
    *,
    sparsity: float = 0.95,
    layers: Patterns | None = None,
    plan: SparsityPlan | Mapping[str, float] | None = None,
    solver: str = "fast",
    augmentations: int = 256,
    seed: int = 0,
) -> Trace:
    """Prune the classifier for one sample.

    Args:
        classifier: the dense classifier; it is not altered.
        sample: anything that `Sample.read` takes.
        sparsity: share of the weights dropped in each pruned layer, in [0, 1).
        layers: names or patterns of the pruned layers; default: the last block and the head.
        plan: a sparsity a layer, instead of `sparsity` and `layers`.
        solver: `"fast"` (FastSPADE).
        augmentations: how many images are made of the sample for calibration, at least 1; the notebook takes 1024.
        seed: of the augmentations.

    Raises:
        InputError: for a sample, sparsity, layer, solver or number that cannot be used.
        ModelError: if the network's activations are not finite on the sample.
    """
    chosen = _plan(classifier, sparsity, layers, plan)
    return finish(trace_steps(classifier, Sample.read(sample), chosen, solver, augmentations, seed))[0]


def sweep(
    classifier: ImageClassifier,
    sample: Source,
    sparsities: Sequence[float],
    *,
    layers: Patterns | None = None,
    solver: str = "fast",
    augmentations: int = 256,
    seed: int = 0,
) -> list[Trace]:
    """A trace for each sparsity, from one calibration and one factorisation a layer. Arguments as `trace`."""
    plans = [SparsityPlan.uniform(classifier, s, layers) for s in sparsities]
    if not plans:
        raise InputError("There is no sparsity to sweep: give at least one.")
    return finish(trace_steps(classifier, Sample.read(sample), plans, solver, augmentations, seed))


def trace_many(
    classifier: ImageClassifier,
    samples: Source | Iterable[Source],
    *,
    sparsity: float = 0.95,
    layers: Patterns | None = None,
    plan: SparsityPlan | Mapping[str, float] | None = None,
    solver: str = "fast",
    augmentations: int = 256,
    seed: int = 0,
) -> list[Trace]:
    """A trace for each sample of a list or a folder, one after the other in bounded memory. Arguments as `trace`."""
    chosen = _plan(classifier, sparsity, layers, plan)
    read = read_samples(samples)
    return [finish(trace_steps(classifier, s, chosen, solver, augmentations, seed))[0] for s in read]


def trace_steps(
    classifier: ImageClassifier,
    sample: Sample,
    plans: SparsityPlan | Sequence[SparsityPlan],
    solver: str,
    augmentations: int,
    seed: int,
) -> Steps[list[Trace]]:
    """`trace` or `sweep` in steps: yields its progress, returns a trace for each plan (all of the same layers)."""
    several = [plans] if isinstance(plans, SparsityPlan) else list(plans)
    check_count(augmentations, "number of augmentations")
    if not several[0].layers:
        raise InputError(f"The plan names no layer of {classifier.name} to prune; it has {len(classifier.prunable())}.")
    pruner = Pruner(classifier, sample, solver, seed)
    calibration = yield from calibrate(classifier, sample, several[0].layers, augmentations=augmentations, seed=seed)
    return (yield from pruner.prune(calibration, several))


def _plan(
    classifier: ImageClassifier,
    sparsity: float,
    layers: Patterns | None,
    plan: SparsityPlan | Mapping[str, float] | None,
) -> SparsityPlan:
    if plan is None:
        return SparsityPlan.uniform(classifier, sparsity, layers)
    return SparsityPlan.check(classifier, plan.sparsities if isinstance(plan, SparsityPlan) else plan)
