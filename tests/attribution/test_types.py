"""Networks that cast inside are attributed as they would be in one type: over made networks."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from attribution.nets import classify, picture, plain
from torch import Tensor, nn

from spade_widgets.attribution import saliency


class Cast(nn.Module):
    """A plain network's parts, run with casts."""

    def __init__(self) -> None:
        super().__init__()
        self.net = plain()

    def forward(self, x: Tensor) -> Tensor:
        return self.net(x)


class Autocast(Cast):
    def forward(self, x: Tensor) -> Tensor:
        with torch.autocast("cpu", torch.bfloat16):
            return self.net(x)


class Decorated(Cast):
    forward = torch.autocast("cpu", torch.bfloat16)(Cast.forward)


class ToFloat(Cast):
    def forward(self, x: Tensor) -> Tensor:
        return self.net(x.to(torch.float32))


class FloatInside(Cast):
    def forward(self, x: Tensor) -> Tensor:
        return self.net[3:](self.net[:3](x).float() * torch.ones(1, dtype=torch.float32))


class Short(Cast):
    """Half of it in bfloat16, between casts."""

    def __init__(self) -> None:
        super().__init__()
        self.net[:6].bfloat16()

    def forward(self, x: Tensor) -> Tensor:
        return self.net[6:](self.net[:6](x.bfloat16()).float())


class Hidden(Cast):
    """Parts that `module.to` does not reach, and a constant that is made anew."""

    def __init__(self) -> None:
        super().__init__()
        self.parts = [self.net[:7]]
        self.net = self.net[7:]

    def forward(self, x: Tensor) -> Tensor:
        return self.net(self.parts[0](x * torch.ones(3, 1, 1)))


pytestmark = pytest.mark.filterwarnings("ignore::spade_widgets.attribution.promise.SumWarning")

KINDS = [Autocast, Decorated, ToFloat, FloatInside, Short, Hidden]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("method", ["lrp", "deeplift", "integrated_gradients", "guided_backprop"])
def test_the_map_is_that_of_the_same_network_without_casts(kind: type[Cast], method: str) -> None:
    same = Cast().eval()
    if kind is Short:
        same.net[:6].bfloat16().float()  # its weights were rounded
    expected = saliency(classify(same), picture(), 2, method)
    found = saliency(classify(kind().eval()), picture(), 2, method)
    # What is no rule's but a gradient takes the casts, as the network does.
    cast = method == "integrated_gradients" and kind in (Autocast, Decorated, Short)
    share = 0.2 if cast else 0.02 if kind is Short else 1e-3  # its image is rounded, too
    np.testing.assert_allclose(found, expected, rtol=0, atol=share * np.abs(expected).max())


def test_a_transposed_map_has_a_rule() -> None:
    class Transposed(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.net = plain()

        def forward(self, x: Tensor) -> Tensor:
            return self.net(x.mT.mT)

    expected = saliency(classify(plain()), picture(), 2, "lrp")
    np.testing.assert_allclose(saliency(classify(Transposed()), picture(), 2, "lrp"), expected, rtol=1e-4, atol=1e-9)
