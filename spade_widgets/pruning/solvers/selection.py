"""Choosing weights by their scores."""

from __future__ import annotations

import torch
from torch import Tensor


def first(scores: Tensor, counts: Tensor) -> Tensor:
    """True on the `counts[b]` least scores of each batch entry. scores: (b, …); ties go to the first in order."""
    flat = scores.flatten(1)
    order = flat.argsort(dim=1, stable=True)
    chosen = torch.arange(flat.shape[1], device=flat.device) < counts.unsqueeze(1)
    return torch.zeros_like(flat, dtype=torch.bool).scatter_(1, order, chosen).view_as(scores)
