"""Taking parts away: against a plain hook, and on networks where it is known what each part does."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor, nn
from visualization.nets import small_classifier

import spade_widgets as sw
from spade_widgets.inspection.ablation import Part, ablate
from spade_widgets.inspection.ablation.ablate import Ablater
from spade_widgets.pruning.calibration.augment import augment


@pytest.fixture(scope="module")
def classifier() -> sw.ImageClassifier:
    return small_classifier()


@pytest.fixture(scope="module")
def sample() -> sw.Sample:
    pixels = np.random.default_rng(0).integers(0, 256, (40, 40, 3), dtype=np.uint8)
    return sw.Sample(Image.fromarray(pixels))


def means(classifier: sw.ImageClassifier, sample: sw.Sample, layer: str, count: int) -> Tensor:
    """Each channel's mean over the augmentations, by a plain hook."""
    module, seen = classifier.module(), []
    module.get_submodule(layer).register_forward_hook(lambda _m, _i, out: seen.append(out.double().clone()))
    with torch.no_grad():
        for images in augment(classifier, sample, count):
            module(images)
    return torch.cat(seen).mean((0, 2, 3))


def plain(classifier: sw.ImageClassifier, sample: sw.Sample, layer: str, values: dict[int, float]) -> Tensor:
    """Logits with some channels of a layer at a value, by a plain hook."""
    module = classifier.module()

    def put(_part: nn.Module, _inputs: object, out: Tensor) -> Tensor:
        out = out.clone()
        for channel, value in values.items():
            out[:, channel] = value
        return out

    module.get_submodule(layer).register_forward_hook(put)
    with torch.no_grad():
        logits: Tensor = module(classifier.prepare(sample))[0]
    return logits


def test_channels_become_their_means(classifier: sw.ImageClassifier, sample: sw.Sample) -> None:
    own = means(classifier, sample, "conv2", 8)
    wanted = plain(classifier, sample, "conv2", {c: float(own[c]) for c in (1, 4)})
    found = ablate(classifier, sample, ["conv2:1", "conv2:4"], neuron="logit:2", augmentations=8)
    assert found.without == pytest.approx(float(wanted[2]), abs=1e-5)
    assert found.value == pytest.approx(float(plain(classifier, sample, "conv2", {})[2]), abs=1e-6)
    assert found.effect == found.value - found.without != 0
    assert [p.probability for p in found.after] == pytest.approx(
        wanted.softmax(0).sort(descending=True).values.tolist()
    )
    assert [p.index for p in found.before] == [p.index for p in sw.predict(classifier, sample)]


def test_a_connection_changes_one_channel_alone(classifier: sw.ImageClassifier, sample: sw.Sample) -> None:
    """What conv2's first channel gives to conv3's third, and nobody else sees."""
    own = float(means(classifier, sample, "conv2", 8)[0])
    module, whole, changed = classifier.module(), [], []
    module.conv3.register_forward_hook(lambda _m, _i, out: whole.append(out.clone()))
    with torch.no_grad():
        module(classifier.prepare(sample))
    other = classifier.module()
    other.conv2.register_forward_hook(lambda _m, _i, out: torch.cat([torch.full_like(out[:, :1], own), out[:, 1:]], 1))
    other.conv3.register_forward_hook(lambda _m, _i, out: changed.append(out.clone()))
    with torch.no_grad():
        other(classifier.prepare(sample))
    mixed = whole[0].clone()
    mixed[:, 3] = changed[0][:, 3]
    last = classifier.module()
    last.conv3.register_forward_hook(lambda _m, _i, _out: mixed)
    with torch.no_grad():
        wanted = float(last(classifier.prepare(sample))[0, 2])
    found = ablate(classifier, sample, "conv2:0 > conv3:3", neuron="logit:2", augmentations=8)
    assert found.without == pytest.approx(wanted, abs=1e-5)
    asked = Part(classifier.neuron("conv2:0"), classifier.neuron("conv3:3"))
    assert ablate(classifier, sample, asked, neuron="logit:2", augmentations=8) == found


def test_a_region_gets_the_mean_colour(classifier: sw.ImageClassifier, sample: sw.Sample) -> None:
    region = np.zeros(classifier.input_size, bool)
    region[2:9, 3:12] = True
    x = classifier.prepare(sample)
    x[:, :, 2:9, 3:12] = classifier.prepare(sample).mean((2, 3))[..., None, None]
    with torch.no_grad():
        wanted = float(classifier.module()(x)[0, 1])
    assert ablate(classifier, sample, region, neuron="logit:1").without == pytest.approx(wanted, abs=1e-5)


def test_a_hidden_neuron_is_compared_by_its_mean(classifier: sw.ImageClassifier, sample: sw.Sample) -> None:
    found = ablate(classifier, sample, "conv2:1", neuron="conv3:2", augmentations=4)
    maps = classifier.module()
    seen: list[Tensor] = []
    maps.conv3.register_forward_hook(lambda _m, _i, out: seen.append(out))
    with torch.no_grad():
        maps(classifier.prepare(sample))
    assert found.value == pytest.approx(float(seen[0][0, 2].mean()), abs=1e-6)
    assert found.effect != 0
    # What comes later changes nothing before it.
    assert ablate(classifier, sample, "conv3:0", neuron="conv2:1", augmentations=4).effect == 0


def test_one_ablater_answers_as_fresh_ones_do(classifier: sw.ImageClassifier, sample: sw.Sample) -> None:
    shared = Ablater(classifier, sample, "logit:0", augmentations=4)
    asked = ["conv1:0", "conv2:3", ("conv1:0", "conv2:3"), "conv1:0"]
    for parts in asked:
        assert shared.without(parts) == ablate(classifier, sample, parts, neuron="logit:0", augmentations=4)


def test_the_model_is_left_as_it_was(classifier: sw.ImageClassifier, sample: sw.Sample) -> None:
    digest = classifier.digest
    ablate(classifier, sample, "conv2:1")
    assert classifier.digest == digest


@pytest.mark.parametrize(
    ("parts", "message"),
    [
        ("nowhere:1", "no layer 'nowhere'"),
        ("conv2:99", "there is no channel 99"),
        ("logit:1", "cannot be taken away"),
        ("conv2:1@0,0", "cannot be taken away"),
        ("conv2:1 > logit:1", "cannot be taken away"),
        ([], "name at least one part"),
        (np.zeros((3, 3), bool), "a mask of what the model sees"),
    ],
)
def test_bad_input_gets_one_sentence(
    classifier: sw.ImageClassifier, sample: sw.Sample, parts: object, message: str
) -> None:
    with pytest.raises(sw.InputError, match=message) as caught:
        ablate(classifier, sample, parts)  # type: ignore[arg-type]
    assert "\n" not in str(caught.value)
