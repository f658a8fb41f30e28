"""LRP rules made of zennit's parts, for where zennit's own lose relevance or blow it up."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from zennit.core import BasicHook, Hook, ParamMod
from zennit.rules import ClampMod, NoMod

#: What zennit keeps its denominators off zero by.
_STABILIZER = 1e-6
#: Less, where the root mean square of a layer's signals is weaker than this: a millionth of that in the end. Signals of
#: an untrained network may vanish, and its relevance would be lost to an absolute number.
_WEAK = 1e-2
#: And where all of a layer is zero.
_LEAST = 1e-20


class PassOn(Hook):  # type: ignore[misc]  # zennit ships no types
    """zennit's Pass, for modules too whose autograd node has further outputs (a norm's statistics)."""

    def backward(
        self, module: nn.Module, grad_input: tuple[Tensor, ...], grad_output: tuple[Tensor, ...]
    ) -> tuple[Tensor, ...]:
        """The relevance of the output, as it is."""
        del module, grad_input
        return grad_output[:1]


def shares() -> BasicHook:
    """To each summand by its magnitude: for shortcuts and average pooling.

    On what ReLUs leave it is zennit's own rule. Where the summands have both signs, dividing by their sum would blow
    relevance up (Otsuki et al., "Layer-wise relevance propagation with conservation property for ResNet", ECCV 2024:
    ratio-based splitting).
    """
    return BasicHook(
        input_modifiers=[torch.abs],
        param_modifiers=[NoMod(param_keys=[])],
        gradient_mapper=lambda relevance, outputs: [relevance / _off_zero(output) for output in outputs],
    )


def conserving_z_plus() -> BasicHook:
    """zennit's ZPlus without bias, which hands down a layer's whole relevance.

    An output may be positive for its bias alone, with no positive contribution to it, and ZPlus drops its relevance. In
    depthwise convolutions, which see few inputs, that is common: MobileNetV2 would lose all but a thousandth. Here it
    goes to the layer's other outputs, in proportion to their relevance, positive and negative apart. (Spread evenly
    over the inputs, as Bach et al. 2015 do with a bias's share, it lays a veil over the map.)
    """
    return BasicHook(
        input_modifiers=[lambda x: x.clamp(min=0), lambda x: x.clamp(max=0)],
        param_modifiers=[ClampMod(min=0.0, zero_params=["bias"]), ClampMod(max=0.0, zero_params=["bias"])],
        output_modifiers=[_as_is] * 2,
        gradient_mapper=_handed_down,
        reducer=lambda inputs, gradients: sum(x * g for x, g in zip(inputs, gradients, strict=True)),
    )


def conserving_epsilon() -> BasicHook:
    """zennit's Epsilon, with a bias's share given to the inputs by the magnitudes of what they contribute.

    To leave the bias out of the sum that divides would blow up the relevance of outputs that are mostly bias.
    """
    return BasicHook(
        input_modifiers=[_as_is, _as_is, torch.abs],
        param_modifiers=[
            NoMod(),
            NoMod(zero_params=["bias"]),
            ParamMod(lambda parameter, _name: parameter.abs(), zero_params=["bias"]),
        ],
        output_modifiers=[_as_is] * 3,
        gradient_mapper=_with_bias_shared,
        reducer=lambda inputs, gradients: sum(x * g for x, g in zip(inputs[1:], gradients[1:], strict=True)),
    )


def _with_bias_shared(relevance: Tensor, outputs: list[Tensor]) -> list[Tensor]:
    output, contributed, magnitude = outputs
    share = relevance / _off_zero(output)
    biases = torch.where(magnitude > 0, share * (output - contributed) / magnitude, 0)
    return [torch.zeros_like(output), share, biases]


def _off_zero(output: Tensor) -> Tensor:
    return output + torch.where(output < 0, -1, 1) * _least(output)


def _least(output: Tensor) -> Tensor:
    size = output.square().mean(tuple(range(1, output.ndim)), keepdim=True).sqrt()
    return (_STABILIZER * torch.maximum(size, (size / _WEAK).square())).clamp(_LEAST, _STABILIZER)


def _as_is(output: Tensor) -> Tensor:
    return output


def _handed_down(relevance: Tensor, outputs: list[Tensor]) -> list[Tensor]:
    positive = outputs[0] + outputs[1]
    has_inputs = positive > _least(positive)
    dims = tuple(range(1, relevance.ndim))
    total = torch.zeros_like(relevance)
    for part in (relevance.clamp(min=0), relevance.clamp(max=0)):
        kept = torch.where(has_inputs, part, 0)
        share = kept.sum(dims, keepdim=True)
        total += kept * torch.where(share != 0, part.sum(dims, keepdim=True) / share, 0)
    gradient = torch.where(has_inputs, total / positive, 0)
    return [gradient, gradient]
