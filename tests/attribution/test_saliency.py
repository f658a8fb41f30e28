"""The one call: what it accepts and gives, and that it leaves the user's model and random numbers as they were."""

from __future__ import annotations

import random
import warnings
from typing import Any

import numpy as np
import pytest
import torch
from attribution.nets import HARD, NAMES, classify, hard, picture, plain
from torch import Tensor, nn

import spade_widgets as sw
from spade_widgets.attribution import METHODS, saliency, saliency_steps
from spade_widgets.classifier import ImageClassifier
from spade_widgets.errors import InputError, ModelError
from spade_widgets.pruning.progress import finish

#: An integral in a few steps is off, and says so: `test_promise.py` looks at that.
pytestmark = pytest.mark.filterwarnings("ignore::spade_widgets.attribution.promise.SumWarning")

#: Options that make the slow ones quick.
QUICK: dict[str, dict[str, Any]] = {
    "lime": {"samples": 24, "segments": 9}, "occlusion": {"window": 8, "stride": 8},
    "integrated_gradients": {"steps": 12}, "gradient_shap": {"samples": 6}, "smoothgrad": {"samples": 4},
}  # fmt: skip
THIRTEEN = (
    "saliency input_x_gradient deeplift lrp guided_backprop guided_gradcam lime occlusion integrated_gradients "
    "gradient_shap gradcam scorecam smoothgrad"
)


def quick(network: Any, method: str, target: int | str | None = None, **options: Any) -> Any:
    return saliency(network, picture(), target, method, **{**QUICK.get(method, {}), **options})


def photograph(model: nn.Module) -> list[Any]:
    """All that could be changed of a model."""
    state: list[Any] = []
    for name, part in model.named_modules():
        hooks = {key: list(value.items()) for key, value in vars(part).items() if "hooks" in key and value}
        state.append((name, id(part), type(part), part.training, hooks, sorted(vars(part))))
    for name, tensor in [*model.named_parameters(), *model.named_buffers()]:
        raw = tensor.detach().contiguous().view(-1).view(torch.uint8).tolist()
        state.append((name, id(tensor), tensor.requires_grad, tensor.grad, tensor._version, tensor.data_ptr(), raw))
    return state


def surroundings() -> list[Any]:
    numpy_state = np.random.get_state()  # noqa: NPY002
    return [
        torch.get_rng_state().tolist(), random.getstate(), numpy_state[1].tolist(), numpy_state[2],
        torch.is_grad_enabled(), torch.is_inference_mode_enabled(), torch.get_default_dtype(), list(warnings.filters),
    ]  # fmt: skip


def test_the_methods_have_their_names() -> None:
    assert list(METHODS) == THIRTEEN.split()
    for key, method in METHODS.items():
        assert method.key == key
        assert method.description.endswith(".")
        assert method.source.endswith(".")


@pytest.mark.parametrize("name", HARD)
@pytest.mark.parametrize("method", METHODS)
def test_every_method_gives_a_map_of_what_the_model_sees(method: str, name: str) -> None:
    classifier = classify(hard(name))
    maps = [quick(classifier, method, target) for target in range(5)]
    for found in maps:
        assert found.dtype == np.float32
        assert found.shape == classifier.input_size
        assert np.isfinite(found).all()
    assert any(found.std() > 0 for found in maps)


@pytest.mark.parametrize("method", METHODS)
def test_the_users_model_and_surroundings_stay(method: str) -> None:
    net = hard("functional").train()
    net.get_submodule("norm").eval()
    net.get_submodule("a").weight.grad = torch.ones(8, 3, 3, 3)  # type: ignore[assignment]
    heard: list[int] = []
    net.get_submodule("c").register_forward_hook(lambda *_: heard.append(1))
    classifier = classify(net)
    trace = sw.trace(classifier, picture(), layers="*", sparsity=0.5, augmentations=2)
    for network in (classifier, trace):
        quick(network, method)  # whatever is imported on first use
        before, around, kept = photograph(net), surroundings(), {k: w.clone() for k, w in trace.weights().items()}
        versions = {k: w._version for k, w in trace.weights().items()}
        quick(network, method)
        assert photograph(net) == before
        assert surroundings() == around
        for key, weight in trace.weights().items():
            assert torch.equal(weight, kept[key])
            assert weight._version == versions[key]


@pytest.mark.parametrize("method", METHODS)
def test_a_trace_is_seen_with_its_own_weights(method: str) -> None:
    classifier = classify(hard("reused ReLU"))
    same = sw.trace(classifier, picture(), layers="*", sparsity=0, augmentations=2)
    other = sw.trace(classifier, picture(), layers="*", sparsity=0.6, augmentations=2)
    target = next(t for t in range(5) if quick(classifier, method, t).any())
    dense, same_map, sparse = (quick(network, method, target) for network in (classifier, same, other))
    assert np.allclose(dense, same_map, rtol=1e-4, atol=1e-6 * np.abs(dense).max())
    assert not np.allclose(dense, sparse, rtol=1e-2, atol=1e-3 * np.abs(dense).max())


@pytest.mark.parametrize("method", METHODS)
def test_the_seed_is_all_that_is_random(method: str) -> None:
    classifier = classify(hard("gated"))
    target = next(t for t in range(5) if quick(classifier, method, t).any())
    torch.manual_seed(1)
    first = quick(classifier, method, target, seed=3)
    torch.manual_seed(2)
    assert np.array_equal(first, quick(classifier, method, target, seed=3))
    changes = not np.array_equal(first, quick(classifier, method, target, seed=4))
    assert changes == (method in ("lime", "gradient_shap", "smoothgrad"))


@pytest.mark.parametrize("method", [key for key, method in METHODS.items() if "batch" in method.defaults])
def test_batches_change_nothing(method: str) -> None:
    classifier = classify(hard("gated"))
    target = next(t for t in range(5) if quick(classifier, method, t).any())
    maps = [quick(classifier, method, target, batch=batch) for batch in (1, 5, None)]
    for found in maps[1:]:
        assert np.allclose(found, maps[0], rtol=1e-3, atol=1e-4 * np.abs(maps[0]).max())


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("mode", [torch.no_grad, torch.inference_mode])
def test_the_callers_gradient_mode_changes_nothing(method: str, mode: Any) -> None:
    classifier = classify(hard("gated"))
    expected = quick(classifier, method, 1)
    with mode():
        assert np.array_equal(quick(classifier, method, 1), expected)
        steps = saliency_steps(classifier, picture(), 1, method, **QUICK.get(method, {}))
        next(steps)
        assert torch.is_grad_enabled() is False  # between two steps too
        assert torch.is_inference_mode_enabled() is (mode is torch.inference_mode)
        assert np.array_equal(finish(steps), expected)


@pytest.mark.parametrize("method", METHODS)
def test_another_default_type_changes_nothing(method: str) -> None:
    classifier = classify(hard("gated"))
    expected = quick(classifier, method, 1)
    torch.set_default_dtype(torch.float64)
    try:
        found = quick(classifier, method, 1)
    finally:
        torch.set_default_dtype(torch.float32)
    assert np.allclose(found, expected, rtol=1e-3, atol=1e-5 * np.abs(expected).max())


def test_without_a_target_it_is_the_dense_prediction_under_a_trace_too() -> None:
    net = plain()
    classifier = classify(net)
    top = sw.predict(classifier, picture())[0]
    last = sw.predict(classifier, picture())[-1]

    class Turned:
        """A network that predicts another class."""

        dense = classifier

        def module(self) -> nn.Module:
            module = classifier.module()
            head = module.get_submodule("8")
            bias = torch.zeros(5)
            bias[last.index] = 100
            head.bias = nn.Parameter(bias)  # type: ignore[assignment]
            return module

    assert sw.predict(Turned(), picture())[0].index == last.index
    assert np.array_equal(saliency(classifier, picture()), saliency(classifier, picture(), top.index))
    assert np.array_equal(saliency(Turned(), picture()), saliency(Turned(), picture(), top.index))
    assert not np.array_equal(saliency(Turned(), picture()), saliency(Turned(), picture(), last.index))


def test_a_class_may_be_named() -> None:
    classifier = classify(plain())
    for index, name in enumerate(NAMES):
        assert np.array_equal(saliency(classifier, picture(), index), saliency(classifier, picture(), name))


@pytest.mark.parametrize("method", [key for key, method in METHODS.items() if method.slow])
def test_slow_methods_say_how_far_they_are_and_stop_when_dropped(method: str) -> None:
    passes: list[int] = []

    class Counting(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.net = plain()

        def forward(self, x: Tensor) -> Tensor:
            passes.append(len(x))
            return self.net(x)

    classifier = classify(Counting())
    options = {"integrated_gradients": {"steps": 30}}.get(method, {"batch": 2, **QUICK.get(method, {})})
    steps = list(saliency_steps(classifier, picture(), 1, method, **options))
    assert len(steps) >= 2
    assert {step.stage for step in steps} == {"saliency"}
    assert [step.done for step in steps] == sorted({step.done for step in steps})
    assert steps[-1].done == steps[-1].of
    passes.clear()
    begun = saliency_steps(classifier, picture(), 1, method, **options)
    assert not passes  # nothing before the first step
    next(begun)
    until_then = sum(passes)
    begun.close()
    assert sum(passes) == until_then
    finish(saliency_steps(classifier, picture(), 1, method, **options))
    assert sum(passes) > 2 * until_then


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
@pytest.mark.parametrize("method", METHODS)
def test_other_types_are_no_matter(method: str, dtype: torch.dtype) -> None:
    target = next(t for t in range(5) if quick(classify(hard("reused ReLU")), method, t).any())
    expected = quick(classify(hard("reused ReLU")), method, target)
    found = quick(classify(hard("reused ReLU").to(dtype)), method, target)
    assert found.dtype == np.float32
    assert float(np.corrcoef(expected.ravel(), found.ravel())[0, 1]) > 0.9


def test_gradients_too_small_for_half_precision_are_not_lost() -> None:
    net = hard("reused ReLU")
    net.get_submodule("fc").weight.data.mul_(1e-4)  # type: ignore[operator, union-attr]
    expected = saliency(classify(net), picture(), 1)
    found = saliency(classify(net.half()), picture(), 1)
    assert float(np.corrcoef(expected.ravel(), found.ravel())[0, 1]) > 0.99


class Normalising(nn.Module):
    """Writes into its input."""

    def __init__(self) -> None:
        super().__init__()
        self.net = plain()

    def forward(self, x: Tensor) -> Tensor:
        return self.net(x.sub_(0.5).mul_(2))


class NormalisingApart(Normalising):
    """The same, and does not."""

    def forward(self, x: Tensor) -> Tensor:
        return self.net((x - 0.5) * 2)


@pytest.mark.parametrize("method", METHODS)
def test_a_network_may_write_into_its_input(method: str) -> None:
    for target in range(2):
        expected, found = (quick(classify(net()), method, target) for net in (NormalisingApart, Normalising))
        assert np.allclose(found, expected, rtol=1e-4, atol=1e-6 * np.abs(expected).max())


def test_bad_calls_are_refused_in_one_sentence() -> None:
    classifier = classify(plain())
    for call, said in [
        (
            lambda: saliency(classifier, picture(), method="salience"),
            "There is no saliency method 'salience': saliency, ",
        ),
        (lambda: saliency(classifier, picture(), "fox"), "There is no class 'fox'"),
        (lambda: saliency(classifier, picture(), 5), "There is no class 5: the classes are 0 to 4"),
        (lambda: saliency(classifier, picture(), seed=-1), "'seed' is a whole number from 0; -1 is none"),
        (lambda: saliency(classifier, "nowhere.png"), "There is no file 'nowhere.png'"),
        (
            lambda: saliency(classifier, picture(), method="lime", steps=3),
            "'lime' has no option 'steps': its options are",
        ),
        (lambda: saliency(classifier, picture(), method="input_x_gradient", steps=3), "no option 'steps': it has none"),
    ]:
        with pytest.raises(InputError, match=said):
            call()


def test_what_is_wrong_is_said_before_the_first_step() -> None:
    with pytest.raises(InputError, match="no option"):
        saliency_steps(classify(plain()), picture(), method="lrp", steps=3)


def test_values_that_are_not_finite_are_refused() -> None:
    class Endless(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.fc = nn.Linear(3, 5)

        def forward(self, x: Tensor) -> Tensor:
            return self.fc((x.mean((2, 3)) * 0).abs().sqrt())  # the root's gradient at 0

    with pytest.raises(ModelError, match="Saliency gives NaN or infinite values on 'noise' for the net"):
        saliency(classify(Endless()), picture(), 0)


def test_it_is_a_public_name() -> None:
    assert sw.saliency is saliency


def test_an_image_of_other_proportions_is_seen_as_the_model_sees_it() -> None:
    net = nn.Sequential(*list(plain())[:-3], nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(16, 5)).eval()
    classifier = ImageClassifier(net, preprocess=_wide)
    for method in METHODS:
        assert quick(classifier, method, 1).shape == (20, 44)


def _wide(image: Any) -> Tensor:
    pixels = torch.from_numpy(np.array(image.convert("RGB").resize((44, 20)), dtype=np.float32) / 255)
    return (pixels.permute(2, 0, 1) - 0.5) / 0.25
