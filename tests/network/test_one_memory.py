"""Equal weights of models that the package makes lie in memory once."""

from __future__ import annotations

import gc
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import nn
from torchvision.models import squeezenet1_1

from spade_widgets.classifier import ImageClassifier
from spade_widgets.network.one_memory import LEAST, share_memory


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    """Of a SqueezeNet."""
    torch.manual_seed(0)
    save_file(squeezenet1_1().state_dict(), tmp_path / "weights.safetensors")
    return tmp_path / "weights.safetensors"


def places(classifier: ImageClassifier) -> set[int]:
    """Where its larger weights lie."""
    return {p.data_ptr() for p in classifier.module().parameters() if p.numel() >= LEAST}


def test_a_file_that_is_loaded_again_takes_no_more_memory(weights: Path) -> None:
    one = ImageClassifier.from_torchvision("squeezenet1_1", weights)
    other = ImageClassifier.from_torchvision("squeezenet1_1", weights)
    assert len(places(one)) > 10
    assert places(one) == places(other)
    assert one.digest == other.digest
    del one  # the second has its place
    gc.collect()
    assert places(ImageClassifier.from_torchvision("squeezenet1_1", weights)) == places(other)


def test_memory_is_free_again_once_no_model_has_it() -> None:
    def layer() -> nn.Linear:
        torch.manual_seed(0)
        return nn.Linear(128, 128)

    from spade_widgets.network import one_memory

    before = len(one_memory._known)
    kept = share_memory(layer())
    assert len(one_memory._known) == before + 1
    del kept
    gc.collect()
    assert len(one_memory._known) == before


def test_weights_that_differ_in_one_number_lie_apart() -> None:
    one, other = nn.Linear(128, 128), nn.Linear(128, 128)
    with torch.no_grad():
        other.weight.copy_(one.weight)
        other.weight[77, 77] += 1e-3
    share_memory(one)
    expected = other.weight.clone()
    share_memory(other)
    assert torch.equal(other.weight, expected)
    assert one.weight.data_ptr() != other.weight.data_ptr()


def test_a_users_own_model_keeps_its_memory(weights: Path) -> None:
    known = ImageClassifier.from_torchvision("squeezenet1_1", weights)
    own = squeezenet1_1().eval()
    own.load_state_dict(known.module().state_dict())
    before = [p.data_ptr() for p in own.parameters()]
    classifier = ImageClassifier(own)
    assert [p.data_ptr() for p in own.parameters()] == before
    assert places(classifier).isdisjoint(places(known))


def test_a_planted_classifier_that_is_loaded_again_takes_no_more_memory(tmp_path: Path) -> None:
    from spade_widgets.demo import photos
    from spade_widgets.evidence.planting import Planted

    photos.planted().save(tmp_path / "planted")
    one, other = (Planted.load(tmp_path / "planted").classifier for _ in range(2))
    assert places(one) == places(other)
