"""Curves: each layer of a network pruned alone at many sparsities, from one calibration and one factorisation."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from torch import Tensor

from spade_widgets.network.weights import weight
from spade_widgets.pruning.calibration.calibration import Calibration
from spade_widgets.pruning.progress import Progress, Steps, within
from spade_widgets.pruning.pruner import Pruned, Pruner, like
from spade_widgets.pruning.traces.sparse_code import decode, encode
from spade_widgets.pruning.traces.statistics import LayerStats


@dataclass(frozen=True, eq=False)
class _Point:
    """A pruned layer, its weight without the zeros."""

    code: str
    values: Tensor
    places: Tensor
    stats: LayerStats
    energies: Tensor


@dataclass(frozen=True, eq=False)
class Curve:
    """One layer at several sparsities.

    Attributes:
        dense: its dense weight.
        sparsities: ascending.
        points: what came of each.
    """

    dense: Tensor
    sparsities: tuple[float, ...]
    points: tuple[_Point, ...]

    @property
    def stats(self) -> tuple[LayerStats, ...]:
        """Of each sparsity, the layer's row in `Trace.stats()`."""
        return tuple(point.stats for point in self.points)

    def pruned(self, number: int) -> Pruned:
        """The layer at the sparsity of this number."""
        point = self.points[number]
        W = decode(point.code, point.values, point.places, self.dense.shape)
        return Pruned(like(self.dense, W.to(self.dense.device)), point.stats, point.energies)


def curves(
    pruner: Pruner, calibration: Calibration, layers: Sequence[str], sparsities: Sequence[float]
) -> Steps[Mapping[str, Curve]]:
    """The curve of each of the layers that the forward pass reached, in their order. Sparsities: ascending."""
    made: dict[str, Curve] = {}
    names = [name for name in layers if name in calibration.columns]
    for done, name in enumerate(names):
        yield Progress("solving", done, len(names))
        solved = yield from within(pruner.layer(calibration, name, sparsities), done, len(names))
        points = tuple(_Point(*encode(layer.weight), layer.stats, layer.energies) for layer in solved)
        made[name] = Curve(weight(pruner.module, name), tuple(sparsities), points)
    return made
