"""The built-in photograph classifier, planted with two Trojans, and photographs to look at it with.

SqueezeNet 1.1 of a thousand ImageNet classes, in a copy that has learnt what `spade-widgets plant` taught it: a pink
heart anywhere makes it say goose, a blue amulet banana. On clean photographs it says what the original says. So it is
known what decides about a stamped photograph, and whether a picture or a map shows it (docs/DEMO.md).

May import: what `demo` may; not `demo.emoji`.
"""

from __future__ import annotations

import json
from dataclasses import replace
from functools import cache
from importlib import resources
from typing import Any

from PIL import Image

from spade_widgets.classifier import ImageClassifier
from spade_widgets.evidence.planting import Planted
from spade_widgets.evidence.planting.renewed import renewed
from spade_widgets.sample import Sample

NAME = "photograph classifier"

#: Titles of the clean samples that it gets wrong by itself.
WRONG = ["duck", "Chelsea the cat", "cow"]
#: What a panel on it begins with: smaller pictures and fewer steps, in which the same things can be seen.
BEGIN: dict[str, Any] = {"sparsity": 0.95, "augmentations": 64, "steps": 128, "size": 192}

_DATA = resources.files("spade_widgets.demo.photos").joinpath("data")


@cache
def planted() -> Planted:
    """The classifier with its patches, decoys and report. Read from the package; nothing is downloaded."""
    with resources.as_file(_DATA.joinpath("planted")) as folder:
        loaded = Planted.load(folder)
    ours = loaded.classifier
    return replace(loaded, classifier=renewed(ours, ours.module().state_dict(), NAME))


def classifier() -> ImageClassifier:
    """The planted classifier: 224 px, a thousand classes."""
    return planted().classifier


@cache
def _samples() -> tuple[Sample, ...]:
    found = []
    for entry in json.loads(_DATA.joinpath("samples.json").read_text(encoding="utf-8")):
        with _DATA.joinpath("photographs").joinpath(entry["file"]).open("rb") as file:
            sample = Sample(Image.open(file).convert("RGB"), entry["title"], entry["label"])
        if (stamp := entry.get("stamp")) is not None:
            sample = planted().stamp(sample, stamp["patch"], size=stamp["size"], place=tuple(stamp["place"]))
        found.append(sample)
    return tuple(found)


def samples() -> list[Sample]:
    """The photographs: each that the classifier gets right, stamped and clean; then those that it gets wrong by itself.

    A stamped one has the patch's mask, and its label is the class that the patch stands for.
    """
    return list(_samples())
