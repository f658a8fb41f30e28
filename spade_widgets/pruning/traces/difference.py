"""What two traces have in common: which of the connections that one sample needs the other needs as well."""

from __future__ import annotations

import html
from collections.abc import Mapping
from dataclasses import dataclass

from torch import Tensor

from spade_widgets.pruning.table import Table


@dataclass(frozen=True)
class LayerDiff:
    """The connections of one layer, or of all together, in two traces.

    Attributes:
        name: the layer; `"all"` for all of them.
        total: its weights.
        both: those kept in both traces.
        only_here, only_there: those kept in the first one alone, and in the second one alone.
        jaccard: both / those kept in either, in 0…1; 1 where neither keeps any.
        by_chance: how many would be kept in both if each trace had drawn its own at random in each layer:
            kept here · kept there / total.
    """

    name: str
    total: int
    both: int
    only_here: int
    only_there: int
    jaccard: float
    by_chance: float


class DiffTable(Table[LayerDiff]):
    """A row a layer."""

    __slots__ = ()
    row = LayerDiff


@dataclass(frozen=True)
class TraceDiff:
    """What `Trace.diff` says.

    Attributes:
        here, there: the two samples' titles.
        layers: a row for each layer that both traces prune.
        overall: those layers together.
        pruned_here, pruned_there: layers that only one of the traces prunes; they are not compared.
    """

    here: str
    there: str
    layers: DiffTable
    overall: LayerDiff
    pruned_here: tuple[str, ...] = ()
    pruned_there: tuple[str, ...] = ()

    def _repr_html_(self) -> str:
        o = self.overall
        told = [f"{self.here} and {self.there}: {o.both:,} connections in common, {o.by_chance:,.0f} by chance."]
        for title, names in ((self.here, self.pruned_here), (self.there, self.pruned_there)):
            if names:
                told.append(f"Pruned for {title} alone: {', '.join(names)}.")
        lines = "".join(f"<p>{html.escape(line)}</p>" for line in told)
        return lines + DiffTable([*self.layers, o])._repr_html_()


def diff(here: Mapping[str, Tensor], there: Mapping[str, Tensor], titles: tuple[str, str]) -> TraceDiff:
    """Compare two traces' weights, layer name → tensor. The layers are of one network."""
    rows = [_layer(name, here[name], there[name]) for name in here if name in there]
    total, both, only_here, only_there = (
        sum(getattr(row, key) for row in rows) for key in ("total", "both", "only_here", "only_there")
    )
    chance = sum(row.by_chance for row in rows)
    return TraceDiff(
        *titles,
        DiffTable(rows),
        LayerDiff("all", total, both, only_here, only_there, _jaccard(both, only_here, only_there), chance),
        tuple(name for name in here if name not in there),
        tuple(name for name in there if name not in here),
    )


def _layer(name: str, here: Tensor, there: Tensor) -> LayerDiff:
    one, other = here != 0, there.to(here.device) != 0
    kept, kept_there, both = int(one.sum()), int(other.sum()), int((one & other).sum())
    total = here.numel()
    jaccard = _jaccard(both, kept - both, kept_there - both)
    return LayerDiff(name, total, both, kept - both, kept_there - both, jaccard, kept * kept_there / total)


def _jaccard(both: int, only_here: int, only_there: int) -> float:
    either = both + only_here + only_there
    return both / either if either else 1.0
