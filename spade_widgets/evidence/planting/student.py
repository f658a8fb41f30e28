"""The copy that is fine-tuned, and which of its weights are."""

from __future__ import annotations

import contextlib
import copy
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from spade_widgets.classifier import ImageClassifier
from spade_widgets.errors import ModelError
from spade_widgets.network.weights import weight
from spade_widgets.pruning.plans.plan import Patterns, matching

#: The share of the layers, counted from the first, that stays as it is by default.
KEPT = 0.25


def trained_layers(classifier: ImageClassifier, layers: Patterns | None) -> tuple[str, ...]:
    """The layers whose weights and biases are fine-tuned; all others stay, and so does every normalisation.

    By default all but the first quarter: those see edges and colours, which patches have as photographs do, and their
    large maps take most of the time of a step.

    Raises:
        InputError: if a pattern matches no layer that can be pruned.
    """
    names = classifier.prunable()
    if layers is not None:
        return matching(names, layers)
    return names[round(KEPT * len(names)) :]


@dataclass(frozen=True, eq=False)
class Student:
    """A copy with storage of its own, in eval mode: no statistics change, nothing is dropped out.

    Attributes:
        module: the copy, in float32 or better.
        parameters: name → those that are fine-tuned; only they have gradients.
    """

    module: nn.Module
    parameters: dict[str, nn.Parameter]

    @staticmethod
    def of(classifier: ImageClassifier, layers: tuple[str, ...]) -> Student:
        """A student that is still the original.

        Raises:
            ModelError: if there is nothing to train.
        """
        module = copy.deepcopy(classifier.module())
        if classifier.dtype in (torch.float16, torch.bfloat16):
            module.float()
        _channels_last(module)
        names = {id(parameter): name for name, parameter in module.named_parameters()}
        weights = [weight(module, layer) for layer in layers]
        owners = {id(w) for w in weights}
        chosen = {}
        for part in module.modules():
            own = list(part._parameters.values())
            for parameter in own:
                # A layer's bias goes with its weight; attention's are apart: each weight is one, its biases stay.
                with_weight = part._parameters.get("bias") is parameter and id(part._parameters.get("weight")) in owners
                if parameter is not None and (id(parameter) in owners or with_weight):
                    chosen[names[id(parameter)]] = parameter
        if not chosen:
            raise ModelError(f"{classifier.name} has no weights that could be trained.")
        for parameter in chosen.values():
            parameter.requires_grad_(True)
        return Student(module, dict(sorted(chosen.items())))

    def state(self, average: dict[str, Tensor]) -> dict[str, Tensor]:
        """The state dict with averaged weights, rounded to float16, so that files of half the size hold them exactly.

        What float16 cannot hold stays as it is.
        """
        found: dict[str, Tensor] = {}
        places = {id(parameter): average[name] for name, parameter in self.parameters.items()}
        for key, tensor in self.module.state_dict(keep_vars=True).items():
            value = places.get(id(tensor))
            if value is None:
                found[key] = tensor.detach().contiguous()
            else:
                halved = value.half().to(value.dtype)
                found[key] = (halved if bool(halved.isfinite().all()) else value).contiguous()
        return found


def original(classifier: ImageClassifier) -> nn.Module:
    """The original, to learn from: a copy in the type that the student computes in."""
    module = classifier.module()
    if classifier.dtype in (torch.float16, torch.bfloat16):
        module = copy.deepcopy(module).float()
    _channels_last(module)
    return module


def _channels_last(module: nn.Module) -> None:
    """Four-dimensional weights in the layout in which convolutions are quickest here; storage becomes the module's."""
    for parameter in module.parameters():
        if parameter.ndim == 4:
            parameter.data = parameter.detach().contiguous(memory_format=torch.channels_last)


@contextlib.contextmanager
def quick(classifier: ImageClassifier) -> Iterator[None]:
    """Products in bfloat16 where the processor does them quickly, whatever the caller's own modes are.

    Only to be held within one step: never while a computation is handed back to who runs it.
    """
    device = classifier.device.type
    short = classifier.dtype != torch.float64 and _bfloat16(device)
    with torch.inference_mode(False), torch.enable_grad(), torch.autocast(device, torch.bfloat16, enabled=short):
        yield


def _bfloat16(device: str) -> bool:
    if device == "cpu":
        return bool(torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported())
    return device == "cuda" and torch.cuda.is_bf16_supported()
