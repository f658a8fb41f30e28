"""The optimisation loop: the picture that excites a neuron, step by step."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from spade_widgets.checks import positive, sides, unsigned, whole
from spade_widgets.errors import InputError, ModelError
from spade_widgets.network.blame import model_errors
from spade_widgets.network.half import bits, suits
from spade_widgets.neuron import Neuron
from spade_widgets.prediction import Network
from spade_widgets.sample import Source
from spade_widgets.visualization import accentuation, lucent_bridge
from spade_widgets.visualization.objective import Objective, Target, target_of
from spade_widgets.visualization.parameterization import Canvas, Samples, parameterization
from spade_widgets.visualization.pictures import faded, grid, opacity, to_picture
from spade_widgets.visualization.redirect import RedirectedReLUs
from spade_widgets.visualization.snapshot import Snapshot, put_back, take
from spade_widgets.visualization.transforms import Transform, turns_and_shifts

MIN_SIZE, MAX_SIZE = 16, 1024

#: Float16 gradients below 6e-8 vanish: they are computed this much larger, and scaled back in float32.
_HALF_SCALE = 256.0

#: What mattered under the weights before a swap counts so much less, where the picture shows it: begun anew, a picture
#: that morphs would flicker.
_BEFORE = 1 / 16


@dataclass(frozen=True, eq=False)
class Frame:
    """Where a rendering stands.

    Attributes:
        step: how many steps are done, from 1.
        steps: how many there will be.
        activation: what the objective was at the start of the step, under the step's transforms; rises.
        images: (n, 3, h, w) float32 in 0…1 on the CPU, after the step; n is 1 but for several pictures.
        dead: see `Renderer.dead`.
    """

    step: int
    steps: int
    activation: float
    images: Tensor
    dead: bool

    @property
    def image(self) -> Tensor:
        """(3, h, w): the picture, or the first of several."""
        return self.images[0]


class Renderer:
    """One visualization in the making. Call `step()` as often as you like; stop by not calling it, resume by calling.

    The picture is Lucent's Fourier image with decorrelated colours, seen by the network through Lucent's random
    transforms; Adam climbs (Olah et al., "Feature Visualization", Distill 2017). Or it is one of MACO's, or begins at a
    sample: see `image`.
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
        lr: Adam's step size, in the units of what is optimised. Default: 0.05 of the spectrum, 0.03 where it begins at
            a sample; 0.2 rad for MACO.
        transforms: what the picture goes through before the network sees it, anything (n, 3, h, w) → (n, 3, h', w').
            Default: Lucent's standard ones, scaled to the size; for MACO random crops and noise, but not for a neuron
            at one position. Others may draw from the global generators: these are seeded for the moment and put back,
            which disturbs other threads that draw at the same moment.
        image: `"fourier"`, or `"maco"` (Fel et al., NeurIPS 2023): Fourier magnitudes are fixed at those of samples,
            phases alone are optimised. On the emoji classifier MACO's objects come nearer to the samples' shapes and
            colours and are free of the default's fine stripes; they are smaller, often several, on a ground of coloured
            noise, and excite the neuron less. Or `"sample"` (feature accentuation, Hamblin et al. 2024): it begins at
            `sample`, is held near it, and fades to grey where nothing mattered to the neuron. The sample's own object
            is in it by construction: what tells something is what came to it, and where dense and trace part.
        count: how many pictures, that start from unlike noise; the first is begun as the only one would be.
        diversity: ≥ 0, how much the pictures of a `count` are pushed apart, so that what they show of the neuron
            differs (Olah et al. 2017): where they are less alike by 0.1 (see `likeness`), it counts as much as 10 % of
            the activation, times this. On the emoji classifier's `logit:ball` 0 gives four basketballs, 1 balls of
            both kinds for a sixth of the activation, and 3 also pictures of nothing.
        magnitude_from: for MACO, which needs it, the samples that the magnitudes come from: an image, a list of them, a
            folder, or a `maco.Magnitude` made before. Give both networks the same, or they start from unlike pictures.
            Give many, not the trace's own sample: the magnitudes of one sample carry its colours and grain, and with
            them the dense emoji classifier, too, shows that sample's kind of ball, fruit and food where with those
            of all samples it shows the other kind or both. Such a picture does not tell what pruning has kept.
        sample: for the image `"sample"`, which needs it, where it begins: anything that `Sample.read` takes, seen
            through the classifier's own preprocessing and scaled to the size. Give both networks the same.
        near: for the image `"sample"`, in [0, 1), how near to it the picture stays. In an early layer of the dense
            network (`accentuation.early_layer`), for a trace's picture too, the activations may differ from the
            sample's by 1 / near − 1 of their length at most, about: by three times it at 0.25, once at 0.5, a third at
            0.75; at 0 they are free. Default: 0.5.
        bfloat16: whether the network multiplies in bfloat16. Default: where that saves time, on processors that have
            such instructions, for float32 networks and pictures of at least 128 px.

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
        sample: Source | None = None,
        near: float | None = None,
        count: int = 1,
        diversity: float = 1.0,
        bfloat16: bool | None = None,
    ) -> None:
        self._seed = whole("seed", seed, least=0)
        held = parameterization(image)
        rate = held.lr if lr is None else positive("lr", lr)
        if not held.held and (sample is not None or near is not None):
            raise InputError(f"'sample' and 'near' belong to image='sample'; the image {image!r} begins at noise.")
        nearness = accentuation.check_near(accentuation.NEAR if near is None else near)
        classifier = network.dense
        self._classifier = classifier
        self._neuron = neuron
        self._count = whole("count", count)
        if self._count != classifier.at_once(self._count):
            raise InputError(
                f"{classifier.name} gives an image other logits among others, so several pictures cannot be made at "
                "once: leave count at 1, and give other seeds."
            )
        self._diversity = unsigned("diversity", diversity)
        self._target = self._aim(network)
        self.size = classifier.input_size if size is None else sides(size, MIN_SIZE, MAX_SIZE)
        self._own_transforms = transforms is None
        if transforms is None:
            # A crop shows a neuron at one position ever other parts of the picture: it would have no place in it.
            usual = turns_and_shifts if self._placed() else held.transforms
            transforms = usual(self.size)
        self._transforms = list(transforms)
        with _gradients():
            self._leaf, self._picture = held.start(
                Canvas(network, self.size, _seeds(self._seed, self._count), magnitude_from, sample)
            )
        self._half = suits(classifier.device, classifier.dtype, self.size) if bfloat16 is None else bfloat16
        self._nearness: accentuation.Nearness | None = None
        if held.held:
            with _gradients(), model_errors():
                begun = self._picture().detach()  # of a picture that has not moved the distance is 0 to the last bit
                self._nearness = accentuation.Nearness(classifier, begun, nearness, half=self._half)
        self._importance = torch.zeros(self._count, *self.size, dtype=torch.float32, device=classifier.device)
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

    @property
    def nbytes(self) -> int:
        """About the memory that it takes: pictures, Adam's two moments, and the module's own structure, not weights."""
        return self._count * 48 * self.size[0] * self.size[1] + 2**20

    def step(self) -> float:
        """Do one step.

        Returns:
            What the neuron was excited to by the picture before the step (a Lucent objective: its negative loss); the
            mean over several pictures.

        Raises:
            ModelError: if the model fails on a picture of this size, or gives NaN or infinite values or gradients.
        """
        with self._lock:
            began = time.perf_counter()
            with model_errors():
                self.activation = self._step()
            self.steps_done += 1
            self.seconds += time.perf_counter() - began
        return self.activation

    def _step(self) -> float:
        with _gradients():
            image = self._current()
            inputs = self._inputs(image)
            with bits(self._half):
                loss, alike = self._target.losses(inputs, image)
            gradient = self._gradient(loss, image)
            value, peaks = self._read(loss, gradient)
            for stuck in [part for part, peak in zip(self._parts(), peaks, strict=True) if peak == 0]:
                with RedirectedReLUs(), bits(self._half):
                    alone, _ = self._target.losses(inputs[stuck], image[stuck])
                    gradient = gradient + self._gradient(alone, image)
                value, peaks = self._read(loss, gradient)
            if alike is not None and max(peaks) > 0:  # pictures that nothing excites are not alive for being unlike
                gradient = gradient + self._diversity * loss.detach().abs() * self._gradient(alike)
                value, peaks = self._read(loss, gradient)
            if self._nearness is not None and self._nearness.pulls and max(peaks) > 0:
                with torch.no_grad():
                    sample = self._inputs(self._nearness.sample)
                gradient = self._nearness.pulled(gradient, self._leaf, inputs, sample)
                value, peaks = self._read(loss, gradient)
        activation, peak = -value, max(peaks)
        if not all(math.isfinite(number) for number in (activation, *peaks)):
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
                yield Frame(self.steps_done, steps, activation, self.images(), self.dead)

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
        kept = _BEFORE if self._nearness is not None else 0.0
        self._importance = kept * self._importance.nan_to_num()

    def snapshot(self) -> Snapshot:
        """Where it stands, copied: another renderer of the same network, neuron and options goes on from there."""
        with self._lock:
            return take(self._kept(), self._optimizer, self._counted())

    def restore(self, snapshot: Snapshot) -> None:
        """Go on from where another one stood, bit for bit.

        Raises:
            InputError: if it is a picture of another size or kind.
        """
        with self._lock:
            put_back(snapshot, self._kept(), self._optimizer, self._counted())
            counted = snapshot.numbers
            self.steps_done, self.activation = counted["steps_done"], counted["activation"]
            self.seconds, self._moved = counted["seconds"], counted["moved"]
            self._next = None

    def _kept(self) -> dict[str, Tensor]:
        return {"leaf": self._leaf, "importance": self._importance}

    def _counted(self) -> dict[str, int | float | None]:
        return {
            "steps_done": self.steps_done,
            "activation": self.activation,
            "seconds": self.seconds,
            "moved": self._moved,
        }

    def images(self) -> Tensor:
        """All pictures as they are: (n, 3, h, w) float32 in 0…1, on the CPU."""
        with self._lock, _gradients():
            return self._current().detach().cpu().clone()

    def image(self) -> Tensor:
        """The picture as it is, or the first of several: (3, h, w) float32 in 0…1, on the CPU."""
        with self._lock, _gradients():
            return self._current().detach()[0].cpu().clone()

    def opacity(self) -> Tensor:
        """Where the pictures matter to the neuron: (n, h, w) float32 in 0…1, on the CPU.

        MACO's transparency map (Fel et al. 2023, for any parameterisation): how large the gradients were on a pixel,
        summed over the steps under the present weights; 1 for a fifth of a picture, 0 before the first step. Of a
        picture that begins at a sample, where single pixels are no noise's, blurred to areas.
        """
        with self._lock:
            seen = self._importance if self._nearness is None else accentuation.smooth(self._importance)
            return opacity(seen).cpu()

    def distance(self) -> float:
        """How far the picture is from the sample that it began at, in the early layer, relative; see `near`.

        Raises:
            InputError: if it began at none.
        """
        if self._nearness is None:
            raise InputError("Only a picture of image='sample' began at a sample.")
        with self._lock, torch.no_grad(), model_errors():
            seen, sample = (self._classifier.normalize(x) for x in (self._picture(), self._nearness.sample))
            return float(self._nearness.distance(seen, sample).sqrt())

    def picture(self) -> Image.Image:
        """The picture as it is, or the first of several, as a PIL image; see `pictures`."""
        return self.pictures()[0]

    def sheet(self) -> Image.Image:
        """All pictures as they are in one RGB image, in rows."""
        return grid(self.pictures())

    def pictures(self, *, transparent: bool = False) -> list[Image.Image]:
        """All pictures as they are, as PIL images: RGB, or RGBA that is transparent where nothing mattered.

        Those that begin at a sample fade in RGB too, to grey.
        """
        with self._lock:
            images = self.images()
            if transparent:
                return [to_picture(image, seen) for image, seen in zip(images, self.opacity(), strict=True)]
            if self._nearness is not None and self._importance.any():  # else nothing is known to matter less
                images = faded(images, self.opacity())
            return [to_picture(image) for image in images]

    def _inputs(self, images: Tensor) -> Tensor:
        """What the network is given of pictures at this step: the same movements for any."""
        seen = lucent_bridge.transform_image(
            self._transforms, images, self._seed, self.steps_done, fork_global=not self._own_transforms
        )
        return self._classifier.normalize(lucent_bridge.fit(seen, self.size))

    def _current(self) -> Tensor:
        # With its graph: the picture that is shown after a step is the one that the next step starts from.
        if self._next is None:
            self._next = self._picture()
        return self._next

    def _aim(self, network: Network) -> Target:
        with _gradients():
            compare = self._count > 1 and self._diversity > 0
            return target_of(self._classifier, network.module(), self._neuron, compare=compare)

    def _placed(self) -> bool:
        wanted = self._neuron
        return isinstance(wanted, str | Neuron) and self._classifier.neuron(wanted).position is not None

    def _parts(self) -> list[slice]:
        """The pictures that may be without a gradient by themselves: at zero behind a ReLU, or dead.

        A user's own objective may be over all pictures at once, and is not asked of one alone.
        """
        if self._count == 1 or not isinstance(self._neuron, str | Neuron):
            return [slice(None)]
        return [slice(i, i + 1) for i in range(self._count)]

    def _read(self, loss: Tensor, gradient: Tensor) -> tuple[float, list[float]]:
        """The loss, and the largest gradient of each of the `_parts`.

        All that a step has to know is read from the device at once: each reading waits for what it was given to do.
        """
        peaks = [gradient[part].abs().amax() for part in self._parts()]
        value, *found = torch.stack([loss.detach().reshape(()), *(peak.to(loss) for peak in peaks)]).tolist()
        return value, found

    def _gradient(self, loss: Tensor, image: Tensor | None = None) -> Tensor:
        """Of what is optimised; that of the image, if given, is added to what is kept of where it matters."""
        if not loss.requires_grad:
            raise ModelError(f"{self._what()} gives no gradient: the model detaches it, or runs without gradients.")
        scale = _HALF_SCALE if self._classifier.dtype == torch.float16 else 1.0
        gradients: Sequence[Tensor | None] = torch.autograd.grad(
            loss * scale,
            [self._leaf] if image is None else [self._leaf, image],
            allow_unused=True,
            retain_graph=True,  # the picture's part of the graph may be gone through a second time
        )
        gradient, *on_image = (None if g is None else g / scale if scale != 1 else g for g in gradients)
        for found in on_image:
            if found is not None:
                self._importance = self._importance + found.abs().mean(1)
        return torch.zeros_like(self._leaf) if gradient is None else gradient

    def _what(self) -> str:
        return f"'{self._neuron}'" if isinstance(self._neuron, str | Neuron) else "The objective"


def _seeds(seed: int, count: int) -> tuple[int, ...]:
    """One a picture: the first begins as the only one of that seed would."""
    more = (np.random.SeedSequence([seed, i]).generate_state(1, np.uint64) for i in range(1, count))
    return seed, *(int(state[0]) for state in more)


@contextmanager
def _gradients() -> Iterator[None]:
    """Gradients, also where the caller has switched them off."""
    with torch.inference_mode(False), torch.enable_grad():
        yield
