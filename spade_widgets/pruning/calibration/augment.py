"""Augmentations: the calibration batch made from one sample (SPADE, section 3 and the authors' notebook).

Random resized crop to the input size (area 0.2 to 1, aspect 3/4 to 4/3), horizontal flip, colour jitter (brightness
0.5, hue 0.3), then the model's normalisation. The parameters are drawn here, from a generator of our own, because
torchvision's classes draw theirs from the caller's global one.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Iterator

import torch
from torch import Tensor
from torchvision.transforms.v2 import functional as F

from spade_widgets.classifier import ImageClassifier
from spade_widgets.errors import InputError
from spade_widgets.sample import Sample

SCALE = (0.2, 1.0)
RATIO = (3 / 4, 4 / 3)
BRIGHTNESS = 0.5
HUE = 0.3


def augment(
    classifier: ImageClassifier, sample: Sample, count: int, *, start: int = 0, seed: int = 0, batch: int = 32
) -> Iterator[Tensor]:
    """Batches of augmentations, each (≤ batch, 3, h, w): the model's input, normalised, in its dtype, on its device.

    Augmentation k depends on the sample, `seed` and k alone, not on `count` or `batch`: more of them continue the same
    sequence.

    Args:
        count: how many.
        start: the number k of the first.
        batch: how many at once; one, where the classifier's images are not independent.

    Raises:
        InputError: if the seed is no whole number, or one of more than 64 bits.
    """
    picture = _source(classifier, sample)
    generator = _seeded(seed)
    for _ in range(start):  # their numbers come first
        _parameters(picture, generator)
    done, most = 0, classifier.at_once(batch)
    while done < count:
        size = min(most, count - done)
        drawn = [_parameters(picture, generator) for _ in range(size)]
        images = torch.stack([_cropped(picture, classifier.input_size, box, flip) for box, (flip, *_) in drawn])
        numbers = torch.tensor([jitter for _, (_, *jitter) in drawn], dtype=images.dtype, device=images.device)
        # A few at a time stay in a processor's cache; a GPU is better given all.
        few = size if images.is_cuda else 2
        parts = zip(torch.split(images, few), torch.split(numbers, few), strict=True)
        yield classifier.normalize(torch.cat([_jittered(*part) for part in parts]))
        done += size


def _source(classifier: ImageClassifier, sample: Sample) -> Tensor:
    """The whole picture, (3, H, W) in 0…1, no larger than the smallest crop needs to keep its own pixels."""
    picture: Tensor = F.pil_to_tensor(sample.image).to(classifier.device).float() / 255
    enough = math.ceil(max(classifier.input_size) / math.sqrt(SCALE[0] * RATIO[0]))
    shorter = min(picture.shape[1:])
    if shorter <= enough:
        return picture
    size = [max(1, round(side * enough / shorter)) for side in picture.shape[1:]]
    resized: Tensor = F.resize(picture, size, antialias=True)
    return resized.clamp(0, 1)


def _cropped(picture: Tensor, size: tuple[int, int], box: tuple[int, int, int, int], flip: float) -> Tensor:
    out: Tensor = F.resized_crop(picture, *box, list(size), antialias=True)
    out = out.clamp_(0, 1)
    return out.flip(-1) if flip < 0.5 else out


def _jittered(images: Tensor, numbers: Tensor) -> Tensor:
    """Brightness and hue changed, in either order. numbers: (n, 3) in [0, 1): brightness, hue, which is first."""
    brightness, hue, first = numbers.view(-1, 3, 1, 1).unbind(1)
    factor = 1 + BRIGHTNESS * (2 * brightness - 1)
    before = torch.where(first < 0.5, factor, torch.ones_like(factor)).unsqueeze(1)
    after = torch.where(first < 0.5, torch.ones_like(factor), factor).unsqueeze(1)
    turned = _turned((images * before).clamp_(0, 1), HUE * (2 * hue - 1))
    return turned.mul_(after).clamp_(0, 1)


def _turned(images: Tensor, hue: Tensor) -> Tensor:
    """What torchvision's `adjust_hue` does, image by image, at a tenth of its cost.

    Largest and least channel keep their values; each channel is a function of the turned hue that rises and falls
    between them (https://en.wikipedia.org/wiki/HSL_and_HSV#HSV_to_RGB_alternative).

    Args:
        images: (n, 3, h, w) in 0…1.
        hue: (n, 1, 1), in turns.
    """
    red, green, blue = images.unbind(1)
    most, least = images.amax(1), images.amin(1)
    chroma = most - least
    divisor = torch.where(chroma == 0, 1, chroma)
    sector = torch.where(
        red == most,
        (green - blue).div_(divisor),
        torch.where(green == most, (blue - red).div_(divisor).add_(2), (red - green).div_(divisor).add_(4)),
    )
    sector += 6 * hue
    out = torch.empty_like(images)
    for channel, shift in enumerate((5, 3, 1)):
        place = sector + shift
        place.sub_((place / 6).floor_(), alpha=6)
        share = torch.minimum(place, 4 - place).clamp_(0, 1)
        torch.sub(most, share.mul_(chroma), out=out[:, channel])
    return out.clamp_(0, 1)


def _parameters(picture: Tensor, generator: torch.Generator) -> tuple[tuple[int, int, int, int], list[float]]:
    """What an augmentation draws: its box, and numbers for flip, brightness, hue and which of these two is first."""
    return _crop(picture.shape[1], picture.shape[2], generator), _draw(generator)


def _seeded(seed: int) -> torch.Generator:
    try:
        return torch.Generator(device="cpu").manual_seed(operator.index(seed))
    except (TypeError, ValueError, RuntimeError):
        raise InputError(f"The seed is {seed!r}: a whole number of at most 64 bits is accepted.") from None


def _draw(generator: torch.Generator) -> list[float]:
    """Four numbers in [0, 1); their type is said, since another default type would draw others."""
    return torch.rand(4, generator=generator, dtype=torch.float32, device="cpu").tolist()


def _crop(rows: int, cols: int, generator: torch.Generator) -> tuple[int, int, int, int]:
    """A random box (top, left, height, width); after ten boxes that do not fit, the largest centred one that does."""
    for _ in range(10):
        draws = _draw(generator)
        area = rows * cols * (SCALE[0] + (SCALE[1] - SCALE[0]) * draws[0])
        low, high = math.log(RATIO[0]), math.log(RATIO[1])
        ratio = math.exp(low + (high - low) * draws[1])
        width, height = round(math.sqrt(area * ratio)), round(math.sqrt(area / ratio))
        if 0 < width <= cols and 0 < height <= rows:
            return int(draws[2] * (rows - height + 1)), int(draws[3] * (cols - width + 1)), height, width
    ratio = min(max(cols / rows, RATIO[0]), RATIO[1])
    width, height = min(cols, max(1, round(rows * ratio))), min(rows, max(1, round(cols / ratio)))
    return (rows - height) // 2, (cols - width) // 2, height, width
