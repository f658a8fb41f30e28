"""A user's observer that raises: the panel goes on, and the traceback is read where the user can read it."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import pytest
import traitlets as t
from widgets.page import PATIENCE, Page, flush, png, settle

from spade_widgets.errors import InputError
from spade_widgets.widgets.common import observers
from spade_widgets.widgets.explorer.panel import Explorer


@pytest.fixture(autouse=True)
def _unprinted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(observers, "_printed", {})


def failing(_change: Any) -> None:
    raise ValueError("my own bug")


def test_what_the_worker_sets_off_is_printed_and_the_work_comes_to_its_end(
    panel: Explorer, capfd: pytest.CaptureFixture[str]
) -> None:
    panel.observe(failing, ["status", "predictions", "dense", "sparse", "trace_summary"])
    panel.observe(failing)  # of every trait there is
    with pytest.raises(ValueError, match="my own bug"):
        panel.sparsity = 0.6
    settle(panel)
    assert (panel.status["state"], panel.error) == ("idle", "")
    assert panel.trace is not None
    assert (panel.trace_summary["sparsity"], panel.sparse["state"]) == (0.6, "done")
    printed = capfd.readouterr().err
    assert "An observer of 'status' failed; the panel goes on." in printed
    assert "in failing" in printed
    assert "common/observers.py" not in printed
    assert printed.count("An observer of 'status'") == 1  # not once a change
    with pytest.raises(ValueError, match="my own bug"):
        panel.close()
    assert panel.layout.comm is None  # to the last


def test_a_fidelity_is_found_in_spite_of_an_observer(panel: Explorer, capfd: pytest.CaptureFixture[str]) -> None:
    found: list[float] = []

    def fails(change: Any) -> None:
        found.append(change["new"])
        raise ValueError("my own bug")

    panel.observe(fails, "sparsity")
    panel.fidelity = 0.5
    settle(panel)
    assert found
    assert panel.sparsity == found[-1]
    assert (panel.status["state"], panel.error, panel.fidelity) == ("idle", "", 0.5)
    assert panel.trace is not None
    assert "An observer of 'sparsity' failed" in capfd.readouterr().err


def test_in_the_users_own_thread_it_comes_out_after_the_panel_has_done_its_part(panel: Explorer) -> None:
    for name in ("sparsity", "code", "error"):  # those that the panel itself sets then, too
        panel.observe(failing, name)
    later: list[float] = []
    panel.observe(lambda change: later.append(change["new"]), "sparsity")
    with pytest.raises(ValueError, match="my own bug"):
        panel.sparsity = 0.7
    assert later == [0.7]
    panel.unobserve(failing, ["sparsity", "code", "error"])
    settle(panel)
    assert panel.trace_summary["sparsity"] == 0.7
    panel.sparsity = 0.8  # nobody fails any more
    settle(panel)


def test_of_two_that_fail_one_comes_out_and_the_other_is_printed(
    panel: Explorer, capfd: pytest.CaptureFixture[str]
) -> None:
    def fails_too(_change: Any) -> None:
        raise TypeError("another bug")

    panel.observe(failing, "sparsity")
    panel.observe(fails_too, "sparsity")
    with pytest.raises(ValueError, match="my own bug"):
        panel.sparsity = 0.7
    assert "TypeError: another bug" in capfd.readouterr().err
    panel.unobserve(fails_too, "sparsity")

    def both() -> None:
        with observers.notifying():
            panel.sparsity = 0.6
            panel.error = 3

    with pytest.raises(t.TraitError, match="unicode"):  # what is not the user's own goes first
        both()
    assert "ValueError: my own bug" in capfd.readouterr().err
    panel.unobserve(failing, "sparsity")
    panel.sparsity = 0.5  # nothing is left of it


def test_linked_panels_follow_though_an_observer_was_there_first(
    panel: Explorer, make_saliency: Callable[..., Any]
) -> None:
    panel.observe(failing, "sparsity")
    linked = make_saliency(panel)
    with pytest.raises(ValueError, match="my own bug"):
        panel.sparsity = 0.7
    assert linked.sparsity == 0.7


def test_what_the_page_sets_is_set_whole(panel: Explorer, page: Page, capfd: pytest.CaptureFixture[str]) -> None:
    panel.observe(failing, ["preset", "sparsity"])
    page.set(preset="all", sparsity=0.7)
    assert (panel.preset, panel.sparsity) == ("all", 0.7)
    settle(panel)
    assert (panel.status["state"], panel.error) == ("idle", "")
    assert "An observer of 'sparsity' failed" in capfd.readouterr().err


def test_files_from_the_page_are_read_to_the_last(
    panel: Explorer, page: Page, capfd: pytest.CaptureFixture[str]
) -> None:
    panel.observe(failing, "samples")
    page.add(("a.png", png(7)), ("b.png", png(8)))
    flush()
    settle(panel)
    assert [row["title"] for row in panel.samples] == ["first", "second", "a", "b"]
    assert panel.sample.title == "b"
    assert "An observer of 'samples' failed" in capfd.readouterr().err


def test_waiting_in_an_observer_is_refused_in_a_sentence(
    panel: Explorer, tmp_path: Any, capfd: pytest.CaptureFixture[str]
) -> None:
    said: dict[str, list[str]] = {"wait": [], "export_html": []}

    def waits(_change: Any) -> None:
        for name, call in (("wait", panel.wait), ("export_html", lambda: panel.export_html(tmp_path / "a.html"))):
            with pytest.raises(InputError) as refused:
                call()
            said[name].append(str(refused.value))

    panel.observe(waits, ["sparsity", "status"])
    panel.sparsity = 0.7  # on the user's thread, then on the worker's
    panel.unobserve(waits, "sparsity")
    settle(panel)
    for name, sentences in said.items():
        assert len(sentences) > 2
        assert set(sentences) == {
            f"`{name}` waits for the panel's work, which waits for its observers: "
            "call it in a cell, not in an observer."
        }
    assert capfd.readouterr().err == ""


def test_waiting_on_the_workers_thread_is_refused(panel: Explorer) -> None:
    said: list[str] = []
    done = threading.Event()

    def steps() -> Any:
        try:
            panel.wait()
        except InputError as refused:
            said.append(str(refused))
        done.set()
        yield

    panel.session.worker.submit(done, steps(), lambda _error: None)
    assert done.wait(PATIENCE)
    assert "waits for the panel's work" in said[0]


def test_an_observer_is_taken_off_by_the_function_that_it_is(panel: Explorer) -> None:
    seen: list[float] = []

    def note(change: Any) -> None:
        seen.append(change["new"])

    panel.observe(note, "sparsity")
    panel.observe(note, "sparsity")  # as with any widget: once
    panel.sparsity = 0.7
    panel.unobserve(note, "sparsity")
    panel.sparsity = 0.6
    assert seen == [0.7]


def test_a_traitlets_link_to_a_users_own_object_works(panel: Explorer) -> None:
    class Mine(t.HasTraits):
        value = t.Float(0.5)

    mine = Mine()
    link = t.link((panel, "sparsity"), (mine, "value"))
    panel.sparsity = 0.7
    assert mine.value == 0.7
    mine.value = 0.6
    assert panel.sparsity == 0.6
    link.unlink()
