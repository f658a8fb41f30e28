"""Checks of options: one clear sentence for what cannot be used."""

from __future__ import annotations

import math
import operator
from typing import Any

import numpy as np

from spade_widgets.errors import InputError


def whole(name: str, value: object, least: int = 1) -> int:
    """The value, if it is a whole number of at least `least`.

    Raises:
        InputError: if it is not.
    """
    if not isinstance(value, int | np.integer) or isinstance(value, bool) or value < least:
        raise InputError(f"'{name}' is a whole number from {least}; {value!r} is none.")
    return int(value)


def positive(name: str, value: object) -> float:
    """The value, if it is a finite number above zero.

    Raises:
        InputError: if it is not.
    """
    if not isinstance(value, int | float | np.number) or not (math.isfinite(value) and value > 0):
        raise InputError(f"'{name}' is a number above 0; {value!r} is none.")
    return float(value)


def unsigned(name: str, value: object) -> float:
    """The value, if it is a finite number from zero.

    Raises:
        InputError: if it is not.
    """
    if not isinstance(value, int | float | np.number) or not (math.isfinite(value) and value >= 0):
        raise InputError(f"'{name}' is a number from 0; {value!r} is none.")
    return float(value)


def sides(size: object, least: int, most: int) -> tuple[int, int]:
    """Rows and columns, if the size is one number or two in their range.

    Raises:
        InputError: if it is not.
    """
    pair = tuple(size) if isinstance(size, tuple | list) else (size, size)
    if len(pair) == 2 and all(isinstance(s, int | np.integer) and least <= s <= most for s in pair):
        return int(pair[0]), int(pair[1])
    raise InputError(f"The size is {least} to {most} px, one number or (rows, columns); {size!r} is not.")


def check_count(value: Any, what: str) -> int:
    """The value as an int.

    Raises:
        InputError: if it is no whole number from 1 on; `what` says what it is.
    """
    try:
        count = operator.index(value)
    except TypeError:
        count = 0
    if count < 1:
        raise InputError(f"The {what} is {value!r}: a whole number from 1 on is accepted.")
    return count
