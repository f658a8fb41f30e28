"""What a module's state reaches: attributes, containers, and what the functions on it close over.

`copy.deepcopy` takes functions for atoms, so a hook that closes over the model stays the model's own in a copy. Whoever
copies has to see through functions.
"""

from __future__ import annotations

import dis
import functools
import sys
import sysconfig
import types
import weakref
from collections import OrderedDict, deque
from collections.abc import Iterator
from typing import Any

from torch import Tensor, nn

#: What holds nothing.
PLAIN = (str, bytes, int, float, complex, type(None))
_PLAIN_KINDS = {*PLAIN, bool}
_ENDS = (type, types.ModuleType, Tensor)
_HOLDERS = (dict, list, tuple, set, frozenset, deque)
_LIBRARIES = tuple(sysconfig.get_path(key) for key in ("stdlib", "purelib", "platlib"))
#: Where `torch.compile` keeps what it was given.
_COMPILED = "_torchdynamo_orig_callable"


def reached(root: object) -> Iterator[Any]:
    """Every object that a root reaches, each once, but for numbers and text. Classes and tensors are ends."""
    # Objects are kept: another could be given the number of one that is gone.
    seen: dict[int, object] = {}
    waiting = [root]
    while waiting:
        part = waiting.pop()
        if isinstance(part, PLAIN) or id(part) in seen:
            continue
        seen[id(part)] = part
        yield part
        waiting += [inner for inner in _inside(part) if type(inner) not in _PLAIN_KINDS]


def compiled_from(part: object) -> Any:
    """What `torch.compile` was given, a module or a function, where a part is what it made of it; else None."""
    if isinstance(part, nn.Module):
        modules: Any = part._modules
        return modules.get("_orig_mod") if isinstance(modules, dict) else None  # of TorchScript it is no dict
    return vars(part).get(_COMPILED) if isinstance(part, types.FunctionType) else None


def used_globals(function: types.FunctionType) -> dict[str, Any]:
    """The global variables that a function's code names, of a user's function; a library's keep none of a model."""
    if in_library(function):
        return {}
    named = function.__globals__
    return {name: named[name] for name in _global_names(function.__code__)[0] if name in named}


def set_globals(function: types.FunctionType) -> frozenset[str]:
    """The global variables that a user's function gives other values."""
    if in_library(function):
        return frozenset()
    return _global_names(function.__code__)[1]


def holds_state(function: types.FunctionType) -> bool:
    """Whether what a function does may depend on, or change, what belongs to a model or to its user."""
    if function.__closure__ or set_globals(function):
        return True
    given = [function.__defaults__, function.__kwdefaults__, *used_globals(function).values()]
    return any(_is_state(part) for part in reached(given) if part is not given)


def in_library(function: types.FunctionType) -> bool:
    """Whether a function is an installed package's, or Python's own."""
    return function.__code__.co_filename.startswith(_LIBRARIES)


def of_library(kind: type) -> bool:
    """Whether a class is an installed package's, or Python's own."""
    file = getattr(sys.modules.get(kind.__module__), "__file__", None)
    return str(file).startswith(_LIBRARIES) if file else kind.__module__ in sys.builtin_module_names


def names_in(function: types.FunctionType) -> set[str]:
    """Every attribute and global variable that a function's code names."""
    return {name for code in _codes(function.__code__) for name in code.co_names}


@functools.cache
def slots_of(kind: type) -> tuple[str, ...]:
    """The attributes that a class keeps in slots."""
    return tuple(name for base in kind.__mro__ for name in _slots(base) if name not in ("__dict__", "__weakref__"))


def filled(cell: types.CellType) -> bool:
    """Whether a cell holds anything: an empty one cannot be asked what."""
    return cell != types.CellType()


def _is_state(part: object) -> bool:
    return isinstance(part, Tensor | nn.Module | list | dict | set | deque) or (
        isinstance(part, types.FunctionType) and bool(part.__closure__)
    )


def _inside(part: Any) -> list[Any]:
    kind: type = type(part)
    if kind is dict or kind is OrderedDict:  # most of what there is
        return [*part.values(), *part] if part else []
    if isinstance(part, _ENDS):
        return list(vars(part).values()) if isinstance(part, Tensor) and vars(part) else []
    if (inner := compiled_from(part)) is not None:
        return [inner]
    if isinstance(part, types.FunctionType):
        cells = [cell.cell_contents for cell in part.__closure__ or () if filled(cell)]
        given = [part.__defaults__, part.__kwdefaults__] if part.__kwdefaults__ else [part.__defaults__]
        return [*cells, *given, *vars(part).values(), *used_globals(part).values()]
    if isinstance(part, types.MethodType):
        return [part.__self__, part.__func__]
    if isinstance(part, functools.partial):
        return [part.func, part.args, part.keywords]
    if isinstance(part, weakref.ref):
        return [part()]
    held = list(part.values() if isinstance(part, dict) else part) if isinstance(part, _HOLDERS) else []
    if isinstance(part, dict):
        held += [key for key in part if not isinstance(key, PLAIN)]
    slots = (getattr(part, name, None) for name in slots_of(kind))
    return [*held, *getattr(part, "__dict__", {}).values(), *slots]


def _slots(kind: type) -> tuple[str, ...]:
    named = vars(kind).get("__slots__", ())
    return (named,) if isinstance(named, str) else tuple(named)


def _codes(code: types.CodeType) -> Iterator[types.CodeType]:
    yield code
    for inner in code.co_consts:
        if isinstance(inner, types.CodeType):
            yield from _codes(inner)


@functools.cache
def _global_names(code: types.CodeType) -> tuple[frozenset[str], frozenset[str]]:
    """The global variables that code reads or sets, and those that it sets. (`co_names` has attributes, too.)"""
    steps = [step for part in _codes(code) for step in dis.get_instructions(part)]
    named = frozenset(s.argval for s in steps if s.opname in ("LOAD_GLOBAL", "LOAD_NAME", "STORE_GLOBAL"))
    return named, frozenset(s.argval for s in steps if s.opname == "STORE_GLOBAL")
