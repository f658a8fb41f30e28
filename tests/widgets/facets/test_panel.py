"""The Facet panel from Python: what it opens on, what can be read and set, what is refused, what is kept."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
from runtime.colours import colours, spots
from widgets.page import Page, settle

import spade_widgets as sw
from spade_widgets.demo import emoji
from spade_widgets.errors import InputError
from spade_widgets.inspection.facets import Facets
from spade_widgets.widgets.facets.panel import FacetPanel
from spade_widgets.widgets.facets.wire import AUTO, file_trait

Make = Callable[..., FacetPanel]
PHOTOS = spots(14, 10, 6)


@pytest.fixture
def make_facets() -> Iterator[Make]:
    """Makes small Facet panels, of a network with known facets where nothing else is said."""
    made: list[Any] = []

    def new(source: Any = None, neuron: Any = "either:0", photos: Any = PHOTOS, **options: Any) -> FacetPanel:
        if source is None:
            given = {"samples": spots(1, 1, 1, seed=9), "augmentations": 8, "steps": 20}
            source, options = colours(), {**given, "pattern": "either", "sparsity": 0.8, "solver": "fast", **options}
        panel = FacetPanel(source, neuron, photos, **options)
        made.append(panel)
        return panel

    yield new
    for panel in made:
        panel.close()


@pytest.fixture
def facet_panel(make_facets: Make) -> FacetPanel:
    panel = make_facets()
    settle(panel)
    return panel


def test_a_row_a_facet_with_crops_a_picture_and_its_share(facet_panel: FacetPanel) -> None:
    panel = facet_panel
    assert panel.error == ""
    assert [len(facet["members"]) for facet in panel.summary["facets"]] == [14, 10]
    assert panel.summary["seen"] == 30
    assert not panel.summary["own"]
    assert {picture["state"] for picture in panel.pictures} == {"done"}
    assert len(panel.pictures) == 3
    assert len({getattr(panel, file_trait(place)) for place in range(3)}) == 3
    assert getattr(panel, file_trait(3)) == b""
    assert all(row["crop"] for row in panel.examples)
    assert {row["title"].split()[0] for row in panel.examples if row["facet"] == 1} == {"green"}
    assert all(row["kept"] == 11 and row["keeps_own"] > 0.5 and row["keeps_others"] > 0 for row in panel.trace_rows)
    assert "clearer than chance" in panel.summary["sentence"]
    json.dumps(panel.state(), allow_nan=False)
    assert [None if image is None else image.size for image in panel.images] == [(24, 24)] * 3
    assert len(panel.traces) == 2


def test_the_code_makes_the_same(facet_panel: FacetPanel) -> None:
    made: dict[str, Any] = {"panel": facet_panel}
    exec(facet_panel.code, made)
    assert np.array_equal(made["facets"].assignment, facet_panel.facets.assignment)  # type: ignore[union-attr]
    for mine, shown in zip([made["dense_image"], *made["images"]], facet_panel.images, strict=True):
        assert np.array_equal(np.asarray(mine), np.asarray(shown))
    facet_panel.groups = [[0, 1, 2]]
    settle(facet_panel)
    exec(facet_panel.code, made)
    assert made["facets"].own
    assert np.array_equal(np.asarray(made["images"][1]), np.asarray(facet_panel.images[2]))


def test_groups_of_ones_own_and_back(facet_panel: FacetPanel) -> None:
    panel, page = facet_panel, Page(facet_panel)
    ids = [row["id"] for row in panel.examples[:4]]
    page.set(groups=[ids])
    settle(panel)
    assert sorted(len(facet["members"]) for facet in panel.summary["facets"]) == [4, 20]
    assert "of your own" in panel.summary["sentence"]
    page.say("reset")
    settle(panel)
    assert panel.groups == ()
    assert [len(facet["members"]) for facet in panel.summary["facets"]] == [14, 10]
    panel.groups = [[0, 1]]
    panel.count = 1
    assert panel.groups == ()  # they were of what was there before
    settle(panel)
    assert len(panel.summary["facets"]) == 1


def test_another_neuron_leaves_nothing_of_the_last_one(facet_panel: FacetPanel) -> None:
    panel = facet_panel
    page = Page(panel)
    page.set(neuron="either:1")
    settle(panel)
    assert panel.summary["neuron"] == "either:1"
    assert {row["title"].split()[0] for row in panel.examples} == {"blue"}
    assert "too few" in panel.summary["sentence"]
    assert len(panel.pictures) == 2
    assert getattr(panel, file_trait(2)) == b""
    page.set(neuron="either:7")
    assert "either" in panel.error
    assert panel.neuron == "either:1"


def test_other_photographs_are_looked_at_when_they_are_set(facet_panel: FacetPanel) -> None:
    facet_panel.photos = spots(0, 20, 0)
    settle(facet_panel)
    assert {row["title"].split()[0] for row in facet_panel.examples} == {"green"}
    assert facet_panel.summary["seen"] == 20
    facet_panel.photos = None
    settle(facet_panel)
    assert facet_panel.summary["own"]
    assert facet_panel.photos == facet_panel.session.samples


def test_what_excites_nothing_is_said_in_the_panel(make_facets: Make) -> None:
    panel = make_facets(photos=spots(0, 0, 8))
    settle(panel)
    assert "None of the photographs excites either:0" in panel.error
    assert panel.status["state"] == "error"
    panel.neuron = "either:1"
    settle(panel)
    assert panel.error == ""
    assert panel.summary["facets"]


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("count", 7, "'auto' or 1 to 6"),
        ("count", "many", "'auto' or 1 to 6"),
        ("count", True, "'auto' or 1 to 6"),
        ("groups", [[]], "at least one example"),
        ("groups", [["a"], ["a"]], "in one facet only"),
        ("groups", [[99]], "no example 99"),
        ("groups", "ab", "a list of lists"),
        ("groups", [[str(i)] for i in range(7)], "up to 6"),
        ("neuron", "nothing:0", "nothing"),
        ("layer", "nothing", "nothing"),
        ("listing", 1, "neither True nor False"),
    ],
)
def test_what_cannot_be_set_is_refused_in_one_sentence(
    facet_panel: FacetPanel, name: str, value: Any, said: str
) -> None:
    before = getattr(facet_panel, name)
    with pytest.raises(InputError, match=said) as caught:
        setattr(facet_panel, name, value)
    assert "\n" not in str(caught.value)
    assert getattr(facet_panel, name) == before
    facet_panel.count = "auto"
    assert facet_panel.count == AUTO


def test_the_neurons_of_a_layer_are_listed_and_kept(facet_panel: FacetPanel) -> None:
    panel = facet_panel
    panel.layer = "either"
    panel.listing = True
    job = panel.session.worker._jobs[panel, "survey"]
    assert job.finished.wait(60)
    assert panel.survey["state"] == "done"
    assert [row[:2] for row in panel.survey["rows"]] == [[0, 2]]  # of six examples of the other, nothing is said
    panel.listing = False
    panel.listing = True
    assert panel.session.worker._jobs[panel, "survey"].finished.wait(60)
    assert [row[:2] for row in panel.survey["rows"]] == [[0, 2]]


def test_stopped_it_keeps_what_there_is_and_goes_on(make_facets: Make) -> None:
    panel = make_facets(steps=2000)
    deadline = 60.0
    assert panel.wait(0.0) is False
    while not any(picture["step"] for picture in panel.pictures):
        assert deadline > 0
        panel.wait(0.1)
        deadline -= 0.1
    panel.stop()
    settle(panel)
    assert panel.status["state"] == "stopped"
    assert "stopped" in {picture["state"] for picture in panel.pictures}
    panel.session.steps = 30
    panel.resume()
    settle(panel)
    assert panel.status["state"] == "idle"
    assert {picture["state"] for picture in panel.pictures} == {"done"}


def test_an_explorer_and_its_facets_share_neuron_sample_and_pruning(make_facets: Make) -> None:
    explorer = sw.Explorer(
        colours(), samples=spots(1, 1, 1, seed=9), photos=PHOTOS, augmentations=8, steps=3,
        sparsity=0.5, pattern="either", solver="fast", neuron="either:0",
    )  # fmt: skip
    try:
        panel = make_facets(explorer, None, None)
        assert panel.session is explorer.session
        assert panel.neuron == "either:0"
        assert panel.gallery is explorer.gallery
        settle(panel)
        assert [len(facet["members"]) for facet in panel.summary["facets"]] == [14, 10]
        example = panel.examples[5]
        Page(panel).say("example", id=example["id"])
        assert panel.session.worker._jobs[panel, "example"].finished.wait(60)
        assert explorer.sample_id == panel.sample_id == example["id"]
        settle(explorer)
        assert explorer.neuron == panel.neuron == "either:0"
        explorer.neuron = "either:1"
        assert panel.neuron == "either:1"
        panel.neuron = "logit:warm"
        settle(explorer)
        assert explorer.neuron == "logit:warm"  # it was chosen: no class of a sample's takes its place
        explorer.sample = 2
        settle(explorer)
        assert panel.neuron == explorer.neuron == "logit:warm"
        panel.sparsity = 0.7
        assert explorer.sparsity == 0.7
        with pytest.raises(InputError, match="this panel has its own"):
            sw.FacetPanel(explorer, steps=3)
        with pytest.raises(InputError, match="cannot both be given"):
            sw.FacetPanel("emoji", explorer=explorer)
        same = make_facets(explorer, "either:0", PHOTOS)
        assert explorer.neuron == same.neuron == "either:0"
    finally:
        explorer.close()


def test_an_example_leaves_the_neuron_of_an_explorer_that_would_follow_the_sample(make_facets: Make) -> None:
    explorer = sw.Explorer(
        colours(), samples=spots(1, 1, 1, seed=9), photos=spots(12, 12, 12), augmentations=8, steps=3, solver="fast",
        sparsity=0.5, pattern="either",
    )  # fmt: skip
    try:
        panel = make_facets(explorer, None, None)
        settle(panel)
        assert panel.neuron == "logit:warm"
        explorer.sample = 2
        settle(explorer)
        assert panel.neuron == "logit:cold"
        settle(panel)
        blue = panel.examples[0]
        Page(panel).say("example", id=blue["id"])
        assert panel.session.worker._jobs[panel, "example"].finished.wait(60)
        explorer.sample = 0
        settle(explorer)
        assert explorer.neuron == panel.neuron == "logit:cold"
    finally:
        explorer.close()


def test_the_built_in_samples_are_too_few_and_it_says_so(make_facets: Make) -> None:
    panel = make_facets("emoji", "logit:pet", None, solver="fast", augmentations=8, steps=2)
    settle(panel)
    assert panel.error == ""
    assert panel.summary["own"]
    assert panel.summary["sentence"].startswith("Only ")
    assert len(panel.summary["facets"]) == 1
    assert panel.session.classifier is emoji.classifier()
    made: dict[str, Any] = {}
    exec(panel.code, made)  # it needs no panel
    assert len(made["images"]) == 1


def test_handlers_take_no_time_while_the_worker_works(
    facet_panel: FacetPanel, busy: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Invariant 4; what is dearest is groups of one's own, which are judged anew: by the worker."""
    judges: set[threading.Thread] = set()
    regroup = Facets.regroup

    def judged(facets: Facets, groups: Any) -> Facets:
        judges.add(threading.current_thread())
        return regroup(facets, groups)

    monkeypatch.setattr(Facets, "regroup", judged)
    page, ids = Page(facet_panel), [row["id"] for row in facet_panel.examples]
    actions: list[Callable[[], None]] = [
        lambda: page.set(groups=[ids[:5], ids[5:9]]),
        lambda: page.say("example", id=ids[3]),
        lambda: page.set(count=3),
        lambda: page.set(count=9),
        lambda: page.set(neuron="either:1"),
        lambda: page.set(layer="detect", listing=True),
        lambda: page.say("stop"),
        lambda: page.say("resume"),
        lambda: page.say("ack", which="0", seq=1),
        lambda: page.say("reset"),
        lambda: page.set(sparsity=0.7, neuron="either:0", listing=False),
    ]
    times = []
    for action in actions * 15:
        began = time.thread_time()
        action()
        times.append(time.thread_time() - began)
    assert np.percentile(times, 98) < 0.005
    facet_panel.groups = [ids[:3]]
    settle(facet_panel)
    assert judges
    assert threading.current_thread() not in judges


def size(value: Any) -> int:
    """Bytes of a trait, about as they are on the wire."""
    if isinstance(value, bytes):
        return len(value)
    if isinstance(value, dict):
        return sum(map(size, value.values()))
    return sum(map(size, value)) if isinstance(value, list | tuple) else len(repr(value))


def test_what_is_saved_is_small_and_has_a_picture(facet_panel: FacetPanel) -> None:
    state = {name: value for name, value in facet_panel.get_state().items() if not name.startswith("_")}
    assert sum(map(size, state.values())) < 100_000
    still = facet_panel._still()
    assert [[tile.image is not None for tile in row] for row in still.rows] == [[True], [True, True], [True, True]]
    text = still.bundle()["text/plain"]
    assert "SPADE Facets" in text
    assert "2 facets" in text
