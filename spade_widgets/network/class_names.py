"""Class names in the forms that data sets and model hubs have them in, put in the order of the logits."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Set
from typing import Any, TypeAlias

from spade_widgets.errors import InputError

#: A name a class in the logits' order; or a mapping: index → name (`id2label`) or name → index (`class_to_idx`).
ClassNames: TypeAlias = Iterable[Any] | Mapping[Any, Any]


def in_order(names: ClassNames | None, classes: int) -> tuple[str, ...]:
    """One name a class, in the order of the logits; `"0"`, `"1"`, … where none are given.

    Two classes may be called alike, as ImageNet's two cranes are: such a class is asked for by its index.

    Args:
        names: a sequence or generator in the logits' order; `{index: name}`, whose indices may be text as in JSON; or
            `{name: index}`.
        classes: how many logits there are.

    Raises:
        InputError: if they have no order (a set), are one text, or are not one for each logit.
    """
    if names is None:
        return tuple(str(i) for i in range(classes))
    if isinstance(names, str | bytes) or not isinstance(names, Iterable):
        raise InputError(f"The class names are {names!r:.60}: a list of {classes} names is accepted.")
    if isinstance(names, Set) and not isinstance(names, Mapping):
        raise InputError("The class names are a set, which has no order: give a list, in the order of the logits.")
    listed = _of_mapping(names, classes) if isinstance(names, Mapping) else [str(name) for name in names]
    if len(listed) != classes:
        raise InputError(f"There are {len(listed)} class names, but the model has {classes} classes.")
    return tuple(listed)


def _of_mapping(names: Mapping[Any, Any], classes: int) -> list[str]:
    """The names of `{index: name}`, else of `{name: index}`.

    Where keys and values could both be the indices, as in `{"0": 1, "1": 0}`, the keys are.
    """
    if len(names) != classes:
        raise InputError(f"There are {len(names)} class names, but the model has {classes} classes.")
    pairs = list(names.items())
    for by_index in (pairs, [(value, key) for key, value in pairs]):
        found = {index: str(name) for key, name in by_index if (index := _index(key)) is not None}
        if sorted(found) == list(range(classes)):
            return [found[i] for i in range(classes)]
    raise InputError(
        f"The class names are a mapping, but neither its keys nor its values are the indices 0 to {classes - 1}, "
        "each once."
    )


def _index(value: Any) -> int | None:
    """0, "0", 0.0 or a NumPy or torch 0; None for what is no whole number."""
    try:
        number = float(value)
    except (TypeError, ValueError):
        return None
    return int(number) if number.is_integer() else None
