"""Insertion and deletion: does the prediction come and go with the pixels that a saliency map ranks first?

The protocol of RISE (Petsiuk, Das and Saenko, BMVC 2018, section 4.1) and of the code its authors published:

- Pixels are ranked by the map, the most salient first. All three channels of a pixel change together.
- Deletion starts from the image and sets pixels to 0 *in the model's normalised space*: the mean colour of the training
  images, not black. Insertion starts from a blurred image and puts the pixels back.
- The blur is a Gaussian of σ = 5 cut to an 11 × 11 window, the weight beyond the window folded back into it, applied
  in normalised space with zeros beyond the border. (So folded it is almost the mean over the window.)
- 224 steps, on a 224 × 224 image 224 pixels each; at each of the 225 points the class's probability is read off, and
  the area under that curve is taken by the trapezoid rule, the axis being the share of pixels changed, 0 to 1.
- Insertion: higher is better. Deletion: lower is better.

The network that judges is always the dense one, whichever network the map was made on: predictions are the dense
model's, the trace only explains them (SPADE, section 4).

Where we differ from the published code: on images that 224 does not divide the steps differ by a pixel so that they
stay even; and pixels of equal saliency are put in a random order (seeded), not in the order in which they lie, which
would favour a corner. Maps of Occlusion, LIME or Grad-CAM hold many equal values.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn import functional as F

from spade_widgets.errors import InputError, ModelError
from spade_widgets.evidence.metrics import Map, check_map
from spade_widgets.network.many import logits_of_many
from spade_widgets.prediction import Network, predict
from spade_widgets.pruning.progress import Progress, Steps, finish
from spade_widgets.sample import Sample, Source

Mode: TypeAlias = Literal["insertion", "deletion"]

STEPS = 224
BLUR = (11, 5.0)
"""The window's side in pixels (odd) and the Gaussian's σ."""
AT_224, MOST = 4, 16
"""Images judged at a time on a CPU: of 224 px, and of smaller ones at most. More are slower, because what the layers
hand on leaves its caches."""


@dataclass(frozen=True)
class Curve:
    """The class's probability while pixels are inserted or deleted.

    Attributes:
        mode: `"insertion"` or `"deletion"`.
        target: index of the class.
        changed: (steps + 1,) float64, the share of pixels changed, from 0 to 1.
        probability: (steps + 1,) float64, in 0…1.
    """

    mode: Mode
    target: int
    changed: npt.NDArray[np.float64] = field(repr=False)
    probability: npt.NDArray[np.float64] = field(repr=False)

    @property
    def auc(self) -> float:
        """The area under the curve, in 0…1."""
        return float(np.trapezoid(self.probability, self.changed))


def insertion(
    network: Network, sample: Source, saliency: Map, target: int | str | None = None, **options: Any
) -> Curve:
    """The insertion curve of a map. See `curve_steps` for the arguments, the module for the protocol."""
    return finish(curve_steps("insertion", network, sample, saliency, target, **options))


def deletion(network: Network, sample: Source, saliency: Map, target: int | str | None = None, **options: Any) -> Curve:
    """The deletion curve of a map. See `curve_steps` for the arguments, the module for the protocol."""
    return finish(curve_steps("deletion", network, sample, saliency, target, **options))


def curve_steps(
    mode: Mode,
    network: Network,
    sample: Source,
    saliency: Map,
    target: int | str | None = None,
    *,
    steps: int = STEPS,
    blur: tuple[int, float] = BLUR,
    absolute: bool = True,
    batch: int | None = None,
    bfloat16: bool | None = None,
    seed: int = 0,
) -> Steps[Curve]:
    """`insertion` or `deletion` in steps: yields its progress, returns the curve.

    Args:
        mode: which of the two.
        network: a classifier, or a trace: then its dense classifier judges.
        sample: anything that `Sample.read` takes.
        saliency: (H, W), the size that the model sees.
        target: class by index or name; default: the dense prediction.
        steps: points of the curve but the first; each changes an equal share of the pixels. RISE: 224.
        blur: window and σ of insertion's start; see the module.
        absolute: rank by |map|, as Trojan AUC does (a gradient's sign says nothing of importance). False: rank by the
            signed value, so that evidence against the class comes last.
        batch: images judged at a time. Default: by their size on a CPU (`AT_224`, `MOST`), 128 elsewhere.
        bfloat16: whether the judge multiplies in it; see `logits_of_many`. Both ends of the curve are the examples.
        seed: of the order among equal values.

    Raises:
        InputError: if the map has another size or is not finite, there is no such class, or a number makes no sense.
        ModelError: if the network's logits are not finite.
    """
    judge = network.dense
    read = Sample.read(sample)
    values = check_map(saliency, judge.input_size)
    if mode not in ("insertion", "deletion"):
        raise InputError(f"There is no curve '{mode}': 'insertion' and 'deletion' can be drawn.")
    if not 1 <= steps <= values.size:
        raise InputError(f"{steps} steps cannot be made on {values.size} pixels: 1 to {values.size} are accepted.")
    if batch is None:
        fits = max(1, AT_224 * 224 * 224 // values.size)
        batch = min(fits, MOST) if judge.device.type == "cpu" else 128
    if batch < 1:
        raise InputError(f"{batch} images cannot be judged at a time: give at least 1.")
    batch = judge.at_once(batch)
    index = predict(judge, read, 1)[0].index if target is None else judge.class_index(target)
    image = judge.prepare(read)
    start, end = (blurred(image, blur), image) if mode == "insertion" else (image, torch.zeros_like(image))
    ranks = torch.from_numpy(pixel_ranks(np.abs(values) if absolute else values, seed)).to(judge.device)
    counts = [round(i * values.size / steps) for i in range(steps + 1)]
    ends = torch.cat([start, end])[: judge.at_once(2)]
    logits = logits_of_many(judge.module(), ends, judge.prunable(), judge.memory_format, bfloat16=bfloat16)
    found: list[Tensor] = []
    for done, images in _between(start, end, ranks, counts, batch):
        yield Progress(mode, done, steps + 1)
        found.append(logits(images).float().softmax(1)[:, index])
    probability = torch.cat(found).cpu().double().numpy()
    if not np.isfinite(probability).all():
        raise ModelError(f"{judge.name} gives NaN or infinite logits on '{read.title}' while pixels change.")
    return Curve(mode, index, np.asarray(counts) / values.size, probability)


def pixel_ranks(values: npt.NDArray[np.float64], seed: int = 0) -> npt.NDArray[np.int64]:
    """(H, W): each pixel's place by value, 0 the largest; equal values in a random order drawn from the seed."""
    flat = values.ravel()
    shuffled = np.random.default_rng(seed).permutation(flat.size)
    order = shuffled[np.argsort(-flat[shuffled], kind="stable")]
    ranks = np.empty(flat.size, dtype=np.int64)
    ranks[order] = np.arange(flat.size)
    return ranks.reshape(values.shape)


def blurred(images: Tensor, blur: tuple[int, float] = BLUR) -> Tensor:
    """(n, c, h, w) → the same, blurred as the module says.

    Raises:
        InputError: if the window is not an odd number of pixels or σ is not above 0.
    """
    window, sigma = blur
    if window < 1 or window % 2 == 0 or not sigma > 0:
        raise InputError(f"A blur of window {window} and σ {sigma:g} cannot be made: an odd window and σ > 0 can.")
    kernel = _folded_gaussian(window, sigma).to(images.device, images.dtype)
    channels = images.shape[1]
    rows = kernel.view(1, 1, window, 1).expand(channels, 1, window, 1)
    columns = kernel.view(1, 1, 1, window).expand(channels, 1, 1, window)
    half = window // 2
    images = F.conv2d(images, rows, padding=(half, 0), groups=channels)
    return F.conv2d(images, columns, padding=(0, half), groups=channels)


def _folded_gaussian(window: int, sigma: float) -> Tensor:
    """The published code's kernel in one dimension: a point in the window's middle, blurred *within* the window.

    What the Gaussian (cut off at 4σ) puts beyond an edge is mirrored back at that edge, so the weights sum to 1.
    """
    reach = int(4 * sigma + 0.5)
    offsets = torch.arange(-reach, reach + 1, dtype=torch.float64)
    weights = torch.exp(-0.5 * (offsets / sigma) ** 2)
    # Of a symmetric kernel it makes no difference whether what leaves on one side is mirrored or enters on the other.
    places = (torch.arange(-reach, reach + 1) + window // 2) % window
    return torch.zeros(window, dtype=torch.float64).index_add_(0, places, weights / weights.sum())


def _between(start: Tensor, end: Tensor, ranks: Tensor, counts: list[int], batch: int) -> Iterator[tuple[int, Tensor]]:
    """The images with the first `counts` pixels of `end` and the rest of `start`, a batch at a time."""
    limits = torch.tensor(counts, device=ranks.device).view(-1, 1, 1, 1)
    for done in range(0, len(counts), batch):
        yield done, torch.where(ranks < limits[done : done + batch], end, start)
