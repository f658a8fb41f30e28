"""Keep the prediction, block by block, a plan of one's own: in one panel, in two that are linked, in copied code."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from widgets.page import Gate, Page, flush, picture, settle

import spade_widgets as sw
from spade_widgets.classifier import ImageClassifier
from spade_widgets.errors import InputError
from spade_widgets.evidence.plan_file import PlanFile
from spade_widgets.pruning.plans.choose import choices
from spade_widgets.runtime.session import Session
from spade_widgets.runtime.tracing import Pruning
from spade_widgets.widgets.common import estimates as estimating
from spade_widgets.widgets.common.estimates import about, estimates
from spade_widgets.widgets.common.facts import found_sparsity
from spade_widgets.widgets.common.still import Tile, draw
from spade_widgets.widgets.common.stills import facts, kept_prediction
from spade_widgets.widgets.common.wire import SHARED
from spade_widgets.widgets.explorer.panel import Explorer
from spade_widgets.widgets.explorer.stills import DEAD, explorer_still
from spade_widgets.widgets.saliency.panel import SaliencyPanel

Make = Callable[..., Explorer]
MakeSaliency = Callable[..., SaliencyPanel]
PLAN = {"3": 0.9, "7": 0.5}


def plan_file(plan: Any = None) -> bytes:
    return PlanFile(PLAN if plan is None else plan, ("0" * 16,), {"solver": "refined"}).text().encode()


def whole(panel: Any) -> float:
    assert panel.trace is not None
    return found_sparsity(panel.trace)


# Keep the prediction


def test_the_slider_goes_where_the_trace_was_found(page: Page) -> None:
    panel = page.panel
    page.set(fidelity=0.9)
    settle(panel)
    trace = panel.trace
    assert trace is not None
    assert trace.fidelity is not None
    assert trace.agreement.agrees
    assert panel.fidelity == 0.9
    assert panel.sparsity == panel.trace_summary["sparsity"] == round(1 - trace.kept / trace.total, 3)
    assert panel.trace_summary["fidelity"] == {"asked": 0.9, "reached": trace.fidelity.reached}
    assert page.told("sparsity") == [panel.sparsity]
    assert page.told("fidelity") == []
    assert panel.status["state"] == "idle"
    assert panel.sparse["state"] == "done"
    assert panel.solved == [0.8]  # where the slider finds a trace of that sparsity


def test_a_sparsity_that_a_user_sets_counts(page: Page) -> None:
    panel = page.panel
    page.set(fidelity=0.9)
    settle(panel)
    page.set(sparsity=0.35)
    assert panel.fidelity is None
    assert page.told("fidelity") == [None]
    settle(panel)
    assert panel.sparsity == panel.trace_summary["sparsity"] == 0.35
    assert panel.trace_summary["fidelity"] is None
    panel.fidelity = 0.9
    settle(panel)
    panel.sparsity = 0.45
    assert panel.fidelity is None
    settle(panel)
    assert panel.trace_summary["sparsity"] == 0.45


def test_what_is_found_starts_nothing_anew(page: Page, monkeypatch: pytest.MonkeyPatch) -> None:
    panel, started = page.panel, []
    page.set(fidelity=0.9)
    begin = panel._screen.begin
    monkeypatch.setattr(panel._screen, "begin", lambda selection: (started.append(selection), begin(selection)))
    settle(panel)
    assert len(started) <= 1
    assert panel.sparsity == whole(panel)


def test_a_user_who_is_quicker_than_the_search(page: Page) -> None:
    panel = page.panel
    with Gate():
        page.set(fidelity=0.9)
        page.set(sparsity=0.35)
    settle(panel)
    assert (panel.sparsity, panel.fidelity) == (0.35, None)
    # In the very moment in which one is found.
    panel.fidelity = 0.9
    asked = panel._pruning()
    with Gate():
        panel.found(panel.sample, asked, 0.77)
        assert (panel.sparsity, panel.fidelity) == (0.77, 0.9)
        panel.sparsity = 0.36
        panel.found(panel.sample, asked, 0.77)
        assert (panel.sparsity, panel.fidelity) == (0.36, None)
    settle(panel)
    assert panel.trace_summary["sparsity"] == 0.36


def test_the_search_is_said_and_stops(page: Page, monkeypatch: pytest.MonkeyPatch) -> None:
    panel = page.panel
    page.set(fidelity=0.9)
    settle(panel)
    texts = [status["text"] for status in page.told("status")]
    assert "searching" in texts
    # What is on screen of the last trace is said to be old before there is another one.
    first = next(state["sparse"]["state"] for state in page.updates if "sparse" in state)
    assert first == "waiting"
    with Gate():
        page.set(fidelity=0.8)
        page.say("stop")
    settle(panel)
    assert panel.status["state"] == "stopped"
    assert panel.sparse["state"] == "empty"
    assert panel.trace is None
    page.say("resume")
    settle(panel)
    assert panel.sparse["state"] == "done"
    page.say("stop")  # when all is there, it changes nothing
    settle(panel)
    assert (panel.status["state"], panel.sparse["state"]) == ("idle", "done")


def test_where_nothing_sparser_keeps_it(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    """A bisection that nothing passes ends at the dense plan: the slider at 0, which is said."""
    from spade_widgets.pruning.plans.held_out import HeldOut, Verdict

    judge = HeldOut.judge
    monkeypatch.setattr(
        HeldOut, "judge", lambda self, weights: Verdict(**{**vars(judge(self, weights)), "same": False})
    )
    panel = make(fidelity=0.9)
    settle(panel)
    assert panel.sparsity == 0
    assert panel.trace_summary["kept"] == panel.trace_summary["total"]
    assert "nothing sparser keeps the prediction" in facts(panel)["Sparsity"]


def test_the_constructor(make: Make, make_saliency: MakeSaliency) -> None:
    panel = make(fidelity=0.8, sequential=True)
    saliency = make_saliency(panel)
    settle(panel)
    assert panel.trace is not None
    assert panel.trace.sequential
    assert (saliency.fidelity, saliency.sequential, saliency.sparsity) == (0.8, True, panel.sparsity)
    settle(saliency)
    assert saliency.trace is panel.trace
    other = make_saliency(panel, sparsity=0.4, sequential=False)
    for one in (other, panel, saliency):
        assert (one.fidelity, one.sequential, one.sparsity) == (None, False, 0.4)
    with pytest.raises(InputError, match="instead of a sparsity"):
        make(fidelity=0.8, sparsity=0.5)


def test_defaults_are_careful(tiny: ImageClassifier) -> None:
    panel = Explorer(tiny, samples=[picture(0)], augmentations=2, steps=1)
    saliency = SaliencyPanel(tiny, samples=[picture(0)], augmentations=2, methods=("saliency",))
    try:
        for one in (panel, saliency):
            assert (one.preset, one.solver, one.sequential, one.fidelity) == ("third", "refined", False, None)
            assert one.plan == ()
            assert one._pruning() == Pruning(one.sparsity)
            settle(one)
            assert one.trace is not None
            assert one.trace.solver == "refined"
    finally:
        panel.close()
        saliency.close()


# Linked


def test_both_panels_go_where_one_was_found(make: Make, make_saliency: MakeSaliency) -> None:
    explorer = make()
    panel = make_saliency(explorer)
    settle(explorer)
    settle(panel)
    for touched, other in ((explorer, panel), (panel, explorer)):
        touched.fidelity = 0.9
        assert other.fidelity == 0.9
        settle(explorer)
        settle(panel)
        assert explorer.fidelity == panel.fidelity == 0.9
        assert explorer.sparsity == panel.sparsity == whole(explorer)
        assert panel.trace is explorer.trace
        other.sparsity = 0.4
        assert (touched.fidelity, touched.sparsity) == (other.fidelity, other.sparsity) == (None, 0.4)
        settle(explorer)
        settle(panel)
        assert explorer.trace_summary["sparsity"] == panel.trace_summary["sparsity"] == 0.4
        assert (explorer.fidelity, panel.fidelity) == (None, None)


def test_all_of_it_is_linked(make: Make, make_saliency: MakeSaliency) -> None:
    explorer = make()
    panel = make_saliency(explorer)
    for touched, name, value in (
        (explorer, "sequential", True), (panel, "sequential", False), (panel, "plan", PLAN),
        (explorer, "preset", "plan"), (explorer, "plan", {"3": 0.7}),
        (panel, "fidelity", 0.7), (explorer, "fidelity", None),
    ):  # fmt: skip
        setattr(touched, name, value)
        for shared in SHARED:
            assert getattr(explorer, shared) == getattr(panel, shared), shared
    settle(explorer)
    settle(panel)
    assert panel.trace is explorer.trace
    assert explorer.trace is not None
    assert explorer.trace.plan.layers == ("3",)


# A plan


def test_a_plan_file_from_the_page(page: Page) -> None:
    panel = page.panel
    page.set(fidelity=0.9)
    settle(panel)
    page.add(("tuned.json", plan_file()))
    flush()
    settle(panel)
    assert panel.error == ""
    assert panel.plan == (("3", 0.9), ("7", 0.5))
    assert page.told("plan") == [[["3", 0.9], ["7", 0.5]]]
    assert (panel.preset, panel.sparsity, panel.fidelity) == ("plan", 0.95, None)
    assert panel.trace is not None
    assert dict(panel.trace.plan.sparsities) == PLAN
    page.set(sparsity=0.0)
    settle(panel)
    assert panel.trace.kept == panel.trace.total


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "no JSON"),
        (b"\xff\xfe", "no JSON"),
        (b"[" * 100_000, "no JSON"),
        (b"[1, 2]", "must say a sparsity for each layer"),
        (b"{}", "There is no plan yet"),
        (b'{"plan": {"7": "much"}}', "must say a sparsity for each layer"),
        (b'{"conv9": 0.5}', "matches 'conv9'"),
        (b'{"7": 1.5}', "0 \u2264 sparsity < 1"),
        (b'{"7": NaN}', "0 \u2264 sparsity < 1"),
    ],
)
def test_files_that_are_no_plan(page: Page, content: bytes, said: str) -> None:
    panel = page.panel
    before = {name: getattr(panel, name) for name in SHARED}
    page.add(("bad.json", content))
    flush()
    settle(panel)
    assert said in panel.error
    assert "\n" not in panel.error
    assert {name: getattr(panel, name) for name in SHARED} == before


def test_the_content_of_a_file_as_the_trait(page: Page, tmp_path: Path) -> None:
    panel = page.panel
    page.set(plan=json.loads(plan_file()), preset="plan")
    assert panel.error == ""
    assert panel.plan == (("3", 0.9), ("7", 0.5))
    assert page.told("plan") == [[["3", 0.9], ["7", 0.5]]]  # as it is kept
    path = tmp_path / "plan.json"
    path.write_bytes(plan_file({"7": 0.25}))
    page.set(plan=str(path))  # where it lies is for Python to say
    assert "not where it lies" in panel.error
    for given in (path, str(path), sw.SparsityPlan({"7": 0.25}), {"7": 0.25}, [("7", 0.25)]):
        panel.plan = PLAN
        panel.plan = given
        assert panel.plan == (("7", 0.25),)
    for bad in (3, [1], {"7": 2}, {"conv9": 0.5}, tmp_path / "none.json", None):  # None: its preset is chosen
        with pytest.raises(InputError) as caught:
            panel.plan = bad
        assert "\n" not in str(caught.value)
    assert panel.plan == (("7", 0.25),)
    panel.preset = "all"
    panel.plan = None
    with pytest.raises(InputError, match="There is no plan yet"):
        panel.preset = "plan"
    settle(panel)


def test_a_panel_that_is_opened_with_a_plan(make: Make, make_saliency: MakeSaliency, tmp_path: Path) -> None:
    path = tmp_path / "plan.json"
    path.write_bytes(plan_file())
    for panel in (make(plan=path), make_saliency(plan=str(path)), make(plan=PLAN)):
        settle(panel)
        assert (panel.preset, panel.sparsity) == ("plan", 0.95)
        assert panel.trace is not None
        assert dict(panel.trace.plan.sparsities) == PLAN
    assert make(plan=PLAN, sparsity=0.5).sparsity == 0.5
    with pytest.raises(InputError, match="either a plan or a pattern"):
        make(plan=PLAN, pattern="7")
    with pytest.raises(InputError, match=r"none\.json"):
        make(plan=tmp_path / "none.json")
    with pytest.raises(InputError, match="matches 'conv9'"):
        make(plan={"conv9": 0.3})


# Bad values


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("fidelity", 0, "0 < fidelity \u2264 1"),
        ("fidelity", 1.5, "0 < fidelity \u2264 1"),
        ("fidelity", "much", "not a number"),
        ("sequential", "yes", "neither True nor False"),
        ("sequential", None, "neither True nor False"),
        ("sequential", 1, "neither True nor False"),
        ("plan", 7, "is no plan"),
        ("plan", [["7"]], "is no plan"),
        ("plan", {"plan": {"nope": 0.5}}, "matches 'nope'"),
    ],
)
def test_bad_values_are_said_and_sent_back(page: Page, name: str, value: Any, said: str) -> None:
    before = getattr(page.panel, name)
    page.set(**{name: value})
    assert said in page.panel.error
    assert "\n" not in page.panel.error
    assert getattr(page.panel, name) == before
    assert len(page.told(name)) == 1


# The code, the still, the estimates


@pytest.mark.parametrize(
    "options",
    [
        {"fidelity": 0.9},
        {"fidelity": 0.8, "pattern": "3, 7"},
        {"fidelity": 0.8, "plan": {"3, 7": 0.9}},
        {"sequential": True},
        {"sequential": True, "plan": PLAN},
        {"plan": PLAN, "sparsity": 0.7},
        {"fidelity": 0.9, "sequential": True, "preset": "all"},
    ],
)
def test_the_copied_code_makes_the_same_trace(make: Make, options: dict[str, Any]) -> None:
    panel = make(**options)
    settle(panel)
    assert panel.error == ""
    made: dict[str, Any] = {"explorer": panel}
    exec(panel.code.split("dense_image")[0], made)
    trace = panel.trace
    assert trace is not None
    assert made["trace"].digest == trace.digest
    assert (made["trace"].sequential, made["trace"].fidelity) == (trace.sequential, trace.fidelity)


def test_a_plan_is_written_with_its_own_numbers(make: Make) -> None:
    assert "plan={'3': 0.9, '7': 0.5}, solver='refined'" in make(plan=PLAN).code


def test_the_state_and_the_still_say_it(make: Make) -> None:
    panel = make(fidelity=0.9, sequential=True, plan=PLAN)
    settle(panel)
    state = json.loads(json.dumps(panel.state()))
    assert state["fidelity"] == 0.9
    assert state["sequential"] is True
    assert state["plan"] == [["3", 0.9], ["7", 0.5]]
    assert state["trace"]["sequential"] is True
    said = facts(panel)
    assert "keeps the prediction" in said["Sparsity"]
    assert "asked for: 90 %" in said["Sparsity"]
    assert "block by block" in said["Solver"]
    assert said["Pruned layers"] == "plan file"


def test_what_came_of_keeping_the_prediction() -> None:
    trace = {"kept": 5, "total": 9, "fidelity": {"asked": 0.9, "reached": 0.9375}}
    assert kept_prediction(trace).endswith("(94 % of further augmentations; asked for: 90 %)")
    assert kept_prediction({**trace, "kept": 9}) == "nothing sparser keeps the prediction"


def test_a_neuron_that_nothing_reaches_gives_a_sentence(make: Make) -> None:
    panel = make(neuron="3:2", sparsity=0.999, preset="all")
    settle(panel)
    assert panel.sparse["dead"]
    (row,) = explorer_still(panel).rows
    assert [tile.instead for tile in row if tile.image is None] == [DEAD]
    assert not panel.dense["dead"]
    # It is drawn within its place.
    drawn = draw([[Tile("a", None, DEAD), Tile("", None)]]).convert("L")
    dark = drawn.point(lambda value: 255 if value < 100 else 0).crop((0, 40, *drawn.size)).getbbox()
    assert dark is not None
    assert 12 < dark[0] < dark[2] < 12 + 224


def test_estimates_come_from_the_worker(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[str, int, int]] = []
    estimate = estimating.estimate

    def noted(solver: str, *args: Any) -> float:
        asked.append((solver, args[2], args[4]))
        return estimate(solver, *args)

    monkeypatch.setattr(estimating, "estimate", noted)
    with Gate():
        panel = make()
        assert asked == []
        assert panel.estimates == {}
    settle(panel)
    flush()
    assert panel.estimates.keys() == set(choices())
    assert 0 <= panel.estimates["fast"] <= panel.estimates["refined"] <= panel.estimates["exact"]
    assert {(n, blocks) for _, n, blocks in asked} == {(1, 0)}
    asked.clear()
    panel.sparsity = 0.3
    settle(panel)
    flush()
    assert asked == []
    panel.fidelity, panel.sequential = 0.9, True
    settle(panel)
    flush()
    assert {(n > 1, blocks > 0) for _, n, blocks in asked} <= {(True, False), (True, True)}
    assert (True, True) in {(n > 1, blocks > 0) for _, n, blocks in asked}


def test_estimates_are_those_of_the_engine(tiny: ImageClassifier) -> None:
    session = Session(tiny, [picture(0)], augmentations=8)
    pruning = Pruning(0.5, "all")
    told = dict(estimates(session, pruning))
    for solver in ("fast", "refined", "exact", "magnitude"):
        assert told[solver] == estimating.estimate(solver, tiny, ("3", "7"), 1, 8, 0)
    assert told["auto"] == told[session.solver(Pruning(0.5, "all", solver="auto"))]
    assert [about(None), about(2.0), about(240.0)] == ["", "", "about 4 min"]


def test_while_it_takes_long_the_status_says_how_long(page: Page, monkeypatch: pytest.MonkeyPatch) -> None:
    panel = page.panel
    flush()
    panel.estimates = {**panel.estimates, "exact": 240.0}
    page.set(solver="exact")
    settle(panel)
    said = {(status["text"], status["about"]) for status in page.told("status")}
    assert ("solving", "about 4 min") in said
    assert panel.status["about"] == ""
    assert all(about == "" for text, about in said if text in ("predicting", "rendering", "done"))


def test_a_draft_is_said_to_be_one_and_replaced(make: Make) -> None:
    panel = make(sparsity=0.6, preset="all")
    page = Page(panel)
    settle(panel)
    page.updates.clear()
    page.set(sequential=True)
    settle(panel)
    drafts = [trace["draft"] for trace in page.told("trace_summary")]
    assert drafts[-1] == ""
    assert drafts[0] == "fast, all blocks at once"
    assert panel.trace_summary["sequential"] is True


def test_a_lesson_is_of_its_own_sparsities(make: Make, tmp_path: Path) -> None:
    panel = make(fidelity=0.9, sequential=True, samples=[picture(0)], steps=1)
    settle(panel)
    path = panel.export_html(tmp_path / "lesson.html", neurons="logit:ant", sparsities=[0.3, 0.6])
    text = path.read_text()
    recording = json.loads(text.split('id="recording">')[1].split("</script>")[0])
    (sample,) = recording["samples"]
    assert [trace["facts"]["sparsity"] for trace in sample["traces"]] == [0.3, 0.6]
    assert all(trace["facts"]["fidelity"] is None for trace in sample["traces"])
    assert all(trace["facts"]["sequential"] for trace in sample["traces"])
    assert "solver refined, block by block" in recording["notes"][0]
