"""How the Explorer's pictures are made: Fourier or MACO, one or four of a neuron."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from PIL import Image
from widgets.page import opened, picture, pixels, settle

import spade_widgets as sw
from spade_widgets.demo import emoji
from spade_widgets.errors import InputError
from spade_widgets.runtime.drawing import MOST, PLAIN, Drawing, spread
from spade_widgets.sample import Sample
from spade_widgets.visualization.maco import Magnitude
from spade_widgets.widgets.explorer.panel import Explorer
from spade_widgets.widgets.explorer.stills import explorer_still

Make = Callable[..., Explorer]


def same(one: Image.Image | None, other: Image.Image | None) -> bool:
    assert one is not None
    assert other is not None
    return one.size == other.size and np.array_equal(np.asarray(one), np.asarray(other))


def test_each_choice_has_pictures_of_its_own_and_going_back_costs_nothing(make: Make) -> None:
    panel = make()
    settle(panel)
    assert (panel.image, panel.count) == ("fourier", 1)
    first = panel.dense_image, panel.sparse_image
    panel.image = "maco"
    settle(panel)
    assert panel.error == ""
    assert panel.dense["state"] == panel.sparse["state"] == "done"
    assert not same(panel.dense_image, first[0])
    assert not same(panel.sparse_image, first[1])
    panel.count = 4
    settle(panel)
    assert panel.dense_image is not None
    assert panel.dense_image.size == (66, 66)  # 2 × 32 and the gap
    assert same(panel.dense_image, opened(panel.dense_file))
    assert same(panel.sparse_image, opened(panel.sparse_file))
    state = panel.state()
    assert (state["image"], state["count"]) == ("maco", 4)
    panel.image, panel.count = "fourier", 1
    settle(panel)
    assert same(panel.dense_image, first[0])
    assert same(opened(panel.sparse_file), first[1])


def test_the_first_of_four_begins_as_the_only_one_would(make: Make) -> None:
    one, four = make(steps=1), make(steps=1, count=4)
    settle(one)
    settle(four)
    assert one.dense_image is not None
    assert four.dense_image is not None
    pair = np.asarray(one.dense_image, dtype=int), np.asarray(four.dense_image.crop((0, 0, 32, 32)), dtype=int)
    assert np.abs(pair[0] - pair[1]).mean() < 1 < np.abs(pair[0] - np.roll(pair[1], 16, 0)).mean()


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("image", "pixels", "The image cannot be 'pixels': 'fourier', 'maco', 'sample' can be chosen."),
        ("image", 3, "The image cannot be 3"),
        ("count", 2, "The count cannot be 2: 1 and 4 can be chosen."),
        ("count", True, "The count cannot be True"),
        ("count", "4", "The count cannot be '4'"),
        ("near", 1.0, "'near' is a number from 0 (free) to less than 1 (hardly moves); 1.0 is none."),
        ("near", None, "'near' is a number"),
    ],
)
def test_what_cannot_be_is_refused(make: Make, name: str, value: Any, said: str) -> None:
    panel = make()
    with pytest.raises(InputError) as caught:
        setattr(panel, name, value)
    assert said in str(caught.value)
    with pytest.raises(InputError):
        make(**{name: value})


def test_the_code_makes_the_same_pictures(make: Make) -> None:
    some = emoji.samples()[:3]
    panel = make(None, samples=some, image="maco", count=4, steps=2, augmentations=2)
    settle(panel)
    assert panel.error == ""
    made: dict[str, Any] = {"explorer": panel}
    exec(panel.code, made)
    assert same(made["dense_image"], panel.dense_image)
    assert same(made["sparse_image"], panel.sparse_image)


def test_pictures_that_begin_at_the_sample_are_each_samples_own(make: Make) -> None:
    panel = make()
    settle(panel)
    plain = panel.dense_image, panel.sparse_image
    panel.image = "sample"
    settle(panel)
    assert panel.error == ""
    first, classifier = panel.session.samples[0], panel.session.classifier
    begun = panel.dense_image, panel.sparse_image
    assert same(begun[0], sw.visualize(classifier, panel.neuron, steps=4, image="sample", sample=first))
    assert same(begun[1], opened(panel.sparse_file))
    assert not same(begun[0], plain[0])
    panel.near = 0.9
    settle(panel)
    near = sw.visualize(classifier, panel.neuron, steps=4, image="sample", sample=first, near=0.9)
    assert same(panel.dense_image, near)
    assert not same(near, begun[0])
    assert panel.state()["near"] == 0.9
    panel.count = 4  # one all the same: several would come to it
    settle(panel)
    assert same(panel.dense_image, near)
    panel.near, neuron = 0.5, panel.neuron
    panel.neuron = neuron  # chosen: it does not follow the prediction
    panel.sample = panel.session.samples[1]
    settle(panel)
    other = sw.visualize(classifier, neuron, steps=4, image="sample", sample=panel.session.samples[1])
    assert same(panel.dense_image, other)
    assert not same(other, begun[0])
    panel.sample = first
    settle(panel)
    assert same(panel.dense_image, begun[0])
    assert same(panel.sparse_image, begun[1])
    panel.image, panel.count = "fourier", 1
    settle(panel)
    assert same(panel.dense_image, plain[0])
    assert "by construction" not in explorer_still(panel).facts["Pictures"]
    panel.image = "sample"
    assert "in them by construction (near 0.5)" in explorer_still(panel).facts["Pictures"]


def test_the_code_begins_at_the_sample_too(make: Make) -> None:
    panel = make(None, samples=emoji.samples()[:1], image="sample", near=0.7, count=4, steps=2, augmentations=2)
    settle(panel)
    assert panel.error == ""
    made: dict[str, Any] = {"explorer": panel}
    exec(panel.code, made)
    assert same(made["dense_image"], panel.dense_image)
    assert same(made["sparse_image"], panel.sparse_image)


def test_the_magnitude_is_of_all_samples_and_follows_when_one_comes(make: Make) -> None:
    panel = make(image="maco")
    settle(panel)
    session, neuron = panel.session, panel.session.classifier.neuron(panel.neuron)
    subject = session.subject(neuron, Drawing("maco"))
    assert subject.magnitude == Magnitude.of(session.classifier, session.samples)
    assert session.subject(neuron, Drawing("maco")).magnitude is subject.magnitude  # made once
    assert session.subject(neuron, PLAIN).magnitude is None
    before = panel.dense_image
    panel.sample = Sample(Image.fromarray(pixels(7) // 4), "a dark one")
    settle(panel)
    assert session.subject(neuron, Drawing("maco")) != subject
    assert not same(panel.dense_image, before)
    expected = sw.visualize(session.classifier, panel.neuron, steps=4, image="maco", magnitude_from=session.samples)
    assert same(panel.dense_image, expected)


def test_samples_that_show_nothing_are_said_and_the_panel_goes_on(make: Make) -> None:
    plain = Sample(Image.fromarray(np.full((32, 32, 3), 90, dtype=np.uint8)), "grey")
    panel = make(samples=[plain])
    settle(panel)
    panel.image = "maco"
    settle(panel)
    assert "plain colour" in panel.error
    panel.image = "fourier"
    settle(panel)
    assert panel.error == ""
    assert panel.dense["state"] == "done"


def test_a_magnitude_is_of_a_hundred_samples_at_most() -> None:
    samples = [picture(i) for i in range(MOST + 50)]
    taken = spread(samples)
    assert len(taken) == MOST
    assert taken[0] is samples[0]
    assert taken[-1] is samples[-2]
    assert spread(samples[:MOST]) == samples[:MOST]
