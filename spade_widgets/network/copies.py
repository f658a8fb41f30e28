"""Safe copies of any module: nothing that runs or is set on a copy reaches the user's own."""

from __future__ import annotations

import copy
from typing import Any

from torch import nn

from spade_widgets.errors import ModelError, described


def shared_copy(model: nn.Module) -> nn.Module:
    """A structural copy of a module: eval mode, frozen parameters, every tensor's storage shared. The module stays.

    Raises:
        ModelError: if the module cannot be copied (for instance with old-style weight normalisation on it).
    """
    # What deepcopy finds in its memo it takes as it is. Parameters get frozen twins; buffers are the same objects.
    memo: dict[int, Any] = {id(p): nn.Parameter(p.detach(), requires_grad=False) for p in model.parameters()}
    memo |= {id(buffer): buffer for buffer in model.buffers()}
    try:
        twin = copy.deepcopy(model, memo)
    except Exception as error:  # whatever a user's module does when it is copied
        raise ModelError(f"{type(model).__name__} cannot be copied: {described(error)}.") from error
    return twin.eval()
