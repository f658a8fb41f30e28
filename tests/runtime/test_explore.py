"""What the Explorer computes for a selection: which events come, in which order, and what a second run costs."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

import spade_widgets as sw
from spade_widgets.classifier import ImageClassifier
from spade_widgets.pruning.calibration import batch_size
from spade_widgets.runtime import explore as module
from spade_widgets.runtime.explore import Event, Excited, Predicted, Rendered, Selection, Traced, Working, explore
from spade_widgets.runtime.session import Pruning, Session
from spade_widgets.sample import Sample
from spade_widgets.visualization import Renderer

STEPS = 6


@pytest.fixture
def session(tiny: ImageClassifier) -> Session:
    pixels = np.random.default_rng(0).integers(0, 256, (32, 32, 3), dtype=np.uint8)
    return Session(tiny, [Sample(Image.fromarray(pixels))], augmentations=4, steps=STEPS)


@pytest.fixture
def steps_taken(monkeypatch: pytest.MonkeyPatch) -> list[Renderer]:
    taken: list[Renderer] = []
    step = Renderer.step

    def counted(self: Renderer) -> float:
        taken.append(self)
        return step(self)

    monkeypatch.setattr(Renderer, "step", counted)
    return taken


@dataclass
class Clock:
    """A time that passes with the steps of the trace and of the dense picture alone."""

    trace_step: float = 1
    dense_step: float = module.MEANWHILE
    now: float = 0


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    trace, step = Session.trace, Renderer.step

    def timed_trace(*args: Any) -> Any:
        steps = trace(*args)
        while True:
            clock.now += clock.trace_step
            try:
                progress = next(steps)
            except StopIteration as stop:
                return stop.value
            yield progress

    def timed_step(self: Renderer) -> float:
        clock.now += clock.dense_step
        return step(self)

    monkeypatch.setattr(Session, "trace", timed_trace)
    monkeypatch.setattr(Renderer, "step", timed_step)
    monkeypatch.setattr(module, "perf_counter", lambda: clock.now)
    return clock


def select(session: Session, sparsity: float = 0.5, neuron: str = "3:2", layer: str = "3") -> Selection:
    pruning = Pruning(sparsity, "all")
    return Selection(session.samples[0], pruning, session.classifier.neuron(neuron), layer)


def told(events: Iterator[Event]) -> list[str]:
    """Each event in a word; of a picture, the step it has come to by then. Without the progress of the rendering."""
    said = []
    for event in events:
        match event:
            case Working("rendering", _, _):
                pass
            case Working(text, _, _):
                said.append(text)
            case Predicted(_, sparse):
                said.append("predicted" if sparse is None else "both predicted")
            case Rendered(which, renderer):
                said.append(f"{which} {renderer.steps_done}")
            case _:
                said.append(type(event).__name__.lower())
    return said


@pytest.mark.usefixtures("clock")
def test_the_order_and_that_the_dense_picture_goes_on_while_the_trace_is_made(session: Session) -> None:
    session.steps = 40  # more than the trace has
    said = told(explore(session, select(session)))
    assert said[:2] == ["predicted", "excited"]
    traced = said.index("traced")
    meanwhile = (traced - 2) // 2
    assert said[2:traced:2] == ["calibrating", *["solving"] * (meanwhile - 1)]
    assert said[3:traced:2] == [f"dense {i + 1}" for i in range(meanwhile)]
    assert said[traced : traced + 2] == ["traced", "both predicted"]
    # The one that is behind goes on, until both have come to the same step.
    behind = [f"sparse {i + 1}" for i in range(meanwhile)]
    together = [f"{which} {i + 1}" for i in range(meanwhile, 40) for which in ("sparse", "dense")]
    assert said[traced + 2 :] == behind + together


def test_a_dear_dense_picture_does_not_keep_the_trace_waiting(session: Session, clock: Clock) -> None:
    clock.dense_step = 1000
    said = told(explore(session, select(session)))
    assert said[2:5] == ["calibrating", "dense 1", "solving"]
    assert said.index("dense 2") > said.index("both predicted")


@pytest.mark.usefixtures("clock")
def test_a_long_calibration_leaves_the_dense_picture_at_its_end(session: Session) -> None:
    session.augmentations = batch_size(session.classifier) * (STEPS + 4)
    said = told(explore(session, select(session)))
    assert said.count("calibrating") == STEPS + 4
    assert [line for line in said if line.startswith("dense")] == [f"dense {i + 1}" for i in range(STEPS)]
    assert [line for line in said if line.startswith("sparse")] == [f"sparse {i + 1}" for i in range(STEPS)]


def test_the_second_run_finds_everything_and_computes_nothing(
    session: Session, steps_taken: list[Renderer], monkeypatch: pytest.MonkeyPatch
) -> None:
    list(explore(session, select(session)))
    assert len(steps_taken) == 2 * STEPS
    monkeypatch.setattr(session.classifier, "prepare", lambda _sample: pytest.fail("the network was run again"))
    again = told(explore(session, select(session)))
    assert again == ["dense 6", "both predicted", "excited", "traced", "both predicted", "sparse 6"]
    assert len(steps_taken) == 2 * STEPS


def test_another_sparsity_keeps_the_dense_picture(session: Session, steps_taken: list[Renderer]) -> None:
    list(explore(session, select(session, 0.5)))
    said = told(explore(session, select(session, 0.9)))
    assert len(steps_taken) == 3 * STEPS
    assert said[0] == "dense 6"
    assert [line for line in said if line.startswith("sparse")] == [f"sparse {i + 1}" for i in range(STEPS)]


@pytest.mark.parametrize("after", range(25))
def test_left_off_anywhere_it_ends_with_the_same_pictures(session: Session, after: int) -> None:
    chosen = select(session)
    first = explore(session, chosen)
    for _ in range(after):
        next(first)
    first.close()
    pictures: dict[str, Renderer] = {}
    for event in explore(session, chosen):
        if isinstance(event, Rendered):
            pictures[event.which] = event.renderer
    assert {which: r.steps_done for which, r in pictures.items()} == {"dense": STEPS, "sparse": STEPS}
    trace = session.known_trace(chosen.sample, chosen.pruning)
    assert trace is not None
    for which, network in (("dense", session.classifier), ("sparse", trace)):
        plain = sw.visualize(network, "3:2", steps=STEPS)
        assert pictures[which].picture().tobytes() == plain.tobytes()


def test_lockstep(session: Session) -> None:
    steps = {"dense": 0, "sparse": 0}
    meeting = False
    for event in explore(session, select(session)):
        if isinstance(event, Rendered):
            steps[event.which] = event.renderer.steps_done
            meeting = meeting or steps["dense"] == steps["sparse"]
            if meeting:
                assert abs(steps["dense"] - steps["sparse"]) <= 1
    assert meeting


@pytest.mark.usefixtures("clock")
def test_progress_says_how_much_is_done_of_how_much(session: Session) -> None:
    working = [e for e in explore(session, select(session)) if isinstance(e, Working)]
    making = [e for e in working if e.text != "rendering"]
    assert making[:2] == [Working("calibrating", 0, 4), Working("solving", 0, 2)]
    solving = [e.done for e in making[1:]]
    assert {e.of for e in making[1:]} == {2}
    assert 1 in solving
    assert solving == sorted(solving)
    assert solving[-1] < 2
    # Dense steps were done while the trace was made, before there was a picture to compare with.
    assert working[len(making) :] == [
        Working("rendering", done, 2 * STEPS) for done in range(min(STEPS, len(making)), 2 * STEPS)
    ]


def test_the_numbers_are_those_of_the_plain_calls(session: Session) -> None:
    chosen = select(session)
    events = list(explore(session, chosen))
    (traced,) = (e for e in events if isinstance(e, Traced))
    plain = sw.trace(session.classifier, chosen.sample, plan=traced.trace.plan, augmentations=4)
    for name, weight in plain.weights().items():
        assert torch.equal(traced.trace.weights()[name], weight)
    predicted = [e for e in events if isinstance(e, Predicted)][-1]
    assert predicted.sparse is not None
    for probabilities, network in ((predicted.dense, session.classifier), (predicted.sparse, plain)):
        for row in sw.predict(network, chosen.sample):
            assert float(probabilities[row.index]) == row.probability
    (excited,) = (e for e in events if isinstance(e, Excited))
    assert excited.maps.shape[0] == len(excited.strengths) == 16


def test_fewer_steps_asked_for_than_are_done(session: Session) -> None:
    list(explore(session, select(session)))
    session.steps = 2
    assert told(explore(session, select(session)))[-1] == "sparse 6"
