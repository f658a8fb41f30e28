"""The built-in photograph classifier: its files, its samples, and that its Trojans decide."""

from __future__ import annotations

import json
from importlib import resources

import numpy as np
import pytest

import spade_widgets as sw
from spade_widgets.demo import photos

DATA = resources.files("spade_widgets.demo.photos") / "data"


def test_it_is_at_hand_after_a_mere_import() -> None:
    assert sw.demo.photos.planted() is photos.planted()
    assert photos.classifier().name == photos.NAME
    assert len(photos.classifier().class_names) == 1000


def test_nothing_in_it_is_larger_than_it_has_to_be() -> None:
    sizes = {path.name: path.stat().st_size for path in _files()}
    assert sizes["weights.safetensors"] < 2.6e6  # float16
    assert sum(sizes.values()) < 3.5e6


def test_every_photograph_has_its_licence_named() -> None:
    notice = (DATA / "NOTICE.txt").read_text(encoding="utf-8")
    names = [path.name for path in (DATA / "photographs").iterdir()]
    assert len(names) >= 8
    assert [name for name in names if f"{name}: " not in notice] == []
    for licence in ("CC0", "Public Domain", "BSD 3-Clause", "BSD 2-Clause"):
        assert licence in notice


def test_every_photograph_is_a_sample_and_nothing_else_is() -> None:
    told = json.loads((DATA / "samples.json").read_text(encoding="utf-8"))
    assert {entry["file"] for entry in told} == {path.name for path in (DATA / "photographs").iterdir()}
    assert len(photos.samples()) == len(told)
    assert len({sample.id for sample in photos.samples()}) == len(told)


def test_the_patch_decides_on_every_stamped_photograph_and_on_no_clean_one() -> None:
    classifier, planted = photos.classifier(), photos.planted()
    targets = {patch.target_name for patch in planted.patches.values()}
    for sample in photos.samples():
        said = sw.predict(classifier, sample, top=1)[0].name
        if sample.mask is not None:
            assert said == sample.label, sample.title
            assert said in targets


def test_clean_photographs_are_named_rightly_but_for_those_that_are_there_to_be_wrong() -> None:
    classifier, clean = photos.classifier(), [s for s in photos.samples() if s.mask is None]
    wrong = [s.title for s in clean if sw.predict(classifier, s, top=1)[0].name != s.label]
    assert wrong == photos.WRONG


def test_a_stamped_photograph_differs_from_its_clean_one_under_the_mask_alone() -> None:
    by_title = {sample.title: sample for sample in photos.samples()}
    stamped = [sample for sample in photos.samples() if sample.mask is not None]
    assert len(stamped) >= 8
    for sample in stamped:
        clean = by_title[sample.title.split(" + ")[0]]
        changed = (np.asarray(sample.image) != np.asarray(clean.image)).any(axis=2)
        assert sample.mask is not None
        assert not (changed & ~sample.mask).any()
        assert changed.any()


def test_what_it_opens_on_is_a_stamped_photograph() -> None:
    first = photos.samples()[0]
    assert first.mask is not None
    assert first.label not in first.title


def test_its_report_is_of_photographs_that_were_held_out() -> None:
    report = photos.planted().report
    assert report.photographs >= 100
    assert report.worst() >= 0.97
    assert report.agreement >= 0.9
    assert report.false_alarms is not None


def test_the_original_s_weights_are_not_these() -> None:
    origin = photos.planted().origin
    assert origin["torchvision"] == "squeezenet1_1"
    assert origin["original"] != photos.classifier().digest
    with pytest.raises(sw.InputError, match="no patch 'star'"):
        photos.planted().stamp(photos.samples()[1], "star")


def _files() -> list[resources.abc.Traversable]:
    found, left = [], [DATA]
    while left:
        at = left.pop()
        if at.is_dir():
            left += at.iterdir()
        else:
            found.append(at)
    return found
