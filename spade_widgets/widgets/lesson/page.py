"""A lesson's file: one page with its script, its style and its recording inside. It asks nothing of the network."""

from __future__ import annotations

import base64
import hashlib
import html
import json
import os
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from spade_widgets import __version__
from spade_widgets.errors import InputError
from spade_widgets.widgets.common.wire import STATIC

#: What every lesson begins with: a file that does may be replaced by another one.
_MARK = "<!doctype html>\n<!-- A lesson of spade_widgets"

_PAGE = """{mark} {version} -->
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="{policy}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<link rel="icon" href="data:,">
<title>{title}</title>
<style>{style}</style>
</head>
<body>
<div id="lesson"><noscript>This lesson needs JavaScript.</noscript></div>
<script type="application/json" id="recording">{recording}</script>
<script type="module">{script}</script>
</body>
</html>
"""


def page(recording: dict[str, Any]) -> str:
    """The whole file's text.

    Titles, labels and names in the recording are text, whatever is in them. The page's policy lets its own script and
    style run, and nothing else load.
    """
    script, style = ((STATIC / name).read_text(encoding="utf-8").strip() for name in ("lesson.js", "lesson.css"))
    policy = (
        f"default-src 'none'; script-src '{_hash(script)}'; style-src '{_hash(style)}'; "
        "img-src blob: data:; base-uri 'none'; form-action 'none'"
    )
    return _PAGE.format(
        mark=_MARK,
        version=__version__,
        policy=policy,
        title=html.escape(recording["title"].encode("utf-8", "replace").decode("utf-8")),
        style=style,
        # Within a script element nothing but `<` ends or changes what is read.
        recording=json.dumps(recording, allow_nan=False, separators=(",", ":")).replace("<", "\\u003c"),
        script=script,
    )


def _hash(text: str) -> str:
    return f"sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}"


@dataclass(frozen=True)
class Place:
    """Where a lesson is to be written.

    Attributes:
        path: of the file.
        limit: bytes that it may have.
        overwrite: whether it may replace a file that is no lesson.
    """

    path: Path
    limit: float
    overwrite: bool

    def check(self) -> None:
        """Whether it can be written there.

        Raises:
            InputError: if it cannot, or something else is there.
        """
        path = self.path
        if not path.parent.is_dir():
            raise InputError(f"There is no folder '{path.parent}' to write '{path.name}' into.")
        if not os.access(path.parent, os.W_OK):
            raise InputError(f"The folder '{path.parent}' cannot be written to.")
        if path.is_dir():
            raise InputError(f"'{path}' is a folder; give the name of a file.")
        if path.exists() and not self.overwrite and not _is_lesson(path):
            raise InputError(f"'{path}' is there and is no lesson: overwrite=True replaces it, or give another name.")

    def write(self, text: str) -> None:
        """Write the file, whole or not at all.

        Raises:
            InputError: if it cannot be written.
        """
        self.check()
        try:
            with tempfile.TemporaryDirectory(prefix=f".{self.path.stem}-", dir=self.path.parent) as folder:
                whole = Path(folder) / self.path.name
                whole.write_text(text, encoding="utf-8", newline="\n")
                whole.replace(self.path)
        except OSError as error:
            raise InputError(f"'{self.path}' cannot be written: {error.strerror}.") from error


def check_place(path: Any, max_mb: Any, *, overwrite: bool) -> Place:
    """Where a lesson is to be written, as a user says it; see `Explorer.export_html`.

    Raises:
        InputError: if nothing can be written there, something else is there, or `max_mb` is no size.
    """
    if not isinstance(path, str | Path):
        raise InputError(f"A {type(path).__name__} is no path: say where the lesson is written.")
    if Path(path).suffix.lower() not in (".html", ".htm"):
        raise InputError(f"'{path}' is no name of a web page: it has to end in .html.")
    if isinstance(max_mb, bool) or not isinstance(max_mb, int | float) or not max_mb > 0:
        raise InputError(f"max_mb={max_mb!r} is no size: give a number of megabytes above 0.")
    place = Place(Path(path), float(max_mb) * 1e6, overwrite)
    place.check()
    return place


def _is_lesson(place: Path) -> bool:
    try:
        with place.open("rb") as file:
            return file.read(len(_MARK)) == _MARK.encode()
    except OSError:
        return False
