"""DeepLIFT: captum's, on the recorded network, with rules for what captum has none for."""

from __future__ import annotations

import warnings

import torch
from torch import Tensor

from spade_widgets.attribution.canonizers import unruly
from spade_widgets.attribution.methods.query import Query, progress, summed
from spade_widgets.attribution.operations import Curve, MaxPool, Norm, Product, Quotient
from spade_widgets.attribution.rewrite import Recorded, record
from spade_widgets.errors import ModelError
from spade_widgets.pruning.progress import Steps


def deeplift(query: Query, *, baseline: str) -> Steps[Tensor]:
    """What the logit differs by from the baseline's, distributed on the pixels by the rescale rule.

    In float64: the rule divides small differences, of which float32 leaves noise.
    """
    from spade_widgets.attribution.methods.deeplift_rules import RuledDeepLift, with_rules

    start = query.baseline(baseline).double()
    yield progress(0, 1)
    recorded = record(query.module_in(torch.float64), torch.cat([query.x.double(), start]), query.classifier.name)
    check(recorded, query.classifier.name)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="(?s)Setting forward, backward hooks")
        found: Tensor = RuledDeepLift(with_rules(recorded)).attribute(
            query.x.double().requires_grad_(), start, target=query.target
        )
    return summed(found.detach())


def check(recorded: Recorded, name: str) -> None:
    """Refuse a network with an operation that has no rule.

    Raises:
        ModelError: naming the operation.
    """
    if what := unruly(recorded, MaxPool, Curve, Norm, Product, Quotient):
        raise ModelError(
            f"DeepLIFT has no rule for {what}, which {name} computes: gradient and perturbation methods work on it."
        )
