"""Layer-wise relevance propagation: zennit's composites on the recorded network, with rules for every operation."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from spade_widgets.attribution.canonizers import find_gates, merge_batch_norms, unruly
from spade_widgets.attribution.methods.query import Query, one_of, progress, summed
from spade_widgets.attribution.operations import (
    AvgPool,
    BatchNorm,
    MaxPool,
    Norm,
    Pointwise,
    Rectifier,
    Scale,
    Squash,
    Sum,
)
from spade_widgets.attribution.rewrite import Recorded, record
from spade_widgets.errors import ModelError
from spade_widgets.pruning.progress import Steps

COMPOSITES = (
    "epsilon_plus", "epsilon_plus_flat", "epsilon_alpha2_beta1", "epsilon_alpha2_beta1_flat", "epsilon_gamma_box",
)  # fmt: skip
BIASES = ("ignored", "absorbing")


def lrp(query: Query, *, composite: str, bias: str) -> Steps[Tensor]:
    """The logit, handed back layer by layer to those who made it."""
    from zennit.attribution import Gradient

    one_of("composite", composite, COMPOSITES)
    one_of("bias", bias, BIASES)
    yield progress(0, 1)
    recorded = canonical(query)

    def seed(logits: Tensor) -> Tensor:
        chosen = torch.zeros_like(logits)
        chosen[:, query.target] = logits[:, query.target]
        return chosen

    with Gradient(model=recorded, composite=composite_of(query, composite, bias)) as attributor:
        relevance: Tensor = attributor(query.image(), seed)[1]
    return summed(relevance.detach())


def canonical(query: Query) -> Recorded:
    """The network as LRP needs it: recorded, batch norms merged, gates found.

    Raises:
        ModelError: if it has an operation without a rule, or cannot be recorded.
    """
    name = query.classifier.name
    recorded = record(query.module_in(query.x.dtype), query.x, name)
    find_gates(recorded)
    merge_batch_norms(recorded)
    if what := unruly(recorded, MaxPool, Norm):
        raise ModelError(
            f"LRP has no rule for {what}, which {name} computes: gradient and perturbation methods work on it."
        )
    return recorded


def composite_of(query: Query, name: str, bias: str) -> Any:
    """zennit's composite of that name, with rules for what it knows none for."""
    from zennit.composites import COMPOSITES as REGISTERED
    from zennit.rules import ZPlus
    from zennit.types import Convolution

    from spade_widgets.attribution.methods.lrp_rules import PassOn, conserving_epsilon, conserving_z_plus, shares

    ignored = bias == "ignored"
    zero = ["bias"] if ignored else None
    plus = conserving_z_plus() if ignored else ZPlus()
    layer_map: list[tuple[tuple[type, ...], Any]] = [
        # Layer norm passes relevance as it is (Achtibat et al., "AttnLRP", ICML 2024, proposition 3.4). So does every
        # function of single values, and every batch norm left: a scale, and a shift that takes no share.
        ((Rectifier, Squash, Norm, BatchNorm, Scale), PassOn()),
        ((Sum, AvgPool), shares()),
        ((Pointwise,), plus),
    ]
    if ignored:
        layer_map.append(((nn.Linear,), conserving_epsilon()))
    if name.startswith("epsilon_plus"):
        layer_map.append(((Convolution,), plus))
    limits = {}
    if name == "epsilon_gamma_box":
        limits = {"low": query.baseline("black"), "high": query.baseline("white")}
    return REGISTERED[name](layer_map=layer_map, zero_params=zero, **limits)
