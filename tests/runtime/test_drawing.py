"""Pictures of every kind morph from one sparsity to the next, and are found again."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from runtime.test_session import picture

from spade_widgets.classifier import ImageClassifier
from spade_widgets.errors import InputError
from spade_widgets.runtime.drawing import PLAIN, Drawing
from spade_widgets.runtime.explore import Rendered, Selection, begun, explore
from spade_widgets.runtime.morph import Morph, OnScreen
from spade_widgets.runtime.session import Session
from spade_widgets.runtime.tracing import Pruning

BEGUN = Drawing("sample", near=0.6)
DRAWINGS = [PLAIN, Drawing("maco"), Drawing("fourier", 4), Drawing("maco", 4), BEGUN]


def select(session: Session, drawing: Drawing, sparsity: float = 0.5) -> Selection:
    neuron, sample = session.classifier.neuron("3:2"), session.samples[0]
    return Selection(sample, Pruning(sparsity, "all", solver="fast"), neuron, "3", drawing=drawing.at(sample))


def opened(tiny: ImageClassifier, cache: Path | None = None) -> Session:
    return Session(tiny, [picture(0), picture(1)], augmentations=4, steps=12, cache=cache)


@pytest.mark.parametrize("drawing", DRAWINGS)
def test_a_picture_morphs_to_another_sparsity(tiny: ImageClassifier, drawing: Drawing) -> None:
    session, screen = opened(tiny), OnScreen()
    for _ in explore(session, select(session, drawing), screen):
        pass
    first = begun(session, select(session, drawing))["sparse"]
    assert first is not None
    there = first.images()
    assert there.shape == (drawing.count, 3, 32, 32)
    morphs: list[Morph] = []
    for event in explore(session, select(session, drawing, 0.8), screen):
        if isinstance(event, Rendered) and event.morph is not None and event.morph not in morphs:
            morphs.append(event.morph)
            morphed = event.morph.renderer.images()
    assert len(morphs) == 1
    assert morphed.shape == there.shape
    assert float((morphed - there).abs().mean()) < 0.1  # a step or two from it, not from noise
    last = begun(session, select(session, drawing, 0.8))["sparse"]
    assert last is not None
    assert last.steps_done == 12
    # Bit for bit what it is where nothing was on screen before.
    other = opened(tiny)
    for _ in explore(other, select(other, drawing, 0.8), OnScreen()):
        pass
    alone = begun(other, select(other, drawing, 0.8))["sparse"]
    assert alone is not None
    assert torch.equal(last.images(), alone.images())


def test_another_sample_has_a_dense_picture_of_its_own_and_no_morph_of_the_last(tiny: ImageClassifier) -> None:
    session, screen = opened(tiny), OnScreen()
    found = []
    for sample in session.samples:
        drawing = BEGUN.at(sample)
        selection = Selection(sample, Pruning(0.5, "all"), tiny.neuron("3:2"), "3", drawing=drawing)
        for event in explore(session, selection, screen):
            if isinstance(event, Rendered) and event.morph is not None:
                assert event.morph.origin.sample is sample
        dense = begun(session, selection)["dense"]
        assert dense is not None
        found.append(dense.images())
    assert not torch.allclose(*found, atol=0.05)
    assert PLAIN.at(session.samples[0]) == PLAIN  # others' pictures are all samples'


def test_another_kind_of_picture_does_not_morph(tiny: ImageClassifier) -> None:
    session, screen = opened(tiny), OnScreen()
    for _ in explore(session, select(session, PLAIN), screen):
        pass
    for event in explore(session, select(session, Drawing("maco"), 0.8), screen):
        if isinstance(event, Rendered) and event.morph is not None:
            assert event.morph.source == ""  # begun under a draft of this very trace


def test_kinds_are_told_apart_on_disk(tiny: ImageClassifier, tmp_path: Path) -> None:
    session = opened(tiny, tmp_path)
    neuron = session.classifier.neuron("3:2")
    names = [session.cache.picture_name(session.classifier, session.subject(neuron, how)) for how in DRAWINGS]
    assert None not in names
    assert len({name.file for name in names if name}) == len(DRAWINGS)
    some = [BEGUN.at(sample) for sample in session.samples]
    some.append(replace(some[0], near=0.7))
    told = [session.cache.picture_name(session.classifier, session.subject(neuron, how)) for how in some]
    assert len({name.file for name in told if name}) == 3
    session.add(picture(2))
    again = [session.cache.picture_name(session.classifier, session.subject(neuron, how)) for how in DRAWINGS]
    assert [a == b for a, b in zip(names, again, strict=True)] == [not how.samples for how in DRAWINGS]


@pytest.mark.parametrize("drawing", DRAWINGS)
def test_pictures_have_the_size_that_the_session_says(tiny: ImageClassifier, drawing: Drawing) -> None:
    """But for those of samples' magnitudes, which have the input's size."""
    session = Session(tiny, [picture(0), picture(1)], augmentations=4, steps=2, size=96)
    shape = (drawing.count, 3, 32, 32) if drawing.samples else (drawing.count, 3, 96, 96)
    for _ in explore(session, select(session, drawing), OnScreen()):
        pass
    for which, renderer in begun(session, select(session, drawing)).items():
        assert renderer is not None, which
        assert renderer.images().shape == shape
    alone = Session(tiny, [picture(0)])
    subject = alone.subject(tiny.neuron("3:2"), drawing.at(alone.samples[0]))
    assert subject.begin(tiny).images().shape[2:] == (32, 32)


def test_sizes_are_told_apart_on_disk(tiny: ImageClassifier, tmp_path: Path) -> None:
    def names(size: int | None) -> list[str]:
        session = Session(tiny, [picture(0), picture(1)], augmentations=4, steps=2, size=size, cache=tmp_path)
        neuron = session.classifier.neuron("3:2")
        made = (session.cache.picture_name(tiny, session.subject(neuron, how)) for how in DRAWINGS)
        return [name.file for name in made if name]

    found = [names(size) for size in (None, 48, 96)]
    assert names(96) == found[-1]
    for how, files in zip(DRAWINGS, zip(*found, strict=True), strict=True):
        assert len(set(files)) == (1 if how.samples else 3)


@pytest.mark.parametrize("size", [0, 2.5, "large", 10**6])
def test_a_size_that_cannot_be(tiny: ImageClassifier, size: Any) -> None:
    with pytest.raises(InputError, match="size"):
        Session(tiny, [picture(0)], size=size)


def test_four_pictures_count_four_times_in_the_store(tiny: ImageClassifier) -> None:
    session = opened(tiny)
    neuron = session.classifier.neuron("3:2")
    one, four = (session.renderer(session.classifier, neuron, how).nbytes - 2**20 for how in (PLAIN, DRAWINGS[2]))
    assert four == 4 * one
