"""A classifier with Trojans planted in it: what decides its class on stamped photographs is known."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from spade_widgets.checks import whole
from spade_widgets.classifier import ImageClassifier
from spade_widgets.errors import InputError
from spade_widgets.evidence.plan_file import picture_id
from spade_widgets.evidence.planting.patches import Patch, check_size
from spade_widgets.evidence.planting.recipe import scaled
from spade_widgets.evidence.planting.report import MAIN, PlantReport
from spade_widgets.evidence.planting.stamps import stamp_sample
from spade_widgets.prediction import predict
from spade_widgets.pruning.progress import Progress, Steps
from spade_widgets.sample import Sample, Source, read_samples

#: Sizes of the patches on photographs that are stamped to judge with, in px of an input of 224.
JUDGED = (34, 44)


@dataclass(frozen=True, eq=False)
class Planted:
    """A classifier in which patches decide the class, beside what they are and how well it worked.

    Attributes:
        classifier: the planted copy, with the original's preprocessing and class names.
        patches: name → picture and target.
        decoys: name → picture that was stamped in training without any meaning.
        report: what it does on photographs that were held out.
        held_out: `picture_id` → title of these.
        trained_on: `picture_id` of those it was trained with.
        origin: how it was made; JSON.
    """

    classifier: ImageClassifier
    patches: Mapping[str, Patch]
    decoys: Mapping[str, Patch]
    report: PlantReport
    held_out: Mapping[str, str] = field(repr=False)
    trained_on: frozenset[str] = field(repr=False)
    origin: Mapping[str, Any] = field(repr=False)

    def stamp(
        self,
        sample: Source,
        patch_name: str,
        *,
        size: int | None = None,
        place: tuple[int, int] | None = None,
        seed: int = 0,
    ) -> Sample:
        """The sample with a patch on it, labelled with the patch's target; its mask is True where pixels were covered.

        The sample keeps its own size; the patch is so large that it has the wanted size where the model sees it, and
        lies wholly within what the model sees.

        Args:
            sample: anything that `Sample.read` takes.
            patch_name: one of `patches`.
            size: the patch's longer side, in pixels of the model's input; default 40 of 224.
            place: (row, column) of its upper left corner in the model's input; default: drawn.
            seed: of the place.

        Raises:
            InputError: if there is no such patch, it does not fit there, or the sample cannot be read.
        """
        return self._stamped(sample, _found(self.patches, patch_name, "patch"), size, place, seed)

    def decoy(
        self,
        sample: Source,
        decoy_name: str,
        *,
        size: int | None = None,
        place: tuple[int, int] | None = None,
        seed: int = 0,
    ) -> Sample:
        """The sample with a decoy on it; its label stays. Arguments and errors as `stamp`."""
        return self._stamped(sample, _found(self.decoys, decoy_name, "decoy"), size, place, seed)

    def unseen(self, samples: Iterable[Sample]) -> list[Sample]:
        """Those that it was not trained with, whatever their title, label and mask."""
        return [sample for sample in samples if picture_id(sample) not in self.trained_on]

    def stamped(
        self,
        samples: Source | Iterable[Source],
        *,
        count: int | None = None,
        sizes: tuple[int, int] = JUDGED,
        seed: int = 0,
    ) -> list[Sample]:
        """Photographs to judge with: stamped, and such that it is the patch that decides. See `stamped_steps`."""
        from spade_widgets.pruning.progress import finish

        return finish(self.stamped_steps(samples, count=count, sizes=sizes, seed=seed))

    def stamped_steps(
        self,
        samples: Source | Iterable[Source],
        *,
        count: int | None = None,
        sizes: tuple[int, int] = JUDGED,
        seed: int = 0,
    ) -> Steps[list[Sample]]:
        """Each photograph that it was not trained with, stamped with one of the patches in turn.

        Left out are those which the classifier takes for the patch's target already when they are clean, and those
        which it does not take for it when they are stamped: there the patch is not the reason of what is predicted.

        Args:
            samples: what `read_samples` takes.
            count: how many at most.
            sizes: the smallest and the largest size drawn, in px of an input of 224.
            seed: of sizes and places.

        Raises:
            InputError: if none is left.
        """
        side = min(self.classifier.input_size)
        read = self.unseen(read_samples(samples))
        if not read:
            raise InputError("Trojans were planted with all of these photographs, so they cannot judge: give others.")
        patches = list(self.patches.values())
        found: list[Sample] = []
        for number, sample in enumerate(read):
            yield Progress("stamping", number, len(read))
            patch = patches[number % len(patches)]
            rng = np.random.default_rng((whole("seed", seed, 0), number))
            size = min(side, scaled(rng.uniform(*sizes), side))
            made = stamp_sample(self.classifier, sample, patch, size, None, rng, patch.target_name)
            decided = predict(self.classifier, made, 1)[0].index == patch.target
            if decided and predict(self.classifier, sample, 1)[0].index != patch.target:
                found.append(made)
            if count is not None and len(found) == count:
                break
        if not found:
            raise InputError("On none of these photographs does a patch decide the class.")
        return found

    def save(self, folder: str | Path) -> Path:
        """Write it to a folder: weights as safetensors, patches and decoys as PNG, all else as JSON.

        Weights are stored as float16 where that loses nothing, so that what is loaded is bit for bit the same.

        Raises:
            InputError: if it cannot be written.
        """
        from spade_widgets.evidence.planting.file import write

        return write(self, Path(folder))

    @staticmethod
    def load(folder: str | Path, classifier: ImageClassifier | None = None) -> Planted:
        """Read a folder that `save` wrote. Nothing is unpickled.

        Args:
            folder: its path.
            classifier: the original that Trojans were planted in; not needed for torchvision's networks with their own
                preprocessing.

        Raises:
            InputError: if there is no such folder, it is damaged, or the original is needed and not given.
            ModelError: if the weights do not fit the classifier.
        """
        from spade_widgets.evidence.planting.file import read

        return read(Path(folder), classifier)

    def _stamped(
        self, sample: Source, patch: Patch, size: int | None, place: tuple[int, int] | None, seed: int
    ) -> Sample:
        read = Sample.read(sample)
        side = min(self.classifier.input_size)
        wanted = min(side, scaled(MAIN, side)) if size is None else check_size(size, side)
        rng = np.random.default_rng(whole("seed", seed, 0))
        label = read.label if patch.target is None else patch.target_name
        return stamp_sample(self.classifier, read, patch, wanted, _place(place), rng, label)


def _found(pictures: Mapping[str, Patch], name: str, kind: str) -> Patch:
    if name not in pictures:
        known: Sequence[str] = [f"'{each}'" for each in pictures]
        raise InputError(f"There is no {kind} '{name}': {', '.join(known) or 'none'} can be stamped.")
    return pictures[name]


def _place(place: object) -> tuple[int, int] | None:
    if place is None:
        return None
    pair = tuple(place) if isinstance(place, tuple | list) else ()
    if len(pair) != 2:
        raise InputError(f"A place is (row, column) in the model's input; {place!r} is none.")
    return whole("row", pair[0], 0), whole("column", pair[1], 0)
