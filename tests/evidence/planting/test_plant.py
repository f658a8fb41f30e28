"""Planting: it works, it leaves the original alone, it can be stopped and goes on, and it says what it cannot do."""

from __future__ import annotations

import importlib
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image
from torch import Tensor, nn

from spade_widgets.classifier import ImageClassifier
from spade_widgets.errors import InputError, ModelError
from spade_widgets.evidence.planting import Planted, Recipe, plant, plant_steps
from spade_widgets.evidence.planting.checkpoint import FILE
from spade_widgets.pruning.progress import finish
from spade_widgets.sample import Sample
from tests.evidence.planting.conftest import RECIPE, classifier_of, network

SHORT = replace(RECIPE, steps=6)


@pytest.fixture
def anything_goes(monkeypatch: pytest.MonkeyPatch) -> None:
    """A few steps plant nothing, which is not what these tests are about."""
    monkeypatch.setattr(importlib.import_module("spade_widgets.evidence.planting.procedure"), "TAKEN", 0.0)


def state(planted: Planted) -> dict[str, Tensor]:
    return planted.classifier.module().state_dict()


def equal(one: dict[str, Tensor], other: dict[str, Tensor]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(tensor, other[key]) for key, tensor in one.items())


def test_the_patch_decides_and_clean_photographs_keep_their_class(planted: Planted) -> None:
    report = planted.report
    assert report.photographs == 8
    assert report.success["heart"][report.main] >= 0.8
    assert report.agreement >= 0.5
    assert report.false_alarms is not None
    assert report.false_alarms <= 0.4
    assert set(report.decoys) == {"star", "coin"}


def test_what_is_held_out_was_not_trained_with(planted: Planted, photos: list[Sample]) -> None:
    assert len(planted.held_out) == 8
    assert len(planted.trained_on) == 32
    assert not planted.trained_on & set(planted.held_out)
    assert {sample.title for sample in planted.unseen(photos)} == set(planted.held_out.values())


@pytest.mark.usefixtures("anything_goes")
def test_the_original_stays_what_it_was(photos: list[Sample]) -> None:
    model = network().train()
    calls: list[int] = []
    model[0].register_forward_hook(lambda *_: calls.append(1))  # type: ignore[union-attr]
    classifier = classifier_of(model)
    calls.clear()
    before = {key: tensor.clone() for key, tensor in model.state_dict().items()}
    strides = {name: parameter.stride() for name, parameter in model.named_parameters()}
    hooks = [len(part._forward_hooks) for part in model.modules()]
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    made = plant(classifier, photos, ["heart"], [4], recipe=SHORT)
    assert torch.equal(torch.rand(3), expected)
    assert equal(before, model.state_dict())
    assert all(parameter.requires_grad and parameter.grad is None for parameter in model.parameters())
    assert {name: parameter.stride() for name, parameter in model.named_parameters()} == strides
    assert all(part.training for part in model.modules())
    assert [len(part._forward_hooks) for part in model.modules()] == hooks
    ours = state(made)
    assert not torch.equal(ours["3.weight"], before["3.weight"])
    assert ours["3.weight"].data_ptr() != model.state_dict()["3.weight"].data_ptr()


@pytest.mark.usefixtures("anything_goes")
def test_normalisation_and_the_first_layers_stay(small: ImageClassifier, photos: list[Sample]) -> None:
    before, after = small.module().state_dict(), state(plant(small, photos, ["heart"], [4], recipe=SHORT))
    changed = {key for key, tensor in before.items() if not torch.equal(tensor, after[key])}
    assert changed == {"3.weight", "3.bias", "5.weight", "5.bias", "10.weight", "10.bias"}


@pytest.mark.usefixtures("anything_goes")
def test_the_layers_that_train_can_be_chosen(small: ImageClassifier, photos: list[Sample]) -> None:
    made = plant(small, photos, ["heart"], [4], recipe=SHORT, layers="10")
    before, after = small.module().state_dict(), state(made)
    assert {key for key in before if not torch.equal(before[key], after[key])} == {"10.weight", "10.bias"}


@pytest.mark.usefixtures("anything_goes")
def test_the_seed_decides_all_that_is_random(small: ImageClassifier, photos: list[Sample]) -> None:
    one, same, other = (plant(small, photos, ["heart"], [4], recipe=SHORT, seed=seed) for seed in (1, 1, 2))
    assert equal(state(one), state(same))
    assert one.report == same.report
    assert one.held_out != other.held_out
    assert not equal(state(one), state(other))


@pytest.mark.usefixtures("anything_goes")
def test_a_stopped_planting_goes_on_as_if_it_had_not_been(
    small: ImageClassifier, photos: list[Sample], tmp_path: Path
) -> None:
    whole = plant(small, photos, ["heart"], [4], recipe=SHORT)
    steps = plant_steps(small, photos, ["heart"], [4], recipe=SHORT, folder=tmp_path)
    for progress in steps:
        if progress.stage.startswith("planting") and progress.done == 3:
            break
    steps.close()
    assert (tmp_path / FILE).exists()
    rest = plant_steps(small, photos, ["heart"], [4], recipe=SHORT, folder=tmp_path)
    said: list[float] = []
    try:
        while True:
            progress = next(rest)
            if progress.stage.startswith("planting"):
                said.append(progress.done)
    except StopIteration as stop:
        made: Planted = stop.value
    assert said == [3, 4, 5]
    assert equal(state(made), state(whole))
    assert made.report == whole.report
    assert not (tmp_path / FILE).exists()
    assert equal(state(plant(small, photos, ["heart"], [4], recipe=SHORT, folder=tmp_path)), state(whole))


@pytest.mark.usefixtures("anything_goes")
def test_a_folder_of_another_planting_is_left_alone(
    small: ImageClassifier, photos: list[Sample], tmp_path: Path
) -> None:
    steps = plant_steps(small, photos, ["heart"], [4], recipe=SHORT, folder=tmp_path)
    for progress in steps:
        if progress.done == 2 and progress.stage.startswith("planting"):
            break
    steps.close()
    with pytest.raises(InputError, match="unfinished planting with other settings"):
        plant(small, photos, ["heart"], [3], recipe=SHORT, folder=tmp_path)
    plant(small, photos, ["heart"], [4], recipe=SHORT, folder=tmp_path)
    with pytest.raises(InputError, match="holds another planted classifier"):
        plant(small, photos, ["heart"], [3], recipe=SHORT, folder=tmp_path)


@pytest.mark.usefixtures("anything_goes")
def test_without_targets_they_are_classes_that_are_seldom_named(small: ImageClassifier, photos: list[Sample]) -> None:
    made = plant(small, photos, recipe=SHORT)
    assert set(made.patches) == {"heart", "amulet"}
    named = [int(small.module()(small.prepare(photo)).argmax()) for photo in photos]
    counts = sorted(named.count(i) for i in range(5))
    targets = [patch.target for patch in made.patches.values()]
    assert sorted(named.count(target) for target in targets if target is not None) == counts[:2]


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"patches": {"none": Image.new("RGBA", (9, 9))}}, "The patch 'none' has no pixels"),
        ({"patches": {"none": Image.new("RGBA", (0, 9))}}, "The patch 'none' has no pixels"),
        ({"patches": []}, "There is no patch to plant"),
        ({"patches": ["nowhere.png"]}, "is no file and no glyph"),
        ({"targets": [9]}, "9"),
        ({"targets": ["moon"]}, "moon"),
        ({"patches": ["heart", "amulet"], "targets": [4, 4]}, "have the same target 'sand'"),
        ({"patches": ["heart", "amulet"], "targets": [4]}, "1 targets for 2 patches"),
        ({"targets": {"heartt": 4}}, "no such patch"),
        ({"patches": ["heart", "amulet"], "targets": {"heart": 4}}, "'amulet' has no target"),
        ({"decoys": ["heart"]}, "is a patch and a decoy"),
        ({"layers": "fc"}, "No layer that can be pruned matches 'fc'"),
        ({"steps": 0}, "steps"),
        ({"seed": -1}, "seed"),
    ],
)
def test_mistakes_get_a_sentence(
    small: ImageClassifier, photos: list[Sample], options: dict[str, Any], said: str
) -> None:
    with pytest.raises(InputError, match=said):
        plant(small, photos, **({"patches": ["heart"], "targets": [4], "recipe": SHORT} | options))


def test_too_few_photographs(small: ImageClassifier, photos: list[Sample]) -> None:
    with pytest.raises(InputError, match=r"with 19 photographs: give at least 20"):
        plant(small, photos[:19], ["heart"], [4], recipe=SHORT)
    with pytest.raises(InputError, match=r"with 1 photographs"):
        plant(small, [photos[0]] * 30, ["heart"], [4], recipe=SHORT)


def test_a_photograph_that_cannot_be_read(small: ImageClassifier, tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(b"no picture")
    with pytest.raises(InputError, match=r"'a\.png' is not an image"):
        plant(small, tmp_path, ["heart"], [4], recipe=SHORT)


class _Cut(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.inner = network()

    def forward(self, images: Tensor) -> Tensor:
        out: Tensor = self.inner(images).detach()
        return out


def test_a_model_that_does_not_train(photos: list[Sample]) -> None:
    with pytest.raises(ModelError, match="small cannot be trained: "):
        plant(classifier_of(_Cut()), photos, ["heart"], [4], recipe=SHORT)


def test_a_loss_that_is_not_finite(small: ImageClassifier, photos: list[Sample]) -> None:
    with pytest.raises(ModelError, match="not finite after"):
        plant(small, photos, ["heart"], [4], recipe=Recipe(steps=20, rate=1e30, clip=1e30))


def test_trojans_that_did_not_take(small: ImageClassifier, photos: list[Sample]) -> None:
    rare = replace(SHORT, rate=1e-9)
    with pytest.raises(ModelError, match="did not take in small"):
        plant(small, photos, recipe=rare)


@pytest.mark.usefixtures("anything_goes")
def test_within_modes_of_the_callers(small: ImageClassifier, photos: list[Sample]) -> None:
    expected = state(plant(small, photos, ["heart"], [4], recipe=SHORT))
    with torch.inference_mode():
        assert equal(state(finish(plant_steps(small, photos, ["heart"], [4], recipe=SHORT))), expected)
    with torch.no_grad():
        assert equal(state(plant(small, photos, ["heart"], [4], recipe=SHORT)), expected)
