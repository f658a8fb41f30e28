"""A deep copy that sees through functions, weak references and addresses.

`copy.deepcopy` takes functions and weak references for atoms (from Python 3.14 on, even where its memo holds their
copies), and lets a class leave attributes out of its copies. What belongs to a model has to be the copy's own, and all
of it.
"""

from __future__ import annotations

import copyreg
import threading
import types
import weakref
from collections import deque
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from spade_widgets.network.reach import compiled_from, filled, holds_state, slots_of, used_globals

_ATOMS: tuple[type, ...] = (
    type(None), bool, float, complex, str, bytes, type, types.ModuleType, types.CodeType, types.BuiltinFunctionType,
    property, range, slice, type(Ellipsis), type(NotImplemented), torch.dtype, torch.device, torch.layout,
    torch.memory_format, torch.Size, torch._C.ScriptObject, torch.jit.ScriptFunction,
)  # fmt: skip
_LOCKS: dict[type, Any] = {type(threading.Lock()): threading.Lock, type(threading.RLock()): threading.RLock}


class Copier:
    """Copies what a module reaches.

    Args:
        parts: all that the module reaches.
        shared: what stays one and the same object, besides classes and libraries.
        share: whether parameters share their storage with the originals.
    """

    def __init__(self, parts: Sequence[Any], shared: Sequence[Any], *, share: bool) -> None:
        self._memo: dict[int, Any] = {id(part): part for part in shared}
        self._cells = {id(part): (part, part) for part in shared if isinstance(part, types.CellType)}
        self._functions: list[types.FunctionType] = []
        self._spaces: dict[int, dict[str, Any]] = {}
        # What holds others is begun here, so that a function's copy can hold the module's copy that holds the function.
        modules = []
        for part in parts:
            if id(part) in self._memo or compiled_from(part) is not None:
                continue
            if isinstance(part, Tensor):
                self._memo[id(part)] = _tensor(part, share)
            elif isinstance(part, nn.Module):
                self._memo[id(part)] = _bare(type(part))
                modules.append(part)
            elif isinstance(part, types.FunctionType) and holds_state(part):
                self._begin(part)
        for part in parts:
            if (inner := compiled_from(part)) is not None and id(part) not in self._memo:
                self._memo[id(part)] = self.copy(inner)
        #: Addresses of modules and tensors, which some keep as a dict's keys, in the copy.
        self._addresses = {
            id(p): id(self._memo[id(p)]) for p in parts if isinstance(p, Tensor | nn.Module) and id(p) in self._memo
        }
        self._fill_functions()
        for part in parts:
            if isinstance(part, Tensor) and vars(part) and self._memo[id(part)] is not part:
                vars(self._memo[id(part)]).update(self.copy(vars(part)))
        for part in modules:
            self._fill(part, self._memo[id(part)])

    def copy(self, part: Any) -> Any:
        """The copy of a part; whatever a user's object raises when it is copied."""
        if type(part) is int:
            return self._addresses.get(part, part) if part > 1 << 20 else part
        if isinstance(part, _ATOMS):
            return part
        if id(part) in self._memo:
            return self._memo[id(part)]
        return self._made(part)

    def _made(self, part: Any) -> Any:
        kind, memo = type(part), self._memo
        if isinstance(part, types.FunctionType):
            return part  # it holds nothing
        if isinstance(part, Tensor):
            return memo.setdefault(id(part), _tensor(part, share=False))
        if kind is tuple:
            made: Any = tuple(self.copy(inner) for inner in part)
            return memo.setdefault(id(part), made)
        if kind in (list, deque, set):
            made = memo[id(part)] = deque(maxlen=part.maxlen) if isinstance(part, deque) else kind()
            (made.update if kind is set else made.extend)([self.copy(inner) for inner in part])
            return made
        if kind in (dict, weakref.WeakKeyDictionary, weakref.WeakValueDictionary):
            made = memo[id(part)] = kind()
            for key, value in list(part.items()):
                made[self.copy(key)] = self.copy(value)
            return made
        if isinstance(part, types.MethodType):
            return memo.setdefault(id(part), types.MethodType(self.copy(part.__func__), self.copy(part.__self__)))
        if isinstance(part, weakref.ref):
            target = part()
            return memo.setdefault(id(part), part if target is None else weakref.ref(self.copy(target)))
        if kind in _LOCKS:
            return memo.setdefault(id(part), _LOCKS[kind]())
        if hasattr(kind, "__deepcopy__"):
            return memo.setdefault(id(part), part.__deepcopy__(memo))
        return self._reduced(part)

    def _reduced(self, part: Any) -> Any:
        """As `copy.deepcopy` does with what it knows no more of."""
        reduce = copyreg.dispatch_table.get(type(part))
        found = reduce(part) if reduce else part.__reduce_ex__(4)
        if isinstance(found, str):
            return part
        make, arguments, state, items, pairs = (*found, None, None, None)[:5]
        made = self._memo[id(part)] = make(*(self.copy(argument) for argument in arguments))
        if state is not None:
            state = self.copy(state)
            if hasattr(made, "__setstate__"):
                made.__setstate__(state)
            else:
                plain, slots = state if isinstance(state, tuple) and len(state) == 2 else (state, None)
                vars(made).update(plain or {})
                for key, value in (slots or {}).items():
                    setattr(made, key, value)
        for item in items or ():
            made.append(self.copy(item))
        for key, value in pairs or ():
            made[self.copy(key)] = self.copy(value)
        return made

    def _fill(self, module: nn.Module, made: nn.Module) -> None:
        """All that a module keeps, whatever its class would leave out of a copy."""
        for key, value in vars(module).items():
            if key != "_compiled_call_impl":  # calls what was compiled of the original
                vars(made)[key] = self.copy(value)
        kind: type = type(module)
        for name in slots_of(kind):
            if hasattr(module, name):
                object.__setattr__(made, name, self.copy(getattr(module, name)))
        plain = compiled_from(getattr(type(module), "forward", None))
        if plain is not None and "forward" not in vars(made):
            vars(made)["forward"] = types.MethodType(plain, made)

    def _begin(self, function: types.FunctionType) -> None:
        """A copy whose cells are still empty, into the memo; what two functions share, their copies share."""
        cells = tuple(self._cells.setdefault(id(c), (c, types.CellType()))[1] for c in function.__closure__ or ())
        space = self._spaces.setdefault(id(function.__globals__), dict(function.__globals__))
        twin = types.FunctionType(function.__code__, space, function.__name__, None, cells)
        twin.__qualname__, twin.__module__, twin.__doc__ = function.__qualname__, function.__module__, function.__doc__
        self._memo[id(function)] = twin
        self._functions.append(function)

    def _fill_functions(self) -> None:
        for theirs, own in self._cells.values():
            if own is not theirs and filled(theirs):
                own.cell_contents = self.copy(theirs.cell_contents)
        for function in self._functions:
            twin = self._memo[id(function)]
            twin.__globals__.update({name: self.copy(value) for name, value in used_globals(function).items()})
            twin.__defaults__ = self.copy(function.__defaults__)
            twin.__kwdefaults__ = self.copy(function.__kwdefaults__)
            vars(twin).update(self.copy(vars(function)))


def _tensor(part: Tensor, share: bool) -> Tensor:
    """A tensor's copy, without its history; a parameter made in inference mode is an ordinary one then."""
    if not isinstance(part, nn.Parameter):
        return part.detach().clone()
    ours = part.detach() if share and not part.is_inference() else part.detach().clone()
    return nn.Parameter(ours, requires_grad=False)


def _bare(kind: type[nn.Module]) -> nn.Module:
    try:
        made: nn.Module = object.__new__(kind)  # a class's own `__new__` may want arguments
    except TypeError:  # it is of another built-in kind, too
        made = kind.__new__(kind)
    return made
