"""Several pictures of one neuron, pushed apart; and where in a picture it matters."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor, nn
from visualization.nets import SIZE, Sparse, lucent, preprocess, pruned, small_classifier

from spade_widgets.classifier import ImageClassifier
from spade_widgets.errors import InputError
from spade_widgets.visualization import Renderer, render, visualize
from spade_widgets.visualization.objective import likeness, target_of
from spade_widgets.visualization.pictures import GAP, grid, opacity

NOISE = np.random.default_rng(0).integers(0, 256, (40, 40, 3), dtype=np.uint8)
IMAGES = pytest.mark.parametrize(
    "image", [{"image": "fourier"}, {"image": "maco", "magnitude_from": NOISE}], ids=["fourier", "maco"]
)


def ran(renderer: Renderer, steps: int) -> Tensor:
    for _ in range(steps):
        renderer.step()
    return renderer.images()


def alike(renderer: Renderer) -> float:
    """How alike the pictures are on the neuron's layer, seen without transforms."""
    classifier = small_classifier()
    target = target_of(classifier, classifier.module(), renderer._neuron, compare=True)
    images = renderer.images()
    with torch.no_grad():
        found = target.losses(classifier.normalize(images), images)[1]
    assert found is not None
    return float(found)


def test_likeness_is_the_mean_cosine_of_the_gram_matrices() -> None:
    maps = torch.randn((4, 5, 3, 6), generator=torch.Generator().manual_seed(0))
    grams = torch.stack([m.flatten(1) @ m.flatten(1).T for m in maps]).flatten(1)
    cosines = torch.nn.functional.cosine_similarity(grams[:, None], grams[None], dim=2)
    expected = (cosines.sum() - 4) / 12
    assert float(likeness(maps)) == pytest.approx(float(expected), abs=1e-6)
    assert float(likeness(maps[:1].expand(3, -1, -1, -1))) == pytest.approx(1, abs=1e-6)
    assert float(likeness(torch.stack([maps[0], maps[0].flip(1, 2)]))) == pytest.approx(1, abs=1e-6)


@IMAGES
@pytest.mark.parametrize("neuron", ["conv3:2", "logit:b", "conv2:1@3,4"])
def test_diversity_makes_pictures_less_alike(image: dict[str, object], neuron: str) -> None:
    classifier = small_classifier()
    found = []
    for diversity in (0.0, 10.0):
        renderer = Renderer(classifier, neuron, count=3, diversity=diversity, transforms=[], **image)  # type: ignore[arg-type]
        ran(renderer, 30)
        found.append(alike(renderer))
    assert found[1] < found[0] - 0.2


@IMAGES
def test_without_diversity_each_is_what_it_would_be_alone(image: dict[str, object]) -> None:
    classifier = small_classifier()
    several = Renderer(classifier, "conv3:2", seed=4, count=3, diversity=0, **image)  # type: ignore[arg-type]
    alone = Renderer(classifier, "conv3:2", seed=4, **image)  # type: ignore[arg-type]
    assert torch.equal(several.image(), alone.image())
    starts = several.images()
    assert starts.shape == (3, 3, SIZE, SIZE)
    assert all(not torch.allclose(starts[i], starts[j], atol=1e-3) for i, j in ((0, 1), (0, 2), (1, 2)))
    if image["image"] == "fourier":  # MACO's noise is drawn for all pictures of a step together
        assert torch.allclose(ran(several, 4)[0], ran(alone, 4)[0], atol=1e-2)


@IMAGES
def test_seeds_resuming_and_swapping(image: dict[str, object]) -> None:
    classifier = small_classifier()

    def began(network: object = classifier, seed: int = 0) -> Renderer:
        return Renderer(network, "conv3:2", seed=seed, count=2, **image)  # type: ignore[arg-type]

    whole = ran(began(), 6)
    renderer = began()
    ran(renderer, 2)
    assert torch.equal(ran(renderer, 4), whole)
    assert not torch.equal(ran(began(seed=1), 6), whole)
    sparse = pruned(classifier, "conv2", "conv3")
    assert torch.equal(began(sparse).images(), began().images())
    renderer.swap(sparse)
    assert torch.equal(renderer.images(), whole)
    assert not torch.equal(ran(renderer, 2), ran(began(), 8))
    *_, last = render(classifier, "conv3:2", steps=6, count=2, **image)  # type: ignore[arg-type]
    assert torch.equal(last.images, whole)
    assert torch.equal(last.image, whole[0])


def test_the_activation_is_the_neurons_alone_and_rises() -> None:
    classifier = small_classifier()
    first = [Renderer(classifier, "conv3:2", count=3, diversity=d).step() for d in (0, 50)]
    assert first[0] == first[1]
    renderer = Renderer(classifier, "conv3:2", count=3)
    activations = [renderer.step() for _ in range(30)]
    assert np.mean(activations[-5:]) > np.mean(activations[:5]) + 0.05


def test_a_dead_neurons_pictures_stay_however_much_they_are_to_differ() -> None:
    """Its channel alone is dead; on the others of its layer the pictures could be told apart."""
    classifier = small_classifier()
    weight = classifier.module().conv3.weight.detach().clone()
    weight[2] = 0
    renderer = Renderer(Sparse(classifier, {"conv3.weight": weight}), "conv3:2", count=2, diversity=10)
    start = renderer.images()
    assert torch.equal(ran(renderer, 3), start)
    assert renderer.dead


class OneShy(nn.Module):
    """A neuron behind a ReLU, excited by bright pictures alone."""

    def __init__(self) -> None:
        super().__init__()
        self.block = nn.Sequential(nn.Conv2d(3, 4, 1), nn.ReLU())
        self.fc = nn.Linear(4, 2)
        nn.init.constant_(self.block[0].weight, 0.1)
        nn.init.constant_(self.block[0].bias, -0.3)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc(self.block(x).mean((2, 3)))


def test_a_picture_stuck_beside_a_living_one_comes_alive() -> None:
    renderer = Renderer(
        ImageClassifier(OneShy(), preprocess=preprocess), "block:1", count=2, diversity=0, transforms=[]
    )
    with torch.no_grad():
        renderer._leaf[0, 0, 0, 0, 0] += 10  # the first is brighter
    renderer._next = None
    start = renderer.images()
    seen = renderer._classifier.normalize(start)
    excited = (0.1 * seen.sum(1) - 0.3 > 0).flatten(1).any(1)
    assert excited.tolist() == [True, False]
    assert float((ran(renderer, 5)[1] - start[1]).abs().max()) > 0.01


def test_an_objective_over_all_pictures() -> None:
    pulled = lucent.objectives.channel("conv3", 2) - lucent.objectives.diversity("conv3")
    renderer = Renderer(small_classifier(), pulled, count=2, diversity=0)
    assert not torch.equal(renderer.images(), ran(renderer, 2))
    assert np.isfinite(Renderer(small_classifier(), pulled, count=2).step())


def test_pictures_in_rows() -> None:
    classifier = small_classifier()
    renderer = Renderer(classifier, "conv3:2", count=3)
    ran(renderer, 2)
    pictures = renderer.pictures()
    assert [p.size for p in pictures] == [(SIZE, SIZE)] * 3
    assert pictures[0].tobytes() == renderer.picture().tobytes()
    sheet = visualize(classifier, "conv3:2", steps=2, count=3)
    assert (sheet.mode, sheet.size) == ("RGB", (2 * SIZE + GAP, 2 * SIZE + GAP))
    places = [(0, 0), (SIZE + GAP, 0), (0, SIZE + GAP)]
    for picture, (x, y) in zip(pictures, places, strict=True):
        assert sheet.crop((x, y, x + SIZE, y + SIZE)).tobytes() == picture.tobytes()
    assert sheet.getpixel((SIZE, 0)) == sheet.getpixel((SIZE + 10, SIZE + 10)) == (255, 255, 255)
    tall = Image.new("RGB", (10, 20))
    assert [grid([tall] * n).size for n in (1, 2, 4, 5)] == [(10, 20), (22, 20), (22, 42), (34, 42)]


@IMAGES
def test_opacity_shows_what_a_neuron_looks_at(image: dict[str, object]) -> None:
    """One at a corner sees 3 × 3 pixels there, with the margin beyond it 2 × 2."""
    classifier = small_classifier()
    renderer = Renderer(classifier, "conv1:3@0,0", transforms=[], count=2, **image)  # type: ignore[arg-type]
    assert float(renderer.opacity().max()) == 0
    ran(renderer, 3)
    seen = renderer.opacity()
    assert seen.shape == (2, SIZE, SIZE)
    assert (seen > 0).sum((1, 2)).tolist() == [4, 4]
    assert bool((seen[:, :2, :2] > 0).all())
    (first, _) = renderer.pictures(transparent=True)
    assert first.mode == "RGBA"
    assert first.convert("RGB").tobytes() == renderer.picture().tobytes()
    assert first.getpixel((0, 0))[3] > 0 == first.getpixel((5, 5))[3]  # type: ignore[index]
    renderer.swap(classifier)
    assert float(renderer.opacity().max()) == 0


def test_a_fifth_of_a_picture_is_opaque() -> None:
    importance = (
        torch.rand((2, 50, 40), generator=torch.Generator().manual_seed(0)) * torch.tensor([1, 1e6])[:, None, None]
    )
    shown = opacity(importance)
    assert ((shown == 1).float().mean((1, 2)) - 0.2).abs().max() < 0.01
    picture = visualize(small_classifier(), "conv3:2", steps=2, transparent=True)
    assert picture.mode == "RGBA"


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"count": 0}, "'count' is a whole number from 1"),
        ({"count": 2.0}, "'count' is a whole number from 1"),
        ({"diversity": -1}, "'diversity' is a number from 0"),
        ({"diversity": float("nan")}, "'diversity' is a number from 0"),
    ],
)
def test_bad_input_gets_one_sentence(changes: dict[str, object], message: str) -> None:
    with pytest.raises(InputError, match=message):
        visualize(small_classifier(), "conv3:1", steps=1, **changes)  # type: ignore[arg-type]


def test_a_classifier_without_places_cannot_compare() -> None:
    flat = nn.Sequential(nn.Flatten(), nn.Linear(3 * SIZE * SIZE, 4), nn.ReLU(), nn.Linear(4, 3))
    classifier = ImageClassifier(flat, preprocess=preprocess)
    for neuron in ("logit:1", "1:2"):
        with pytest.raises(InputError, match="give diversity=0"):
            Renderer(classifier, neuron, count=2)
        assert len(ran(Renderer(classifier, neuron, count=2, diversity=0), 2)) == 2


def test_they_are_compared_on_the_last_layer_with_places_up_to_the_neurons() -> None:
    classifier = small_classifier()
    found = []
    for neuron in ("conv1:1", "conv2:1@0,0", "fc:1", "logit:b"):
        compared = target_of(classifier, classifier.module(), neuron, compare=True)._compared
        assert compared is not None
        found.append(compared.name)
    assert found == ["conv1", "conv2", "conv3", "conv3"]
