"""A neuron's facets: its best examples, grouped by what reached it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Literal, overload

import numpy as np
import numpy.typing as npt

from spade_widgets.checks import whole
from spade_widgets.classifier import ImageClassifier
from spade_widgets.disk import Disk
from spade_widgets.errors import InputError
from spade_widgets.inspection.examples import Example, Index, IndexProgress
from spade_widgets.inspection.examples import examples as find_examples
from spade_widgets.inspection.facets.grouping import by_size, coordinates, distances, group, silhouette_of, stability
from spade_widgets.inspection.facets.reached import what_reached
from spade_widgets.neuron import Neuron
from spade_widgets.pruning.plans.plan import Patterns, SparsityPlan
from spade_widgets.pruning.spade import trace_together
from spade_widgets.pruning.traces.trace import Trace
from spade_widgets.sample import Source

#: How many examples are grouped.
BEST = 64


@dataclass(frozen=True, eq=False)
class Facet:
    """One of the unlike things that a neuron answers to: a group of its examples.

    Attributes:
        examples: the strongest first.
        members: their positions in `Facets.examples`.
        share: of all grouped examples, in (0, 1].
    """

    examples: tuple[Example, ...]
    members: tuple[int, ...]
    share: float

    def __len__(self) -> int:
        return len(self.examples)

    def __repr__(self) -> str:
        return f"Facet({len(self)} examples, {self.share:.0%}, strongest {self.examples[0].title!r})"


@dataclass(frozen=True, eq=False)
class Facets(Sequence[Facet]):
    """A neuron's facets, the largest first. A single one is an answer as good as any.

    Attributes:
        classifier: the dense classifier.
        neuron: the neuron.
        examples: the grouped examples, the strongest first.
        assignment: (n,), the position of each example's facet.
        directions: (n, 2), where each example lies along the two principal directions of what reached the neuron.
        silhouette: how well the examples fall into groups, in −1…1; of the best split where there is one facet.
        null: the silhouettes of data without groups, split as well as can be: (draws,); see `grouping`. Empty for
            groups of one's own.
        stability: mean adjusted Rand index between the facets and those that half of the examples give, at most 1.
        reached: what reached the neuron on each example: (n, channels of the layer before).
        own: whether the user made the groups (`regroup`).
    """

    classifier: ImageClassifier
    neuron: Neuron
    examples: tuple[Example, ...] = field(repr=False)
    assignment: npt.NDArray[np.int64] = field(repr=False)
    directions: npt.NDArray[np.float64] = field(repr=False)
    silhouette: float
    null: npt.NDArray[np.float64] = field(repr=False)
    stability: float
    reached: npt.NDArray[np.float64] = field(repr=False)
    own: bool = False

    @cached_property
    def facets(self) -> tuple[Facet, ...]:
        """The facets themselves."""
        found = []
        for i in range(int(self.assignment.max()) + 1):
            members = tuple(int(m) for m in np.flatnonzero(self.assignment == i))
            found.append(Facet(tuple(self.examples[m] for m in members), members, len(members) / len(self.examples)))
        return tuple(found)

    def trace(
        self,
        facet: int,
        *,
        sparsity: float | None = None,
        layers: Patterns | None = None,
        plan: SparsityPlan | Mapping[str, float] | None = None,
        solver: str = "refined",
        sequential: bool = False,
        augmentations: int = 256,
        seed: int = 0,
    ) -> Trace:
        """The facet's trace: one sparse network for all of its examples. Gram matrices add, so it takes one solve.

        Its `sample` is the strongest example; `others` names the rest. Arguments as `trace_together`.

        Raises:
            InputError: if there is no such facet, or for arguments that cannot be used.
        """
        if whole("facet", facet, 0) >= len(self):
            raise InputError(f"There is no facet {facet!r}: {self.neuron} has the facets 0 to {len(self) - 1} here.")
        return trace_together(
            self.classifier,
            [example.sample for example in self[facet].examples],
            sparsity=sparsity,
            layers=layers,
            plan=plan,
            solver=solver,
            sequential=sequential,
            augmentations=augmentations,
            seed=seed,
        )

    def regroup(self, groups: Sequence[Sequence[int]]) -> Facets:
        """The same examples in groups of one's own; those in none are one more facet.

        Args:
            groups: positions in `examples`, a sequence a facet.

        Raises:
            InputError: if there is no group, one is empty, or an example is named twice or is none.
        """
        chosen = [[whole("position of an example", i, 0) for i in members] for members in groups]
        named = [i for members in chosen for i in members]
        if not chosen or not all(chosen):
            raise InputError("A facet of one's own has at least one example.")
        if len(set(named)) < len(named):
            raise InputError("An example can be in one facet only.")
        if max(named) >= len(self.examples):
            raise InputError(f"There is no example {max(named)}: their positions are 0 to {len(self.examples) - 1}.")
        labels = np.full(len(self.examples), len(chosen), np.int64)
        for i, members in enumerate(chosen):
            labels[members] = i
        labels = by_size(labels)
        points = coordinates(self.reached)
        return replace(
            self,
            assignment=labels,
            silhouette=silhouette_of(distances(points), labels),
            null=np.zeros(0),
            stability=stability(points, labels, seed=0),
            own=True,
        )

    def __len__(self) -> int:
        return len(self.facets)

    @overload
    def __getitem__(self, item: int) -> Facet: ...

    @overload
    def __getitem__(self, item: slice) -> tuple[Facet, ...]: ...

    def __getitem__(self, item: int | slice) -> Facet | tuple[Facet, ...]:
        return self.facets[item]

    def __repr__(self) -> str:
        shares = ", ".join(f"{facet.share:.0%}" for facet in self)
        count = "one facet" if len(self) == 1 else f"{len(self)} facets ({shares})"
        return f"Facets({self.neuron}: {count} of {len(self.examples)} examples, stability {self.stability:.2f})"


def facets(
    classifier: ImageClassifier,
    neuron: str | Neuron,
    photos: Source | Iterable[Source],
    count: int | Literal["auto"] = "auto",
    *,
    examples: Iterable[Example] | None = None,
    seed: int = 0,
    best: int = BEST,
    cache: str | Path | Disk | None = None,
    index: Index | None = None,
    progress: Callable[[IndexProgress], object] | None = None,
) -> Facets:
    """Group a neuron's best examples by what reached it: activation × gradient at the layer before (PURE).

    Args:
        classifier: the dense classifier.
        neuron: a class, a channel, or a channel at a position.
        photos: a folder, a list of anything that `Sample.read` takes, or one of them.
        count: how many facets; by default as many as the examples fall into, compared with data without groups, which
            may well be one. See `grouping`.
        examples: the examples to group, where they are known already; `photos` is not looked at then.
        seed: of what the groups are compared with, and of the resamples.
        best: how many examples are grouped, 1…64; those that the neuron is not above zero for are left out.
        cache, index, progress: as of `examples`.

    Raises:
        InputError: if there is no such neuron, no image excites it, or there are fewer examples than facets.
        ModelError: if the model cannot be run on an image.
    """
    asked = classifier.neuron(neuron)
    wanted = None if count == "auto" else whole("count", count)
    given = (
        find_examples(classifier, asked, photos, best, cache=cache, index=index, progress=progress)
        if examples is None
        else examples
    )
    found = tuple(sorted((e for e in given if e.value > 0), key=lambda example: -example.value))
    if not found:
        raise InputError(f"None of the images excites {asked}, so there is nothing to group.")
    if wanted is not None and wanted > len(found):
        raise InputError(f"{len(found)} examples excite {asked}, which cannot be in {wanted} facets.")
    # A copy of each, since an example keeps what it has read: of many photographs one is held at a time.
    rows = what_reached(classifier, asked, (replace(e).sample for e in found), [e.place for e in found])
    made = group(rows, wanted, seed=seed)
    return Facets(classifier, asked, found, made.labels, plane(rows), made.silhouette, made.null, made.stability, rows)


def plane(rows: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Rows along their two principal directions: (n, 2)."""
    found = coordinates(rows)[:, :2]
    return np.pad(found, ((0, 0), (0, 2 - found.shape[1])))
