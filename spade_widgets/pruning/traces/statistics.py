"""What pruning did to a layer and to each of its channels: weights kept, channels that died, error."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from spade_widgets.pruning.calibration.calibration import Calibration
from spade_widgets.pruning.calibration.forms import Form
from spade_widgets.pruning.table import Table


@dataclass(frozen=True)
class LayerStats:
    """What pruning did to one layer: a row of `Trace.stats()`.

    Attributes:
        name: the layer.
        total: its weights.
        kept: those that are not dropped.
        sparsity: the share that was dropped.
        error: ‖WX − W'X‖² / ‖WX‖² over the augmentations; 0 is perfect, 1 is as bad as no layer.
        dead_inputs: input channels that no kept weight reads.
        dead_outputs: output channels (rows of the weight) without a kept weight.
        solver: what solved it.
        form: how its Gram matrix was held, see `Calibration`. In `"blocks"` the error is that of each block's inputs
            on their own: what they cancel or add among each other is not known.
    """

    name: str
    total: int
    kept: int
    sparsity: float
    error: float
    dead_inputs: int = 0
    dead_outputs: int = 0
    solver: str = ""
    form: Form = "full"


class StatsTable(Table[LayerStats]):
    """The rows of `Trace.stats()`; a table in a notebook. `pandas.DataFrame(table)` makes a frame of it."""

    __slots__ = ()
    row = LayerStats


@dataclass(frozen=True)
class ChannelStats:
    """What pruning did to one output channel of a layer: a row of `Trace.channels(layer)`.

    Attributes:
        channel: its index: the row of the layer's weight.
        total, kept: its weights, and those that are not dropped.
        dead: whether none is kept: the channel is its bias then, whatever the input.
        energy: the channel's share of the dense layer's output energy ‖WX‖² (without biases), in 0…1.
        error: ‖wX − w'X‖² / ‖wX‖² of this channel; 0 where wX is zero everywhere.
    """

    channel: int
    total: int
    kept: int
    dead: bool
    energy: float
    error: float


class ChannelTable(Table[ChannelStats]):
    """The rows of `Trace.channels(layer)`."""

    __slots__ = ()
    row = ChannelStats


@dataclass(frozen=True)
class InputStats:
    """Who still reads one input channel of a layer: a row of `Trace.inputs(layer)`.

    Attributes:
        channel: its index among the layer's input channels.
        total, kept: the weights that read it, and those that are not dropped.
        dead: whether none is kept.
    """

    channel: int
    total: int
    kept: int
    dead: bool


class InputTable(Table[InputStats]):
    """The rows of `Trace.inputs(layer)`."""

    __slots__ = ()
    row = InputStats


def layer_stats(
    name: str,
    weight: Tensor,
    pruned: Tensor,
    energies: Tensor,
    missed: Tensor,
    *,
    groups: int = 1,
    solver: str = "",
    form: Form = "full",
) -> tuple[LayerStats, Tensor]:
    """What pruning did to a layer.

    Args:
        name: the layer.
        weight: its dense weight, (rows, c_in / groups, *kernel).
        pruned: the same after pruning, or (rows, c).
        energies, missed: of each row's dense output and of its error, (rows,). See `layer_energies`.
        groups: its groups.
        solver, form: what solved it, and how its inputs were held.

    Returns:
        The row of `Trace.stats()`, and per output channel the energies of the dense output and of the error: (2, rows)
        float32 on the CPU.
    """
    W, kept = weight.flatten(1), pruned.flatten(1)
    alive = kept != 0
    read = alive.view(groups, -1, *weight.shape[1:]).movedim(2, 1).flatten(2).any(2)
    counts = torch.stack([alive.sum(), (~read).sum(), (~alive.any(1)).sum()]).double()
    sums = torch.stack([energies.sum(), missed.sum()]).double()
    count, inputs, outputs, whole, lost = torch.cat([counts, sums]).tolist()  # at once: the device waits but here
    error = lost / whole if whole > 0 else 0.0
    stats = LayerStats(
        name, W.numel(), int(count), 1 - int(count) / W.numel(), error, int(inputs), int(outputs), solver, form
    )
    with torch.inference_mode(False):  # an ordinary tensor, whatever mode the caller is in
        return stats, torch.stack([energies, missed]).float().cpu()


def row_energies(W: Tensor, H: Tensor, *, pieces: int = 1) -> Tensor:
    """Mean square of each row's output, `½ w H wᵀ` (rows,), never below zero.

    Args:
        W: (rows, c). Under a 3-D H its rows are split evenly over the groups, in order.
        H: (c, c), or (groups, c, c), or in blocks (groups · pieces, c / pieces, c / pieces).
        pieces: in how many blocks a group's columns are; what lies between two blocks is taken for zero.
    """
    hessian = H if H.ndim == 3 else H.unsqueeze(0)
    groups, side = hessian.shape[0] // pieces, hessian.shape[-1]
    cut = W.to(hessian.dtype).reshape(groups, -1, pieces, side).transpose(1, 2)  # (groups, pieces, rows, side)
    energies = (cut @ hessian.view(groups, pieces, side, side)).mul_(cut).sum((1, 3))
    return energies.flatten().clamp(min=0) / 2


def input_energies(W: Tensor, X: Tensor) -> Tensor:
    """`row_energies` of inputs that are held themselves. X: (groups, c, n), scaled so that H = X Xᵀ."""
    grouped = W.to(X.dtype).reshape(X.shape[0], -1, W.shape[1])
    return (grouped @ X).square_().sum(2).flatten() / 2


def layer_energies(calibration: Calibration, layer: str, W: Tensor) -> Tensor:
    """Mean square of each row's output (rows,), whatever form the layer is held in. W: (rows, c)."""
    if calibration.form(layer) == "columns":
        return input_energies(W, calibration.scaled_inputs(layer))
    return row_energies(W, calibration.gram(layer), pieces=calibration.pieces.get(layer, 1))


def channels(pruned: Tensor, energies: Tensor | None) -> ChannelTable:
    """See `Trace.channels`. `energies`: as `layer_stats` returns them; without them energy and error are NaN."""
    W = pruned.flatten(1)
    counts = (W != 0).sum(1).tolist()
    if energies is None:
        shares = errors = [float("nan")] * len(counts)
    else:
        before, after = energies.double()
        shares = (before / before.sum().clamp(min=torch.finfo(torch.float64).tiny)).tolist()
        errors = torch.where(before > 0, after / before, 0.0).tolist()

    def rows() -> Iterator[ChannelStats]:
        for i, (kept, share, error) in enumerate(zip(counts, shares, errors, strict=True)):
            yield ChannelStats(i, W.shape[1], kept, kept == 0, share, error)

    return ChannelTable(rows())


def inputs(pruned: Tensor, groups: int) -> InputTable:
    """See `Trace.inputs`. `pruned`: (rows, c_in / groups, *kernel)."""
    alive = (pruned != 0).view(groups, -1, *pruned.shape[1:]).movedim(2, 1).flatten(2)
    counts = alive.sum(2).flatten().tolist()
    return InputTable(InputStats(i, alive.shape[2], kept, kept == 0) for i, kept in enumerate(counts))


def groups_of(module: nn.Module, layer: str) -> int:
    """Into how many groups a layer splits its channels; 1 for whatever knows no groups."""
    try:
        part = module.get_submodule(layer)
    except AttributeError:  # the layer's name is a parameter's
        return 1
    return part.groups if isinstance(part, nn.Conv1d | nn.Conv2d | nn.Conv3d) else 1
