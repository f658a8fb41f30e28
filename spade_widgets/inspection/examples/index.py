"""The index over the user's images: per channel of every layer the best, of all that were looked at."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Generator, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from spade_widgets.checks import whole
from spade_widgets.classifier import ImageClassifier
from spade_widgets.disk import Disk, Entry
from spade_widgets.errors import InputError
from spade_widgets.inspection.examples.best import BEST, Best
from spade_widgets.inspection.examples.example import By, Example, Examples
from spade_widgets.inspection.examples.passes import Activations, Part, Pass, Relevances, parts_of, place_of, together
from spade_widgets.inspection.examples.photographs import Photograph, Read, photographs, read_ahead
from spade_widgets.inspection.examples.shelf import Shelf, disk_of
from spade_widgets.neuron import Neuron
from spade_widgets.sample import Sample, Source

#: Seconds between two times that an unfinished index is kept on disk.
KEEP_EVERY = 30.0


@dataclass(frozen=True)
class IndexProgress:
    """How far an index is.

    Attributes:
        done: images that are dealt with: looked at, known from before, or left out.
        total: how many are asked for.
        seconds_left: by the pace so far; None until there is one.
    """

    done: int
    total: int
    seconds_left: float | None = None


@dataclass(frozen=True)
class _File:
    """What is known of a file: its size and time of change, and the id of its image, or why it has none."""

    size: int
    changed: int
    id: str
    trouble: str


class Index:
    """Which of the user's images excite which neuron, for all neurons at once.

    `build` looks at images; what was looked at is answered from the index alone. Memory is bounded: per channel the 64
    best (image, place, value), and the values of up to 1024 images drawn at random, for quantiles; no image is kept.
    An image is known by its `Sample.id`: the same one twice counts once.

    On a CPU with bfloat16 arithmetic, values may be rounded to three digits (see `network.many`).

    Args:
        classifier: the dense classifier.
        by: `"activation"`: a channel's largest activation over all places. `"relevance"`: the sum of its relevance for
            the class that the image is taken for, by layer-wise relevance propagation.
        only: the index of one neuron: of one at a position, which the index of all does not have.
        cache: a folder, or a `Disk`, where it is found again: by weights, preprocessing and images.

    Raises:
        InputError: if the classifier is none, or there is no such `by`, neuron or folder.
    """

    def __init__(
        self,
        classifier: ImageClassifier,
        by: By = "activation",
        *,
        only: str | Neuron | None = None,
        cache: str | Path | Disk | None = None,
    ) -> None:
        if not isinstance(classifier, ImageClassifier):
            raise InputError(
                f"Examples are found for a dense classifier, not for a {type(classifier).__name__}: "
                "give an ImageClassifier."
            )
        if by not in ("activation", "relevance"):
            raise InputError(f"Examples are ranked by 'activation' or by 'relevance'; {by!r} is neither.")
        self.classifier, self.by = classifier, by
        self.only = None if only is None else classifier.neuron(only)
        self.digest = classifier.digest
        self._parts = parts_of(classifier, self.only)
        self._pass: Pass | None = None
        self._ids: list[str] = []
        self._titles: list[str] = []
        self._numbers: dict[str, int] = {}
        self._sources: dict[str, Source] = {}
        self._files: dict[str, _File] = {}
        # By the file's path; a sentence stands for what is no file.
        self._left_out: dict[str, str] = {}
        self._best = Best(self._parts[-1].stop)
        self._shelf_name = ""
        disk = disk_of(cache)
        kind = {"by": by, "only": str(self.only), "neurons": [[p.name, p.stop] for p in self._parts]}
        self._shelf = None if disk is None else Shelf(disk, classifier, kind)
        self._unkept = 0

    @property
    def seen(self) -> int:
        """How many different images were looked at."""
        return len(self._ids)

    @property
    def left_out(self) -> tuple[str, ...]:
        """The images that could not be read or looked at, a sentence each."""
        return tuple(self._left_out.values())

    def __contains__(self, sample_id: str) -> bool:
        return sample_id in self._numbers

    def __repr__(self) -> str:
        return f"Index({self.classifier.name}, {self.seen:,} images, by {self.by})"

    # Looking

    def build(self, photos: Source | Iterable[Source]) -> Generator[IndexProgress, None, Index]:
        """Look at images: a generator of its progress, which returns the index.

        Drop the generator, and the work has stopped; what was done until then is in the index, and on disk if there is
        a cache: the next call goes on from there. Images that are known are not looked at again, and a file whose size
        and time of change are known is not read again. Where nothing was looked at yet, the cache is asked for the
        largest index of such images.

        Args:
            photos: a folder, with all folders in it; or a list of folders and of anything that `Sample.read` takes.

        Raises:
            InputError: if there is no image, none of them can be read, or the classifier was changed meanwhile. (At
                the call or at the first step.)
            ModelError: if the classifier fails, or LRP has no rule for it.
        """
        self._check()
        return self._build(photographs(photos))

    def _build(self, asked: Sequence[Photograph]) -> Generator[IndexProgress, None, Index]:
        yield IndexProgress(0, len(asked))
        if not self.seen:
            self._find(asked)
        new: list[Photograph] = []
        for photograph in asked:
            known = self._known(photograph)
            if known is None:
                new.append(photograph)
            elif known.trouble:
                self._left_out[photograph.path or known.trouble] = known.trouble
            else:
                self._sources.setdefault(known.id, photograph.source)
        done = len(asked) - len(new)
        size = together(self.classifier)
        reads = read_ahead(self.classifier, new, 2 * size + 1)
        began = kept = time.monotonic()
        try:
            while group := list(itertools.islice(reads, size)):
                self._look(group)
                done += len(group)
                now = time.monotonic()
                pace = (now - began) / (done - len(asked) + len(new))
                if now - kept > KEEP_EVERY:
                    self._keep()
                    kept = now
                yield IndexProgress(done, len(asked), pace * (len(asked) - done))
        finally:
            reads.close()  # type: ignore[attr-defined]  # a generator
            self._keep()
        if not self.seen:
            raise InputError(next(iter(self._left_out.values())))
        return self

    def _look(self, group: Sequence[Read]) -> None:
        fresh: dict[str, Read] = {}
        for read in group:
            if read.inputs is not None and read.id not in self._numbers:
                fresh.setdefault(read.id, read)
        # A preprocessing that crops nothing gives images of several sizes.
        sizes: dict[torch.Size, list[Read]] = {}
        for read in fresh.values():
            assert read.inputs is not None
            sizes.setdefault(read.inputs.shape, []).append(read)
        for alike in sizes.values():
            self._add(alike, torch.cat([read.inputs for read in alike if read.inputs is not None]))
        for read in group:
            trouble = read.trouble
            if not trouble and read.id not in self._numbers:
                trouble = f"{self.classifier.name} gives NaN or infinite values on '{read.title}'."
            self._note(read, trouble)

    def _add(self, alike: Sequence[Read], inputs: Tensor) -> None:
        if self._pass is None:
            kind: Callable[..., Pass] = Activations if self.by == "activation" else Relevances
            self._pass = kind(self.classifier, self._parts, inputs)
        values, places = self._pass(inputs)
        for row, read in enumerate(alike):
            if np.isfinite(values[row]).all():
                self._numbers[read.id] = len(self._ids)
                self._ids.append(read.id)
                self._titles.append(read.title)
                self._best.add(int(read.id, 16), values[row], places[row])
                self._unkept += 1

    def _note(self, read: Read, trouble: str) -> None:
        photograph = read.photograph
        if trouble:
            self._left_out[photograph.path or trouble] = trouble
        else:
            self._left_out.pop(photograph.path or "", None)
            self._sources.setdefault(read.id, photograph.source)
        if photograph.path is not None and photograph.state is not None:
            self._files[photograph.path] = _File(*photograph.state, "" if trouble else read.id, trouble)
            self._unkept += 1

    def _known(self, photograph: Photograph) -> _File | None:
        """What is known of an image without reading it; None if it has to be read."""
        if isinstance(photograph.source, Sample) and photograph.source.id in self._numbers:
            return _File(0, 0, photograph.source.id, "")
        known = self._files.get(photograph.path or "")
        if known is None or photograph.state != (known.size, known.changed):
            return None
        return known

    # Answers

    def examples(self, neuron: str | Neuron, count: int = 9) -> Examples:
        """The images that excite a neuron most, the strongest first: at most 64.

        Raises:
            InputError: if there is no such neuron, it is at a position that this index does not have, nothing was
                looked at yet, the classifier was changed since, or `count` is no whole number in 1…64.
        """
        asked = self.classifier.neuron(neuron)
        count = check_best(count)
        _, place = self._place(asked)
        self._check()
        found = []
        for value, image, at in zip(*self._best.ranked(place), strict=True):
            known = self._ids[image]
            found.append(Example(self._sources[known], known, self._titles[image], float(value), place_of(int(at))))
        spread = self._best.spread(place)
        return Examples(asked, tuple(found[:count]), self.seen, self.left_out, spread, self.by)

    def percentiles(self, layer: str | None, values: npt.ArrayLike) -> npt.NDArray[np.float64]:
        """How exceptional a value of each of a layer's channels is: the share of all images below it, in per cent.

        Args:
            layer: the layer's name; None for the logits.
            values: (channels,), such as `peaks` gives.

        Raises:
            InputError: if there is no such layer, nothing was looked at yet, or the values are not one a channel.
        """
        part, first = self._place(Neuron(layer, 0))
        given = np.asarray(values, np.float64)
        if given.shape != (part.stop - part.start,):
            raise InputError(
                f"'{layer or 'logits'}' has {part.stop - part.start} channels; {given.shape} values do not fit."
            )
        spreads = (self._best.spread(first + channel) for channel in range(len(given)))
        return np.asarray([float(s.percentiles(value)) for s, value in zip(spreads, given, strict=True)])

    def _place(self, neuron: Neuron) -> tuple[Part, int]:
        """The neuron's part, and where it stands in the long row."""
        if not self.seen:
            raise InputError("This index holds no image yet: build it of some first.")
        if self.only is not None or neuron.position is not None:
            if self.only != neuron:
                raise InputError(
                    f"This index does not have '{neuron}': it is of {self.only or 'peaks over all places'}."
                )
            return self._parts[0], 0
        for part in self._parts:
            if (None if part.layer is None else part.layer.name) == neuron.layer:
                return part, part.start + neuron.channel
        self.classifier.layer(str(neuron.layer))
        raise InputError(f"This index does not have '{neuron}'.")

    def _check(self) -> None:
        if self.classifier.digest != self.digest:
            raise InputError(
                f"The weights of {self.classifier.name} have changed since this index was begun: begin a new one."
            )

    # On disk

    def _find(self, asked: Sequence[Photograph]) -> None:
        """Take over the largest index on disk that holds nothing but such images."""
        best: tuple[int, str, Entry] | None = None
        states = {photograph.path: photograph.state for photograph in asked if photograph.path is not None}
        loose = [photograph for photograph in asked if photograph.path is None]
        ids: set[str] | None = None
        for name, entry in self._shelf.entries() if self._shelf else ():
            files = entry.record["files"]
            if ids is None:
                ids = {Sample.read(p.source).id for p in loose}
            inside = {f[2] for path, f in files.items() if states.get(path) == (f[0], f[1])} | ids
            held = entry.record["ids"]
            if inside.issuperset(held) and (best is None or len(held) > best[0]):
                best = len(held), name, entry
        if best is not None:
            self._restore(best[1], best[2])

    def _restore(self, name: str, entry: Entry) -> None:
        record: Any = entry.record
        self._best = Best.of({key: tensor.numpy() for key, tensor in entry.tensors.items()})
        self._ids, self._titles = list(record["ids"]), list(record["titles"])
        self._numbers = {known: number for number, known in enumerate(self._ids)}
        self._files = {path: _File(*found) for path, found in record["files"].items()}
        self._shelf_name = name

    def _keep(self) -> None:
        if self._shelf is None or not self._unkept or not self._ids or self.classifier.digest != self.digest:
            return
        self._shelf_name = self._shelf_name or self._shelf.name(self._ids)
        files = {path: [f.size, f.changed, f.id, f.trouble] for path, f in self._files.items()}
        tensors = {key: torch.from_numpy(np.ascontiguousarray(array)) for key, array in self._best.arrays().items()}
        self._shelf.keep(self._shelf_name, tensors, {"ids": self._ids, "titles": self._titles, "files": files})
        self._unkept = 0


def check_best(count: object) -> int:
    """The count, if an index has so many.

    Raises:
        InputError: if it is no whole number in 1…64.
    """
    number = whole("count", count)
    if number > BEST:
        raise InputError(f"An index keeps the best {BEST} images a neuron; {number} were asked for.")
    return number
