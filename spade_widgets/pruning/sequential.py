"""Sequential traces: each block of the network is pruned for the inputs that the pruned blocks before it give.

Pruned against dense inputs, each layer is right on its own and their errors pile up. Here the network is walked block
by block in the order in which it runs. With the dense inputs X and the inputs Y that the part pruned so far gives, on
the same augmentations, a layer is to keep ‖W X − W' Y‖² small. Without sparsity the best is W* = W + W (XYᵀ − YYᵀ)
(YYᵀ)⁻¹, and for any W' the error is that of W* and ‖(W* − W') Y‖²: so W' is any solver's answer for (W*, YYᵀ).
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace

import torch
from torch import Tensor, nn

from spade_widgets.classifier import ImageClassifier
from spade_widgets.errors import InputError, ModelError
from spade_widgets.network.products import Watch
from spade_widgets.network.weights import Product, weight
from spade_widgets.pruning.calibration.augment import augment
from spade_widgets.pruning.calibration.calibration import batch_size, shares
from spade_widgets.pruning.calibration.forms import LAYER_MEMORY, Held, LayerSum
from spade_widgets.pruning.plans.plan import SparsityPlan, blocks
from spade_widgets.pruning.progress import Shares, Steps, part, within
from spade_widgets.pruning.pruner import Pruned, Pruner, like
from spade_widgets.pruning.solvers.dual import Dual
from spade_widgets.pruning.traces.statistics import input_energies, row_energies
from spade_widgets.pruning.traces.trace import Trace, sparse_module
from spade_widgets.sample import Sample

#: Pull of W* towards W, as a share of the mean of H's diagonal: where the pruned part gives few independent inputs, the
#: least squares alone would answer with huge weights.
PULL = 0.03
#: Share of a block's time that goes into its forward passes; the rest is for solving. For the progress alone.
FORWARD = 0.6
#: Bytes that a layer's inputs may take: those of its dense and of its sparse inputs' products with both.
MEMORY = 4 * LAYER_MEMORY
#: Augmentations are made once and kept if they take no more bytes than this; else again for each block.
KEEP = 256 * 2**20


def sequential(pruner: Pruner, plans: Sequence[SparsityPlan], augmentations: int) -> Steps[list[Trace]]:
    """The trace of each plan, made block by block.

    Args:
        pruner: says the classifier, the sample, the solver and the seed of the augmentations.
        plans: which layers, and how sparse; all of the same layers.
        augmentations: how many, at least 1.

    Raises:
        ModelError: if activations become NaN or infinite, or the pruned network calls its layers otherwise than the
            dense one.
    """
    images = _Images(pruner.classifier, pruner.samples, augmentations, pruner.seed)
    # A copy of its own: weights are pruned in the user's memory layout.
    dense = pruner.classifier.module().to(memory_format=pruner.classifier.memory_format)
    calls = _calls(dense, plans[0].layers, next(iter(images)))
    pruned: list[dict[str, Pruned]] = []
    for plan in plans:
        steps = _walked(pruner, dense, plan, calls, images)
        solved = yield from within(
            steps, len(pruned) * len(plan.layers), len(plans) * len(plan.layers), len(plan.layers)
        )
        pruned.append({name: solved[name] for name in plan.layers if name in solved})
    return pruner.traces(plans, pruned, augmentations, sequential=True)


def _walked(
    pruner: Pruner, dense: nn.Module, plan: SparsityPlan, calls: Mapping[str, int], images: _Images
) -> Shares[dict[str, Pruned]]:
    """The layers of one plan. dense: a copy of the network whose weights lie as the images do."""
    pruned: dict[str, Pruned] = {}
    for block in walk(pruner.classifier, [name for name in plan.layers if calls[name]]):
        done, layers = len(pruned), sum(1 for name in plan.layers if calls[name])
        sums = {name: LayerSum(MEMORY) for name in block}
        weights = {name: layer.weight for name, layer in pruned.items()}
        sparse = sparse_module(pruner.classifier, weights).to(memory_format=pruner.classifier.memory_format)
        pairs = _Pairs(dense, sparse, {name: calls[name] for name in block}, sums)
        seen = 0
        for batch in images:
            yield (done + FORWARD * len(block) * seen / images.count) / layers
            pairs.run(batch)
            seen += len(batch)
        for i, name in enumerate(block):
            start = done + FORWARD * len(block) + (1 - FORWARD) * i
            yield start / layers
            steps = _layer(pruner, name, sums.pop(name).held(), plan.sparsities[name])
            pruned[name] = yield from part(steps, start / layers, (1 - FORWARD) / layers)
    return pruned


def walk(classifier: ImageClassifier, layers: Sequence[str]) -> list[list[str]]:
    """The layers block by block, in the order in which the network runs them; those outside of blocks each alone."""
    order = {name: i for i, name in enumerate(classifier.prunable())}
    members = [[name for name in block if name in set(layers)] for block in blocks(classifier)]
    inside = {name for block in members for name in block}
    alone = [[name] for name in layers if name not in inside]
    found = [sorted(block, key=order.__getitem__) for block in (*members, *alone) if block]
    return sorted(found, key=lambda block: order[block[0]])


def target(W: Tensor, H: Tensor, C: Tensor, pull: float = PULL) -> Tensor:
    """W* that brings ‖W X − W* Y‖² + λ ‖W* − W‖² down to its least, λ = pull · mean diag H.

    That is W + W (C − H) (H + λI)⁻¹: where Y is X, or zero, W itself.

    Args:
        W: (rows, c); its rows are split evenly over the groups, in order.
        H: Y Yᵀ, (groups, c, c).
        C: X Yᵀ, in the same units.
        pull: above 0.

    Returns:
        (rows, c), float64.

    Raises:
        ModelError: if H is not positive semidefinite.
    """
    H, C = H.double(), C.double()
    grouped = W.double().reshape(H.shape[0], -1, W.shape[1])
    shift = pull * H.diagonal(dim1=-2, dim2=-1).mean(-1)
    damped = H.clone()
    # Where all of Y is zero, so is C: any shift leaves W as it is.
    damped.diagonal(dim1=-2, dim2=-1).add_(torch.where(shift > 0, shift, 1.0).unsqueeze(-1))
    factor, info = torch.linalg.cholesky_ex(damped)
    if bool(info.any()):
        raise ModelError("The Gram matrix of the pruned network's activations is not positive semidefinite.")
    change = torch.cholesky_solve((grouped @ (C - H)).mT, factor).mT
    return (grouped + change).reshape(W.shape)


def target_of_inputs(W: Tensor, X: Tensor, Y: Tensor, pull: float = PULL) -> Tensor:
    """`target` from the inputs themselves, (groups, c, n): n × n matrices, not c × c."""
    X, Y = X.double(), Y.double()
    grouped = W.double().reshape(len(X), -1, W.shape[1])
    shift = pull * Y.square().sum(-1).mean(-1)
    damped = Y.mT @ Y
    damped.diagonal(dim1=-2, dim2=-1).add_(torch.where(shift > 0, shift, 1.0).unsqueeze(-1))
    # (X − Y) Yᵀ (Y Yᵀ + λI)⁻¹ = (X − Y) (Yᵀ Y + λI)⁻¹ Yᵀ
    change = torch.cholesky_solve((grouped @ (X - Y)).mT, torch.linalg.cholesky(damped)).mT @ Y.mT
    return (grouped + change).reshape(W.shape)


def _layer(pruner: Pruner, name: str, held: Held, sparsity: float) -> Shares[Pruned]:
    """One layer, from its dense and its sparse inputs side by side."""
    both = held.gram if held.inputs is None else held.inputs
    if both is None or held.pieces > 1:
        raise InputError(
            f"Layer '{name}' has too many inputs to be pruned block by block with so many augmentations: leave it out, "
            "or take fewer."
        )
    values = both.diagonal(dim1=1, dim2=2) if held.inputs is None else both
    if not bool(torch.isfinite(values).all()):
        raise ModelError(f"The inputs of layer '{name}' are NaN or infinite on this sample, so it cannot be pruned.")
    dense = weight(pruner.module, name)
    W = dense.flatten(1)
    c, scale = W.shape[1], 2 / held.columns
    dtype = torch.promote_types(W.dtype, torch.float32)
    pruned = like(dense, W)
    if held.inputs is None:
        both = both * scale
        if sparsity:
            H = both[:, c:, c:].contiguous()
            aim = target(W, H, both[:, :c, c:]).to(dtype)
            (solved,) = yield from pruner.solve(name, pruner.prepare(dense, H), aim, [sparsity])
            pruned = like(dense, solved)
        # Row by row, W X − W' Y is (W, −W') on X and Y side by side.
        missed = row_energies(torch.cat([W, -pruned.flatten(1)], 1), both)
        energies = row_energies(W, both[:, :c, :c])
        return pruner.measured(name, pruned, both.shape[0], "full", energies, missed)
    X, Y = both[:, :c] * math.sqrt(scale), both[:, c:] * math.sqrt(scale)
    if sparsity:
        aim = target_of_inputs(W, X, Y).to(dtype)
        (solved,) = yield from pruner.solve(name, Dual().prepare_inputs(Y), aim, [sparsity])
        pruned = like(dense, solved)
    missed = input_energies(torch.cat([W, -pruned.flatten(1)], 1), torch.cat([X, Y], 1))
    return pruner.measured(name, pruned, len(X), "columns", input_energies(W, X), missed)


class _Images:
    """The augmentations, as often as asked for; kept if they are not too large."""

    def __init__(self, classifier: ImageClassifier, samples: Sequence[Sample], count: int, seed: int) -> None:
        height, width = classifier.input_size
        size = count * len(classifier.mean) * height * width * classifier.dtype.itemsize
        self.count = count
        batch, layout = batch_size(classifier), classifier.memory_format
        self._make: Callable[[], Iterator[Tensor]] = lambda: (
            images.to(memory_format=layout)
            for sample, start, share in shares(samples, count)
            for images in augment(classifier, sample, share, start=start, seed=seed, batch=batch)
        )
        self._kept: list[Tensor] | None = [] if size <= KEEP else None

    def __iter__(self) -> Iterator[Tensor]:
        if self._kept is None:
            yield from self._make()
            return
        if not self._kept:
            self._kept = list(self._make())
        yield from self._kept


class _Seen(BaseException):
    """All that was looked for has been seen: the rest of the forward pass is left off. No error that a network's own
    `except Exception` may catch.
    """


class _Pairs:
    """Runs the dense and the sparse network on the same images and adds up their layers' inputs, side by side."""

    def __init__(
        self, dense: nn.Module, sparse: nn.Module, calls: Mapping[str, int], sums: Mapping[str, LayerSum]
    ) -> None:
        self._dense, self._sparse, self._calls, self._sums = dense, sparse, calls, sums

    def run(self, images: Tensor) -> None:
        """One batch of images."""
        waiting: dict[str, list[Product]] = {name: [] for name in self._calls}

        def keep(name: str, product: Product) -> None:
            # A copy: the network may write over what it has used.
            waiting[name].append(replace(product, input=product.input.clone()))

        def add(name: str, product: Product) -> None:
            if not waiting[name] or waiting[name][0].input.shape != product.input.shape:
                raise ModelError(_OTHERWISE.format(name))
            self._sums[name].add(_side_by_side(waiting[name].pop(0), product))

        self._watch(self._dense, keep, images)
        self._watch(self._sparse, add, images)
        for name, left in waiting.items():
            if left:
                raise ModelError(_OTHERWISE.format(name))

    def _watch(self, module: nn.Module, report: Callable[[str, Product], None], images: Tensor) -> None:
        left = sum(self._calls.values())

        def tell(name: str, product: Product) -> None:
            nonlocal left
            report(name, product)
            left -= 1
            if not left:
                raise _Seen

        with torch.no_grad():
            try:
                with Watch(module, tell, set(self._calls)):
                    module(images)
            except _Seen:
                return


_OTHERWISE = "Pruned, the network calls its layer '{}' otherwise than dense, so it cannot be pruned block by block."


def _side_by_side(dense: Product, sparse: Product) -> Product:
    """One product of twice as many input channels: in each group the dense ones, then the sparse ones."""
    weight = sparse.weight
    if not sparse.stride:
        joined = torch.cat([dense.input, sparse.input], -1)
    else:
        halves = [x.reshape(len(x), sparse.groups, -1, *x.shape[2:]) for x in (dense.input, sparse.input)]
        joined = torch.cat(halves, 2).flatten(1, 2)
    # Of the weight its shape alone counts.
    return replace(sparse, input=joined, weight=torch.cat([weight, weight], 1))


def _calls(module: nn.Module, layers: Sequence[str], images: Tensor) -> Counter[str]:
    """How often a forward pass uses each layer."""
    calls: Counter[str] = Counter()
    with torch.no_grad(), Watch(module, lambda name, _product: calls.update([name]), set(layers)):
        module(images[:1])
    return calls
