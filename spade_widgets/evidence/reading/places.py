"""Two places of a sample: the patch, and where the network looks once the patch is covered."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from spade_widgets.attribution.saliency import Map, saliency_steps
from spade_widgets.classifier import ImageClassifier
from spade_widgets.errors import InputError
from spade_widgets.prediction import predict
from spade_widgets.pruning.progress import Steps
from spade_widgets.sample import Mask, Sample

#: A crop's side, in sides of the patch: a little of what lies around it.
CONTEXT = 1.4
#: The saliency method that says where else the network looks.
METHOD = "gradcam"


@dataclass(frozen=True)
class Box:
    """A square of the view: rows and columns from `top` and `left`, `side` of each."""

    top: int
    left: int
    side: int

    def crop(self, view: Tensor) -> Tensor:
        """(3, h, w) → (3, side, side)."""
        return view[:, self.top : self.top + self.side, self.left : self.left + self.side]


@dataclass(frozen=True, eq=False)
class Places:
    """What is asked about: which of two crops a picture is more like.

    Attributes:
        view: (3, h, w) in 0…1, the sample as the model sees it.
        target: the class that the dense network predicts.
        covered: the one that it predicts once the patch is covered.
        patch, other: where the patch is, and where the network looks when it is covered.
    """

    view: Tensor
    target: int
    covered: int
    patch: Box
    other: Box

    @property
    def decided_by_patch(self) -> bool:
        """Whether the prediction is another one without the patch."""
        return self.target != self.covered


def places(classifier: ImageClassifier, sample: Sample, *, context: float = CONTEXT) -> Steps[Places]:
    """The two places of a sample with a mask, and what decides its prediction.

    The other place is the most salient one (GradCAM, its mean over the crop) that the crop of the patch does not touch,
    for the class that the *dense* network predicts when the patch is covered (`covered`): on a photograph with
    a Trojan's patch the thing that it would have been taken for, on one with a decoy the thing that it is taken for.
    Both are found alike, so that nothing but their content says which is which.

    Raises:
        InputError: if the sample has no mask, or it leaves no room for another crop.
    """
    mask = classifier.view_mask(sample)
    if mask is None or not mask.any():
        raise InputError(f"'{sample.title}' has no mask that says where its patch is.")
    view = classifier.view(sample)
    patch = around(mask, context, sample.title)
    hidden = covered(classifier, sample)
    target, without = (predict(classifier, s, 1)[0].index for s in (sample, hidden))
    saliency = yield from saliency_steps(classifier, hidden, without, METHOD)
    return Places(view, target, without, patch, elsewhere(saliency, patch, sample.title))


def covered(classifier: ImageClassifier, sample: Sample) -> Sample:
    """The sample with its mask's surrounding rectangle in the classifier's mean colour, so that no outline is left."""
    assert sample.mask is not None
    rows, columns = (np.flatnonzero(sample.mask.any(axis)) for axis in (1, 0))
    pixels = np.array(sample.image)
    colour = classifier.picture(torch.zeros(len(classifier.mean), 1, 1)).flatten()
    pixels[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1] = [round(255 * m) for m in colour.tolist()]
    return Sample(Image.fromarray(pixels), sample.title)


def around(mask: Mask, context: float, title: str) -> Box:
    """The square about a mask, `context` times its longer side, moved into the view where it sticks out.

    Raises:
        InputError: if two such squares cannot lie apart.
    """
    rows, columns = (np.flatnonzero(mask.any(axis)) for axis in (1, 0))
    (top, bottom), (left, right) = ((int(found[0]), int(found[-1]) + 1) for found in (rows, columns))
    side = round(context * max(bottom - top, right - left))
    if 2 * side > max(mask.shape) or side > min(mask.shape):
        raise InputError(f"The mask of '{title}' takes so much of it that no other place of its size is left.")
    corner = ((top + bottom - side) // 2, (left + right - side) // 2)
    top, left = (max(0, min(at, full - side)) for at, full in zip(corner, mask.shape, strict=True))
    return Box(top, left, side)


def elsewhere(saliency: Map, patch: Box, title: str) -> Box:
    """The square of the patch's size that does not touch it and has the largest mean of the map.

    Raises:
        InputError: if all squares of that size touch it.
    """
    side = patch.side
    sums = np.pad(saliency.astype(np.float64).cumsum(0).cumsum(1), ((1, 0), (1, 0)))
    means = (sums[side:, side:] - sums[:-side, side:] - sums[side:, :-side] + sums[:-side, :-side]) / side**2
    top, left = patch.top, patch.left
    means[max(0, top - side + 1) : top + side, max(0, left - side + 1) : left + side] = -np.inf
    place = int(means.argmax())
    if not np.isfinite(means.flat[place]):
        raise InputError(f"The patch of '{title}' leaves no other place of its size.")
    return Box(place // means.shape[1], place % means.shape[1], side)
