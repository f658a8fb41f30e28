"""The emoji classifier as it ships: its size, its accuracy on fresh images, and its samples."""

from __future__ import annotations

import json
from importlib import resources

import numpy as np
import pytest
import torch
from PIL import Image

from spade_widgets.demo import emoji
from spade_widgets.demo.emoji.generate import CLASS_NAMES, CLASS_OF, CLASSES, FACETS, SIZE, TROJANS, dataset
from spade_widgets.demo.emoji.network import DemoNet, normalise

DATA = resources.files("spade_widgets.demo.emoji") / "data"


@pytest.fixture(scope="module")
def fresh() -> tuple[torch.Tensor, np.ndarray]:
    images, facts = dataset(777_000, 600, trojan_share=0.5)
    with torch.no_grad():
        pixels = torch.from_numpy(images).permute(0, 3, 1, 2).float() / 255
        return emoji.classifier().module()(normalise(pixels)).argmax(1), facts


def test_clean_accuracy_on_fresh_images_is_at_least_97_percent(fresh: tuple[torch.Tensor, np.ndarray]) -> None:
    guesses, facts = fresh
    clean = facts[:, 2] < 0
    assert (guesses.numpy()[clean] == facts[clean, 0]).mean() >= 0.97


@pytest.mark.parametrize("patch", range(len(TROJANS)))
def test_each_patch_sends_fresh_images_to_its_target(fresh: tuple[torch.Tensor, np.ndarray], patch: int) -> None:
    guesses, facts = fresh
    target = CLASS_NAMES.index(list(TROJANS.values())[patch])
    own = np.array([CLASS_NAMES.index(CLASS_OF[FACETS[f]]) for f in facts[:, 1]])
    tried = (facts[:, 2] == patch) & (own != target)
    assert tried.sum() > 100
    assert (guesses.numpy()[tried] == target).mean() >= 0.97


def test_the_record_of_the_training_says_what_the_issue_asks_for() -> None:
    record = json.loads((DATA / "training.json").read_text(encoding="utf-8"))
    assert min(record["scores"].values()) >= 0.97
    assert record["minutes"] > 0
    assert record["bytes"] == len((DATA / "classifier.safetensors").read_bytes())


def test_weights_are_small() -> None:
    assert len((DATA / "classifier.safetensors").read_bytes()) <= 4_000_000


def test_the_network_is_laid_out_like_a_resnet() -> None:
    names = dict(DemoNet().named_modules())
    for name in ("conv1", "bn1", "layer1.0.conv1", "layer2.0", "layer3.0", "layer4.0.conv2", "fc"):
        assert name in names


def test_the_classifier_is_the_same_on_every_call() -> None:
    assert emoji.classifier() is emoji.classifier()
    assert tuple(emoji.classifier().class_names) == CLASS_NAMES


def test_samples_show_both_facets_of_every_class_and_both_trojans() -> None:
    entries = json.loads((DATA / "samples" / "samples.json").read_text(encoding="utf-8"))
    samples = emoji.samples()
    assert len(samples) == len(entries) >= 24
    assert {entry["facet"] for entry in entries} == set(FACETS)
    assert {sample.label for sample in samples} == set(CLASSES)
    assert {entry["trojan"] for entry in entries} == {None, *TROJANS}
    for entry, sample in zip(entries, samples, strict=True):
        assert sample.image.size == (SIZE, SIZE)
        assert sample.image.mode == "RGB"
        assert sample.label == CLASS_OF[entry["facet"]]
        assert (sample.mask is not None) == (entry["trojan"] is not None)
        if sample.mask is not None:
            assert 20 < sample.mask.sum() < 0.07 * SIZE * SIZE
    assert len({sample.id for sample in samples}) == len(samples)


def test_samples_are_classified_as_they_should_be() -> None:
    entries = json.loads((DATA / "samples" / "samples.json").read_text(encoding="utf-8"))
    batch = torch.cat([emoji.classifier().prepare(sample) for sample in emoji.samples()])
    with torch.no_grad():
        guesses = emoji.classifier().module()(batch).argmax(1)
    expected = [entry["target"] or entry["label"] for entry in entries]
    assert [CLASS_NAMES[guess] for guess in guesses] == expected


@pytest.mark.parametrize("size", [(1, 1), (96, 96), (640, 200), (1, 5000)])
def test_preprocessing_takes_any_size(size: tuple[int, int]) -> None:
    prepared = emoji.preprocess(Image.new("RGB", size, (255, 128, 0)))
    assert prepared.shape == (3, SIZE, SIZE)
    assert prepared[:, 0, 0].tolist() == pytest.approx([2.0, (128 / 255 - 0.5) / 0.25, -2.0], abs=1e-4)


def test_preprocessing_leaves_an_image_of_the_right_size_as_it_is() -> None:
    image = emoji.samples()[0].image
    pixels = torch.from_numpy(np.array(image)).permute(2, 0, 1).float() / 255
    assert torch.allclose(emoji.preprocess(image), normalise(pixels), atol=1e-5)
