"""A panel's photographs: looked through once, as steps of a job, and asked for the examples of any neuron from then on.

What was found is kept: the index by the photographs, crops and what a trace keeps of them in the session's store.
"""

from __future__ import annotations

import re
import shutil
import tempfile
import threading
import weakref
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TypeAlias

import numpy as np
import numpy.typing as npt
from PIL import Image

from spade_widgets.errors import InputError
from spade_widgets.inspection.examples import Example, Examples, Index, IndexProgress, crop, kept, peaks
from spade_widgets.inspection.examples.photographs import photographs
from spade_widgets.neuron import Neuron
from spade_widgets.pruning.traces.trace import Trace
from spade_widgets.runtime.session import Session
from spade_widgets.runtime.shared import Shared
from spade_widgets.sample import Sample, Source

#: What photographs are given as.
Photos: TypeAlias = "Source | Iterable[Source]"

#: Examples that are known of a channel at most.
MOST = 64
#: Pixels of a kept crop's longer side: no screen shows more of it.
CROP = 224
# Of a dropped file's name, what its title keeps.
_LETTERS = 80
_UNSAFE = re.compile(r'[\x00-\x1f\x7f<>:"|?*]+')


class Gallery:
    """The photographs that a session's examples come from.

    While none were given, the session's samples serve, those too that come later.

    Args:
        session: that looks at them, on its worker's thread.
        photos: a folder, a list of anything `Sample.read` takes, or a single image; None: the samples.

    Raises:
        InputError: if there is no such file or folder, a folder holds no image, or a list is empty.
    """

    def __init__(self, session: Session, photos: Photos | None = None) -> None:
        self._session = session
        self._given = None if photos is None else _listed(photos)
        #: The folder that all of them lie in, as it was given.
        self.folder = str(photos) if isinstance(photos, str | Path) and Path(photos).expanduser().is_dir() else None
        self._index: Index | None = None  # made by the worker: it reads the weights
        self._looking = Shared(0)
        self._lock = threading.Lock()
        # How many of the photographs were looked at in all, and how far the present pass is.
        self._covered = self._done = 0
        self._dropped: Path | None = None

    # Which photographs

    @property
    def own(self) -> bool:
        """Whether the session's own samples serve."""
        return self._given is None

    @property
    def photos(self) -> tuple[Source, ...]:
        """The photographs: paths, where they came from files."""
        with self._lock:
            return self._session.samples if self._given is None else tuple(self._given)

    @property
    def lasting(self) -> bool:
        """Whether all of them are files of the user's own, which are there in another kernel, too."""
        return all(isinstance(one, str | Path) and not self._is_dropped(one) for one in self.photos)

    def _is_dropped(self, source: str | Path) -> bool:
        return self._dropped is not None and self._dropped in Path(source).parents

    def add(self, photos: Photos) -> None:
        """Add photographs; the first that are added take the place of the samples.

        Raises:
            InputError: as `Gallery`.
        """
        new = _listed(photos)
        with self._lock:
            if self._given is None:
                self._index, self._covered, self._done = None, 0, 0
            self._given = [*(self._given or []), *new]
            self.folder = None

    def keep(self, name: str, data: bytes) -> Path:
        """Keep the file that a page has sent, for as long as the gallery is there, and add it. Returns where.

        A folder's images are not held in memory, also not those of one that was dropped.
        """
        with self._lock:
            if self._dropped is None:
                self._dropped = Path(tempfile.mkdtemp(prefix="spade-widgets-"))
                weakref.finalize(self, shutil.rmtree, self._dropped, ignore_errors=True)
            place = self._dropped / str(len(self._given or ()))
        place.mkdir()
        whole = Path(_UNSAFE.sub(" ", re.split(r"[\\/]", name)[-1]).strip(" .") or "image")
        file = place / f"{whole.stem.strip()[:_LETTERS]}{whole.suffix[:10]}"
        file.write_bytes(data)
        self.add([file])
        return file

    # Looking through them

    @property
    def whole(self) -> bool:
        """Whether all of them were looked at, with the network as it is now."""
        return self._covered >= len(self.photos) and (self._index is None or self.index is not None)

    @property
    def done(self) -> int:
        """How many were looked at; those left out count."""
        return max(self._covered, self._done)

    @property
    def seen(self) -> int:
        """How many different ones answers are of."""
        return 0 if self._index is None else self._index.seen

    @property
    def index(self) -> Index | None:
        """What looking through them has found; None before, and once the network was changed."""
        index = self._index
        return index if index is not None and index.digest == self._session.classifier.digest else None

    @property
    def left_out(self) -> tuple[str, ...]:
        """Those that could not be looked at, a sentence each."""
        return () if self._index is None else self._index.left_out

    def look_through(self) -> Iterator[IndexProgress]:
        """Look at all that were not looked at yet, those too that come meanwhile; left off, it goes on from there.

        Raises:
            InputError: if none can be read.
            ModelError: if the network fails.
        """
        while not self.whole:
            photos = self.photos
            index = self._current()
            try:
                for progress in self._looking.run(len(photos), lambda: index.build(photos)):  # noqa: B023 - runs now
                    self._done = progress.done
                    yield progress
            except InputError:
                self._covered = len(photos)  # what cannot be read now is not tried again and again
                raise
            if index is self._index:  # else the samples' place was taken meanwhile
                self._covered = len(photos)

    def _current(self) -> Index:
        """The index of the network as it is now."""
        session = self._session
        with self._lock:
            index = self.index
            if index is None:
                index = self._index = Index(session.classifier, cache=session.cache.disk)
                self._covered = self._done = 0
            return index

    # What was found

    def examples(self, neuron: Neuron, count: int) -> Examples | None:
        """The neuron's examples among those that were looked at; None while there is none.

        Args:
            neuron: its position does not count: wherever in the image the channel is excited.
            count: at most; no more than `MOST` are known.
        """
        index = self.index
        return index.examples(anywhere(neuron), min(count, MOST)) if index is not None and index.seen else None

    def percentiles(self, layer: str, values: npt.ArrayLike) -> npt.NDArray[np.float64] | None:
        """The share of the photographs whose largest activation is below each channel's value, in per cent."""
        index = self.index
        return index.percentiles(layer, values) if index is not None and index.seen else None

    def percentile(self, found: Examples, sample: Sample) -> float:
        """How exceptional a sample is for a neuron: the share of the photographs that excite it less, in per cent.

        Args:
            found: the neuron's examples. A sample that is one of them is compared as it was seen then: in a pass over
                many images the last digits are others.
            sample: the sample.
        """
        known = next((example.value for example in found if example.id == sample.id), None)
        return found.percentile(self.value(found.neuron, sample) if known is None else known)

    def value(self, neuron: Neuron, sample: Sample) -> float:
        """The neuron's largest activation on a sample; a class neuron's logit."""
        if neuron.layer is not None:
            return float(self._session.maps(sample, neuron.layer)[neuron.channel].max())
        key = ("logit", neuron.channel, sample.id)
        known: float | None = self._session.store.get(key)
        if known is None:
            known = self._session.store.put(
                key, float(peaks(self._session.classifier, sample, None)[neuron.channel]), 100
            )
        return known

    def crop(self, neuron: Neuron, example: Example) -> Image.Image:
        """The part of an example that excites the neuron.

        Raises:
            InputError: if its file is no longer there.
        """
        key = ("crop", str(anywhere(neuron)), example.id)
        known: Image.Image | None = self._session.store.get(key)
        if known is None:
            known = crop(self._session.classifier, anywhere(neuron), example).picture
            known.thumbnail((CROP, CROP), Image.Resampling.LANCZOS)
            self._session.store.put(key, known, 3 * known.width * known.height)
        return known

    def kept(self, trace: Trace, neuron: Neuron, example: Example) -> float:
        """The share of an example's activation that a trace keeps; 1 is all of it. See `inspection.examples.kept`."""
        key = ("kept", self._session.name(trace), str(anywhere(neuron)), example.id)
        known: float | None = self._session.store.get(key)
        if known is None:
            known = self._session.store.put(key, float(kept(trace, anywhere(neuron), [example])[0]), 100)
        return known


def _listed(photos: Photos) -> list[Source]:
    # Of many files one may be gone, and is named then; a single one that is not there is a slip to be told at once.
    if isinstance(photos, str | Path) and not Path(photos).expanduser().exists():
        raise InputError(f"There is no file or folder '{photos}'.")
    return [photograph.source for photograph in photographs(photos)]


def anywhere(neuron: Neuron) -> Neuron:
    """The neuron without its position."""
    return neuron if neuron.position is None else Neuron(neuron.layer, neuron.channel)
