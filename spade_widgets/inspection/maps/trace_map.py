"""A trace as a graph that can be read: its channels, and how much of a neuron's value flows between them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from spade_widgets.checks import whole
from spade_widgets.errors import InputError, ModelError
from spade_widgets.inspection.maps.flow import IMAGE, Flow, flow
from spade_widgets.network.one_type import in_one_type
from spade_widgets.neuron import Layer, Neuron
from spade_widgets.prediction import Network
from spade_widgets.pruning.plans.plan import third
from spade_widgets.pruning.traces.trace import Trace
from spade_widgets.sample import Sample, Source

#: How much of a layer's influence its shown channels have, and how much of all flow the shown edges, where they may.
NODES, EDGES = 0.8, 0.98
#: The most channels shown of a layer.
MOST = 8


@dataclass(frozen=True)
class Node:
    """A channel of a layer; or all of a layer's that are not shown, together; or the image; or the neuron itself.

    Attributes:
        layer: its layer; `"image"`; for a class "logits".
        channel: its number; None for the image and for what is not shown.
        channels: how many channels it stands for.
        influence: how much of the neuron's value comes through it, signed, in the neuron's own unit.
        share: of its layer's influence in absolute values, 0…1.
        constant: what of its influence flows in from nowhere: biases, and the shift of norms.
    """

    layer: str
    channel: int | None
    channels: int
    influence: float
    share: float
    constant: float


@dataclass(frozen=True)
class Edge:
    """How much of the neuron's value flows from one node to another, signed: positions in `TraceMap.nodes`."""

    source: int
    target: int
    weight: float


@dataclass(frozen=True, eq=False)
class TraceMap:
    """How a neuron's value on a sample comes about in a network, dense or a trace.

    Attributes:
        neuron: whose value is explained.
        sample: the sample.
        value: the neuron's value on it.
        layers: the layers shown, in the order in which they run; the first may be `"image"`, the last is the neuron's.
        nodes: all nodes, layer by layer, each layer's by influence, what is not shown last; the neuron is the last.
        edges: the strongest first.
        shown: the share of all flow, in absolute values, that the edges have, 0…1.
    """

    neuron: Neuron
    sample: Sample
    value: float
    layers: tuple[str, ...]
    nodes: tuple[Node, ...]
    edges: tuple[Edge, ...]
    shown: float

    def of(self, layer: str) -> tuple[Node, ...]:
        """A layer's nodes."""
        return tuple(node for node in self.nodes if node.layer == layer)

    def into(self, node: int) -> tuple[Edge, ...]:
        """The edges into a node, the strongest first."""
        return tuple(edge for edge in self.edges if edge.target == node)

    def out_of(self, node: int) -> tuple[Edge, ...]:
        """The edges out of a node, the strongest first."""
        return tuple(edge for edge in self.edges if edge.source == node)

    def to_dict(self) -> dict[str, Any]:
        """The map in plain values, for JSON."""
        return {
            "neuron": str(self.neuron),
            "sample": self.sample.title,
            "value": self.value,
            "layers": list(self.layers),
            "nodes": [vars(node) for node in self.nodes],
            "edges": [vars(edge) for edge in self.edges],
            "shown": self.shown,
        }


def trace_map(
    network: Network,
    neuron: str | Neuron | None = None,
    sample: Source | None = None,
    *,
    layers: Sequence[str] | None = None,
    most: int = MOST,
    nodes: float = NODES,
    edges: float = EDGES,
) -> TraceMap:
    """The map of a trace, or of the dense network: which channels a neuron's value on a sample comes through.

    A channel's influence is its value times the gradient of the neuron's, summed over places; an edge's weight is how
    much of it flows from one channel to another (`inspection.maps.flow`). Of each layer the strongest channels are
    shown; the rest is one node.

    Args:
        network: a trace or a classifier.
        neuron: default: the class that the network takes the sample for.
        sample: default: the trace's own.
        layers: the convolutions and linear layers to show. Default: those that the trace prunes; of a dense network
            those that a trace would by default.
        most: the most channels shown of a layer, from 1.
        nodes: as many of a layer's channels are shown as have this share of its influence together, in (0, 1].
        edges: as many edges are shown as have this share of all flow together, in (0, 1].

    Raises:
        InputError: if there is no such neuron or layer, no sample, or a number is out of its range.
        ModelError: if the model fails, or no gradient reaches any of the layers.
    """
    classifier = network.dense
    if sample is None:
        if not isinstance(network, Trace):
            raise InputError("A dense network's map needs a sample: give one.")
        sample = network.sample
    asked, most = Sample.read(sample), whole("most", most)
    for name, share in (("nodes", nodes), ("edges", edges)):
        if not 0 < share <= 1:
            raise InputError(f"'{name}' is a share above 0 and up to 1; {share!r} is none.")
    found = classifier.neuron(_predicted(network, asked) if neuron is None else neuron)
    own = None if found.layer is None else classifier.layer(found.layer)
    cut = [layer for layer in _layers(network, layers) if layer != own and not _is_head(layer, network, own)]
    module, x = network.module(), classifier.prepare(asked)
    if x.dtype not in (torch.float32, torch.float64):
        module, x = in_one_type(module, torch.float32), x.float()
    whole_flow = flow(module, x, found, cut, own)
    if not whole_flow.layers:
        raise ModelError(f"Nothing of '{found}' comes through the layers asked for: name layers before it.")
    return _graph(whole_flow, found, asked, most, nodes, edges)


def _predicted(network: Network, sample: Sample) -> Neuron:
    logits = network.dense.answer_of(network.module(), sample)
    return network.dense.neuron(f"logit:{int(logits[0].argmax())}")


def _is_head(layer: Layer, network: Network, own: Layer | None) -> bool:
    """A class neuron's own layer: what gives the logits."""
    return own is None and layer.name == network.dense.prunable()[-1]


def _layers(network: Network, names: Sequence[str] | None) -> list[Layer]:
    classifier = network.dense
    if names is not None:
        if isinstance(names, str):
            raise InputError(f"'layers' is a list of layers' names; '{names}' is one alone: write ['{names}'].")
        return [classifier.layer(name) for name in names]
    pruned = network.weights() if isinstance(network, Trace) else third(classifier)
    return [layer for layer in classifier.layers() if layer.name in pruned]


@dataclass(frozen=True, eq=False)
class _Group:
    """Channels of a layer that are one node."""

    layer: Layer | None  # None: the neuron itself
    name: str
    channels: Tensor  # (channels,) bool
    node: int


def _graph(whole_flow: Flow, neuron: Neuron, sample: Sample, most: int, nodes: float, edges: float) -> TraceMap:
    groups = list(_groups(whole_flow, most, nodes))
    influences = whole_flow.influences
    last = neuron.layer or "logits"
    flows: list[Edge] = []
    made: list[Node] = []
    for group in groups:
        own = influences[group.name]
        influence = float(own[group.channels].sum())
        total = float(own.abs().sum())
        share = float(own[group.channels].abs().sum()) / total if total else 0.0
        came = {} if group.layer is None else whole_flow.into(group.layer, group.channels)
        flows += _edges(came, groups, group.node)
        numbers = group.channels.nonzero().flatten().tolist()
        one = int(numbers[0]) if group.layer is not None and len(numbers) == 1 else None
        rest = influence - sum(float(part.sum()) for part in came.values())
        made.append(Node(group.name, one, len(numbers), influence, share, 0.0 if group.layer is None else rest))
    came = whole_flow.into(None)
    flows += _edges(came, groups, len(made))
    rest = whole_flow.value - sum(float(part.sum()) for part in came.values())
    made.append(Node(last, neuron.channel, 1, whole_flow.value, 1.0, rest))
    kept, shown = _strongest(flows, edges)
    layers = tuple(dict.fromkeys(node.layer for node in made))
    return TraceMap(neuron, sample, whole_flow.value, layers, tuple(made), kept, shown)


def _groups(whole_flow: Flow, most: int, nodes: float) -> Iterator[_Group]:
    """A group for the image, and for each layer its strongest channels and the rest."""
    at = 0
    layers: Mapping[str, Layer | None] = {IMAGE: None, **{layer.name: layer for layer in whole_flow.layers}}
    for name, own in whole_flow.influences.items():
        layer = layers[name]
        for chosen in [torch.ones_like(own, dtype=torch.bool)] if layer is None else _chosen(own, most, nodes):
            yield _Group(layer, name, chosen, at)
            at += 1


def _chosen(own: Tensor, most: int, share: float) -> Iterator[Tensor]:
    """(channels,) bool for each channel that is shown, the strongest first, and for all others together."""
    sizes, order = own.abs().sort(descending=True, stable=True)
    before = sizes.cumsum(0) - sizes
    count = min(most, int((before < share * sizes.sum()).sum()), int((sizes > 0).sum()))
    rest = torch.ones_like(own, dtype=torch.bool)
    for channel in order[:count].tolist():
        one = torch.zeros_like(rest)
        one[channel], rest[channel] = True, False
        yield one
    if rest.any():
        yield rest


def _edges(came: Mapping[str, Tensor], groups: Iterable[_Group], target: int) -> list[Edge]:
    met = [group for group in groups if group.name in came]
    return [Edge(group.node, target, float(came[group.name][group.channels].sum())) for group in met]


def _strongest(flows: Sequence[Edge], share: float) -> tuple[tuple[Edge, ...], float]:
    """The strongest edges that have a share of all flow together, and what share it is."""
    order = sorted((edge for edge in flows if edge.weight), key=lambda edge: -abs(edge.weight))
    total = sum(abs(edge.weight) for edge in order)
    kept, so_far = 0, 0.0
    while kept < len(order) and so_far < share * total:
        so_far += abs(order[kept].weight)
        kept += 1
    return tuple(order[:kept]), so_far / total if total else 1.0
