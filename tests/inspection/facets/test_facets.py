"""Facets of made networks whose facets are known."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from runtime.colours import colours, preprocess, spots
from torch import Tensor, nn

import spade_widgets as sw
from spade_widgets.classifier import ImageClassifier
from spade_widgets.errors import InputError
from spade_widgets.inspection.examples import Index
from spade_widgets.inspection.facets import ChannelFacets, Facets, facets, several
from spade_widgets.inspection.facets.reached import Reached, what_reached
from spade_widgets.pruning.progress import Progress, finish


@pytest.fixture(scope="module")
def classifier() -> ImageClassifier:
    return colours(slope=0)


MIXED = spots(28, 14, 20)


@pytest.fixture(scope="module")
def warm(classifier: ImageClassifier) -> Facets:
    return facets(classifier, "either:0", MIXED, best=42)


def colours_of(found: Facets) -> list[set[str]]:
    return [{example.title.split()[0] for example in facet.examples} for facet in found]


@pytest.mark.parametrize("neuron", ["either:0", "logit:warm"])
def test_a_neuron_that_is_the_larger_of_two_detectors_has_two_facets(classifier: ImageClassifier, neuron: str) -> None:
    # A logit's own inputs are the two channels before it: what makes it warm is told one layer further back only.
    found = facets(classifier, neuron, MIXED, best=42)
    if neuron == "logit:warm":
        assert len(found) == 1
        return
    assert colours_of(found) == [{"red"}, {"green"}]
    assert [facet.share for facet in found] == [pytest.approx(2 / 3), pytest.approx(1 / 3)]
    assert found.stability > 0.95
    assert found.silhouette > found.null.max()
    values = [example.value for example in found[0].examples]
    assert values == sorted(values, reverse=True)
    assert [found.examples[m] for m in found[1].members] == list(found[1].examples)
    assert found.directions.shape == (42, 2)


def test_a_neuron_of_one_detector_has_one_facet(classifier: ImageClassifier) -> None:
    found = facets(classifier, "either:1", MIXED, best=20)
    assert colours_of(found) == [{"blue"}]
    assert found[0].share == 1
    assert len(found.null)
    assert "one facet" in repr(found)


def test_the_same_seed_gives_the_same_and_another_the_same_groups(classifier: ImageClassifier, warm: Facets) -> None:
    again, other = (facets(classifier, "either:0", MIXED, best=42, seed=seed) for seed in (0, 1))
    assert np.array_equal(warm.assignment, again.assignment)
    assert warm.stability == again.stability
    assert np.array_equal(warm.assignment, other.assignment)


def test_what_reached_a_neuron_adds_up_to_its_value_and_is_the_detectors(classifier: ImageClassifier) -> None:
    sample = spots(0, 1)[0]
    passed = Reached(classifier, classifier.module(), sample, "either")
    row, col = np.unravel_index(int(passed.maps[0].argmax()), passed.maps[0].shape)
    (part,) = passed.parts(0, (int(row), int(col))).values()
    with torch.no_grad():
        seen = F.pad(classifier.module().detect(classifier.prepare(sample)).relu(), [1] * 4)
    naive = seen[0, :, row : row + 3, col : col + 3].sum((1, 2)) * torch.tensor([1, 1, 0])
    assert part == pytest.approx(naive.numpy(), rel=1e-5)
    assert part.sum() == pytest.approx(float(passed.maps[0].detach().max()), rel=1e-5)


class Sum(nn.Module):
    """A residual sum of a long and a short branch, behind a concatenation, with an activation in place."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 4, 3, padding=1)
        self.block = nn.ModuleDict({
            "wide": nn.Conv2d(4, 5, 3, padding=1), "narrow": nn.Conv2d(4, 3, 1), "long": nn.Conv2d(8, 6, 1),
            "short": nn.Conv2d(4, 6, 1),
        })  # fmt: skip
        self.block.forward = self.both  # type: ignore[method-assign]
        self.head = nn.Conv2d(6, 2, 1)

    def both(self, x: Tensor) -> Tensor:
        x = x.relu_()
        parts = torch.cat([self.block["wide"](x), self.block["narrow"](x)], 1).relu_()
        return self.block["long"](parts) + self.block["short"](x)

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.head(self.block(self.stem(x)).relu_()).mean((2, 3))
        return logits


def test_both_branches_of_a_sum_reach_it_and_a_concatenation_is_one_input() -> None:
    torch.manual_seed(0)
    classifier = ImageClassifier(Sum(), preprocess=preprocess)
    passed = Reached(classifier, classifier.module(), spots(1)[0], "block")
    parts = passed.parts(2, (5, 7))
    assert {place[0]: len(part) for place, part in parts.items()} == {"block.long": 8, "block.short": 4}
    biases = sum(float(classifier.module().block[name].bias[2]) for name in ("long", "short"))
    total = sum(part.sum() for part in parts.values())
    assert total + biases == pytest.approx(float(passed.maps[2, 5, 7].detach()), rel=1e-5)
    assert {place[0] for place in Reached(classifier, classifier.module(), spots(1)[0], None).parts(1, (0, 0))} == {
        "head"
    }
    further = Reached(classifier, classifier.module(), spots(1)[0], None, spare=["head"]).parts(1, (0, 0))
    assert {place[0] for place in further} == {"block.long", "block.short"}


@pytest.mark.parametrize("name", ["squeezenet1_1", "resnet18", "vit_b_16"])
def test_what_reaches_neurons_of_real_networks(name: str) -> None:
    torch.manual_seed(0)
    classifier = ImageClassifier.from_torchvision(name, weights=None)
    layer = {"squeezenet1_1": "features.12.expand3x3", "resnet18": "layer4.1", "vit_b_16": "conv_proj"}[name]
    module, sample = classifier.module(), spots(1)[0]
    head = Reached(classifier, module, sample, None).parts(3, (0, 0))
    assert {place[0] for place in head} == {
        {"squeezenet1_1": "classifier.1", "resnet18": "fc", "vit_b_16": "heads.head"}[name]
    }
    rows = what_reached(classifier, classifier.neuron(f"{layer}:1"), [sample, sample], [(0, 0), (0, 0)])
    assert rows.shape[0] == 2
    assert np.array_equal(rows[0], rows[1])
    assert np.isfinite(rows).all()
    # Of a block with an identity, the blocks before it reach the sum, too.
    assert rows.shape[1] == {"squeezenet1_1": 64, "resnet18": 512 + 512 + 256, "vit_b_16": 3}[name]


def test_the_dense_model_stays_as_it_was(classifier: ImageClassifier) -> None:
    before, flags = classifier.digest, [p.requires_grad for p in classifier._model.parameters()]
    for mode in (torch.no_grad, torch.inference_mode):
        with mode():
            facets(classifier, "either:0", MIXED[:20])
    assert classifier.digest == before
    assert [p.requires_grad for p in classifier._model.parameters()] == flags
    assert not any(part._forward_hooks for part in classifier._model.modules())


def test_groups_of_ones_own(warm: Facets) -> None:
    own = warm.regroup([[0, 1, 2], [5]])
    assert [len(facet) for facet in own] == [len(warm.examples) - 4, 3, 1]
    assert own[1].members == (0, 1, 2)
    assert own.own
    assert not warm.own
    assert not len(own.null)
    assert own.stability < warm.stability
    same = warm.regroup([facet.members for facet in warm])
    assert np.array_equal(same.assignment, warm.assignment)
    assert same.stability == warm.stability
    assert same.silhouette == pytest.approx(warm.silhouette, abs=1e-9)


@pytest.mark.parametrize(
    ("groups", "said"),
    [
        ([], "at least one"),
        ([[]], "at least one"),
        ([[0], [0]], "one facet only"),
        ([[99]], "0 to 41"),
        ([[-1]], "from 0"),
    ],
)
def test_groups_that_are_none(warm: Facets, groups: list[list[int]], said: str) -> None:
    with pytest.raises(InputError, match=said):
        warm.regroup(groups)


def test_bad_questions_get_a_sentence(classifier: ImageClassifier, warm: Facets) -> None:
    with pytest.raises(InputError, match="cannot be in 9 facets"):
        facets(classifier, "either:0", MIXED[:5], 9)
    with pytest.raises(InputError, match="whole number"):
        facets(classifier, "either:0", MIXED[:5], "many")  # type: ignore[arg-type]
    with pytest.raises(InputError, match="nothing to group"):
        facets(classifier, "either:0", MIXED, examples=[replace(e, value=-1.0) for e in warm.examples])
    with pytest.raises(InputError, match="facets 0 to 1"):
        warm.trace(2)
    with pytest.raises(InputError, match="no photographs"):
        next(several(classifier, "either"))
    with pytest.raises(InputError, match="no channel 7"):
        next(several(classifier, "either", MIXED, channels=[7]))


def test_a_facets_trace_is_one_of_all_its_examples(classifier: ImageClassifier, warm: Facets) -> None:
    red, green = (warm.trace(i, plan={"either": 0.7}, augmentations=56) for i in range(2))
    assert green.sample.id == warm[1].examples[0].id
    assert [other.id for other in green.others] == [example.id for example in warm[1].examples[1:]]
    together = [example.sample for example in warm[1].examples]
    assert sw.trace_together(classifier, together, plan={"either": 0.7}, augmentations=56).digest == green.digest
    assert green.digest != red.digest


def test_which_neurons_have_several_facets(classifier: ImageClassifier, warm: Facets) -> None:
    steps = list(several(classifier, "either", MIXED, best=42))
    found = {step.neuron.channel: step for step in steps if isinstance(step, ChannelFacets)}
    assert {step.stage for step in steps if isinstance(step, Progress)} == {"looking", "reaching"}
    assert found[0].count == 2
    assert found[0].shares == tuple(facet.share for facet in warm)
    assert found[0].silhouette == warm.silhouette
    assert found[0].excess > 0 >= found[1].excess
    assert found[1].count == 1
    index = finish(Index(classifier).build(MIXED))
    only = [
        s for s in several(classifier, "either", index=index, channels=[0], best=42) if isinstance(s, ChannelFacets)
    ]
    assert only == [found[0]]


def test_importing_does_not_import_scikit_learn() -> None:
    code = "import sys, spade_widgets as sw; sw.facets; sw.Facets; assert 'sklearn' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_the_names_are_public() -> None:
    assert sw.facets is facets
    assert sw.Facets is Facets
