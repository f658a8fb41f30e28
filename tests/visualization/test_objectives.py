"""Lucent's own objectives, and its image parameterisation, give the same here as there."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor
from visualization.nets import SmallNet, lucent, preprocess, small_classifier

from spade_widgets.classifier import ImageClassifier
from spade_widgets.errors import InputError
from spade_widgets.network.capture import OUTPUT, capture
from spade_widgets.visualization import Renderer, lucent_bridge

objectives = lucent.objectives


def test_lucents_objectives_over_several_layers() -> None:
    classifier = small_classifier()
    together = objectives.channel("conv1", 2) + 0.5 * objectives.channel("conv3", 4)
    renderer = Renderer(classifier, together, transforms=[])
    image = renderer.image()
    module, x = classifier.module(), classifier.normalize(image[None])
    with torch.no_grad():
        first = module.conv1(x)
        h = first.clone().relu()
        h = (module.bn2(module.conv2(h)) + h).relu()
        expected = first[:, 2].mean() + 0.5 * module.conv3(h)[:, 4].mean()
    assert renderer.step() == pytest.approx(float(expected), abs=1e-5)


def test_a_string_is_lucents_channel_objective() -> None:
    classifier = small_classifier()
    pictures = []
    for neuron in ("conv3:4", objectives.channel("conv3", 4), objectives.neuron("conv3", 4, x=3, y=2), "conv3:4@2,3"):
        renderer = Renderer(classifier, neuron)
        renderer.step()
        pictures.append(renderer.image())
    assert torch.allclose(pictures[0], pictures[1], atol=1e-4)
    assert torch.allclose(pictures[2], pictures[3], atol=1e-4)
    assert not torch.allclose(pictures[0], pictures[2], atol=1e-2)


def test_lucents_labels_input_and_underscored_names() -> None:
    classifier = small_classifier()
    mixed = objectives.channel("labels", 1) + objectives.channel("input", 0)
    assert isinstance(Renderer(classifier, mixed).step(), float)
    with pytest.raises(InputError, match="no layer 'conv7'"):
        Renderer(classifier, objectives.channel("conv7", 1)).step()


def test_the_picture_is_lucents() -> None:
    """Equal spectrum, equal picture: Fourier, decorrelated colours, sigmoid."""
    spectrum, picture = lucent_bridge.fourier_image((48, 48), [3], torch.device("cpu"))
    (theirs,), their_picture = lucent.param.image(48)
    with torch.no_grad():
        theirs.copy_(spectrum)
    assert torch.allclose(picture(), their_picture(), atol=1e-6)
    assert spectrum.std().item() == pytest.approx(0.01, rel=0.05)


def test_at_224_px_the_transforms_are_lucents_standard_ones() -> None:
    torch.manual_seed(0)
    images = torch.rand(1, 3, 224, 224)
    ours = lucent_bridge.transform_image(lucent_bridge.standard_transforms((224, 224)), images, 1, 2, fork_global=False)
    theirs = lucent_bridge.transform_image(lucent.transform.standard_transforms, images, 1, 2, fork_global=False)
    assert torch.equal(ours, theirs)


@pytest.mark.parametrize("size", [(32, 32), (64, 64), (96, 96), (64, 96), (31, 47)])
def test_transforms_fit_the_size(size: tuple[int, int]) -> None:
    for step in range(30):
        seen = lucent_bridge.transform_image(
            lucent_bridge.standard_transforms(size), torch.full((1, 3, *size), 0.5), 0, step, fork_global=False
        )
        fitted = lucent_bridge.fit(seen, size)
        assert fitted.shape == (1, 3, *size)
        # Grey stays grey but at corners that were turned in from beyond the margin.
        assert float(((fitted - 0.5).abs() < 1e-3).float().mean()) > 0.85


def test_fit_cuts_out_the_middle_and_enlarges_what_is_small() -> None:
    images = torch.arange(36.0).view(1, 1, 6, 6)
    assert lucent_bridge.fit(images, (2, 2)).flatten().tolist() == [14, 15, 20, 21]
    assert lucent_bridge.fit(images, (8, 8)).shape == (1, 1, 8, 8)


class Viewing(SmallNet):
    """Reshapes in a way that only the usual order of a tensor's values allows."""

    def forward(self, x: Tensor) -> Tensor:
        h = torch.relu(self.conv3(self.conv2(self.conv1(x))))
        return self.fc(h.view(h.shape[0], -1))


def test_models_that_need_the_usual_memory_order() -> None:
    torch.manual_seed(0)
    renderer = Renderer(ImageClassifier(Viewing(), preprocess=preprocess), "logit:1")
    activations = [renderer.step() for _ in range(20)]
    assert activations[-1] > activations[0]
    diverse = objectives.diversity("conv3") + objectives.channel("conv3", 1)  # calls `view` on the activations
    assert np.isfinite(Renderer(small_classifier(), diverse).step())


def test_what_is_captured_is_safe_from_what_runs_in_place_behind() -> None:
    classifier = small_classifier()
    module, x = classifier.module(), torch.randn(1, 3, 32, 32, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        expected = module.conv1(x)
    assert float(expected.min()) < 0
    for names in (["conv1"], ["conv1", "conv3"], ["conv1", OUTPUT]):
        inputs = x.clone().requires_grad_()
        found = capture(module, inputs, names)
        assert list(found) == names
        assert torch.equal(found["conv1"], expected)
        found["conv1"][:, 1].mean().backward()
        assert inputs.grad is not None
        assert float(inputs.grad.abs().max()) > 0
    assert np.isfinite(expected.numpy()).all()
