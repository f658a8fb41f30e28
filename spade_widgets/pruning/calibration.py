"""Calibration: each layer's Gram matrix `H = 2/n · X Xᵀ` over the augmentations (SPADE, section 3).

X are the layer's inputs as columns: for a convolution the unfolded patches, for a linear layer its tokens; n counts the
columns. H is the Hessian of the layer-wise problem ‖WX − W'X‖². Sums are kept, so calibrations stream and add up.
"""

from __future__ import annotations

from collections.abc import Generator, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TypeAlias

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from spade_widgets.classifier import ImageClassifier
from spade_widgets.errors import InputError, ModelError
from spade_widgets.pruning.augment import augment
from spade_widgets.pruning.progress import Progress, Steps
from spade_widgets.sample import Sample

Prunable: TypeAlias = nn.Conv2d | nn.Linear

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


def gram(layer: Prunable, inputs: Tensor) -> Tensor:
    """`H = 2/n · X Xᵀ` of one layer's inputs.

    Args:
        layer: a `Conv2d` (any stride, padding, dilation, groups) or `Linear`.
        inputs: what the layer is given: (n, c_in, h, w), or (…, c_in) for a linear layer.

    Returns:
        (c, c), or (groups, c, c) for a grouped convolution; c = columns of one output row of the layer, in
        `weight.flatten(1)` order (c_in, kh, kw). float32, or float64 for float64 inputs.

    Raises:
        InputError: if the inputs are empty.
    """
    total, columns = gram_sum(layer, inputs)
    hessian = total * (2 / columns)
    return hessian if _groups(layer) > 1 else hessian[0]


def gram_sum(layer: Prunable, inputs: Tensor) -> tuple[Tensor, int]:
    """Σ X Xᵀ (groups, c, c) and how many columns X has. See `gram`."""
    if inputs.numel() == 0:
        raise InputError("The layer's inputs are empty, so there is nothing to calibrate on.")
    inputs = inputs.detach()
    if inputs.dtype not in (torch.float32, torch.float64):
        inputs = inputs.float()
    side = layer.weight[0].numel()
    total = torch.zeros(_groups(layer), side, side, dtype=inputs.dtype, device=inputs.device)
    columns = 0
    for patches in _columns(layer, inputs):
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
    with _collecting(module, layers, sums, columns):
        for images in augment(classifier, sample, augmentations, seed=seed, batch=batch):
            yield Progress("calibrating", seen, augmentations)
            with torch.inference_mode():  # not around the yield: whoever takes the steps would be left in it
                module(images)
            seen += images.shape[0]
    for name, total in sums.items():
        if not bool(torch.isfinite(total).all()):
            raise ModelError(
                f"The inputs of layer '{name}' are NaN or infinite on this sample, so it cannot be pruned."
            )
    # Clones leave inference mode behind: its tensors cannot be used where gradients are recorded.
    return Calibration({name: total.clone() for name, total in sums.items()}, columns, seen)


@contextmanager
def _collecting(
    module: nn.Module, layers: Iterable[str], sums: dict[str, Tensor], columns: dict[str, int]
) -> Generator[None, None, None]:
    def collect(name: str) -> object:
        def hook(layer: nn.Module, args: tuple[Tensor, ...], named: dict[str, Tensor]) -> None:
            assert isinstance(layer, nn.Conv2d | nn.Linear)
            total, count = gram_sum(layer, args[0] if args else named["input"])
            sums[name] = sums[name].add_(total) if name in sums else total
            columns[name] = columns.get(name, 0) + count

        return hook

    handles = [
        module.get_submodule(name).register_forward_pre_hook(collect(name), with_kwargs=True)  # type: ignore[arg-type]
        for name in layers
    ]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def _columns(layer: Prunable, inputs: Tensor) -> Iterator[Tensor]:
    """X in pieces, each (groups, c, columns)."""
    if isinstance(layer, nn.Linear):
        yield inputs.reshape(-1, layer.in_features).T.unsqueeze(0)
        return
    if inputs.ndim == 3:
        inputs = inputs.unsqueeze(0)
    inputs = _padded(layer, inputs)
    kernel, stride = _pair(layer.kernel_size), _pair(layer.stride)
    width = inputs.shape[1] * kernel[0] * kernel[1]
    positions = max(1, inputs.shape[2] * inputs.shape[3] // (stride[0] * stride[1]))
    piece = max(1, UNFOLD_BYTES // (width * positions * inputs.element_size()))
    for part in torch.split(inputs, piece):
        if kernel == (1, 1):  # no patches to copy
            patches = part[:, :, :: stride[0], :: stride[1]].flatten(2)
        else:
            patches = F.unfold(part, kernel, dilation=_pair(layer.dilation), stride=stride)
        # (n, groups · c, positions) → (groups, c, n · positions)
        patches = patches.reshape(len(part), layer.groups, -1, patches.shape[-1])
        yield patches.permute(1, 2, 0, 3).flatten(2)


def _padded(layer: nn.Conv2d, inputs: Tensor) -> Tensor:
    """Padding as the layer does it: zeros, reflect, replicate or circular; numbers, 'same' or 'valid'."""
    left_right_top_bottom = layer._reversed_padding_repeated_twice
    if layer.padding_mode == "zeros" and not isinstance(layer.padding, str):
        # What the layer itself pads by then: the list above is not kept up when someone sets its padding.
        rows, cols = _pair(layer.padding)
        left_right_top_bottom = [cols, cols, rows, rows]
    if not any(left_right_top_bottom):
        return inputs
    mode = "constant" if layer.padding_mode == "zeros" else layer.padding_mode
    return F.pad(inputs, left_right_top_bottom, mode=mode)


def _pair(value: tuple[int, ...]) -> tuple[int, int]:
    return (value[0], value[1])


def _groups(layer: Prunable) -> int:
    return layer.groups if isinstance(layer, nn.Conv2d) else 1
