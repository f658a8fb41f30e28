"""The optimisation loop: the picture that excites a neuron, step by step."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from PIL import Image
from torch import Tensor

from spade_widgets.errors import InputError, ModelError
from spade_widgets.neuron import Neuron
from spade_widgets.prediction import Network
from spade_widgets.visualization import lucent_bridge
from spade_widgets.visualization.checks import positive, sides, whole
from spade_widgets.visualization.lucent_bridge import Transform
from spade_widgets.visualization.objective import Objective, Target, target_of
from spade_widgets.visualization.parameterization import Canvas, Samples, parameterization
from spade_widgets.visualization.redirect import RedirectedReLUs

MIN_SIZE, MAX_SIZE = 16, 1024

#: Float16 gradients below 6e-8 vanish: they are computed this much larger, and scaled back in float32.
_HALF_SCALE = 256.0


@dataclass(frozen=True, eq=False)
class Frame:
    """Where a rendering stands.

    Attributes:
        step: how many steps are done, from 1.
        steps: how many there will be.
        activation: what the objective was at the start of the step, under the step's transforms; rises.
        image: (3, h, w) float32 in 0…1 on the CPU, after the step.
        dead: see `Renderer.dead`.
    """

    step: int
    steps: int
    activation: float
    image: Tensor
    dead: bool


class Renderer:
    """One visualization in the making. Call `step()` as often as you like; stop by not calling it, resume by calling.

    The picture is Lucent's Fourier image with decorrelated colours, seen by the network through Lucent's random
    transforms; Adam climbs (Olah et al., "Feature Visualization", Distill 2017). Or it is one of MACO's: see `image`.
    Everything random depends on `seed` and the number of the step alone: two renderers of one seed, dense and sparse,
    start from the same picture and see the same transforms at each step, in whatever order or thread they run. The
    global generators are not drawn from.

    It may be looked at from one thread while another steps it, and several may run in several threads.

    Attributes:
        steps_done: how many steps are done.
        activation: what the last step returned; None before the first one.
        seconds: the time that all steps took.
        size: rows and columns of the picture.

    Args:
        network: a classifier or a trace. Only a copy of its own is hooked, and only the neuron's layer.
        neuron: `"layer:channel"`, `"layer:channel@row,col"`, `"logit:class"`, a `Neuron`, or a Lucent objective over
            named layers (`lucent.optvis.objectives`).
        seed: ≥ 0, of the first picture and of the transforms.
        size: rows and columns, or one number for both, 16 to 1024 px. Default: the classifier's input size, which is
            the only one that a classifier with a flattened head can be run on.
        lr: Adam's step size, in the units of what is optimised. Default: 0.05 of the spectrum; 0.2 rad for MACO.
        transforms: what the picture goes through before the network sees it, anything (n, 3, h, w) → (n, 3, h', w').
            Default: Lucent's standard ones, scaled to the size; for MACO random crops and noise, but not for a neuron
            at one position. Others may draw from the global generators: these are seeded for the moment and put back,
            which disturbs other threads that draw at the same moment.
        image: `"fourier"`, or `"maco"` (Fel et al., NeurIPS 2023): Fourier magnitudes are fixed at those of samples,
            phases alone are optimised. On the built-in classifier MACO's objects come nearer to the samples' shapes and
            colours and are free of the default's fine stripes; they are smaller, often several, on a ground of coloured
            noise, and excite the neuron less.
        magnitude_from: for MACO, the samples that the magnitudes come from: an image, a list of them, or a folder.
            Default: a trace's own sample. A classifier has none, and to be compared with a trace needs the trace's
            (`trace.sample`) or the same list for both: else the two start from unlike pictures.

    Raises:
        InputError: if there is no such neuron, or an option is out of its range.
    """

    def __init__(
        self,
        network: Network,
        neuron: str | Neuron | Objective,
        *,
        seed: int = 0,
        size: int | tuple[int, int] | None = None,
        lr: float | None = None,
        transforms: Sequence[Transform] | None = None,
        image: str = "fourier",
        magnitude_from: Samples | None = None,
    ) -> None:
        self._seed = whole("seed", seed, least=0)
        held = parameterization(image)
        rate = held.lr if lr is None else positive("lr", lr)
        classifier = network.dense
        self._classifier = classifier
        self._neuron = neuron
        self._target = self._aim(network)
        self.size = classifier.input_size if size is None else sides(size, MIN_SIZE, MAX_SIZE)
        self._own_transforms = transforms is None
        if transforms is None:
            # A crop shows a neuron at one position ever other parts of the picture: it would have no place in it.
            usual = lucent_bridge.standard_transforms if self._placed() else held.transforms
            transforms = usual(self.size)
        self._transforms = list(transforms)
        with _gradients():
            self._leaf, self._picture = held.start(Canvas(network, self.size, self._seed, magnitude_from))
        self._optimizer = torch.optim.Adam([self._leaf], lr=rate, fused=classifier.device.type in ("cpu", "cuda"))
        self._next: Tensor | None = None
        self._moved = False
        # A panel looks at the picture while its worker goes on with it.
        self._lock = threading.RLock()
        self.steps_done = 0
        self.activation: float | None = None
        self.seconds = 0.0

    @property
    def dead(self) -> bool:
        """Whether no step so far, under the present weights, had any gradient, not even through ReLUs that are off.

        Nothing that the picture shows reaches such a neuron: the picture is no more than the noise it started from, or
        what other weights made of it.
        """
        return self.steps_done > 0 and not self._moved

    def step(self) -> float:
        """Do one step.

        Returns:
            What the neuron was excited to by the picture before the step (a Lucent objective: its negative loss).

        Raises:
            ModelError: if the model fails on a picture of this size, or gives NaN or infinite values or gradients.
        """
        with self._lock:
            began = time.perf_counter()
            self.activation = self._step()
            self.steps_done += 1
            self.seconds += time.perf_counter() - began
        return self.activation

    def _step(self) -> float:
        with _gradients():
            image = self._current()
            seen = lucent_bridge.transform_image(
                self._transforms, image, self._seed, self.steps_done, fork_global=not self._own_transforms
            )
            inputs = self._classifier.normalize(lucent_bridge.fit(seen, self.size))
            loss = self._target.loss(inputs, image)
            gradient = self._gradient(loss)
            if not gradient.any():  # at zero behind a ReLU, or dead
                with RedirectedReLUs():
                    gradient = self._gradient(self._target.loss(inputs, image))
        activation, peak = -float(loss.detach()), float(gradient.abs().max())
        if not (math.isfinite(activation) and math.isfinite(peak)):
            raise ModelError(
                f"{self._what()} gives NaN or infinite values at step {self.steps_done + 1}, so it has no picture: "
                "look for NaN in the weights, or use float32."
            )
        if peak > 0:  # else Adam's momentum would go on by itself
            self._leaf.grad = gradient
            self._optimizer.step()
            self._leaf.grad = None
            self._moved = True
        self._next = None
        return activation

    def run(self, steps: int, *, every: int = 1) -> Iterator[Frame]:
        """Go on until `steps` are done in all, yielding a frame after each `every` steps and after the last.

        Raises:
            InputError: if `steps` or `every` is no whole number from 1.
            ModelError: see `step`.
        """
        return self._run(whole("steps", steps), whole("every", every))

    def _run(self, steps: int, every: int) -> Iterator[Frame]:
        while self.steps_done < steps:
            activation = self.step()
            if self.steps_done % every == 0 or self.steps_done == steps:
                yield Frame(self.steps_done, steps, activation, self.image(), self.dead)

    def swap(self, network: Network) -> None:
        """Go on under other weights, from the picture as it is; the optimiser keeps its state.

        Args:
            network: the classifier or another trace of it.

        Raises:
            InputError: if it has no such neuron, or is on another device.
        """
        if network.dense.device != self._classifier.device:
            raise InputError(
                f"The picture is on {self._classifier.device}, the new weights are on {network.dense.device}."
            )
        before, self._classifier = self._classifier, network.dense
        try:
            self._target = self._aim(network)
        except InputError:
            self._classifier = before
            raise
        self._moved = False

    def image(self) -> Tensor:
        """The picture as it is: (3, h, w) float32 in 0…1, on the CPU."""
        with self._lock, _gradients():
            return self._current().detach()[0].cpu().clone()

    def picture(self) -> Image.Image:
        """The picture as it is, as a PIL image."""
        return to_picture(self.image())

    def _current(self) -> Tensor:
        # With its graph: the picture that is shown after a step is the one that the next step starts from.
        if self._next is None:
            self._next = self._picture()
        return self._next

    def _aim(self, network: Network) -> Target:
        with _gradients():
            return target_of(self._classifier, network.module(), self._neuron)

    def _placed(self) -> bool:
        wanted = self._neuron
        return isinstance(wanted, str | Neuron) and self._classifier.neuron(wanted).position is not None

    def _gradient(self, loss: Tensor) -> Tensor:
        if not loss.requires_grad:
            raise ModelError(f"{self._what()} gives no gradient: the model detaches it, or runs without gradients.")
        scale = _HALF_SCALE if self._classifier.dtype == torch.float16 else 1.0
        gradients: Sequence[Tensor | None] = torch.autograd.grad(
            loss * scale,
            [self._leaf],
            allow_unused=True,
            retain_graph=True,  # the picture's part of the graph may be gone through a second time
        )
        gradient = gradients[0]
        if gradient is None:
            return torch.zeros_like(self._leaf)
        return gradient / scale if scale != 1 else gradient

    def _what(self) -> str:
        return f"'{self._neuron}'" if isinstance(self._neuron, str | Neuron) else "The objective"


def render(
    network: Network,
    neuron: str | Neuron | Objective,
    *,
    steps: int = 256,
    every: int = 1,
    seed: int = 0,
    size: int | tuple[int, int] | None = None,
    lr: float | None = None,
    transforms: Sequence[Transform] | None = None,
    image: str = "fourier",
    magnitude_from: Samples | None = None,
) -> Iterator[Frame]:
    """The frames of a new rendering, one each `every` steps; see `Renderer` for the arguments and errors.

    Nothing runs between two frames: drop the iterator, and the rendering has stopped.
    """
    renderer = Renderer(
        network, neuron, seed=seed, size=size, lr=lr, transforms=transforms, image=image, magnitude_from=magnitude_from
    )
    return renderer.run(steps, every=every)


def visualize(
    network: Network,
    neuron: str | Neuron | Objective,
    *,
    steps: int = 256,
    seed: int = 0,
    size: int | tuple[int, int] | None = None,
    lr: float | None = None,
    transforms: Sequence[Transform] | None = None,
    image: str = "fourier",
    magnitude_from: Samples | None = None,
) -> Image.Image:
    """The picture that excites a neuron, under a classifier or under a trace; see `Renderer` for arguments and errors.

    Two calls that differ in the network alone share start and transforms: what differs in the pictures is the network.
    """
    renderer = Renderer(
        network, neuron, seed=seed, size=size, lr=lr, transforms=transforms, image=image, magnitude_from=magnitude_from
    )
    for _ in range(whole("steps", steps)):
        renderer.step()
    return renderer.picture()


@contextmanager
def _gradients() -> Iterator[None]:
    """Gradients, also where the caller has switched them off."""
    with torch.inference_mode(False), torch.enable_grad():
        yield


def to_picture(image: Tensor) -> Image.Image:
    """(3, h, w) in 0…1 → PIL RGB image."""
    pixels = (image.detach().float().clamp(0, 1) * 255).round().to(torch.uint8)
    return Image.fromarray(pixels.permute(1, 2, 0).cpu().numpy())
