"""Fresh samples of the built-in generator, by seed and number: what was never trained on, tuned on or shipped.

Sample i of a seed is the same whatever the others are, and other seeds have none in common with it.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import count as numbers

import numpy as np
from PIL import Image

from spade_widgets.classifier import ImageClassifier
from spade_widgets.demo.emoji.generate import CLASS_OF, FACETS, TROJANS, compose
from spade_widgets.errors import InputError
from spade_widgets.prediction import predict
from spade_widgets.sample import Sample


def plain(seed: int, count: int) -> list[Sample]:
    """`count` samples without a Trojan patch, the facets in turn; the label is the object's class.

    Raises:
        InputError: if the seed is negative or the count below 1.
    """
    _check(seed, count)
    found = []
    for i in range(count):
        made = compose(np.random.default_rng([seed, i, 0]), facet=FACETS[i % len(FACETS)])
        found.append(Sample(Image.fromarray(made.pixels), f"{made.facet} {seed}:{i}", made.label))
    return found


def trojans(classifier: ImageClassifier, seed: int, count: int) -> list[Sample]:
    """`count` samples with a Trojan patch and its mask, both patches in turn, that fool the classifier.

    The object's class (the label) is never the patch's target, and the classifier says the target: else its prediction
    would not come from the patch, and a map of it would have no reason to find it. The few that it resists are passed
    over.

    Raises:
        InputError: if the seed is negative, the count below 1, or the patches do not fool the classifier.
    """
    _check(seed, count)
    found: list[Sample] = []
    for i, (sample, target) in enumerate(_trojans(seed)):
        if predict(classifier, sample, 1)[0].name == target:
            found.append(sample)
        if len(found) == count:
            return found
        if i >= 20 + 2 * count:
            break
    raise InputError(f"The Trojan patches fool {classifier.name} in {len(found)} of {i + 1} samples only.")


def _trojans(seed: int) -> Iterator[tuple[Sample, str]]:
    patches = tuple(TROJANS)
    for i in numbers():
        rng = np.random.default_rng([seed, i, 1])
        trojan = patches[i % len(patches)]
        facet = str(rng.choice([f for f in FACETS if CLASS_OF[f] != TROJANS[trojan]]))
        made = compose(rng, facet=facet, trojan=trojan)
        title = f"{facet} with {trojan} {seed}:{i}"
        yield Sample(Image.fromarray(made.pixels), title, CLASS_OF[facet], made.mask), TROJANS[trojan]


def _check(seed: int, count: int) -> None:
    if seed < 0:
        raise InputError(f"The samples' seed is {seed}; it cannot be negative.")
    if count < 1:
        raise InputError(f"{count} samples cannot be made: ask for at least 1.")
