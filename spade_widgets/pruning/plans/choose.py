"""`solver="auto"`: the best solver whose result a user will wait for, by what it is known to take.

Best is what leaves the least error: `refined` before `fast` (`exact` leaves more than `refined` and takes longer). The
time is estimated from shapes and counts with the rates below, never measured: the same call chooses the same solver on
every machine of a kind, however busy.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch

from spade_widgets.classifier import ImageClassifier
from spade_widgets.errors import InputError
from spade_widgets.network.products import Watch
from spade_widgets.network.weights import Product, weight
from spade_widgets.pruning.sequential import walk
from spade_widgets.pruning.solvers import SOLVERS

#: What a user writes for the solver to have it chosen.
AUTO = "auto"
#: What is chosen from, the best first; the last one is taken where no one is fast enough.
CANDIDATES = ("refined", "fast")
#: Those that drop weight after weight, and meet every sparsity on the way.
ONE_PASS = ("exact",)
#: Seconds that a user is taken to wait where none are said.
WAIT = 10.0
#: Seconds from which on a user is told beforehand what a trace will take.
LONG = 30.0


@dataclass(frozen=True)
class Rates:
    """What a kind of device takes, in seconds.

    Attributes:
        pixel: for making one augmentation, of each of its pixels.
        output: for each number that a layer of a forward pass gives, with what follows it (normalisation, ReLU).
        product: for a multiplication and addition of a forward pass or of a Gram matrix.
        layer, column: of a solver, for each layer, and for each column of its weight: what does not depend on size.
        factor: of a solver, for each of the c³ parts of what it makes of H, with c columns.
        weight: of a solver, for each of the rows · c² parts of a sparsity; of those in `ONE_PASS`, of all together.
    """

    pixel: float
    output: float
    product: float
    layer: dict[str, float]
    column: dict[str, float]
    factor: dict[str, float]
    weight: dict[str, float]


#: Of one processor core with AVX-512, measured on layers of 10 to 2048 rows and 128 to 2304 columns.
_CORE = Rates(
    pixel=4e-7,
    output=4e-9,
    product=2e-11,
    layer={"fast": 0.01, "refined": 0.03, "exact": 0.03, "magnitude": 0.0},
    column={"fast": 1e-4, "refined": 1e-4, "exact": 1e-4, "magnitude": 0.0},
    factor={"fast": 2e-11, "refined": 3.5e-11, "exact": 1e-10, "magnitude": 0.0},
    weight={"fast": 8e-11, "refined": 6e-10, "exact": 5e-8, "magnitude": 0.0},
)
#: Others are taken to do products 20 times as fast and to start as many a second: not measured.
_ACCELERATOR = Rates(
    pixel=_CORE.pixel,
    output=_CORE.output / 20,
    product=_CORE.product / 20,
    layer=_CORE.layer,
    column=_CORE.column,
    factor={name: rate / 20 for name, rate in _CORE.factor.items()},
    weight={name: rate / 20 for name, rate in _CORE.weight.items()},
)


def choices() -> tuple[str, ...]:
    """What can be asked for as a solver."""
    return (AUTO, *SOLVERS)


def resolve(
    solver: str,
    classifier: ImageClassifier,
    layers: Sequence[str],
    *,
    sparsities: int = 1,
    augmentations: int = 256,
    sequential: bool = False,
    wait: float = WAIT,
) -> str:
    """The solver's name; for `"auto"` that of the one chosen.

    Args:
        layers: the pruned ones.
        sparsities: at how many each is solved.
        augmentations: of the calibration.
        sequential: whether the network is walked block by block.
        wait: seconds that a user will wait, above 0.

    Raises:
        InputError: for a time that is none.
    """
    seconds = check_wait(wait)
    if solver != AUTO:
        return solver
    blocks = len(walk(classifier, layers)) if sequential else 0
    for name in CANDIDATES[:-1]:
        if estimate(name, classifier, layers, sparsities, augmentations, blocks) <= seconds:
            return name
    return CANDIDATES[-1]


def check_wait(wait: Any) -> float:
    """The seconds as a float.

    Raises:
        InputError: if they are no number above 0.
    """
    try:
        seconds = float(wait)
    except (TypeError, ValueError):
        seconds = math.nan
    if not seconds > 0:
        raise InputError(f"The time to wait is {wait!r}: a number of seconds above 0 is accepted.")
    return seconds


def estimate(
    solver: str, classifier: ImageClassifier, layers: Sequence[str], sparsities: int, augmentations: int, blocks: int
) -> float:
    """About how many seconds a trace takes with a solver, on a device of the classifier's kind.

    `blocks`: in how many the network is walked for a sequential trace; 0 for a plain one.
    """
    rates = _CORE if classifier.device.type == "cpu" else _ACCELERATOR
    work = _work(classifier, layers)
    # Block by block, both networks run on average half way, and the matrices of both inputs have four times the size.
    passes, grams = max(1, blocks), 4 if blocks else 1
    once = rates.output * work.outputs + rates.product * work.products
    pixels = math.prod(classifier.input_size)
    images = augmentations * (rates.pixel * pixels + passes * once + grams * rates.product * work.grams)
    module = classifier.module()
    sweeps = 1 if solver in ONE_PASS else sparsities
    solving = 0.0
    for name in layers:
        rows, columns = weight(module, name).flatten(1).shape
        once = rates.layer[solver] + rates.column[solver] * columns + rates.factor[solver] * columns**3
        solving += once + sweeps * rates.weight[solver] * rows * columns**2
    return images + solving


def spoken(seconds: float) -> str:
    """A time as one says an estimate of it: "40 s", "4 min", "2 h"."""
    for unit, length in (("h", 3600.0), ("min", 60.0)):
        if seconds >= 1.5 * length:
            return f"{seconds / length:.0f} {unit}"
    return f"{max(1.0, seconds):.0f} s"


@dataclass
class _Work:
    """For one image: a forward pass's multiplications and its layers' outputs, and multiplications of Gram matrices."""

    products: float = 0
    outputs: float = 0
    grams: float = 0


def _work(classifier: ImageClassifier, layers: Sequence[str]) -> _Work:
    work = _Work()

    def count(name: str, product: Product) -> None:
        positions = _positions(product)
        work.products += positions * product.weight.numel()
        work.outputs += positions * len(product.weight)
        if name in layers:  # one half of a symmetric matrix
            work.grams += positions * product.groups * product.weight[0].numel() ** 2 / 2

    module = classifier.module()
    height, width = classifier.input_size
    blank = classifier.normalize(torch.full((1, len(classifier.mean), height, width), 0.5))
    with torch.no_grad(), Watch(module, count):
        module(blank)
    return work


def _positions(product: Product) -> int:
    """How many columns a product's input has."""
    if not product.stride:
        return math.prod(product.input.shape[:-1])
    sizes = product.input.shape[-len(product.stride) :]
    spans = zip(sizes, product.weight.shape[2:], product.stride, product.padding, product.dilation, strict=True)
    outputs = [(size + 2 * pad - gap * (kernel - 1) - 1) // stride + 1 for size, kernel, stride, pad, gap in spans]
    return len(product.input) * math.prod(outputs)
