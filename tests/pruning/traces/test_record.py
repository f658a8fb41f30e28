"""Dataclasses as JSON and back."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import pytest

from spade_widgets.pruning.traces.record import RecordError, from_json, to_json


@dataclass(frozen=True)
class Inner:
    name: str
    share: float


@dataclass(frozen=True)
class Outer:
    rows: tuple[Inner, ...]
    size: tuple[int, int]
    plan: Mapping[str, float]
    kind: Literal["full", "columns"]
    flag: bool
    limit: float | None = None
    names: tuple[str, ...] = ()
    more: Mapping[str, object] = field(default_factory=dict)


WHOLE = Outer(
    (Inner("a", 0.1), Inner("b", 1e-300)), (3, 4), {"layer4.conv": 0.95}, "full", True, 0.9, ("x",), {"deep": [1, {}]}
)


def changed(**values: Any) -> dict[str, Any]:
    return dict(to_json(WHOLE)) | values


def test_a_value_comes_back_equal() -> None:
    assert from_json(Outer, json.loads(json.dumps(to_json(WHOLE)))) == WHOLE


def test_fields_with_a_default_may_be_missing_and_others_not() -> None:
    short = changed()
    del short["limit"], short["names"], short["more"]
    assert from_json(Outer, short).limit is None
    del short["flag"]
    with pytest.raises(RecordError, match="it does not say its 'flag'"):
        from_json(Outer, short)
    with pytest.raises(RecordError, match="it says 'news', which is not known here"):
        from_json(Outer, changed(news=1))


@pytest.mark.parametrize(
    "wrong",
    [
        {"flag": 1},
        {"flag": None},
        {"size": [3]},
        {"size": [3, 4, 5]},
        {"size": [3, 4.5]},
        {"size": [3, True]},
        {"size": {"3": 4}},
        {"kind": "half"},
        {"kind": ["full"]},
        {"limit": "0.9"},
        {"plan": {"a": "b"}},
        {"plan": [["a", 0.5]]},
        {"rows": [{"name": "a"}]},
        {"rows": [["a", 0.5]]},
        {"rows": [{"name": 7, "share": 0.5}]},
        {"names": "abc"},
    ],
    ids=str,
)
def test_what_has_another_type_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(RecordError):
        from_json(Outer, changed(**wrong))


def test_numbers_may_be_whole() -> None:
    found = from_json(Outer, changed(limit=1)).limit
    assert (found, type(found)) == (1.0, float)


def test_what_json_does_not_know_is_refused() -> None:
    with pytest.raises(TypeError, match="a set cannot be recorded"):
        to_json({"a": {1}})
    with pytest.raises(RecordError, match="no record"):
        from_json(Outer, [1])
