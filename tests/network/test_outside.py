"""What a model's class, its global variables and what its methods close over mean for copies: over made networks."""

from __future__ import annotations

import logging
import random
import threading
import weakref
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from network.small import network, small
from torch import Tensor, nn

import spade_widgets as sw
from spade_widgets.network.copies import shared_copy
from spade_widgets.network.outside import Outside

PICTURE = np.random.default_rng(0).integers(0, 256, (16, 16, 3), dtype=np.uint8)
FEATURES: dict[str, Any] = {"last": torch.ones(1, 16, 1, 1)}
SCALES = [2.0]
LATEST: Tensor | None = None
OUTER = network().eval()


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.body = network()

    def forward(self, x: Tensor) -> Tensor:
        return self.body(x)


class InClass(Net):
    last: Tensor | None = None

    def forward(self, x: Tensor) -> Tensor:
        type(self).last = self.body[:4](x)
        return self.body[4:](InClass.last)


class InGlobal(Net):
    def forward(self, x: Tensor) -> Tensor:
        FEATURES["last"] = self.body[:4](x)
        return self.body[4:](FEATURES["last"])


class Rebinds(Net):
    def keep(self, x: Tensor) -> Tensor:
        global LATEST  # noqa: PLW0603 - what users do
        LATEST = self.body[:4](x)
        return LATEST

    def forward(self, x: Tensor) -> Tensor:
        return self.body[4:](self.keep(x))


class HookedGlobal(Net):
    """Its hook fills what its forward pass, which is the class's, reads."""

    def __init__(self) -> None:
        super().__init__()

        def keep(_m: nn.Module, _i: Any, out: Tensor) -> None:
            FEATURES["last"] = out

        self.body[3].register_forward_hook(keep)

    def forward(self, x: Tensor) -> Tensor:
        self.body(x)
        return self.body[4:](FEATURES["last"])


class HookedName(HookedGlobal):
    def __init__(self) -> None:
        Net.__init__(self)

        def keep(_m: nn.Module, _i: Any, out: Tensor) -> None:
            global LATEST  # noqa: PLW0603
            LATEST = out

        self.body[3].register_forward_hook(keep)

    def forward(self, x: Tensor) -> Tensor:
        y = self.body(x)
        return y if LATEST is None else self.body[4:](LATEST)


def closed_over() -> nn.Module:
    kept: list[Tensor] = []

    class Closed(Net):
        def forward(self, x: Tensor) -> Tensor:
            kept.append(self.body[:4](x))
            return self.body[4:](kept[-1])

    return Closed()


@pytest.mark.parametrize("make", [InClass, InGlobal, Rebinds, HookedGlobal, HookedName, closed_over])
def test_tensors_left_where_copies_share_them_are_refused(make: Callable[[], nn.Module]) -> None:
    with pytest.raises(sw.ModelError, match=r"leaves tensors in .* keep them on the model itself"):
        sw.ImageClassifier(make().eval(), preprocess=small)


class Runs(Net):
    def forward(self, x: Tensor) -> Tensor:
        return OUTER(x) + self.body(x)


class RunsItsOwn(Net):
    outer = network()

    def forward(self, x: Tensor) -> Tensor:
        return self.outer(x) + self.body(x)


@pytest.mark.parametrize(("kind", "where"), [(Runs, "the global variable 'OUTER'"), (RunsItsOwn, "RunsItsOwn.outer")])
def test_a_module_that_is_no_part_of_the_model_is_refused(kind: type[nn.Module], where: str) -> None:
    with pytest.raises(sw.ModelError, match=f"runs a Sequential that is no part of it, by {where}.*in its __init__"):
        sw.ImageClassifier(kind(), preprocess=small)


class Reads(Net):
    table = torch.tensor([1.0, 2.0, 3.0, 4.0])
    activation = nn.Tanh()

    def fit(self) -> None:
        OUTER.train()  # no forward pass comes here

    def forward(self, x: Tensor) -> Tensor:
        return self.activation(self.body(x)) * self.table * SCALES[0]


class Counts(Net):
    runs = 0

    def forward(self, x: Tensor) -> Tensor:
        type(self).runs += 1
        return self.body(x)


@pytest.mark.parametrize("kind", [Reads, Counts])
def test_what_is_read_or_counted_there_is_taken(kind: type[Net], caplog: pytest.LogCaptureFixture) -> None:
    model = kind().eval()
    with caplog.at_level(logging.WARNING):
        classifier = sw.ImageClassifier(model, preprocess=small)
    assert ("writes into Counts.runs" in caplog.text) == (kind is Counts)
    with torch.no_grad():
        expected = model(classifier.prepare(sw.Sample.read(PICTURE))).softmax(1)[0]
    assert [p.probability for p in sorted(sw.predict(classifier, PICTURE), key=lambda p: p.index)] == pytest.approx(
        expected.tolist(), abs=1e-6
    )


class After(Net):
    """Answers otherwise from the ninth pass on."""

    def __init__(self, place: str) -> None:
        super().__init__()
        self.place, self.count = place, 0
        self.register_buffer("seen", torch.zeros(()))

    def forward(self, x: Tensor) -> Tensor:
        if self.place == "buffer":
            self.seen += 1
        else:
            self.count += 1
        late = self.count > 8 or bool(self.seen > 8)
        if late and self.place == "weights":
            self.body[6].weight.data.mul_(0.5)
        return self.body(x) * (0.5 if late else 1)


@pytest.mark.parametrize(("place", "said"), [("buffer", "seen another"), ("number", "seen"), ("weights", "weights")])
def test_what_comes_into_play_after_some_passes_is_seen(place: str, said: str) -> None:
    model = After(place).eval()
    before = model.body[6].weight.clone()
    with pytest.raises(sw.ModelError, match=said):
        sw.ImageClassifier(model, preprocess=small)
    assert torch.equal(model.body[6].weight, before)


class FirstOfItsSize(Net):
    """Keeps a mean of the first image of each size for all later ones."""

    def __init__(self) -> None:
        super().__init__()
        self.means: dict[Any, Tensor] = {}

    def forward(self, x: Tensor) -> Tensor:
        return self.body(x - self.means.setdefault(x.shape, x.mean()))


def test_an_image_that_marks_those_after_it_is_seen() -> None:
    with pytest.raises(sw.ModelError, match="after it has seen another"):
        sw.ImageClassifier(FirstOfItsSize(), preprocess=small)


class Drawn(Net):
    def __init__(self, draw: Callable[[Tensor], Any]) -> None:
        super().__init__()
        self.draw = draw

    def forward(self, x: Tensor) -> Tensor:
        return self.body(x * self.draw(x))


DRAWS: list[Callable[[Tensor], Any]] = [
    lambda x: nn.functional.dropout(torch.ones_like(x), 0.5, training=True),
    lambda x: 1 + 1e-3 * torch.randn_like(x),
    lambda _x: float(torch.rand(()) > 0.5) + 1,
    lambda _x: random.random() + 1,
    lambda _x: 1.0 + float(np.random.rand() > 0.5),  # noqa: NPY002
]


@pytest.mark.parametrize("draw", DRAWS)
def test_answers_of_chance_are_refused_and_the_users_random_numbers_stay(draw: Callable[[Tensor], Any]) -> None:
    model = Drawn(draw)
    states = torch.get_rng_state(), random.getstate(), np.random.get_state()[1].tolist()  # noqa: NPY002
    with pytest.raises(sw.ModelError, match="at every call, by random numbers"):
        sw.ImageClassifier(model, preprocess=small)
    assert torch.equal(torch.get_rng_state(), states[0])
    assert (random.getstate(), np.random.get_state()[1].tolist()) == states[1:]  # noqa: NPY002


def test_random_numbers_that_change_nothing_are_taken() -> None:
    classifier = sw.ImageClassifier(Drawn(lambda x: 1 + 0 * torch.rand_like(x)), preprocess=small)
    assert sw.predict(classifier, PICTURE) == sw.predict(classifier, PICTURE)


class ByAddress(Net):
    """Knows its layers in ways that a plain copy loses."""

    __slots__ = ("slotted",)

    def __init__(self) -> None:
        super().__init__()
        self.scales = {id(part): 1 + i / 4 for i, part in enumerate(self.body)}
        self.weak = weakref.WeakKeyDictionary({part: 1 + i / 4 for i, part in enumerate(self.body)})
        self.body[0].parent = weakref.ref(self)
        self.lock, self.dropped = threading.RLock(), 3.0
        object.__setattr__(self, "slotted", torch.tensor([1.0, 2.0, 3.0, 4.0]))

    def __getstate__(self) -> dict[str, Any]:
        return {key: value for key, value in vars(self).items() if key not in ("lock", "dropped")}

    def __deepcopy__(self, _memo: Any) -> ByAddress:
        return self

    def forward(self, x: Tensor) -> Tensor:
        with self.lock:
            for part in self.body:
                x = part(x) * self.scales[id(part)] * self.weak[part]
            return x * self.dropped * self.slotted * (self.body[0].parent() is self)


def test_a_copy_has_all_of_its_own() -> None:
    model, image = ByAddress().eval(), torch.rand(1, 3, 16, 16)
    copy = shared_copy(model, outside=Outside(model, "it").shared)
    with torch.no_grad():
        assert torch.equal(copy(image), model(image))
    assert copy.slotted is not model.slotted


def test_what_was_compiled_in_part_is_copied_as_it_was_before() -> None:
    def compiled_layer(model: nn.Module) -> None:
        model.body[0] = torch.compile(model.body[0], backend="eager")

    def compiled_forward(model: nn.Module) -> None:
        model.forward = torch.compile(model.forward, backend="eager")

    for change in (compiled_layer, compiled_forward, lambda model: model.compile(backend="eager")):
        model = Net().eval()
        plain = sw.ImageClassifier(Net().eval(), preprocess=small)
        change(model)
        classifier = sw.ImageClassifier(model, preprocess=small)
        assert classifier.prunable() == plain.prunable()
        assert sw.predict(classifier, PICTURE) == sw.predict(plain, PICTURE)
        trace = sw.trace(classifier, PICTURE, sparsity=0.5, augmentations=4)
        expected = sw.trace(plain, PICTURE, sparsity=0.5, augmentations=4)
        assert sw.predict(trace, PICTURE) == sw.predict(expected, PICTURE)


def test_weights_without_values_are_refused() -> None:
    with torch.device("meta"):
        model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten())
    with pytest.raises(sw.ModelError, match=r"'0\.weight' have no values, on the 'meta' device"):
        sw.ImageClassifier(model, preprocess=small)


def test_hooks_on_all_modules_there_are_are_refused() -> None:
    seen: list[Any] = []
    handle = nn.modules.module.register_module_forward_hook(lambda _m, _i, out: seen.append(out))
    try:
        with pytest.raises(sw.ModelError, match="hooks on all modules"):
            sw.ImageClassifier(network(), preprocess=small)
    finally:
        handle.remove()
    assert not seen
