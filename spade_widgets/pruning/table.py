"""Tables: tuples of frozen dataclasses that a notebook shows as tables."""

from __future__ import annotations

import html
import math
from dataclasses import fields
from typing import Any, ClassVar, TypeVar

Row_co = TypeVar("Row_co", covariant=True)


class Table(tuple[Row_co, ...]):
    """Rows, one dataclass each. A table in a notebook; `pandas.DataFrame(table)` makes a frame of it."""

    __slots__ = ()
    #: The rows' class, where it is known whatever the rows: an empty table has its columns' names then.
    row: ClassVar[Any] = None

    def _repr_html_(self) -> str:
        kind: Any = self.row or (type(self[0]) if self else None)
        names = [field.name for field in fields(kind)] if kind is not None else []
        head = "".join(f"<th>{html.escape(name)}</th>" for name in names)
        body = "".join(f"<tr>{''.join(f'<td>{_cell(getattr(row, n))}</td>' for n in names)}</tr>" for row in self)
        return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"


def _cell(value: object) -> str:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return html.escape(str(value))
    if isinstance(value, int):
        return f"{value:,}"
    return "–" if math.isnan(value) else f"{value:.4f}"
