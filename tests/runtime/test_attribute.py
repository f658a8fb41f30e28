"""What the Saliency panel computes for a selection: which events come, in which order, and what a second run costs."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

import spade_widgets as sw
from spade_widgets.attribution.methods import METHODS
from spade_widgets.classifier import ImageClassifier
from spade_widgets.evidence.curves import curve_steps
from spade_widgets.evidence.metrics import pointing_game, trojan_auc
from spade_widgets.pruning.progress import Progress, finish
from spade_widgets.runtime import attribute as module
from spade_widgets.runtime.attribute import (
    Attributed,
    Attributing,
    Cell,
    Found,
    Question,
    Refusal,
    Seen,
    Walked,
    attribute,
    known_maps,
    walk,
)
from spade_widgets.runtime.explore import Predicted, Selection, Traced, Working, explore
from spade_widgets.runtime.session import Session
from spade_widgets.runtime.store import Store
from spade_widgets.runtime.tracing import Pruning
from spade_widgets.sample import Sample

METHODS_ASKED = ("integrated_gradients", "saliency", "input_x_gradient")


def picture(seed: int, **options: Any) -> Sample:
    pixels = np.random.default_rng(seed).integers(0, 256, (32, 32, 3), dtype=np.uint8)
    return Sample(Image.fromarray(pixels), **options)


@pytest.fixture
def session(tiny: ImageClassifier) -> Session:
    mask = np.zeros((32, 32), dtype=bool)
    mask[3:9, 4:12] = True
    return Session(tiny, [picture(0), picture(1, mask=mask)], augmentations=4, steps=4, seed=3)


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, str]]:
    """Every map that was begun: the network's kind, and the method."""
    begun: list[tuple[str, str]] = []
    plain = module.noted_steps

    def counted(network: Any, sample: Any, target: Any, method: str, **options: Any) -> Any:
        begun.append(("dense" if isinstance(network, ImageClassifier) else "sparse", method))
        return plain(network, sample, target, method, **options)

    monkeypatch.setattr(module, "noted_steps", counted)
    return begun


def ask(session: Session, sparsity: float = 0.5, target: int | None = None, sample: int = 0) -> Question:
    return Question(session.samples[sample], Pruning(sparsity, "all", solver="fast"), METHODS_ASKED, target)


def told(events: Iterator[Any]) -> list[str]:
    """Each event in a word, without progress."""
    said = []
    for event in events:
        match event:
            case Attributed(cell, _, outcome, _):
                said.append(f"{'/'.join(cell)}{' refused' if isinstance(outcome, Refusal) else ''}")
            case Predicted(_, sparse):
                said.append("predicted" if sparse is None else "both predicted")
            case Seen() | Traced():
                said.append(type(event).__name__.lower())
    return said


def outcomes(events: Iterator[Any]) -> dict[Cell, Found | Refusal]:
    return {event.cell: event.outcome for event in events if isinstance(event, Attributed)}


def test_quick_dense_maps_then_the_trace_then_quick_sparse_ones_then_what_takes_long(session: Session) -> None:
    assert told(attribute(session, ask(session))) == [
        "seen", "predicted", "dense/saliency", "dense/input_x_gradient",
        "traced", "both predicted", "sparse/saliency", "sparse/input_x_gradient",
        "dense/integrated_gradients", "sparse/integrated_gradients",
    ]  # fmt: skip


def test_the_second_run_finds_everything_and_computes_nothing(
    session: Session, made: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    question = ask(session)
    first = outcomes(attribute(session, question))
    assert len(made) == 6
    monkeypatch.setattr(session.classifier, "prepare", lambda _sample: pytest.fail("the network was run again"))
    again = list(attribute(session, question))
    assert len(made) == 6
    # All that is known comes before the trace is even looked for.
    cells = [f"{network}/{method}" for network in ("dense", "sparse") for method in METHODS_ASKED]
    assert told(iter(again)) == ["seen", "both predicted", *cells, "traced", "both predicted"]
    assert outcomes(iter(again)) == first


@pytest.mark.parametrize(
    ("changed", "expected"),
    [
        ({"sparsity": 0.9}, {("sparse", m) for m in METHODS_ASKED}),
        ({"target": 4}, set(itertools.product(("dense", "sparse"), METHODS_ASKED))),
        ({"sample": 1}, set(itertools.product(("dense", "sparse"), METHODS_ASKED))),
    ],
)
def test_one_thing_changed_recomputes_what_depends_on_it(
    session: Session, made: list[Any], changed: dict[str, Any], expected: set[Any]
) -> None:
    list(attribute(session, ask(session)))
    made.clear()
    list(attribute(session, ask(session, **changed)))
    assert set(made) == expected
    assert len(made) == len(expected)


def test_another_method_computes_itself_alone_and_the_predicted_class_is_itself(
    session: Session, made: list[Any]
) -> None:
    question = ask(session)
    list(attribute(session, question))
    made.clear()
    best = int(session.probabilities(session.classifier, question.sample).argmax())
    list(attribute(session, replace(question, methods=("gradcam", "saliency"), target=best)))
    assert made == [("dense", "gradcam"), ("sparse", "gradcam")]


@pytest.mark.parametrize("target", [None, 4])
def test_maps_are_those_of_the_plain_call_and_judged_by_the_mask(session: Session, target: int | None) -> None:
    question = replace(ask(session, target=target, sample=1), methods=(*METHODS_ASKED, "smoothgrad"))
    found = outcomes(attribute(session, question))
    trace = session.known_trace(question.sample, question.pruning)
    assert trace is not None
    mask = session.classifier.view_mask(question.sample)
    for (network, method), outcome in found.items():
        assert isinstance(outcome, Found)
        asked = session.classifier if network == "dense" else trace
        plain = sw.saliency(asked, question.sample, target, method, seed=3)
        assert np.array_equal(outcome.map, plain)
        assert outcome.metrics == {"trojan_auc": trojan_auc(plain, mask), "pointing_game": pointing_game(plain, mask)}
    assert len({outcome.key for outcome in found.values() if isinstance(outcome, Found)}) == 8
    assert list(known_maps(session, question)) == list(question.cells)


@pytest.mark.parametrize("covered", [False, True])
def test_a_mask_that_tells_nothing_judges_nothing(tiny: ImageClassifier, covered: bool) -> None:
    session = Session(tiny, [picture(0, mask=np.full((32, 32), covered))], augmentations=4)
    events = list(attribute(session, ask(session)))
    (seen,) = (event for event in events if isinstance(event, Seen))
    assert (seen.mask is not None) == covered  # nothing to outline where it covers nothing
    assert all(isinstance(o, Found) and o.metrics == {} for o in outcomes(iter(events)).values())


def test_a_method_that_refuses_says_why_and_the_others_go_on(
    session: Session, made: list[Any], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def refuse(_query: Any, **_options: Any) -> Any:
        raise sw.ModelError("It has no convolution.")
        yield

    def fail(_query: Any, **_options: Any) -> Any:
        yield Progress("saliency", 1, 2)
        raise RuntimeError("the disk is on fire\nand so on")

    monkeypatch.setitem(METHODS, "saliency", replace(METHODS["saliency"], run=refuse))
    monkeypatch.setitem(METHODS, "integrated_gradients", replace(METHODS["integrated_gradients"], run=fail))
    found = outcomes(attribute(session, ask(session)))
    for network in ("dense", "sparse"):
        assert found[network, "saliency"] == Refusal("It has no convolution.")
        assert found[network, "integrated_gradients"] == Refusal(
            "Integrated gradients could not be computed (RuntimeError: the disk is on fire)."
        )
        assert isinstance(found[network, "input_x_gradient"], Found)
    assert "and so on" in caplog.text
    made.clear()
    again = outcomes(attribute(session, ask(session)))
    assert again == found
    # What cannot be is known by now; what broke is tried again.
    assert made == [("dense", "integrated_gradients"), ("sparse", "integrated_gradients")]


@pytest.mark.parametrize("after", [0, 1, 2, 3, 5, 8, 13, 21, 34, 55])
def test_left_off_anywhere_it_ends_with_the_same_maps(session: Session, tiny: ImageClassifier, after: int) -> None:
    plain = outcomes(attribute(Session(tiny, session.samples, augmentations=4, seed=3), ask(session)))
    first = attribute(session, ask(session))
    for _ in itertools.islice(first, after):
        pass
    first.close()
    list(attribute(session, ask(session)))
    found = known_maps(session, ask(session))
    assert {cell: o.key for cell, o in found.items()} == {
        cell: o.key for cell, o in plain.items() if isinstance(o, Found)
    }


def test_a_slow_map_that_was_left_off_goes_on(session: Session, made: list[Any]) -> None:
    question = replace(ask(session), methods=("integrated_gradients",))
    first = attribute(session, question)
    left = 0.0
    for event in first:
        if isinstance(event, Attributing) and event.cell == ("dense", "integrated_gradients"):
            left = event.done
            break
    first.close()
    going_on = [e.done for e in attribute(session, question) if isinstance(e, Attributing) and e.cell[0] == "dense"]
    assert made.count(("dense", "integrated_gradients")) == 1
    assert all(done > left for done in going_on)


def test_progress_says_how_much_is_done_of_how_much(session: Session) -> None:
    events = list(attribute(session, ask(session)))
    maps = [event for event in events if isinstance(event, Working) and event.text == "maps"]
    assert [event.done for event in maps] == [0, 1, 2, 3, 4, 5]
    assert {event.of for event in maps} == {6}
    stages = [event.text for event in events if isinstance(event, Working)]
    assert [stage for stage, _ in itertools.groupby(stages)] == ["maps", "calibrating", "solving", "maps"]
    shares = [
        e.done / e.of for e in events if isinstance(e, Attributing) and e.cell == ("dense", "integrated_gradients")
    ]
    assert shares == sorted(shares)
    assert all(0 <= share <= 1 for share in shares)


def test_two_panels_make_one_trace_and_one_map_together(
    session: Session, made: list[Any], calls: dict[str, int]
) -> None:
    """The Explorer and the Saliency panel on one session want the same at the same time, and take turns."""
    session.augmentations = 96
    question = ask(session)
    selection = Selection(question.sample, question.pruning, session.classifier.neuron("3:2"), "3", pictures=False)
    running: list[Iterator[Any]] = [
        attribute(session, question), explore(session, selection), attribute(session, question)
    ]  # fmt: skip
    traces = []
    while running:
        for job in list(running):
            event = next(job, None)
            if event is None:
                running.remove(job)
            elif isinstance(event, Traced):
                traces.append(event.trace)
    assert calls == {"calibrate": 1, "prune": 1}
    assert len(made) == 6
    assert len(traces) == 3
    assert traces[0] is traces[1] is traces[2]


def test_pictures_that_nobody_looks_at_are_not_rendered(session: Session) -> None:
    selection = Selection(
        session.samples[0], Pruning(0.5, "all"), session.classifier.neuron("3:2"), "3", pictures=False
    )
    names = [type(event).__name__ for event in explore(session, selection)]
    assert "Traced" in names
    assert "Rendered" not in names
    assert names[-1] == "Predicted"
    assert session.known_renderer(session.classifier, selection.neuron) is None


def test_nothing_is_lost_where_nothing_fits_the_store(session: Session) -> None:
    session.store = Store(0)
    found = outcomes(attribute(session, ask(session)))
    assert all(isinstance(outcome, Found) for outcome in found.values())
    assert known_maps(session, ask(session)) == {}


def test_curves_are_those_of_the_plain_call_and_walked_once(session: Session, monkeypatch: pytest.MonkeyPatch) -> None:
    question = replace(ask(session), methods=("saliency",))
    assert list(walk(session, question)) == []  # there is no map
    list(attribute(session, question))
    events = list(walk(session, question))
    walked = {(event.cell, event.curve.mode): event for event in events if isinstance(event, Walked)}
    assert len(walked) == 4
    target = int(session.probabilities(session.classifier, question.sample).argmax())
    for (cell, mode), event in walked.items():
        found = known_maps(session, question)[cell]
        assert event.found is found
        plain = finish(curve_steps(mode, session.classifier, question.sample, found.map, target, seed=3))
        assert np.array_equal(event.curve.probability, plain.probability)
    progress = [event.done / event.of for event in events if isinstance(event, Working)]
    assert progress == sorted(progress)
    monkeypatch.setattr(module, "curve_steps", lambda *_a, **_o: pytest.fail("walked again"))
    assert [type(event) for event in walk(session, question)] == [Walked] * 4
    # From now on the areas come with the map.
    for event in attribute(session, question):
        if isinstance(event, Attributed):
            assert event.areas == {mode: walked[event.cell, mode].curve.auc for mode in ("insertion", "deletion")}


def test_the_caller_s_modes_and_random_numbers_stay(session: Session) -> None:
    state = torch.get_rng_state()
    with torch.no_grad():
        for _ in attribute(session, ask(session)):
            assert not torch.is_grad_enabled()
    assert torch.equal(torch.get_rng_state(), state)
