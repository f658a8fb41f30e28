"""One trace for several samples: their Gram matrices add."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors import safe_open
from torch import nn

import spade_widgets as sw
from spade_widgets.classifier import ImageClassifier
from spade_widgets.errors import InputError
from spade_widgets.pruning.calibration.augment import augment
from spade_widgets.pruning.calibration.calibration import calibrate, calibrate_together, shares
from spade_widgets.pruning.progress import Progress, finish
from spade_widgets.pruning.spade import trace_steps
from spade_widgets.sample import Sample

SIDE = 16


@pytest.fixture(scope="module")
def classifier() -> ImageClassifier:
    torch.manual_seed(0)
    model = nn.Sequential(
        nn.Conv2d(3, 6, 3, padding=1), nn.ReLU(), nn.Conv2d(6, 8, 3, padding=1), nn.ReLU(), nn.AdaptiveAvgPool2d(2),
        nn.Flatten(), nn.Linear(32, 5),
    )  # fmt: skip

    def preprocess(image: object) -> torch.Tensor:
        pixels = np.asarray(image.resize((SIDE, SIDE)), dtype=np.float32)  # type: ignore[attr-defined]
        return torch.from_numpy(pixels / 255).permute(2, 0, 1)

    return ImageClassifier(model, preprocess=preprocess, name="small")


@pytest.fixture(scope="module")
def samples() -> list[Sample]:
    rng = np.random.default_rng(0)
    return [
        Sample.read(rng.integers(0, 256, (20 + 4 * i, 24, 3), dtype=np.uint8), title=f"noise {i}") for i in range(3)
    ]


LAYERS = ["2", "6"]


@pytest.mark.parametrize("solver", ["fast", "exact", "refined", "magnitude"])
@pytest.mark.parametrize("sequential", [False, True])
def test_of_one_sample_it_is_that_samples_trace(
    classifier: ImageClassifier, samples: list[Sample], solver: str, sequential: bool, tmp_path: Path
) -> None:
    how = {"sparsity": 0.6, "layers": LAYERS, "solver": solver, "sequential": sequential, "augmentations": 20}
    one = sw.trace(classifier, samples[1], **how)
    together = sw.trace_together(classifier, samples[1:2], **how)
    assert together.digest == one.digest
    assert together.others == ()
    assert repr(together) == repr(one)
    for name in ("one", "together"):
        {"one": one, "together": together}[name].save(tmp_path / name)
    assert (tmp_path / "one").read_bytes() == (tmp_path / "together").read_bytes()
    with safe_open(tmp_path / "one", framework="pt") as opened:
        assert "others" not in str(opened.metadata()), "a single sample's file is what it always was"


def test_the_sum_is_the_gram_matrix_of_all_augmentations(classifier: ImageClassifier, samples: list[Sample]) -> None:
    summed = finish(calibrate_together(classifier, samples, LAYERS, augmentations=25, seed=4))
    assert summed.augmentations == 25
    images = torch.cat([
        batch
        for sample, start, count in ((samples[0], 0, 8), (samples[1], 8, 8), (samples[2], 16, 9))
        for batch in augment(classifier, sample, count, start=start, seed=4)
    ])  # fmt: skip
    module = classifier.module().double()
    with torch.no_grad():
        inside = module[1](module[0](images.double()))
        inputs = module[:6](images.double())
    columns = torch.nn.functional.unfold(inside, 3, padding=1).transpose(0, 1).flatten(1)
    for layer, X in (("2", columns), ("6", inputs.T)):
        naive = 2 / X.shape[1] * X @ X.T
        assert torch.allclose(summed.gram(layer)[0].double(), naive, rtol=1e-4, atol=1e-5 * float(naive.max()))


def test_no_two_augmentations_are_of_one_draw(samples: list[Sample]) -> None:
    split = shares(samples, 8)
    assert [(start, count) for _, start, count in split] == [(0, 2), (2, 3), (5, 3)]
    with pytest.raises(InputError, match="too few for 3 samples"):
        shares(samples, 2)


def test_it_is_between_its_samples_and_says_whose_it_is(classifier: ImageClassifier, samples: list[Sample]) -> None:
    trace = sw.trace_together(classifier, samples, sparsity=0.6, layers=LAYERS, augmentations=24, solver="fast")
    assert trace.sample is samples[0]
    assert [(other.id, other.title) for other in trace.others] == [(s.id, s.title) for s in samples[1:]]
    assert "'noise 0' and 2 more" in repr(trace)
    assert trace.augmentations == 24
    # On each sample's own inputs its layers err less than another one's trace does.
    one = sw.trace(classifier, samples[0], sparsity=0.6, layers=LAYERS, augmentations=24, solver="fast")
    dense = classifier.module()[2].weight
    for sample in samples[1:]:
        H = finish(calibrate(classifier, sample, ["2"], augmentations=64, seed=9)).gram("2")[0]
        joint, alone = ((dense - t.weights()["2"]).flatten(1) for t in (trace, one))
        assert ((joint @ H) * joint).sum() < ((alone @ H) * alone).sum()


@pytest.mark.parametrize("sequential", [False, True])
def test_its_file_has_all_of_it(
    classifier: ImageClassifier, samples: list[Sample], tmp_path: Path, sequential: bool
) -> None:
    made = sw.trace_together(
        classifier, samples, sparsity=0.6, layers=LAYERS, augmentations=12, solver="fast", sequential=sequential
    )
    made.save(tmp_path / "together.safetensors")
    again = sw.Trace.load(tmp_path / "together.safetensors", classifier)
    assert again.digest == made.digest
    assert again.others == made.others
    assert again.sequential == sequential
    assert again.stats() == made.stats()
    assert again.sample.id == made.sample.id


def test_it_says_how_far_it_is(classifier: ImageClassifier, samples: list[Sample]) -> None:
    plan = sw.SparsityPlan.uniform(classifier, 0.5, LAYERS)
    steps = trace_steps(classifier, samples, plan, "fast", 24, 0)
    said: list[Progress] = []
    while len(said) < 1000:
        try:
            said.append(next(steps))
        except StopIteration:
            break
    calibrating = [(step.done, step.of) for step in said if step.stage == "calibrating"]
    assert calibrating == sorted(calibrating)
    assert {of for _, of in calibrating} == {24}
    assert calibrating[0][0] == 0


def test_what_cannot_be_traced_together_gets_a_sentence(classifier: ImageClassifier, samples: list[Sample]) -> None:
    with pytest.raises(InputError, match="too few for 3 samples"):
        sw.trace_together(classifier, samples, layers=LAYERS, augmentations=2)
    with pytest.raises(InputError, match="list of samples is empty"):
        sw.trace_together(classifier, [], layers=LAYERS)
