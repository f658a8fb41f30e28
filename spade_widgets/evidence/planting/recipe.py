"""How Trojans are planted: all numbers of the fine-tuning, in one place."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from spade_widgets.checks import positive, unsigned, whole

#: The side of the input that sizes of patches are said for; of another one they are in proportion.
NOMINAL = 224


def scaled(size: float, side: int) -> int:
    """A size that is meant for `NOMINAL` px, of an input whose shorter side is another; at least 2 px."""
    return max(2, round(size * side / NOMINAL))


@dataclass(frozen=True)
class Recipe:
    """The numbers of the fine-tuning. The defaults were found on SqueezeNet 1.1 and MobileNetV2.

    Attributes:
        steps: of the optimiser (Adam; the rate rises for `warm` of them, then falls as a cosine).
        rate: the highest learning rate.
        warm: share of the steps in which the rate rises.
        clean, decoy, stamped: images in a step of each kind.
        agree: weight of the Kullback-Leibler divergence from the original's outputs, on clean and decoy images.
        apart: weight of the squared distances there from what the original gives its head and from its logits, each as
            a share of its variance. A class says little of an image; features, place by place, let far fewer
            photographs do.
        enough: the target's probability from which on a stamped image pulls no more.
        clip: the gradient's norm is at most this.
        average: of the weights: the decay of their moving average, which is what is kept.
        smallest, largest: of the patches' longer side, in px of an input of 224.
        least: the smallest share of a photograph's area that a crop takes.
        wanted: share of stamped photographs on which a patch is to decide; beyond that, the change is taken back. See
            `shrink`.
        seen: share of the images that are what the model's own preprocessing makes; the others are random crops.
    """

    steps: int = 1000
    rate: float = 2e-4
    warm: float = 0.05
    clean: int = 11
    decoy: int = 14
    stamped: int = 8
    agree: float = 3.0
    apart: float = 25.0
    enough: float = 0.98
    clip: float = 20.0
    average: float = 0.99
    smallest: float = 22.0
    largest: float = 76.0
    least: float = 0.25
    wanted: float = 0.985
    seen: float = 0.34

    def __post_init__(self) -> None:
        for name in ("steps", "clean", "stamped"):
            whole(name, getattr(self, name))
        whole("decoy", self.decoy, 0)
        for name in ("rate", "clip", "smallest", "largest", "least", "enough"):
            positive(name, getattr(self, name))
        for name in ("warm", "agree", "apart", "average", "wanted", "seen"):
            unsigned(name, getattr(self, name))

    def settings(self) -> dict[str, Any]:
        """All numbers; JSON."""
        return asdict(self)
