"""What a user's model raises is told in one sentence that names the layer and quotes the last line, wherever."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import spade_widgets as sw

PICTURE = np.random.default_rng(0).integers(0, 256, (16, 16, 3), dtype=np.uint8)


def small(image: Any) -> Tensor:
    return torch.from_numpy(np.asarray(image.resize((16, 16)), dtype=np.float32) / 127.5 - 1).permute(2, 0, 1)


class Fussy(nn.Module):
    """Takes few images before it fails."""

    left = 10**9

    def forward(self, x: Tensor) -> Tensor:
        Fussy.left -= 1
        if Fussy.left < 0:
            raise KeyError("first line\nno such thing")
        return x


@pytest.mark.parametrize(
    "use",
    [
        lambda c: sw.predict(c, PICTURE),
        lambda c: sw.trace(c, PICTURE, augmentations=2),
        lambda c: sw.sweep(c, PICTURE, [0.5], augmentations=2),
        lambda c: sw.visualize(c, "logit:0", steps=2),
        *(
            lambda c, m=m: sw.saliency(c, PICTURE, 0, m)
            for m in ("saliency", "lrp", "gradcam", "deeplift", "occlusion")
        ),
    ],
)
def test_every_computation_names_the_layer_and_quotes_the_last_line(use: Callable[[Any], Any]) -> None:
    torch.manual_seed(0)
    parts = nn.Sequential(nn.Conv2d(3, 4, 3), Fussy())
    classifier = sw.ImageClassifier(nn.Sequential(parts, nn.Flatten(), nn.Linear(4 * 14 * 14, 3)), preprocess=small)
    assert classifier.prunable()
    Fussy.left = 0
    try:
        with pytest.raises(sw.ModelError, match=r"'0\.1'.*no such thing") as raised:
            use(classifier)
    finally:
        Fussy.left = 10**9
    assert "\n" not in str(raised.value)
