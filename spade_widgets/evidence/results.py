"""A file of single results that a stopped run goes on from: JSON lines, only ever added to.

Two kinds of lines: what settings a short name stands for, and a value, named by sample, network, method, metric and
settings. A line that was cut off by a power failure or a kill is dropped when the file is opened again.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, TypeAlias

from spade_widgets.errors import InputError

#: What a number depends on beside sample, network, method and metric; JSON.
Settings: TypeAlias = Mapping[str, Any]

_FIELDS = ("sample", "network", "method", "metric", "settings")


@dataclass(frozen=True)
class Key:
    """What one number is of.

    Attributes:
        sample: `Sample.id`.
        network: a network's name, such as `"dense"` or `"refined"`.
        method: a saliency method's, or `""` for a metric that needs no map.
        metric: a metric's key.
        settings: `settings_id` of all else that it depends on.
    """

    sample: str
    network: str
    method: str
    metric: str
    settings: str


@dataclass(frozen=True)
class Result:
    """One number, or the sentence that says why there is none.

    Attributes:
        value: in the metric's own unit; None if it could not be computed.
        error: why not; "" otherwise.
        title: the sample's.
    """

    value: float | None
    error: str = ""
    title: str = ""


def settings_id(settings: Settings) -> str:
    """12 hexadecimal digits that name the settings: equal for equal ones, whatever their order."""
    return hashlib.sha256(json.dumps(settings, sort_keys=True).encode()).hexdigest()[:12]


class Results:
    """The results in a file, or in memory only.

    Args:
        path: of the file; made where missing. None: nothing is kept.

    Raises:
        InputError: if it is no such file, or cannot be written.
    """

    def __init__(self, path: Path | str | None = None) -> None:
        self.path = None if path is None else Path(path)
        self._found: dict[Key, Result] = {}
        self._settings: set[str] = set()
        if self.path is not None:
            self._open(self.path)

    def __len__(self) -> int:
        return len(self._found)

    def get(self, key: Key) -> Result | None:
        """The result, where it is known."""
        return self._found.get(key)

    def value(self, key: Key) -> float | None:
        """The number, where there is one."""
        found = self._found.get(key)
        return None if found is None else found.value

    def add(self, key: Key, result: Result, settings: Settings) -> None:
        """Keep a result; it is in the file when this returns. A later one of the same key replaces it.

        Raises:
            InputError: if the file cannot be written.
        """
        lines = []
        if key.settings not in self._settings:
            lines.append({"settings": key.settings, "are": settings})
        value = {"title": result.title} | ({"error": result.error} if result.value is None else {"value": result.value})
        lines.append(asdict(key) | value)
        if self.path is not None:
            # One write, so that lines of several runs into one file do not mix.
            text = "".join(json.dumps(line, ensure_ascii=False, allow_nan=False) + "\n" for line in lines)
            try:
                with self.path.open("a", encoding="utf-8") as file:
                    file.write(text)
            except OSError as error:
                raise InputError(f"'{self.path}' cannot be written: {error.strerror}.") from error
        self._settings.add(key.settings)
        self._found[key] = result

    def _open(self, path: Path) -> None:
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            data = path.read_bytes() if path.exists() else b""
            whole = data[: data.rfind(b"\n") + 1]
            for number, line in enumerate(whole.splitlines(), 1):
                self._read(line, number)
            # Only now: a file that is none of ours is left as it is.
            with path.open("ab") as file:
                file.truncate(len(whole))
        except OSError as error:
            raise InputError(f"'{path}' cannot be used for the results: {error.strerror}.") from error

    def _read(self, line: bytes, number: int) -> None:
        try:
            entry = json.loads(line)
            if "are" in entry:
                self._settings.add(entry["settings"])
                return
            value = None if "error" in entry else float(entry["value"])
            if value is not None and not math.isfinite(value):
                raise ValueError
            key = Key(*(str(entry[name]) for name in _FIELDS))
            self._found[key] = Result(value, str(entry.get("error", "")), str(entry["title"]))
        except (ValueError, KeyError, TypeError):
            raise InputError(
                f"Line {number} of '{self.path}' is no result of this program: name another file, or a new one."
            ) from None
