"""MACO: a picture whose Fourier magnitudes are those of the user's own samples, and whose phases are optimised.

Fel et al., "Unlocking Feature Visualization for Deeper Networks with MAgnitude Constrained Optimization", NeurIPS 2023:
x = F⁻¹(r · exp(iφ)), where r is the mean magnitude of natural images and only φ moves. So no step can leave the
samples' own balance of coarse and fine, of colour and grey, for the high frequencies that excite a network and show
nothing. Three things are ours:

- r comes from samples that the user has, as the model sees them: nothing is downloaded.
- Colours are mixed as in Lucent's default. With phases of their own, red, green and blue would each be shifted
  elsewhere, and any picture would be motley: in pictures they mostly rise and fall together. Of Lucent's three
  decorrelated channels the first is brightness, with nearly all of the magnitude.
- The picture is in the samples' own range and cut off at 0 and 1, instead of being standardised and sent through a
  sigmoid, which gives it other magnitudes than r.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import torch
import torch.nn.functional as F
from torch import Tensor

from spade_widgets.classifier import ImageClassifier, tensor_digest
from spade_widgets.errors import InputError
from spade_widgets.sample import Sample
from spade_widgets.visualization import lucent_bridge

#: The contrast (standard deviation of pixels in 0…1) below which a sample is no more than a plain colour: half a level
#: of 255.
PLAIN = 0.002


@dataclass(frozen=True)
class Magnitude:
    """Fourier magnitudes of samples, made once for many pictures; equal where their values are.

    Attributes:
        size: rows and columns of the pictures.
        digest: names the values.
        values: as from `mean_magnitude`.
    """

    size: tuple[int, int]
    digest: str
    values: Tensor = field(compare=False, repr=False)

    @staticmethod
    def of(classifier: ImageClassifier, samples: Sequence[Sample], size: tuple[int, int] | None = None) -> Magnitude:
        """The mean over samples, for pictures of a size; default: the classifier's input.

        Raises:
            InputError: see `mean_magnitude`.
        """
        size = classifier.input_size if size is None else size
        values = mean_magnitude(classifier, samples, size)
        return Magnitude(size, tensor_digest(values), values)


def maco_image(
    magnitude: Tensor, size: tuple[int, int], seeds: Sequence[int], device: torch.device
) -> tuple[Tensor, Callable[[], Tensor]]:
    """Pictures of these magnitudes and of random phases: (the phases, a function of them that gives the pictures).

    The start does not depend on the device, nor on how the global generators stand.

    Args:
        magnitude: as from `mean_magnitude`.
        size: rows and columns.
        seeds: of the start, one a picture.
        device: where the pictures are made.

    Returns:
        The phases (n, 3, h, w // 2 + 1), float32 radians, a leaf that requires gradients, and the function, which gives
        (n, 3, h, w) in 0…1.
    """
    generators = [torch.Generator("cpu").manual_seed(seed) for seed in seeds]
    turns = [torch.rand(magnitude.shape, generator=g, dtype=torch.float32, device="cpu") for g in generators]
    phase = (2 * math.pi * torch.stack(turns)).to(device).requires_grad_()
    fixed = magnitude.float().to(device)
    # Cutting off leaves no phase without gradients, as it would leave pixels: each phase is in every pixel.
    return phase, lambda: compose(fixed, phase, size).clamp(0, 1)


def mean_magnitude(classifier: ImageClassifier, samples: Sequence[Sample], size: tuple[int, int]) -> Tensor:
    """r of the paper: the mean Fourier magnitude of samples as the classifier sees them.

    Args:
        classifier: whose preprocessing the samples go through.
        samples: at least one.
        size: rows and columns of the picture that it is for; the samples are scaled to it.

    Returns:
        (3, h, w // 2 + 1) float64 on the CPU, of Lucent's decorrelated colour channels; orthonormal transform. The
        first frequency, whose phase does not move, keeps its sign: it is the samples' mean colour, and without the
        signs of its colour channels would be another.

    Raises:
        InputError: if no sample shows anything: where all magnitudes but the mean colour's are 0, phases do nothing.
    """
    unmix = torch.linalg.inv(lucent_bridge.color_mixing(torch.float64))
    total = torch.zeros(3, size[0], size[1] // 2 + 1, dtype=torch.float64, device="cpu")
    for sample in samples:
        view = classifier.view(sample).double()[None]
        if view.shape[2:] != size:
            view = F.interpolate(view, size, mode="bilinear", align_corners=False, antialias=True)
        spectrum = torch.fft.rfft2(torch.einsum("chw,dc->dhw", view[0], unmix), norm="ortho")
        moduli = spectrum.abs()
        moduli[:, 0, 0] = spectrum[:, 0, 0].real
        total += moduli
    magnitude = total / len(samples)
    contrast = magnitude.flatten(1)[:, 1:].square().mean().sqrt()  # Parseval; the first frequency is the mean colour
    if float(contrast) < PLAIN:
        raise InputError("The magnitude's samples are of one plain colour each: give images with something on them.")
    return magnitude


def antisymmetric(phase: Tensor, columns: int) -> Tensor:
    """Phases that the spectrum of a real picture can have.

    Half a spectrum holds the frequencies of column 0, and of the last one of an even number, twice, once as k and once
    as −k. With phases that are not each other's opposites the inverse transform would average the two, and their
    magnitude would shrink. Their difference is given to both; at a frequency that is its own opposite, as the mean
    brightness is, the phase is 0 for good.

    Args:
        phase: (…, h, columns // 2 + 1) radians, any.
        columns: of the picture.
    """
    opposite = torch.roll(phase.flip(-2), 1, -2)
    twice = torch.zeros(phase.shape[-1], dtype=torch.bool, device=phase.device)
    twice[0] = True
    if columns % 2 == 0:
        twice[-1] = True
    return torch.where(twice, phase - opposite, phase)


def compose(magnitude: Tensor, phase: Tensor, size: tuple[int, int]) -> Tensor:
    """The pictures of these magnitudes and phases, before they are cut off at 0 and 1. Differentiable.

    Args:
        magnitude: (3, h, w // 2 + 1), as from `mean_magnitude`.
        phase: (n, 3, h, w // 2 + 1) radians, any.
        size: h and w.

    Returns:
        (n, 3, h, w) RGB.
    """
    channels = torch.fft.irfft2(
        torch.polar(magnitude.expand_as(phase), antisymmetric(phase, size[1])), size, norm="ortho"
    )
    return torch.einsum("nchw,dc->ndhw", channels, lucent_bridge.color_mixing(phase.dtype).to(phase.device))
