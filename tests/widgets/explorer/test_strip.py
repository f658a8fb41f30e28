"""The strip of examples: what it shows of which photographs, when it works, and what is said of it elsewhere."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from widgets.kernel import Kernel, Outputs
from widgets.page import Gate, Page, flush, opened, picture, png, settle

import spade_widgets as sw
from spade_widgets.errors import InputError
from spade_widgets.inspection.examples import Index, kept
from spade_widgets.widgets.common.examples import CROP
from spade_widgets.widgets.explorer.panel import Explorer
from spade_widgets.widgets.explorer.stills import explorer_still

PHOTOS = 12


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Photographs, of which each is as bright as no other, and one file that is none."""
    made = tmp_path / "my photos"
    made.mkdir()
    for seed in range(PHOTOS):
        noise = np.random.default_rng(seed)
        pixels = noise.random((32, 32, 3)) * 120 + noise.integers(0, 130)
        Image.fromarray(pixels.astype(np.uint8)).save(made / f"photo {seed:02}.png")
    (made / "torn.png").write_bytes(png(0)[:60])
    return made


@pytest.fixture
def looked(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many images each look was at, one at a time."""
    taken: list[int] = []
    look = Index._look

    def counted(index: Index, group: Any) -> None:
        taken.append(len(group))
        look(index, group)

    monkeypatch.setattr(Index, "_look", counted)
    monkeypatch.setattr("spade_widgets.inspection.examples.index.together", lambda _classifier: 1)
    return taken


def shown(panel: Explorer) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = panel.state()["examples"]
    return found


def test_nine_examples_of_the_folder_and_what_the_trace_keeps(make: Callable[..., Explorer], folder: Path) -> None:
    panel = make(photos=folder, neuron="3:2")
    settle(panel)
    assert panel.error == ""
    asked = sw.examples(panel.session.classifier, "3:2", folder, 9)
    rows = panel.strip_examples["rows"]
    assert [(row["id"], row["title"], row["value"]) for row in rows] == [(e.id, e.title, e.value) for e in asked]
    assert (panel.exceptional["seen"], panel.exceptional["examples"]) == (PHOTOS, PHOTOS)
    for row in rows:
        crop = opened(row["crop"])
        assert max(crop.size) <= CROP
        assert np.asarray(crop).std() > 1
    assert panel.trace is not None
    assert [row["kept"] for row in shown(panel)] == pytest.approx(list(kept(panel.trace, "3:2", asked)))
    told = panel.photo_index
    assert (told["state"], told["own"], told["total"], told["done"]) == ("idle", False, PHOTOS + 1, PHOTOS + 1)
    assert [sentence.split("'")[1] for sentence in told["left_out"]] == ["torn.png"]
    assert panel.examples is not None
    assert [example.id for example in panel.examples] == [row["id"] for row in rows]
    assert panel.photos[0] == folder / "photo 00.png"
    value = panel.session.maps(panel.sample, "3")[2].max()
    assert panel.state()["percentile"] == pytest.approx(asked.percentile(float(value)))
    panel.strip_count = 99
    settle(panel)
    assert len(panel.strip_examples["rows"]) == PHOTOS


def test_another_sparsity_sends_what_is_kept_and_no_picture_again(make: Callable[..., Explorer], folder: Path) -> None:
    panel = make(photos=folder, neuron="3:2")
    settle(panel)
    page = Page(panel)
    before = {row["id"]: row["kept"] for row in shown(panel)}
    panel.sparsity = 0.3
    assert all(row["kept"] is None for row in shown(panel))  # the last trace's are not passed off as this one's
    settle(panel)
    after = {row["id"]: row["kept"] for row in shown(panel)}
    assert after.keys() == before.keys()
    assert after != before
    assert page.told("strip_examples") == []
    assert len(page.told("strip_kept")) >= 1
    page.set(strip_order="kept")
    shares = [row["kept"] for row in shown(panel)]
    assert shares == sorted(shares, reverse=True)


def test_an_example_is_made_the_sample(make: Callable[..., Explorer], folder: Path) -> None:
    panel = make(photos=folder, neuron="3:2")
    settle(panel)
    page, chosen = Page(panel), panel.strip_examples["rows"][3]
    page.say("example", id=chosen["id"])
    flush()
    assert (panel.sample_id, panel.sample.title) == (chosen["id"], chosen["title"])
    settle(panel)
    assert f"sample = {str(folder / chosen['title'])!r}"[:-1] in panel.code
    page.say("example", id="nonsense")
    flush()
    assert (panel.sample_id, panel.error) == (chosen["id"], "")


def test_copied_code_finds_the_same(make: Callable[..., Explorer], folder: Path) -> None:
    panel = make(photos=folder, neuron="3:2")
    settle(panel)
    assert f"photos = {str(folder)!r}" in panel.code
    made: dict[str, Any] = {"explorer": panel}
    exec(panel.code, made)
    assert [example.id for example in made["examples"]] == [row["id"] for row in shown(panel)]
    assert list(made["shares"]) == pytest.approx([row["kept"] for row in shown(panel)])
    panel.photos = sorted(folder.glob("*0*.png"))
    assert f"    {str(folder / 'photo 00.png')!r}," in panel.code
    panel.photos = None
    assert "photos = [\n    explorer.session.sample(" in panel.code
    panel.strip = False
    assert "photos" not in panel.code


def test_the_samples_serve_and_one_more_is_looked_at_alone(make: Callable[..., Explorer], looked: list[int]) -> None:
    panel = make(neuron="3:2")
    settle(panel)
    assert panel.photo_index["own"]
    assert looked == [1, 1]
    page = Page(panel)
    panel._add(picture(7, "third"))
    flush()
    settle(panel)
    assert looked == [1, 1, 1]
    assert page.told("channels") == []  # no map is sent again
    assert {row["title"] for row in shown(panel)} == {"first", "second", "third"}


def test_dropped_photographs_take_the_place_of_the_samples(make: Callable[..., Explorer]) -> None:
    panel = make(neuron="3:2", strip=False)
    settle(panel)
    page = Page(panel)
    for number in range(3):
        page.say("photos", [png(number)], files=[{"name": f"dropped {number}.png"}])
    flush()
    settle(panel)
    assert [message for message, _ in page.messages if message["type"] == "photos taken"] == [
        {"type": "photos taken", "files": 1}
    ] * 3
    assert panel.strip
    assert (panel.photo_index["own"], panel.photo_index["total"]) == (False, 3)
    assert {row["title"] for row in shown(panel)} == {f"dropped {number}" for number in range(3)}
    assert "photos = explorer.photos" in panel.code
    assert len(panel.samples) == 2


def test_nothing_is_looked_at_while_nobody_wants_it(
    make: Callable[..., Explorer], folder: Path, looked: list[int]
) -> None:
    panel = make(photos=folder, neuron="3:2", strip=False)
    settle(panel)
    flush()
    assert looked == []
    assert (panel.strip_examples["rows"], panel.state()["percentile"], panel.examples) == ([], None, None)
    panel.channel_order = "percentile"
    settle(panel)
    assert sum(looked) == PHOTOS + 1
    assert panel.channels["order"] == "percentile"
    listed = [row["channel"] for row in panel.channels["rows"]]
    assert [channel for channel, _ in panel.channel_shares["rows"]] == listed
    shares = [share for _, share in panel.channel_shares["rows"]]
    assert shares == sorted(shares, reverse=True)
    maps = panel.session.maps(panel.sample, panel.layer).max(axis=(1, 2))
    told = panel.gallery.percentiles(panel.layer, maps)
    assert told is not None
    assert shares == [told[channel] for channel in listed]
    assert panel.strip_examples["rows"] == []


def test_stop_leaves_the_photographs_where_they_are_and_resume_goes_on(
    make: Callable[..., Explorer], folder: Path, looked: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    panel = make(photos=folder, neuron="3:2", strip=False)
    settle(panel)
    page = Page(panel)
    look = Index._look

    def stopping(index: Index, group: Any) -> None:
        look(index, group)
        if len(looked) == 5:
            page.say("stop")

    monkeypatch.setattr(Index, "_look", stopping)
    page.set(strip=True)
    settle(panel)
    assert panel.photo_index["state"] == "stopped"
    assert len(looked) == 5
    page.say("resume")
    settle(panel)
    assert panel.photo_index["state"] == "idle"
    assert len(looked) == PHOTOS + 1
    assert len(shown(panel)) == 9


def test_other_photographs_in_the_middle_of_a_pass_are_looked_through(
    make: Callable[..., Explorer], folder: Path, looked: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    others = [folder / f"photo {number:02}.png" for number in range(3)]
    panel = make(photos=folder, neuron="3:2", strip=False)
    settle(panel)
    look = Index._look

    def changing(index: Index, group: Any) -> None:
        look(index, group)
        if len(looked) == 4:
            panel.photos = others

    monkeypatch.setattr(Index, "_look", changing)
    panel.strip = True
    settle(panel)
    assert len(looked) == 4 + 3
    assert (panel.photo_index["state"], panel.photo_index["total"]) == ("idle", 3)
    assert {row["title"] for row in shown(panel)} == {path.stem for path in others}


def test_pictures_and_predictions_come_before_the_photographs(
    make: Callable[..., Explorer], folder: Path, looked: list[int]
) -> None:
    with Gate():
        panel = make(photos=folder, neuron="3:2")
        states: list[str] = []
        panel.observe(lambda _: states.append(panel.status["state"]), "photo_index")
    assert panel._job is not None
    assert panel._job.finished.wait(60)
    settle(panel)
    assert sum(looked) == PHOTOS + 1
    assert "working" in {*states}  # said while the pictures were made: it waits
    first = next(i for i, told in enumerate(states) if told == "idle")
    assert all(told == "idle" for told in states[first:])


def test_what_cannot_be_is_refused_in_a_sentence(make: Callable[..., Explorer], tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no image file"):
        make(photos=tmp_path)
    panel = make()
    settle(panel)
    for name, value, sentence in (
        ("strip", "yes", "neither True nor False"),
        ("strip_count", 0, "count of examples"),
        ("strip_order", "size", "'activation', 'kept' can be chosen"),
        ("channel_order", "name", "'activation', 'percentile' can be chosen"),
    ):
        with pytest.raises(InputError, match=sentence):
            setattr(panel, name, value)
        before = getattr(panel, name)
        Page(panel).set(**{name: value})
        assert sentence in panel.error
        assert getattr(panel, name) == before
    before = panel.photos
    with pytest.raises(InputError, match="There is no file or folder"):
        panel.photos = tmp_path / "nowhere"
    assert panel.photos == before
    (tmp_path / "torn.png").write_bytes(png(0)[:60])
    panel.photos = tmp_path
    settle(panel)
    assert "torn.png" in panel.error
    assert panel.photo_index["state"] == "error"
    assert panel.examples is None
    panel.photos = None
    settle(panel)
    assert len(shown(panel)) == 2


def test_a_file_that_is_gone_by_then_is_said_in_its_place(make: Callable[..., Explorer], folder: Path) -> None:
    panel = make(photos=folder, neuron="3:2", strip=False)
    panel.channel_order = "percentile"
    settle(panel)
    gone = sw.examples(panel.session.classifier, "3:2", folder, 1)[0]
    (folder / f"{gone.title}.png").unlink()
    panel.strip = True
    settle(panel)
    first, *others = panel.strip_examples["rows"]
    assert (first["id"], first["crop"]) == (gone.id, b"")
    assert first["title"] == f"There is no file '{gone.title}.png'."
    assert all(row["crop"] for row in others)
    assert [row["kept"] is None for row in shown(panel)] == [True, *[False] * 8]


def test_the_saved_picture_has_the_examples(
    make: Callable[..., Explorer], folder: Path, outputs: Outputs, kernel: Kernel
) -> None:
    panel = make(photos=folder, neuron="3:2")
    with kernel.running("cell"):
        kernel.display(panel)
    settle(panel)
    still = explorer_still(panel)
    tile = still.rows[0][-1]
    assert tile.label == "In your photographs"
    assert tile.image is not None
    assert np.asarray(tile.image).std() > 1
    assert f"the best of {PHOTOS} photographs; the sample excites the neuron more than" in still.facts["Examples"]
    assert "the trace keeps" in still.facts["Examples"]
    assert any("the best of" in data.get("text/plain", "") for _, data in outputs.all)
    panel.strip = False
    assert "Examples" not in explorer_still(panel).facts
