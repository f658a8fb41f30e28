"""The part of an example that excites the neuron: where the gradient of its activation is, at the peak."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image, ImageFilter
from torch import Tensor

from spade_widgets.checks import whole
from spade_widgets.classifier import ImageClassifier
from spade_widgets.inspection.examples.example import Example
from spade_widgets.inspection.examples.view import View, view_of
from spade_widgets.network.blame import model_errors
from spade_widgets.network.capture import OUTPUT, capture
from spade_widgets.network.one_type import in_one_type
from spade_widgets.neuron import Neuron

Floats: TypeAlias = npt.NDArray[np.float64]

#: Share of the gradient that may lie beyond each side of the frame. The far ends of a deep neuron's receptive field are
#: the whole image and weigh next to nothing (Luo et al., "Understanding the effective receptive field", 2016); a
#: receptive field of up to 40 px lies in the frame with all its columns, if these weigh alike.
BEYOND = 0.025
#: The least side of a crop, as a share of the view's shorter side: three pixels by themselves show nothing.
LEAST = 1 / 8
#: Of a masked crop: the radius by which the gradient is blurred, as a share of the crop's longer side, how strong it is
#: at the least where the picture is shown, as a share of its largest, and how much is left of the picture elsewhere.
BLUR, SHOWN, LEFT = 0.05, 0.15, 0.2


@dataclass(frozen=True, eq=False)
class Crop:
    """A part of an image.

    Attributes:
        box: (left, top, right, bottom) in px of the example's image; within it.
        picture: what is seen there, RGB.
    """

    box: tuple[int, int, int, int]
    picture: Image.Image


def crop(
    classifier: ImageClassifier,
    neuron: str | Neuron,
    example: Example,
    *,
    side: int | None = None,
    masked: bool = False,
) -> Crop:
    """The part of an example that excites the neuron.

    The frame holds 95 % along either side of the magnitude of ∂ activation / ∂ pixel, taken at the example's place: the
    effective receptive field. It is a square where the image has room for one, moved inwards at a border rather than
    cut. Without a gradient (a unit that is off) it is all that the classifier sees.

    (Achtibat et al., "From attribution maps to human-understandable explanations through concept relevance
    propagation", 2023, crop their references so.)

    Args:
        classifier: the dense classifier.
        neuron: the neuron.
        example: one of its examples.
        side: of the picture's longer side, in px; None for the image's own pixels.
        masked: whether what is in the frame and does not matter is darkened.

    Raises:
        InputError: if there is no such neuron, the example's file is no longer there, or `side` is no whole number.
        ModelError: if the classifier passes on no gradient.
    """
    asked = classifier.neuron(neuron)
    side = None if side is None else whole("side", side)
    image = example.sample.image
    strength = gradient(classifier, asked, example)
    view = view_of(classifier, image.size)
    box = _square(view.box(*_frame(strength)), image.size, LEAST * min(strength.shape) * min(view.across, view.down))
    picture = image.crop(box)
    if masked:
        picture = _masked(picture, strength, view, box)
    if side is not None:
        factor = side / max(picture.size)
        size = max(1, round(picture.width * factor)), max(1, round(picture.height * factor))
        picture = picture.resize(size, Image.Resampling.LANCZOS)
    return Crop(box, picture)


def gradient(classifier: ImageClassifier, neuron: Neuron, example: Example) -> Floats:
    """|∂ activation / ∂ pixel| of a neuron at an example's place, summed over the colours: (h, w) of the view.

    Raises:
        ModelError: if the classifier passes on no gradient.
    """
    x = _exact(classifier.prepare(example.sample))
    module = in_one_type(classifier.module(), x.dtype) if x.dtype != classifier.dtype else classifier.module()
    with torch.inference_mode(False), torch.enable_grad(), model_errors("The crop"):
        asked = x.detach().clone().requires_grad_()
        # The model may write into its input: that is a copy.
        value = _value(classifier, neuron, example, capture(module, asked.clone(), [_name(neuron)]))
        (found,) = torch.autograd.grad(value, asked)
    strength: Floats = found[0].detach().abs().sum(0).double().cpu().numpy()
    return strength


def _exact(x: Tensor) -> Tensor:
    """Gradients of half precision would be lost."""
    return x if x.dtype == torch.float64 else x.float()


def _name(neuron: Neuron) -> str:
    return OUTPUT if neuron.layer is None else neuron.layer


def _value(classifier: ImageClassifier, neuron: Neuron, example: Example, outputs: dict[str, Tensor]) -> Tensor:
    """The neuron's activation at the example's place."""
    output = outputs[_name(neuron)]
    maps = output if neuron.layer is None else classifier.layer(neuron.layer).maps(output)
    return maps[0, neuron.channel] if maps.ndim == 2 else maps[0, neuron.channel][example.place]


def _frame(strength: Floats) -> tuple[float, float, float, float]:
    """(left, top, right, bottom) that leaves `BEYOND` out on each side; all of it where there is nothing."""
    left, right = _ends(strength.sum(0))
    top, bottom = _ends(strength.sum(1))
    return left, top, right, bottom


def _ends(weights: Floats) -> tuple[int, int]:
    total = weights.sum()
    if not total > 0:
        return 0, len(weights)
    within = np.flatnonzero((np.cumsum(weights) > BEYOND * total) & (np.cumsum(weights[::-1])[::-1] > BEYOND * total))
    return int(within[0]), int(within[-1]) + 1


def _square(box: tuple[float, float, float, float], size: tuple[int, int], least: float) -> tuple[int, int, int, int]:
    """A square around a box, as far as the image has room; at a border it is moved, not cut."""
    width, height = size
    left, right = (min(max(v, 0.0), width) for v in (box[0], box[2]))
    top, bottom = (min(max(v, 0.0), height) for v in (box[1], box[3]))
    # Whole pixels, each that is in the box by a part.
    first, last = (math.floor(left + 1e-3), math.floor(top + 1e-3)), (math.ceil(right - 1e-3), math.ceil(bottom - 1e-3))
    side = max(last[0] - first[0], last[1] - first[1], math.ceil(least), 1)
    starts, ends = [], []
    for start, end, whole_length in zip(first, last, size, strict=True):
        length = min(side, whole_length)
        begin = min(max(0, (start + end - length) // 2), whole_length - length)
        starts.append(begin)
        ends.append(begin + length)
    return starts[0], starts[1], ends[0], ends[1]


def _masked(picture: Image.Image, strength: Floats, view: View, box: tuple[int, int, int, int]) -> Image.Image:
    """The picture, darker where the gradient is weak."""
    peak = strength.max()
    if not peak > 0:
        return picture
    heat = Image.fromarray(np.asarray(255 * strength / peak, np.uint8))
    # Of the view, the part that the box is.
    inside = (
        (box[0] - view.left) / view.across,
        (box[1] - view.top) / view.down,
        (box[2] - view.left) / view.across,
        (box[3] - view.top) / view.down,
    )
    size = picture.size
    data = (
        (inside[2] - inside[0]) / size[0], 0.0, inside[0],
        0.0, (inside[3] - inside[1]) / size[1], inside[1],
    )  # fmt: skip
    heat = heat.transform(size, Image.Transform.AFFINE, data, Image.Resampling.BILINEAR)
    blurred = np.asarray(heat.filter(ImageFilter.GaussianBlur(BLUR * max(size))), np.float64)
    shown = blurred >= SHOWN * blurred.max()
    light = np.where(shown, 1.0, LEFT)[..., None]
    return Image.fromarray(np.asarray(np.asarray(picture) * light, np.uint8))
