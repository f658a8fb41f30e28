"""All of torchvision's classifiers, as the table in the docs says.

A few of them always, one a family by `make test-rare`, every one by `make test-all`.

What is checked of each is `check` in `scripts/classifiers.py`, which makes the table.
"""

from __future__ import annotations

import gc
import importlib.util
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest
from marks import left_to

ROOT = Path(__file__).parents[2]
#: What `make test` tries.
ALWAYS = ("resnet18", "squeezenet1_1")
#: The smallest of each family whose layers are of another kind, or put together in another way.
SAMPLED = (
    "convnext_tiny", "densenet121", "efficientnet_b0", "googlenet", "inception_v3", "maxvit_t", "mnasnet0_5",
    "mobilenet_v2", "regnet_y_400mf", "resnet18", "resnext50_32x4d", "shufflenet_v2_x0_5", "squeezenet1_1", "swin_v2_t",
    "vit_b_32",
)  # fmt: skip


def _script() -> ModuleType:
    spec = importlib.util.spec_from_file_location("classifiers", ROOT / "scripts" / "classifiers.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["classifiers"] = module  # where its dataclass looks for its own annotations
    spec.loader.exec_module(module)
    return module


classifiers = _script()
TABLE = {
    line.split("|")[1].strip(): line
    for line in classifiers.TABLE.read_text(encoding="utf-8").splitlines()
    if line.startswith("| ") and not line.startswith("| classifier")
}


@pytest.fixture(autouse=True)
def memory() -> Iterator[None]:
    """The largest classifiers take gigabytes: one is gone before the next comes."""
    yield
    gc.collect()


def test_the_table_lists_every_classifier() -> None:
    assert list(TABLE) == classifiers.names()
    assert set(SAMPLED) <= set(TABLE)


@pytest.mark.parametrize("name", [pytest.param(n, marks=left_to(n, ALWAYS, SAMPLED)) for n in classifiers.names()])
def test_a_classifier(name: str) -> None:
    assert str(classifiers.check(name)) == TABLE[name]
