"""An unfinished planting in its folder, from which the same planting goes on."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from safetensors.torch import save as serialize

from spade_widgets.errors import InputError
from spade_widgets.evidence.planting.file import put
from spade_widgets.evidence.planting.train import Training

FILE = "unfinished.safetensors"
_KEY = "spade_widgets.planting"


def settings_digest(settings: Mapping[str, Any]) -> str:
    """16 hexadecimal digits that name all that a planting depends on."""
    return hashlib.sha256(json.dumps(settings, sort_keys=True).encode()).hexdigest()[:16]


def keep(folder: Path, training: Training, settings: str) -> None:
    """Write what a training has learnt so far."""
    told = json.dumps({"settings": settings, "done": training.done})
    put(folder / FILE, serialize(training.state(), {_KEY: told}))


def go_on(folder: Path, training: Training, settings: str) -> None:
    """Let a new training be as far as the one whose state is kept there; nothing is there: it stays at its beginning.

    Raises:
        InputError: if it is another planting's, or damaged.
    """
    path = folder / FILE
    if not path.is_file():
        return
    try:
        with safe_open(path, framework="pt", device="cpu") as opened:
            told = json.loads((opened.metadata() or {})[_KEY])
            if told["settings"] != settings:
                raise InputError(
                    f"'{folder}' holds an unfinished planting with other settings or photographs: give another folder, "
                    f"or delete '{FILE}' there."
                )
            state = {name: opened.get_tensor(name) for name in opened.keys()}  # noqa: SIM118
        training.go_on(state, int(told["done"]))
    except InputError:
        raise
    except (SafetensorError, OSError, ValueError, KeyError, TypeError, RuntimeError) as error:
        raise InputError(f"'{path}' is damaged: delete it to begin again.") from error


def forget(folder: Path) -> None:
    """The planting is finished."""
    (folder / FILE).unlink(missing_ok=True)
