"""Methods that take the gradient of the class's logit: captum's, at the image or at many images around it."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from spade_widgets.attribution.methods.query import BASELINES, Query, number, progress, spans, strongest, summed, whole
from spade_widgets.errors import InputError, ModelError
from spade_widgets.pruning.progress import Steps

#: Nodes of the Gauss-Legendre rule on one part of IntegratedGradients' path.
_NODES = 10


def saliency(query: Query, *, signed: bool) -> Steps[Tensor]:
    """The gradient at the image."""
    yield progress(0, 1)
    return strongest(_gradient(query.module(), query.x, query.target), signed)


def input_x_gradient(query: Query) -> Steps[Tensor]:
    """The gradient times the image."""
    from captum.attr import InputXGradient

    yield progress(0, 1)
    return summed(InputXGradient(query.module()).attribute(query.image(), target=query.target).detach())


def integrated_gradients(query: Query, *, steps: int, baseline: str, batch: int | None) -> Steps[Tensor]:
    """The mean gradient on the way from a baseline, times the difference.

    The way is cut into parts of ten steps or fewer, each captum's own integral of its part: they add up to the whole,
    and between two of them the work can be stopped.
    """
    from captum.attr import IntegratedGradients

    steps, size = whole("steps", steps), query.batch(batch)
    start = query.baseline(baseline)
    integral = IntegratedGradients(query.module())
    parts = -(-steps // _NODES)
    total = torch.zeros_like(query.x)
    done = 0
    for part in range(parts):
        nodes = steps * (part + 1) // parts - steps * part // parts
        ends = [torch.lerp(start, query.x, (part + i) / parts).requires_grad_() for i in (0, 1)]
        total += integral.attribute(
            ends[1],
            ends[0].detach(),
            target=query.target,
            n_steps=nodes,
            internal_batch_size=min(size, nodes),
        ).detach()
        done += nodes
        yield progress(done, steps)
    return summed(total)


def gradient_shap(
    query: Query, *, samples: int, noise: float, baselines: tuple[str, ...], batch: int | None
) -> Steps[Tensor]:
    """The mean over random points between random baselines and the image: gradient times difference."""
    samples, size = whole("samples", samples), query.batch(batch)
    strength = number("noise", noise)
    kinds = [query.baseline(kind) for kind in _listed(baselines)]
    draws = query.generator()
    picks = torch.randint(len(kinds), (samples,), generator=draws, device="cpu").tolist()
    alphas = torch.rand(samples, generator=draws, dtype=torch.float64, device="cpu").to(query.x).view(-1, 1, 1, 1)
    module = query.module()
    total = torch.zeros_like(query.x)
    for first, last in spans(samples, size):
        images = query.x + strength * _noise(query, last - first, draws)
        starts = torch.cat([kinds[pick] for pick in picks[first:last]])
        gradient = _gradient(module, torch.lerp(starts, images, alphas[first:last]), query.target)
        total += (gradient * (images - starts)).sum(0, keepdim=True)
        yield progress(last, samples)
    return summed(total / samples)


def smoothgrad(query: Query, *, samples: int, noise: float, signed: bool, batch: int | None) -> Steps[Tensor]:
    """The mean gradient over noisy copies of the image."""
    samples, size = whole("samples", samples), query.batch(batch)
    spread = number("noise", noise) * float(query.x.max() - query.x.min())
    draws, module = query.generator(), query.module()
    total = torch.zeros_like(query.x)
    for first, last in spans(samples, size):
        images = query.x + spread * _noise(query, last - first, draws)
        total += _gradient(module, images, query.target).sum(0, keepdim=True)
        yield progress(last, samples)
    return strongest(total / samples, signed)


def guided_backprop(query: Query, *, signed: bool) -> Steps[Tensor]:
    """The gradient, of which each rectifier lets the positive part through alone."""
    yield progress(0, 1)
    return strongest(guided_gradient(query), signed)


def guided_gradient(query: Query) -> Tensor:
    """(1, 3, h, w): zennit's guided backpropagation through the recorded network.

    Raises:
        ModelError: if the network has no rectifier.
    """
    from zennit.attribution import Gradient
    from zennit.composites import LayerMapComposite
    from zennit.rules import ReLUGuidedBackprop

    from spade_widgets.attribution.operations import Rectifier
    from spade_widgets.attribution.rewrite import record

    name = query.classifier.name
    recorded = record(query.module_in(query.x.dtype), query.x, name)
    kinds = (nn.ReLU, Rectifier)
    if not any(isinstance(call, kinds) for call in recorded.calls):
        raise ModelError(f"Guided backpropagation changes how ReLUs pass gradients, and {name} has none.")
    composite = LayerMapComposite([(kinds, ReLUGuidedBackprop())])
    with Gradient(model=recorded, composite=composite) as attributor:
        gradient: Tensor = attributor(query.image(), lambda logits: _one_hot(logits, query.target))[1]
    return gradient.detach()


def _one_hot(logits: Tensor, target: int) -> Tensor:
    chosen = torch.zeros_like(logits)
    chosen[:, target] = 1
    return chosen


def _gradient(module: nn.Module, images: Tensor, target: int) -> Tensor:
    """(n, 3, h, w): each image's gradient of the class's logit."""
    from captum.attr import Saliency

    gradient: Tensor = Saliency(module).attribute(images.detach().requires_grad_(), target=target, abs=False)
    return gradient.detach()


def _noise(query: Query, count: int, draws: torch.Generator) -> Tensor:
    """Standard normal noise, image after image, so that it does not depend on the batches."""
    shape = query.x.shape[1:]
    drawn = [torch.randn(shape, generator=draws, dtype=torch.float32, device="cpu") for _ in range(count)]
    return torch.stack(drawn).to(query.x)


def _listed(baselines: Any) -> tuple[str, ...]:
    listed = (baselines,) if isinstance(baselines, str) else tuple(baselines)
    if not listed:
        raise InputError(f"There is no baseline to draw from: {', '.join(map(repr, BASELINES))} can be chosen.")
    return listed
