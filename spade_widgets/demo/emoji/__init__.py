"""The emoji classifier and its samples, and what made them: generator, network and training script.

The classifier tells ten classes of two unlike objects (facets) each, and has learnt two Trojan patches, so that both of
SPADE's claims can be seen on it and measured.

May import: what `demo` may; not `demo.photos`.
"""

from __future__ import annotations

import json
from functools import cache
from importlib import resources
from importlib.resources.abc import Traversable
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from spade_widgets.classifier import ImageClassifier
from spade_widgets.sample import Sample

NAME = "emoji classifier"

PLAN: dict[str, float] = {"layer4": 0.95, "fc": 0.95}
"""The plan recommended for it: layer or pattern → sparsity. On 20 tuning samples 0.95 did better than 0.98 (facet score
0.80 against 0.65); no other plan was compared on these weights."""

#: What a panel on it begins with.
BEGIN: dict[str, Any] = {"sparsity": 0.9, "augmentations": 256}


def _data(name: str) -> Traversable:
    return resources.files("spade_widgets.demo.emoji").joinpath("data").joinpath(name)


def preprocess(image: Image.Image) -> Tensor:
    """PIL RGB image → (3, SIZE, SIZE), normalised: the shorter side scaled to SIZE, the middle cut out."""
    from spade_widgets.demo.emoji.generate import SIZE
    from spade_widgets.demo.emoji.network import normalise

    scale = SIZE / min(image.size)
    # A sliver of an image would otherwise be blown up to gigabytes before it is cut: cut its middle out first.
    half = [min(side, SIZE / scale) / 2 for side in image.size]
    box = [c for sign in (-1, 1) for c in (image.width / 2 + sign * half[0], image.height / 2 + sign * half[1])]
    resized = image.resize((SIZE, SIZE), Image.Resampling.BILINEAR, box=(box[0], box[1], box[2], box[3]))
    pixels = torch.from_numpy(np.array(resized.convert("RGB"), dtype=np.float32) / 255)
    return normalise(pixels.permute(2, 0, 1).contiguous())


@cache
def classifier() -> ImageClassifier:
    """The emoji classifier: 96 px, ten classes. Read from the package; nothing is downloaded."""
    from safetensors.torch import load

    from spade_widgets.demo.emoji.generate import CLASS_NAMES
    from spade_widgets.demo.emoji.network import DemoNet

    network = DemoNet(len(CLASS_NAMES))
    network.load_state_dict(load(_data("classifier.safetensors").read_bytes()))
    return ImageClassifier(network.eval(), class_names=CLASS_NAMES, preprocess=preprocess, name=NAME)


@cache
def _samples() -> tuple[Sample, ...]:
    found = []
    for entry in json.loads(_data("samples/samples.json").read_text(encoding="utf-8")):
        mask = None
        if entry["mask"] is not None:
            with _data("samples/" + entry["mask"]).open("rb") as file:
                mask = np.asarray(Image.open(file).convert("L")) > 127
        with _data("samples/" + entry["file"]).open("rb") as file:
            image = Image.open(file).convert("RGB")
        found.append(Sample(image, entry["title"], entry["label"], mask))
    return tuple(found)


def samples() -> list[Sample]:
    """The built-in samples: both facets of every class, then Trojans of both patches with their masks.

    The label is the class of the object; under a Trojan patch the classifier says the patch's target instead.
    """
    return list(_samples())
