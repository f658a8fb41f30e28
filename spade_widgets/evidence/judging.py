"""The metrics by key, as `evaluate` and `tune` ask for them. A new one is one function and one line in the registry."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from spade_widgets.errors import InputError
from spade_widgets.evidence.curves import BLUR, STEPS, Mode, curve_steps
from spade_widgets.evidence.metrics import Map, fidelity, pointing_game, trojan_auc
from spade_widgets.prediction import Network
from spade_widgets.pruning.progress import Steps
from spade_widgets.sample import Mask, Sample


@dataclass(frozen=True)
class How:
    """The metrics' settings. See `trojan_auc` and `curve_steps`."""

    absolute: bool = True
    steps: int = STEPS
    seed: int = 0


@dataclass(frozen=True, eq=False)
class Judged:
    """What a metric is given: a network's map of a sample for a class, and where the mask lies.

    Attributes:
        saliency: (H, W); None for metrics that need no map.
        mask: (H, W), where the model sees it; None for metrics that need none.
    """

    network: Network
    sample: Sample
    target: int
    saliency: Map | None
    mask: Mask | None
    how: How

    @property
    def map(self) -> Map:
        """The map, which this metric needs."""
        assert self.saliency is not None
        return self.saliency

    @property
    def area(self) -> Mask:
        """The mask, which this metric needs."""
        assert self.mask is not None
        return self.mask


@dataclass(frozen=True)
class Metric:
    """A metric.

    Attributes:
        key, title, description: its name in code, in tables, and what it says in a sentence.
        measure: yields its progress, returns the number.
        settings: what of `How` it depends on; JSON.
        higher: whether more is better.
        share: whether it lies in 0…1 and is printed in per cent.
        needs_map, needs_mask: what it judges.
    """

    key: str
    title: str
    description: str
    measure: Callable[[Judged], Steps[float]]
    settings: Callable[[How], dict[str, Any]]
    higher: bool = True
    share: bool = True
    needs_map: bool = True
    needs_mask: bool = False


def _trojan_auc(judged: Judged) -> Steps[float]:
    yield from ()
    return trojan_auc(judged.map, judged.area, absolute=judged.how.absolute)


def _pointing(judged: Judged) -> Steps[float]:
    yield from ()
    return pointing_game(judged.map, judged.area, absolute=judged.how.absolute)


def _curve(mode: Mode) -> Callable[[Judged], Steps[float]]:
    def measure(judged: Judged) -> Steps[float]:
        how = judged.how
        steps = curve_steps(
            mode,
            judged.network,
            judged.sample,
            judged.map,
            judged.target,
            steps=how.steps,
            absolute=how.absolute,
            seed=how.seed,
        )
        return (yield from steps).auc

    return measure


def _same_class(judged: Judged) -> Steps[float]:
    yield from ()
    return float(fidelity(judged.network, judged.sample).agrees)


def _kl(judged: Judged) -> Steps[float]:
    yield from ()
    return fidelity(judged.network, judged.sample).kl


def _ranked(how: How) -> dict[str, Any]:
    return {"absolute": how.absolute}


def _walked(how: How) -> dict[str, Any]:
    return {"absolute": how.absolute, "steps": how.steps, "seed": how.seed, "blur": list(BLUR)}


def _nothing(how: How) -> dict[str, Any]:  # noqa: ARG001
    return {}


METRICS: dict[str, Metric] = {
    metric.key: metric
    for metric in (
        Metric(
            "trojan_auc", "Trojan AUC", "ROC AUC of the absolute map against the patch's mask.",
            _trojan_auc, _ranked, needs_mask=True,
        ),
        Metric(
            "pointing_game", "Pointing game", "Whether the map's largest value lies in the mask.",
            _pointing, _ranked, needs_mask=True,
        ),
        Metric(
            "insertion", "Insertion AUC", "The dense probability as pixels come back into a blurred image (RISE).",
            _curve("insertion"), _walked,
        ),
        Metric(
            "deletion", "Deletion AUC", "The dense probability as pixels are set to the mean colour (RISE).",
            _curve("deletion"), _walked, higher=False,
        ),
        Metric(
            "same_class", "Same class", "Whether the network names the dense network's class; needs no map.",
            _same_class, _nothing, needs_map=False,
        ),
        Metric(
            "kl", "KL to dense", "Kullback-Leibler divergence from the dense output, in nats; needs no map.",
            _kl, _nothing, higher=False, share=False, needs_map=False,
        ),
    )
}  # fmt: skip


def metrics(keys: Sequence[str]) -> tuple[Metric, ...]:
    """The metrics of these keys, each once.

    Raises:
        InputError: if there is none, or one does not exist.
    """
    if not keys:
        raise InputError(f"There is no metric to judge by: {', '.join(METRICS)} can be chosen.")
    for key in keys:
        if key not in METRICS:
            raise InputError(f"There is no metric '{key}': {', '.join(METRICS)} can be chosen.")
    return tuple(METRICS[key] for key in dict.fromkeys(keys))
