"""The Explorer from Python: what it opens on, what can be read and set, what is refused."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn
from widgets.page import Gate, Page, opened, picture, pixels, settle

import spade_widgets as sw
from spade_widgets.classifier import ImageClassifier
from spade_widgets.demo import photos
from spade_widgets.errors import InputError, ModelError
from spade_widgets.widgets.explorer.panel import Explorer
from spade_widgets.widgets.explorer.wire import SELECTION

Make = Callable[..., Explorer]


def selection(panel: Explorer) -> dict[str, Any]:
    return {name: getattr(panel, name) for name in SELECTION}


def test_the_built_in_classifier(make: Make) -> None:
    panel = make(None)
    settle(panel)
    assert panel.error == ""
    assert panel.session.classifier is photos.classifier()
    assert [row["id"] for row in panel.samples] == [sample.id for sample in photos.samples()]
    assert panel.status["state"] == "idle"
    assert panel.trace is not None
    assert panel.app["classes"] == list(photos.classifier().class_names)
    assert panel.dense["state"] == panel.sparse["state"] == "done"


def test_a_torchvision_name_with_random_weights(make: Make) -> None:
    panel = make("squeezenet1_1", weights=None, augmentations=1, steps=1)
    settle(panel)
    assert panel.error == ""
    assert panel.dense["state"] == panel.sparse["state"] == "done"
    assert panel.app["input"] == [224, 224]


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_a_module_in_train_mode_in_its_own_precision(
    make: Make, tiny_model: nn.Module, tiny: ImageClassifier, dtype: torch.dtype
) -> None:
    model = tiny_model.to(dtype).train()
    panel = make(model, class_names=list("abcde"), preprocess=tiny._preprocess)
    settle(panel)
    assert panel.error == ""
    assert panel.dense["state"] == panel.sparse["state"] == "done"
    assert panel.trace is not None
    assert {weight.dtype for weight in panel.trace.weights().values()} == {dtype}
    assert model.training
    assert all(part.training for part in model.modules())


def test_unknown_keywords_are_refused(tiny: ImageClassifier) -> None:
    with pytest.raises(TypeError, match="sparsitty"):
        Explorer(tiny, samples=picture(0), sparsitty=0.5)  # type: ignore[call-arg]


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"sparsity": 1.0}, "0 ≤ sparsity < 1"),
        ({"sparsity": "much"}, "'much' is not a number"),
        ({"neuron": "3:99"}, "no channel 99"),
        ({"neuron": "logit:swan"}, "no class 'swan'"),
        ({"preset": "nonsense"}, "no preset 'nonsense'"),
        ({"preset": "paper-saliency"}, "no preset 'paper-saliency'"),
        ({"pattern": "layer9"}, "'layer9'"),
        ({"solver": "magic"}, "no solver 'magic'"),
        ({"augmentations": 0}, "augmentations"),
        ({"steps": 0}, "steps"),
        ({"seed": -1}, "seed"),
        ({"samples": []}, "empty"),
    ],
)
def test_what_it_cannot_be_opened_with(make: Make, options: dict[str, Any], said: str) -> None:
    with pytest.raises(InputError, match=said) as caught:
        make(**options)
    assert "\n" not in str(caught.value)


def test_what_it_is_opened_with(make: Make) -> None:
    panel = make(sparsity=0.25, neuron="3:2@1,1", pattern="3, 7", steps=2, augmentations=3, seed=9)
    assert (panel.sparsity, panel.neuron, panel.preset, panel.pattern) == (0.25, "3:2@1,1", "pattern", "3, 7")
    settle(panel)
    assert panel.trace is not None
    assert (panel.trace.augmentations, panel.trace.seed) == (3, 9)
    assert panel.trace.plan.sparsities == {"3": 0.25, "7": 0.25}
    assert panel.dense["steps"] == panel.dense["step"] == 2


def test_it_begins_with_the_class_of_the_first_sample_and_the_last_maps(panel: Explorer, tiny: ImageClassifier) -> None:
    assert panel.neuron == f"logit:{sw.predict(tiny, panel.sample)[0].name}"
    assert panel.layer == "3"
    assert panel.sample.title == "first"


@pytest.fixture
def unlike(make: Make, tiny: ImageClassifier) -> Explorer:
    """A panel whose first sample is taken for another class than some other one is."""
    colours = ["white", "black", "red", "lime", "blue", "yellow", "cyan", "magenta"]
    plain = [sw.Sample(Image.new("RGB", (32, 32), colour), colour) for colour in colours]
    said = [sw.predict(tiny, sample)[0].name for sample in plain]
    other = next(i for i, name in enumerate(said) if name != said[0])
    return make(tiny, samples=[plain[0], plain[other]])


def test_the_predicted_class_follows_until_a_neuron_is_chosen(unlike: Explorer, tiny: ImageClassifier) -> None:
    def predicted() -> str:
        return f"logit:{sw.predict(tiny, unlike.sample)[0].name}"

    settle(unlike)
    first = unlike.neuron
    for number in (1, 0, 1):
        unlike.sample = number
        settle(unlike)
        assert unlike.neuron == predicted()
        assert (unlike.neuron == first) == (number == 0)
        assert unlike.dense["neuron"] == unlike.sparse["neuron"] == unlike.neuron
        assert unlike.neuron in unlike.code
    unlike.neuron = predicted()  # chosen as it is
    unlike.sample = 0
    settle(unlike)
    assert unlike.neuron != predicted()


def test_a_neuron_chosen_on_the_page_or_at_first_stays(make: Make, unlike: Explorer, tiny: ImageClassifier) -> None:
    settle(unlike)
    chosen = unlike.neuron
    unlike.set_state({"neuron": chosen})
    named = make(tiny, samples=unlike.session.samples, neuron=chosen)
    for panel in (unlike, named):
        panel.sample = 1
        settle(panel)
        assert panel.neuron == chosen


def test_a_refused_neuron_is_no_choice(unlike: Explorer) -> None:
    settle(unlike)
    before = unlike.neuron
    with pytest.raises(InputError):
        unlike.neuron = "logit:nobody"
    unlike.sample = 1
    settle(unlike)
    assert unlike.neuron != before


class AmongOthers(nn.Module):
    """Logits that depend on the other images."""

    def forward(self, logits: torch.Tensor) -> torch.Tensor:
        return logits - logits.mean(0) / 2


def test_what_is_not_as_usual_about_the_model_is_said(make: Make, tiny_model: nn.Module, tiny: ImageClassifier) -> None:
    def remarks(*ends: nn.Module) -> list[str]:
        model = nn.Sequential(tiny_model, *ends).eval()
        panel = make(model, class_names=list("abcde"), preprocess=tiny._preprocess)
        said = list(panel.app["remarks"])
        settle(panel)
        assert all(remark in panel._still().facts["Classifier"] for remark in said)
        return said

    assert remarks() == []
    assert [remark.split(":")[0] for remark in remarks(nn.Softmax(1))] == ["Sequential ends in a softmax"]
    (alone,) = remarks(AmongOthers())
    assert "one image at a time, which is slow" in alone


def test_samples_are_chosen_in_many_ways(panel: Explorer, tmp_path: Path) -> None:
    first, second = panel.session.samples
    ways: list[tuple[Any, Any]] = [
        (1, second), (0, first), (-1, second), (np.int64(0), first), ("second", second), (first.id, first),
        (second, second),
    ]  # fmt: skip
    for value, expected in ways:
        panel.sample = value
        assert panel.sample is expected
        assert panel.sample_id == expected.id
    assert len(panel.samples) == 2
    path = tmp_path / "goose <b>.png"
    Image.fromarray(pixels(7)).save(path)
    for i, value in enumerate((path, pixels(8), torch.rand(3, 9, 9), Image.fromarray(pixels(9)))):
        panel.sample = value
        assert len(panel.samples) == 3 + i
        assert panel.samples[-1]["id"] == panel.sample_id == panel.sample.id
    assert panel.samples[2]["title"] == "goose <b>"  # text, as it is
    panel.sample = str(path)  # the same once more
    assert len(panel.samples) == 6
    assert panel.sample.title == "goose <b>"


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("sample", 2, "numbered 0 to 1"),
        ("sample", -3, "numbered 0 to 1"),
        ("sample", "nowhere.png", "no file 'nowhere.png'"),
        ("sample", 1.5, "float is not an image"),
        ("sample_id", "nonsense", "no sample with the id 'nonsense'"),
        ("sample_id", ["x"], "is no text"),
        ("sparsity", 1, "0 ≤ sparsity < 1"),
        ("sparsity", -0.1, "0 ≤ sparsity < 1"),
        ("sparsity", float("nan"), "0 ≤ sparsity < 1"),
        ("sparsity", "a lot", "not a number"),
        ("sparsity", None, "not a number"),
        ("neuron", "3", "is not a neuron"),
        ("neuron", "3:16", "channels 0 to 15"),
        ("neuron", "3:2@99,0", "positions"),
        ("neuron", "nowhere:1", "no layer 'nowhere'"),
        ("neuron", "logit:swan", "no class 'swan'"),
        ("neuron", None, "is not a neuron"),
        ("layer", "nowhere", "no layer 'nowhere'"),
        ("layer", 3, "is no text"),
        ("preset", "nonsense", "no preset 'nonsense'"),
        ("preset", "pattern", "matches ''"),
        ("preset", {"a": 1}, "is no text"),
        ("pattern", None, "is no text"),
        ("solver", "magic", "no solver 'magic'"),
        ("solver", ["fast"], "is no text"),
    ],
)
def test_bad_values_are_refused_and_the_former_ones_stay(panel: Explorer, name: str, value: Any, said: str) -> None:
    before, job, error = selection(panel), panel._job, panel.error
    with pytest.raises(InputError, match=said) as caught:
        setattr(panel, name, value)
    assert "\n" not in str(caught.value)
    assert selection(panel) == before
    assert panel._job is job  # nothing was started
    assert panel.error == error == ""
    panel.sparsity = 0.3
    settle(panel)
    assert panel.trace_summary["sparsity"] == 0.3


def test_a_bad_pattern_is_refused_while_it_is_in_use(panel: Explorer) -> None:
    panel.pattern = "3"
    panel.preset = "pattern"
    settle(panel)
    assert panel.trace is not None
    assert panel.trace.plan.layers == ("3",)
    with pytest.raises(InputError, match="'layer9'"):
        panel.pattern = "layer9"
    assert panel.pattern == "3"


def test_values_are_kept_as_the_page_wants_them(panel: Explorer, tiny: ImageClassifier) -> None:
    panel.sparsity = np.float32(0.5)
    assert type(panel.sparsity) is float
    panel.neuron = tiny.neuron("3:2@1,1")
    assert panel.neuron == "3:2@1,1"
    panel.neuron = "logit:0"
    assert panel.neuron == "logit:ant"


def test_what_is_on_screen_is_what_the_plain_calls_give(panel: Explorer, tiny: ImageClassifier) -> None:
    panel.sample, panel.sparsity, panel.neuron, panel.layer, panel.preset = 1, 0.5, "3:2", "0", "all"
    settle(panel)
    trace = sw.trace(tiny, panel.sample, plan=sw.SparsityPlan.preset(tiny, 0.5, "all"), augmentations=4)
    assert panel.trace is not None
    assert panel.trace.digest == trace.digest
    for network, shown, data in (
        (tiny, panel.dense_image, panel.dense_file),
        (trace, panel.sparse_image, panel.sparse_file),
    ):
        plain = sw.visualize(network, "3:2", steps=4)
        assert shown is not None
        assert shown.tobytes() == opened(data).tobytes() == plain.tobytes()
    rows = panel.predictions["rows"]
    assert [row["name"] for row in rows] == [p.name for p in sw.predict(tiny, panel.sample)]
    assert [row["dense"] for row in rows] == [p.probability for p in sw.predict(tiny, panel.sample)]
    sparse = {p.index: p.probability for p in sw.predict(trace, panel.sample, top=5)}
    assert {row["index"]: row["sparse"] for row in rows} == sparse
    from spade_widgets.inspection import strongest

    listed = [(row["channel"], row["activation"]) for row in panel.channels["rows"]]
    assert listed == strongest(tiny, panel.sample, "0", 24)
    assert panel.channels["total"] == 8
    summary = panel.trace_summary
    assert (summary["kept"], summary["total"], summary["sparsity"]) == (trace.kept, trace.total, 0.5)
    assert [row["name"] for row in summary["layers"]] == ["3", "7"]
    assert [(r["kept"], r["total"], r["error"]) for r in summary["layers"]] == [
        (r.kept, r.total, r.error) for r in trace.stats()
    ]
    assert 0.5 in panel.solved  # with such neighbours as were solved since


def test_the_state_is_plain_values(panel: Explorer) -> None:
    state = panel.state()
    again = json.loads(json.dumps(state, allow_nan=False))
    assert again["sample"] == "first"
    assert {
        "sparsity",
        "neuron",
        "layer",
        "preset",
        "pattern",
        "solver",
        "trace",
        "predictions",
        "status",
    } <= again.keys()


def test_nothing_is_there_before_it_is_computed(make: Make) -> None:
    with Gate():
        panel = make()
        assert panel.trace is None
        assert panel.dense_image is None
        assert panel.sparse_image is None
        assert panel.dense_file == b""
        assert not panel.wait(0.01)
    settle(panel)
    assert panel.trace is not None
    assert panel.dense_image is not None


def test_looking_at_pictures_makes_none(make: Make) -> None:
    """A renderer made by who looks would be another than the one that the worker goes on with."""
    with Gate():
        panel = make()
        assert panel.dense_image is None
        assert (
            panel.session.known_renderer(panel.session.classifier, panel.session.classifier.neuron(panel.neuron))
            is None
        )


def test_solved_sparsities_grow(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("spade_widgets.widgets.explorer.panel.ahead", lambda *_: iter(()))  # neighbours come after
    panel = make()
    settle(panel)
    assert panel.solved == [0.8]
    for sparsity in (0.3, 0.6):
        panel.sparsity = sparsity
        settle(panel)
    assert panel.solved == [0.3, 0.6, 0.8]
    panel.sample = 1
    settle(panel)
    assert panel.solved == [0.6]


def test_a_preprocessing_that_fails_on_one_sample(make: Make, tiny_model: nn.Module, tiny: ImageClassifier) -> None:
    def picky(image: Image.Image) -> Any:
        if image.size == (33, 33):
            raise RuntimeError("33 is not my size\nand never was")
        return tiny._preprocess(image)

    panel = make(tiny_model, preprocess=picky)
    settle(panel)
    before = list(panel.samples)
    with pytest.raises((InputError, ModelError), match="33 is not my size") as caught:
        panel.sample = pixels(3, 33)
    assert "\n" not in str(caught.value)
    assert panel.samples == before
    assert len(panel.session.samples) == 2
    panel.sample = pixels(3, 34)
    settle(panel)
    assert len(panel.samples) == 3
    assert panel.predictions["sample_id"] == panel.sample_id


@pytest.mark.parametrize("pruning", [{"preset": "all"}, {"pattern": "3, 7"}])
@pytest.mark.parametrize("kind", ["file", "kernel"])
def test_the_code_on_screen_makes_both_pictures_again(
    make: Make, tmp_path: Path, pruning: dict[str, Any], kind: str
) -> None:
    path = tmp_path / 'it\'s "it".png'
    Image.fromarray(pixels(4)).save(path)
    panel = make(samples=[picture(0), path if kind == "file" else pixels(4)], sparsity=0.7, **pruning)
    panel.sample = 1
    panel.neuron = "3:2@1,1"
    settle(panel)
    code, shown = panel.code, (panel.dense_image, panel.sparse_image)
    panel.sample = 0  # what is on screen later does not matter to code that was copied
    made: dict[str, Any] = {"explorer": panel}
    exec(code, made)
    assert made["dense_image"].tobytes() == shown[0].tobytes()  # type: ignore[union-attr]
    assert made["sparse_image"].tobytes() == shown[1].tobytes()  # type: ignore[union-attr]


def test_the_code_for_the_built_in_classifier_needs_no_panel(make: Make) -> None:
    panel = make(None, steps=2)
    panel.sample, panel.sparsity = 3, 0.8
    settle(panel)
    made: dict[str, Any] = {}
    exec(panel.code, made)
    for which, image in (("dense_image", panel.dense_image), ("sparse_image", panel.sparse_image)):
        assert image is not None
        assert made[which].tobytes() == image.tobytes()


def test_everything_the_page_gets_is_json_and_bytes(make: Make) -> None:
    panel = make(samples=[picture(0, "<b>bold</b> & <script>"), picture(1)], class_names=None)
    page = Page(panel)  # it fails on what is neither
    settle(panel)
    page.panel.send_state()
    (whole,) = (state for state in page.updates if "samples" in state)
    assert whole["samples"][0]["title"] == "<b>bold</b> & <script>"
    state = panel.get_state()
    assert isinstance(state["dense_file"], bytes)
    assert opened(state["thumbs_0"][0]).size == (32, 32)
    for row in state["channels"]["rows"]:
        assert max(opened(row["map"]).size) <= 96
