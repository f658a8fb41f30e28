"""How what is known of a layer's inputs X is held in bounded memory: Σ X Xᵀ, X itself, or blocks of Σ X Xᵀ."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal, TypeAlias

import torch
from torch import Tensor

from spade_widgets.errors import InputError
from spade_widgets.network.weights import Product
from spade_widgets.pruning.calibration.gram_sums import GramSum, columns

#: See `Calibration`.
Form: TypeAlias = Literal["full", "columns", "blocks"]

#: Bytes that a layer may take by default: a square float32 matrix of 16384 columns.
LAYER_MEMORY = 2**30


@dataclass(frozen=True, eq=False)
class Held:
    """What is known of one layer's inputs.

    Attributes:
        columns: how many columns X has.
        gram: Σ X Xᵀ, (groups · pieces, c / pieces, c / pieces), or None where X is held.
        inputs: X, (groups, c, n), or None where Σ X Xᵀ is held.
        pieces: how many blocks on the diagonal are held of each group's Σ X Xᵀ.
    """

    columns: int
    gram: Tensor | None = None
    inputs: Tensor | None = None
    pieces: int = 1

    def plus(self, other: Held, memory: int) -> Held:
        """Both ones' inputs, in at most `memory` bytes if blocks of a single channel allow it."""
        if self.inputs is not None and other.inputs is not None:
            both = torch.cat([self.inputs, other.inputs], dim=2)
            held = Held(both.shape[2], inputs=both)
            return held if _worth_holding(both.shape, both.element_size(), memory) else _in_blocks(held, memory)
        one, two = (_in_blocks(held, memory, like) for held, like in ((self, other), (other, self)))
        if one.gram is None or two.gram is None or one.gram.shape != two.gram.shape:
            raise InputError("Only calibrations of layers of the same shape can be added.")
        return Held(one.columns + two.columns, one.gram + two.gram, pieces=one.pieces)


class LayerSum:
    """A layer's inputs, product by product.

    Args:
        memory: bytes that they may take.
    """

    def __init__(self, memory: int = LAYER_MEMORY) -> None:
        self._memory = memory
        self._sum = GramSum()
        self._held: Held | None = None  # X, while it is held
        self._pieces = 1

    def add(self, product: Product) -> None:
        """Add a product's inputs.

        Raises:
            InputError: if they are empty.
        """
        side = product.weight[0].numel()
        size = 8 if product.input.dtype == torch.float64 else 4
        if product.groups * side * side * size <= self._memory:
            self._sum.add(product)
            return
        if not self._sum.columns:
            X = columns(product)
            more = Held(X.shape[2], inputs=X)
            held = more if self._held is None else self._held.plus(more, self._memory)
            if held.inputs is not None and _worth_holding(X.shape, size, self._memory):
                self._held = held
                return
        self._pieces = _pieces(product.groups, side, size, product.weight.shape[1], self._memory)
        if self._held is not None and self._held.inputs is not None:
            self._sum.add(_product(self._held.inputs, self._pieces))
            self._held = None
        weight = product.weight[:, : product.weight.shape[1] // self._pieces]
        self._sum.add(replace(product, weight=weight, groups=product.groups * self._pieces))

    def held(self) -> Held:
        """What was added so far."""
        if self._held is not None:
            return self._held
        return Held(self._sum.columns, self._sum.total(), pieces=self._pieces)


def to_blocks(W: Tensor, groups: int, pieces: int) -> Tensor:
    """Weights for a Gram matrix in blocks: (rows, c) → (rows · pieces, c / pieces), the groups' pieces one by one.

    A layer whose H is zero between its blocks is as many layers side by side: a solver takes them as groups.
    """
    rows, side = W.shape
    split = W.reshape(groups, rows // groups, pieces, side // pieces)
    return split.transpose(1, 2).reshape(rows * pieces, side // pieces)


def from_blocks(W: Tensor, groups: int, pieces: int) -> Tensor:
    """`to_blocks` undone."""
    rows, side = W.shape[0] // pieces, W.shape[1] * pieces
    split = W.reshape(groups, pieces, rows // groups, side // pieces)
    return split.transpose(1, 2).reshape(rows, side)


def _worth_holding(shape: torch.Size, size: int, memory: int) -> bool:
    groups, side, seen = shape
    return seen < side and groups * side * seen * size <= memory


def _in_blocks(held: Held, memory: int, like: Held | None = None) -> Held:
    """X as blocks of Σ X Xᵀ: as many as another one has, or as memory asks for. What is no X stays as it is."""
    if held.inputs is None:
        return held
    groups, side, _ = held.inputs.shape
    pieces = like.pieces if like else _pieces(groups, side, held.inputs.element_size(), side, memory)
    total = GramSum()
    total.add(_product(held.inputs, pieces))
    return Held(held.columns, total.total(), pieces=pieces)


def _pieces(groups: int, side: int, size: int, channels: int, memory: int) -> int:
    """The least number of like pieces of a group's channels whose blocks fit in, or one piece a channel."""
    needed = groups * side * side * size
    return next((p for p in range(1, channels) if channels % p == 0 and needed <= p * memory), channels)


def _product(X: Tensor, pieces: int) -> Product:
    """The product whose input columns are X, (groups, c, n), with each group cut into pieces."""
    groups, side, _ = X.shape
    weight = X.new_empty(groups * pieces, side // pieces)
    return Product(X.permute(2, 0, 1).flatten(1), weight, groups=groups * pieces)
