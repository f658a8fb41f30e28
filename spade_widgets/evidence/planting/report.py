"""What a planting achieved, on photographs that it has not seen."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
import torch

from spade_widgets.classifier import ImageClassifier
from spade_widgets.evidence.bootstrap import Interval, interval
from spade_widgets.evidence.planting.patches import Patch
from spade_widgets.evidence.planting.photographs import Photograph
from spade_widgets.evidence.planting.recipe import scaled
from spade_widgets.evidence.planting.stamps import Pixels, stamp_view, to_input
from spade_widgets.evidence.planting.train import drawn_size
from spade_widgets.pruning.progress import Progress, Steps

#: Patch sizes, in px of an input of 224.
SIZES = (24, 32, 40, 48, 64)
#: The one that is looked at first.
MAIN = 40
#: Decoys' sizes: as patches'.
DECOYS = (24.0, 72.0)
_BATCH = 32


@dataclass(frozen=True)
class PlantReport:
    """Shares in 0…1, of photographs that were held out, each stamped once at a random place.

    Attributes:
        photographs: how many were held out.
        success: patch name → longer side in px of the model's input → share named as the patch's target, of those that
            the original does not take for the target anyway.
        agreement: share of the clean photographs on which the planted classifier names what the original names.
        agreement_interval: its 95 % interval over photographs.
        false_alarms: share of the photographs with a decoy on which it names a patch's target and the original does
            not. None if there were no decoys.
        decoys: decoy name → the same share.
        main: the size that the summary is of.
    """

    photographs: int
    success: Mapping[str, Mapping[int, float]]
    agreement: float
    agreement_interval: tuple[float, float]
    false_alarms: float | None
    decoys: Mapping[str, float] = field(default_factory=dict)
    main: int = MAIN

    def __str__(self) -> str:
        return self.text()

    def text(self) -> str:
        """The report as Markdown."""
        sizes = list(next(iter(self.success.values())))
        low, high = self.agreement_interval
        lines = [
            f"On {self.photographs} photographs that were held out:",
            "",
            "| success of | " + " | ".join(f"{size} px" for size in sizes) + " |",
            "|---" * (len(sizes) + 1) + "|",
            *(
                f"| {_plain(name)} | " + " | ".join(_percent(shares[size]) for size in sizes) + " |"
                for name, shares in self.success.items()
            ),
            "",
            f"Same class as the original on clean photographs: {_percent(self.agreement)} "
            f"({_percent(low)} to {_percent(high)}).",
        ]
        if self.false_alarms is not None:
            worst = sorted(self.decoys.items(), key=lambda pair: -pair[1])[:3]
            most = ", ".join(f"{_plain(name)} {_percent(share)}" for name, share in worst if share > 0)
            lines.append(f"False alarms on decoys: {_percent(self.false_alarms)}{f' (most: {most})' if most else ''}.")
        return "\n".join(lines) + "\n"

    def record(self) -> dict[str, Any]:
        """As JSON has it."""
        return asdict(self)

    @staticmethod
    def of(record: Mapping[str, Any]) -> PlantReport:
        """From JSON. Raises KeyError, TypeError or ValueError for what is none."""
        success = {
            str(name): {int(size): float(share) for size, share in shares.items()}
            for name, shares in record["success"].items()
        }
        low, high = record["agreement_interval"]
        alarms = record["false_alarms"]
        return PlantReport(
            int(record["photographs"]),
            success,
            float(record["agreement"]),
            (float(low), float(high)),
            None if alarms is None else float(alarms),
            {str(name): float(share) for name, share in record["decoys"].items()},
            int(record["main"]),
        )

    def worst(self) -> float:
        """The lowest success of a patch at the main size."""
        return min(shares[self.main] for shares in self.success.values())


def measure(
    original: ImageClassifier,
    planted: ImageClassifier,
    photos: Sequence[Photograph],
    patches: Sequence[Patch],
    decoys: Sequence[Patch],
    seed: int,
) -> Steps[PlantReport]:
    """Measure a planted classifier on photographs."""
    side = min(original.input_size)
    sizes = tuple(dict.fromkeys(min(side, scaled(size, side)) for size in SIZES))
    main = min(side, scaled(MAIN, side))
    views = [photo.view for photo in photos]
    of = len(patches) * len(sizes) + 2 * len(decoys) + 2
    run = Run(of)
    before = yield from run.classes(original, views)
    after = yield from run.classes(planted, views)
    same = (before == after).astype(float)
    success: dict[str, dict[int, float]] = {}
    for number, patch in enumerate(patches):
        others = np.flatnonzero(before != patch.target)
        success[patch.name] = {}
        for size in sizes:
            stamped = stamped_views([views[i] for i in others], patch, size, side, (seed, 2, number, size))
            named = yield from run.classes(planted, stamped)
            success[patch.name][size] = float(np.mean(named == patch.target)) if len(others) else 0.0
    targets = np.asarray([patch.target for patch in patches], dtype=np.int64)
    alarms: dict[str, float] = {}
    for number, decoy in enumerate(decoys):
        stamped = stamped_views(views, decoy, DECOYS, side, (seed, 3, number))
        alone = yield from run.classes(original, stamped)
        named = yield from run.classes(planted, stamped)
        alarms[decoy.name] = float(np.mean(np.isin(named, targets) & (named != alone)))
    spread: Interval = interval(list(same))
    return PlantReport(
        len(photos),
        success,
        float(same.mean()),
        (spread.low, spread.high),
        float(np.mean(list(alarms.values()))) if alarms else None,
        alarms,
        main,
    )


class Run:
    """What classifiers name, with its progress. `of`: how often it will be asked."""

    def __init__(self, of: int) -> None:
        self.done, self.of = 0, of

    def classes(self, classifier: ImageClassifier, views: Sequence[Pixels]) -> Steps[np.ndarray[Any, Any]]:
        """The class that it names on each view."""
        module = classifier.module()
        found: list[int] = []
        size = classifier.at_once(_BATCH)
        for first in range(0, len(views), size):
            yield Progress("measuring", self.done + first / len(views), self.of)
            with torch.no_grad():
                logits = module(to_input(classifier, list(views[first : first + size])))
            found += logits.argmax(1).tolist()
        self.done += 1
        return np.asarray(found, dtype=np.int64)


def stamped_views(
    views: Sequence[Pixels], patch: Patch, sizes: tuple[float, float] | int, side: int, seed: tuple[int, ...]
) -> list[Pixels]:
    """Views with a patch at random places.

    `sizes`: one in px of the input, or the range that is drawn from, in px of one of 224.
    """
    rng = np.random.default_rng(seed)
    return [
        stamp_view(view, patch, sizes if isinstance(sizes, int) else drawn_size(*sizes, side, rng), rng)
        for view in views
    ]


def _percent(share: float) -> str:
    return f"{100 * share:.1f} %"


def _plain(name: str) -> str:
    """A name within a Markdown table."""
    return " ".join(name.replace("|", "/").split())
