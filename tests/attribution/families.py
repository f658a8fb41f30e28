"""`scripts/saliency_methods.py`, which builds members of torchvision's families and makes the page on them."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

ROOT = Path(__file__).parents[2]


def _script() -> ModuleType:
    spec = importlib.util.spec_from_file_location("saliency_methods", ROOT / "scripts" / "saliency_methods.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["saliency_methods"] = module  # where its dataclass looks for its own annotations
    spec.loader.exec_module(module)
    return module


methods = _script()
build = methods.build
photograph = methods.photograph
