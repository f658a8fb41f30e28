"""Pictures that begin at a sample: the start is the sample, near is near, and what did not matter fades."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor, nn
from visualization.nets import SIZE, SmallNet, preprocess, pruned, small_classifier
from visualization.test_maco import photos

from spade_widgets.classifier import ImageClassifier
from spade_widgets.demo import emoji
from spade_widgets.errors import InputError
from spade_widgets.sample import Sample
from spade_widgets.visualization import Renderer, accentuation, render, visualize
from spade_widgets.visualization.pictures import GREY

#: Of a level of 255: what bringing pixels off 0 and 1 costs, and what float32 does.
LEVEL = 1.001 / 255


def began(network: object = None, neuron: str = "conv3:2", **options: object) -> Renderer:
    options = {"image": "sample", "sample": photos(1)[0], **options}
    return Renderer(network or small_classifier(), neuron, **options)  # type: ignore[arg-type]


def ran(renderer: Renderer, steps: int) -> Renderer:
    for _ in range(steps):
        renderer.step()
    return renderer


@pytest.mark.parametrize("size", [(32, 32), (31, 47), (32, 47), (47, 32), (96, 96)])
def test_it_begins_at_the_sample_to_a_level_of_255(size: tuple[int, int]) -> None:
    black_and_white = np.kron(np.indices((4, 4)).sum(0) % 2, np.ones((10, 10)))[..., None].repeat(3, 2)
    for sample in (photos(1)[0], Sample(Image.fromarray((255 * black_and_white).astype(np.uint8)))):
        classifier = small_classifier()
        wanted = F.interpolate(
            classifier.view(sample)[None].double(), size, mode="bilinear", align_corners=False, antialias=True
        )[0]
        renderer = began(sample=sample, size=size)
        assert float((renderer.image() - wanted).abs().max()) < LEVEL
        assert renderer.distance() == 0
        shown = np.asarray(renderer.picture(), dtype=float) / 255  # nothing has faded yet
        assert np.abs(shown - wanted.permute(1, 2, 0).numpy()).max() < 2 * LEVEL


def test_dense_and_trace_share_start_transforms_and_the_dense_measure() -> None:
    classifier = small_classifier()
    trace = pruned(classifier, "conv1", "conv3")
    dense, sparse = began(classifier, lr=1e-9), began(trace, lr=1e-9)
    assert torch.equal(sparse.image(), dense.image())
    seen: list[list[Tensor]] = [[], []]
    for renderer, kept in zip((dense, sparse), seen, strict=True):
        renderer._transforms.append(lambda x, kept=kept: (kept.append(x.detach().clone()), x)[1])
        ran(renderer, 3)
    assert all(torch.allclose(a, b, atol=1e-5) for a, b in zip(*seen, strict=True))
    moved = torch.rand(1, 3, SIZE, SIZE, generator=torch.Generator().manual_seed(0))
    assert dense._nearness is not None
    assert sparse._nearness is not None
    pair = [renderer.distance(moved, renderer.sample) for renderer in (dense._nearness, sparse._nearness)]
    assert torch.equal(*pair)
    assert float(pair[0]) > 0.01
    assert not torch.equal(ran(began(classifier), 4).image(), ran(began(trace), 4).image())


@pytest.mark.parametrize("neuron", ["conv3:2", "logit:b", "conv2:1@4,11"])
def test_nearer_stays_nearer_and_each_excites_the_neuron_more_than_the_sample(neuron: str) -> None:
    classifier = small_classifier()
    far: list[float] = []
    for near in (0.0, 0.3, 0.5, 0.75, 0.9):
        renderer = began(classifier, neuron, near=near, transforms=[])
        activations = [renderer.step() for _ in range(60)]
        assert activations[-1] > activations[0]
        far.append(renderer.distance())
        assert far[-1] < 1.4 * accentuation.allowed(near)  # a step is as long as always
    # Where the pull is hardly felt, it does not part them.
    assert all(b <= 1.05 * a for a, b in itertools.pairwise(far)), far
    assert far[0] > 1.5 * far[-2] > 3 * far[-1]


def test_the_neurons_scale_does_not_matter() -> None:
    """A trace's neuron may be much weaker: the picture goes as far."""
    classifier = small_classifier()
    weaker = pruned(classifier)
    state = dict(classifier.module().named_parameters())
    weaker.replaced.update({name: 1e-3 * state[name].detach() for name in ("conv3.weight", "conv3.bias")})
    pair = [ran(began(network, near=0.6), 30) for network in (classifier, weaker)]
    assert pair[0].distance() == pytest.approx(pair[1].distance(), rel=0.02)
    assert float((pair[0].image() - pair[1].image()).abs().mean()) < 0.01


def test_equal_seeds_give_equal_pictures_and_others_see_other_transforms() -> None:
    first = ran(began(seed=7), 6).image()
    assert torch.equal(first, ran(began(seed=7), 6).image())
    assert torch.equal(began(seed=7).image(), began(seed=8).image())  # both are the sample
    assert not torch.equal(first, ran(began(seed=8), 6).image())
    *_, last = render(small_classifier(), "conv3:2", steps=6, seed=7, image="sample", sample=photos(1)[0])
    assert torch.equal(last.image, first)


def test_a_snapshot_goes_on_bit_for_bit() -> None:
    whole = ran(began(), 6)
    other = began()
    other.restore(ran(began(), 3).snapshot())
    assert torch.equal(ran(other, 3).image(), whole.image())
    assert np.array_equal(np.asarray(other.picture()), np.asarray(whole.picture()))


class Corner(nn.Module):
    """Its one class looks at the upper left quarter alone."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 4, 3, 1, 1)
        self.fc = nn.Linear(4, 2)

    def forward(self, x: Tensor) -> Tensor:
        found = torch.relu(self.conv1(x))[:, :, : SIZE // 2, : SIZE // 2]
        return self.fc(found.mean((2, 3)))


def test_what_does_not_matter_fades_to_grey_and_what_does_stays() -> None:
    torch.manual_seed(0)
    classifier = ImageClassifier(Corner(), class_names=["a", "b"], preprocess=preprocess)
    renderer = ran(began(classifier, "logit:a"), 20)
    seen = renderer.opacity()[0]
    half = SIZE // 2
    assert float(seen[:half, :half].mean()) > 0.9
    assert float(seen[half + 6 :, half + 6 :].max()) < 0.02
    shown = torch.from_numpy(np.array(renderer.picture())).permute(2, 0, 1) / 255
    assert float((shown[:, half + 6 :, half + 6 :] - GREY).abs().max()) < 0.02
    assert float((shown - renderer.image())[:, :half, :half].abs().mean()) < 0.02
    clear = np.asarray(renderer.pictures(transparent=True)[0])
    assert clear.shape == (SIZE, SIZE, 4)
    assert clear[-4:, -4:, 3].max() < 6 < 250 < clear[4:8, 4:8, 3].min()


def test_a_morph_keeps_what_mattered_for_a_while() -> None:
    """Begun anew at each swap, the fading would flicker while the sparsity's handle moves."""
    classifier = small_classifier()
    renderer = ran(began(classifier), 30)
    before = renderer.opacity()
    renderer.swap(pruned(classifier, "conv2", "conv3"))
    assert torch.allclose(renderer.opacity(), before, atol=1e-5)
    ran(renderer, 1)
    assert float((renderer.opacity() - before).abs().mean()) < 0.1
    assert not renderer.dead


def test_of_a_trace_that_nothing_passes_the_sample_stays_and_is_said_to_be_dead() -> None:
    classifier = small_classifier()
    renderer = ran(began(pruned(classifier, "conv3", keep=0), "conv3:2"), 3)
    assert renderer.dead
    assert renderer.distance() == 0
    assert torch.equal(renderer.image(), began(classifier).image())


def test_the_early_layer_is_a_quarter_of_the_sides_at_most_coarse() -> None:
    assert accentuation.early_layer(emoji.classifier()).name == "layer1"
    assert accentuation.early_layer(small_classifier()).name == "conv1"
    resnet = ImageClassifier.from_torchvision("resnet18", weights=None)
    assert accentuation.early_layer(resnet).name == "layer1"
    flat = nn.Sequential(nn.Flatten(), nn.Linear(3 * SIZE * SIZE, 5), nn.ReLU(), nn.Linear(5, 2))
    dense = ImageClassifier(flat, class_names=["a", "b"], preprocess=preprocess)
    assert accentuation.early_layer(dense).name == "1"
    assert ran(began(dense, "logit:a"), 5).distance() > 0


def test_the_dense_model_is_left_as_it_was() -> None:
    classifier = small_classifier()
    state = {k: v.clone() for k, v in classifier._model.state_dict().items()}
    numbers = torch.get_rng_state()
    with torch.no_grad():
        visualize(classifier, "conv3:2", steps=3, image="sample", sample=photos(1)[0])
    assert all(torch.equal(v, state[k]) for k, v in classifier._model.state_dict().items())
    assert torch.equal(torch.get_rng_state(), numbers)


def test_other_types_of_weights() -> None:
    for dtype in (torch.float64, torch.bfloat16):
        classifier = ImageClassifier(SmallNet().to(dtype), class_names=list("abcde"), preprocess=preprocess)
        assert ran(began(classifier), 4).distance() > 0


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"sample": None}, "begins at an image: give sample="),
        ({"sample": "nowhere.png"}, "no file 'nowhere.png'"),
        ({"near": 1}, "'near' is a number from 0 .* to less than 1 .*; 1 is none"),
        ({"near": -0.1}, "'near' is a number"),
        ({"near": float("nan")}, "'near' is a number"),
        ({"near": "close"}, "'near' is a number"),
        ({"near": True}, "'near' is a number"),
        ({"count": 4}, "come to the same: leave count at 1"),
        ({"magnitude_from": photos(1)}, "'magnitude_from' belongs to image='maco'"),
        ({"image": "fourier"}, "'sample' and 'near' belong to image='sample'; the image 'fourier' begins at noise"),
    ],
)
def test_bad_input_gets_one_sentence(changes: dict[str, object], message: str) -> None:
    with pytest.raises(InputError, match=message):
        began(**changes)


def test_only_a_picture_that_began_at_a_sample_says_how_far_it_is() -> None:
    with pytest.raises(InputError, match="began at a sample"):
        Renderer(small_classifier(), "conv3:2").distance()
