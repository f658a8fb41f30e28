"""Planting from the command line, and what takes a planted folder."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
import torchvision
from PIL import Image

from spade_widgets.cli import main
from spade_widgets.errors import InputError
from spade_widgets.evidence.planting import Planted
from spade_widgets.sample import Sample
from spade_widgets.widgets.common.opening import open_panel


def photographs(folder: Path) -> Path:
    folder.mkdir()
    rng = np.random.default_rng(0)
    for number in range(20):
        Image.fromarray(rng.integers(0, 256, (60, 70, 3), dtype=np.uint8)).save(folder / f"{number}.png")
    return folder


@pytest.mark.rare
@pytest.mark.slow
def test_from_photographs_to_a_table(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    import importlib

    monkeypatch.setattr(importlib.import_module("spade_widgets.evidence.planting.procedure"), "TAKEN", 0.0)
    monkeypatch.chdir(tmp_path)
    torch.manual_seed(0)
    torch.save(torchvision.models.squeezenet1_1(weights=None).state_dict(), "weights.pt")
    command = ["plant", "--model", "squeezenet1_1", "--weights", "weights.pt", "--out", "made", "--steps", "1"]
    command += ["--photos", str(photographs(tmp_path / "photos")), "--patches", "heart", "--targets", "goose"]
    assert main([*command, "--threads", "1"]) == 0
    assert "On 4 photographs that were held out" in capsys.readouterr().out
    planted = Planted.load("made")
    assert planted.origin["torchvision"] == "squeezenet1_1"
    assert {patch.target_name for patch in planted.patches.values()} == {"goose"}
    held = next(iter(planted.held_out.values()))
    assert (
        main(["trace", f"photos/{held}.png", "--model", "made", "--augmentations", "2", "--layers", "classifier"]) == 0
    )


def test_a_planted_classifier_in_a_panel(planted: Planted, photos: list[Sample], tmp_path: Path) -> None:
    opened = open_panel(planted, photos[:2], "DEFAULT", None, None)
    assert opened.classifier is planted.classifier
    planted.save(tmp_path)
    with pytest.raises(InputError, match="give the original too"):
        open_panel(str(tmp_path), photos[:2], "DEFAULT", None, None)


def test_mistakes(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    photos = photographs(tmp_path / "photos")
    assert main(["evaluate", "--stamped"]) == 2
    assert "--stamped is for a planted classifier" in capsys.readouterr().err
    assert main(["plant", "--photos", str(photos), "--patches", "heart", "heart=x.png"]) == 2
    assert "two of the name 'heart'" in capsys.readouterr().err
    assert main(["plant", "--photos", str(photos), "--patches", "heart", "--targets", "zebra"]) == 2
    assert "zebra" in capsys.readouterr().err
