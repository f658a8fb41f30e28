"""Per neuron the best of many images, and the values of some images drawn at random: all that is kept of a pass."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from spade_widgets.inspection.examples.spread import Spread

Floats = npt.NDArray[np.float32]
Ints = npt.NDArray[np.int32]
#: One a sample: what its id says, as a number.
Keys = npt.NDArray[np.uint64]

#: Images kept a neuron.
BEST = 64
#: Images all of whose values are kept, for the quantiles: as many as take so many numbers, within these limits.
NUMBERS, FEWEST, MOST = 2**24, 256, 1024


@dataclass(eq=False)
class Best:
    """The best images of some neurons.

    What it holds depends on which images were added, and not on their order: of equal values the image whose key is
    smaller comes first, and the values of those images are kept whose keys are smallest. (Keys are hashes: that is a
    random draw.)

    Attributes:
        values: (neurons, BEST), −∞ where there is none yet; in no order.
        images: (neurons, BEST), the number of the image.
        places: (neurons, BEST), the place of the peak, in one number.
        sampled: (m, neurons), the values of the images that were drawn.
        drawn: (m,), which images those are.
        keys: a number an image.
    """

    neurons: int
    values: Floats = field(init=False, repr=False)
    images: Ints = field(init=False, repr=False)
    places: Ints = field(init=False, repr=False)
    keys: list[int] = field(default_factory=list, repr=False)

    def __post_init__(self) -> None:
        shape = (self.neurons, BEST)
        self.values = np.full(shape, -np.inf, np.float32)
        self.images = np.zeros(shape, np.int32)
        self.places = np.zeros(shape, np.int32)
        self._worst = np.zeros(self.neurons, np.int64)
        # What a value has to reach to be among the best, (neurons,).
        self._threshold = np.full(self.neurons, -np.inf, np.float32)
        self._sampled = np.empty((min(MOST, max(FEWEST, NUMBERS // self.neurons)), self.neurons), np.float32)
        self._drawn = np.zeros(len(self._sampled), np.int32)
        self._drawn_keys = np.zeros(len(self._sampled), np.uint64)
        # The best images' keys, beside them: looked up a neuron at a time they would take longer than all else.
        self._best_keys = np.zeros(shape, np.uint64)

    @property
    def sampled(self) -> Floats:
        return self._sampled[: len(self.keys)]

    @property
    def drawn(self) -> Ints:
        return self._drawn[: len(self.keys)]

    def add(self, key: int, values: Floats, places: Ints) -> None:
        """Add an image: its key, and each neuron's value and place, (neurons,) each."""
        number = len(self.keys)
        self._draw(number, key, values)
        self.keys.append(key)
        if number < BEST:
            self.values[:, number], self.images[:, number], self.places[:, number] = values, number, places
            self._best_keys[:, number] = key
            if number == BEST - 1:
                self._find_worst(np.arange(self.neurons))
            return
        rows = np.flatnonzero(values >= self._threshold)
        slots = self._worst[rows]
        enters = (values[rows] > self._threshold[rows]) | (self._best_keys[rows, slots] > key)
        rows, slots = rows[enters], slots[enters]
        if len(rows):
            self.values[rows, slots], self.images[rows, slots] = values[rows], number
            self.places[rows, slots], self._best_keys[rows, slots] = places[rows], key
            self._find_worst(rows)

    def ranked(self, neuron: int) -> tuple[Floats, Ints, Ints]:
        """A neuron's best values, the images and the places, the best first."""
        count = min(len(self.keys), BEST)
        values = self.values[neuron, :count]
        order = np.lexsort((self._best_keys[neuron, :count], -values))
        return values[order], self.images[neuron, order], self.places[neuron, order]

    def spread(self, neuron: int) -> Spread:
        """How a neuron's values are spread over all images."""
        seen = len(self.keys)
        return Spread.of(self.values[neuron, : min(seen, BEST)], self.sampled[:, neuron], seen)

    def arrays(self) -> dict[str, npt.NDArray[np.generic]]:
        """All there is to it."""
        count = min(len(self.keys), BEST)
        return {
            "values": self.values[:, :count],
            "images": self.images[:, :count],
            "places": self.places[:, :count],
            "sampled": self.sampled,
            "drawn": self.drawn,
            "keys": np.asarray(self.keys, np.uint64).view(np.int64),
        }

    @classmethod
    def of(cls, arrays: Mapping[str, npt.NDArray[np.generic]]) -> Best:
        """What `arrays` gave, as it was.

        Raises:
            ValueError: if they do not fit together.
        """
        best = cls(len(arrays["values"]))
        keys: Keys = np.ascontiguousarray(arrays["keys"]).view(np.uint64)
        best.keys = [int(key) for key in keys]
        count = min(len(keys), BEST)
        best.values[:, :count], best.images[:, :count] = arrays["values"], arrays["images"]
        best.places[:, :count] = arrays["places"]
        best._best_keys[:, :count] = keys[best.images[:, :count]]
        best.sampled[:], best.drawn[:] = arrays["sampled"], arrays["drawn"]
        best._drawn_keys[: len(best.drawn)] = keys[best.drawn]
        if count == BEST:
            best._find_worst(np.arange(best.neurons))
        return best

    def _find_worst(self, rows: npt.NDArray[np.int64]) -> None:
        values = self.values[rows]
        slots = values.argmin(1)
        least = values[np.arange(len(rows)), slots]
        # Of equal ones it is the largest key: rarely asked for, but where a unit is off.
        equal = np.flatnonzero(np.count_nonzero(values == least[:, None], axis=1) > 1)
        if len(equal):
            among = values[equal] == least[equal, None]
            slots[equal] = np.where(among, self._best_keys[rows[equal]], 0).argmax(1)
        self._worst[rows], self._threshold[rows] = slots, least

    def _draw(self, number: int, key: int, values: Floats) -> None:
        if number < len(self._sampled):
            slot = number
        else:
            slot = int(self._drawn_keys.argmax())
            if self._drawn_keys[slot] < key:
                return
        self._sampled[slot], self._drawn[slot], self._drawn_keys[slot] = values, number, key
