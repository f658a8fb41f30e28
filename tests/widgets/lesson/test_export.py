"""`Explorer.export_html`: what is in the file, what is refused, and that there is a whole file or none."""

from __future__ import annotations

import base64
import io
import json
import re
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from widgets.page import Slow, picture, pixels

import spade_widgets as sw
from spade_widgets.errors import InputError
from spade_widgets.inspection import strongest
from spade_widgets.visualization import Renderer
from spade_widgets.widgets.common import images
from spade_widgets.widgets.explorer.panel import Explorer
from spade_widgets.widgets.lesson import export as module

SMALL: dict[str, Any] = {"neurons": ["logit:1", "3:2"], "sparsities": [0.5, 0.9]}


def recording(path: Path) -> dict[str, Any]:
    found = re.search(r'<script type="application/json" id="recording">(.*?)</script>', path.read_text("utf-8"), re.S)
    assert found
    read: dict[str, Any] = json.loads(found[1])
    return read


def image(lesson: dict[str, Any], number: int) -> Any:
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(lesson["images"][number]))).convert("RGB"))


def test_every_picture_is_what_python_makes(panel: Explorer, tmp_path: Path) -> None:
    lesson = recording(panel.export_html(tmp_path / "lesson.html", **SMALL))
    classifier = panel.session.classifier
    assert lesson["neurons"] == ["logit:bee", "3:2"]
    assert lesson["sparsities"] == [0.5, 0.9]
    assert [sample["title"] for sample in lesson["samples"]] == ["first", "second"]
    for neuron, shot in zip(lesson["neurons"], lesson["dense"], strict=True):
        expected = sw.visualize(classifier, neuron, steps=4)
        assert np.array_equal(image(lesson, shot["image"]), np.asarray(expected))
    plan = sw.SparsityPlan.preset(classifier, 0.9, panel.preset)
    for sample, recorded in zip(panel.session.samples, lesson["samples"], strict=True):
        trace = sw.trace(classifier, sample, plan=plan, augmentations=4)
        told = recorded["traces"][1]
        assert (told["facts"]["kept"], told["facts"]["total"]) == (trace.kept, trace.total)
        for neuron, shot in zip(lesson["neurons"], told["pictures"], strict=True):
            renderer = Renderer(trace, neuron)  # `sw.visualize` refuses a neuron that nothing reaches
            for _ in range(4):
                renderer.step()
            assert np.array_equal(image(lesson, shot["image"]), np.asarray(renderer.picture()))
        rows = {row["name"]: row["sparse"] for row in told["rows"]}
        for said in sw.predict(trace, sample, top=3):
            assert rows[said.name] == pytest.approx(said.probability, abs=1e-6)
        assert recorded["excitements"][0] is None
        assert recorded["excitements"][1]["activation"] == pytest.approx(
            dict(strongest(classifier, sample, "3"))[2], abs=1e-5
        )


def test_of_pictures_that_begin_at_the_sample_each_sample_has_dense_ones_too(panel: Explorer, tmp_path: Path) -> None:
    panel.image, panel.near = "sample", 0.7
    lesson = recording(panel.export_html(tmp_path / "lesson.html", **SMALL))
    assert (lesson["image"], lesson["dense"]) == ("sample", [])
    assert any("its own object is in them by construction" in note for note in lesson["notes"])
    for sample, recorded in zip(panel.session.samples, lesson["samples"], strict=True):
        for neuron, shot in zip(lesson["neurons"], recorded["dense"], strict=True):
            options = {"image": "sample", "sample": sample, "near": 0.7}
            expected = sw.visualize(panel.session.classifier, neuron, steps=4, **options)
            assert np.array_equal(image(lesson, shot["image"]), np.asarray(expected))
    assert lesson["samples"][0]["dense"][0]["image"] != lesson["samples"][1]["dense"][0]["image"]


def test_it_begins_where_the_panel_is(panel: Explorer, tmp_path: Path) -> None:
    panel.sample, panel.neuron, panel.sparsity = 1, "3:2", 0.85
    lesson = recording(panel.export_html(tmp_path / "lesson.html", **SMALL))
    assert lesson["start"] == {"sample": 1, "neuron": 1, "sparsity": 1}
    lesson = recording(panel.export_html(tmp_path / "lesson.html", samples=0, neurons="logit:1", sparsities=0.5))
    assert lesson["start"] == {"sample": 0, "neuron": 0, "sparsity": 0}


def test_unasked_it_takes_what_is_selected_and_some_others(
    make: Callable[..., Explorer], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(module, "SPARSITIES", (0.5, 0.9))
    monkeypatch.setattr(module, "SAMPLES", 2)
    panel = make(samples=[picture(i, f"sample {i}") for i in range(4)], sparsity=0.7, steps=1)
    panel.sample = 3
    best = f"logit:{panel.session.probabilities(panel.session.classifier, panel.sample).argmax()}"
    panel.neuron = best
    best = panel.neuron  # by its name
    lesson = recording(panel.export_html(tmp_path / "lesson.html"))
    assert [sample["title"] for sample in lesson["samples"]] == ["sample 0", "sample 3"]
    assert lesson["sparsities"] == [0.5, 0.7, 0.9]
    channel = strongest(panel.session.classifier, panel.sample, "3")[0][0]
    assert lesson["neurons"] == [best, f"3:{channel}"]
    panel.neuron = "3:1"
    assert recording(panel.export_html(tmp_path / "lesson.html"))["neurons"] == ["3:1", best]


def test_samples_are_named_as_the_panel_names_them(panel: Explorer, tmp_path: Path) -> None:
    Image.fromarray(pixels(7)).save(tmp_path / "new.png")
    wanted = ["second", 0, panel.session.samples[1].id, tmp_path / "new.png"]
    lesson = recording(panel.export_html(tmp_path / "a.html", samples=wanted, neurons="logit:1", sparsities=0))
    assert [sample["title"] for sample in lesson["samples"]] == ["second", "first", "new"]
    assert [row["title"] for row in panel.samples] == ["first", "second", "new"]


def test_each_image_is_there_once(panel: Explorer, tmp_path: Path) -> None:
    lesson = recording(panel.export_html(tmp_path / "lesson.html", samples=[0, 1], neurons="logit:1", sparsities=0))
    assert len(set(lesson["images"])) == len(lesson["images"])
    dense = lesson["dense"][0]["image"]
    assert [sample["traces"][0]["pictures"][0]["image"] for sample in lesson["samples"]] == [dense, dense]


def test_what_is_known_is_not_computed_again(panel: Explorer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    panel.export_html(tmp_path / "lesson.html", **SMALL)
    before = (tmp_path / "lesson.html").read_bytes()

    def never(_renderer: Renderer) -> float:
        raise AssertionError("a step was done again")

    monkeypatch.setattr(Renderer, "step", never)
    panel.export_html(tmp_path / "lesson.html", **SMALL)
    assert (tmp_path / "lesson.html").read_bytes() == before


def test_titles_are_text(make: Callable[..., Explorer], tmp_path: Path) -> None:
    nasty = "</script><!--<script>alert(1)</script>\udcff"
    panel = make(samples=[picture(0, nasty)])
    path = panel.export_html(tmp_path / "lesson.html", title=f"</title>{nasty}", **SMALL)
    text = path.read_text("utf-8")
    assert [text.count(tag) for tag in ("<script", "</script>", "</title>", "<!--")] == [2, 2, 1, 1]
    lesson = recording(path)
    assert lesson["samples"][0]["title"] == nasty
    assert lesson["title"] == f"</title>{nasty}"


def test_the_page_may_load_nothing_and_run_its_own_script_alone(panel: Explorer, tmp_path: Path) -> None:
    text = panel.export_html(tmp_path / "lesson.html", **SMALL).read_text("utf-8")
    policy = re.search(r'http-equiv="Content-Security-Policy" content="([^"]*)"', text)
    assert policy
    rules = dict(rule.strip().split(" ", 1) for rule in policy[1].split(";"))
    assert rules["default-src"] == "'none'"
    assert "unsafe" not in policy[1]
    assert "http" not in policy[1]
    assert not re.search(r'(src|href)="(?!data:)', text)


def test_it_says_its_size_before_it_writes(
    panel: Explorer, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    said: list[str] = []
    write = module.Place.write

    def watched(place: Any, text: str) -> None:
        said.append(capsys.readouterr().out)
        write(place, text)

    monkeypatch.setattr(module.Place, "write", watched)
    path = panel.export_html(tmp_path / "lesson.html", **SMALL)
    size = path.stat().st_size / 1e6
    assert said[0].splitlines()[-1] == f"lesson.html: 2 samples × 2 neurons × 2 sparsities, {size:.1f} MB"


def test_it_says_how_far_it_is(
    panel: Explorer, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "SAID_EVERY", 0.01)
    panel.export_html(tmp_path / "lesson.html", **SMALL)
    assert re.search(r"^  \d+ of 10 pictures, about \d+ s left$", capsys.readouterr().out, re.M)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"path": "lesson.pdf"}, "has to end in .html"),
        ({"path": 5}, "int is no path"),
        ({"path": "nowhere/lesson.html"}, "no folder 'nowhere'"),
        ({"max_mb": 0}, "max_mb=0 is no size"),
        ({"max_mb": "much"}, "max_mb='much' is no size"),
        ({"max_mb": 0.001}, "more than max_mb=0.001"),
        ({"max_mb": 0.06}, "more than max_mb=0.06"),  # the images fit, the script comes on top
        ({"samples": []}, "list of samples is empty"),
        ({"samples": 2}, "no sample 2: they are numbered 0 to 1"),
        ({"samples": "third"}, "no file 'third'"),
        ({"neurons": []}, "without neurons would be empty"),
        ({"neurons": "3:99"}, "no channel 99"),
        ({"neurons": None, "sparsities": [0.5, 1]}, "sparsity 1 is outside"),
        ({"sparsities": ()}, "without sparsities would be empty"),
        ({"sparsities": "much"}, "'much' is not a number"),
    ],
)
def test_bad_input_is_refused_and_nothing_written(
    panel: Explorer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, options: dict[str, Any], said: str
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError, match=re.escape(said)):
        panel.export_html(**{**SMALL, **options})
    assert list(tmp_path.iterdir()) == []


def test_only_a_lesson_is_replaced_unasked(panel: Explorer, tmp_path: Path) -> None:
    path = tmp_path / "lesson.html"
    path.write_text("<!doctype html>\nmy own")
    with pytest.raises(InputError, match="is no lesson: overwrite=True"):
        panel.export_html(path, **SMALL)
    assert path.read_text() == "<!doctype html>\nmy own"
    panel.export_html(path, overwrite=True, **SMALL)
    panel.export_html(path, samples=0, **SMALL)
    assert len(recording(path)["samples"]) == 1
    (tmp_path / "folder.html").mkdir()
    with pytest.raises(InputError, match="is a folder"):
        panel.export_html(tmp_path / "folder.html", **SMALL)


def test_a_disk_that_is_full_leaves_what_was_there(
    panel: Explorer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = panel.export_html(tmp_path / "lesson.html", **SMALL)
    before = path.read_bytes()

    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_text", full)
    with pytest.raises(InputError, match="cannot be written: No space left"):
        panel.export_html(path, **SMALL)
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


def test_interrupted_it_leaves_no_file_and_no_work(
    panel: Explorer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    slow = Slow(monkeypatch, allowed=3)

    def interrupt(_progress: object, _seconds: float) -> str:
        assert slow.reached.wait(60)
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(module, "SAID_EVERY", 0.01)
        patched.setattr(module, "_line", interrupt)
        with pytest.raises(KeyboardInterrupt):
            panel.export_html(tmp_path / "lesson.html", **SMALL)
    assert list(tmp_path.iterdir()) == []
    taken = slow.taken
    time.sleep(0.2)
    assert slow.taken <= taken + 1
    slow.allowed = 10**6
    assert panel.export_html(tmp_path / "lesson.html", **SMALL).exists()


def test_the_panel_goes_on_meanwhile(panel: Explorer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    slow = Slow(monkeypatch, allowed=3)
    writing = threading.Thread(target=lambda: panel.export_html(tmp_path / "lesson.html", **SMALL))
    writing.start()
    assert slow.reached.wait(60)
    panel.sparsity = 0.3
    assert panel.wait(60)
    assert panel.sparse["state"] == "done"
    assert writing.is_alive()
    slow.allowed = 10**6
    writing.join(60)
    assert (tmp_path / "lesson.html").exists()


def test_what_goes_wrong_on_the_worker_is_raised(
    panel: Explorer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(_renderer: Renderer) -> float:
        raise sw.ModelError("No picture today.")

    monkeypatch.setattr(Renderer, "step", broken)
    with pytest.raises(sw.ModelError, match="No picture today"):
        panel.export_html(tmp_path / "lesson.html", **SMALL)
    assert list(tmp_path.iterdir()) == []


def test_small_pictures_lose_nothing_and_large_ones_little() -> None:
    small = Image.fromarray(pixels(0, 96))
    assert np.array_equal(np.asarray(Image.open(io.BytesIO(images.webp(small))).convert("RGB")), np.asarray(small))
    smooth = Image.fromarray(pixels(0, 14)).resize((224, 224), Image.Resampling.BICUBIC)
    data = images.webp(smooth)
    error = np.asarray(Image.open(io.BytesIO(data)).convert("RGB")).astype(float) - np.asarray(smooth)
    assert np.abs(error).mean() < 8
    assert len(data) < len(images.png(smooth)) / 3


def test_without_webp_pictures_are_png(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(images.features, "check", lambda _name: False)
    assert images.webp(Image.fromarray(pixels(0))).startswith(b"\x89PNG")
