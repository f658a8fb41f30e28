"""A user's model that fails, in one sentence: which of its layers, and the last line of what it said."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from types import TracebackType

import torch
from torch import nn

from spade_widgets.errors import ModelError, SpadeError

_NO_GRADIENT = ("does not require grad", "appears to not have been used in the graph")
_IN_PLACE = "modified by an inplace operation"


@contextmanager
def model_errors(what: str = "") -> Iterator[None]:
    """Around what runs a model or its gradients: turns an exception of the model's into a `ModelError`.

    Args:
        what: what was to be done, for the sentence: "Integrated Gradients"; by default that the model was run.

    Raises:
        ModelError: names the layer and quotes the exception's last line. An exception that comes neither from within a
            module nor from a gradient through one is let through as it is, and so is memory that runs out.
    """
    try:
        yield
    except Exception as error:  # whatever a user's forward raises
        blamed = blame(error, what)
        if blamed is None:
            raise
        raise blamed from error


def blame(error: Exception, what: str = "") -> ModelError | None:
    """The sentence for an exception that a model's forward pass or gradient ended with; None if it was neither's."""
    if isinstance(error, SpadeError | MemoryError | torch.OutOfMemoryError):
        return None  # memory that runs out in a layer is no fault of the layer's
    modules, backward = _passed(error.__traceback__)
    said = _last_line(error)
    if any(words in said for words in _NO_GRADIENT) and (modules or backward):
        return ModelError(
            f"{what or 'This'} needs gradients, which the model does not pass on to its input: take torch.no_grad, "
            "inference_mode and detach out of its forward pass, or choose a method that works without gradients."
        )
    if not modules and not backward:
        return None  # it may be our own
    if not modules:
        hint = "; let the model's layers not write into their inputs (inplace, +=)" if _IN_PLACE in said else ""
        return ModelError(f"{what or 'The model'} fails in the backward pass: {said}{hint}.")
    root, last = modules[0], modules[-1]
    path = next((path for path, part in root.named_modules() if part is last), "")
    where = f"in layer '{path}', a {type(last).__name__}" if path else "in its forward pass"
    name = type(root).__name__
    begin = f"{what} cannot be applied to {name}, which fails" if what else f"{name} fails"
    return ModelError(f"{begin} {where}: {said}.")


def _passed(traceback: TracebackType | None) -> tuple[list[nn.Module], bool]:
    """The modules whose calls an exception went through, outermost first; and whether it went through a gradient."""
    modules: list[nn.Module] = []
    backward = False
    while traceback is not None:
        frame = traceback.tb_frame
        module = frame.f_locals.get("self")
        if isinstance(module, nn.Module) and frame.f_code.co_name == "_call_impl" and module not in modules[-1:]:
            modules.append(module)
        backward = backward or str(frame.f_globals.get("__name__")).startswith("torch.autograd")
        traceback = traceback.tb_next
    return modules, backward


def _last_line(error: Exception) -> str:
    lines = [line.strip() for line in str(error).strip().splitlines() if line.strip()]
    said = _short(lines[-1]) if lines else ""
    return f"{type(error).__name__}: {said}" if said else type(error).__name__


def _short(line: str, most: int = 300) -> str:
    """A line that ends at a word."""
    return (line if len(line) <= most else f"{line[:most].rpartition(' ')[0]} …").rstrip(".")
