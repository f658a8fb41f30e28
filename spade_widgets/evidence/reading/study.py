"""What every question of pictures needs: the pictures of a sample under each network, and the numbers found so far."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from spade_widgets.classifier import ImageClassifier
from spade_widgets.errors import InputError
from spade_widgets.evidence.networks import Networks
from spade_widgets.evidence.reading.conditions import Condition
from spade_widgets.evidence.reading.pictures import Picture, Pictures
from spade_widgets.evidence.reading.reader import Reader
from spade_widgets.evidence.results import Key, Result, Results, Settings, settings_id
from spade_widgets.prediction import Network
from spade_widgets.pruning.progress import Progress, Steps, T, mapped
from spade_widgets.sample import Sample


@dataclass(frozen=True, eq=False)
class Study:
    """Whose pictures are read, under which networks, by whom.

    Attributes:
        classifier: the dense classifier.
        conditions: the networks that are compared; differences are to the first.
        reader: judges.
        pictures: makes and keeps them.
        results: where numbers are found and kept.
        seed: of the pictures.
        seeds: how many unlike starts the pictures have, from `seed` on; which one is a sample's depends on nothing but
            the sample. One start alone would make a single picture the whole of the dense network's case.
        make: whether to make what is missing; else the reader judges what is there.
    """

    classifier: ImageClassifier
    conditions: tuple[Condition, ...]
    reader: Reader
    pictures: Pictures
    results: Results
    seed: int = 0
    seeds: int = 4
    make: bool = True

    def __post_init__(self) -> None:
        self.reader.check_apart(self.classifier)
        if self.seeds < 1:
            raise InputError(f"{self.seeds} starts make no picture: at least 1.")


class Subject:
    """A sample in a study: its networks, each made once and only if something asks for it, its pictures, its numbers.

    Args:
        study: what is asked of it.
        sample: the sample.
    """

    def __init__(self, study: Study, sample: Sample) -> None:
        self.study, self.sample = study, sample
        self.seed = study.seed + int(sample.id, 16) % study.seeds
        traced = [c.pruning for c in study.conditions if c.pruning is not None]
        self._networks = Networks(study.classifier, sample, traced[0] if traced else None)
        self._made: tuple[Condition, Network] | None = None

    def network(self, condition: Condition) -> Steps[Network]:
        """The network; the last one is kept."""
        if self._made is None or self._made[0] != condition:
            plan = None if condition.pruning is None else condition.pruning.plan
            self._made = condition, (yield from self._networks.make(condition.network, plan))
        return self._made[1]

    def picture(self, condition: Condition, neuron: str) -> Steps[Picture | None]:
        """The picture of a neuron, found or made; None if it is to be made and the study does not `make`.

        The dense network's do not depend on the sample: they are made once a neuron and start.
        """
        whose = "dense" if condition.pruning is None else f"{self.sample.title}.{condition}"
        title = f"{neuron}.{whose}"
        pictures, settings = self.study.pictures, self._settings(condition, neuron)
        found = pictures.find(settings, title)
        if found is None and self.study.make:
            network = yield from self.network(condition)
            found = yield from pictures.make(settings, network, title)
        return found

    def known(self, metric: str, condition: Condition) -> float | None:
        """A number of the network alone, where it is known."""
        return self.study.results.value(self._number(metric, condition, "", None, {})[0])

    def keep(
        self,
        metric: str,
        condition: Condition,
        value: float | None,
        *,
        error: str = "",
        method: str = "",
        neuron: str | None = None,
        how: Mapping[str, Any] | None = None,
    ) -> None:
        """Write a number down, or the sentence that says why there is none.

        Args:
            metric, condition: what it is, under which network.
            value, error: as in `Result`.
            method: the kind of neuron whose picture it is of; "" if of none.
            neuron: the neuron itself.
            how: what else it depends on; JSON.
        """
        key, settings = self._number(metric, condition, method, neuron, how or {})
        if self.study.results.get(key) != (result := Result(value, error, self.sample.title)):
            self.study.results.add(key, result, settings)

    def _number(
        self, metric: str, condition: Condition, method: str, neuron: str | None, how: Mapping[str, Any]
    ) -> tuple[Key, Settings]:
        picture = {} if neuron is None else self._settings(condition, neuron)
        settings = {"network": self._network(condition), "picture": picture, "metric": metric, **how}
        return Key(self.sample.id, str(condition), method, metric, settings_id(settings)), settings

    def _settings(self, condition: Condition, neuron: str) -> dict[str, Any]:
        return self.study.pictures.settings(neuron, self.seed, self._network(condition))

    def _network(self, condition: Condition) -> Settings:
        made = condition.settings
        of_sample = {**made, "sample": self.sample.id} if made else {}
        return {"classifier": self.study.classifier.digest, **of_sample}


def said(steps: Steps[T], stage: str, done: float, of: int) -> Steps[T]:
    """A part's own progress as that of the whole, of which the part is one unit."""
    return mapped(steps, lambda p: Progress(f"{stage} · {p.stage}", done + min(1.0, p.done / max(1, p.of)), of))
