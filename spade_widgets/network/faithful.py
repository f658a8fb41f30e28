"""Whether copies of a model answer as the model does, found without running the model.

The reference is a copy that shares nothing with the model, not even weights. Two unlike images go through it one after
the other, as through the model in the user's own hands, and through a copy as every computation uses it, in the other
order. Whatever the model keeps of an image shows: in logits that depend on what was seen before, in weights of the
reference that are no more the model's, or in what its class keeps. That neither copy reaches into the model itself is
checked where it is made.
"""

from __future__ import annotations

import logging
import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from spade_widgets.errors import ModelError
from spade_widgets.network.copies import shared_copy, unwrapped
from spade_widgets.network.outside import Outside, marks
from spade_widgets.network.random_numbers import own_random_numbers

log = logging.getLogger(__name__)

#: How often a model is run that keeps something of its forward passes: what it keeps may come into play later on.
RUNS = 24
#: How many draws a model is given that makes random numbers.
DRAWS = 8


def check_copies(model: nn.Module, images: Tensor, name: str, outside: Outside) -> tuple[nn.Module, list[object]]:
    """Whether a copy's logits are right, and the model's weights stay as they are.

    Args:
        model: the user's; it is read only.
        images: (2, c, h, w), unlike each other, as the model takes them.
        name: the model's, for errors.
        outside: what the model's classes keep.

    Returns:
        The copy that was tried, which answers as a fresh one would whatever it is given; and what a copy gave for each
        of the images, empty where it cannot be run on them.

    Raises:
        ModelError: if a forward pass writes into weights, or leaves tensors in what copies share with the model; if the
            logits of an image depend on those seen before, or on chance; if the model cannot be copied.
    """
    model = unwrapped(model)
    reference = shared_copy(model, weights=False, outside=outside.shared)
    before = marks(reference)
    with _chance(images) as drew:
        first = _answers(reference, images)
        drawn = drew()
    written = outside.check()
    _check_weights(reference, model, name)
    keeps = bool(written) or marks(reference) != before
    if first is not None:
        if drawn:
            _check_draws(reference, images, name)
        if keeps:
            same = _same_for_long(reference, images, first)
            _check_weights(reference, model, name)
            if not same:
                raise _remembers(name)
    if written:
        log.warning("%s writes into %s, which its copies share with it.", name, ", ".join(written))
    twin = shared_copy(model, outside=outside.shared)
    if first is None:
        return twin, []  # it cannot be run on such images, of which the first look says why
    # Where nothing is kept, nothing can be remembered: one image is enough.
    order = [1, 0] if keeps or drawn else [1]
    with _chance(images):
        second = _answers(twin, images[order])
    if second is None or not all(_close(first[i], answer) for i, answer in zip(order, second, strict=True)):
        raise _remembers(name)
    return twin, [given.out for given in first if _alike(_tensors(given.out), given.tensors)]


def _check_weights(reference: nn.Module, model: nn.Module, name: str) -> None:
    """Whether a copy's weights are still the model's."""
    mine = dict(reference.named_parameters())
    for path, theirs in model.named_parameters():
        ours = mine.get(path.replace("_orig_mod.", ""))
        if ours is None or not _same(ours, theirs):
            raise ModelError(
                f"{name} writes into its weights '{path}' in a forward pass, which would change your model: let it "
                "compute with a changed copy of them instead, or apply the change once, beforehand."
            )


def _check_draws(reference: nn.Module, images: Tensor, name: str) -> None:
    """Whether logits are the same whatever random numbers are drawn. (Yet a batch may be shuffled.)

    Raises:
        ModelError: if not.
    """
    with _chance(images):
        found = [_answers(reference, images, seed) for seed in range(DRAWS)]
    first = found[0]
    if first is None or not all(f is not None and all(map(_close, first, f)) for f in found):
        raise ModelError(
            f"{name} gives the same image other logits at every call, by random numbers that its forward pass draws "
            "(a dropout that is left on, noise), so nothing can be said of its answer: take them out in eval mode."
        )


def _same_for_long(reference: nn.Module, images: Tensor, first: list[_Given]) -> bool:
    """Whether a model that keeps something of each pass goes on to answer as at first."""
    with _chance(images):
        for turn in range(RUNS):
            found = _answer(reference, images[turn % 2 : turn % 2 + 1])
            if found is None or not _close(first[turn % 2], found):
                return False
    return True


def _remembers(name: str) -> ModelError:
    return ModelError(
        f"{name} gives an image other logits after it has seen another one, so a copy of it cannot answer as it "
        "does: let its forward pass begin with nothing that an earlier one has left."
    )


@dataclass(frozen=True)
class _Given:
    """What a module gave for an image, and its tensors as they were then: a later pass may write into them."""

    out: object
    tensors: list[Tensor]


@contextmanager
def _chance(images: Tensor) -> Iterator[Callable[[], bool]]:
    """Leaves the caller's random numbers as they are. Gives a function that says whether any were drawn since."""
    states = random.getstate(), np.random.get_state()  # noqa: NPY002 - a model may draw from it
    with own_random_numbers(0, images.device):

        def state() -> list[object]:
            numbers: Any = np.random.get_state()  # noqa: NPY002
            drawn = torch.cuda.get_rng_state(images.device).tolist() if images.is_cuda else []
            return [torch.get_rng_state().tolist(), drawn, random.getstate(), numbers[1].tolist(), numbers[2]]

        seeded = state()
        try:
            yield lambda: state() != seeded
        finally:
            random.setstate(states[0])
            np.random.set_state(states[1])  # noqa: NPY002


def _answers(module: nn.Module, images: Tensor, seed: int | None = None) -> list[_Given] | None:
    """What a module gives for images one after the other; None if it cannot be run on them."""
    found = []
    for image in images:
        answer = _answer(module, image[None], seed)
        if answer is None:
            return None
        found.append(answer)
    return found


def _answer(module: nn.Module, image: Tensor, seed: int | None = None) -> _Given | None:
    with torch.no_grad():
        if seed is not None:
            torch.manual_seed(seed)
            random.seed(seed)
            np.random.seed(seed)  # noqa: NPY002
        try:
            out: object = module(image.clone())
        except Exception:  # noqa: BLE001 - whatever a user's forward raises
            return None
    return _Given(out, [tensor.detach().clone() for tensor in _tensors(out)])


def _tensors(out: object) -> list[Tensor]:
    if isinstance(out, Tensor):
        return [out]
    if isinstance(out, tuple | list):
        values = list(out)
    else:
        held = out if isinstance(out, dict) else getattr(out, "__dict__", {})
        values = list(held.values())
    return [tensor for value in values for tensor in _tensors(value)]


def _close(one: _Given, other: _Given) -> bool:
    return _alike(one.tensors, other.tensors)


def _alike(some: list[Tensor], others: list[Tensor]) -> bool:
    def alike(a: Tensor, b: Tensor) -> bool:
        if a.shape != b.shape or a.dtype != b.dtype:
            return False
        if not (a.is_floating_point() and a.numel()):
            return torch.equal(a, b)
        a, b = a.double().nan_to_num(), b.double().nan_to_num()
        # The same numbers in the same order: a GPU may sum them in another one.
        share = 1e-3 if a.is_cuda else 1e-5
        return bool((a - b).abs().max() <= share * a.abs().max() + 1e-9)

    return len(some) == len(others) and all(alike(a, b) for a, b in zip(some, others, strict=True))


def _same(one: Tensor, other: Tensor) -> bool:
    # NaN is no other than NaN, and what was written over with its own values was not changed.
    return bool(torch.equal(one, other) or ((one == other) | (one.isnan() & other.isnan())).all())
