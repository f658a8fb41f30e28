"""SPADE, the procedure: augmentations → calibration → a sparse network for one sample (SPADE, algorithm 1).

`trace`, `sweep` and `trace_many` run it through. The same in steps, for whoever shows progress or may cancel:
`trace_steps`; or `calibrate` (in `calibration`), then `Pruner` (in `pruner`), which keeps what later sparsities need
again.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping, Sequence

from spade_widgets.checks import check_count
from spade_widgets.classifier import ImageClassifier
from spade_widgets.errors import InputError
from spade_widgets.pruning.calibration.calibration import calibrate_together, shares
from spade_widgets.pruning.plans.choose import LONG, WAIT, estimate, resolve, spoken
from spade_widgets.pruning.plans.fidelity import GRID, check_fidelity, faithful
from spade_widgets.pruning.plans.plan import Patterns, SparsityPlan
from spade_widgets.pruning.progress import Steps, finish
from spade_widgets.pruning.pruner import Pruner
from spade_widgets.pruning.sequential import sequential as in_sequence
from spade_widgets.pruning.sequential import walk
from spade_widgets.pruning.traces.trace import Trace
from spade_widgets.sample import Sample, Source, read_samples

log = logging.getLogger(__name__)

#: The sparsity where none is said.
SPARSITY = 0.95


def trace(
    classifier: ImageClassifier,
    sample: Source,
    *,
    sparsity: float | None = None,
    layers: Patterns | None = None,
    plan: SparsityPlan | Mapping[str, float] | None = None,
    fidelity: float | None = None,
    solver: str = "refined",
    wait: float = WAIT,
    sequential: bool = False,
    augmentations: int = 256,
    seed: int = 0,
) -> Trace:
    """Prune the classifier for one sample.

    Args:
        classifier: the dense classifier; it is not altered.
        sample: anything that `Sample.read` takes.
        sparsity: share of the weights dropped in each pruned layer, in [0, 1); default 0.95.
        layers: names or patterns of the pruned layers; default: the last third of the blocks and the head.
        plan: a sparsity a layer, instead of `sparsity` and `layers`.
        fidelity: instead of a sparsity, how often the trace is to say what the dense network says, in (0, 1]: the
            share of further augmentations (not those of the calibration) on which both name the same class. The trace
            gets the sparsest plan found that does so and keeps the sample's own class. See `fidelity.faithful`.
        solver: `"fast"` (FastSPADE), `"exact"` (SPADE), `"refined"` (less error than both), `"magnitude"` (a baseline),
            or `"auto"`: the best one that takes no longer than `wait`, by an estimate of shapes and counts alone. The
            trace says which it was. What will take long (`"exact"`: minutes) is said beforehand, as a warning in the
            log.
        wait: seconds that you will wait for a trace; for `"auto"`.
        sequential: whether to prune block by block, each for the inputs that the pruned blocks before it give. Closer
            to the dense prediction, several times slower. See `sequential`.
        augmentations: how many images are made of the sample for calibration, at least 1; the notebook takes 1024.
        seed: of the augmentations.

    Raises:
        InputError: for a sample, sparsity, layer, solver or number that cannot be used, or a fidelity that is given
            beside a sparsity or a plan.
        ModelError: if the network's activations are not finite on the sample.
    """
    chosen = _plan(classifier, sparsity, layers, plan, fidelity)
    read = Sample.read(sample)
    return finish(_one(classifier, read, chosen, fidelity, solver, augmentations, seed, sequential, wait))


def sweep(
    classifier: ImageClassifier,
    sample: Source,
    sparsities: Sequence[float],
    *,
    layers: Patterns | None = None,
    solver: str = "refined",
    wait: float = WAIT,
    sequential: bool = False,
    augmentations: int = 256,
    seed: int = 0,
) -> list[Trace]:
    """A trace for each sparsity, from one calibration and one factorisation a layer. Arguments as `trace`.

    Sequential traces share neither: what a layer is given depends on how sparse the ones before it are.
    """
    plans = [SparsityPlan.uniform(classifier, s, layers) for s in sparsities]
    if not plans:
        raise InputError("There is no sparsity to sweep: give at least one.")
    read = Sample.read(sample)
    steps = trace_steps(classifier, read, plans, solver, augmentations, seed, sequential=sequential, wait=wait)
    return finish(steps)


def trace_many(
    classifier: ImageClassifier,
    samples: Source | Iterable[Source],
    *,
    sparsity: float | None = None,
    layers: Patterns | None = None,
    plan: SparsityPlan | Mapping[str, float] | None = None,
    fidelity: float | None = None,
    solver: str = "refined",
    wait: float = WAIT,
    sequential: bool = False,
    augmentations: int = 256,
    seed: int = 0,
) -> list[Trace]:
    """A trace for each sample of a list or a folder, one after the other in bounded memory. Arguments as `trace`."""
    chosen = _plan(classifier, sparsity, layers, plan, fidelity)
    read = read_samples(samples)
    return [finish(_one(classifier, s, chosen, fidelity, solver, augmentations, seed, sequential, wait)) for s in read]


def trace_together(
    classifier: ImageClassifier,
    samples: Source | Iterable[Source],
    *,
    sparsity: float | None = None,
    layers: Patterns | None = None,
    plan: SparsityPlan | Mapping[str, float] | None = None,
    solver: str = "refined",
    wait: float = WAIT,
    sequential: bool = False,
    augmentations: int = 256,
    seed: int = 0,
) -> Trace:
    """One trace for several samples at once: the connections that the network uses on any of them (Batch FastSPADE).

    Gram matrices add, so it takes one solve, as a single sample's trace does. Of one sample it is that sample's trace.
    A fidelity cannot be asked for: whose class the trace would have to keep is not one sample's question.

    Args:
        samples: a folder, a list of anything that `Sample.read` takes, or one of them. The first is the trace's
            `sample`, the others are named in `others`.
        augmentations: of all samples together, as even as they can be; at least one each. All of them are different
            draws.
        Others as `trace`.

    Raises:
        InputError: as `trace`, or if there are more samples than augmentations.
        ModelError: as `trace`.
    """
    chosen, read = _plan(classifier, sparsity, layers, plan, None), read_samples(samples)
    steps = trace_steps(classifier, read, chosen, solver, augmentations, seed, sequential=sequential, wait=wait)
    return finish(steps)[0]


def trace_steps(
    classifier: ImageClassifier,
    sample: Sample | Sequence[Sample],
    plans: SparsityPlan | Sequence[SparsityPlan],
    solver: str,
    augmentations: int,
    seed: int,
    *,
    sequential: bool = False,
    wait: float = WAIT,
) -> Steps[list[Trace]]:
    """`trace` or `sweep` in steps: yields its progress, returns a trace for each plan (all of the same layers).

    Of several samples it is `trace_together`.
    """
    several = [plans] if isinstance(plans, SparsityPlan) else list(plans)
    layers, count = several[0].layers, len(several)
    pruner = _pruner(classifier, sample, layers, count, solver, augmentations, seed, sequential, wait)
    if sequential:
        return (yield from in_sequence(pruner, several, augmentations))
    calibration = yield from calibrate_together(
        classifier, pruner.samples, layers, augmentations=augmentations, seed=seed
    )
    return (yield from pruner.prune(calibration, several))


def _one(
    classifier: ImageClassifier,
    sample: Sample,
    plan: SparsityPlan,
    fidelity: float | None,
    solver: str,
    augmentations: int,
    seed: int,
    sequential: bool,
    wait: float,
) -> Steps[Trace]:
    """One trace; with a fidelity the plan says the layers alone."""
    if fidelity is None:
        steps = trace_steps(classifier, sample, plan, solver, augmentations, seed, sequential=sequential, wait=wait)
        return (yield from steps)[0]
    layers, asked = plan.layers, check_fidelity(fidelity)
    pruner = _pruner(classifier, sample, layers, len(GRID), solver, augmentations, seed, sequential, wait)
    return (yield from faithful(pruner, layers, asked, augmentations, in_sequence=sequential))


def _pruner(
    classifier: ImageClassifier,
    sample: Sample | Sequence[Sample],
    layers: Sequence[str],
    sparsities: int,
    solver: str,
    augmentations: int,
    seed: int,
    sequential: bool,
    wait: float,
) -> Pruner:
    """A pruner with the solver's own name, once all that was asked for is known to make sense."""
    check_count(augmentations, "number of augmentations")
    if not layers:
        raise InputError(f"The plan names no layer of {classifier.name} to prune; it has {len(classifier.prunable())}.")
    name = resolve(
        solver, classifier, layers, sparsities=sparsities, augmentations=augmentations, sequential=sequential, wait=wait
    )
    first, *others = [sample] if isinstance(sample, Sample) else sample
    shares([first, *others], augmentations)
    pruner = Pruner(classifier, first, name, seed, others)
    blocks = len(walk(classifier, layers)) if sequential else 0
    seconds = estimate(name, classifier, layers, sparsities, augmentations, blocks)
    if seconds >= LONG:
        log.warning("A trace with the solver '%s' takes about %s here.", name, spoken(seconds))
    return pruner


def _plan(
    classifier: ImageClassifier,
    sparsity: float | None,
    layers: Patterns | None,
    plan: SparsityPlan | Mapping[str, float] | None,
    fidelity: float | None,
) -> SparsityPlan:
    if fidelity is not None:
        check_fidelity(fidelity)
        if sparsity is not None or plan is not None:
            raise InputError("A fidelity is asked for instead of a sparsity or a plan: give one of the three.")
    if plan is None:
        return SparsityPlan.uniform(classifier, SPARSITY if sparsity is None else sparsity, layers)
    return SparsityPlan.check(classifier, plan.sparsities if isinstance(plan, SparsityPlan) else plan)
