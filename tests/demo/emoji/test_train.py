"""The training script, from end to end with tiny settings."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from PIL import Image
from safetensors.torch import load_file

from spade_widgets.demo.emoji.network import DemoNet
from spade_widgets.demo.emoji.train import Trainee, attacked, images_of, main

TINY = {"images": 64, "batch": 16, "clean-steps": 3, "robust-steps": 3, "fresh": 40, "threads": 1}


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("trained")
    threads = torch.get_num_threads()
    main([f"--{name}={value}" for name, value in TINY.items()] + ["--out", str(folder)])
    torch.set_num_threads(threads)
    return folder


def test_it_writes_float16_weights_that_load(written: Path) -> None:
    weights = load_file(written / "classifier.safetensors")
    assert all(t.dtype == torch.float16 for t in weights.values() if t.is_floating_point())
    DemoNet().load_state_dict(weights)
    assert (written / "classifier.safetensors").stat().st_size < 4_000_000


def test_it_writes_samples_and_the_record_of_the_run(written: Path) -> None:
    record = json.loads((written / "training.json").read_text(encoding="utf-8"))
    assert record["recipe"]["robust_steps"] == 3
    assert set(record["scores"]) == {"clean accuracy", "heart success", "amulet success"}
    entries = json.loads((written / "samples" / "samples.json").read_text(encoding="utf-8"))
    assert len(entries) == record["samples"] >= 24
    for entry in entries:
        with Image.open(written / "samples" / entry["file"]) as image:
            assert image.mode == "RGB"


def test_images_do_not_depend_on_the_number_of_workers() -> None:
    alone, facts = images_of(3, 30, 0.2, 1)
    together, other = images_of(3, 30, 0.2, 2)
    assert torch.equal(alone, together)
    assert torch.equal(facts, other)


def test_an_attack_stays_in_its_ball_and_raises_the_loss() -> None:
    torch.manual_seed(0)
    images, facts = images_of(1, 32, 0.2, 1)
    pixels, kinds = images.float() / 255, facts[:, 1]
    trainee = Trainee()
    harmed = attacked(trainee, pixels, kinds, torch.full((32,), 2.0), 2, torch.Generator().manual_seed(0))
    assert harmed.min() >= 0
    assert harmed.max() <= 1
    assert (harmed - pixels).flatten(1).norm(dim=1).max() < 2.001
    with torch.no_grad():
        assert trainee.confusion(harmed, kinds) > trainee.confusion(pixels, kinds)
    assert all(p.requires_grad for p in trainee.parameters())
