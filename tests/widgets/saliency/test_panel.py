"""The Saliency panel from Python: what it opens on, what can be read and set, what is refused."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from torch import nn
from widgets.page import Gate, picture, pixels, settle

import spade_widgets as sw
from spade_widgets.attribution.methods import METHODS
from spade_widgets.classifier import ImageClassifier
from spade_widgets.demo import photos
from spade_widgets.errors import InputError
from spade_widgets.runtime.session import Session
from spade_widgets.widgets.explorer.panel import Explorer
from spade_widgets.widgets.saliency.panel import SaliencyPanel
from spade_widgets.widgets.saliency.wire import COLORMAPS, SELECTION, VIEW

Make = Callable[..., SaliencyPanel]
CHECKOUT = Path(__file__).parents[3]


def chosen(panel: SaliencyPanel) -> dict[str, Any]:
    return {name: getattr(panel, name) for name in (*SELECTION, *VIEW)}


def test_the_built_in_classifier(make_saliency: Make) -> None:
    panel = make_saliency(None, methods=("saliency", "lrp", "gradcam"))
    settle(panel)
    assert panel.error == ""
    assert panel.session.classifier is photos.classifier()
    assert panel.sparsity == photos.BEGIN["sparsity"]
    assert panel.status["state"] == "idle"
    assert [row["id"] for row in panel.samples] == [sample.id for sample in photos.samples()]
    assert {cell["state"] for cell in panel.cells.values()} == {"done"}
    assert [row["key"] for row in panel.all_methods] == list(METHODS)
    made: dict[str, Any] = {}
    exec(panel.code, made)  # it needs no panel
    for cell, plain in made["maps"].items():
        assert np.array_equal(panel.maps()[cell], plain)


def test_a_torchvision_name_and_a_module(make_saliency: Make, tiny_model: nn.Module, tiny: ImageClassifier) -> None:
    panel = make_saliency("squeezenet1_1", weights=None, augmentations=1, methods=["saliency"], samples=pixels(0))
    settle(panel)
    assert panel.error == ""
    assert panel.maps()["sparse", "saliency"].shape == (224, 224)
    panel = make_saliency(tiny_model, class_names=list("abcde"), preprocess=tiny._preprocess)
    settle(panel)
    assert panel.error == ""
    assert panel.sparsity == 0.8
    assert panel.maps().keys() == {(n, m) for n in ("dense", "sparse") for m in ("saliency", "gradcam")}


def test_a_session_is_shared(make_saliency: Make, tiny: ImageClassifier) -> None:
    session = Session(tiny, [picture(0), picture(1)], augmentations=4, seed=5)
    one = make_saliency(session)
    settle(one)
    two = make_saliency(session, sparsity=0.5)
    settle(two)
    assert one.session is two.session is session
    assert one.trace is not None
    assert one.trace.seed == 5
    assert two.sparsity == 0.5
    two.sample = 1
    settle(two)
    assert one.sample_id == session.samples[0].id  # what is selected is each panel's own
    assert "panel.session.classifier" in two.code
    made: dict[str, Any] = {"panel": two}
    exec(two.code, made)
    assert np.array_equal(made["maps"]["sparse", "gradcam"], two.maps()["sparse", "gradcam"])


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"methods": []}, "no method to show"),
        ({"methods": ["saliency", "magic"]}, "no saliency method 'magic'"),
        ({"methods": "saliency"}, "a list of names is needed"),
        ({"target": "swan"}, "no class 'swan'"),
        ({"target": 5}, "no class 5"),
        ({"sparsity": 1.0}, "0 ≤ sparsity < 1"),
        ({"pattern": "layer9"}, "'layer9'"),
        ({"solver": "magic"}, "no solver 'magic'"),
        ({"augmentations": 0}, "augmentations"),
        ({"seed": -1}, "seed"),
        ({"opacity": 2}, "opacity"),
        ({"colormap": "jet"}, "colormap"),
    ],
)
def test_what_it_cannot_be_opened_with(make_saliency: Make, options: dict[str, Any], said: str) -> None:
    with pytest.raises(InputError, match=said) as caught:
        make_saliency(**options)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "options", [{"samples": [0]}, {"weights": None}, {"class_names": ["a"]}, {"augmentations": 4}, {"seed": 0}]
)
@pytest.mark.parametrize("kind", ["panel", "session"])
def test_what_a_session_has_cannot_be_given(panel: Explorer, options: dict[str, Any], kind: str) -> None:
    source = panel if kind == "panel" else panel.session
    with pytest.raises(InputError, match=f"this {kind} has its own"):
        SaliencyPanel(source, **options)


BAD = [
    ("sample_id", "nonsense", "no sample with the id 'nonsense'"),
    ("sparsity", 1, "0 ≤ sparsity < 1"),
    ("sparsity", None, "not a number"),
    ("preset", "nonsense", "no preset 'nonsense'"),
    ("preset", "pattern", "matches ''"),
    ("pattern", None, "is no text"),
    ("solver", "magic", "no solver 'magic'"),
    ("methods", [], "no method to show"),
    ("methods", None, "a list of names is needed"),
    ("methods", "lrp", "a list of names is needed"),
    ("methods", ["lrp", "magic"], "no saliency method 'magic'"),
    ("methods", [["lrp"]], "no saliency method"),
    ("methods", [3], "no saliency method '3'"),
    ("target", 5, "classes are 0 to 4"),
    ("target", -2, "classes are 0 to 4"),
    ("target", "swan", "no class 'swan'"),
    ("target", 1.5, "index or the name"),
    ("target", True, "index or the name"),
    ("target", [1], "index or the name"),
    ("opacity", 1.1, "from 0 to 1"),
    ("opacity", float("nan"), "from 0 to 1"),
    ("opacity", "much", "from 0 to 1"),
    ("clip", 89, "from 90 to 100"),
    ("clip", True, "from 90 to 100"),
    ("colormap", "jet", "'viridis'"),
    ("colormap", None, "'viridis'"),
    ("scale", "other", "'same', 'own'"),
    ("signed", "yes", "neither True nor False"),
    ("outline", None, "neither True nor False"),
]


@pytest.mark.parametrize(("name", "value", "said"), BAD)
def test_bad_values_are_refused_and_the_former_ones_stay(
    saliency: SaliencyPanel, name: str, value: Any, said: str
) -> None:
    before, job = chosen(saliency), saliency._job
    with pytest.raises(InputError, match=re.escape(said)) as caught:
        setattr(saliency, name, value)
    assert "\n" not in str(caught.value)
    assert chosen(saliency) == before
    assert saliency._job is job  # nothing was started


def test_values_are_kept_as_the_page_wants_them(saliency: SaliencyPanel) -> None:
    for target, kept in (("dog", 3), (np.int64(2), 2), ("1", 1), (None, -1), (4, 4), (-1, -1)):
        saliency.target = target
        assert saliency.target == kept
        assert type(saliency.target) is int
    saliency.methods = ["gradcam", "saliency", "gradcam"]
    assert saliency.methods == ("gradcam", "saliency")
    saliency.opacity, saliency.clip, saliency.signed = np.float32(0.5), 95, np.bool_(False)
    assert (type(saliency.opacity), type(saliency.clip), type(saliency.signed)) == (float, float, bool)
    settle(saliency)
    assert list(saliency.cells) == ["dense/gradcam", "dense/saliency", "sparse/gradcam", "sparse/saliency"]


def test_how_maps_are_drawn_starts_nothing(saliency: SaliencyPanel) -> None:
    job, cells = saliency._job, saliency.cells
    saliency.opacity, saliency.colormap, saliency.signed = 0.5, "viridis", False
    saliency.clip, saliency.scale, saliency.outline = 99, "own", False
    assert saliency._job is job
    assert saliency.cells is cells


def test_what_is_on_screen_is_what_the_plain_calls_give(saliency: SaliencyPanel, tiny: ImageClassifier) -> None:
    saliency.sample, saliency.sparsity, saliency.preset, saliency.target = "second", 0.5, "all", "dog"
    settle(saliency)
    trace = sw.trace(tiny, saliency.sample, plan=sw.SparsityPlan.preset(tiny, 0.5, "all"), augmentations=4)
    assert saliency.trace is not None
    assert saliency.trace.digest == trace.digest
    maps = saliency.maps()
    assert list(maps) == [(n, m) for n in ("dense", "sparse") for m in saliency.methods]
    for (network, method), shown in maps.items():
        plain = sw.saliency(tiny if network == "dense" else trace, saliency.sample, "dog", method)
        assert np.array_equal(shown, plain)
        sent = np.frombuffer(getattr(saliency, f"map_{network}_{method}"), "<f4").reshape(32, 32)
        assert np.array_equal(sent, plain)
        cell = saliency.cells[f"{network}/{method}"]
        assert (cell["low"], cell["high"]) == (plain.min(), plain.max())
        assert cell["sum"] == pytest.approx(plain.sum(dtype=np.float64))
    saliency.maps()["dense", "saliency"][:] = 0  # a copy
    assert np.array_equal(saliency.maps()["dense", "saliency"], maps["dense", "saliency"])
    made: dict[str, Any] = {"panel": saliency}
    exec(saliency.code, made)
    assert all(np.array_equal(made["maps"][cell], maps[cell]) for cell in maps)


def test_a_sum_that_is_off_is_said_under_its_map(saliency: SaliencyPanel, monkeypatch: pytest.MonkeyPatch) -> None:
    settle(saliency)
    assert not saliency.cells["dense/saliency"]["note"]
    monkeypatch.setattr(sys.modules["spade_widgets.attribution.saliency"], "kept", lambda *_: "Sum off by 3%.")
    saliency.sample = "second"
    settle(saliency)
    assert {cell["note"] for cell in saliency.cells.values() if cell["state"] == "done"} == {"Sum off by 3%."}


def test_metrics_where_a_mask_is_known(saliency: SaliencyPanel) -> None:
    known = [cell["metrics"]["trojan_auc"] for cell in saliency.cells.values()]
    assert known == [None] * 4
    assert saliency.image["mask"] == b""
    saliency.sample = "second"
    settle(saliency)
    for cell in saliency.cells.values():
        assert 0 <= cell["metrics"]["trojan_auc"] <= 1
        assert 0 <= cell["metrics"]["pointing_game"] <= 1
        assert cell["metrics"]["insertion"] is None
    mask = np.frombuffer(saliency.image["mask"], np.uint8).reshape(32, 32)
    assert set(np.unique(mask)) == {0, 1}
    assert mask.sum() == 48
    assert saliency.image["sample_id"] == saliency.sample_id


def test_the_state_is_plain_values(saliency: SaliencyPanel) -> None:
    again = json.loads(json.dumps(saliency.state(), allow_nan=False))
    assert again["sample"] == "first"
    assert {*SELECTION, *VIEW, "trace", "predictions", "cells", "status", "error", "curves"} <= again.keys()


def test_nothing_is_there_before_it_is_computed(make_saliency: Make) -> None:
    with Gate():
        panel = make_saliency()
        assert panel.trace is None
        assert panel.maps() == {}
        assert not panel.wait(0.01)
    settle(panel)
    assert len(panel.maps()) == 4


@pytest.mark.skipif(not (CHECKOUT / "js").is_dir(), reason="the front end's source is not here")
def test_the_page_has_the_colour_maps_that_are_accepted() -> None:
    source = (CHECKOUT / "js/src/lib/colormaps.ts").read_text()
    assert set(re.findall(r'make\("(\w+)"', source)) == set(COLORMAPS) - {"auto"}
