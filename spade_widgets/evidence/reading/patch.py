"""Whether a picture shows why: is it more like the patch, or like the thing that the network would have seen instead?

The paper's human study (section 4.3, Table 3) with a reader in the people's place. A sample that a planted Trojan's
patch decides, and the picture of the class that the dense network predicts: the picture should be like the crop of the
patch. A sample with a decoy, whose object decides: it should be like the crop of the object. Who always points at the
patch, or always at the photograph, is right on half of a balanced set.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias

from spade_widgets.errors import InputError, SpadeError
from spade_widgets.evidence.reading.pictures import Picture
from spade_widgets.evidence.reading.places import CONTEXT, METHOD, Places, places
from spade_widgets.evidence.reading.reader import similarities
from spade_widgets.evidence.reading.study import Study, Subject, said
from spade_widgets.pruning.progress import Progress, Steps
from spade_widgets.sample import Sample

#: What decides a sample's prediction: the patch (a Trojan's), or the object beside it (a decoy).
Cause: TypeAlias = Literal["patch", "object"]
#: What is kept of each picture: how much more it is like the patch than like the other place.
LEAN = "lean"
#: Up to this difference of the two similarities the reader is undecided. Fixed on other photographs than are reported:
#: there MobileNetV2 is as often undecided of the dense network's pictures (22 %) as the paper's people were (22.9 %).
MARGIN = 0.05


@dataclass(frozen=True, eq=False)
class Asked:
    """A sample with a mask, and what is known to decide its prediction; None: what covering the mask says."""

    sample: Sample
    cause: Cause | None = None


@dataclass(frozen=True, eq=False)
class Leans:
    """What the reader found.

    Attributes:
        leans: network → cause → sample → similarity to the crop of the patch minus that to the other, −2…2.
        left_out: title of a sample → why it was not asked about.
        errors: why numbers are missing, each reason once.
    """

    leans: dict[str, dict[Cause, dict[str, float]]]
    left_out: dict[str, str] = field(default_factory=dict)
    errors: list[str] = field(default_factory=list)


@dataclass(frozen=True, eq=False)
class _Seen:
    """A sample, what decides it, and its pictures by network; none where one could not be made."""

    subject: Subject
    cause: Cause
    where: Places
    pictures: dict[str, Picture]

    @property
    def neuron(self) -> str:
        return f"logit:{self.where.target}"


def patch_steps(study: Study, asked: Sequence[Asked], *, context: float = CONTEXT) -> Steps[Leans]:
    """Ask of every sample under every network. Yields its progress; the pictures come first, sample by sample.

    A sample is left out, with its reason, if its mask leaves no room for another place, or if something else decides it
    than is said of it: a Trojan that does not fire, a decoy that hides what the prediction rests on.

    Args:
        study: whose pictures, under which networks, read by whom.
        asked: at least one sample, each with a mask.
        context: the crops' side, in sides of the patch.

    Raises:
        InputError: if there is no sample, or one has no mask.
        ModelError: if the dense network's logits are not finite on a sample.
    """
    if not asked:
        raise InputError("There is no sample to ask about.")
    for one in asked:
        if one.sample.mask is None or not one.sample.mask.any():
            raise InputError(
                f"'{one.sample.title}' has no mask that says where its patch is: give samples with masks, or a planted "
                "classifier and clean photographs."
            )
    found = Leans({str(c): {"patch": {}, "object": {}} for c in study.conditions})
    seen = []
    for i, one in enumerate(asked):
        look = _look(study, one, i * len(study.conditions), len(asked) * len(study.conditions), found, context)
        one_seen = yield from look
        if one_seen is not None:
            seen.append(one_seen)
    _judge(study, seen, found, {"ask": "patch", "context": context, "place": METHOD, **study.reader.settings})
    return found


def _look(study: Study, asked: Asked, done: int, of: int, found: Leans, context: float) -> Steps[_Seen | None]:
    sample = asked.sample
    yield Progress(sample.title, done, of)
    try:
        where = yield from said(places(study.classifier, sample, context=context), sample.title, done, of)
    except InputError as error:
        found.left_out[sample.title] = str(error)
        return None
    cause: Cause = "patch" if where.decided_by_patch else "object"
    names = study.classifier.class_names
    fires = asked.cause != "patch" or sample.label in (None, names[where.target])
    if not fires or asked.cause not in (None, cause):
        found.left_out[sample.title] = _instead(names, where, asked.cause)
        return None
    seen = _Seen(Subject(study, sample), cause, where, {})
    for j, condition in enumerate(study.conditions):
        steps = seen.subject.picture(condition, seen.neuron)
        try:
            picture = yield from said(steps, f"{sample.title} · {condition}", done + j, of)
        except SpadeError as error:
            seen.subject.keep(LEAN, condition, None, error=str(error), neuron=seen.neuron)
            found.errors[:] = dict.fromkeys([*found.errors, str(error)])
        else:
            if picture is not None:
                seen.pictures[str(condition)] = picture
    return seen


def _judge(study: Study, seen: Sequence[_Seen], found: Leans, how: Mapping[str, Any]) -> None:
    """Each picture beside its own two crops alone, as people see it: by the cosine in the reader's last layer.

    Not centred on a set, as `likeness` does: that all of one cause's pictures are of two classes would tell the cause.
    """
    for one in seen:
        if not one.pictures:
            continue
        boxes = (one.where.patch, one.where.other)
        images = [box.crop(one.where.view) for box in boxes] + [p.tensor for p in one.pictures.values()]
        (features,) = study.reader.features(images)[-1:]
        for name, (patch, other) in zip(one.pictures, similarities((features[2:],), (features[:2],)), strict=True):
            lean = float(patch - other)
            found.leans[name][one.cause][one.subject.sample.id] = lean
            condition = next(c for c in study.conditions if str(c) == name)
            one.subject.keep(LEAN, condition, lean, neuron=one.neuron, how=how)


def _instead(names: Sequence[str], where: Places, wanted: Cause | None) -> str:
    if wanted == "object":
        return f"covering the decoy turns {names[where.target]} into {names[where.covered]}."
    return f"the patch does not decide: {names[where.target]}, and {names[where.covered]} when it is covered."
