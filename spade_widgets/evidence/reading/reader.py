"""A network that took no part, which judges what a picture shows: by its features, and by the classes that it reads."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeAlias

import torch
import torch.nn.functional as F
from torch import Tensor

from spade_widgets.classifier import ImageClassifier
from spade_widgets.errors import InputError, ModelError
from spade_widgets.network.capture import capture
from spade_widgets.neuron import Layer
from spade_widgets.pruning.plans.plan import blocks

#: Images that the reader looks at in one go.
BATCH = 16


#: What a reader sees in n images: (n, channels) float32 on the CPU for each of its layers.
Features: TypeAlias = tuple[Tensor, ...]


class Reader:
    """A classifier that reads other networks' pictures.

    Attributes:
        classifier: the reader itself.
        layers: the names of those whose output are its features.

    Args:
        classifier: any classifier but the one that is judged.
        layers: default: `late_blocks`.

    Raises:
        InputError: if there is no such layer, or it has no places.
        ModelError: if the reader has no feature map.
    """

    def __init__(self, classifier: ImageClassifier, layers: Sequence[str] | None = None) -> None:
        self.classifier = classifier
        self._layers = late_blocks(classifier) if layers is None else tuple(map(classifier.layer, layers))
        self.layers = tuple(layer.name for layer in self._layers)
        if not self.layers:
            raise InputError("The reader needs a layer to see with: name at least one.")

    @property
    def settings(self) -> dict[str, Any]:
        """What its judgement depends on; JSON."""
        return {"reader": self.classifier.digest, "layers": list(self.layers)}

    def features(self, images: Sequence[Tensor]) -> Features:
        """What it sees in each image, wherever it is: each layer's channels, their mean over the places.

        Args:
            images: at least one, (3, h, w) in 0…1, of any sizes: each is brought to the reader's input size.
        """
        size = self.classifier.at_once(BATCH)
        parts = [self._features(images[i : i + size]) for i in range(0, len(images), size)]
        return tuple(torch.cat(of_layer) for of_layer in zip(*parts, strict=True))

    def _features(self, images: Sequence[Tensor]) -> Features:
        with torch.no_grad():
            outputs = capture(self.classifier.module(), self._input(images), self.layers)
        return tuple(layer.maps(outputs[layer.name]).float().flatten(2).mean(2).cpu() for layer in self._layers)

    def classes(self, image: Tensor, top: int) -> list[int]:
        """The indices of the `top` classes that it reads in an image, the likeliest first."""
        with torch.no_grad():
            logits: Tensor = self.classifier.module()(self._input([image]))
        return [int(i) for i in logits[0].topk(min(top, logits.shape[1])).indices]

    def same_classes(self, classifier: ImageClassifier) -> bool:
        """Whether it knows the same classes, under the same numbers."""
        return self.classifier.class_names == classifier.class_names

    def _input(self, images: Sequence[Tensor]) -> Tensor:
        return self.classifier.normalize(torch.cat([resized(image, self.classifier.input_size) for image in images]))

    def check_apart(self, classifier: ImageClassifier) -> None:
        """A network that reads its own pictures finds in them what it put there.

        Raises:
            InputError: if the reader is the classifier that is judged.
        """
        if self.classifier.digest == classifier.digest:
            raise InputError(f"{classifier.name} cannot read its own pictures: name another network as the reader.")


def resized(image: Tensor, size: tuple[int, int]) -> Tensor:
    """(3, h, w) in 0…1 → (1, 3, *size), bicubic and free of aliases, in 0…1."""
    if image.shape[1:] == size:
        return image[None]
    return F.interpolate(image[None], size=size, mode="bicubic", antialias=True, align_corners=False).clamp(0, 1)


def late_blocks(classifier: ImageClassifier) -> tuple[Layer, ...]:
    """The blocks of the later half of a network whose output has places, and whose channels are not the classes.

    Several, since pictures and photographs agree in some ways earlier (colour, texture) and in others later (parts,
    things); no earlier ones, whose channels are lines. Of a network without blocks: such layers of its later half.

    Raises:
        ModelError: if there is none.
    """
    classes = len(classifier.class_names)
    maps = {layer.name: layer for layer in classifier.layers() if layer.size != (1, 1) and layer.channels != classes}
    if not maps:
        raise ModelError(f"{classifier.name} has no feature map, so it cannot read pictures: name another reader.")
    below = {name: {layer for layer in classifier.prunable() if layer.startswith(f"{name}.")} for name in maps}
    same = ([name for name in maps if below[name] == set(members)] for members in blocks(classifier))
    found = [maps[min(names, key=len)] for names in same if names] or list(maps.values())  # a block, not its inside
    return tuple(found[len(found) // 2 :])


def similarities(features: Features, others: Features) -> Tensor:
    """How alike two sets of images are, each to each: (n, m) in −1…1, the mean over the layers of cosines."""
    cosines = [F.normalize(a, dim=1) @ F.normalize(b, dim=1).T for a, b in zip(features, others, strict=True)]
    return torch.stack(cosines).mean(0)


def centred(features: Features) -> Features:
    """What tells each image from the others of its set: its features, less the set's mean.

    All visualizations have much in common that no photograph has, and features behind a ReLU all point into one corner.
    To be used where a set's composition says nothing of the answer.
    """
    return tuple(layer - layer.mean(0) for layer in features)
