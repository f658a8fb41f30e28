"""What a module's state reaches: attributes, containers, and what the functions on it close over.

`copy.deepcopy` takes functions for atoms, so a hook that closes over the model stays the model's own in a copy. Whoever
copies has to see through functions.
"""

from __future__ import annotations

import dis
import functools
import sysconfig
import types
import weakref
from collections import deque
from collections.abc import Iterator
from typing import Any

from torch import Tensor, nn

_PLAIN = (str, bytes, int, float, complex, type(None))
_ENDS = (type, types.ModuleType, Tensor)
_HOLDERS = (dict, list, tuple, set, frozenset, deque)
_LIBRARIES = tuple(sysconfig.get_path(key) for key in ("stdlib", "purelib", "platlib"))


def reached(root: object) -> Iterator[Any]:
    """Every object that a root reaches, each once, but for numbers and text. Classes and tensors are ends."""
    # Objects are kept: another could be given the number of one that is gone.
    seen: dict[int, object] = {}
    waiting = [root]
    while waiting:
        part = waiting.pop()
        if isinstance(part, _PLAIN) or id(part) in seen:
            continue
        seen[id(part)] = part
        yield part
        waiting += _inside(part)


def used_globals(function: types.FunctionType) -> dict[str, Any]:
    """The global variables that a function's code names, of a user's function; a library's keep none of a model."""
    if function.__code__.co_filename.startswith(_LIBRARIES):
        return {}
    names = {name for code in _codes(function.__code__) for name in code.co_names}
    return {name: function.__globals__[name] for name in names if name in function.__globals__}


def holds_state(function: types.FunctionType) -> bool:
    """Whether what a function does may depend on, or change, what belongs to a model or to its user."""
    if function.__closure__ or _sets_globals(function):
        return True
    given = [function.__defaults__, function.__kwdefaults__, *used_globals(function).values()]
    return any(_is_state(part) for part in reached(given) if part is not given)


def _is_state(part: object) -> bool:
    return isinstance(part, Tensor | nn.Module | list | dict | set | deque) or (
        isinstance(part, types.FunctionType) and bool(part.__closure__)
    )


def _inside(part: Any) -> list[Any]:
    if isinstance(part, _ENDS):
        return []
    if isinstance(part, types.FunctionType):
        cells = [cell.cell_contents for cell in part.__closure__ or () if _filled(cell)]
        given = [part.__defaults__, part.__kwdefaults__] if part.__kwdefaults__ else [part.__defaults__]
        return [*cells, *given, *vars(part).values(), *used_globals(part).values()]
    if isinstance(part, types.MethodType):
        return [part.__self__, part.__func__]
    if isinstance(part, functools.partial):
        return [part.func, part.args, part.keywords]
    if isinstance(part, weakref.ref):
        return [part()]
    held = list(part.values() if isinstance(part, dict) else part) if isinstance(part, _HOLDERS) else []
    kind: type = type(part)
    slots = _all_slots(kind)
    return [*held, *getattr(part, "__dict__", {}).values(), *(getattr(part, name, None) for name in slots)]


@functools.cache
def _all_slots(kind: type) -> tuple[str, ...]:
    return tuple(name for base in kind.__mro__ for name in _slots(base) if name not in ("__dict__", "__weakref__"))


def _slots(kind: type) -> tuple[str, ...]:
    named = vars(kind).get("__slots__", ())
    return (named,) if isinstance(named, str) else tuple(named)


def _filled(cell: types.CellType) -> bool:
    return cell != types.CellType()  # an empty cell has no contents to ask for


def _codes(code: types.CodeType) -> Iterator[types.CodeType]:
    yield code
    for inner in code.co_consts:
        if isinstance(inner, types.CodeType):
            yield from _codes(inner)


def _sets_globals(function: types.FunctionType) -> bool:
    if function.__code__.co_filename.startswith(_LIBRARIES):
        return False
    return any(
        step.opname == "STORE_GLOBAL" for code in _codes(function.__code__) for step in dis.get_instructions(code)
    )
