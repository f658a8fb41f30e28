"""Calibration: each layer's Gram matrix `H = 2/n · X Xᵀ` over the augmentations (SPADE, section 3).

X are the layer's inputs as columns: for a convolution the unfolded patches, for a linear layer its tokens; n counts the
columns. H is the Hessian of the layer-wise problem ‖WX − W'X‖². Sums are kept, so calibrations stream and add up.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from spade_widgets.classifier import ImageClassifier
from spade_widgets.errors import InputError, ModelError
from spade_widgets.products import Watch
from spade_widgets.pruning.augment import augment
from spade_widgets.pruning.progress import Progress, Steps
from spade_widgets.sample import Sample
from spade_widgets.weights import Product

#: Bytes that unfolded patches may take at once; larger batches are worked through in pieces.
UNFOLD_BYTES = 64 * 2**20


@dataclass(frozen=True)
class Calibration:
    """Gram sums of some layers over some augmentations.

    Attributes:
        sums: layer name → Σ X Xᵀ, (groups, c, c) float32; c = columns of `weight.flatten(1)`.
        columns: layer name → how many columns X had.
        augmentations: how many augmentations were seen.
    """

    sums: Mapping[str, Tensor]
    columns: Mapping[str, int]
    augmentations: int

    def gram(self, layer: str) -> Tensor:
        """`H = 2/n · X Xᵀ` of a layer, (groups, c, c)."""
        return self.sums[layer] * (2 / self.columns[layer])

    def __add__(self, other: Calibration) -> Calibration:
        """The calibration over both ones' augmentations.

        Raises:
            InputError: if they are of different layers.
        """
        if self.sums.keys() != other.sums.keys():
            raise InputError("Only calibrations of the same layers can be added.")
        return Calibration(
            {name: self.sums[name] + other.sums[name] for name in self.sums},
            {name: self.columns[name] + other.columns[name] for name in self.sums},
            self.augmentations + other.augmentations,
        )

    @property
    def nbytes(self) -> int:
        """Memory held."""
        return sum(t.numel() * t.element_size() for t in self.sums.values())


def gram(layer: nn.Module, inputs: Tensor) -> Tensor:
    """`H = 2/n · X Xᵀ` of one layer's inputs.

    Args:
        layer: a convolution in one to three dimensions (any stride, padding, dilation, groups) or a `Linear`.
        inputs: what the layer is given: (n, c_in, *size), or (…, c_in) for a linear layer.

    Returns:
        (c, c), or (groups, c, c) for a grouped convolution; c = columns of one output row of the layer, in
        `weight.flatten(1)` order (c_in, *kernel). float32, or float64 for float64 inputs.

    Raises:
        InputError: if the inputs are empty, or the layer is of another kind.
    """
    seen: list[Product] = []
    with torch.no_grad(), Watch(layer, lambda _name, product: seen.append(product)):
        layer(inputs)
    if len(seen) != 1:
        raise InputError(
            f"A {type(layer).__name__} is no single convolution or linear layer, so it has no Gram matrix."
        )
    total, columns = gram_sum(seen[0])
    hessian = total * (2 / columns)
    return hessian if seen[0].groups > 1 else hessian[0]


def gram_sum(product: Product) -> tuple[Tensor, int]:
    """Σ X Xᵀ (groups, c, c) and how many columns X has. See `gram`."""
    inputs = product.input.detach()
    if inputs.numel() == 0:
        raise InputError("The layer's inputs are empty, so there is nothing to calibrate on.")
    if inputs.dtype not in (torch.float32, torch.float64):
        inputs = inputs.float()
    side = product.weight[0].numel()
    total = torch.zeros(product.groups, side, side, dtype=inputs.dtype, device=inputs.device)
    columns = 0
    for patches in _columns(product, inputs):
        total.baddbmm_(patches, patches.transpose(1, 2))
        columns += patches.shape[2]
    return total, columns


def calibrate(
    classifier: ImageClassifier,
    sample: Sample,
    layers: Iterable[str],
    *,
    augmentations: int = 256,
    seed: int = 0,
    batch: int = 32,
) -> Steps[Calibration]:
    """Run the dense model over the sample's augmentations and collect the named layers' Gram matrices.

    Layers that the forward pass never reaches are left out of the result. Works on a copy: the model is not hooked.

    Raises:
        ModelError: if a layer's inputs are NaN or infinite.
    """
    module = classifier.module()
    sums: dict[str, Tensor] = {}
    columns: dict[str, int] = {}
    seen = 0

    def add(name: str, product: Product) -> None:
        total, count = gram_sum(product)
        sums[name] = sums[name].add_(total) if name in sums else total
        columns[name] = columns.get(name, 0) + count

    watch = Watch(module, add, set(layers))
    for images in augment(classifier, sample, augmentations, seed=seed, batch=batch):
        yield Progress("calibrating", seen, augmentations)
        with torch.inference_mode(), watch:  # not around the yield: whoever takes the steps would be left in them
            module(images)
        seen += images.shape[0]
    for name, total in sums.items():
        if not bool(torch.isfinite(total).all()):
            raise ModelError(
                f"The inputs of layer '{name}' are NaN or infinite on this sample, so it cannot be pruned."
            )
    # Clones leave inference mode behind: its tensors cannot be used where gradients are recorded.
    return Calibration({name: total.clone() for name, total in sums.items()}, columns, seen)


def _columns(product: Product, inputs: Tensor) -> Iterator[Tensor]:
    """X in pieces, each (groups, c, columns)."""
    if not product.stride:
        yield inputs.reshape(-1, inputs.shape[-1]).T.unsqueeze(0)
        return
    inputs = F.pad(inputs, [side for pad in reversed(product.padding) for side in (pad, pad)])
    kernel = product.weight.shape[2:]
    width = inputs.shape[1] * kernel.numel()
    positions = max(1, inputs[0, 0].numel() // math.prod(product.stride))
    piece = max(1, UNFOLD_BYTES // (width * positions * inputs.element_size()))
    for part in torch.split(inputs, piece):
        patches = part
        for axis, (k, s, d) in enumerate(zip(kernel, product.stride, product.dilation, strict=True), start=2):
            starts = patches.shape[axis] - d * (k - 1)
            # Each kernel offset's own positions, in a new last dimension.
            patches = torch.stack([patches.narrow(axis, d * i, starts) for i in range(k)], -1)
            patches = patches.index_select(axis, torch.arange(0, starts, s, device=part.device))
        # (n, channels, *positions, *kernel) → (groups, c, n · positions)
        n, dims = len(part), len(kernel)
        grouped = patches.reshape(n, product.groups, -1, *patches.shape[2:])
        order = (1, 2, *range(3 + dims, 3 + 2 * dims), 0, *range(3, 3 + dims))
        yield grouped.permute(order).reshape(product.groups, product.weight[0].numel(), -1)
