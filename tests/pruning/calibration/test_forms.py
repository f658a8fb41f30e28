"""Calibrations in stages, from several processes, and in bounded memory."""

from __future__ import annotations

from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from spade_widgets.classifier import ImageClassifier
from spade_widgets.errors import InputError
from spade_widgets.pruning.calibration import calibration as module
from spade_widgets.pruning.calibration.calibration import Calibration, calibrate, stages
from spade_widgets.pruning.calibration.forms import from_blocks, to_blocks
from spade_widgets.pruning.progress import Progress, finish
from spade_widgets.pruning.solvers import relative_error, solver
from spade_widgets.sample import Sample

LAYERS = ("0", "3", "6")


@pytest.fixture
def wide() -> ImageClassifier:
    """A convolution, a grouped one and a linear layer of 96 columns, on 16 px images."""
    model = nn.Sequential(
        nn.Conv2d(3, 8, 3, padding=1), nn.ReLU(), nn.AdaptiveAvgPool2d(4),
        nn.Conv2d(8, 12, 3, groups=2), nn.ReLU(), nn.Flatten(), nn.Linear(48, 5),
    )  # fmt: skip
    return ImageClassifier(model.eval(), preprocess=_small)


def _small(image: object) -> Tensor:
    pixels = np.array(image.resize((16, 16)), dtype=np.float32)  # type: ignore[attr-defined]
    return torch.from_numpy(pixels / 255).permute(2, 0, 1)


@pytest.fixture
def picture() -> Sample:
    return Sample.read(np.random.default_rng(0).integers(0, 256, (30, 40, 3), dtype=np.uint8))


def assert_same(one: Calibration, other: Calibration) -> None:
    assert one.augmentations == other.augmentations
    assert dict(one.columns) == dict(other.columns)
    assert one.sums.keys() == other.sums.keys()
    assert one.inputs.keys() == other.inputs.keys()
    assert dict(one.pieces) == dict(other.pieces)
    for name in one.sums:
        torch.testing.assert_close(one.sums[name], other.sums[name], rtol=1e-5, atol=1e-4)
    for name in one.inputs:
        torch.testing.assert_close(one.inputs[name], other.inputs[name])


# Stages


@pytest.mark.parametrize("memory", [2**30, 2000, 500])
def test_parts_of_the_sequence_add_up_to_the_whole(wide: ImageClassifier, picture: Sample, memory: int) -> None:
    whole = finish(calibrate(wide, picture, LAYERS, augmentations=12, seed=5, memory=memory))
    first = finish(calibrate(wide, picture, LAYERS, augmentations=5, seed=5, memory=memory))
    rest = finish(calibrate(wide, picture, LAYERS, augmentations=7, start=5, seed=5, memory=memory))
    assert_same(first + rest, whole)
    assert rest.augmentations == 7


def test_stages_are_the_calibrations_and_no_pass_is_made_twice(
    wide: ImageClassifier, picture: Sample, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = [finish(calibrate(wide, picture, LAYERS, augmentations=n, batch=3)) for n in (4, 8, 9)]
    made = 0
    plain = module.augment

    def counted(*args: object, **options: object) -> object:
        nonlocal made
        for images in plain(*args, **options):  # type: ignore[arg-type]
            made += len(images)
            yield images

    monkeypatch.setattr(module, "augment", counted)
    found, progress = [], list[Progress]()
    for steps in stages(wide, picture, LAYERS, counts=(4, 8, 9), batch=3):
        while True:
            try:
                progress.append(next(steps))
            except StopIteration as stop:
                found.append(stop.value)
                break
    assert made == 9
    assert [(p.done, p.of) for p in progress] == [(0, 4), (3, 4), (4, 8), (7, 8), (8, 9)]
    for calibration, alone in zip(found, expected, strict=True):
        assert_same(calibration, alone)  # also the first ones, after more was added


@pytest.mark.parametrize("counts", [(4, 4), (8, 4), (0, 4)])
def test_stages_ascend(wide: ImageClassifier, picture: Sample, counts: tuple[int, ...]) -> None:
    with pytest.raises(InputError, match=r"ascend|from 1 on"):
        list(stages(wide, picture, LAYERS, counts=counts))


def test_the_first_augmentation_has_no_negative_number(wide: ImageClassifier, picture: Sample) -> None:
    with pytest.raises(InputError, match="is -1"):
        finish(calibrate(wide, picture, LAYERS, augmentations=1, start=-1))


def _work(given: tuple[ImageClassifier, Sample, int]) -> Calibration:
    torch.set_num_threads(1)
    classifier, picture, start = given
    return finish(calibrate(classifier, picture, LAYERS, augmentations=4, start=start))


@pytest.mark.rare
def test_parts_can_come_from_several_processes(wide: ImageClassifier, picture: Sample) -> None:
    with ProcessPoolExecutor(2, mp_context=get_context("spawn")) as pool:
        parts = list(pool.map(_work, [(wide, picture, 0), (wide, picture, 4)]))
    assert_same(parts[0] + parts[1], finish(calibrate(wide, picture, LAYERS, augmentations=8)))


# Memory


def columns_of(classifier: ImageClassifier, picture: Sample, count: int) -> dict[str, Tensor]:
    """X of every layer, from a calibration that may hold nothing else."""
    found = finish(calibrate(classifier, picture, LAYERS, augmentations=count))
    assert all(found.form(name) == "full" for name in LAYERS)
    return {name: found.gram(name) for name in LAYERS}


def test_a_layer_that_does_not_fit_in_is_held_in_columns(wide: ImageClassifier, picture: Sample) -> None:
    full = columns_of(wide, picture, 6)
    found = finish(calibrate(wide, picture, LAYERS, augmentations=6, memory=48 * 48 * 4 - 1))
    assert [found.form(name) for name in LAYERS] == ["full", "columns", "columns"]
    assert found.layers == LAYERS
    assert found.inputs["6"].shape == (1, 48, 6)
    X = found.scaled_inputs("6")
    torch.testing.assert_close(X @ X.mT, full["6"])
    with pytest.raises(InputError, match="inputs are held instead"):
        found.gram("6")
    assert found.nbytes == 4 * (27**2 + 2 * 36 * 24 + 48 * 6)


@pytest.mark.parametrize("memory", [48 * 48 * 4 // 2, 36 * 36 * 2 * 4 // 2 + 20, 48 * 48 * 4 // 4 - 1, 500, 1])
@pytest.mark.parametrize("count", [1, 5, 60])
def test_blocks_are_those_of_the_full_matrix(wide: ImageClassifier, picture: Sample, memory: int, count: int) -> None:
    full = columns_of(wide, picture, count)
    found = finish(calibrate(wide, picture, LAYERS, augmentations=count, memory=memory, batch=4))
    for name in LAYERS:
        groups, side, _ = full[name].shape
        if found.form(name) == "columns":
            X = found.scaled_inputs(name)
            torch.testing.assert_close(X @ X.mT, full[name], rtol=1e-4, atol=1e-5)
            assert X.numel() * 4 <= memory
            continue
        pieces = found.pieces.get(name, 1)
        assert (pieces > 1) == (found.form(name) == "blocks")
        width = side // pieces
        H = found.gram(name)
        assert H.shape == (groups * pieces, width, width)
        channels = {"0": 3, "3": 4, "6": 48}[name]
        assert H.numel() * 4 <= memory or pieces == channels
        for group in range(groups):
            for piece in range(pieces):
                part = slice(piece * width, (piece + 1) * width)
                expected = full[name][group, part, part]
                torch.testing.assert_close(H[group * pieces + piece], expected, rtol=1e-4, atol=1e-5)


def test_columns_become_blocks_when_they_no_longer_fit(wide: ImageClassifier, picture: Sample) -> None:
    options = {"memory": 48 * 48 * 4 // 2}
    few, more = (
        finish(calibrate(wide, picture, ["6"], augmentations=n, start=s, **options)) for n, s in ((20, 0), (10, 20))
    )
    assert few.form("6") == more.form("6") == "columns"
    both = few + more
    assert both.form("6") == "blocks"
    assert_same(both, finish(calibrate(wide, picture, ["6"], augmentations=30, batch=7, **options)))
    assert_same(both + few, few + both)


def test_memory_of_both_is_the_same(wide: ImageClassifier, picture: Sample) -> None:
    one, two = (finish(calibrate(wide, picture, ["6"], augmentations=1, memory=m)) for m in (10**6, 10**5))
    with pytest.raises(InputError, match="same memory"):
        _ = one + two
    with pytest.raises(InputError, match="memory, in bytes"):
        finish(calibrate(wide, picture, ["6"], augmentations=1, memory=0))


def test_weights_in_blocks_and_back() -> None:
    W = torch.arange(6 * 12.0).view(6, 12)
    for groups, pieces in ((1, 1), (1, 3), (2, 4), (3, 12)):
        split = to_blocks(W, groups, pieces)
        assert split.shape == (6 * pieces, 12 // pieces)
        assert torch.equal(from_blocks(split, groups, pieces), W)


def test_solving_in_blocks_is_solving_with_zeros_between_the_blocks() -> None:
    X = torch.randn(2, 12, 50, dtype=torch.float64)
    H, W = X @ X.mT, torch.randn(6, 12, dtype=torch.float64)
    blocks = H.view(2, 3, 4, 3, 4).diagonal(dim1=1, dim2=3).permute(0, 3, 1, 2).reshape(6, 4, 4)
    between = torch.block_diag(*blocks[:3]), torch.block_diag(*blocks[3:])
    split = to_blocks(W, 2, 3)
    pruned = solver("fast", damping=0.0).prepare(blocks).solve(split, 0.5)
    assert int((pruned == 0).sum()) == 36
    whole = from_blocks(pruned, 2, 3)
    assert relative_error(W, whole, torch.stack(between)) == pytest.approx(relative_error(split, pruned, blocks))
