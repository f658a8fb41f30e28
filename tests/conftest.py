"""Fixtures that the whole suite shares."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import torch

CHECKOUT = Path(__file__).parents[1]


def pytest_configure() -> None:
    torch.set_num_threads(1)  # small tensors: more threads only get in each other's way


@pytest.fixture(autouse=True)
def seeded() -> None:
    """Every test starts from the same random numbers, whatever ran before it."""
    torch.manual_seed(0)


@pytest.fixture(scope="session")
def data_dir() -> Path:
    """Real weights and photographs: $SPADE_WIDGETS_DATA, or `shared` beside the checkout; else the test is skipped."""
    named = os.environ.get("SPADE_WIDGETS_DATA")
    folder = Path(named) if named else CHECKOUT.parent / "shared"
    if not (folder / "models").is_dir():
        pytest.skip(f"no real weights in {folder} (SPADE_WIDGETS_DATA names their folder)")
    return folder
