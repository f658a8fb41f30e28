"""The one place that touches Lucent: what we take from it, and how its global state is kept from doing harm.

Lucent picks its device when it is imported and its transforms draw from NumPy's global generator. A kernel's user draws
from that generator too, perhaps in this moment in another thread. So while Lucent's functions run here, under a lock,
its modules see the model's device, and in place of `numpy.random` a generator of the step's own; afterwards they see
what they saw before. A second thread that uses Lucent by itself meanwhile draws from NumPy as always (but shares the
device, which Lucent has one of).
"""

from __future__ import annotations

import functools
import importlib
import random
import threading
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from types import ModuleType
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor
from torch.overrides import TorchFunctionMode

from spade_widgets.network.random_numbers import own_random_numbers
from spade_widgets.visualization.transforms import DEGREES, SCALES, Reach, Seeded, Transform

_lock = threading.Lock()

#: What Lucent divides the decorrelated channels by before its sigmoid.
_LUCENTS_CONTRAST = 4.0


@functools.cache
def _module(name: str) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # kornia's own use of what PyTorch deprecates
        return importlib.import_module(f"lucent.optvis.{name}")


def objectives() -> Any:
    """The module `lucent.optvis.objectives`."""
    return _module("objectives")


def standard_transforms(size: tuple[int, int]) -> list[Transform]:
    """Lucent's own standard transforms, one after the other, their pixels scaled to the picture; see `Reach`.

    A `Renderer` uses `turns_and_shifts`, which moves a picture alike in a fifth of the time.

    Args:
        size: rows and columns of the picture, in pixels.
    """
    transform = _module("transform")
    reach = Reach.of(size)
    return [
        transform.pad(reach.margin, mode="constant", constant_value=0.5),
        transform.jitter(reach.first),
        transform.random_scale(list(SCALES)),
        transform.random_rotate(list(DEGREES)),
        transform.jitter(reach.second),
    ]


def transform_image(
    transforms: Sequence[Transform], images: Tensor, seed: int, step: int, *, fork_global: bool
) -> Tensor:
    """Apply transforms in turn, with the random numbers of this seed and step.

    Args:
        transforms: ours, Lucent's, or any like them.
        images: (n, 3, h, w) in 0…1.
        seed: with `step`, all that the random numbers depend on.
        step: see `seed`.
        fork_global: also seed the global generators of torch, NumPy and Python for the duration, and put them back:
            needed for transforms that are neither ours nor Lucent's. Other threads that draw meanwhile are disturbed.
    """
    sequence = np.random.SeedSequence([seed, step])
    generator = np.random.default_rng(sequence)
    if all(isinstance(transform, Seeded) for transform in transforms):
        return _apply(transforms, images, generator)
    with _transforms_on(images.device, generator):
        if not fork_global:
            return _apply(transforms, images, generator)
        with _global_generators(int(sequence.generate_state(1)[0]), images.device):
            return _apply(transforms, images, generator)


def fourier_image(
    size: tuple[int, int], seeds: Sequence[int], device: torch.device
) -> tuple[Tensor, Callable[[], Tensor]]:
    """Lucent's Fourier image with decorrelated colours: (the parameters, a function of them that gives the pictures).

    The start does not depend on the device, nor on how the global generators stand.

    Args:
        size: rows and columns.
        seeds: of the start, one a picture.
        device: where the pictures are made.

    Returns:
        The spectra (n, 3, h, w // 2 + 1 or more, 2), float32, a leaf that requires gradients, and the function, which
        gives (n, 3, h, w) in 0…1.
    """
    spatial = _module("param.spatial")
    with _images_on(device), _DrawFrom([torch.Generator("cpu").manual_seed(seed) for seed in seeds]):
        (spectrum,), correlated = spatial.fft_image((len(seeds), 3, *size))
    # Lucent's own `to_valid_rgb` puts this matrix on the GPU wherever there is one, also for a model on the CPU.
    mixing = color_mixing(torch.float32).to(device)

    def picture() -> Tensor:
        return torch.sigmoid((mixing @ correlated().flatten(2)).unflatten(2, size))

    return spectrum, picture


def fourier_spectrum(view: Tensor) -> Tensor:
    """The parameters of which `fourier_image` makes a given picture: its inverse.

    Args:
        view: (3, h, w) above 0 and below 1.

    Returns:
        (3, h, w // 2 + 1 or more, 2) float64, on the CPU.
    """
    pixels = view.double().cpu()
    rows, cols = pixels.shape[1:]
    unmix = torch.linalg.inv(color_mixing(torch.float64))
    spectrum = torch.fft.rfft2(torch.einsum("chw,dc->dhw", torch.logit(pixels), unmix), norm="ortho")
    frequencies = _module("param.spatial").rfft2d_freqs(rows, cols)
    # Of an odd width Lucent holds a column more than the transform uses.
    spectrum = F.pad(spectrum, (0, frequencies.shape[1] - spectrum.shape[2]))
    return torch.view_as_real(
        _LUCENTS_CONTRAST * torch.from_numpy(np.maximum(frequencies, 1 / max(rows, cols))) * spectrum
    )


def color_mixing(dtype: torch.dtype) -> Tensor:
    """Lucent's matrix from decorrelated colour channels to red, green and blue: (3 of RGB, 3), on the CPU."""
    return torch.tensor(_module("param.color").color_correlation_normalized, dtype=dtype, device="cpu")


def fit(images: Tensor, size: tuple[int, int]) -> Tensor:
    """Bring transformed pictures back to the size that the model takes.

    The middle is cut out, so that a pixel of the picture stays a pixel of the input and scaling stays scaling; Lucent
    instead shrinks the whole, margins included. What transforms have made too small is enlarged.
    """
    rows, cols = images.shape[2:]
    if rows < size[0] or cols < size[1]:
        return F.interpolate(images, size, mode="bilinear", align_corners=True)
    top, left = (rows - size[0]) // 2, (cols - size[1]) // 2
    return images[:, :, top : top + size[0], left : left + size[1]]


def _apply(transforms: Sequence[Transform], images: Tensor, generator: np.random.Generator) -> Tensor:
    for transform in transforms:
        images = transform.apply(images, generator) if isinstance(transform, Seeded) else transform(images)
    return images


class _Numpy:
    """NumPy as one thread is to see it: with a generator of its own for `random`."""

    def __init__(self, generator: np.random.Generator) -> None:
        self._generator, self._thread = generator, threading.get_ident()

    @property
    def random(self) -> np.random.Generator | ModuleType:
        return self._generator if threading.get_ident() == self._thread else np.random

    def __getattr__(self, name: str) -> Any:
        return getattr(np, name)


class _DrawFrom(TorchFunctionMode):
    """Lets this thread's `torch.randn` draw float32 from CPU generators, one a picture, whatever the defaults are."""

    def __init__(self, generators: Sequence[torch.Generator]) -> None:
        super().__init__()
        self._generators = generators

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func is not torch.randn:
            return func(*args, **(kwargs or {}))
        _, *shape = args  # the first is how many pictures
        drawn = [func(1, *shape, generator=g, device="cpu", dtype=torch.float32) for g in self._generators]
        return torch.cat(drawn)


@contextmanager
def _images_on(device: torch.device) -> Iterator[None]:
    spatial = _module("param.spatial")
    with _lock:
        before, spatial.device = spatial.device, device
        try:
            yield
        finally:
            spatial.device = before


@contextmanager
def _transforms_on(device: torch.device, generator: np.random.Generator) -> Iterator[None]:
    transform = _module("transform")
    with _lock:
        before = transform.device, transform.np
        transform.device, transform.np = device, _Numpy(generator)
        try:
            yield
        finally:
            transform.device, transform.np = before


@contextmanager
def _global_generators(seed: int, device: torch.device) -> Iterator[None]:
    # The legacy generator of NumPy is the global one, and what such transforms draw from.
    numpy_state, python_state = np.random.get_state(), random.getstate()  # noqa: NPY002
    on_cuda = device.type == "cuda"
    with own_random_numbers(device=device):
        torch.default_generator.manual_seed(seed)
        if on_cuda:
            with torch.cuda.device(device):
                torch.cuda.manual_seed(seed)
        np.random.seed(seed)  # noqa: NPY002
        random.seed(seed)
        try:
            yield
        finally:
            np.random.set_state(numpy_state)  # noqa: NPY002
            random.setstate(python_state)
