"""LRP through gates: whatever stands between what squashes and the product, the gate is seen."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from attribution.nets import ask, classify, logit, picture
from torch import Tensor, nn

from spade_widgets.attribution import saliency

FORMS: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "view": lambda y, x: y.view(len(x), 8, 1, 1),
    "expand_as": lambda y, x: y.view(len(x), 8, 1, 1).expand_as(x),
    "indexing": lambda y, _x: y[:, :, None, None],
    "unsqueeze": lambda y, _x: y.unsqueeze(-1).unsqueeze_(-1),
    "reshape_as": lambda y, x: y[..., None, None].expand(x.shape).reshape_as(x),
    "view_as, type_as": lambda y, x: y[..., None, None].repeat(1, 1, *x.shape[2:]).view_as(x).type_as(x),
    "scaled": lambda y, _x: (2 * y + 1)[..., None, None],
    "of ones": lambda y, _x: (torch.ones_like(y) * y)[..., None, None],
    "of new zeros": lambda y, _x: (y.new_zeros(y.shape) + y)[..., None, None],
}


class Gate(nn.Module):
    def __init__(self, form: str) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.form, self.conv, self.fc = FORMS[form], nn.Conv2d(3, 8, 3), nn.Linear(8, 4)
        self.gate = nn.Sequential(nn.Linear(8, 4), nn.ReLU(), nn.Linear(4, 8), nn.Sigmoid())

    def forward(self, x: Tensor) -> Tensor:
        x = self.conv(x).relu()
        z = self.fc((x * self.form(self.gate(x.mean((2, 3))), x)).mean((2, 3)))
        return torch.cat([torch.zeros_like(z[:, :1]), z], 1)


@pytest.mark.parametrize("method", ["lrp", "deeplift"])
@pytest.mark.parametrize("form", FORMS)
def test_a_gate_is_seen_in_whatever_form(form: str, method: str) -> None:
    classifier = classify(Gate(form).eval())
    x = ask(classifier).x
    whole = logit(classifier, x, 2) - (logit(classifier, 0 * x, 2) if method == "deeplift" else 0)
    found = saliency(classifier, picture(), 2, method)
    assert float(found.sum(dtype=np.float64)) == pytest.approx(whole, rel=1e-3)
