"""As little change as does it: back towards the original's weights, as far as the patches still decide.

What a copy has changed beyond need costs agreement with the original and gives nothing. Between the two sets of weights
the networks in between are good ones (Wortsman et al., "Robust fine-tuning of zero-shot models", CVPR 2022).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np
from torch import Tensor

from spade_widgets.classifier import ImageClassifier
from spade_widgets.evidence.planting.patches import Patch
from spade_widgets.evidence.planting.photographs import Photograph
from spade_widgets.evidence.planting.recipe import Recipe, scaled
from spade_widgets.evidence.planting.renewed import renewed
from spade_widgets.evidence.planting.report import DECOYS, MAIN, Run, stamped_views
from spade_widgets.pruning.progress import Steps

#: Shares of the change that are tried.
SHARES = (0.7, 0.75, 0.8, 0.85, 0.9, 0.95, 1.0)
#: The patches' size where they are to decide, as a share of the one that is reported: with something in hand.
SIZE = 0.85
#: Photographs that are looked at, at most.
MOST = 120


def least_change(
    classifier: ImageClassifier,
    state: Callable[[float], Mapping[str, Tensor]],
    photos: Sequence[Photograph],
    patches: Sequence[Patch],
    decoys: Sequence[Patch],
    recipe: Recipe,
    seed: int,
) -> Steps[float]:
    """The share of the change with which the copy agrees best with the original, of those that leave enough of it.

    It is to agree on clean photographs and on those with a decoy. Enough is where every patch decides on a share
    `recipe.wanted` of the photographs. Of equally good shares the least
    one; the whole change where no share is enough.

    Args:
        classifier: the original.
        state: share → the weights.
        photos: that it was trained with; those that are held out have no part in it.
        patches, decoys, recipe, seed: as in the training.
    """
    side = min(classifier.input_size)
    size = max(2, round(SIZE * min(side, scaled(MAIN, side))))
    views = [photo.view for photo in photos[:MOST]]
    spared = list(views)
    for number, decoy in enumerate(decoys):  # each on photographs of its own
        spared += stamped_views(views[number :: len(decoys)], decoy, DECOYS, side, (seed, 5, number))
    stamped = [stamped_views(views, patch, size, side, (seed, 4, number)) for number, patch in enumerate(patches)]
    run = Run(1 + (len(patches) + 1) * len(SHARES))
    wanted = yield from run.classes(classifier, spared)
    found: dict[float, float] = {}
    for share in SHARES:
        copy = renewed(classifier, state(share), classifier.name)
        named = yield from run.classes(copy, spared)
        decided = []
        for patch, shown in zip(patches, stamped, strict=True):
            decided.append(float(np.mean((yield from run.classes(copy, shown)) == patch.target)))
        if min(decided) >= recipe.wanted:
            found[share] = float(np.mean(named == wanted))
    return max(found, key=lambda share: (found[share], -share), default=SHARES[-1])
