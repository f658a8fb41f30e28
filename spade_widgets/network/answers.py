"""What a model answers with, and how logits (n, classes) are had from it, whose softmax is the model's own probability.

A tuple or an object of a hub's holds them; a softmax, log-softmax or sigmoid lies behind them; one logit of yes or no
stands for two. `Answer.attach` gives a copy of the model that answers with logits, under the same layers' names.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

import torch
from torch import Tensor, nn

#: What the numbers are: logits; probabilities that sum to one, or to a hundred; their logarithms, or those with the
#: other sign; one number alone, a logit or a probability of yes; or a probability for each class by itself.
Kind = Literal["logits", "softmax", "per cent", "log-softmax", "costs", "one logit", "one sigmoid", "sigmoids"]

_SAID: dict[Kind, str] = {
    "softmax": "ends in a softmax: its logits are what goes into it, or the logarithm of what comes out",
    "log-softmax": "ends in a log-softmax: its logits are what goes into it, or what comes out",
    "per cent": "gives a softmax in per cent: its logits are the logarithm of that",
    "costs": "gives negative log-probabilities: its logits are the log-probabilities",
    "one logit": "gives one number, taken as a logit z of yes: the two classes' logits are −z/2 and z/2",
    "one sigmoid": "gives one sigmoid, taken as the probability of yes: class 1, of two",
}
#: Steps of a backward pass that only arrange values.
_ARRANGED = (
    "View",
    "Squeeze",
    "Unsqueeze",
    "Reshape",
    "Alias",
    "Clone",
    "ToCopy",
    "Slice",
    "Select",
    "Permute",
    "TBackward",
)
_LAST: dict[Kind, type[nn.Module]] = {"softmax": nn.Softmax, "log-softmax": nn.LogSoftmax, "one sigmoid": nn.Sigmoid}


@dataclass(frozen=True)
class Answer:
    """How logits are had from what a model gives.

    Attributes:
        place: where the numbers are: `"logits"` of an object, a key, or an index; None for the output itself.
        kind: what they are.
        arranged: whether they come in another shape than (n, k): squeezed, or (n, k, 1, 1).
        taken_off: the last module, a softmax or sigmoid, which copies do without; None where that is a function.
    """

    place: str | int | None = None
    kind: Kind = "logits"
    arranged: bool = False
    taken_off: str | None = None

    @property
    def said(self) -> str:
        """What was found, as the end of a sentence about the model; empty where it is plain logits."""
        held = f"gives its logits as output{_written(self.place)}" if self.place is not None else ""
        return "; it ".join(part for part in (held, _SAID.get(self.kind, "")) if part)

    def attach(self, module: nn.Module) -> nn.Module:
        """The module, which must be the caller's own, answering with logits (n, classes)."""
        if self.taken_off is not None:
            parent, _, key = self.taken_off.rpartition(".")
            setattr(module.get_submodule(parent), key, nn.Identity())
        if self != Answer():
            module.register_forward_hook(self._hook)
        return module

    def _hook(self, _module: nn.Module, inputs: tuple[Any, ...], output: Any) -> Any:
        values = rows(picked(output, self.place), len(inputs[0]))
        return output if values is None else self.logits(values)

    def logits(self, values: Tensor) -> Tensor:
        """(n, k) numbers of this kind → logits (n, classes), in the same type. Differentiable."""
        if self.kind == "costs":
            return -values
        if self.taken_off is None and self.kind in ("softmax", "per cent", "one sigmoid"):
            p, least = values.float() / (100 if self.kind == "per cent" else 1), torch.finfo(torch.float32).tiny
            # A probability that was rounded to 0 or 1 has no logarithm; it is taken as the nearest one that has.
            log = p.clamp_min(least).log()
            if self.kind != "one sigmoid":
                return log.to(values.dtype)
            values = (log - (1 - p).clamp_min(torch.finfo(torch.float32).eps / 2).log()).to(values.dtype)
        return torch.cat([-values, values], 1) / 2 if self.kind in ("one logit", "one sigmoid") else values


def place_of(output: object) -> str | int | None:
    """Where the logits are in an output that is no tensor, if that is beyond doubt: called so, or the only ones."""
    if isinstance(output, Tensor):
        return None
    if isinstance(getattr(output, "logits", None), Tensor):
        return "logits"
    if isinstance(output, Mapping):
        if isinstance(output.get("logits"), Tensor):
            return "logits"
        found: list[Any] = [key for key, value in output.items() if _may_be(value)]
    elif isinstance(output, tuple | list):
        found = [i for i, value in enumerate(output) if _may_be(value)]
    else:
        return None
    return found[0] if len(found) == 1 else None


def picked(output: Any, place: str | int | None) -> Any:
    """What lies at a place of the output."""
    if place is None:
        return output
    if isinstance(place, str) and hasattr(output, place):
        return getattr(output, place)
    return output[place]


def rows(values: object, count: int) -> Tensor | None:
    """(count, k) of what a model gave for so many images, (count, k, 1, 1) or squeezed; None where it is no such."""
    if not isinstance(values, Tensor) or not values.is_floating_point() or values.numel() < count:
        return None
    if values.ndim == 2 and values.shape[0] == count:
        return values
    kept = [side for side in values.shape if side != 1]
    if count > 1:
        if kept[:1] != [count] or values.shape[:1] != (count,):
            return None
        kept = kept[1:]
    return values.reshape(count, -1) if len(kept) <= 1 else None


def kind_of(values: Tensor, squashes: Callable[[], bool]) -> Kind:
    """What a model's numbers are.

    Args:
        values: (n, k) for some unlike images.
        squashes: whether the model cannot give numbers outside of 0…1. Asked for only where it matters.
    """
    one = values.shape[1] == 1
    slack = 1e-4 if values.dtype in (torch.float32, torch.float64) else 2e-2
    low, high = float(values.min()), float(values.max())
    if not one and low >= 0 and _is_one(values, slack):
        return "softmax"
    if not one and low >= 0 and _is_one(values.double() / 100, slack):
        return "per cent"
    if not one and high <= 0 and _is_one(values.double().exp(), slack):
        return "log-softmax"
    if not one and low >= 0 and _is_one((-values.double()).exp(), slack):
        return "costs"
    squashed = low >= 0 and high <= 1 and squashes()
    if one:
        return "one sigmoid" if squashed else "one logit"
    return "sigmoids" if squashed else "logits"


def without_last(answer: Answer, module: nn.Module, image: Tensor) -> Answer:
    """The answer with the last module taken off, where that is the softmax or sigmoid and nothing changes by it.

    Args:
        module: a copy of the model, the caller's own; it is used up.
        image: (1, 3, h, w), as the model takes it.
    """
    kind = _LAST.get(answer.kind)
    if kind is None:
        return answer
    found: list[tuple[str, int]] = []
    for name, part in module.named_modules():
        if type(part) is kind and name:
            part.register_forward_hook(lambda _m, _i, out, name=name: found.append((name, out.data_ptr())))
    values = rows(picked(module(image), answer.place), 1)
    ends = [name for name, pointer in found if values is not None and pointer == values.data_ptr()]
    if len(ends) != 1 or values is None or [name for name, _ in found].count(ends[0]) != 1:
        return answer
    bare = replace(answer, taken_off=ends[0])
    probabilities = answer.logits(values).softmax(1)
    again = bare.attach(module)(image)
    same = isinstance(again, Tensor) and again.shape == probabilities.shape
    return bare if same and torch.allclose(again.softmax(1), probabilities, rtol=1e-2, atol=1e-4) else answer


def _is_one(values: Tensor, slack: float) -> bool:
    return float((values.double().sum(1) - 1).abs().max()) <= slack


def is_sigmoid(values: Tensor | None) -> bool:
    """Whether the last step that made these numbers was a sigmoid."""
    step = None if values is None else values.grad_fn
    while step is not None:
        name = type(step).__name__
        if name.startswith("Sigmoid"):
            return True
        if not name.removeprefix("Unsafe").startswith(_ARRANGED):
            return False
        step = next((before for before, _ in step.next_functions if before is not None), None)
    return False


def _may_be(value: object) -> bool:
    return isinstance(value, Tensor) and value.is_floating_point() and value.ndim in (1, 2) and value.numel() > 0


def _written(place: str | int | None) -> str:
    return ".logits" if place == "logits" else f"[{place!r}]"
