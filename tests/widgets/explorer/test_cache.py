"""Panels that keep what they compute on disk."""

from __future__ import annotations

import errno
import os
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from widgets.page import Page, flush, settle

from spade_widgets.disk import Disk
from spade_widgets.errors import InputError
from spade_widgets.visualization import Renderer
from spade_widgets.widgets.explorer.panel import Explorer
from spade_widgets.widgets.saliency.panel import SaliencyPanel


def kinds(folder: Path) -> set[str]:
    return {file.name.split("-")[0] for file in folder.iterdir()}


def test_an_explorer_finds_what_another_has_kept(
    make: Callable[..., Explorer], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = make(cache=tmp_path)
    settle(first)
    first.session.cache.flush()
    assert kinds(tmp_path) == {"trace", "picture", "examples"}
    monkeypatch.setattr(Renderer, "step", None)
    second = make(cache=str(tmp_path))
    settle(second)
    assert (second.error, second.status["state"]) == ("", "idle")
    assert (second.dense_file, second.sparse_file) == (first.dense_file, first.sparse_file)
    for which in ("dense", "sparse"):
        assert getattr(second, which)["state"] == "done"


def test_a_saliency_panel_finds_what_another_has_kept(
    make_saliency: Callable[..., SaliencyPanel], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = make_saliency(cache=tmp_path)
    settle(first)
    first.session.cache.flush()
    assert kinds(tmp_path) == {"trace", "map"}
    monkeypatch.setattr("spade_widgets.runtime.attribute.noted_steps", None)
    second = make_saliency(cache=tmp_path)
    settle(second)
    maps = second.maps()
    assert maps.keys() == first.maps().keys()
    assert all((map_ == maps[cell]).all() for cell, map_ in first.maps().items())


def test_only_the_worker_touches_the_disk(
    make: Callable[..., Explorer], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    threads: list[str] = []
    for name in ("read", "write"):
        how = getattr(Disk, name)

        def noted(*arguments: Any, how: Any = how) -> Any:
            threads.append(threading.current_thread().name)
            return how(*arguments)

        monkeypatch.setattr(Disk, name, noted)
    panel = make(cache=tmp_path, centre="both")
    page = Page(panel)
    settle(panel)
    for change in (
        {"sparsity": 0.3},
        {"neuron": "3:1"},
        {"layer": "0"},
        {"sample_id": panel.samples[1]["id"]},
        {"solver": "magnitude"},
        {"pattern": "7", "preset": "pattern"},
        {"centre": "visualization"},
    ):
        page.set(**change)
        page.say("stop")
        page.say("resume")
        assert panel.error == ""
        assert isinstance(panel.state(), dict)
        settle(panel)
    flush()
    assert len(threads) > 20
    assert set(threads) == {"spade-widgets"}


def test_a_full_disk_is_said_in_the_panel_and_the_panel_goes_on(
    make: Callable[..., Explorer], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: Any) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(Path, "replace", full)
    panel = make(cache=tmp_path)
    settle(panel)
    panel.session.cache.flush()
    flush()
    assert panel.error == (
        f"The cache in '{tmp_path}' cannot be written, so results are kept in memory alone: No space left on device."
    )
    assert panel.status["state"] == "idle"
    panel.sparsity = 0.3
    settle(panel)
    panel.session.cache.flush()
    assert panel.error == ""  # said once
    assert panel.sparse["state"] == "done"


def test_what_cannot_be_a_cache_is_refused(
    make: Callable[..., Explorer], make_saliency: Callable[..., SaliencyPanel], panel: Explorer, tmp_path: Path
) -> None:
    (tmp_path / "taken").write_text("no folder")
    with pytest.raises(InputError, match="give a folder that can be made"):
        make(cache=tmp_path / "taken")
    with pytest.raises(InputError, match="size of the cache"):
        make(cache=tmp_path, cache_size=0)
    with pytest.raises(InputError, match="`cache_size` are for a model; this panel has its own"):
        make_saliency(panel, cache=tmp_path)
