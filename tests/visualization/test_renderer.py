"""The loop: seeds, pairing, resuming, swapping, and what it must leave alone."""

# ruff: noqa: NPY002  # NumPy's global generator is what is watched here

from __future__ import annotations

import random
import threading
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from visualization.nets import SIZE, SmallNet, Sparse, lucent, preprocess, pruned, small_classifier

from spade_widgets.classifier import ImageClassifier
from spade_widgets.errors import InputError, ModelError
from spade_widgets.visualization import Renderer, render, visualize


def ran(renderer: Renderer, steps: int) -> Tensor:
    for _ in range(steps):
        renderer.step()
    return renderer.image()


def state_of_generators() -> tuple[object, ...]:
    name, keys, *rest = np.random.get_state()
    return torch.get_rng_state().tolist(), name, keys.tolist(), rest, random.getstate()


@pytest.mark.parametrize(
    "neuron", ["conv1:3", "conv2:1@4,11", "conv3:11", "fc:2", "logit:b", "conv3:5@7,0", "fc:1@0,0"]
)
def test_the_objective_rises(neuron: str) -> None:
    renderer = Renderer(small_classifier(), neuron)
    activations = [renderer.step() for _ in range(40)]
    assert np.mean(activations[-5:]) > np.mean(activations[:5]) + 0.05
    assert not renderer.dead


def test_the_activation_is_the_neurons_own() -> None:
    classifier = small_classifier()
    module, name = classifier.module(), "conv2"
    for neuron, index in ((f"{name}:3", np.s_[:, 3]), (f"{name}:3@2,9", np.s_[:, 3, 2, 9])):
        renderer = Renderer(classifier, neuron, transforms=[])
        ran(renderer, 3)
        seen = classifier.normalize(renderer.image()[None])
        with torch.no_grad():
            expected = module.conv2(module.relu(module.conv1(seen)))[index].mean()
        assert renderer.step() == pytest.approx(float(expected), abs=1e-4)


def test_equal_seeds_give_equal_pictures_and_others_others() -> None:
    classifier = small_classifier()
    first = ran(Renderer(classifier, "conv3:2", seed=7), 6)
    assert torch.equal(first, ran(Renderer(classifier, "conv3:2", seed=7), 6))
    assert not torch.equal(first, ran(Renderer(classifier, "conv3:2", seed=8), 6))
    assert not torch.equal(Renderer(classifier, "conv3:2", seed=7).image(), Renderer(classifier, "conv3:2").image())


def test_interleaved_and_threaded_renderers_do_what_they_do_alone() -> None:
    classifier = small_classifier()
    sparse = pruned(classifier, "conv2", "conv3")
    alone = [ran(Renderer(n, "conv3:2", seed=5), 8) for n in (classifier, sparse)]
    assert not torch.equal(*alone)

    dense_one, sparse_one = Renderer(classifier, "conv3:2", seed=5), Renderer(sparse, "conv3:2", seed=5)
    other = Renderer(classifier, "logit:a", seed=1)
    for _ in range(8):
        dense_one.step(), other.step(), sparse_one.step(), np.random.rand(3), torch.rand(2), random.random()
    assert torch.equal(dense_one.image(), alone[0])
    assert torch.equal(sparse_one.image(), alone[1])

    threaded: dict[int, Tensor] = {}
    threads = [
        threading.Thread(target=lambda i=i, n=n: threaded.update({i: ran(Renderer(n, "conv3:2", seed=5), 8)}))
        for i, n in enumerate((classifier, sparse))
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert torch.equal(threaded[0], alone[0])
    assert torch.equal(threaded[1], alone[1])


class Recorded:
    """A transform that remembers what came by and passes it on."""

    def __init__(self) -> None:
        self.seen: list[Tensor] = []

    def __call__(self, images: Tensor) -> Tensor:
        self.seen.append(images.detach().clone())
        return images


@pytest.mark.parametrize("draw", ["numpy", "torch", "python"])
def test_dense_and_sparse_see_the_same_transforms_whatever_those_draw_from(draw: str) -> None:
    numbers = {"numpy": np.random.rand, "torch": lambda: float(torch.rand(())), "python": random.random}[draw]
    classifier = small_classifier()
    drawn: list[list[float]] = [[], []]
    for network, kept in zip((classifier, pruned(classifier, "conv3")), drawn, strict=True):
        renderer = Renderer(
            network, "conv3:2", transforms=[lambda x, kept=kept: (kept.append(numbers()), x * (0.5 + kept[-1]))[1]]
        )
        for _ in range(5):
            numbers()
            before = state_of_generators()
            renderer.step()
            assert state_of_generators() == before
    assert drawn[0] == drawn[1]
    assert len(set(drawn[0])) == 5


def test_the_standard_transforms_are_lucents_and_differ_from_step_to_step() -> None:
    """A frozen picture (its neuron is dead) goes through the standard transforms: they alone make the difference."""
    classifier = small_classifier()
    record = Recorded()
    renderer = Renderer(pruned(classifier, "conv1", keep=0), "conv1:0")
    renderer._transforms.append(record)
    ran(renderer, 4)
    assert all(not torch.equal(a, b) for a, b in zip(record.seen, record.seen[1:], strict=False))


def test_the_callers_generators_are_not_drawn_from() -> None:
    before = state_of_generators()
    ran(Renderer(small_classifier_after(before), "conv3:1"), 3)
    assert state_of_generators() == before


def small_classifier_after(state: tuple[object, ...]) -> ImageClassifier:
    classifier = small_classifier()
    torch.set_rng_state(torch.tensor(state[0], dtype=torch.uint8))
    return classifier


def test_a_thread_that_draws_meanwhile_gets_its_own_numbers() -> None:
    """NumPy's global generator, used in the main thread while a worker renders, gives what it would without."""
    np.random.seed(0)
    expected = np.random.rand(2000)
    done = threading.Event()

    def work() -> None:
        try:
            ran(Renderer(small_classifier(), "conv1:1"), 30)
        finally:
            done.set()

    thread = threading.Thread(target=work)
    np.random.seed(0)
    thread.start()
    drawn: list[float] = []
    while not done.is_set() and len(drawn) < 2000:
        drawn.append(np.random.rand())
    thread.join()
    assert drawn == expected[: len(drawn)].tolist()


def test_another_threads_own_use_of_lucent_draws_from_numpy_as_always() -> None:
    seen: list[object] = []

    def look(images: Tensor) -> Tensor:
        seen.append(lucent.transform.np.random)
        thread = threading.Thread(target=lambda: seen.append(lucent.transform.np.random))
        thread.start()
        thread.join()
        return images

    Renderer(small_classifier(), "conv1:1", transforms=[look]).step()
    assert isinstance(seen[0], np.random.Generator)
    assert seen[1] is np.random


def test_lucents_globals_are_put_back() -> None:
    transform, spatial = lucent.transform, lucent.spatial
    before = transform.device, spatial.device, transform.np
    transform.device = spatial.device = torch.device("meta")  # as if Lucent had picked another device
    try:
        ran(Renderer(small_classifier(), "conv1:1"), 2)
        assert (transform.device, spatial.device, transform.np) == (torch.device("meta"),) * 2 + (np,)
        with pytest.raises(ZeroDivisionError):
            Renderer(small_classifier(), "conv1:1", transforms=[lambda x: x / (1 // 0)]).step()
        assert (transform.device, transform.np) == (torch.device("meta"), np)
    finally:
        transform.device, spatial.device, transform.np = before


def test_the_dense_model_is_left_as_it_was() -> None:
    torch.manual_seed(3)
    model = SmallNet().train()
    before = {k: v.clone() for k, v in model.state_dict().items()}
    classifier = ImageClassifier(model, preprocess=preprocess)
    renderer = Renderer(classifier, "conv3:2")
    ran(renderer, 3)
    renderer.swap(pruned(classifier, "conv2"))
    ran(renderer, 3)
    assert all(torch.equal(v, before[k]) for k, v in model.state_dict().items())
    assert all(m.training and not m._forward_hooks and not m._backward_hooks for m in model.modules())
    assert all(p.requires_grad and p.grad is None for p in model.parameters())


RUNS: list[str] = []


class Counting(nn.Conv2d):
    """A convolution that counts its runs, over all copies."""

    def forward(self, x: Tensor) -> Tensor:
        RUNS.append(self.name)
        return super().forward(x)


def test_only_the_layers_up_to_the_target_run_and_no_hook_stays() -> None:
    parts: list[nn.Module] = []
    for i in range(3):
        parts.append(Counting(3, 3, 3, padding=1))
        parts[-1].name = f"c{i}"
    model = nn.Sequential(*parts, nn.Flatten(), nn.Linear(3 * SIZE * SIZE, 2))
    classifier = ImageClassifier(model, preprocess=preprocess)
    renderer = Renderer(classifier, "1:0")
    RUNS.clear()
    ran(renderer, 2)
    assert RUNS == ["c0", "c1"] * 2
    assert all(not m._forward_hooks for m in renderer._target._module.modules())
    RUNS.clear()
    ran(Renderer(classifier, "logit:1"), 1)
    assert RUNS[-3:] == ["c0", "c1", "c2"]


class ScalarReads(TorchDispatchMode):
    """Counts how often a number is read out of a tensor, which waits for the device."""

    count = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.count += func is torch.ops.aten._local_scalar_dense.default
        return func(*args, **(kwargs or {}))


def test_a_step_reads_no_single_number_from_the_device() -> None:
    renderer = Renderer(small_classifier(), "logit:2")
    renderer.step()
    with ScalarReads() as reads:
        torch.ones(1).item()
        assert reads.count == 1
        renderer.step()
    assert reads.count == 1


def test_resuming_equals_going_through() -> None:
    classifier = small_classifier()
    whole = ran(Renderer(classifier, "logit:c"), 9)
    renderer = Renderer(classifier, "logit:c")
    ran(renderer, 4)
    renderer.picture()
    assert renderer.steps_done == 4
    assert torch.equal(ran(renderer, 5), whole)
    *_, last = render(classifier, "logit:c", steps=9)
    assert torch.equal(last.image, whole)


def test_frames() -> None:
    renderer = Renderer(small_classifier(), "conv3:0")
    frames = list(renderer.run(10, every=4))
    assert [f.step for f in frames] == [4, 8, 10]
    assert all(f.steps == 10 and f.image.shape == (3, SIZE, SIZE) and not f.dead for f in frames)
    assert frames[0].activation != frames[1].activation
    assert list(renderer.run(10)) == []
    assert [f.step for f in renderer.run(12)] == [11, 12]


def test_swapping_keeps_the_picture_and_changes_where_it_goes() -> None:
    classifier = small_classifier()
    sparse = pruned(classifier, "conv2", "conv3")
    renderer = Renderer(classifier, "conv3:2")
    before = ran(renderer, 5)
    renderer.swap(sparse)
    assert torch.equal(renderer.image(), before)
    assert renderer.steps_done == 5
    swapped = ran(renderer, 5)
    assert not torch.equal(swapped, ran(Renderer(classifier, "conv3:2"), 10))

    there_and_back = Renderer(classifier, "conv3:2")
    ran(there_and_back, 5)
    there_and_back.swap(sparse)
    there_and_back.swap(classifier)
    assert torch.equal(ran(there_and_back, 5), ran(Renderer(classifier, "conv3:2"), 10))


def test_a_dead_neuron_is_reported_and_its_picture_stays() -> None:
    classifier = small_classifier()
    for network, dead in ((pruned(classifier, "conv3", keep=0), True), (classifier, False)):
        renderer = Renderer(network, "conv3:2")
        assert not renderer.dead  # nothing is known yet
        start = renderer.image()
        activations = [renderer.step() for _ in range(4)]
        assert renderer.dead is dead
        assert torch.equal(renderer.image(), start) is dead
        assert (len(set(activations)) == 1) is dead


def test_dead_under_a_trace_alive_again_after_a_swap() -> None:
    classifier = small_classifier()
    renderer = Renderer(pruned(classifier, "conv3", keep=0), "logit:a")
    ran(renderer, 2)
    assert renderer.dead
    renderer.swap(classifier)
    ran(renderer, 2)
    assert not renderer.dead


class Shy(nn.Module):
    """A neuron behind a ReLU that is far below zero on any grey picture, but not for good."""

    def __init__(self, call: str) -> None:
        super().__init__()
        self.call = call
        self.block = nn.Sequential(nn.Conv2d(3, 4, 3, padding=1, bias=False), nn.Identity())
        self.block[1].forward = self.activation  # type: ignore[method-assign]
        self.fc = nn.Linear(4, 2)
        nn.init.constant_(self.block[0].weight, 0.1)

    def activation(self, x: Tensor) -> Tensor:
        x = x - 1.0
        calls = {"F": F.relu, "torch": torch.relu, "method": Tensor.relu, "module": nn.ReLU(True), "six": nn.ReLU6()}
        return calls[self.call](x)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc(self.block(x).mean((2, 3)))


@pytest.mark.parametrize("call", ["F", "torch", "method", "module", "six"])
def test_a_neuron_that_the_first_picture_leaves_at_zero_comes_alive(call: str) -> None:
    renderer = Renderer(ImageClassifier(Shy(call), preprocess=preprocess), "block:1")
    activations = [renderer.step() for _ in range(80)]
    assert activations[0] == 0
    assert not renderer.dead
    assert activations[-1] > 0.1


def test_gradients_switched_off_by_the_caller() -> None:
    classifier = small_classifier()
    expected = ran(Renderer(classifier, "conv3:2"), 3)
    with torch.no_grad():
        assert torch.equal(ran(Renderer(classifier, "conv3:2"), 3), expected)
    with torch.inference_mode():
        image = ran(Renderer(classifier, "conv3:2"), 3)
    assert torch.equal(image, expected)


def test_nan_activations_are_an_error_and_no_picture() -> None:
    classifier = small_classifier()
    renderer = Renderer(Sparse(classifier, {"conv2.weight": torch.full((8, 8, 3, 3), float("nan"))}), "conv3:2")
    before = renderer.image()
    with pytest.raises(ModelError, match="NaN or infinite values at step 1"):
        renderer.step()
    assert torch.equal(renderer.image(), before)
    assert renderer.steps_done == 0


def test_nan_gradients_are_an_error() -> None:
    class Rooted(SmallNet):
        def forward(self, x: Tensor) -> Tensor:
            return super().forward(x) + (self.conv1(x) * 0).sqrt().mean()

    with pytest.raises(ModelError, match="NaN"):
        Renderer(ImageClassifier(Rooted(), preprocess=preprocess), "logit:1").step()


def test_a_model_without_gradients_is_an_error() -> None:
    class Detached(SmallNet):
        def forward(self, x: Tensor) -> Tensor:
            return super().forward(x.detach())

    with pytest.raises(ModelError, match="no gradient"):
        Renderer(ImageClassifier(Detached(), preprocess=preprocess), "logit:1").step()


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_models_give_float32_pictures_near_the_full_ones(dtype: torch.dtype) -> None:
    full, half = (Renderer(small_classifier(d), "conv3:2") for d in (torch.float32, dtype))
    images = [ran(r, 20) for r in (full, half)]
    assert images[1].dtype == torch.float32
    assert torch.equal(
        Renderer(small_classifier(dtype), "conv3:2").image(), Renderer(small_classifier(), "fc:0").image()
    )
    assert np.corrcoef(images[0].flatten(), images[1].flatten())[0, 1] > 0.8


def test_visualize_gives_a_picture_of_the_models_own_size() -> None:
    picture = visualize(small_classifier(), "logit:d", steps=2)
    assert isinstance(picture, Image.Image)
    assert (picture.mode, picture.size) == ("RGB", (SIZE, SIZE))


def test_other_sizes() -> None:
    classifier = small_classifier()
    assert visualize(classifier, "conv3:1", steps=1, size=(48, 64)).size == (64, 48)
    assert visualize(classifier, "conv3:1", steps=1, size=33).size == (33, 33)
    with pytest.raises(ModelError, match="cannot be run on 48×48 px"):
        visualize(classifier, "logit:d", steps=1, size=48)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"neuron": "conv9:1"}, "no layer 'conv9'"),
        ({"neuron": "conv3:12"}, "channels 0 to 11"),
        ({"neuron": "conv3:1@8,0"}, "8 × 8 positions"),
        ({"neuron": "logit:zebra"}, "no class 'zebra'"),
        ({"neuron": "conv3"}, "is not a neuron"),
        ({"neuron": 3}, "is not a neuron"),
        ({"seed": -1}, "'seed' is a whole number from 0"),
        ({"seed": 1.5}, "'seed' is a whole number from 0"),
        ({"steps": 0}, "'steps' is a whole number from 1"),
        ({"size": 8}, "16 to 1024 px"),
        ({"size": (32, 32, 3)}, "16 to 1024 px"),
        ({"lr": 0}, "'lr' is a number above 0"),
        ({"lr": float("nan")}, "'lr' is a number above 0"),
        ({"neuron": "conv3:1@7,7", "size": 16}, "no row 7, column 7"),
    ],
)
def test_bad_input_gets_one_sentence(changes: dict[str, object], message: str) -> None:
    options: dict[str, object] = {"neuron": "conv3:1", "steps": 1, **changes}
    with pytest.raises(InputError, match=message):
        visualize(small_classifier(), options.pop("neuron"), **options)  # type: ignore[arg-type]
