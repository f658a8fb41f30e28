"""Dataclasses as JSON and back, checked: what a file says is taken only where it has the right type."""

from __future__ import annotations

import types
from collections.abc import Mapping
from dataclasses import MISSING, Field, fields, is_dataclass
from typing import Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

T = TypeVar("T")


class RecordError(ValueError):
    """A record is not what its dataclass wants; says where and how."""


def to_json(value: Any) -> Any:
    """A value made of dataclasses, tuples, lists, mappings and plain values as JSON has it.

    Raises:
        TypeError: if there is anything else in it.
    """
    if is_dataclass(value) and not isinstance(value, type):
        return {field.name: to_json(getattr(value, field.name)) for field in fields(value)}
    if isinstance(value, Mapping):
        return {str(key): to_json(inner) for key, inner in value.items()}
    if isinstance(value, tuple | list):
        return [to_json(inner) for inner in value]
    if value is None or isinstance(value, bool | int | float | str):
        return value
    raise TypeError(f"a {type(value).__name__} cannot be recorded")


def from_json(kind: type[T], value: Any, where: str = "it") -> T:
    """The inverse of `to_json`: a value of a type, which is a dataclass or is made of those that `to_json` takes.

    Fields of a dataclass that have a default may be missing.

    Raises:
        RecordError: if the value is of another type, lacks a field, or has one that the dataclass does not know.
    """
    converted: T = _convert(kind, value, where)
    return converted


def convert_fields(hints: Mapping[str, Any], optional: set[str], value: Any, where: str) -> dict[str, Any]:
    """The values of some named fields. See `from_json`."""
    if not isinstance(value, dict):
        raise RecordError(f"{where} is no record")
    if unknown := sorted(set(value) - set(hints)):
        raise RecordError(f"{where} says '{unknown[0]}', which is not known here")
    if missing := sorted(set(hints) - set(value) - optional):
        raise RecordError(f"{where} does not say its '{missing[0]}'")
    return {name: _convert(hints[name], inner, name) for name, inner in value.items()}


def has_default(field: Field[Any]) -> bool:
    """Whether a dataclass can do without the field."""
    return field.default is not MISSING or field.default_factory is not MISSING


def _convert(kind: Any, value: Any, where: str) -> Any:
    origin, args = get_origin(kind), get_args(kind)
    if is_dataclass(kind) and isinstance(kind, type):
        optional = {f.name for f in fields(kind) if has_default(f)}
        return kind(**convert_fields(get_type_hints(kind), optional, value, where))
    if origin in (Union, types.UnionType):
        for candidate in args:
            try:
                return _convert(candidate, value, where)
            except RecordError:
                continue
        return _checked(False, value, where)
    if origin is Literal:
        return _checked(value in args, value, where)
    if origin is tuple and isinstance(value, list):
        inner = [args[0]] * len(value) if args[-1] is Ellipsis else list(args)
        _checked(len(inner) == len(value), value, where)
        return tuple(_convert(k, v, where) for k, v in zip(inner, value, strict=True))
    if isinstance(origin, type) and issubclass(origin, Mapping) and isinstance(value, dict):
        return {key: _convert(args[1], inner, f"{where} of '{key}'") for key, inner in value.items()}
    if kind is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if kind in (object, Any):
        return value
    # bool is an int to Python, and no number to anyone else
    plain = kind in (bool, int, float, str, type(None)) and type(value) is kind
    return _checked(plain, value, where)


def _checked(fits: bool, value: Any, where: str) -> Any:
    if not fits:
        raise RecordError(f"{where} is {str(value)[:40]!r}")
    return value
