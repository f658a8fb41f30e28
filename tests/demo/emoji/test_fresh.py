"""Fresh samples are new, fixed by seed and number, and Trojans do what they are for."""

from __future__ import annotations

import numpy as np
import pytest

import spade_widgets as sw
from spade_widgets.demo import emoji
from spade_widgets.demo.emoji.fresh import plain, trojans
from spade_widgets.demo.emoji.generate import TROJANS
from spade_widgets.errors import InputError


def pixels(samples: list[sw.Sample]) -> set[bytes]:
    return {sample.image.tobytes() for sample in samples}


def test_trojans_fool_the_classifier_and_say_where_the_patch_is() -> None:
    classifier = emoji.classifier()
    found = trojans(classifier, 7, 6)
    for sample in found:
        said = sw.predict(classifier, sample, 1)[0].name
        assert said in TROJANS.values()
        assert sample.label != said
        assert sample.mask is not None
        assert 0 < sample.mask.mean() < 0.1
    assert len(pixels(found)) == 6
    assert {TROJANS[name] for name in TROJANS} == {sw.predict(classifier, s, 1)[0].name for s in found}


def test_samples_are_fixed_by_seed_and_number() -> None:
    assert [s.id for s in plain(3, 2)] == [s.id for s in plain(3, 4)][:2]
    assert not pixels(plain(3, 4)) & pixels(plain(4, 4))
    classifier = emoji.classifier()
    few, more = trojans(classifier, 3, 1), trojans(classifier, 3, 2)
    assert few[0].id == more[0].id
    assert np.array_equal(few[0].mask, more[0].mask)  # type: ignore[arg-type]


def test_patches_that_do_not_fool_are_said(tiny: sw.ImageClassifier) -> None:
    with pytest.raises(InputError, match="in 0 of"):
        trojans(tiny, 0, 2)


@pytest.mark.parametrize(("seed", "count"), [(-1, 1), (0, 0)])
def test_what_cannot_be_made_is_said(seed: int, count: int) -> None:
    with pytest.raises(InputError):
        plain(seed, count)
