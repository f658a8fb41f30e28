"""Front ends that a page evaluates once, however many panels it shows.

A browser keeps every module that it ever evaluated for as long as the page lives, and anywidget evaluates one for each
widget: panels that were closed would add up, those with a Plotly chart by 10 MB each. So what anywidget gets is a few
lines, and the front end itself goes with its panel as a trait, packed: a saved notebook shows the panel without a
kernel. Plotly's own, of 5 MB, would be most of that notebook: a page asks the kernel for it when it shows the first
chart, and messages are saved nowhere.
"""

from __future__ import annotations

import gzip
import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from copy import deepcopy
from functools import cache
from typing import Any

import traitlets as t

#: What a page asks for a front end with, and what it is answered.
ASKED = "front end"

_ONCE = """
const evaluated = (globalThis[Symbol.for("spade-widgets")] ??= new Map());
function asked(model) {
  return new Promise((resolve) => {
    const heard = (message, buffers) => {
      if (message?.type !== "%(asked)s") return;
      model.off("msg:custom", heard);
      resolve(buffers[0]);
    };
    model.on("msg:custom", heard);
    model.send({ type: "%(asked)s" });
  });
}
async function evaluate(model) {
  const packed = model.get("_bundle") ?? (await asked(model));
  const unpacked = new Blob([packed]).stream().pipeThrough(new DecompressionStream("gzip"));
  const source = await new Response(unpacked).text();
  const url = URL.createObjectURL(new Blob([source], { type: "text/javascript" }));
  return import(url).finally(() => URL.revokeObjectURL(url));
}
function frontEnd(model) {
  const name = "%(name)s";
  if (!evaluated.has(name)) {
    const module = evaluate(model);
    module.catch(() => evaluated.delete(name));
    evaluated.set(name, module);
  }
  return evaluated.get(name);
}
export default () => {
  let made;  // for this widget alone, as anywidget makes it: a factory's widgets may keep something
  const make = async (props) => {
    const { default: kind } = await frontEnd(props.model);
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


def once(source: str) -> str:
    """The `_esm` of a widget that has `bundle(source)` as its `_bundle`, or answers who asks for it."""
    name = hashlib.sha256(source.encode()).hexdigest()[:16]
    return _ONCE % {"asked": ASKED, "name": name}


def packed(source: str) -> bytes:
    """An ES module as a page takes it."""
    return gzip.compress(source.encode(), mtime=0)


def bundle(source: str) -> t.Bytes:
    """The trait `_bundle` of a widget: an ES module, as anywidget takes it."""
    return t.Bytes(packed(source)).tag(sync=True)


@cache
def figure_widget() -> Any:
    """Plotly's `FigureWidget`, evaluated once; importing Plotly takes a second."""
    import plotly.graph_objects as go

    source = str(go.FigureWidget._esm)
    answer = packed(source)

    class Figure(go.FigureWidget):  # type: ignore[misc]
        _esm = once(source)

        def __init__(self, *args: Any, **options: Any) -> None:
            super().__init__(*args, **options)
            self.on_msg(Figure._asked)

        def _asked(self, content: dict[str, Any], _buffers: Any) -> None:
            if content.get("type") == ASKED:
                self.send({"type": ASKED}, [answer])

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
