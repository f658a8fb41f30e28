"""Indexes on disk, found again by the classifier and by the images that they are of."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator
from functools import cached_property
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from spade_widgets.classifier import ImageClassifier, tensor_digest
from spade_widgets.disk import Disk, Entry, read_entry, write_entry
from spade_widgets.errors import InputError
from spade_widgets.network.blame import model_errors
from spade_widgets.network.independence import same_logits
from spade_widgets.pruning.traces.trace import current_versions
from spade_widgets.sample import Sample

#: Of what is kept. Raise it when a pass comes to give other values.
SCHEMA = 1
_LOGITS = "answer"


class Shelf:
    """The indexes of one classifier, of one kind.

    Weights and preprocessing are in their names. What weights do not tell, code that was changed, shows in the logits
    of a picture of noise, which are kept beside each.

    Args:
        disk: where.
        classifier: whose.
        kind: what else tells them from others: plain values, as JSON has them.
    """

    def __init__(self, disk: Disk, classifier: ImageClassifier, kind: dict[str, Any]) -> None:
        self._disk = disk
        self._classifier = classifier
        self._made = {
            "schema": SCHEMA,
            "versions": current_versions(),
            "classifier": classifier.digest,
            "seen": tensor_digest(classifier.view(_noise())),
            **kind,
        }
        self._prefix = f"examples-{_short(json.dumps(self._made, sort_keys=True))}"

    def entries(self) -> Iterator[tuple[str, Entry]]:
        """The names and contents of all that are kept."""
        known = re.compile(rf"({self._prefix}[0-9a-f]{{16}})\.safetensors")
        for name in sorted(path.name for path in self._disk.folder.glob(f"{self._prefix}*")):
            match = known.fullmatch(name)
            entry = match and self._disk.read(match[1], read_entry)
            if match and entry and same_logits(entry.tensors[_LOGITS], self._answer):
                yield match[1], entry

    def name(self, ids: list[str]) -> str:
        """What the index of these images is called, when it is first kept."""
        return self._prefix + _short(" ".join(sorted(ids)))

    def keep(self, name: str, tensors: dict[str, Tensor], record: dict[str, Any]) -> None:
        """Write an index. Where that fails, the log says so, and the work goes on."""
        entry = Entry({**tensors, _LOGITS: self._answer}, record)
        self._disk.write(name, lambda path: write_entry(path, entry))

    @cached_property
    def _answer(self) -> Tensor:
        with torch.no_grad(), model_errors():
            logits: Tensor = self._classifier.module()(self._classifier.prepare(_noise()))
        return logits.detach().cpu()


def disk_of(cache: object) -> Disk | None:
    """The disk that a caller means: a folder, a `Disk`, or none.

    Raises:
        InputError: if it is something else, or the folder cannot be made.
    """
    if cache is None or isinstance(cache, Disk):
        return cache
    if isinstance(cache, bytes | int | float):
        raise InputError(f"A {type(cache).__name__} is no cache: give the path of a folder.")
    return Disk(cache)  # type: ignore[arg-type]  # it says itself what it takes


def _noise() -> Sample:
    pixels = np.random.default_rng(0).integers(0, 256, (331, 407, 3), dtype=np.uint8)
    return Sample(Image.fromarray(pixels), "noise")


def _short(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:16]
