"""The photographs of a panel: which they are, how they are looked through, and what is asked of them."""

from __future__ import annotations

import gc
import io
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import spade_widgets as sw
from spade_widgets.classifier import ImageClassifier
from spade_widgets.errors import InputError
from spade_widgets.inspection.examples import Index
from spade_widgets.runtime.exemplify import CROP, Gallery
from spade_widgets.runtime.session import Session
from spade_widgets.sample import Sample


def picture(seed: int, side: int = 32) -> Image.Image:
    """Random pixels on a grey of its own, so that one picture excites more than another."""
    noise = np.random.default_rng(seed)
    return Image.fromarray((noise.random((side, side, 3)) * 120 + noise.integers(0, 130)).astype(np.uint8))


def png(seed: int) -> bytes:
    with io.BytesIO() as out:
        picture(seed).save(out, "PNG")
        return out.getvalue()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Twelve pictures, and a file that is none."""
    made = tmp_path / "photos"
    made.mkdir()
    for seed in range(12):
        picture(seed).save(made / f"{seed:02}.png")
    (made / "torn.png").write_bytes(png(0)[:60])
    return made


@pytest.fixture
def session(tiny: ImageClassifier) -> Session:
    return Session(tiny, [Sample(picture(s), f"sample {s}") for s in (100, 101)], augmentations=4, steps=2)


def through(gallery: Gallery) -> list[tuple[int, int]]:
    return [(looked.done, looked.total) for looked in gallery.look_through()]


def test_the_samples_serve_until_photographs_come(session: Session, folder: Path) -> None:
    gallery = Gallery(session)
    neuron = session.classifier.neuron("3:2")
    assert gallery.own
    assert gallery.examples(neuron, 9) is None
    assert gallery.percentiles("3", np.zeros(8)) is None
    assert through(gallery)[-1] == (2, 2)
    assert gallery.whole
    session.add(Sample(picture(102), "one more"))
    assert not gallery.whole
    through(gallery)
    found = gallery.examples(neuron, 9)
    assert found is not None
    assert {example.id for example in found} == {sample.id for sample in session.samples}
    gallery.add(folder)
    assert not gallery.own
    assert (gallery.whole, gallery.seen) == (False, 0)
    through(gallery)
    assert (gallery.seen, gallery.done) == (12, 13)
    assert [sentence.split("'")[1] for sentence in gallery.left_out] == ["torn.png"]


def test_examples_are_those_of_the_short_call_and_crops_are_small(session: Session, folder: Path) -> None:
    gallery = Gallery(session, folder)
    assert gallery.folder == str(folder)
    assert gallery.lasting
    through(gallery)
    for name in ("3:2", "logit:1"):
        neuron = session.classifier.neuron(name)
        found = gallery.examples(neuron, 5)
        assert found is not None
        asked = sw.examples(session.classifier, name, folder, 5)
        assert [(e.id, e.place) for e in found] == [(e.id, e.place) for e in asked]
        np.testing.assert_allclose([e.value for e in found], [e.value for e in asked])
        crop = gallery.crop(neuron, found[0])
        assert max(crop.size) <= CROP
        assert np.asarray(crop).std() > 1
        assert gallery.crop(neuron, found[0]) is crop
    place = session.classifier.neuron("3:2@1,1")
    wherever, channel = gallery.examples(place, 5), gallery.examples(session.classifier.neuron("3:2"), 5)
    assert wherever is not None
    assert channel is not None
    assert [e.id for e in wherever] == [e.id for e in channel]


def test_a_pass_that_is_left_off_goes_on(session: Session, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    looked: list[int] = []
    look = Index._look

    def counted(index: Index, group: Sequence[object]) -> None:
        looked.append(len(group))
        look(index, group)  # type: ignore[arg-type]

    monkeypatch.setattr(Index, "_look", counted)
    monkeypatch.setattr("spade_widgets.inspection.examples.index.together", lambda _classifier: 3)
    gallery = Gallery(session, folder)
    steps = gallery.look_through()
    for progress in steps:
        if progress.done >= 6:
            break
    steps.close()  # type: ignore[attr-defined]  # a generator
    assert (gallery.whole, sum(looked)) == (False, 6)
    through(gallery)
    assert gallery.whole
    assert sum(looked) == 13


def test_how_exceptional_a_sample_is(session: Session, folder: Path) -> None:
    gallery = Gallery(session, folder)
    through(gallery)
    neuron = session.classifier.neuron("3:2")
    found = gallery.examples(neuron, 64)
    assert found is not None
    values = [example.value for example in found]
    mine = session.samples[0]
    below = 100 * np.mean([value < gallery.value(neuron, mine) for value in values])
    assert gallery.percentile(found, mine) == pytest.approx(below)
    # A photograph is compared as it was seen: it is below itself to one half.
    assert gallery.percentile(found, found[0].sample) == pytest.approx(100 * 11.5 / 12)
    shares = gallery.percentiles("3", session.maps(mine, "3").max(axis=(1, 2)))
    assert shares is not None
    assert shares[2] == pytest.approx(below)
    logit = session.classifier.neuron("logit:1")
    assert gallery.value(logit, mine) == pytest.approx(
        float(session.classifier.module()(session.classifier.prepare(mine))[0, 1]), rel=1e-4
    )


def test_what_a_trace_keeps_is_all_at_sparsity_0_and_is_measured_once(
    session: Session, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    gallery = Gallery(session, folder)
    through(gallery)
    neuron = session.classifier.neuron("logit:1")
    found = gallery.examples(neuron, 3)
    assert found is not None
    for sparsity in (0.0, 0.9):
        trace = sw.trace(session.classifier, session.samples[0], sparsity=sparsity, solver="fast", augmentations=4)
        kept = [gallery.kept(trace, neuron, example) for example in found]
        if sparsity == 0:
            assert kept == pytest.approx([1, 1, 1], rel=1e-3)
        else:
            assert all(abs(share - 1) > 1e-3 for share in kept)
        with monkeypatch.context() as patched:
            patched.setattr("spade_widgets.runtime.exemplify.kept", None)
            assert kept == [gallery.kept(trace, neuron, example) for example in found]


def test_a_network_that_was_changed_is_looked_at_anew(
    tiny_model: torch.nn.Sequential, session: Session, folder: Path
) -> None:
    gallery = Gallery(session, folder)
    through(gallery)
    neuron = session.classifier.neuron("logit:1")
    before = gallery.examples(neuron, 3)
    assert before is not None
    with torch.no_grad():
        tiny_model[7].weight[1] *= 2
        tiny_model[7].bias[1] *= 2
    assert not gallery.whole
    assert gallery.examples(neuron, 3) is None
    through(gallery)
    after = gallery.examples(neuron, 3)
    assert after is not None
    assert after[0].value == pytest.approx(2 * before[0].value, rel=1e-2)


def test_dropped_files_lie_on_disk_for_as_long_as_the_gallery_is_there(session: Session) -> None:
    gallery = Gallery(session)
    kept = [gallery.keep(name, png(seed)) for seed, name in enumerate(["dog.png", "dog.png", "../../<b>\0.png", ""])]
    assert [path.stem for path in kept] == ["dog", "dog", "b", "image"]
    assert gallery.photos == tuple(kept)
    assert not gallery.lasting
    root = kept[0].parent.parent
    assert all(path.is_file() and path.parent.parent == root for path in kept)
    through(gallery)
    assert gallery.seen == 4
    del gallery
    gc.collect()
    assert not root.exists()


def test_what_holds_no_image_is_refused_and_what_cannot_be_read_is_said_once(session: Session, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no image file"):
        Gallery(session, tmp_path)
    (tmp_path / "torn.png").write_bytes(png(0)[:60])
    gallery = Gallery(session, tmp_path)
    with pytest.raises(InputError, match=r"torn\.png"):
        through(gallery)
    assert gallery.whole
    assert through(gallery) == []
    assert gallery.examples(session.classifier.neuron("3:2"), 9) is None
