"""What the Explorer computes for a selection: which events come, in which order, and what a second run costs."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

import spade_widgets as sw
from spade_widgets.classifier import ImageClassifier
from spade_widgets.pruning.calibration.calibration import batch_size
from spade_widgets.pruning.plans.plan import SparsityPlan
from spade_widgets.pruning.progress import finish
from spade_widgets.pruning.pruner import Pruner
from spade_widgets.pruning.traces.trace import Trace
from spade_widgets.runtime import explore as module
from spade_widgets.runtime.explore import Event, Excited, Predicted, Rendered, Selection, Traced, Working, explore
from spade_widgets.runtime.morph import Morph, OnScreen
from spade_widgets.runtime.session import Session
from spade_widgets.runtime.tracing import Pruning
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


@pytest.fixture(autouse=True)
def first_look(monkeypatch: pytest.MonkeyPatch) -> None:
    """No picture has steps before anything else, but where a test says so."""
    monkeypatch.setattr(module, "FIRST_LOOK", 0)


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

    def timed_trace(*args: Any, **options: Any) -> Any:
        steps = trace(*args, **options)
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
    pruning = Pruning(sparsity, "all", solver="fast")  # what is shown of a slower one first: test_tracing
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
            case Rendered(_, _, Morph() as morph):
                said.append(f"morph {morph.steps}")
            case Rendered(which, Renderer() as renderer):
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


def test_the_dense_picture_comes_first_where_nothing_is_on_screen(
    session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "FIRST_LOOK", 4)
    screen = OnScreen()
    said = told(explore(session, select(session), screen))
    assert said[:6] == ["predicted", "excited", "dense 1", "dense 2", "dense 3", "dense 4"]
    assert said[6] == "calibrating"
    # What is on screen follows the hand first.
    again = told(explore(session, select(session, neuron="3:5"), OnScreen()))
    assert again[2] == "dense 1"
    moved = told(explore(session, select(session, 0.9), screen))
    assert moved.index("morph 1") < moved.index("traced")


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
    assert again == ["dense 6", "sparse 6", "both predicted", "excited", "traced", "both predicted"]
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


def test_pictures_that_another_job_brings_to_their_end_go_no_further(session: Session) -> None:
    seen: dict[str, Renderer] = {}
    for event in explore(session, select(session)):
        if isinstance(event, Rendered) and event.renderer is not None:
            seen[event.which] = event.renderer
        if isinstance(event, Working) and event.text == "rendering":
            for renderer in seen.values():  # as an export does, which shares them
                while STEPS - 2 <= renderer.steps_done < STEPS:
                    renderer.step()
    assert {which: renderer.steps_done for which, renderer in seen.items()} == {"dense": STEPS, "sparse": STEPS}


@pytest.mark.usefixtures("clock")
def test_progress_says_how_much_is_done_of_how_much(session: Session) -> None:
    working = [e for e in explore(session, select(session)) if isinstance(e, Working)]
    making = [e for e in working if e.text != "rendering"]
    assert making[:2] == [Working("calibrating", 0, 4), Working("solving", 0, 2)]
    solving = [e.done for e in making[1:]]
    assert {e.of for e in making[1:]} == {2}
    assert 1 in solving
    assert solving == sorted(solving)
    assert solving[-1] == 2  # measured, too
    # Dense steps were done while the trace was made, before there was a picture to compare with.
    assert working[len(making) :] == [
        Working("rendering", done, 2 * STEPS) for done in range(min(STEPS, len(making)), 2 * STEPS)
    ]


def test_the_numbers_are_those_of_the_plain_calls(session: Session) -> None:
    chosen = select(session)
    events = list(explore(session, chosen))
    (traced,) = (e for e in events if isinstance(e, Traced))
    plain = sw.trace(session.classifier, chosen.sample, plan=traced.trace.plan, solver="fast", augmentations=4)
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
    assert told(explore(session, select(session)))[:2] == ["dense 6", "sparse 6"]
    # Steps of one picture do not count for the other.
    pictures = [e for e in explore(session, select(session, 0.9)) if isinstance(e, Rendered) and e.which == "sparse"]
    assert pictures[-1].renderer is not None
    assert pictures[-1].renderer.steps_done == 2


def drag(session: Session, screen: OnScreen, selections: Sequence[Selection]) -> list[Event]:
    """All selections one after the other, as one panel has them; the events of the last."""
    for selection in selections:
        events = list(explore(session, selection, screen))
    return events


def morphs(events: Sequence[Event]) -> list[tuple[str, int]]:
    return [(e.morph.source, e.morph.steps) for e in events if isinstance(e, Rendered) and e.morph is not None]


def test_the_picture_on_screen_morphs_before_the_trace_is_measured(session: Session) -> None:
    screen = OnScreen()
    drag(session, screen, [select(session, 0.5)])
    before = session.renderer(known(session, 0.5), session.classifier.neuron("3:2"))
    was = before.picture().tobytes()
    events = []
    for event in explore(session, select(session, 0.9), screen):
        events.append(event)
        if isinstance(event, Rendered) and event.which == "sparse":
            break
    assert not any(isinstance(event, Traced) for event in events)
    assert isinstance(event, Rendered)
    assert event.renderer is None
    assert event.morph is not None
    assert event.morph.source == "50.0 %"
    # From where it was, by one step under the new weights; what it was is left alone.
    assert event.morph.renderer.steps_done == STEPS + 1
    plain = Renderer(session.classifier, "3:2")
    plain.restore(before.snapshot())
    plain.swap(finish(session.trace(session.samples[0], select(session, 0.9).pruning)))
    plain.step()
    assert event.morph.renderer.picture().tobytes() == plain.picture().tobytes()
    assert before.picture().tobytes() == was


def test_the_traces_own_picture_takes_the_morphs_place_and_is_the_canonical_one(session: Session) -> None:
    screen = OnScreen()
    events = drag(session, screen, [select(session, 0.5), select(session, 0.9)])
    assert morphs(events)
    rendered = [e for e in events if isinstance(e, Rendered) and e.which == "sparse"]
    own = rendered[-1].renderer
    assert rendered[-1].morph is None
    assert screen.morph is None
    assert own is not None
    plain = Renderer(known(session, 0.9), "3:2")
    for _ in range(STEPS):
        plain.step()
    assert own.picture().tobytes() == plain.picture().tobytes()
    first = next(i for i, e in enumerate(rendered) if e.morph is None)
    assert all(e.morph is not None for e in rendered[:first])
    assert all(e.morph is None for e in rendered[first:])


def test_a_picture_takes_the_morphs_place_as_soon_as_it_excites_the_neuron_nearly_as_much(
    session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    session.steps = 60
    screen = OnScreen()
    drag(session, screen, [select(session, 0.5)])

    def fake(renderer: Renderer) -> float:
        renderer.steps_done += 1
        renderer.activation = float(renderer.steps_done)
        return 20.0  # the morph's

    monkeypatch.setattr(Renderer, "step", fake)
    own = next(
        e.renderer
        for e in explore(session, select(session, 0.9), screen)
        if isinstance(e, Rendered) and e.which == "sparse" and e.morph is None
    )
    assert own is not None
    # Steps 1 to 8 make 4.5; 85 % of the way to the morph's 20 is 17.675, and steps 15 to 22 make 18.5.
    assert own.steps_done == 22


def test_a_picture_that_was_made_already_shows_at_once_and_ends_the_morph(session: Session) -> None:
    screen = OnScreen()
    drag(session, screen, [select(session, 0.5)])
    moved = explore(session, select(session, 0.9), screen)
    for event in moved:
        if isinstance(event, Rendered) and event.morph is not None:
            break
    moved.close()
    assert screen.morph is not None
    said = told(explore(session, select(session, 0.5), screen))
    assert said[:2] == ["dense 6", "sparse 6"]
    assert not any(line.startswith("morph") for line in said)
    assert screen.morph is None


def test_a_morph_under_way_goes_on_under_the_next_weights_and_says_where_it_came_from(session: Session) -> None:
    screen = OnScreen()
    drag(session, screen, [select(session, 0.5)])
    for sparsity in (0.6, 0.7, 0.8):
        moved = explore(session, select(session, sparsity), screen)
        for event in moved:
            if isinstance(event, Rendered) and event.morph is not None:
                break
        moved.close()
    assert screen.morph is not None
    assert (screen.morph.source, screen.morph.steps) == ("50.0 %", 1)
    assert screen.morph.renderer.steps_done == STEPS + 3


def test_another_neuron_does_not_morph_and_keeps_what_does_not_depend_on_it(
    session: Session, calls: dict[str, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    screen = OnScreen()
    drag(session, screen, [select(session)])
    monkeypatch.setattr(session.classifier, "prepare", lambda _sample: pytest.fail("the network was run again"))
    events = list(explore(session, select(session, neuron="3:5"), screen))
    assert not morphs(events)
    assert calls == {"calibrate": 1, "prune": 1}
    said = told(iter(events))
    assert said[:4] == ["both predicted", "excited", "traced", "both predicted"]


def test_another_sample_morphs_and_is_named(session: Session) -> None:
    pixels = np.random.default_rng(1).integers(0, 256, (32, 32, 3), dtype=np.uint8)
    other = session.add(Sample(Image.fromarray(pixels), "other"))
    screen = OnScreen()
    drag(session, screen, [select(session)])
    events = list(explore(session, replace(select(session), sample=other), screen))
    assert {source for source, _ in morphs(events)} == {"'sample'"}


def test_drafts_come_first_are_said_to_be_drafts_and_never_pass_for_the_trace(
    session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("spade_widgets.runtime.tracing.WORTH", -1)
    session.augmentations = 80
    events, sources = [], []
    for event in explore(session, select(session), OnScreen()):
        events.append(event)
        if isinstance(event, Rendered) and event.morph is not None:
            sources.append(event.morph.source)
    traced = [e.trace for e in events if isinstance(e, Traced)]
    assert [t.augmentations for t in traced[:1]] + [t.augmentations for t in traced[-1:]] == [16, 80]
    assert known(session, 0.5) is traced[-1]
    plain = sw.trace(session.classifier, session.samples[0], plan=traced[-1].plan, solver="fast", augmentations=80)
    for name, weight in plain.weights().items():
        assert torch.equal(traced[-1].weights()[name], weight)
    early = sw.trace(session.classifier, session.samples[0], plan=traced[-1].plan, solver="fast", augmentations=16)
    for name, weight in early.weights().items():
        assert torch.equal(traced[0].weights()[name], weight)
    assert session.name(traced[0]) != session.name(traced[-1])
    assert session.draft(session.samples[0], select(session).pruning) is None
    # A first picture of the first draft begins from noise, and goes on under the trace.
    assert sources[0] == ""
    assert sources[-1] == "16 augmentations"
    own = [e for e in events if isinstance(e, Rendered) and e.which == "sparse"][-1]
    assert own.renderer is not None
    assert own.renderer.picture().tobytes() == sw.visualize(plain, "3:2", steps=STEPS).tobytes()


def test_no_draft_where_the_rest_takes_no_time(session: Session, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("spade_widgets.runtime.tracing.WORTH", 1e9)
    session.augmentations = 80
    assert sum(isinstance(e, Traced) for e in explore(session, select(session))) == 1


def test_what_a_fast_drag_passes_over_is_not_computed(session: Session, monkeypatch: pytest.MonkeyPatch) -> None:
    screen, made = OnScreen(), []
    drag(session, screen, [select(session, 0.1)])
    traces = Pruner.traces

    def counted(self: Pruner, plans: Sequence[SparsityPlan], *args: Any, **more: Any) -> list[Trace]:
        made.append(plans[0].sparsities["7"])
        return traces(self, plans, *args, **more)

    monkeypatch.setattr(Pruner, "traces", counted)
    for i in range(60):
        moved = explore(session, select(session, 0.2 + i / 100), screen)
        for _ in range(4):  # as far as a worker comes until the next move
            next(moved)
        moved.close()
    drag(session, screen, [select(session, 0.85)])
    assert made == [0.85]
    assert screen.morph is None


def known(session: Session, sparsity: float) -> Trace:
    trace = session.known_trace(session.samples[0], select(session, sparsity).pruning)
    assert trace is not None
    return trace
