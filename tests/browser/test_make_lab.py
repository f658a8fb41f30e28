"""`make lab`, from the URL that it prints to the panel."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from browser.server import CHECKOUT, environment, free_port
from playwright.sync_api import Browser, expect


@pytest.fixture
def url(tmp_path: Path) -> Iterator[str]:
    """What `make lab PORT=… NO_BROWSER=1` prints, once it is set up."""
    if not (CHECKOUT / ".venv/bin/jupyter").exists():
        pytest.skip("make has not set up .venv")
    settings = {**environment(tmp_path), "PORT": str(free_port()), "NO_BROWSER": "1"}
    del settings["JUPYTER_CONFIG_PATH"]  # the script has to see to that
    log = tmp_path / "log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            ["scripts/lab.sh"],
            cwd=CHECKOUT,
            env=settings,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        try:
            for _ in range(300):
                if found := re.search(r"http://127\.0\.0\.1:\S+", log.read_text()):
                    break
                assert process.poll() is None, log.read_text()
                time.sleep(0.2)
            assert found, log.read_text()
            yield found[0]
        finally:
            os.killpg(process.pid, signal.SIGTERM)
            process.wait(timeout=30)


@pytest.mark.slow
def test_the_printed_url_opens_the_quickstart_and_no_question_is_asked(browser: Browser, url: str) -> None:
    assert "/lab/tree/notebooks/01_quickstart.ipynb?token=" in url
    with browser.new_context(viewport={"width": 1500, "height": 1000}) as context:
        page = context.new_page()
        outside: list[str] = []
        page.on("request", lambda request: outside.append(request.url))
        page.goto(url)
        expect(page.get_by_text("Python 3 (ipykernel) | Idle")).to_be_visible(timeout=60_000)
        page.keyboard.press("Shift+Enter")  # the heading
        page.keyboard.press("Shift+Enter")  # the panel
        expect(page.get_by_role("heading", name="SPADE Explorer")).to_be_visible(timeout=60_000)
        expect(page.get_by_role("dialog")).to_have_count(0)
        assert [address for address in outside if not address.startswith(("http://127.0.0.1", "data:", "blob:"))] == []
