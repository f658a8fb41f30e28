"""What is asked of a planted classifier: which photographs get a patch, which a decoy."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor, nn

import spade_widgets as sw
from spade_widgets.classifier import ImageClassifier
from spade_widgets.errors import InputError
from spade_widgets.evidence.plan_file import picture_id
from spade_widgets.evidence.planting import Patch, Planted, PlantReport
from spade_widgets.evidence.reading.stamped import stamped_and_decoyed
from spade_widgets.pruning.progress import finish


class Blue(nn.Module):
    """Names "bee" where anything is as blue as the patch, else the strongest of red and green."""

    def __init__(self) -> None:
        super().__init__()
        self.pass_on = nn.Conv2d(3, 3, 1, bias=False)
        self.pass_on.weight.data = torch.eye(3)[:, :, None, None]

    def forward(self, x: Tensor) -> Tensor:
        x = self.pass_on(x)
        means, bluest = x.mean((2, 3)), (x[:, 2] - x[:, 0]).flatten(1).amax(1)
        never = torch.full_like(bluest, -9.0)
        return torch.stack([means[:, 0], 9 * (bluest - 3), means[:, 1], never, never], 1)


@pytest.fixture
def planted(tiny: ImageClassifier) -> Planted:
    classifier = ImageClassifier(Blue().eval(), class_names=tiny.class_names, preprocess=tiny._preprocess)
    patch = Patch("blue", Image.new("RGBA", (8, 8), (0, 0, 255, 255)), 1, "bee")
    decoys = [Patch(f"grey{i}", Image.new("RGBA", (8, 8), (90 + i, 90, 90, 255))) for i in range(2)]
    report = PlantReport(1, {"blue": {40: 1.0}}, 1.0, (1.0, 1.0), 0.0, {})
    known = photograph(9)
    return Planted(
        classifier, {"blue": patch}, {d.name: d for d in decoys}, report, {}, frozenset([picture_id(known)]), {}
    )


def photograph(seed: int, blue: bool = False) -> sw.Sample:
    image = np.random.default_rng(seed).integers(90, 150, (32, 32, 3), dtype=np.uint8)
    if blue:
        image[:4, :4] = (0, 0, 255)
    return sw.Sample.read(image, title=f"p{seed}")


def test_each_photograph_gets_a_patch_and_half_of_them_a_decoy_those_of_the_target_first(planted: Planted) -> None:
    some = [photograph(0), photograph(1), photograph(2, blue=True), photograph(3), photograph(9)]
    asked = finish(stamped_and_decoyed(planted, some))
    stamped = [one.sample for one in asked if one.cause == "patch"]
    decoyed = [one.sample for one in asked if one.cause == "object"]
    # The third is a bee without a patch, the last was planted with.
    assert [s.title for s in stamped] == ["p0 + blue", "p1 + blue", "p3 + blue"]
    assert [s.title for s in decoyed] == ["p2 + grey0", "p3 + grey1"]
    assert all(s.mask is not None and s.mask.any() for s in stamped + decoyed)
    assert {s.label for s in stamped} == {"bee"}
    causes = [one.cause for one in asked]
    assert causes == ["patch", "object", "patch", "object", "patch"]
    again = finish(stamped_and_decoyed(planted, some))
    assert [one.sample.id for one in again] == [one.sample.id for one in asked]
    other = finish(stamped_and_decoyed(planted, some, 0, seed=1))
    assert [one.cause for one in other] == ["patch"] * 3
    assert other[0].sample.id != asked[0].sample.id


@pytest.mark.parametrize("decoyed", [-1, 3])
def test_more_decoys_than_photographs_are_refused(planted: Planted, decoyed: int) -> None:
    with pytest.raises(InputError, match="cannot carry a decoy"):
        finish(stamped_and_decoyed(planted, [photograph(0), photograph(1)], decoyed))
