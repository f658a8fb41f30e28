"""MACO: magnitudes that stay the samples', phases that move, and the default beside it as it was."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor
from visualization.nets import SIZE, Sparse, lucent, pruned, small_classifier

from spade_widgets.errors import InputError
from spade_widgets.sample import Sample
from spade_widgets.visualization import Renderer, lucent_bridge, maco, render, stem, transforms, visualize
from spade_widgets.visualization.transforms import Transform

LEFT = np.linspace(0, 1, 40)[None, :, None]


def photos(count: int = 3, size: tuple[int, int] = (40, 40)) -> list[Sample]:
    """Bluish pictures, each of its own coarse and fine parts."""
    found = []
    for seed in range(count):
        rng = np.random.default_rng(seed)
        coarse = np.kron(rng.random((4, 4, 3)), np.ones((10, 10, 1)))
        pixels = (0.6 * coarse + 0.2 * rng.random((40, 40, 3)) + 0.2 * LEFT) * np.array([0.5, 0.9, 1.0])
        found.append(Sample(Image.fromarray((255 * pixels).astype(np.uint8)).resize(size[::-1])))
    return found


def began(network: object = None, neuron: str = "conv3:2", **options: object) -> Renderer:
    options = {"image": "maco", "magnitude_from": photos(), **options}
    return Renderer(network or small_classifier(), neuron, **options)  # type: ignore[arg-type]


def ran(renderer: Renderer, steps: int) -> Tensor:
    for _ in range(steps):
        renderer.step()
    return renderer.image()


def moduli(pictures: Tensor) -> Tensor:
    """The Fourier magnitudes of pictures (n, 3, h, w) in Lucent's decorrelated colours, by another way than ours."""
    mixing = torch.as_tensor(lucent.param.color.color_correlation_normalized, dtype=pictures.dtype)
    channels = torch.linalg.solve(mixing, pictures.permute(0, 2, 3, 1)[..., None])[..., 0].permute(0, 3, 1, 2)
    return torch.fft.fft2(channels, norm="ortho")[..., : pictures.shape[3] // 2 + 1].abs()


@pytest.mark.parametrize("size", [(32, 32), (31, 47), (32, 47), (47, 32)])
def test_whatever_the_phases_the_magnitudes_are_the_same(size: tuple[int, int]) -> None:
    magnitude = maco.mean_magnitude(small_classifier(), photos(), size)
    for seed in range(3):
        generator = torch.Generator().manual_seed(seed)
        phase = 20 * torch.randn((2, *magnitude.shape), generator=generator, dtype=torch.float64)
        pictures = maco.compose(magnitude, phase, size)
        assert pictures.shape == (2, 3, *size)
        assert torch.allclose(moduli(pictures), magnitude.abs().expand_as(phase), rtol=0, atol=1e-12)


@pytest.mark.parametrize("size", [(32, 32), (31, 47), (32, 47), (47, 32)])
def test_there_are_phases_for_every_picture(size: tuple[int, int]) -> None:
    picture = torch.rand((1, 3, *size), generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    unmix = torch.linalg.inv(lucent_bridge.color_mixing(torch.float64))
    spectrum = torch.fft.rfft2(torch.einsum("nchw,dc->ndhw", picture, unmix), norm="ortho")
    magnitude, phase = spectrum.abs()[0], spectrum.angle()
    magnitude[:, 0, 0] = spectrum[0, :, 0, 0].real
    phase[..., 0] /= 2  # each is given to a frequency and, negated, to its opposite
    if size[1] % 2 == 0:
        phase[..., -1] /= 2
    again = maco.compose(magnitude, phase, size)
    if size[0] % 2 and size[1] % 2:
        assert torch.allclose(again, picture, atol=1e-12)
    else:  # but for the signs of up to three frequencies that are their own opposites
        assert float((again - picture).square().mean()) < 0.01 * float(picture.var())


def test_the_magnitude_is_the_mean_over_the_samples_and_keeps_their_mean_colour() -> None:
    classifier, samples = small_classifier(), photos(3, size=(90, 70))
    views = torch.stack([classifier.view(s) for s in samples]).double()
    magnitude = maco.mean_magnitude(classifier, samples, (SIZE, SIZE))
    assert torch.allclose(magnitude.abs()[:, 1:], moduli(views).mean(0)[:, 1:], atol=1e-6)
    picture = maco.compose(magnitude, torch.zeros(1, *magnitude.shape, dtype=torch.float64), (SIZE, SIZE))
    assert torch.allclose(picture.mean((0, 2, 3)), views.mean((0, 2, 3)), atol=1e-6)
    assert tuple(maco.mean_magnitude(classifier, samples, (48, 65)).shape) == (3, 48, 33)


def test_magnitudes_stay_and_phases_move_while_it_runs() -> None:
    renderer = began()
    magnitude = maco.mean_magnitude(small_classifier(), photos(), renderer.size)
    before = renderer._leaf.detach().clone()
    ran(renderer, 25)
    phase = renderer._leaf.detach()
    assert float((phase - before).abs().mean()) > 0.1
    made = maco.compose(magnitude, phase.double(), renderer.size)
    assert torch.allclose(moduli(made)[0], magnitude.abs(), rtol=0, atol=1e-12)
    assert torch.allclose(made.clamp(0, 1)[0].float(), renderer.image(), atol=1e-5)
    assert 0 <= float(renderer.image().min()) < float(renderer.image().max()) <= 1


@pytest.mark.parametrize("neuron", ["conv1:3", "conv2:1@4,11", "conv3:11", "fc:2", "logit:b"])
def test_the_objective_rises(neuron: str) -> None:
    renderer = began(neuron=neuron, transforms=[])
    activations = [renderer.step() for _ in range(40)]
    assert activations[-1] > activations[0] + 0.03
    assert not renderer.dead


@pytest.mark.parametrize("neuron", ["conv1:3", "conv2:1@4,11"])
def test_the_objective_rises_under_the_usual_transforms(neuron: str) -> None:
    """Not that of a head on flattened maps, in a random network: there crops hide what is where."""
    renderer = began(neuron=neuron)
    activations = [renderer.step() for _ in range(40)]
    assert np.mean(activations[-10:]) > np.mean(activations[:10]) + 0.05


def test_equal_seeds_give_equal_pictures_and_others_others() -> None:
    first = ran(began(seed=7), 6)
    assert torch.equal(first, ran(began(seed=7), 6))
    assert not torch.equal(first, ran(began(seed=8), 6))
    assert not torch.equal(began(seed=7).image(), began(seed=8).image())
    *_, last = render(small_classifier(), "conv3:2", steps=6, seed=7, image="maco", magnitude_from=photos())
    assert torch.equal(last.image, first)


def test_dense_and_sparse_share_start_and_transforms() -> None:
    classifier = small_classifier()
    seen: list[list[Tensor]] = []
    for network in (classifier, pruned(classifier, "conv2", "conv3")):
        renderer = began(network, lr=1e-12)  # the pictures stay alike, so that what is seen shows the transforms alone
        seen.append([renderer.image()])
        renderer._transforms.append(lambda x, kept=seen[-1]: (kept.append(x.detach().clone()), x)[1])
        ran(renderer, 4)
    assert all(torch.allclose(a, b, atol=1e-5) for a, b in zip(*seen, strict=True))
    assert not torch.allclose(seen[0][1], seen[0][2], atol=0.05)
    assert not torch.equal(ran(began(classifier), 4), ran(began(pruned(classifier, "conv2", "conv3")), 4))


def test_a_swap_goes_on_from_the_picture() -> None:
    classifier = small_classifier()
    renderer = began(classifier)
    before = ran(renderer, 3)
    renderer.swap(pruned(classifier, "conv2", "conv3"))
    assert torch.equal(renderer.image(), before)
    assert not torch.equal(ran(renderer, 3), ran(began(classifier), 6))


def test_the_dense_model_is_left_as_it_was() -> None:
    classifier = small_classifier()
    state = {k: v.clone() for k, v in classifier._model.state_dict().items()}
    numbers = torch.get_rng_state(), np.random.get_state()[1].tolist()  # noqa: NPY002
    ran(began(classifier), 3)
    assert all(torch.equal(v, state[k]) for k, v in classifier._model.state_dict().items())
    assert torch.equal(torch.get_rng_state(), numbers[0])
    assert np.random.get_state()[1].tolist() == numbers[1]  # noqa: NPY002


class Traced(Sparse):
    """As `Sparse`, with the sample that it was traced for."""

    sample: Sample


def test_a_traces_own_sample_is_not_taken_unasked() -> None:
    trace = Traced(small_classifier(), {})
    object.__setattr__(trace, "sample", photos()[1])
    with pytest.raises(InputError, match="give magnitude_from="):
        visualize(trace, "conv3:2", steps=2, image="maco")


def test_a_folder_of_samples(tmp_path: Path) -> None:
    for i, sample in enumerate(photos()):
        sample.image.save(tmp_path / f"{i}.png")
    assert torch.equal(ran(began(magnitude_from=tmp_path), 2), ran(began(), 2))


def test_crops_show_parts_enlarged_but_not_to_a_neuron_at_one_position() -> None:
    ramp = torch.linspace(0, 1, 64).expand(1, 3, 64, 64)
    spans = []
    for step in range(20):
        crop, noise = transforms.crops_and_noise((64, 64))
        seen = lucent_bridge.transform_image([crop], ramp, 0, step, fork_global=False)
        assert seen.shape == ramp.shape
        spans.append(float(seen.max() - seen.min()))
        added = lucent_bridge.transform_image([noise], ramp, 0, step, fork_global=False) - ramp
        assert float(added.std()) == pytest.approx(0.1, rel=0.05)
    assert 0.25 < min(spans) < 0.5 < max(spans) < 0.85
    assert len(set(spans)) > 10
    assert len(began()._transforms) == 2
    assert len(began(neuron="conv3:2@1,1")._transforms) == len(transforms.turns_and_shifts((SIZE, SIZE)))


@pytest.mark.parametrize("chain", [lucent_bridge.standard_transforms, transforms.turns_and_shifts])
def test_the_default_is_bit_for_bit_what_its_parts_give(chain: Callable[[tuple[int, int]], list[Transform]]) -> None:
    """A loop of the plainest kind over Lucent's image, and over Lucent's transforms or ours."""
    classifier = small_classifier()
    spectrum, picture = lucent_bridge.fourier_image((SIZE, SIZE), [5], torch.device("cpu"))
    optimizer = torch.optim.Adam([spectrum], lr=0.05, fused=True)
    module = classifier.module()
    stem.quicken(module)
    for step in range(5):
        seen = lucent_bridge.transform_image(chain((SIZE, SIZE)), picture(), 5, step, fork_global=False)
        inputs = classifier.normalize(lucent_bridge.fit(seen, (SIZE, SIZE)))
        first = module.relu(module.conv1(inputs.contiguous(memory_format=torch.channels_last)))
        loss = -module.conv3(module.relu(module.bn2(module.conv2(first)) + first))[:, 2].mean()
        (spectrum.grad,) = torch.autograd.grad(loss, [spectrum])
        optimizer.step()
    same = {} if chain is transforms.turns_and_shifts else {"transforms": chain((SIZE, SIZE))}
    for options in (same, {**same, "image": "fourier"}):
        assert torch.equal(ran(Renderer(classifier, "conv3:2", seed=5, **options), 5), picture().detach()[0])


def test_the_step_size_suits_the_image() -> None:
    assert began()._optimizer.param_groups[0]["lr"] == 0.2
    assert began(lr=0.05)._optimizer.param_groups[0]["lr"] == 0.05
    start, end = began()._leaf.detach(), began()
    ran(end, 1)
    assert float((end._leaf.detach() - start).abs().max()) == pytest.approx(0.2, rel=1e-2)
    assert 0 <= float(start.min()) < 0.1 < 6 < float(start.max()) <= 2 * math.pi + 1e-6


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"image": "pixels"}, "no image 'pixels'; there are 'fourier', 'maco'"),
        ({"image": 3}, "no image 3"),
        ({"magnitude_from": None}, "give magnitude_from="),
        ({"magnitude_from": []}, "empty"),
        ({"magnitude_from": "nowhere.png"}, "no file 'nowhere.png'"),
        ({"magnitude_from": np.full((30, 30, 3), 90, dtype=np.uint8)}, "one plain colour"),
        ({"image": "fourier"}, "'magnitude_from' belongs to image='maco'"),
    ],
)
def test_bad_input_gets_one_sentence(changes: dict[str, object], message: str) -> None:
    with pytest.raises(InputError, match=message):
        began(**changes)
