"""What `spade-widgets pictures` can be asked, and how it is answered."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from spade_widgets import cli_options as options
from spade_widgets.errors import InputError

if TYPE_CHECKING:
    from spade_widgets.classifier import ImageClassifier
    from spade_widgets.evidence.reading.patch import Asked
    from spade_widgets.evidence.reading.report import Section
    from spade_widgets.evidence.reading.study import Study
    from spade_widgets.pruning.plans.plan import SparsityPlan
    from spade_widgets.pruning.progress import Steps
    from spade_widgets.sample import Sample

PATCH, LIKENESS = "patch", "likeness"
READER, OTHER_READER = "mobilenet_v2", "squeezenet1_1"
"""Who reads where it is not said; and who reads the pictures of a network of the first one's own kind."""
COUNT, SEED = 48, 20_000
"""Samples made afresh: how many, and their seed."""


@dataclass(frozen=True, eq=False)
class Report:
    """What there is to print.

    Attributes:
        sections: the tables.
        networks: their rows.
        notes: what was left out, and why.
    """

    sections: Sequence[Section]
    networks: Sequence[str]
    notes: Sequence[str]


def add(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> argparse.ArgumentParser:
    """The command's options."""
    parser = commands.add_parser(
        "pictures",
        help="let another network judge what visualizations show: tables with intervals",
        description="Another network, the reader, judges visualizations of dense and sparse networks. 'patch': is the "
        "picture of the predicted class more like the patch that decided, or like what the network would have seen "
        "instead? On samples with masks, or on clean photographs of a planted --model, which are stamped and decoyed "
        "here. 'likeness': is a trace's picture like its own sample, and read as its class? Keeps the pictures in "
        "OUT.pictures, writes OUT.jsonl, OUT.csv and OUT.md, prints the latter. A stopped run goes on when it is "
        "started again.",
    )
    parser.add_argument("--ask", choices=[PATCH, LIKENESS], default=LIKENESS, help="the question (default likeness)")
    parser.add_argument(
        "--networks", nargs="+", default=["dense", "refined"], metavar="NETWORK", help="as 'evaluate' has them"
    )
    parser.add_argument(
        "--neurons",
        nargs="+",
        default=["logit"],
        metavar="NEURON",
        help="of 'likeness': logit, of the predicted class (default); or a layer: the channel that the sample excites "
        "most",
    )
    parser.add_argument(
        "--decoyed", type=int, metavar="N", help="of 'patch': photographs that get a decoy; default: half of them"
    )
    parser.add_argument("--margin", type=float, metavar="M", help="of 'patch': undecided up to this difference")
    parser.add_argument("--out", default="pictures", metavar="OUT", help="the files' name (default 'pictures')")
    parser.add_argument("--tables-only", action="store_true", help="judge the pictures that are there; make none")
    _add_reader(parser)
    _add_style(parser)
    options.add_samples(parser, COUNT, SEED)
    options.add_classifier(parser)
    options.add_plan(parser)
    parser.add_argument(
        "--sparsities", nargs="+", type=float, metavar="S", help="in place of --sparsity: each network at each of them"
    )
    return parser


def _add_reader(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("reader")
    group.add_argument(
        "--reader", metavar="NAME", help=f"a torchvision classifier; default: {READER}, or {OTHER_READER} for that kind"
    )
    group.add_argument("--reader-weights", default="DEFAULT", metavar="FILE", help="default: torchvision's own")
    group.add_argument("--reader-layers", nargs="+", metavar="LAYER", help="that it sees with; default: later blocks")


def _add_style(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("visualizations")
    group.add_argument("--steps", type=int, default=128, metavar="N", help="of each (default 128)")
    group.add_argument("--size", type=int, metavar="PX", help="of their sides; default: the classifier's input size")
    group.add_argument(
        "--starts", type=int, default=4, metavar="N", help="that they have, in turn over the samples (default 4)"
    )


def report_steps(given: argparse.Namespace) -> Steps[Report]:
    """Ask what was asked for."""
    from spade_widgets.evidence.networks import parse_networks
    from spade_widgets.evidence.reading.conditions import conditions
    from spade_widgets.evidence.reading.pictures import Pictures, Style
    from spade_widgets.evidence.reading.reader import Reader
    from spade_widgets.evidence.reading.study import Study
    from spade_widgets.evidence.results import Results

    networks = parse_networks(given.networks)
    classifier = options.classifier_of(given)
    samples = options.samples_of(given, classifier, COUNT)
    study = Study(
        classifier,
        conditions(networks, _plans(given, classifier, samples), given.augmentations, given.seed),
        Reader(_reader(given, classifier), given.reader_layers),
        Pictures(Style(given.steps, given.size), f"{given.out}.pictures"),
        Results(f"{given.out}.jsonl"),
        seed=given.seed,
        seeds=given.starts,
        make=not given.tables_only,
    )
    asked = _patch if given.ask == PATCH else _likeness
    sections, notes = yield from asked(given, study, samples)
    return Report(sections, [str(condition) for condition in study.conditions], notes)


def _patch(
    given: argparse.Namespace, study: Study, samples: Sequence[Sample]
) -> Steps[tuple[list[Section], list[str]]]:
    from spade_widgets.evidence.reading.patch import MARGIN, patch_steps
    from spade_widgets.evidence.reading.sections import patch_sections

    leans = yield from patch_steps(study, (yield from _asked(given, samples)))
    notes = [f"'{title}' was left out: {reason}" for title, reason in leans.left_out.items()]
    return patch_sections(leans, MARGIN if given.margin is None else given.margin), notes + leans.errors


def _likeness(
    given: argparse.Namespace, study: Study, samples: Sequence[Sample]
) -> Steps[tuple[list[Section], list[str]]]:
    from spade_widgets.evidence.reading.likeness import likeness_steps
    from spade_widgets.evidence.reading.sections import likeness_sections

    answers = yield from likeness_steps(study, samples, given.neurons)
    return likeness_sections(answers), answers.left_out + answers.errors


def _asked(given: argparse.Namespace, samples: Sequence[Sample]) -> Steps[list[Asked]]:
    from spade_widgets.evidence.reading.patch import Asked
    from spade_widgets.evidence.reading.stamped import stamped_and_decoyed

    planted = None if any(sample.mask is not None for sample in samples) else options.planted_of(given)
    if planted is None:
        return [Asked(sample) for sample in samples]
    return (yield from stamped_and_decoyed(planted, samples, given.decoyed, given.seed))


def _plans(
    given: argparse.Namespace, classifier: ImageClassifier, samples: Sequence[Sample]
) -> dict[str, SparsityPlan]:
    from spade_widgets.pruning.plans.plan import SparsityPlan

    if given.sparsities is None:
        plan, file = options.plan_of(given, classifier)
        file.check_apart(samples)
        return {"": plan}
    if given.plan is not None or given.sparsity is not None:
        raise InputError("Give either --sparsities, --sparsity or --plan.")
    return {f"{s:g}": SparsityPlan.uniform(classifier, s, given.layers) for s in given.sparsities}


def _reader(given: argparse.Namespace, classifier: ImageClassifier) -> ImageClassifier:
    from spade_widgets.classifier import ImageClassifier
    from spade_widgets.network.torchvision_models import build

    name = given.reader
    if name is None:
        name = OTHER_READER if type(classifier.module()).__name__ == "MobileNetV2" else READER
    model, preprocess, names = build(name, given.reader_weights)
    return ImageClassifier(model.to(classifier.device), class_names=names, preprocess=preprocess, name=name)
