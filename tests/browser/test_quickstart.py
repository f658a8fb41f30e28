"""What a newcomer sees: the quickstart notebook, run from its first cell to its last, as it is shipped."""

from __future__ import annotations

import pytest
from browser.lab import Lab, blank, same
from browser.panel import Panel


@pytest.mark.slow
def test_the_quickstart_shows_a_working_panel(lab: Lab) -> None:
    lab.open("01_quickstart.ipynb")
    lab.run_all()
    panel = Panel(lab, lab.page.get_by_role("main"))
    panel.await_shown()
    panel.await_pictures()
    dense, sparse = panel.picture("dense"), panel.picture("sparse")
    assert not blank(dense)
    assert not blank(sparse)
    assert not same(dense, sparse)
    shown = panel.numbers()
    assert shown.dense
    assert "kept" in shown.facts
    assert panel.samples.get_by_role("radio").count() >= 16

    panel.samples.scroll_into_view_if_needed()
    for theme in ("JupyterLab Light", "JupyterLab Dark"):
        lab.theme(theme)
        lab.screenshot(theme.split()[-1].lower())
    lab.theme("JupyterLab Light")
