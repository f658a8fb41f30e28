"""What a model's classes keep outside of the model: class attributes, global variables, what their methods close over.

Copies of a model share their class with it, and with the class its code. A number or a table that is only read does no
harm there, and a counter little. A forward pass that leaves a tensor there leaves it for the user's own model, which
may run in another thread; and a module that it runs is the user's own: both are refused. Functions that lie on the
model itself, its hooks and replaced methods, are copied with what they hold, and are no matter of this file.
"""

from __future__ import annotations

import functools
import types
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from spade_widgets.errors import ModelError
from spade_widgets.network.reach import (
    PLAIN,
    filled,
    in_library,
    names_in,
    of_library,
    reached,
    set_globals,
    used_globals,
)

#: Special methods that no forward pass calls.
_NOT_RUN = {
    "__init__", "__new__", "__repr__", "__str__", "__del__", "__getstate__", "__setstate__", "__reduce__",
    "__reduce_ex__", "__deepcopy__", "__copy__", "__init_subclass__", "__class_getitem__", "__dir__", "__sizeof__",
}  # fmt: skip
_CODE = (types.FunctionType, types.BuiltinFunctionType, types.ModuleType, type)


class Outside:
    """What the code of a model's classes keeps, as far as a forward pass may come to it.

    Args:
        model: the user's; it is only looked at.
        name: the model's, for errors.

    Raises:
        ModelError: if that code runs a module which is no part of the model, or a hook gives a global variable another
            value that this code reads.
    """

    def __init__(self, model: nn.Module, name: str) -> None:
        self._name = name
        self._parts = list(reached(model))
        self._before = self._found()
        for title, (value, _) in self._before.items():
            for part in reached(value):
                if isinstance(part, nn.Module) and _does_something(part):
                    raise ModelError(
                        f"{name} runs a {type(part).__name__} that is no part of it, by {title}, so it could be "
                        "neither copied nor pruned: make it an attribute of the model, in its __init__."
                    )
        read = {title for title in self._before if title.startswith(_GLOBAL)}
        for part in self._parts:
            if isinstance(part, types.FunctionType):
                for variable in set_globals(part):
                    if _GLOBAL + f"'{variable}'" in read:
                        raise self._written(_GLOBAL + f"'{variable}'")

    @property
    def shared(self) -> list[Any]:
        """All objects that stay one for the model and its copies, cells of closures among them."""
        return [part for value, cell in self._before.values() for part in [*reached(value), *([cell] if cell else [])]]

    def check(self) -> list[str]:
        """What forward passes have written into since, for the user to know: counters, and what else is no tensor.

        Raises:
            ModelError: if tensors were left there, or written into; says where.
        """
        now = self._found()
        written = [t for t, (value, _) in now.items() if t not in self._before or self._marks[t] != marks(value)]
        for title in written:
            if any(isinstance(part, Tensor) for part in reached(now[title][0])):
                raise self._written(title)
        return written

    def _written(self, title: str) -> ModelError:
        return ModelError(
            f"{self._name} leaves tensors in {title} in a forward pass, which its copies would share with your model: "
            "keep them on the model itself, as self.…"
        )

    def _found(self) -> dict[str, tuple[Any, Any]]:
        found = dict(_titled(self._parts))
        if not hasattr(self, "_marks"):
            self._marks = {title: marks(value) for title, (value, _) in found.items()}
        return found


_GLOBAL = "the global variable "


def _titled(parts: list[Any]) -> Iterator[tuple[str, tuple[Any, Any]]]:
    """Title → what it is, and the cell of a closure that holds it, if one does."""
    kinds = {kind: None for part in parts for kind in type(part).__mro__ if not of_library(kind)}
    done: set[Any] = set()
    names = {"forward"}
    names.update(*(names_in(part) for part in parts if isinstance(part, types.FunctionType) and not in_library(part)))
    functions: list[types.FunctionType] = []
    found: dict[str, tuple[Any, Any]] = {}

    def see(title: str, value: Any, cell: Any = None) -> None:
        if isinstance(value, type):
            kinds.update({kind: None for kind in value.__mro__ if not of_library(kind)})
        elif isinstance(value, types.FunctionType):
            functions.append(value)
        elif not isinstance(value, _CODE):
            found[title] = (value, cell)

    while True:
        for kind in list(kinds):
            for key, value in list(vars(kind).items()):
                special = key.startswith("__") and key.endswith("__")
                if (kind, key) in done or (key in _NOT_RUN if special else key not in names):
                    continue
                done.add((kind, key))
                code = _functions(value)
                functions += code
                if not code and not special:
                    see(f"{kind.__name__}.{key}", value)
        if not functions:
            return iter(found.items())
        function = functions.pop()
        if id(function) in done:
            continue
        done.add(id(function))
        names |= names_in(function)
        for key, value in used_globals(function).items():
            see(f"{_GLOBAL}'{key}'", value)
        if not function.__code__.co_filename.startswith("<eval_with_key>"):  # torch.fx's
            for key, cell in zip(function.__code__.co_freevars, function.__closure__ or (), strict=True):
                if filled(cell):
                    see(f"the variable '{key}' around {function.__qualname__}", cell.cell_contents, cell)


def _functions(value: Any) -> list[types.FunctionType]:
    """The functions that an entry of a class is made of; none for what is data."""
    if isinstance(value, property):
        found: list[Any] = [value.fget, value.fset]
    elif isinstance(value, functools.cached_property):
        found = [value.func]
    else:
        found = [getattr(value, "__func__", getattr(value, "__wrapped__", value))]
    return [function for function in found if isinstance(function, types.FunctionType)]


def _does_something(module: nn.Module) -> bool:
    """Whether a module has tensors or hooks, so that it matters whose it is."""
    tensors = next((True for part in (module.parameters(), module.buffers()) for _ in part), False)
    return tensors or any(part._forward_hooks or part._forward_pre_hooks for part in module.modules())


@dataclass(frozen=True)
class Marks:
    """What changes when a value, or something that it holds, is written into.

    Attributes:
        state: of each part, by the parts' addresses.
        kept: the parts, so that no other one comes to lie at an address.
    """

    state: list[Any]
    kept: list[Any] = field(compare=False)


def marks(value: Any) -> Marks:
    """The marks of a value, as it is now."""
    if isinstance(value, PLAIN):
        return Marks([value], [])
    kept = list(reached(value))
    return Marks([(id(part), _mark(part)) for part in kept], kept)


def _mark(part: Any) -> Any:
    if isinstance(part, Tensor):
        return (part.data_ptr(), 0 if part.is_inference() else part._version)
    if isinstance(part, np.ndarray):
        return part.tobytes() if part.dtype != object else None
    if isinstance(part, torch.Generator):
        return part.get_state().tolist()
    if isinstance(part, dict):
        return [(_named(key), _named(inner)) for key, inner in part.items()]
    if isinstance(part, list | tuple | deque):
        return [_named(inner) for inner in part]
    if isinstance(part, set | frozenset):
        return {_named(inner) for inner in part}
    held = getattr(part, "__dict__", None)
    return [(key, _named(inner)) for key, inner in held.items()] if isinstance(held, dict) else None


def _named(part: Any) -> Any:
    """A number or text is what it is, anything else where it is."""
    return part if isinstance(part, PLAIN) else id(part)
