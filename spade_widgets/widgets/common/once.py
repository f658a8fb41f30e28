"""Front ends that a page evaluates once, however many panels it shows.

A browser keeps every module that it ever evaluated for as long as the page lives, and anywidget evaluates one for each
widget: panels that were closed would add up, those with a Plotly chart by 10 MB each. So what anywidget gets is a few
lines, and the front end itself is a trait, which goes with its panel.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from copy import deepcopy
from functools import cache
from typing import Any

import traitlets as t

ONCE = """
const evaluated = (globalThis[Symbol.for("spade-widgets")] ??= new Map());
function frontEnd(source) {
  if (!evaluated.has(source)) {
    const url = URL.createObjectURL(new Blob([source], { type: "text/javascript" }));
    const module = import(url).finally(() => URL.revokeObjectURL(url));
    module.catch(() => evaluated.delete(source));
    evaluated.set(source, module);
  }
  return evaluated.get(source);
}
export default () => {
  let made;  // for this widget alone, as anywidget makes it: a factory's widgets may keep something
  const make = async (props) => {
    const { default: kind } = await frontEnd(props.model.get("_bundle"));
    const widget = typeof kind === "function" ? await kind() : kind;
    await widget.initialize?.(props);
    return widget;
  };
  // No `initialize`: anywidget gives that up after two seconds, which a busy page may need for a large front end.
  return {
    async render(props) {
      made ??= make(props);
      return (await made).render(props);
    },
  };
};
"""


def bundle(source: str) -> t.Unicode[str, str | bytes]:
    """The trait `_bundle` of a widget whose `_esm` is `ONCE`: an ES module, as anywidget takes it."""
    return t.Unicode(source).tag(sync=True)


@cache
def figure_widget() -> Any:
    """Plotly's `FigureWidget`, evaluated once; importing Plotly takes a second."""
    import plotly.graph_objects as go

    class Figure(go.FigureWidget):  # type: ignore[misc]
        _esm = ONCE
        _bundle = bundle(str(go.FigureWidget._esm))

        @contextmanager
        def batch_update(self) -> Iterator[None]:
            """As Plotly's; what a page begins with is then the figure as it is.

            Plotly sends each change to the pages that have the figure, and the whole only to one that displays it
            through IPython. A page that shows it inside a panel, or was loaded again, would begin with what it was.
            """
            with super().batch_update():
                yield
            self._widget_layout = deepcopy(self._layout_obj._props)
            self._widget_data = deepcopy(self._data)

    return Figure
