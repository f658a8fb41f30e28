"""Tables: saliency methods × networks × metrics, over samples. What `spade-widgets evaluate` runs.

Each number is kept in a file as it is found (`results`), so that a stopped run goes on where it was. A map explains the
class that the *dense* network predicts on the sample, for every network alike.
"""

from __future__ import annotations

import ast
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, TypeAlias

import spade_widgets
from spade_widgets.classifier import ImageClassifier
from spade_widgets.errors import InputError, SpadeError
from spade_widgets.evidence.judging import How, Judged, Metric
from spade_widgets.evidence.metrics import Map
from spade_widgets.evidence.networks import Maker, NetworkName, Networks, Pruning
from spade_widgets.evidence.results import Key, Result, Results, Settings, settings_id
from spade_widgets.prediction import Network, predict
from spade_widgets.pruning.progress import Progress, Steps, T, mapped
from spade_widgets.sample import Mask, Sample

#: Makes the map of a sample under a network: (network, sample, class index, method, seed) → (H, W).
Explain: TypeAlias = Callable[[Network, Sample, int, str, int], Steps[Map]]


def explain(network: Network, sample: Sample, target: int, method: str, seed: int) -> Steps[Map]:
    """`sw.saliency` in steps. The method may carry options: see `parse_method`."""
    from spade_widgets.attribution.saliency import saliency_steps

    name, options = parse_method(method)
    return (yield from saliency_steps(network, sample, target, name, seed=seed, **options))


def describe(method: str) -> dict[str, Any]:
    """What a saliency method's maps depend on: its name and all its options; JSON.

    Raises:
        InputError: if there is no such method, or it has no such option.
    """
    from spade_widgets.attribution.saliency import find_method

    name, options = parse_method(method)
    chosen = find_method(name)
    for option in options:
        if option not in chosen.defaults:
            offered = ", ".join(chosen.defaults) or "none"
            raise InputError(f"The method '{name}' has no option '{option}'; its options: {offered}.")
    return {"method": name, "options": {key: repr(value) for key, value in {**chosen.defaults, **options}.items()}}


def parse_method(text: str) -> tuple[str, dict[str, Any]]:
    """`"lrp"`, or with options `"lrp:composite=epsilon_plus,bias=absorbing"`; values as in Python, or plain words.

    Raises:
        InputError: if an option is not written like that.
    """
    name, _, rest = text.partition(":")
    options: dict[str, Any] = {}
    for part in filter(None, rest.split(",")):
        key, sign, value = part.partition("=")
        if not (key and sign and value):
            raise InputError(f"'{part}' in '{text}' is no option: write method:option=value,option=value.")
        try:
            options[key.strip()] = ast.literal_eval(value.strip())
        except (ValueError, SyntaxError):  # a word
            options[key.strip()] = value.strip()
    return name, options


@dataclass(frozen=True)
class Protocol:
    """What is judged, and how.

    Attributes:
        networks, methods, metrics: the table's columns, its rows, and the tables.
        pruning: how traces are made; may be None where only the dense network is judged.
        how: the metrics' settings.
        seed: of the saliency methods that draw random numbers.
        explain, describe: make a method's map, and say what it depends on; for other methods than ours.
    """

    networks: tuple[NetworkName, ...]
    methods: tuple[str, ...]
    metrics: tuple[Metric, ...]
    pruning: Pruning | None
    how: How = field(default_factory=How)
    seed: int = 0
    explain: Explain = explain
    describe: Callable[[str], Mapping[str, Any]] = describe

    def __post_init__(self) -> None:
        if self.pruning is None and any(name.solver for name in self.networks):
            raise InputError("Traces cannot be made without a plan: say which layers are pruned, and how much.")
        if self.pruning is not None and not self.pruning.plan.layers:
            raise InputError("The plan names no layer to prune.")
        if not self.methods and any(metric.needs_map for metric in self.metrics):
            raise InputError("There is no saliency method to judge: name at least one.")
        for method in self.methods:
            self.describe(method)

    def pairs(self) -> list[tuple[str, tuple[Metric, ...]]]:
        """Each method with the metrics of its map; first `""` with those that need no map."""
        of_maps = tuple(m for m in self.metrics if m.needs_map)
        others = tuple(m for m in self.metrics if not m.needs_map)
        found = [("", others)] if others else []
        return found + ([(method, of_maps) for method in self.methods] if of_maps else [])

    def settings(self, classifier: ImageClassifier, network: NetworkName, method: str, metric: Metric) -> Settings:
        """All that a number depends on beside the sample; JSON."""
        return {
            "classifier": classifier.digest,
            "version": spade_widgets.__version__,
            "network": {} if self.pruning is None else self.pruning.settings(network),
            "saliency": {**self.describe(method), "seed": self.seed} if method else {},
            "metric": metric.settings(self.how),
        }


@dataclass(frozen=True, eq=False)
class Table:
    """What a run is to find, and where.

    Attributes:
        protocol, results: what is judged, and where the numbers are.
        samples: their `Sample.id`.
        settings: (network, method or "", metric) → all that such a number depends on beside the sample.
    """

    protocol: Protocol
    samples: tuple[str, ...]
    results: Results
    settings: Mapping[tuple[str, str, str], Settings]

    @staticmethod
    def of(classifier: ImageClassifier, samples: Sequence[Sample], protocol: Protocol, results: Results) -> Table:
        """The table of these samples, with as many numbers as there are."""
        settings = {
            (str(network), method, metric.key): protocol.settings(classifier, network, method, metric)
            for network in protocol.networks
            for method, judges in protocol.pairs()
            for metric in judges
        }
        return Table(protocol, tuple(sample.id for sample in samples), results, settings)

    def values(self, network: NetworkName, method: str, metric: Metric) -> dict[str, float]:
        """Sample → number, for the samples that have one."""
        found = {s: self.results.value(self.key(s, network, method, metric)) for s in self.samples}
        return {sample: value for sample, value in found.items() if value is not None}

    def errors(self, network: NetworkName, method: str, metric: Metric) -> list[str]:
        """Why numbers are missing, each reason once."""
        found = [self.results.get(self.key(s, network, method, metric)) for s in self.samples]
        return list(dict.fromkeys(result.error for result in found if result is not None and result.value is None))

    def key(self, sample: str, network: NetworkName, method: str, metric: Metric) -> Key:
        """What a number is kept under."""
        return Key(sample, str(network), method, metric.key, self._ids[str(network), method, metric.key])

    @cached_property
    def _ids(self) -> dict[tuple[str, str, str], str]:
        return {place: settings_id(settings) for place, settings in self.settings.items()}


def evaluate_steps(
    classifier: ImageClassifier,
    samples: Sequence[Sample],
    protocol: Protocol,
    results: Results,
    networks: Callable[[Sample], Maker] | None = None,
) -> Steps[Table]:
    """Find all numbers that `results` does not hold yet. Yields its progress; the stage says what is being done.

    Sample by sample, so that a run that was stopped early has compared all networks on the same samples. A method that
    does not apply to the network, or a trace that cannot be made, gives no number but its reason; the run goes on, and
    tries again when it is started again.

    Args:
        classifier: the dense classifier.
        samples: at least one; with masks, where a metric needs them.
        protocol: what is judged, and how.
        results: where numbers are found and kept.
        networks: makes a sample's networks; default: as `sw.trace` does. Only asked for what is not known yet.

    Raises:
        InputError: if a metric needs a mask that a sample does not have, or there is no sample.
        ModelError: if the dense network's logits are not finite on a sample.
    """
    if not samples:
        raise InputError("There is no sample to judge on.")
    table = Table.of(classifier, samples, protocol, results)
    masked = any(metric.needs_mask for metric in protocol.metrics)
    masks = [_mask(classifier, sample) if masked else None for sample in samples]
    run = _Run(table, classifier, networks or (lambda sample: Networks(classifier, sample, protocol.pruning)))
    pairs = protocol.pairs()
    of = len(samples) * len(protocol.networks) * len(pairs)
    for i, (sample, mask) in enumerate(zip(samples, masks, strict=True)):
        yield from run.sample(sample, mask, i * of // len(samples), of)
    return table


class _Run:
    def __init__(self, table: Table, classifier: ImageClassifier, networks: Callable[[Sample], Maker]) -> None:
        self.table, self.classifier, self.networks = table, classifier, networks
        self.protocol, self.results = table.protocol, table.results

    def sample(self, sample: Sample, mask: Mask | None, done: int, of: int) -> Steps[None]:
        target: int | None = None
        maker = self.networks(sample)
        pairs = self.protocol.pairs()
        for name in self.protocol.networks:
            missing = [self._missing(sample, name, method, judges) for method, judges in pairs]
            if any(missing):
                if target is None:
                    target = predict(self.classifier, sample, 1)[0].index
                label = f"{sample.title} · {name}"
                try:
                    network = yield from _labelled(maker.make(name), f"{label} · trace", done, of, 0)
                except SpadeError as error:
                    for (method, _), judges in zip(pairs, missing, strict=True):
                        self._failed(sample, name, method, judges, error)
                else:
                    for j, ((method, _), judges) in enumerate(zip(pairs, missing, strict=True)):
                        if judges:
                            stage = f"{label} · {method}" if method else label
                            yield Progress(stage, done + j, of)
                            steps = self._judge(network, sample, target, name, method, judges, mask)
                            yield from _labelled(steps, stage, done + j, of, 1)
            done += len(pairs)

    def _judge(
        self,
        network: Network,
        sample: Sample,
        target: int,
        name: NetworkName,
        method: str,
        judges: Sequence[Metric],
        mask: Mask | None,
    ) -> Steps[None]:
        try:
            saliency = (
                (yield from self.protocol.explain(network, sample, target, method, self.protocol.seed))
                if method
                else None
            )
        except SpadeError as error:
            self._failed(sample, name, method, judges, error)
            return
        judged = Judged(network, sample, target, saliency, mask, self.protocol.how)
        for metric in judges:
            try:
                value = yield from metric.measure(judged)
            except SpadeError as error:
                self._failed(sample, name, method, [metric], error)
            else:
                self._add(sample, name, method, metric, Result(float(value), title=sample.title))

    def _missing(self, sample: Sample, name: NetworkName, method: str, judges: Sequence[Metric]) -> tuple[Metric, ...]:
        table = self.table
        return tuple(m for m in judges if self.results.value(table.key(sample.id, name, method, m)) is None)

    def _failed(
        self, sample: Sample, name: NetworkName, method: str, judges: Sequence[Metric], error: SpadeError
    ) -> None:
        for metric in judges:
            self._add(sample, name, method, metric, Result(None, str(error), sample.title))

    def _add(self, sample: Sample, name: NetworkName, method: str, metric: Metric, result: Result) -> None:
        settings = self.table.settings[str(name), method, metric.key]
        self.results.add(self.table.key(sample.id, name, method, metric), result, settings)


def _mask(classifier: ImageClassifier, sample: Sample) -> Mask:
    mask = classifier.view_mask(sample)
    if mask is None:
        raise InputError(f"'{sample.title}' has no mask, which Trojan AUC and the pointing game need.")
    return mask


def _labelled(steps: Steps[T], stage: str, done: float, of: int, share: float) -> Steps[T]:
    """A part's own progress as that of the whole, of which the part is `share` units."""
    return mapped(steps, lambda p: Progress(stage, done + share * min(1.0, p.done / max(1, p.of)), of))
