"""Sparse tensors as values and places, bit for bit: the smallest of three ways to say where the values are."""

from __future__ import annotations

from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

Places: TypeAlias = npt.NDArray[np.int64]

#: What a byte of the code `gaps` can say at most: so many places without a value, and none at their end either.
SKIP = 255

#: Integers of a size in bytes: a value's bits, whatever its type.
_BITS = {1: torch.int8, 2: torch.int16, 4: torch.int32, 8: torch.int64}


def encode(tensor: Tensor) -> tuple[str, Tensor, Tensor]:
    """A tensor's code, its values (kept,) and their places (bytes,) uint8.

    Kept is what is not zero in every bit: −0.0 is, so that what is decoded equals the tensor bit for bit.

    The codes: `"all"`, every value is kept; `"mask"`, a bit an entry, the lowest first; `"gaps"`, for each value how
    many entries were skipped before it, 255 standing for 255 skipped ones with more to come.
    """
    flat = tensor.detach().cpu().contiguous().view(-1)
    kept = (flat.view(_BITS[flat.element_size()]) != 0).numpy()
    places: Places = np.flatnonzero(kept)
    values = flat[torch.from_numpy(places)]
    if len(places) == len(kept):
        return "all", values, torch.empty(0, dtype=torch.uint8)
    gaps = _encode_gaps(places)
    if len(gaps) <= -(-len(kept) // 8):
        return "gaps", values, torch.from_numpy(gaps)
    return "mask", values, torch.from_numpy(np.packbits(kept, bitorder="little"))


def decode(code: str, values: Tensor, where: Tensor, shape: torch.Size) -> Tensor:
    """The tensor of `encode`, on the CPU.

    Raises:
        ValueError: if the parts do not fit each other or the shape; says how.
    """
    entries = shape.numel()
    if values.ndim != 1 or where.ndim != 1 or where.dtype != torch.uint8:
        raise ValueError("values and places are not lists")
    coded = where.numpy()
    if code == "all":
        places = np.arange(entries)
    elif code == "mask":
        if len(coded) != -(-entries // 8):
            raise ValueError(f"the mask has {len(coded)} bytes for {entries} weights")
        places = np.flatnonzero(np.unpackbits(coded, bitorder="little"))
    elif code == "gaps":
        places = _decode_gaps(coded)
    else:
        raise ValueError(f"the code '{code[:40]}' is not known here")
    if len(places) != len(values) or (len(places) and places[-1] >= entries):
        raise ValueError(f"{len(values)} values have {len(places)} places among {entries}")
    flat = torch.zeros(entries, dtype=values.dtype)
    flat[torch.from_numpy(places)] = values
    return flat.view(shape)


def _encode_gaps(places: Places) -> npt.NDArray[np.uint8]:
    gaps = np.diff(places, prepend=-1) - 1
    skips = gaps // SKIP
    ends = np.cumsum(skips) + np.arange(len(places))  # where in the code each value's own byte is
    coded = np.full(int(ends[-1]) + 1 if len(ends) else 0, SKIP, dtype=np.uint8)
    coded[ends] = gaps % SKIP
    return coded


def _decode_gaps(coded: npt.NDArray[np.uint8]) -> npt.NDArray[Any]:
    ends = coded < SKIP
    places: Places = np.cumsum(coded.astype(np.int64) + ends) - 1
    return places[ends]
