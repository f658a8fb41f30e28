"""Fixtures that the whole suite shares."""

from __future__ import annotations

import gc
import os
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn
from torchvision import transforms

from spade_widgets.classifier import ImageClassifier
from spade_widgets.pruning.pruner import Pruner
from spade_widgets.runtime import tracing

CHECKOUT = Path(__file__).parents[1]


def pytest_configure() -> None:
    torch.set_num_threads(1)  # small tensors: more threads only get in each other's way


def pytest_collection_finish() -> None:
    gc.freeze()  # thousands of tests and all that they import: the collector need not go through them again and again


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
        pytest.skip("no real weights: SPADE_WIDGETS_DATA names no folder of them, and none is beside the checkout")
    return folder


@pytest.fixture
def tiny_model() -> nn.Module:
    """A random classifier of 32 px images into five classes: convolutions (one strided, one grouped), norm, head."""
    torch.manual_seed(1)
    return nn.Sequential(
        nn.Conv2d(3, 8, 3, padding=1),
        nn.BatchNorm2d(8),
        nn.ReLU(),
        nn.Conv2d(8, 16, 3, stride=2, padding=1, groups=2),
        nn.ReLU(),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(16, 5),
    ).eval()


@pytest.fixture
def tiny(tiny_model: nn.Module) -> ImageClassifier:
    """`tiny_model` as a classifier."""
    preprocess = transforms.Compose(
        [transforms.Resize((32, 32)), transforms.ToTensor(), transforms.Normalize([0.5] * 3, [0.25] * 3)]
    )
    return ImageClassifier(tiny_model, class_names=["ant", "bee", "cat", "dog", "eel"], preprocess=preprocess)


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> dict[str, int]:
    """How often a calibration and a solving were begun."""
    count = {"calibrate": 0, "prune": 0}
    stages, prune = tracing.stages, Pruner.prune

    def counted_calibrate(*args: Any, **options: Any) -> Any:
        count["calibrate"] += 1
        return stages(*args, **options)

    def counted_prune(self: Pruner, *args: Any) -> Any:
        count["prune"] += 1
        return prune(self, *args)

    monkeypatch.setattr(tracing, "stages", counted_calibrate)
    monkeypatch.setattr(Pruner, "prune", counted_prune)
    return count


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Names every browser test that did not run, and why: the suite being green says nothing about the panel then."""
    skipped = [report for report in terminalreporter.stats.get("skipped", ()) if "browser" in report.keywords]
    if not skipped:
        return
    terminalreporter.section("browser tests that did NOT run", yellow=True, bold=True)
    for report in skipped:
        reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else report.longrepr
        terminalreporter.line(f"{report.nodeid}: {reason}")
