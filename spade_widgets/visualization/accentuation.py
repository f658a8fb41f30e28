"""Feature accentuation: a picture that begins at a sample and stays near it, while the neuron is maximised.

Hamblin et al., "Feature Accentuation: Revealing 'What' Features Respond to in Natural Images", 2024 (arXiv:2402.10039):
begin at an image in Fourier space, maximise the neuron, be held by the distance of an early layer's activations, show
no more than what mattered. The sample's own object is in such a picture by construction; what is to be read is what
came to it, and where dense network and trace, which begin alike, part. Three things are ours:

- The distance is measured in the dense network, also where a trace's picture is made. A trace whose early layers are
  pruned would not see changes that the dense one sees, and would be held less: pictures would differ by how far they
  may go, not by what the neuron answers to.
- The paper's weight is in units of the two gradients at the start, and how far a picture then goes is found out by
  trying. Here `near` says it: how far the activations may go, relative to the sample's own. The pull is as strong as
  the neuron's gradient at that distance, weaker before and stronger beyond, by its square; so the neuron's scale, which
  pruning changes, does not matter, and one default serves all networks. As in the paper, picture and sample are
  compared through the same transforms: as they are, the picture would hide in a grain of pixels between the strides.
- The spectrum moves as Lucent's does, magnitudes too, instead of phases alone: these leave ripples over the whole.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from spade_widgets.classifier import ImageClassifier
from spade_widgets.errors import InputError
from spade_widgets.network.capture import capture
from spade_widgets.network.half import bits
from spade_widgets.neuron import Layer
from spade_widgets.sample import Sample
from spade_widgets.visualization import layout, lucent_bridge, stem

#: How near a picture stays to its sample unless the user says otherwise.
NEAR = 0.5
#: What pixels are brought to before the sigmoid's inverse, which is infinite at 0 and 1: one level of 255.
MARGIN = 1 / 255
#: The early layer shrinks a picture's sides to no less than a quarter; a little more, where edges are not padded.
STRIDE = 4.6
#: The pull's greatest multiple of the neuron's gradient: beyond, steps would only jump back and forth.
STRONGEST = 1e4
#: Of the blur of what mattered, as a share of the longer side: single pixels' gradients are as grainy as noise.
BLUR = 0.03


def check_near(value: object) -> float:
    """The value, if it is in [0, 1).

    Raises:
        InputError: if it is not.
    """
    if isinstance(value, bool) or not isinstance(value, int | float | np.number) or not 0 <= value < 1:
        raise InputError(f"'near' is a number from 0 (free) to less than 1 (hardly moves); {value!r} is none.")
    return float(value)


def allowed(near: float) -> float:
    """How far a picture may go, relative to the sample's own activations: 1 at 0.5, 1/3 at 0.75; infinite at 0."""
    return 1 / near - 1 if near > 0 else float("inf")


def seen(classifier: ImageClassifier, sample: Sample, size: tuple[int, int]) -> Tensor:
    """What a classifier sees of a sample, scaled to a picture's size: (3, h, w) float64 in 0…1, on the CPU."""
    view = classifier.view(sample).double()
    if view.shape[1:] == size:
        return view
    return F.interpolate(view[None], size, mode="bilinear", align_corners=False, antialias=True)[0].clamp(0, 1)


def sample_image(view: Tensor, device: torch.device) -> tuple[Tensor, Callable[[], Tensor]]:
    """A picture that begins at a view, to one level of 255; what is given is as from `lucent_bridge.fourier_image`.

    Args:
        view: as from `seen`.
        device: where the picture is made.
    """
    spectrum, picture = lucent_bridge.fourier_image((view.shape[1], view.shape[2]), [0], device)
    with torch.no_grad():
        spectrum.copy_(lucent_bridge.fourier_spectrum(view.clamp(MARGIN, 1 - MARGIN))[None])
    return spectrum, picture


def early_layer(classifier: ImageClassifier) -> Layer:
    """Where nearness is measured: coarse enough for texture to move, early enough for things to stay in their places.

    Of the first third of the layers that keep the places of a picture, the last that shrinks its sides to no less than
    a quarter or, where all shrink them more, as patches do, the last: a ResNet's `layer1`, SqueezeNet's `features.4`.
    Without such layers the first of all.
    """
    layers = classifier.layers()
    placed = [layer for layer in layers if layer.size != (1, 1)]
    if not placed:
        return layers[0]
    first = placed[: max(1, len(placed) // 3)]
    fine = [layer for layer in first if classifier.input_size[0] <= STRIDE * layer.size[0]]
    return (fine or first)[-1]


class Nearness:
    """Pulls a picture back to its sample.

    Attributes:
        sample: the picture as it began, (1, 3, h, w) in 0…1.

    Args:
        classifier: the dense one, whatever network the picture is for.
        sample: see above.
        near: in [0, 1), see `allowed`; at 0 there is no pull.
        half: whether the network multiplies in bfloat16.
    """

    def __init__(self, classifier: ImageClassifier, sample: Tensor, near: float, *, half: bool) -> None:
        self.sample = sample
        self._classifier = classifier
        self._layer = early_layer(classifier).name
        self._module = classifier.module()
        if classifier.memory_format == torch.channels_last:  # as a `Target`: see there
            stem.quicken(self._module)
            layout.channels_last(self._module)
        self._near, self._half = near, half

    @property
    def pulls(self) -> bool:
        """Whether there is any pull."""
        return self._near > 0

    def distance(self, seen: Tensor, sample: Tensor) -> Tensor:
        """How far what the network is given lies from what it would be given of the sample: ‖f(x) − f(s)‖² / ‖f(s)‖².

        Differentiable. Squared, so that there is a gradient also where a picture begins, at 0.

        Args:
            seen, sample: (1, 3, h, w), normalised, both through the same transforms.
        """
        with torch.no_grad():
            there = self._activations(sample)
        unit = there.square().sum().clamp_min(torch.finfo(torch.float32).tiny)
        return (self._activations(seen) - there).square().sum() / unit

    def pulled(self, gradient: Tensor, leaf: Tensor, seen: Tensor, sample: Tensor) -> Tensor:
        """The gradient of what the picture is made of, with the pull added to it.

        Args:
            gradient: of the neuron's loss.
            leaf: what it is the gradient of.
            seen, sample: see `distance`; what is seen has a graph to the leaf.
        """
        distance = self.distance(seen, sample)
        (pull,) = torch.autograd.grad(distance, [leaf], retain_graph=True)
        strength = (distance.detach() / allowed(self._near) ** 2).clamp(max=STRONGEST) * _length(gradient)
        # Where the picture begins, there is no pull, and it has no direction.
        return gradient + strength * pull / _length(pull).clamp_min(torch.finfo(torch.float32).tiny)

    def _activations(self, inputs: Tensor) -> Tensor:
        inputs = inputs.contiguous(memory_format=self._classifier.memory_format)
        with bits(self._half):
            return capture(self._module, inputs, [self._layer])[self._layer].float()


def _length(gradients: Tensor) -> Tensor:
    return gradients.float().square().sum().sqrt()


def smooth(importance: Tensor) -> Tensor:
    """What mattered, (n, h, w), blurred to areas; the sum stays about what it is."""
    sigma = BLUR * max(importance.shape[1:])
    reach = min(round(3 * sigma), min(importance.shape[1:]) - 1)
    offsets = torch.arange(-reach, reach + 1, dtype=importance.dtype, device=importance.device)
    kernel = torch.exp(-0.5 * (offsets / sigma).square())
    kernel = kernel / kernel.sum()
    padded = F.pad(importance[:, None], (reach, reach, reach, reach), mode="reflect")
    return F.conv2d(F.conv2d(padded, kernel[None, None, :, None]), kernel[None, None, None, :])[:, 0]
