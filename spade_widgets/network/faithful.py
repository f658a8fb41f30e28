"""Whether copies of a model answer as the model does, found without running the model.

The reference is a copy that shares nothing with the model, not even weights. Two unlike images go through it one after
the other, as through the model in the user's own hands, and through a copy as every computation uses it, in the other
order. Whatever the model keeps of an image shows: in logits that depend on what was seen before, or in weights of the
reference that are no more the model's. That neither copy reaches into the model itself is checked where it is made.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from spade_widgets.errors import ModelError
from spade_widgets.network.copies import shared_copy, unwrapped


def check_copies(model: nn.Module, images: Tensor, name: str) -> nn.Module:
    """Whether a copy's logits are right, and the model's weights stay as they are.

    Args:
        model: the user's; it is read only.
        images: (2, c, h, w), unlike each other, as the model takes them.
        name: the model's, for errors.

    Returns:
        The copy that was tried: whatever it is given, it answers as a fresh one would.

    Raises:
        ModelError: if a forward pass writes into weights, or the logits of an image depend on those seen before, or
            the model cannot be copied, or is of TorchScript.
    """
    model = unwrapped(model)
    scripted = next((part for part in model.modules() if isinstance(part, torch.jit.ScriptModule)), None)
    if scripted is not None:
        raise ModelError(
            f"{name} is, or holds, a module of TorchScript, whose layers can be neither copied nor followed: give the "
            "nn.Module that it was made of, with its state dict."
        )
    reference = shared_copy(model, weights=False)
    one, two = images[:1], images[1:]
    first = _answers(reference, one, two)
    for (path, mine), theirs in zip(reference.named_parameters(), unwrapped(model).parameters(), strict=True):
        if not _same(mine, theirs):
            raise ModelError(
                f"{name} writes into its weights '{path}' in a forward pass, which would change your model: let it "
                "compute with a changed copy of them instead, or apply the change once, beforehand."
            )
    twin = shared_copy(model)
    if first is None:
        return twin  # it cannot be run on such images, of which the first look says why
    second = _answers(twin, two, one)
    if second is None or not all(_close(a, b) for a, b in zip(first, second[::-1], strict=True)):
        raise ModelError(
            f"{name} gives an image other logits after it has seen another one, so a copy of it cannot answer as it "
            "does: let its forward pass begin with nothing that an earlier one has left."
        )
    return twin


def _answers(module: nn.Module, *images: Tensor) -> list[list[Tensor]] | None:
    """The tensors that a module gives for images one after the other; None if it cannot be run on them."""
    found = []
    devices = [images[0].device] if images[0].is_cuda else []
    for image in images:
        with torch.random.fork_rng(devices), torch.no_grad():
            torch.manual_seed(0)  # a random model draws the same for each image
            try:
                out: object = module(image.clone())
            except Exception:  # noqa: BLE001 - whatever a user's forward raises
                return None
        found.append([tensor.detach().clone() for tensor in _tensors(out)])
    return found


def _tensors(out: object) -> list[Tensor]:
    if isinstance(out, Tensor):
        return [out]
    values = out.values() if isinstance(out, dict) else out if isinstance(out, tuple | list) else ()
    return [tensor for value in values for tensor in _tensors(value)]


def _close(some: list[Tensor], others: list[Tensor]) -> bool:
    def alike(a: Tensor, b: Tensor) -> bool:
        if a.shape != b.shape or a.dtype != b.dtype:
            return False
        if not (a.is_floating_point() and a.numel()):
            return torch.equal(a, b)
        a, b = a.double().nan_to_num(), b.double().nan_to_num()
        return bool((a - b).abs().max() <= 1e-3 * a.abs().max() + 1e-9)

    return len(some) == len(others) and all(alike(a, b) for a, b in zip(some, others, strict=True))


def _same(one: Tensor, other: Tensor) -> bool:
    # NaN is no other than NaN, and what was written over with its own values was not changed.
    return bool(torch.equal(one, other) or ((one == other) | (one.isnan() & other.isnan())).all())
