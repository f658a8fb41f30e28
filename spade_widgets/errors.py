"""What can go wrong, in one clear sentence each. Every error that a user can cause is one of these."""

from __future__ import annotations


class SpadeError(Exception):
    """Base of all errors that `spade_widgets` raises on purpose; its text is one sentence meant for the user."""


class InputError(SpadeError, ValueError):
    """A sample, sparsity, neuron, layer or option that cannot be used; says what was wrong and what is accepted."""


class ModelError(SpadeError, ValueError):
    """A model that cannot be used as it is, or whose weights cannot be had; says why and what to do instead."""


def first_line(error: Exception) -> str:
    """What an error of others' code says, in a line."""
    return next(iter(str(error).strip().splitlines()), type(error).__name__)[:200]


def described(error: Exception) -> str:
    """The kind of an error of others' code, and what it says, in a line."""
    lines = str(error).strip()
    return f"{type(error).__name__}: {lines.splitlines()[0][:200].rstrip('.')}" if lines else type(error).__name__
