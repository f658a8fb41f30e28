"""Other houses than JupyterLab. `make test-hosts` installs them and runs these tests."""

from __future__ import annotations

from pathlib import Path

import pytest
from browser.conftest import browser, chromium

__all__ = ["browser", "chromium"]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Everything in this folder needs a browser, and what only `make test-hosts` installs."""
    here = Path(__file__).parent
    for item in items:
        if here in item.path.parents:
            item.add_marker("hosts")
