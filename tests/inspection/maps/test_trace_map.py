"""The map of a trace: what flows in is what comes out, whatever the network; and it names the channels that matter."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from torch import Tensor, nn

import spade_widgets as sw
from spade_widgets.inspection.maps import TraceMap, trace_map
from spade_widgets.inspection.maps.flow import IMAGE
from spade_widgets.neuron import Layer


class Winding(nn.Module):
    """A network with what maps have to get past: shortcuts, joins, norms, pooling, and writing in place."""

    def __init__(self, seed: int, *, bias: bool, norm: bool) -> None:
        super().__init__()
        torch.manual_seed(seed)
        self.stem = nn.Conv2d(3, 6, 3, padding=1, bias=bias)
        self.norm = nn.BatchNorm2d(6) if norm else nn.Identity()
        self.left = nn.Conv2d(6, 4, 1, bias=bias)
        self.right = nn.Conv2d(6, 6, 3, padding=1, bias=bias)
        self.join = nn.Conv2d(10, 7, 3, stride=2, bias=bias)
        self.fc = nn.Linear(7, 5, bias=bias)

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu_(self.norm(self.stem(x)))
        y = self.right(x)
        y += x
        y = F.relu_(y)
        x = F.max_pool2d(torch.cat([F.relu(self.left(x)), y], 1), 2)
        logits: Tensor = self.fc(F.relu(self.join(x)).mean((2, 3)))
        return logits


def preprocess(image: Image.Image) -> Tensor:
    return torch.from_numpy(np.asarray(image.resize((16, 16)), np.float64).transpose(2, 0, 1) / 255)


def made(seed: int, *, bias: bool = True, norm: bool = False) -> sw.ImageClassifier:
    return sw.ImageClassifier(Winding(seed, bias=bias, norm=norm).double().eval(), preprocess=preprocess)


@pytest.fixture(scope="module")
def sample() -> sw.Sample:
    pixels = np.random.default_rng(0).integers(0, 256, (16, 16, 3), dtype=np.uint8)
    return sw.Sample(Image.fromarray(pixels))


EVERY = ("stem", "left", "right", "join")


def value_of(classifier: sw.ImageClassifier, sample: sw.Sample, neuron: str) -> float:
    """The neuron's value, computed without any of what is tested."""
    found, module = classifier.neuron(neuron), classifier.module()
    seen: list[Tensor] = []
    if found.layer is not None:
        module.get_submodule(found.layer).register_forward_hook(lambda _m, _i, out: seen.append(out.clone()))
    with torch.no_grad():
        logits = module(classifier.prepare(sample))
    if found.layer is None:
        return float(logits[0, found.channel])
    own = seen[0][0, found.channel]
    return float(own[found.position] if found.position else own.mean())


@settings(deadline=None, max_examples=30)
@given(
    st.integers(0, 10**6),
    st.booleans(),
    st.booleans(),
    st.sampled_from(["logit:2", "join:3", "join:1@2,1"]),
    st.integers(1, 8),
)
def test_what_flows_in_is_the_neurons_value(
    sample: sw.Sample, seed: int, bias: bool, norm: bool, neuron: str, most: int
) -> None:
    classifier = made(seed, bias=bias, norm=norm)
    found = trace_map(classifier, neuron, sample, layers=EVERY, most=most, edges=1)
    assert found.value == pytest.approx(value_of(classifier, sample, neuron), abs=1e-12)
    scale = max(1.0, *(abs(node.influence) for node in found.nodes))
    for at, node in enumerate(found.nodes):
        came, went = (sum(edge.weight for edge in edges) for edges in (found.into(at), found.out_of(at)))
        if node.layer != IMAGE:
            assert came + node.constant == pytest.approx(node.influence, abs=1e-9 * scale)
            if not bias and not norm:
                assert node.constant == pytest.approx(0, abs=1e-9 * scale)
        if at < len(found.nodes) - 1:
            assert went == pytest.approx(node.influence, abs=1e-9 * scale)
    constants = sum(node.constant for node in found.nodes)
    assert found.of(IMAGE)[0].influence + constants == pytest.approx(found.value, abs=1e-9 * scale)


def test_an_influence_is_what_the_neuron_loses_along_the_gradient(sample: sw.Sample) -> None:
    """Against a plain derivative: a channel's values are made a little larger, and the neuron's change is seen."""
    classifier = made(3)
    found = trace_map(classifier, "logit:1", sample, layers=EVERY, most=8, nodes=1)
    for node in found.of("right"):
        if node.channel is None:
            continue

        def changed(by: float, channel: int = node.channel) -> float:
            module = classifier.module()

            def enlarge(_part: nn.Module, _inputs: object, out: Tensor) -> Tensor:
                factors = torch.ones(out.shape[1], dtype=out.dtype)
                factors[channel] += by
                return out * factors[:, None, None]

            module.right.register_forward_hook(enlarge)
            with torch.no_grad():
                return float(module(classifier.prepare(sample))[0, 1])

        assert node.influence == pytest.approx((changed(1e-7) - changed(-1e-7)) / 2e-7, abs=1e-6)


def test_the_strongest_are_shown_and_the_rest_is_one_node(sample: sw.Sample) -> None:
    classifier = made(1)
    whole = trace_map(classifier, "logit:0", sample, layers=EVERY, most=20, nodes=1, edges=1)
    few = trace_map(classifier, "logit:0", sample, layers=EVERY, most=2, nodes=1, edges=0.5)
    for name in EVERY:
        own = sorted((node for node in whole.of(name) if node.channels == 1), key=lambda node: -abs(node.influence))
        *shown, rest = few.of(name)
        assert [node.channel for node in shown] == [node.channel for node in own[:2]]
        assert rest.channel is None
        assert rest.channels == classifier.layer(name).channels - 2
        assert rest.influence == pytest.approx(sum(n.influence for n in own) - sum(n.influence for n in shown))
        assert sum(node.share for node in few.of(name)) == pytest.approx(1)
    sizes = [abs(edge.weight) for edge in few.edges]
    assert sizes == sorted(sizes, reverse=True)
    assert 0.5 <= few.shown < 1
    everything = trace_map(classifier, "logit:0", sample, layers=EVERY, most=2, nodes=1, edges=1)
    strength = sum(abs(edge.weight) for edge in everything.edges)
    assert few.shown == pytest.approx(sum(sizes) / strength)
    assert few.shown - sizes[-1] / strength < 0.5


def test_no_more_channels_than_their_share_asks_for(sample: sw.Sample) -> None:
    found = trace_map(made(1), "logit:0", sample, layers=EVERY, nodes=0.8)
    for name in EVERY:
        *shown, _rest = found.of(name)
        shares = [node.share for node in shown]
        assert sum(shares) >= 0.8
        assert sum(shares[:-1]) < 0.8


def test_a_traces_map_is_of_what_it_pruned_and_of_its_own_weights(sample: sw.Sample) -> None:
    classifier = made(2)
    trace = sw.trace(classifier, sample, sparsity=0.8, layers=["right", "join"], solver="fast", augmentations=8)
    found = trace.map("logit:1")
    assert isinstance(found, TraceMap)
    assert found.layers == (IMAGE, "right", "join", "logits")
    assert found.value == pytest.approx(float(classifier.answer_of(trace.module(), sample)[0, 1]))
    # An edge is only where a weight is kept: with all others of a channel gone, nothing else flows into it.
    kept = trace.weights()["join"].abs().flatten(2).sum(2) > 0
    every = trace_map(trace, "logit:1", most=20, nodes=1, edges=1)
    nodes = every.nodes
    for edge in every.edges:
        source, target = nodes[edge.source], nodes[edge.target]
        if (source.layer, target.layer) == ("right", "join") and None not in (source.channel, target.channel):
            assert kept[target.channel, 4 + source.channel]  # the join has the left's four channels first
    predicted = int(classifier.answer_of(trace.module(), sample).argmax())
    assert trace.map().neuron == classifier.neuron(f"logit:{predicted}")


def test_the_model_is_left_as_it_was(sample: sw.Sample) -> None:
    classifier = made(2)
    digest = classifier.digest
    trace_map(classifier, "logit:1", sample, layers=EVERY)
    assert classifier.digest == digest
    with torch.inference_mode():
        trace_map(classifier, "logit:1", sample, layers=EVERY)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"neuron": "nowhere:1"}, "no layer 'nowhere'"),
        ({"layers": ["nowhere"]}, "no layer 'nowhere'"),
        ({"layers": "stem"}, "write \\['stem'\\]"),
        ({"most": 0}, "'most' is a whole number from 1"),
        ({"nodes": 0}, "'nodes' is a share"),
        ({"edges": 1.5}, "'edges' is a share"),
        ({"sample": None}, "needs a sample"),
        ({"neuron": "stem:1", "layers": ["join"]}, "name layers before it"),
    ],
)
def test_bad_input_gets_one_sentence(sample: sw.Sample, changes: dict[str, object], message: str) -> None:
    with pytest.raises(sw.SpadeError, match=message) as caught:
        trace_map(made(0), **{"neuron": "logit:1", "sample": sample, "layers": EVERY, **changes})  # type: ignore[arg-type]
    assert "\n" not in str(caught.value)


def test_tokens_and_channels_last_count_all_their_places() -> None:
    from spade_widgets.inspection.maps.flow import _by_channel

    values = torch.arange(24.0).reshape(1, 6, 4)
    layer = Layer("tokens", "linear", 4, (5, 1), "tokens")
    assert torch.equal(_by_channel(layer, values), values[0].sum(0))
