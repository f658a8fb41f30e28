"""What a method promises its map to sum to, and whether the map that was made keeps it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from spade_widgets.attribution.methods import Method
from spade_widgets.attribution.methods.query import Query
from spade_widgets.errors import ModelError

#: From which error on it is said, and from which on the map means nothing; of what the map should sum to.
#: An integral of 50 steps is often off by a per cent of two logits' difference, since what speaks for a class and what
#: against it are each many times as large: of Σ|map| it is a few parts in ten thousand. It is said all the same, with
#: both shares, for the difference is what the method promises. No rule of 50 nodes does better for sure, since the
#: gradient jumps wherever a ReLU switches; more steps do, on the whole.
SAID, REFUSED = 0.01, 0.5
#: An integral's error is no flaw of the rules: its map is refused only where the error is a part of Σ|map| too. (The
#: difference of two logits may happen to be near zero.)
REFUSED_OF_MAGNITUDES = 0.05
#: Rounding in sums of shares that cancel, as a share of Σ|map|: float32's of some ten thousand values.
ROUNDING = 1e-6


class SumWarning(UserWarning):
    """A saliency map does not sum to what its method promises."""


def promised(method: Method, query: Query, options: Mapping[str, Any]) -> float | None:
    """What the map of a method must sum to; None where it promises nothing.

    DeepLIFT and Integrated Gradients promise what the logit differs by from the baseline's. LRP promises the logit,
    by the composites `epsilon_plus` and `epsilon_plus_flat` with biases that keep nothing; the others' rules lose
    relevance by their definition. GradientSHAP's sum is right in expectation only, so nothing is said of one map's.
    """
    if method.key in ("deeplift", "integrated_gradients"):
        return _logit(query, query.x) - _logit(query, query.baseline(options["baseline"]))
    if method.key == "lrp" and options["bias"] == "ignored" and options["composite"].startswith("epsilon_plus"):
        return _logit(query, query.x)
    return None


def kept(method: Method, query: Query, options: Mapping[str, Any], found: Tensor) -> str:
    """A sentence on how far the map's sum is off, where that is more than a per cent; else nothing.

    Args:
        found: (h, w), finite.

    Raises:
        ModelError: if it is so far off that the map means nothing.
    """
    whole = promised(method, query, options)
    if whole is None:
        return ""
    values = found.detach().double()
    total, magnitudes = float(values.sum()), float(values.abs().sum())
    error = abs(total - whole)
    if error <= max(SAID * abs(whole), ROUNDING * magnitudes):
        return ""
    integral = "steps" in options
    said = f"The map of {method.title} sums to {total:.4g} where it promises {whole:.4g}"
    if error > REFUSED * abs(whole) and (not integral or error > REFUSED_OF_MAGNITUDES * magnitudes):
        remedy = f"more steps than {options['steps']}, or another method" if integral else "another method"
        raise ModelError(f"{said} on {query.classifier.name}, so it would say nothing: choose {remedy}.")
    # What matters first: a caption has room for a few words, the rest is shown when it is pointed at.
    share = f"off by {error / abs(whole):.0%}" if whole else "off by all of it"
    remedy = f"more steps than {options['steps']} bring it closer" if integral else "read it with care"
    if integral and magnitudes:
        remedy += f" (the error is {error / magnitudes:.1g} of the sum of magnitudes)"
    return f"Sum {share}: t{said[1:]}; {remedy}."


def _logit(query: Query, x: Tensor) -> float:
    """The class's logit on one image, in float64 where the network can be run in it."""
    with torch.no_grad():
        try:
            return float(query.module_in(torch.float64)(x.double())[0, query.target])
        except Exception:  # noqa: BLE001 - an operation of float32 alone, such as fake quantisation
            return float(query.module()(x)[0, query.target])
