"""Run a module in one floating point type throughout, whatever it casts inside.

Models cast for speed (autocast, `.half()`), for safety (`x.float()` before a norm), or hold tensors that `module.to`
does not reach. An attribution that needs all of a pass in float32 or float64 takes none of that.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

_CASTS = {"float", "half", "bfloat16", "double"}


class OneType(TorchFunctionMode):
    """While it is on, in this thread, each operation is given real numbers of one type, and autocast is off in it.

    What an operation writes into keeps its type.
    """

    def __init__(self, dtype: torch.dtype) -> None:
        super().__init__()
        self._dtype = dtype

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        name = str(getattr(func, "__name__", ""))
        if name in ("__get__", "__set__"):
            return func(*args, **(kwargs or {}))
        if name in _CASTS:
            func, args, kwargs = Tensor.to, (args[0], self._dtype), {}
        writes = (name.endswith("_") and not name.endswith("__")) or name.startswith(("__i", "__setitem"))
        args = (*args[:1], *map(self._cast, args[1:])) if writes else tuple(map(self._cast, args))
        kwargs = {key: value if key == "out" else self._cast(value) for key, value in (kwargs or {}).items()}
        for device in ("cpu", "cuda"):
            if torch.is_autocast_enabled(device):
                with torch.autocast(device, enabled=False):
                    return self.__torch_function__(func, types, args, kwargs)
        return func(*args, **kwargs)

    def _cast(self, value: Any) -> Any:
        if isinstance(value, Tensor):
            other = value.is_floating_point() and value.dtype != self._dtype
            return value.to(self._dtype) if other else value
        if isinstance(value, torch.dtype):
            return self._dtype if value.is_floating_point else value
        if type(value) in (tuple, list):
            return type(value)(map(self._cast, value))
        return value


def in_one_type(module: nn.Module, dtype: torch.dtype) -> nn.Module:
    """The module, which must be the caller's own, computing in that type."""
    module.to(dtype)
    forward = module.forward

    def run(*args: Any, **kwargs: Any) -> Any:
        with OneType(dtype):
            return forward(*args, **kwargs)

    module.forward = run
    return module
