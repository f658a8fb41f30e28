"""Run a module only as far as some of its layers, and keep what they gave."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from torch import Tensor, nn

from spade_widgets.errors import InputError, ModelError, described
from spade_widgets.network.blame import blame

#: Where `capture` looks for what a module gives in the end (a classifier's logits).
OUTPUT = ""


class _AllSeenError(BaseException):
    """Ends a forward pass that has shown everything that was asked for.

    Not an `Exception`: a user's forward that catches those must not catch this one.
    """


def capture(module: nn.Module, inputs: Tensor, names: Sequence[str]) -> dict[str, Tensor]:
    """The outputs of some layers for one input; no layer behind the last of them is run.

    A layer that runs several times in one pass is taken at its first run, as `ImageClassifier.layers` counts it.

    Args:
        module: a copy of the caller's own: it is hooked while it runs, and only then.
        inputs: (n, 3, h, w), what the module takes.
        names: as in `named_modules()`, or `OUTPUT` for the module's output.

    Returns:
        Name → what the layer gave, safe from what runs in place after it. Gradients flow through it.

    Raises:
        InputError: if there is no such layer.
        ModelError: if the module fails on this input, or a layer is never run or gives no tensor.
    """
    seen: dict[str, Tensor] = {}

    def keeper(name: str) -> Callable[[nn.Module, Any, Any], None]:
        def keep(_module: nn.Module, _inputs: Any, output: Any) -> None:
            if name in seen:
                return
            if not isinstance(output, Tensor):
                raise ModelError(f"Layer '{name}' gives a {type(output).__name__}, not a tensor, so it has no neurons.")
            seen[name] = output
            if len(seen) == len(names):
                raise _AllSeenError
            # The pass goes on, and an in-place activation right behind would write into what was kept.
            seen[name] = output.clone()

        return keep

    layers = {name: _submodule(module, name) for name in names if name != OUTPUT}
    handles = [layer.register_forward_hook(keeper(name)) for name, layer in layers.items()]
    try:
        output = module(inputs)
    except _AllSeenError:
        return seen
    except ModelError:
        raise
    except Exception as error:  # whatever a user's forward raises
        size = "×".join(map(str, inputs.shape[2:]))
        blamed = str(blame(error) or described(error))
        raise ModelError(f"The model cannot be run on {size} px: {blamed.rstrip('.')}.") from error
    finally:
        for handle in handles:
            handle.remove()
    if OUTPUT in names:
        seen[OUTPUT] = output
    for name in names:
        if name not in seen:
            raise ModelError(f"Layer '{name}' is not run in a forward pass, so it has no activations.")
    return seen


def _submodule(module: nn.Module, name: str) -> nn.Module:
    try:
        return module.get_submodule(name)
    except AttributeError as error:
        raise InputError(f"There is no layer '{name}' in the model.") from error
