"""What a panel can be opened on, and the Python that makes it again."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file
from torch import nn

from spade_widgets.classifier import ImageClassifier
from spade_widgets.demo import emoji, photos
from spade_widgets.errors import InputError, ModelError
from spade_widgets.sample import Sample
from spade_widgets.widgets.common.opening import Opened, open_panel


def opened(model: Any = None, samples: Any = None, weights: Any = "DEFAULT", **more: Any) -> Opened:
    return open_panel(model, samples, weights, more.get("class_names"), more.get("preprocess"))


def array(seed: int) -> Any:
    return np.random.default_rng(seed).integers(0, 256, (32, 32, 3), dtype=np.uint8)


def evaluated(code: str) -> Any:
    import spade_widgets as sw

    return eval(code, {"sw": sw, "emoji": emoji, "photos": photos})  # noqa: S307 - it is our own code that is tested


@pytest.mark.parametrize(("given", "room"), [(None, photos), ("photos", photos), ("emoji", emoji)])
def test_the_built_in_classifiers_and_their_samples(given: str | None, room: Any) -> None:
    found = opened(given)
    assert found.classifier is room.classifier()
    assert found.samples == tuple(room.samples())
    assert evaluated(found.classifier_code) is found.classifier
    for sample in found.samples:
        assert evaluated(found.sample_code[sample.id]).id == sample.id
    assert {name: getattr(found, name) for name in room.BEGIN} == room.BEGIN


def test_the_built_in_samples_without_their_labels_for_another_classifier(tiny: ImageClassifier) -> None:
    found = opened(tiny)
    assert found.classifier is tiny
    assert len(found.samples) == len(photos.samples())
    assert all(sample.label is None and sample.mask is None for sample in found.samples)
    assert (found.steps, found.size) == (256, None)
    # Their code gives the same pixels: the trace is the same.
    for sample in found.samples[:3]:
        assert evaluated(found.sample_code[sample.id]).image.tobytes() == sample.image.tobytes()


def test_a_module_with_its_own_preprocessing(tiny_model: nn.Module, tiny: ImageClassifier) -> None:
    found = opened(tiny_model, array(0), class_names=list("abcde"), preprocess=tiny._preprocess)
    assert found.classifier.class_names == tuple("abcde")
    assert found.classifier.input_size == (32, 32)
    assert found.classifier_code == "explorer.session.classifier"


def test_samples_in_any_form(tiny: ImageClassifier, tmp_path: Path) -> None:
    for i, name in enumerate(("b.png", "a.jpg")):
        Image.fromarray(array(i)).save(tmp_path / name)
    (tmp_path / "notes.txt").write_text("no image")
    path = str(tmp_path / "b.png")
    given = [path, Path(path).with_name("a.jpg"), Image.fromarray(array(2)), array(3), torch.rand(3, 8, 8)]
    found = opened(tiny, given)
    assert len(found.samples) == 5
    for sample, source in zip(found.samples[:2], given[:2], strict=True):
        assert evaluated(found.sample_code[sample.id]) == str(source)
    assert len(found.sample_code) == 2  # the others live in this kernel alone
    folder = opened(tiny, tmp_path)
    assert [sample.title for sample in folder.samples] == ["a", "b"]
    assert len(folder.sample_code) == 2
    (one,) = opened(tiny, array(0)).samples
    (same,) = opened(tiny, Sample(Image.fromarray(array(0)), "array")).samples
    assert one.id == same.id


def test_local_weights_by_a_torchvision_name(tmp_path: Path) -> None:
    from torchvision.models import squeezenet1_1

    path = tmp_path / "it's mine.safetensors"
    save_file(squeezenet1_1(weights=None).state_dict(), path)
    for weights in (path, str(path)):
        found = opened("squeezenet1_1", array(0), weights)
        again = evaluated(found.classifier_code)
        assert again.digest == found.classifier.digest


def test_random_weights_cannot_be_made_again(tiny: ImageClassifier) -> None:
    found = opened("squeezenet1_1", array(0), None)
    assert found.classifier_code == "explorer.session.classifier"


@pytest.mark.parametrize(
    ("model", "options", "said"),
    [
        (None, {"weights": "file.safetensors"}, "weights"),
        (None, {"class_names": ["a"]}, "class_names"),
        (None, {"preprocess": lambda image: image}, "preprocess"),
        ("emoji", {"weights": "file.safetensors"}, "weights"),
        ("photos", {"class_names": ["a"]}, "class_names"),
        ("tiny", {"weights": None}, "weights"),
        ("tiny", {"class_names": list("abcde")}, "class_names"),
        ("no_such_net", {}, "no_such_net"),
        (42, {}, "type int is no classifier"),
        ("tiny", {"samples": []}, "empty"),
        ("tiny", {"samples": 42}, "int is not an image"),
        ("tiny", {"samples": "nowhere.png"}, "nowhere.png"),
        ("tiny", {"samples": ["nowhere.png"]}, "nowhere.png"),
    ],
)
def test_what_cannot_be_used_is_said_and_not_passed_over(
    tiny: ImageClassifier, model: Any, options: dict[str, Any], said: str
) -> None:
    with pytest.raises((InputError, ModelError), match=said) as caught:
        opened(tiny if model == "tiny" else model, **options)
    assert "\n" not in str(caught.value)
