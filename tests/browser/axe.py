"""axe-core (js/node_modules, MPL-2.0, for tests only): what it finds wrong with a part of a page."""

from __future__ import annotations

from browser.server import CHECKOUT
from playwright.sync_api import Page

SOURCE = CHECKOUT / "js/node_modules/axe-core/axe.min.js"
_RUN = """
async within => {
  const {violations} = await window.axe.run(within, {resultTypes: ['violations']});
  return violations.flatMap(({id, help, nodes}) => nodes.map(({html}) => `${id}: ${help}: ${html.slice(0, 200)}`));
}
"""


def violations(page: Page, within: str = "html") -> list[str]:
    """What axe's rules, WCAG's and best practices, find within elements: a line each."""
    if not page.evaluate("() => 'axe' in window"):
        page.evaluate(SOURCE.read_text())
    found: list[str] = page.evaluate(_RUN, within)
    return found
