"""The first look at a model: what it gives, and whether its images are independent, found by running copies of it."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from spade_widgets.errors import ModelError, described
from spade_widgets.network.answers import Answer, is_sigmoid, kind_of, picked, place_of, rows, without_last
from spade_widgets.network.independence import among_others
from spade_widgets.network.products import Survey
from spade_widgets.network.weights import replace_weights, weight
from spade_widgets.network.wrapping import of_input, of_output, of_sigmoids

#: A fresh copy of the model.
Fresh = Callable[[], nn.Module]


def look(
    module: nn.Module, gave: list[object], fresh: Fresh, blank: Tensor, noise: Tensor, name: str
) -> tuple[Answer, Tensor]:
    """How logits are had from what the model gives, and those of the first image, (1, classes).

    Args:
        module: a copy of the model that answers alike however often it is run.
        gave: what the model gives for the two images, where that is known; else empty.
        fresh: more copies, to be changed.
        blank, noise: two unlike images (1, c, h, w), as the model takes them.
        name: the model's, for errors.

    Raises:
        ModelError: if the model cannot be run on the first, or gives on it nothing that logits can be had from.
    """
    out: object
    known = len(gave) == 2
    try:
        with torch.no_grad():
            out = gave[0] if known else module(blank)
    except Exception as error:  # whatever the user's own forward raises
        h, w = blank.shape[2:]
        failed = f"{name} cannot be run on an image of {h} × {w} px: {described(error)}"
        raise ModelError(f"{failed}{of_input(module, blank)}.") from error
    place = place_of(out)
    found = rows(picked(out, place), 1)
    if found is None:
        kind = "" if not isinstance(out, Tensor) or out.is_floating_point() else f"{str(out.dtype)[6:]} "
        shape = f"a {kind}tensor of shape {tuple(out.shape)}" if isinstance(out, Tensor) else f"a {type(out).__name__}"
        raise ModelError(
            f"{name} is not an image classifier: it gives {shape} instead of {'floating-point ' if kind else ''}logits "
            f"(1, classes){of_output(out)}."
        )
    if not bool(torch.isfinite(found).all()):
        raise ModelError(
            f"{name} gives NaN or infinite logits on a grey image{_broken(module)}, so nothing can be said about it."
        )
    other = rows(picked(gave[1], place), 1) if known else _numbers(module, noise, place)
    values = [found, *([other] if other is not None and other.shape == found.shape else [])]
    kind = kind_of(torch.cat(values), lambda: _squashes(module, fresh, blank, place))
    if kind == "sigmoids":
        raise ModelError(of_sigmoids(name))
    with torch.no_grad():
        arranged = picked(out, place).shape != found.shape
        answer = Answer(place, kind, arranged)
        if answer != Answer():
            answer = without_last(answer, fresh(), blank)
        if answer != Answer():
            found = answer.attach(fresh())(blank)
    return answer, found


def independent(fresh: Fresh, blank: Tensor, noise: Tensor, alone: Tensor) -> bool:
    """Whether the first image's logits are the same among others as they are alone.

    Args:
        fresh: copies that answer with logits.
        blank, noise: as for `look`.
        alone: (1, classes), the logits of the first.
    """

    def run(images: Tensor) -> object:
        with torch.no_grad():
            return fresh()(images)

    return among_others(run, torch.cat([blank, noise]), alone)


def _numbers(module: nn.Module, image: Tensor, place: str | int | None, *, gradient: bool = False) -> Tensor | None:
    """What the model gives for an image, (1, k), with its history where it has one; None where it is something else."""
    with torch.inference_mode(False), torch.set_grad_enabled(gradient):
        x = image.clone().requires_grad_(gradient)
        return rows(picked(module(x * 1), place), 1)  # not the leaf itself: a model may write into its input


def _squashes(module: nn.Module, fresh: Fresh, image: Tensor, place: str | int | None) -> bool:
    """Whether a model cannot give numbers outside of 0…1.

    It ends in a sigmoid, or in something like it: whatever its last layer gives, a thousandfold of either sign, stays
    between them. (What is only rectified, or a tanh, does not.)
    """
    if is_sigmoid(_numbers(module, image, place, gradient=True)):
        return True
    before = _numbers(module, image, place)
    for factor in (1000, -1000):
        copy = fresh()
        with torch.no_grad(), Survey(copy) as survey:
            copy(image)
        names = survey.prunable()
        if not names:
            return False
        with torch.no_grad():
            owner = _scaled(copy, names[-1], factor)
            if isinstance(bias := getattr(owner, "bias", None), nn.Parameter):
                owner.bias = nn.Parameter(bias * factor, requires_grad=False)
        after = _numbers(copy, image, place)
        if after is None or before is None or torch.equal(after, before):
            return False
        if not bool(((after >= 0) & (after <= 1)).all()):
            return False
    return True


def _scaled(copy: nn.Module, layer: str, factor: float) -> nn.Module:
    """The module that holds a layer's weight, which is so many times as large now."""
    replace_weights(copy, {layer: weight(copy, layer) * factor})
    named: dict[str, nn.Module] = dict(copy.named_modules())
    return named[layer] if layer in named else named[layer.rpartition(".")[0]]


def _broken(model: nn.Module) -> str:
    """Which of the model's tensors is to blame for NaN. In itself −inf is fine: masks and observers hold it."""
    for kind, tensors in (("weights", model.named_parameters()), ("buffers", model.named_buffers())):
        for name, tensor in tensors:
            if tensor.is_floating_point() and not bool(torch.isfinite(tensor).all()):
                return f": its {kind} '{name}' hold NaN or infinite values"
    return ""
