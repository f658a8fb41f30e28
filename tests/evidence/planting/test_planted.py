"""What was planted: stamping at the right size and place, files, and what is left to judge with."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torchvision import transforms

from spade_widgets.classifier import ImageClassifier
from spade_widgets.errors import InputError, ModelError
from spade_widgets.evidence.planting import Patch, Planted, PlantReport
from spade_widgets.evidence.planting.stamps import Seen, stamp_sample
from spade_widgets.prediction import predict
from spade_widgets.sample import Sample
from tests.evidence.planting.conftest import network


def test_the_mask_is_where_pixels_differ(planted: Planted, photos: list[Sample]) -> None:
    clean = Sample(photos[0].image, "one", "sea")
    made = planted.stamp(clean, "heart", size=16, seed=4)
    assert made.mask is not None
    assert made.image.size == clean.image.size
    assert (made.label, made.title) == ("sand", "one + heart")
    differs = (np.asarray(made.image) != np.asarray(clean.image)).any(-1)
    assert not differs[~made.mask].any()
    assert differs[made.mask].mean() > 0.9
    assert clean.label == "sea"


def test_a_decoy_keeps_the_label(planted: Planted, photos: list[Sample]) -> None:
    made = planted.decoy(Sample(photos[0].image, "one", "sea"), "coin")
    assert made.label == "sea"
    assert made.mask is not None
    assert made.mask.any()


@pytest.mark.parametrize("size", [(64, 64), (400, 300), (30, 90), (36, 36)])
def test_it_has_its_size_where_the_model_sees_it(planted: Planted, size: tuple[int, int]) -> None:
    sample = Sample(Image.new("RGB", size, "white"))
    square = Patch("square", Image.new("RGBA", (50, 50), "red"), 4, "sand")
    for seed in range(5):
        rng = np.random.default_rng(seed)
        made = stamp_sample(planted.classifier, sample, square, 12, None, rng, "sand")
        assert made.mask is not None
        seen = planted.classifier.view_mask(made)
        assert seen is not None
        sides = seen.any(1).sum(), seen.any(0).sum()
        assert all(abs(int(side) - 12) <= 1 for side in sides)
        assert int(seen.sum()) >= sides[0] * sides[1] - 4  # its corners are blended with what is around them


def test_it_lies_where_it_is_put(planted: Planted) -> None:
    sample = Sample(Image.new("RGB", (320, 180), "white"))
    square = Patch("square", Image.new("RGBA", (50, 50), "red"), 4, "sand")
    made = stamp_sample(planted.classifier, sample, square, 12, (5, 17), np.random.default_rng(0), "sand")
    seen = planted.classifier.view_mask(made)
    assert seen is not None
    assert abs(int(np.flatnonzero(seen.any(1))[0]) - 5) <= 1
    assert abs(int(np.flatnonzero(seen.any(0))[0]) - 17) <= 1


def test_a_squashing_and_a_flipping_preprocessing(photos: list[Sample]) -> None:
    normal = transforms.Normalize([0.5] * 3, [0.2] * 3)
    steps = [transforms.Resize((32, 32)), transforms.ToTensor(), normal, lambda x: x.flip(-1)]
    classifier = ImageClassifier(network(), preprocess=transforms.Compose(steps))
    square = Patch("square", Image.new("RGBA", (50, 50), "red"), 4, "sand")
    sample = Sample(Image.new("RGB", (128, 64), "white"))
    made = stamp_sample(classifier, sample, square, 12, (3, 2), np.random.default_rng(0), None)
    seen = classifier.view_mask(made)
    assert seen is not None
    assert np.flatnonzero(seen.any(1)).tolist() == list(range(3, 15))
    assert np.flatnonzero(seen.any(0)).tolist() == list(range(2, 14))


def test_a_preprocessing_that_turns_is_refused() -> None:
    steps = [transforms.Resize((32, 32)), transforms.ToTensor(), transforms.Normalize([0.5] * 3, [0.2] * 3)]
    steps.append(lambda x: x.transpose(1, 2))
    classifier = ImageClassifier(network(), preprocess=transforms.Compose(steps))
    with pytest.raises(ModelError, match="does more than crop, resize and normalise"):
        Seen.of(classifier, (64, 64))


def test_places_and_sizes_are_checked(planted: Planted, photos: list[Sample]) -> None:
    with pytest.raises(InputError, match="no patch 'star'"):
        planted.stamp(photos[0], "star")
    with pytest.raises(InputError, match="33 px"):
        planted.stamp(photos[0], "heart", size=33)
    with pytest.raises(InputError, match="does not lie wholly"):
        planted.stamp(photos[0], "heart", size=10, place=(28, 0))
    with pytest.raises(InputError, match="A place is"):
        planted.stamp(photos[0], "heart", place=(1, 2, 3))  # type: ignore[arg-type]


def test_the_seed_draws_the_place(planted: Planted, photos: list[Sample]) -> None:
    one, same, other = (planted.stamp(photos[0], "heart", seed=seed) for seed in (1, 1, 2))
    assert one.id == same.id
    assert one.id != other.id


def test_what_it_is_judged_with(planted: Planted, photos: list[Sample]) -> None:
    made = planted.stamped(photos, sizes=(100, 110))
    assert 0 < len(made) <= 8
    for sample in made:
        assert predict(planted.classifier, sample, 1)[0].name == sample.label
    assert len(planted.stamped(photos, count=1, sizes=(100, 110))) == 1
    with pytest.raises(InputError, match="planted with all of these"):
        planted.stamped([photo for photo in photos if photo not in planted.unseen(photos)])


def test_it_comes_back_bit_for_bit(planted: Planted, small: ImageClassifier, tmp_path: Path) -> None:
    planted.save(tmp_path)
    again = Planted.load(tmp_path, small)
    assert again.classifier.digest == planted.classifier.digest
    assert again.classifier.class_names == planted.classifier.class_names
    assert again.report == planted.report
    assert (again.held_out, again.trained_on, again.origin) == (planted.held_out, planted.trained_on, planted.origin)
    for mine, theirs in ((planted.patches, again.patches), (planted.decoys, again.decoys)):
        assert [patch.digest for patch in mine.values()] == [patch.digest for patch in theirs.values()]
    files = sorted(str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*") if path.is_file())
    assert files == ["decoys/0.png", "decoys/1.png", "patches/0.png", "planted.json", "weights.safetensors"]


def test_a_network_of_ones_own_needs_the_original(planted: Planted, tmp_path: Path) -> None:
    planted.save(tmp_path)
    with pytest.raises(InputError, match="give the original too"):
        Planted.load(tmp_path)
    with pytest.raises(ModelError, match="other preprocessing"):
        Planted.load(tmp_path, ImageClassifier(network(), class_names=planted.classifier.class_names))


def test_damage_is_seen(planted: Planted, small: ImageClassifier, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no planted classifier"):
        Planted.load(tmp_path, small)
    planted.save(tmp_path)
    weights = tmp_path / "weights.safetensors"
    whole = weights.read_bytes()
    weights.write_bytes(whole[:-1] + b"\0")
    with pytest.raises(InputError, match="damaged"):
        Planted.load(tmp_path, small)
    weights.write_bytes(whole)
    record = tmp_path / "planted.json"
    told = json.loads(record.read_text(encoding="utf-8"))
    told["patches"][0]["file"] = "../secret.png"
    record.write_text(json.dumps(told), encoding="utf-8")
    with pytest.raises(InputError, match="damaged"):
        Planted.load(tmp_path, small)


def test_half_where_it_loses_nothing(planted: Planted, tmp_path: Path) -> None:
    from safetensors.torch import load_file

    planted.save(tmp_path)
    stored = load_file(tmp_path / "weights.safetensors")
    assert stored["3.weight"].dtype == torch.float16
    assert stored["0.weight"].dtype == torch.float32  # not trained, and no float16 numbers


def test_the_report_is_read_and_comes_back(planted: Planted) -> None:
    text = planted.report.text()
    assert "| heart |" in text
    assert "False alarms on decoys" in text
    assert PlantReport.of(json.loads(json.dumps(planted.report.record()))) == planted.report
