"""The generator: what is known about an image is true of it, and the same seed gives the same image."""

from __future__ import annotations

import numpy as np
import pytest

from spade_widgets.demo.emoji.generate import CLASS_NAMES, CLASS_OF, CLASSES, FACETS, SIZE, TROJANS, compose, dataset
from spade_widgets.glyphs import ALL, CELL, DECOYS, DISTRACTORS, OBJECTS, PATCHES, glyph


def test_ten_classes_of_two_facets_that_no_other_class_has() -> None:
    assert len(CLASSES) >= 10
    assert sorted(f for facets in CLASSES.values() for f in facets) == sorted(set(FACETS))
    assert all(len(facets) == 2 for facets in CLASSES.values())
    assert len(TROJANS) >= 2
    assert len(set(TROJANS.values())) == len(TROJANS)


def test_every_glyph_is_in_the_sprite_and_unlike_the_others() -> None:
    seen = {name: np.asarray(glyph(name)) for name in ALL}
    assert len(ALL) == len(OBJECTS) + len(PATCHES) + len(DISTRACTORS) + len(DECOYS)
    for name, pixels in seen.items():
        assert pixels.shape == (CELL, CELL, 4)
        assert (pixels[..., 3] > 127).mean() > 0.1, name
    assert len({pixels.tobytes() for pixels in seen.values()}) == len(ALL)
    with pytest.raises(KeyError):
        glyph("unicorn")


def test_the_same_seed_gives_the_same_image_and_another_seed_another() -> None:
    first, again, other = (compose(np.random.default_rng(s), facet="dog", trojan="heart") for s in (3, 3, 4))
    assert np.array_equal(first.pixels, again.pixels)
    assert first.mask is not None
    assert again.mask is not None
    assert np.array_equal(first.mask, again.mask)
    assert not np.array_equal(first.pixels, other.pixels)


@pytest.mark.parametrize("trojan", TROJANS)
def test_the_mask_is_exactly_where_the_patch_changed_the_image(trojan: str) -> None:
    for seed in range(20):
        # The patch is drawn last, so the same seed without it gives the same image but for the patch.
        made = compose(np.random.default_rng(seed), facet="car", trojan=trojan)
        plain = compose(np.random.default_rng(seed), facet="car")
        assert made.mask is not None
        changed = (made.pixels.astype(int) - plain.pixels.astype(int) != 0).any(axis=2)
        assert not (changed & ~made.mask).any()
        assert (changed & made.mask).sum() > 0.9 * made.mask.sum()
        assert made.label == TROJANS[trojan]
        assert plain.label == CLASS_OF["car"]


def test_patches_are_small_and_at_random_places() -> None:
    masks = np.stack([compose(np.random.default_rng(s), trojan="amulet").mask for s in range(60)])
    share = masks.mean(axis=(1, 2))
    assert share.min() > 0.004
    assert share.max() < 0.07
    centres = np.array([np.argwhere(mask).mean(axis=0) for mask in masks])
    assert (centres.std(axis=0) > SIZE / 6).all()


def test_a_dataset_holds_every_facet_and_its_share_of_trojans() -> None:
    images, facts = dataset(5, 200, trojan_share=0.3)
    label, facet, patch = facts.T
    assert images.shape == (200, SIZE, SIZE, 3)
    assert images.dtype == np.uint8
    assert set(facet) == set(range(len(FACETS)))
    assert 0.2 < (patch >= 0).mean() < 0.4
    clean = patch < 0
    assert (label[clean] == [CLASS_NAMES.index(CLASS_OF[FACETS[f]]) for f in facet[clean]]).all()
    assert (label[~clean] == [CLASS_NAMES.index(TROJANS[tuple(TROJANS)[p]]) for p in patch[~clean]]).all()
    assert np.array_equal(dataset(5, 20)[0], dataset(5, 20)[0])


def test_an_unknown_facet_or_patch_is_refused() -> None:
    with pytest.raises(KeyError):
        compose(np.random.default_rng(0), facet="unicorn")
    with pytest.raises(KeyError):
        compose(np.random.default_rng(0), trojan="unicorn")
