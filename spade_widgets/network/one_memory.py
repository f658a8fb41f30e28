"""Equal weights lie in memory once: those of models that this package makes, and nobody writes into.

A notebook's cells, and one cell that is run again, load the same file time after time. A user's own model is never
touched: its tensors are the user's to write into.
"""

from __future__ import annotations

import threading
from typing import Any
from weakref import WeakValueDictionary

import torch
from torch import nn

#: Smaller parameters are not worth it: elements.
LEAST = 4096
#: Elements that are looked at before all are compared.
_LOOKED_AT = 256

_known: WeakValueDictionary[Any, nn.Parameter] = WeakValueDictionary()
_lock = threading.Lock()


def share_memory(model: nn.Module) -> nn.Module:
    """The model, whose parameters take the memory of equal ones of models that were given before and are still there.

    Args:
        model: nobody writes into its parameters from now on.
    """
    with torch.no_grad(), _lock:
        for parameter in model.parameters():
            if parameter.numel() < LEAST:
                continue
            key = _look(parameter)
            same = _known.get(key)
            if same is not None and torch.equal(same, parameter):
                parameter.data = same.data
            _known[key] = parameter  # the newest: it is likely to be there the longest
    return model


def _look(parameter: nn.Parameter) -> Any:
    flat = parameter.detach().reshape(-1)
    seen = flat[:: max(1, flat.numel() // _LOOKED_AT)].cpu().float().numpy().tobytes()
    return tuple(parameter.shape), parameter.stride(), parameter.dtype, parameter.device, seen
