"""The built-in classifiers and their samples, a room each: data, and what made them.

May import: `evidence`, and what lies below it; nothing of `runtime` and `widgets`.
"""

import importlib
from types import ModuleType

__all__ = ["emoji", "photos"]


def __getattr__(name: str) -> ModuleType:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return importlib.import_module(f"{__name__}.{name}")
