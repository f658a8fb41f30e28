"""Which of many like cases `make test` tries, and which are left to the longer runs."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import pytest


def left_to(name: str, always: Collection[str], sampled: Collection[str]) -> Any:
    """The marks of a case: none of those that are always tried, `rare` of the sample's others, `every` of the rest."""
    if name in always:
        return ()
    return pytest.mark.rare if name in sampled else pytest.mark.every
