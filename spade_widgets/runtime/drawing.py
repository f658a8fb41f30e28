"""How a session's pictures are drawn: what the user chooses beside the neuron, and a renderer begun of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from spade_widgets.classifier import ImageClassifier
from spade_widgets.errors import InputError
from spade_widgets.neuron import Neuron
from spade_widgets.prediction import Network
from spade_widgets.runtime.store import Store
from spade_widgets.sample import Sample
from spade_widgets.visualization import Renderer
from spade_widgets.visualization.accentuation import NEAR
from spade_widgets.visualization.maco import Magnitude
from spade_widgets.visualization.parameterization import IMAGES

#: How many pictures of a neuron can be asked for.
COUNTS = (1, 4)
#: Samples that a magnitude is made of at most, evenly spread: it is a mean, which more would hardly move.
MOST = 100


@dataclass(frozen=True)
class Drawing:
    """How a neuron's pictures are made.

    Attributes:
        image: see `Renderer`. MACO's magnitude is of the session's samples.
        count: how many; several are pushed apart, and take as many times as long.
        near: of the image `"sample"`, how near to it a picture stays; see `Renderer`.
        sample: where that image begins; see `at`.
    """

    image: str = "fourier"
    count: int = 1
    near: float = NEAR
    sample: Sample | None = None

    @property
    def samples(self) -> bool:
        """Whether all samples have a part in it."""
        return self.image == "maco"

    @property
    def begins_at_sample(self) -> bool:
        """Whether each sample has pictures of its own, dense ones too."""
        return self.image == "sample"

    def at(self, sample: Sample) -> Drawing:
        """How pictures are made while a sample is looked at: equal for all samples, where it does not matter which.

        Of those that begin at the sample there is one of a neuron: several would come to the same.
        """
        if self.begins_at_sample:
            return replace(self, sample=sample, count=1)
        return replace(self, sample=None, near=NEAR)


#: What a panel begins with.
PLAIN = Drawing()


def check_image(value: object) -> str:
    """The value, if there is such an image parameterisation.

    Raises:
        InputError: if there is not.
    """
    if not isinstance(value, str) or value not in IMAGES:
        raise InputError(f"The image cannot be {value!r}: {', '.join(map(repr, IMAGES))} can be chosen.")
    return value


def check_pictures(value: object) -> int:
    """The value, if so many pictures of a neuron can be asked for.

    Raises:
        InputError: if not.
    """
    if not isinstance(value, int) or isinstance(value, bool) or value not in COUNTS:
        raise InputError(f"The count cannot be {value!r}: {' and '.join(map(str, COUNTS))} can be chosen.")
    return value


@dataclass(frozen=True)
class Subject:
    """What a picture shows, and how: equal ones are begun alike under any network.

    Attributes:
        neuron: that it is of.
        drawing: how it is made.
        seed: of its start and transforms.
        magnitude: of samples, where they have a part in it.
        size: the picture's side in pixels; None: the classifier's input size, which MACO's magnitudes have.
    """

    neuron: Neuron
    drawing: Drawing
    seed: int
    magnitude: Magnitude | None = None
    size: int | None = None

    def begin(self, network: Network) -> Renderer:
        """A renderer that has done no step."""
        more: dict[str, Any] = {"image": self.drawing.image, "count": self.drawing.count}
        if self.magnitude is not None:
            more["magnitude_from"] = self.magnitude
        else:
            more["size"] = self.size
        if self.drawing.begins_at_sample:
            more |= {"sample": self.drawing.sample, "near": self.drawing.near}
        return Renderer(network, self.neuron, seed=self.seed, **more)


def spread(samples: Sequence[Sample]) -> Sequence[Sample]:
    """The samples that a magnitude is made of: at most `MOST` of them."""
    return samples if len(samples) <= MOST else [samples[i * len(samples) // MOST] for i in range(MOST)]


def magnitude(store: Store, classifier: ImageClassifier, samples: Sequence[Sample]) -> Magnitude:
    """The magnitude of samples, from the store or made now.

    Raises:
        InputError: if none of them shows anything; see `Magnitude.of`.
    """
    taken = spread(samples)
    key = ("magnitude", *(sample.id for sample in taken))
    known: Magnitude | None = store.get(key)
    if known is not None:
        return known
    made = Magnitude.of(classifier, taken)
    return store.put(key, made, made.values.numel() * made.values.element_size())
