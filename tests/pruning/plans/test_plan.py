"""Plans: patterns, the presets on torchvision's structures, and the paper's numbers."""

from __future__ import annotations

import functools
import itertools
from collections.abc import Iterable
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from spade_widgets.classifier import ImageClassifier
from spade_widgets.demo import emoji
from spade_widgets.errors import InputError
from spade_widgets.pruning.plans.plan import (
    DEFAULT,
    PRESETS,
    SparsityPlan,
    blocks,
    body,
    head,
    late,
    matching,
    preset,
    scaled,
    third,
)

LATE = {
    "resnet18": ("layer4.1.conv1", "layer4.1.conv2", "fc"),
    "resnet50": ("layer4.2.conv1", "layer4.2.conv2", "layer4.2.conv3", "fc"),
    "mobilenet_v2": (
        "features.17.conv.0.0", "features.17.conv.2", "features.18.0", "classifier.1",
    ),
    "squeezenet1_1": ("features.12.squeeze", "features.12.expand1x1", "features.12.expand3x3", "classifier.1"),
    "swin_t": (
        "features.7.1.attn.qkv", "features.7.1.attn.proj", "features.7.1.mlp.0", "features.7.1.mlp.3", "head",
    ),
    "convnext_tiny": ("features.7.2.block.3", "features.7.2.block.5", "classifier.2"),
    "regnet_x_400mf": (
        "trunk_output.block4.block4-11.f.a.0", "trunk_output.block4.block4-11.f.b.0",
        "trunk_output.block4.block4-11.f.c.0", "fc",
    ),
    "shufflenet_v2_x0_5": ("stage4.3.branch2.0", "stage4.3.branch2.5", "conv5.0", "fc"),
    "vgg11": ("classifier.0", "classifier.3", "classifier.6"),
    "densenet121": ("features.denseblock4.denselayer16.conv1", "features.denseblock4.denselayer16.conv2", "classifier"),
}  # fmt: skip
#: Where the last third begins.
THIRD = {
    "resnet18": "layer3.1.conv1", "resnet50": "layer3.4.conv1", "mobilenet_v2": "features.12.conv.0.0",
    "squeezenet1_1": "features.10.squeeze", "swin_t": "features.5.4.attn.qkv", "convnext_tiny": "features.5.6.block.3",
    "regnet_x_400mf": "trunk_output.block4.block4-5.f.a.0", "shufflenet_v2_x0_5": "stage3.7.branch2.0",
    "vgg11": "features.18", "densenet121": "features.denseblock3.denselayer22.conv1",
}  # fmt: skip
STEMS = {
    "resnet18": "conv1", "resnet50": "conv1", "mobilenet_v2": "features.0.0", "squeezenet1_1": "features.0",
    "vgg11": "features.0", "densenet121": "features.conv0", "swin_t": "features.0.0", "convnext_tiny": "features.0.0",
    "regnet_x_400mf": "stem.0", "shufflenet_v2_x0_5": "conv1.0",
}  # fmt: skip


#: The largest ones: no others are put together like these, and none changes but with torchvision.
LARGE = ("convnext_tiny", "regnet_x_400mf", "swin_t", "vgg11")


def each(names: Iterable[str]) -> Any:
    """The networks, of which the large ones are rare."""
    return pytest.mark.parametrize(
        "name", [pytest.param(name, marks=pytest.mark.rare if name in LARGE else ()) for name in names]
    )


@functools.cache
def classifier(name: str) -> ImageClassifier:
    """The structure alone: the weights are zeros, since drawing them would take longer than all the rest."""
    from unittest import mock

    import torchvision

    names = [n for n in vars(nn.init) if n.endswith("_") and not n.startswith("_")]
    skipped = [mock.patch.object(nn.init, n, lambda tensor, *_args, **_options: tensor) for n in names]
    for patch in skipped:
        patch.start()
    try:
        model = torchvision.models.get_model(name, weights=None)
    finally:
        for patch in skipped:
            patch.stop()
    with torch.no_grad():
        for tensor in itertools.chain(model.parameters(), model.buffers()):
            tensor.zero_()
    return ImageClassifier(model, name=name)


@each(LATE)
def test_structure_of_torchvisions_networks(name: str) -> None:
    network = classifier(name)
    assert late(network) == LATE[name]
    assert network.prunable()[0] == STEMS[name]
    assert body(network) == network.prunable()[1:]
    assert head(network) == LATE[name][-1]
    assert SparsityPlan.preset(network, 0.9, "late").sparsities == dict.fromkeys(LATE[name], 0.9)
    assert SparsityPlan.uniform(network, 0.9) == SparsityPlan.preset(network, 0.9, "third")
    assert SparsityPlan.preset(network, 0.5, "all").layers == body(network)
    assert preset("paper-saliency").fits(network) == (name == "resnet50")


@each([*LATE, "vit_b_32"])
def test_the_last_third(name: str) -> None:
    """From the first of its blocks to the end, and nothing is left out but depthwise convolutions."""
    network = classifier(name)
    chosen = third(network)
    assert chosen[0] == THIRD.get(name, "encoder.layers.encoder_layer_8.self_attention.in_proj_weight")
    after = network.prunable()[network.prunable().index(chosen[0]) :]
    missing = set(after) - set(chosen)
    convolutions = {n: m for n, m in network.module().named_modules() if isinstance(m, nn.Conv2d)}
    assert missing == {n for n in after if n in convolutions and convolutions[n].groups > 1} - set(chosen)
    assert all(convolutions[n].groups == convolutions[n].in_channels for n in missing)
    assert bool(missing) == (name in {"mobilenet_v2", "convnext_tiny", "shufflenet_v2_x0_5"})
    assert set(late(network)) <= set(chosen)
    assert list(chosen) == [n for n in after if n in chosen]
    assert SparsityPlan.preset(network, 0.9, "third").sparsities == dict.fromkeys(chosen, 0.9)


def test_the_last_third_of_a_resnet50_is_the_papers_plan() -> None:
    network = classifier("resnet50")
    assert third(network) == SparsityPlan.preset(network, 0.95, "paper-visualization").layers
    for sparsity in (0, 0.5, 0.95, 0.99):
        third_, papers = (SparsityPlan.preset(network, sparsity, key) for key in ("third", "paper-visualization"))
        assert third_ == papers == SparsityPlan.uniform(network, sparsity)


def test_the_last_third_of_the_emoji_classifier_is_its_last_block() -> None:
    """So that its recommended plan and the default name the same layers."""
    assert third(emoji.classifier()) == late(emoji.classifier())
    assert emoji.classifier().prunable()[-1] in third(emoji.classifier())


def test_the_default_preset_is_the_first_that_is_offered() -> None:
    assert DEFAULT == "third"
    assert PRESETS[0].key == DEFAULT
    assert len({p.key for p in PRESETS}) == len(PRESETS)


def test_depthwise_layers_are_left_out_unless_there_is_nothing_else() -> None:
    stack = nn.Sequential(*(nn.Conv2d(3, 3, 1, groups=3) for _ in range(5)), nn.AdaptiveAvgPool2d(1), nn.Flatten())
    assert late(ImageClassifier(stack)) == ("2", "3", "4")
    assert third(ImageClassifier(stack)) == ("3", "4")
    stack[3] = nn.Conv2d(3, 3, 1)
    stack[4] = nn.Conv2d(3, 1, 1)  # one row that sees all there is
    stack[5] = nn.AdaptiveAvgPool2d((2, 1))
    assert late(ImageClassifier(stack)) == ("3", "4")
    assert third(ImageClassifier(stack)) == ("3", "4")
    assert body(ImageClassifier(stack)) == ("1", "2", "3", "4")


def test_attention_is_part_of_its_block() -> None:
    assert late(classifier("vit_b_32")) == (
        *(
            f"encoder.layers.encoder_layer_11.{part}"
            for part in ("self_attention.in_proj_weight", "self_attention.out_proj", "mlp.0", "mlp.3")
        ),
        "heads.head",
    )


@pytest.mark.rare
def test_a_module_around_a_list_of_blocks_is_no_block() -> None:
    """MaxViT's are: a block of its kind would be two."""
    layers = late(classifier("maxvit_t"))
    assert {name.split(".layers.")[1] for name in layers if name.startswith("blocks.")} == {"1"}
    assert layers[-2:] == ("classifier.3", "classifier.5")


def test_a_plain_stack_has_its_last_three_layers_pruned() -> None:
    stack = nn.Sequential(*(nn.Conv2d(3, 3, 1) for _ in range(5)), nn.AdaptiveAvgPool2d(1), nn.Flatten())
    network = ImageClassifier(stack)
    assert late(network) == ("2", "3", "4")
    assert head(network) == "4"


@pytest.mark.parametrize(("count", "chosen"), [(1, 1), (2, 1), (3, 1), (4, 1), (5, 2), (8, 3), (9, 3), (11, 4)])
def test_a_plain_stack_has_its_last_third_of_layers_pruned(count: int, chosen: int) -> None:
    """One layer at least."""
    stack = nn.Sequential(*(nn.Conv2d(3, 3, 1) for _ in range(count)), nn.AdaptiveAvgPool2d(1), nn.Flatten())
    network = ImageClassifier(stack)
    assert third(network) == tuple(str(i) for i in range(count - chosen, count))
    assert SparsityPlan.uniform(network, 0.5).sparsities == dict.fromkeys(third(network), 0.5)


@pytest.mark.parametrize(("count", "first"), [(1, 0), (2, 1), (4, 3), (5, 3), (8, 5)])
def test_the_last_third_goes_by_blocks(count: int, first: int) -> None:
    """However many layers a block has; what comes between and after them belongs to it."""
    stack = nn.Sequential(
        nn.Conv2d(3, 3, 1),
        nn.Sequential(*(Block() for _ in range(count))),
        nn.Conv2d(3, 5, 1),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(5, 4),
    )
    network = ImageClassifier(stack)
    assert len(blocks(network)) == count
    assert third(network) == (
        *(f"1.{i}.{part}" for i in range(first, count) for part in ("one", "two")), "2", "5",
    )  # fmt: skip


class Block(nn.Module):
    """Two layers."""

    def __init__(self) -> None:
        super().__init__()
        self.one, self.two = nn.Conv2d(3, 3, 1), nn.Conv2d(3, 3, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x + self.two(self.one(x))


def test_a_last_layer_with_other_rows_is_no_head() -> None:
    class Pairs(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.fc = nn.Linear(3, 8)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.fc(x.mean((2, 3))).view(-1, 4, 2).sum(2)

    assert head(ImageClassifier(Pairs())) is None


def test_the_papers_visualization_plan() -> None:
    plan = SparsityPlan.preset(classifier("resnet50"), 0.95, "paper-visualization").sparsities
    assert set(plan.values()) == {0.95}
    expected = {
        name
        for name in classifier("resnet50").prunable()
        if name.startswith(("layer3.4.", "layer3.5.", "layer4.", "fc"))
    }
    assert set(plan) == expected
    assert "layer4.0.downsample.0" in plan
    assert len(plan) == 17


def test_the_papers_saliency_plan() -> None:
    network = classifier("resnet50")
    plan = SparsityPlan.preset(network, 0.95, "paper-saliency").sparsities
    published = {
        "layer4.2": 0.95, "layer4.1": 0.95, "layer4.0": 0.95, "layer3.5": 0, "layer3.4": 0, "layer3.3": 0.8,
        "layer3.2": 0.9, "layer3.1": 0.8, "layer3.0": 0.8, "layer2.3": 0.95, "layer2.2": 0.99, "layer2.1": 0,
        "layer2.0": 0.2, "layer1.2": 0, "layer1.1": 0.8, "layer1.0": 0.2,
    }  # fmt: skip
    for name in network.prunable():
        block = ".".join(name.split(".")[:2])
        if name == "conv1":
            assert name not in plan
        else:
            assert plan[name] == pytest.approx(0.95 if name == "fc" else published[block])


@given(st.floats(0, 0.999), st.floats(0, 0.999))
@settings(deadline=None)
def test_scaling_keeps_the_order_and_the_range(low: float, high: float) -> None:
    low, high = min(low, high), max(low, high)
    for nominal in (0.0, 0.2, 0.8, 0.9, 0.95, 0.99):
        assert 0 <= scaled(nominal, low) <= scaled(nominal, high) < 1
        assert scaled(nominal, 0.0) == 0
        assert scaled(nominal, 0.95) == pytest.approx(nominal)
    assert scaled(0.2, high) <= scaled(0.8, high) <= scaled(0.99, high)
    assert scaled(0.99, 1 - 2**-53) < 1


# Patterns


def test_patterns() -> None:
    names = classifier("resnet18").prunable()
    assert matching(names, "fc") == ("fc",)
    assert matching(names, "layer4.1") == ("layer4.1.conv1", "layer4.1.conv2")
    assert matching(names, "layer4.1.*") == matching(names, "layer4.1")
    assert matching(names, " fc , layer4.1 ") == ("layer4.1.conv1", "layer4.1.conv2", "fc")
    assert matching(names, ["fc", "layer4.1"]) == ("layer4.1.conv1", "layer4.1.conv2", "fc")
    assert matching(names, "*.downsample.0") == (
        "layer2.0.downsample.0",
        "layer3.0.downsample.0",
        "layer4.0.downsample.0",
    )
    assert matching(names, "*") == names
    assert matching(names, "layer?.0.conv1")[0] == "layer1.0.conv1"


@pytest.mark.parametrize("pattern", ["layer5", "layer", "Layer4", "bn1", "fc, nope", ""])
def test_patterns_that_match_nothing(pattern: str) -> None:
    said = pattern.rsplit(", ", maxsplit=1)[-1]
    with pytest.raises(InputError, match=rf"No layer that can be pruned matches '{said}'; the last ones are .*'fc'"):
        SparsityPlan.uniform(classifier("resnet18"), 0.5, pattern)
    with pytest.raises(InputError, match="No layer that can be pruned matches"):
        SparsityPlan.check(classifier("resnet18"), {pattern: 0.5})


def test_later_patterns_overrule_earlier_ones() -> None:
    plan = SparsityPlan.check(classifier("resnet18"), {"layer4": 0.5, "layer4.1": 0.9, "fc": "0.25"})  # type: ignore[dict-item]
    assert plan.sparsities["layer4.0.conv1"] == 0.5
    assert plan.sparsities["layer4.1.conv2"] == 0.9
    assert plan.sparsities["fc"] == 0.25
    assert plan.layers == tuple(n for n in classifier("resnet18").prunable() if n.startswith(("layer4", "fc")))


def test_plans_are_values() -> None:
    one, same = SparsityPlan({"a": 0.5, "b": 0.9}), SparsityPlan({"b": 0.9, "a": 0.5})
    assert one == same
    assert hash(one) == hash(same)
    assert one != SparsityPlan({"a": 0.5})


@pytest.mark.parametrize("bad", [-0.1, 1, 1.5, float("nan"), "x", None])
def test_sparsities_that_cannot_be(bad: float) -> None:
    network = classifier("resnet18")
    for make in (
        lambda: SparsityPlan({"fc": bad}),
        lambda: SparsityPlan.uniform(network, bad),
        lambda: SparsityPlan.uniform(network, bad, "fc"),
        lambda: SparsityPlan.check(network, {"fc": bad}),
        lambda: SparsityPlan.preset(network, bad, "all"),
    ):
        with pytest.raises(InputError, match="0 ≤ sparsity < 1"):
            make()


def test_presets_that_cannot_be() -> None:
    with pytest.raises(
        InputError, match=r"no preset 'best': 'third', 'late', 'all', 'paper-visualization', 'paper-saliency' can"
    ):
        preset("best")
    with pytest.raises(InputError, match=r"'paper-saliency' needs a layer 'layer3.5.conv3', which resnet18 has not"):
        SparsityPlan.preset(classifier("resnet18"), 0.95, "paper-saliency")
    assert [p.key for p in PRESETS if p.fits(classifier("resnet18"))] == ["third", "late", "all"]
