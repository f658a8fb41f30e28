"""SPADE, the procedure: augmentations → calibration → a sparse network for one sample (SPADE, algorithm 1).

`trace`, `sweep` and `trace_many` run it through. The same in steps, for whoever shows progress or may cancel:
`calibrate` (in `calibration`), then `Pruner`, which keeps what later sparsities need again.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence

import torch
from torch import Tensor, nn

from spade_widgets.classifier import ImageClassifier
from spade_widgets.errors import InputError, ModelError
from spade_widgets.prediction import softmax
from spade_widgets.pruning.calibration import Calibration, calibrate
from spade_widgets.pruning.plan import Patterns, SparsityPlan, head
from spade_widgets.pruning.progress import Progress, Steps, finish
from spade_widgets.pruning.solvers import Prepared, check_count, relative_error, solver
from spade_widgets.pruning.trace import Agreement, LayerStats, Trace, sparse_module
from spade_widgets.sample import Sample, Source, read_samples

#: Share of its fair part of the head's weights that each logit keeps at least. See `row_floor`.
HEAD_SHARE = 0.5


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


class Pruner:
    """Prunes a classifier for one sample, keeping each layer's factorisation for the next sparsities.

    Args:
        classifier, sample, seed: as in `trace`.
        method: the solver's name.

    Raises:
        InputError: if there is no such solver.
    """

    def __init__(self, classifier: ImageClassifier, sample: Sample, method: str = "fast", seed: int = 0) -> None:
        self.classifier, self.sample, self.method, self.seed = classifier, sample, method, seed
        self._module = classifier.module()
        self._head = head(classifier)
        self._prepared: dict[tuple[str, int], Prepared] = {}
        solver(method)

    def prune(self, calibration: Calibration, plans: Sequence[SparsityPlan]) -> Steps[list[Trace]]:
        """Solve every layer for all plans at once and measure what comes out. Yields a step a layer."""
        names = plans[0].layers
        calibrated = [n for n in names if n in calibration.sums]
        weights: list[dict[str, Tensor]] = [{} for _ in plans]
        rows: list[list[LayerStats]] = [[] for _ in plans]
        for done, name in enumerate(calibrated):
            yield Progress("solving", done, len(calibrated))
            sparsities = [plan.sparsities[name] for plan in plans]
            layer = self._layer(name)
            W, H = layer.weight.detach().flatten(1), calibration.gram(name)
            solved = self._solve(name, layer, W, H, sparsities, calibration.augmentations)
            for i, pruned in enumerate(solved):
                kept = int((pruned != 0).sum())
                error = relative_error(W, pruned, H)
                rows[i].append(LayerStats(name, W.numel(), kept, 1 - kept / W.numel(), error))
                # In the dense weight's own memory layout: the same kernels then run on it, to the last bit. And never
                # as an inference tensor, which no gradient could pass, whatever mode the caller is in.
                with torch.inference_mode(False):
                    weights[i][name] = torch.empty_like(layer.weight, requires_grad=False)
                weights[i][name].copy_(pruned.view_as(layer.weight))
        dense = softmax(self.classifier, self.sample)
        left = tuple(_left_dense(self.classifier, self._module, set(names), set(calibrated)))
        return [
            Trace(
                self.classifier, self.sample, plan, self.method, calibration.augmentations, self.seed,
                self._agreement(dense, weights[i]), left, weights[i], tuple(rows[i]),
            )
            for i, plan in enumerate(plans)
        ]  # fmt: skip

    def _layer(self, name: str) -> nn.Conv2d | nn.Linear:
        layer = self._module.get_submodule(name)
        assert isinstance(layer, nn.Conv2d | nn.Linear)
        return layer

    def _solve(
        self, name: str, layer: nn.Conv2d | nn.Linear, W: Tensor, H: Tensor, sparsities: list[float], seen: int
    ) -> list[Tensor]:
        if (name, seen) not in self._prepared:
            options = {"block_size": layer.weight[0, 0].numel()} if isinstance(layer, nn.Conv2d) else {}
            self._prepared = {key: p for key, p in self._prepared.items() if key[0] != name}
            self._prepared[name, seen] = solver(self.method, **options).prepare(H)
        prepared = self._prepared[name, seen]
        if name != self._head:
            return prepared.sweep(W, sparsities)
        return [prepared.sweep(W, [s], row_floor=row_floor(W.shape[1], s))[0] for s in sparsities]

    def _agreement(self, dense: Tensor, weights: Mapping[str, Tensor]) -> Agreement:
        module = sparse_module(self.classifier, weights)
        with torch.no_grad():
            logits: Tensor = module(self.classifier.prepare(self.sample))[0].float().cpu()
        if not bool(torch.isfinite(logits).all()):
            raise ModelError(f"The trace gives NaN or infinite logits on '{self.sample.title}'.")
        log_sparse = logits.log_softmax(0)
        kl = float((dense * (dense.clamp(min=1e-30).log() - log_sparse)).sum())
        return Agreement(int(dense.argmax()), int(logits.argmax()), max(0.0, kl))


def row_floor(columns: int, sparsity: float) -> int:
    """How many weights each row of the classifier head keeps: at least one, and at least half of an equal share.

    FastSPADE's thresholds run over all rows together, so a logit with small weights may lose all of them: its
    visualization would be noise and its saliency map empty. (A head of 10 rows at 0.95 would lose every weight.)
    """
    return max(1, int(columns * (1 - sparsity) * HEAD_SHARE))


def _left_dense(classifier: ImageClassifier, module: nn.Module, names: set[str], solved: set[str]) -> Iterator[str]:
    """See `Trace.left_dense`. `names` are the plan's layers, `solved` those that were pruned."""
    could = set(classifier.prunable()) - names  # these stay dense because they are not asked for
    for name, part in module.named_modules():
        weighty = any("weight" in n and p.ndim > 1 for n, p in part.named_parameters(recurse=False))
        if name not in could | solved and (weighty or isinstance(part, nn.Conv2d | nn.Linear)):
            yield name


def _plan(
    classifier: ImageClassifier,
    sparsity: float,
    layers: Patterns | None,
    plan: SparsityPlan | Mapping[str, float] | None,
) -> SparsityPlan:
    if plan is None:
        return SparsityPlan.uniform(classifier, sparsity, layers)
    return SparsityPlan.check(classifier, plan.sparsities if isinstance(plan, SparsityPlan) else plan)
