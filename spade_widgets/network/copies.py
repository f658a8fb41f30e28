"""Safe copies of any module: nothing that runs or is set on a copy reaches the user's own."""

from __future__ import annotations

import copy
import types
from typing import Any

import torch
from torch import Tensor, nn

from spade_widgets.errors import ModelError, described
from spade_widgets.network.reach import holds_state, reached, used_globals


def shared_copy(model: nn.Module, *, weights: bool = True) -> nn.Module:
    """A copy of a module in eval mode, with frozen parameters that share the module's storage. The module stays.

    Everything else is the copy's own: buffers, tensors that a forward pass left on the module (as values, without
    their history), and what hooks and replaced methods close over or keep in global variables. A compiled part is
    copied as what was compiled, and a parameter made in inference mode is copied as an ordinary one.

    Args:
        weights: whether the parameters' storage is shared; if not, they are copied too.

    Raises:
        ModelError: if the module cannot be copied, or the copy would still use parts of the module's own.
    """
    model = unwrapped(model)
    parts = list(reached(model))
    with torch.inference_mode(False), torch.no_grad():
        twin = _copied(model, parts, weights)
    _check_apart(model, parts, twin)
    return twin.eval()


def unwrapped(model: nn.Module) -> nn.Module:
    """The module that `torch.compile` was given; any other as it is."""
    while isinstance(inner := dict(model.named_children()).get("_orig_mod"), nn.Module):
        model = inner
    return model


def _copied(model: nn.Module, parts: list[Any], share: bool) -> nn.Module:
    # What deepcopy finds in its memo it takes as it is: tensors are made here, and modules and functions are begun
    # here, so that a function's copy can hold the module's copy that holds the function.
    memo: dict[int, Any] = {}
    begun = _Functions(memo)
    for part in parts:
        if isinstance(part, nn.Parameter):
            ours = part.detach() if share and not part.is_inference() else part.detach().clone()
            memo[id(part)] = nn.Parameter(ours, requires_grad=False)
        elif isinstance(part, Tensor):
            memo[id(part)] = part.detach().clone()
        elif isinstance(part, types.ModuleType):
            memo[id(part)] = part
        elif isinstance(part, nn.Module) and _is_plain(part):
            memo[id(part)] = type(part).__new__(type(part))
        elif isinstance(part, types.FunctionType) and holds_state(part):
            begun.begin(part)
    for part in parts:
        # By itself, deepcopy binds a copied method to the function as it was.
        if isinstance(part, types.MethodType) and id(part.__func__) in memo and id(part.__self__) in memo:
            memo[id(part)] = types.MethodType(memo[id(part.__func__)], memo[id(part.__self__)])
    try:
        begun.fill()
        for part in parts:
            if isinstance(part, nn.Module) and _is_plain(part):
                memo[id(part)].__setstate__(copy.deepcopy(_state(part), memo))
        twin: nn.Module = copy.deepcopy(model, memo)
    except Exception as error:  # whatever a user's object does when it is copied
        raise ModelError(
            f"{type(model).__name__} cannot be copied, because of {_culprit(model, memo)} ({described(error)}): "
            "take that off the model, or make it anew in each forward pass."
        ) from error
    for module in list(twin.modules()):
        for key, child in module._modules.items():
            if child is not None:
                module._modules[key] = unwrapped(child)
    return twin


class _Functions:
    """Copies of functions, with cells and global variables of their own; what two of them share, their copies share."""

    def __init__(self, memo: dict[int, Any]) -> None:
        self._memo = memo
        self._functions: list[types.FunctionType] = []
        self._cells: dict[int, tuple[types.CellType, types.CellType]] = {}
        self._spaces: dict[int, dict[str, Any]] = {}

    def begin(self, function: types.FunctionType) -> None:
        """A copy whose cells are still empty, into the memo."""
        cells = tuple(self._cells.setdefault(id(c), (c, types.CellType()))[1] for c in function.__closure__ or ())
        space = self._spaces.setdefault(id(function.__globals__), dict(function.__globals__))
        twin = types.FunctionType(function.__code__, space, function.__name__, None, cells)
        twin.__qualname__, twin.__module__, twin.__doc__ = function.__qualname__, function.__module__, function.__doc__
        self._memo[id(function)] = twin
        self._functions.append(function)

    def fill(self) -> None:
        """Copy what they hold."""
        for theirs, own in self._cells.values():
            if theirs != types.CellType():
                own.cell_contents = copy.deepcopy(theirs.cell_contents, self._memo)
        for function in self._functions:
            twin = self._memo[id(function)]
            twin.__globals__.update(copy.deepcopy(used_globals(function), self._memo))
            twin.__defaults__ = copy.deepcopy(function.__defaults__, self._memo)
            twin.__kwdefaults__ = copy.deepcopy(function.__kwdefaults__, self._memo)
            vars(twin).update(copy.deepcopy(vars(function), self._memo))


def _culprit(model: nn.Module, memo: dict[int, Any]) -> str:
    """Which attribute of which layer cannot be copied."""
    for path, module in model.named_modules():
        for key, value in vars(module).items():
            try:
                copy.deepcopy(value, dict(memo))
            except Exception:  # noqa: BLE001 - this is the one
                hook = "one of its hooks" if key.endswith("_hooks") else f"its attribute '{key}'"
                return f"{hook} on layer '{path}'" if path else hook
    return "something that its hooks or methods close over"


def _check_apart(model: nn.Module, parts: list[Any], twin: nn.Module) -> None:
    """Whether a copy is free of the original's modules and buffers, which running it would run or write."""
    theirs = {id(part): part for part in parts if isinstance(part, nn.Module | Tensor)}
    for part in reached(twin):
        if id(part) in theirs:
            what = "tensor" if isinstance(part, Tensor) else type(part).__name__
            raise ModelError(
                f"{type(model).__name__} cannot be copied: something on it (a hook, a method put in place of another, "
                f"or an object with a way of its own to be copied) would make the copy use the model's own {what}; "
                "take it off the model, or define it in the model's class."
            )


def _state(module: nn.Module) -> Any:
    return module.__getstate__()  # type: ignore[no-untyped-call]


def _is_plain(module: nn.Module) -> bool:
    """Whether a module is copied as modules are, by its state, and not by a way of its own."""
    kind = type(module)
    return (
        not hasattr(kind, "__deepcopy__")
        and kind.__reduce_ex__ is object.__reduce_ex__
        and kind.__reduce__ is object.__reduce__
        and kind.__getstate__ is nn.Module.__getstate__
    )
