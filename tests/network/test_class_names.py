"""Class names come in the order of the logits, in whatever form they are given."""

from __future__ import annotations

import json
import random
from typing import Any

import numpy as np
import pytest

from spade_widgets.errors import InputError
from spade_widgets.network.class_names import in_order

NAMES = ("cat", "dog", "owl", "cat", "7")


def shuffled(pairs: Any) -> dict[Any, Any]:
    listed = list(pairs)
    random.Random(3).shuffle(listed)
    return dict(listed)


@pytest.mark.parametrize(
    "names",
    [
        list(NAMES),
        np.array(NAMES),
        (name for name in NAMES),
        dict(enumerate(NAMES)).values(),
        shuffled(enumerate(NAMES)),
        shuffled((str(i), name) for i, name in enumerate(NAMES)),
        json.loads(json.dumps(dict(enumerate(NAMES)))),
        shuffled((np.int64(i), name) for i, name in enumerate(NAMES)),
    ],
)
def test_every_form_is_put_in_order(names: Any) -> None:
    assert in_order(names, 5) == NAMES


def test_indices_by_name_are_turned_round() -> None:
    assert in_order(shuffled((n, i) for i, n in enumerate("abcde")), 5) == tuple("abcde")
    assert in_order({"b": "1", "a": "0"}, 2) == ("a", "b")
    assert in_order({"1": 0, "0": 1}, 2) == ("1", "0")  # both could be indices: keys are


@pytest.mark.parametrize(
    ("names", "said"),
    [
        (set("abc"), "a set, which has no order"),
        (frozenset("abc"), "a set, which has no order"),
        ({"a": 0, "b": 1, "c": 2}.keys(), "a set, which has no order"),
        ("abc", "a list of 3 names"),
        (3, "a list of 3 names"),
        (["a", "b"], "There are 2 class names, but the model has 3"),
        ({0: "a", 1: "b"}, "There are 2 class names, but the model has 3"),
        ({0: "a", 1: "b", 3: "c"}, "neither its keys nor its values are the indices 0 to 2"),
        ({1: "a", 2: "b", 3: "c"}, "neither its keys nor its values are the indices 0 to 2"),
        ({"a": 0, "b": 1, "c": 1}, "neither its keys nor its values are the indices 0 to 2"),
        ({"a": "b", "c": "d", "e": "f"}, "neither its keys nor its values are the indices 0 to 2"),
    ],
)
def test_names_without_an_order_are_refused(names: Any, said: str) -> None:
    with pytest.raises(InputError, match=said):
        in_order(names, 3)
