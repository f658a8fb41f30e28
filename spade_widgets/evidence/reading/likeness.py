"""Whether a trace's picture is like its own sample, and whether it is read as its class.

A trace is made for one sample: the picture of a neuron under it should show what that neuron saw in *this* sample. The
reader ranks all samples by how like the picture they are: by what tells the picture from the others under the same
network, and the sample from the other samples. It is also asked for the classes that it reads in the picture of the
predicted class's logit.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from spade_widgets.errors import InputError, SpadeError
from spade_widgets.evidence.reading.conditions import Condition
from spade_widgets.evidence.reading.pictures import Picture
from spade_widgets.evidence.reading.reader import Features, centred, similarities
from spade_widgets.evidence.reading.study import Study, Subject, said
from spade_widgets.evidence.results import settings_id
from spade_widgets.inspection.activations import strongest
from spade_widgets.prediction import predict
from spade_widgets.pruning.progress import Progress, Steps
from spade_widgets.sample import Sample

#: The neuron that stands for the logit of the class that the dense network predicts; others are layers.
LOGIT = "logit"
#: Metrics: see `Answers`.
RANK, READ, DEAD, KEEPS = "rank", "read", "dead", "keeps_class"
#: Among so many of the reader's first classes the picture's own must be.
TOP = 10


@dataclass(frozen=True, eq=False)
class Answers:
    """What the reader found.

    Attributes:
        values: (neuron, metric) → network → sample → number in 0…1.
            `rank`: the share of the other samples that are less like the picture than its own is, ties by half; chance
            is .5. `read`: 1 if the predicted class is among the reader's first `TOP` on the picture, else 0. `dead`: 1
            if nothing that a picture shows reaches the neuron. `keeps_class` (of no neuron, `""`): 1 if the network
            names the class that the dense one names on the sample.
        left_out: what was not asked, and why.
        errors: why numbers are missing, each reason once.
    """

    values: dict[tuple[str, str], dict[str, dict[str, float]]] = field(default_factory=dict)
    left_out: list[str] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)

    def add(self, kind: str, metric: str, condition: Condition, subject: Subject, value: float) -> None:
        """Write a sample's number down."""
        of_metric = self.values.setdefault((kind, metric), {})
        of_metric.setdefault(str(condition), {})[subject.sample.id] = value


def likeness_steps(study: Study, samples: Sequence[Sample], neurons: Sequence[str] = (LOGIT,)) -> Steps[Answers]:
    """Ask of every sample under every network. Sample by sample; yields its progress.

    Args:
        study: whose pictures, under which networks, read by whom.
        samples: at least 2, all unlike; the rank is among them.
        neurons: `"logit"`, and layers: of each the channel that the sample excites most under the dense network.

    Raises:
        InputError: if there are fewer than 2 samples, two that are the same, or a layer that the classifier has not.
        ModelError: if the dense network's logits are not finite on a sample.
    """
    _check(study, samples, neurons)
    reads = study.reader.same_classes(study.classifier)
    found = Answers()
    if LOGIT in neurons and not reads:
        found.left_out.append(f"{study.reader.classifier.name} knows other classes, so it was not asked to read them.")
    seen = []
    for i, sample in enumerate(samples):
        done, of = (n * len(study.conditions) * len(neurons) for n in (i, len(samples)))
        yield Progress(sample.title, done, of)
        seen.append((yield from _look(study, sample, neurons, done, of, found)))
    looks = centred(study.reader.features([study.classifier.view(sample) for sample in samples]))
    for condition in study.conditions:
        for kind in neurons:
            yield Progress(f"reading · {condition} · {kind}", of, of)
            _judge(study, seen, condition, kind, looks, found, reads)
    return found


@dataclass(frozen=True, eq=False)
class _Seen:
    """A sample, the class that the dense network predicts, and by kind of neuron: which it is, and its pictures."""

    subject: Subject
    target: int
    neurons: dict[str, str]
    pictures: dict[tuple[str, str], Picture]


def _look(study: Study, sample: Sample, kinds: Sequence[str], done: int, of: int, found: Answers) -> Steps[_Seen]:
    target = predict(study.classifier, sample, 1)[0].index
    neurons = {
        kind: f"logit:{target}" if kind == LOGIT else f"{kind}:{strongest(study.classifier, sample, kind, 1)[0][0]}"
        for kind in kinds
    }
    seen = _Seen(Subject(study, sample), target, neurons, {})
    for condition in study.conditions:
        for kind in kinds:
            steps = _asked(study, seen, condition, kind, found)
            try:
                yield from said(steps, f"{sample.title} · {condition} · {kind}", done, of)
            except SpadeError as error:
                seen.subject.keep(RANK, condition, None, error=str(error), method=kind, neuron=neurons[kind])
                found.errors[:] = dict.fromkeys([*found.errors, str(error)])
            done += 1
    return seen


def _asked(study: Study, seen: _Seen, condition: Condition, kind: str, found: Answers) -> Steps[None]:
    subject = seen.subject
    kept = subject.known(KEEPS, condition)
    if kept is None and study.make:
        network = yield from subject.network(condition)
        kept = float(predict(network, subject.sample, 1)[0].index == seen.target)
        subject.keep(KEEPS, condition, kept)
    if kept is not None:
        found.add("", KEEPS, condition, subject, kept)
    picture = yield from subject.picture(condition, seen.neurons[kind])
    if picture is not None:
        seen.pictures[str(condition), kind] = picture


def _judge(
    study: Study, seen: Sequence[_Seen], condition: Condition, kind: str, looks: Features, found: Answers, reads: bool
) -> None:
    """`looks`: what the reader sees in the samples, `centred`."""
    place = (str(condition), kind)
    made = [i for i, one in enumerate(seen) if place in one.pictures]
    if not made:
        return
    pictures = study.reader.features([seen[i].pictures[place].tensor for i in made])
    alike = similarities(centred(pictures), looks)
    among = settings_id({"samples": [one.subject.sample.id for one in seen], "pictures": made})
    for i, row in zip(made, alike, strict=True):
        one, picture = seen[i], seen[i].pictures[place]
        values = {RANK: rank(row, i), DEAD: float(picture.dead)}
        if reads and kind == LOGIT:
            values[READ] = float(one.target in study.reader.classes(picture.tensor, TOP))
        for metric, value in values.items():
            found.add(kind, metric, condition, one.subject, value)
            how = {"ask": "likeness", "among": among, **study.reader.settings}
            one.subject.keep(metric, condition, value, method=kind, neuron=one.neurons[kind], how=how)


def rank(similarities: Tensor, own: int) -> float:
    """The share of the other samples that are less like a picture than its own, ties by half: 0…1, chance .5.

    Args:
        similarities: (n,), of the picture to each sample, n ≥ 2.
        own: which of them is the picture's own.
    """
    others = torch.cat([similarities[:own], similarities[own + 1 :]])
    less, same = (others < similarities[own]).sum(), (others == similarities[own]).sum()
    return float((less + same / 2) / len(others))


def _check(study: Study, samples: Sequence[Sample], neurons: Sequence[str]) -> None:
    if len(samples) < 2:
        raise InputError("A rank needs at least two samples.")
    if len({sample.id for sample in samples}) < len(samples):
        raise InputError("Two of the samples are the same: of them neither is like its picture before the other.")
    if not neurons:
        raise InputError(f"There is no neuron to ask about: name '{LOGIT}', or a layer.")
    for kind in neurons:
        if kind != LOGIT:
            study.classifier.layer(kind)
