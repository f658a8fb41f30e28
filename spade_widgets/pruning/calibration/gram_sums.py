"""Gram sums Σ x xᵀ over a layer's input columns, without unfolding convolutions.

A k × k convolution's columns hold each input k² times, shifted, so its Gram matrix consists of k² × k² blocks, one for
each pair of kernel taps: Σ over output positions of x[position + tap] x[position + other tap]ᵀ. Few of them differ. At
stride 1 a block depends on the offset between its taps alone, but for the borders, where a tap falls on the padding. So
each dimension's positions are cut into segments, on which all blocks of one offset agree: a 3 × 3 convolution takes 29
products of single channels instead of 81, most of them over a line of the border. Nothing is subtracted: an input that
is always zero has exactly zero on the diagonal. Strides sort the positions by their remainder first.
"""

from __future__ import annotations

import itertools
import math
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from typing import TypeAlias

import torch
from torch import Tensor
from torch.nn import functional as F

from spade_widgets.errors import InputError
from spade_widgets.network.weights import Product
from spade_widgets.pruning.calibration.precision import full_precision

#: Bytes that copies of the inputs may take at once; larger batches are worked through in pieces.
UNFOLD_BYTES = 64 * 2**20
#: Input channels in a group from which on products of shifted inputs beat unfolding.
SHIFT_CHANNELS = 16
#: Columns and rows of the tiles in which the lower half of a symmetric product is computed.
TILE = 512
#: Matrices of at most so many columns are multiplied number after number, so that what is added to a long sum of like
#: products (an input that is constant) loses its last digits: theirs are summed up in runs of so many positions.
NARROW, RUN = 16, 512


@dataclass(frozen=True, order=True)
class Segment:
    """Positions along one dimension: pairs (first + i, second + i), i < count, among every stride-th position.

    `first_phase` and `second_phase` are the positions' remainders by the stride.
    """

    first_phase: int
    second_phase: int
    first: int
    second: int
    count: int

    @property
    def transposed(self) -> Segment:
        return Segment(self.second_phase, self.first_phase, self.second, self.first, self.count)


#: One segment a dimension: the sum over their Cartesian product is one matrix product.
Atom: TypeAlias = tuple[Segment, ...]


def gram_sum(product: Product) -> tuple[Tensor, int]:
    """Σ X Xᵀ of one product's input columns, and how many columns X has.

    Returns:
        (groups, c, c); c = columns of `weight.flatten(1)`, in its order. float32, or float64 for float64 inputs.

    Raises:
        InputError: if the inputs are empty.
    """
    total = GramSum()
    total.add(product)
    return total.total(), total.columns


def columns(product: Product) -> Tensor:
    """X itself, the input columns of one product: (groups, c, n), float32, or float64 for float64 inputs.

    Raises:
        InputError: if the inputs are empty.
    """
    with _recording_nothing():
        inputs = _checked(product)
        if product.weight.ndim == 2:
            pieces: Iterable[Tensor] = [_tokens(inputs, product.groups)]
        else:
            geometry, batch = _convolution(product, inputs)
            pieces = _unfolded(batch, geometry, product.groups)
        return torch.cat(list(pieces), dim=1).mT.contiguous()


def operations(product: Product) -> int:
    """Floating point operations in the matrix products that `gram_sum` makes of a product's input."""
    inputs = product.input
    channels = product.weight.shape[1]
    if product.weight.ndim == 2:
        positions, taps = inputs.numel() // (product.groups * channels), 1
    else:
        geometry, inputs = _convolution(product, inputs)
        positions, taps = inputs.shape[0] * math.prod(geometry.outputs), math.prod(geometry.kernel)
        if taps > 1 and channels >= SHIFT_CHANNELS:
            shifted = sum(math.prod(segment.count for segment in atom) for atom in _plan(geometry).atoms)
            return 2 * product.groups * channels**2 * inputs.shape[0] * shifted
    side = channels * taps
    tiles = sum(min(TILE, side - start) * min(start + TILE, side) for start in range(0, side, TILE))
    return 2 * product.groups * tiles * positions


class GramSum:
    """Σ X Xᵀ over several products with weights of one shape.

    Attributes:
        columns: how many columns were added.
    """

    def __init__(self) -> None:
        self.columns = 0
        self._whole: Tensor | None = None
        # What was added in shifted form, by the geometry that it is put together with: it takes less memory so.
        self._shifted: dict[_Geometry, Tensor] = {}

    def add(self, product: Product) -> None:
        """Add a product's columns.

        Raises:
            InputError: if its inputs are empty.
        """
        inputs = _checked(product)
        with _recording_nothing(), full_precision(inputs.device):
            if product.weight.ndim == 2:
                self._add_columns([_tokens(inputs, product.groups)])
                return
            geometry, batch = _convolution(product, inputs)
            if all(k == 1 for k in geometry.kernel):
                self._add_columns(_pointwise(batch, geometry, product.groups))
            elif batch.shape[1] // product.groups < SHIFT_CHANNELS:
                self._add_columns(_unfolded(batch, geometry, product.groups))
            else:
                self._add_shifted(batch, geometry, product.groups)

    def total(self) -> Tensor:
        """(groups, c, c), of what was added so far: at least one product."""
        with _recording_nothing():
            parts = [_assembled(sums, geometry) for geometry, sums in self._shifted.items()]
            if self._whole is not None:
                parts.insert(0, _mirrored(self._whole))
            total = parts[0]
            for part in parts[1:]:
                total.add_(part)
            return total

    def _add_columns(self, pieces: Iterable[Tensor]) -> None:
        """pieces: each (groups, positions, c)."""
        for piece in pieces:
            if self._whole is None:
                self._whole = piece.new_zeros(piece.shape[0], piece.shape[2], piece.shape[2])
            _add_lower_half(self._whole, piece)
            self.columns += piece.shape[1]

    def _add_shifted(self, inputs: Tensor, geometry: _Geometry, groups: int) -> None:
        atoms = _plan(geometry).atoms
        channels = inputs.shape[1] // groups
        if geometry not in self._shifted:
            self._shifted[geometry] = inputs.new_zeros(len(atoms), groups, channels, channels)
        sums = self._shifted[geometry]
        for piece in _pieces(inputs, inputs[0].numel()):
            phases = _phases(piece, geometry.stride, groups)
            for total, atom in zip(sums, atoms, strict=True):
                for first, second in _operands(phases, atom):
                    _add_product(total, first, second)
        self.columns += inputs.shape[0] * math.prod(geometry.outputs)


@dataclass(frozen=True)
class _Geometry:
    """A convolution's: one number a spatial dimension each."""

    size: tuple[int, ...]
    kernel: tuple[int, ...]
    stride: tuple[int, ...]
    padding: tuple[int, ...]
    dilation: tuple[int, ...]

    @property
    def outputs(self) -> tuple[int, ...]:
        """The output's size."""
        return tuple(
            (size + 2 * padding - dilation * (kernel - 1) - 1) // stride + 1
            for size, kernel, stride, padding, dilation in self.dimensions()
        )

    def dimensions(self) -> Iterator[tuple[int, int, int, int, int]]:
        """Size, kernel, stride, padding and dilation of each dimension."""
        return zip(self.size, self.kernel, self.stride, self.padding, self.dilation, strict=True)


def _checked(product: Product) -> Tensor:
    """The input, in a type that sums are kept in."""
    if product.input.numel() == 0:
        raise InputError("The layer's inputs are empty, so there is nothing to calibrate on.")
    inputs = product.input.detach()
    return inputs if inputs.dtype in (torch.float32, torch.float64) else inputs.float()


def _tokens(inputs: Tensor, groups: int) -> Tensor:
    """A linear layer's columns: (groups, positions, c)."""
    return inputs.reshape(-1, groups, inputs.shape[-1] // groups).transpose(0, 1)


def _convolution(product: Product, inputs: Tensor) -> tuple[_Geometry, Tensor]:
    """A convolution's geometry and its input as a batch."""
    if inputs.ndim == product.weight.ndim - 1:
        inputs = inputs.unsqueeze(0)
    size, kernel = tuple(inputs.shape[2:]), tuple(product.weight.shape[2:])
    return _Geometry(size, kernel, product.stride, product.padding, product.dilation), inputs


@dataclass(frozen=True)
class _Plan:
    """Which products a geometry takes, and how its blocks are put together from them.

    Attributes:
        atoms: the products, one of each pair of transposes.
        blocks: (tap, other tap), tap ≤ other → the products that add up to the block: index, whether transposed.
    """

    atoms: tuple[Atom, ...]
    blocks: dict[tuple[int, int], tuple[tuple[int, bool], ...]]


@lru_cache(maxsize=256)
def _plan(geometry: _Geometry) -> _Plan:
    covers = [_cover(*dimension) for dimension in geometry.dimensions()]
    taps = list(itertools.product(*(range(k) for k in geometry.kernel)))
    atoms: dict[Atom, int] = {}
    blocks = {}
    for (row, first), (col, second) in itertools.combinations_with_replacement(enumerate(taps), 2):
        pairs = zip(covers, first, second, strict=True)
        parts = []
        for atom in itertools.product(*(cover[a, b] for cover, a, b in pairs)):
            transposed = tuple(segment.transposed for segment in atom)
            chosen = min(atom, transposed)
            parts.append((atoms.setdefault(chosen, len(atoms)), chosen != atom))
        blocks[row, col] = tuple(parts)
    return _Plan(tuple(atoms), blocks)


def _cover(size: int, kernel: int, stride: int, padding: int, dilation: int) -> dict[tuple[int, int], list[Segment]]:
    """For each pair of one dimension's taps the segments of positions where both see the input, not the padding."""
    outputs = (size + 2 * padding - dilation * (kernel - 1) - 1) // stride + 1
    ranges: dict[tuple[int, int, int], dict[tuple[int, int], tuple[int, int]]] = defaultdict(dict)
    for a, b in itertools.product(range(kernel), repeat=2):
        shift_a, shift_b = dilation * a - padding, dilation * b - padding
        start = max(0, -(min(shift_a, shift_b) // stride))
        stop = min(outputs, (size - 1 - max(shift_a, shift_b)) // stride + 1)
        first, first_phase = divmod(stride * start + shift_a, stride)
        second, second_phase = divmod(stride * start + shift_b, stride)
        ranges[first_phase, second_phase, second - first][a, b] = (first, first + max(0, stop - start))
    cover = {}
    for (first_phase, second_phase, offset), alike in ranges.items():
        cuts = sorted({edge for span in alike.values() for edge in span if span[0] < span[1]})
        for pair, (low, high) in alike.items():
            cover[pair] = [
                Segment(first_phase, second_phase, left, left + offset, right - left)
                for left, right in itertools.pairwise(cuts)
                if low <= left and right <= high
            ]
    return cover


def _phases(inputs: Tensor, stride: Sequence[int], groups: int) -> dict[tuple[int, ...], Tensor]:
    """Every stride-th position from each remainder on: (*positions, n, groups, channels), the same places adjacent."""
    spatial = len(stride)
    moved = _grouped(inputs, groups).permute(*range(3, 3 + spatial), 0, 1, 2)
    return {
        phase: moved[tuple(slice(p, None, s) for p, s in zip(phase, stride, strict=True))].contiguous()
        for phase in itertools.product(*(range(s) for s in stride))
    }


def _operands(phases: dict[tuple[int, ...], Tensor], atom: Atom) -> Iterator[tuple[Tensor, Tensor]]:
    """The two factors of an atom in pieces whose positions lie in a row: each (positions, groups, channels)."""
    first = phases[tuple(segment.first_phase for segment in atom)]
    second = phases[tuple(segment.second_phase for segment in atom)]
    inner = len(atom) - 1
    # Dimensions that are taken whole on both sides are in a row with the ones outside them.
    while inner > 0 and atom[inner].count == first.shape[inner] == second.shape[inner]:
        inner -= 1
    segment = atom[inner]
    for steps in itertools.product(*(range(s.count) for s in atom[:inner])):
        outer = list(zip(atom, steps, strict=False))
        here = first[tuple(s.first + step for s, step in outer)][segment.first : segment.first + segment.count]
        there = second[tuple(s.second + step for s, step in outer)][segment.second : segment.second + segment.count]
        yield here.flatten(0, -3), there.flatten(0, -3)


def _add_product(total: Tensor, first: Tensor, second: Tensor) -> None:
    """total (groups, m, m) += firstᵀ second; factors: (positions, groups, m)."""
    if total.shape[0] == 1:
        total[0].addmm_(first[:, 0].T, second[:, 0])
    else:
        total.baddbmm_(first.permute(1, 2, 0), second.transpose(0, 1))


def _add_lower_half(total: Tensor, columns: Tensor) -> None:
    """total (groups, c, c) += columnsᵀ columns, in the tiles that touch the lower half; columns: (groups, n, c)."""
    side = total.shape[-1]
    if side <= NARROW:
        for run in torch.split(columns, RUN, dim=1):
            total += run.mT @ run
        return
    for start in range(0, side, TILE):
        rows = slice(start, start + TILE)
        done = slice(0, start + TILE)
        if total.shape[0] == 1:
            total[0, rows, done].addmm_(columns[0, :, rows].T, columns[0, :, done])
        else:
            total[:, rows, done].baddbmm_(columns[..., rows].mT, columns[..., done])


def _mirrored(total: Tensor) -> Tensor:
    """A symmetric matrix from its tiles that touch the lower half; their mirror images are filled in."""
    for start in range(TILE, total.shape[-1], TILE):
        rows, done = slice(start, start + TILE), slice(0, start)
        total[:, done, rows] = total[:, rows, done].mT
    return total.clone()


def _assembled(sums: Tensor, geometry: _Geometry) -> Tensor:
    """The whole matrix from the products' sums (atoms, groups, m, m): (groups, m · taps, m · taps)."""
    _, groups, channels, _ = sums.shape
    taps = math.prod(geometry.kernel)
    blocks = _plan(geometry).blocks
    total = sums.new_empty(groups, channels, taps, channels, taps)
    for row in range(taps):
        # Whole rows at once: single blocks would be written a number here, a number there.
        total[:, :, row] = torch.stack([_block(sums, blocks, row, col) for col in range(taps)], dim=-1)
    return total.reshape(groups, channels * taps, channels * taps)


def _block(sums: Tensor, blocks: Mapping[tuple[int, int], tuple[tuple[int, bool], ...]], row: int, col: int) -> Tensor:
    """The block of two taps, (groups, m, m)."""
    if row > col:
        return _block(sums, blocks, col, row).mT
    parts = [sums[index].mT if transposed else sums[index] for index, transposed in blocks[row, col]]
    return sum(parts[1:], parts[0]) if parts else sums.new_zeros(sums.shape[1:])


def _pointwise(inputs: Tensor, geometry: _Geometry, groups: int) -> Iterator[Tensor]:
    """The columns of a 1 × 1 convolution: (groups, positions, c)."""
    if any(geometry.padding):
        inputs = F.pad(inputs, [p for padding in reversed(geometry.padding) for p in (padding, padding)])
    taken = inputs[(slice(None), slice(None), *(slice(None, None, s) for s in geometry.stride))]
    for piece in _pieces(taken, taken[0].numel()):
        columns = _grouped(piece, groups).movedim((1, 2), (0, -1))  # (groups, n, *positions, c)
        yield columns.flatten(1, -2)


def _unfolded(inputs: Tensor, geometry: _Geometry, groups: int) -> Iterator[Tensor]:
    """The columns of any convolution, copied: (groups, positions, c)."""
    spatial = len(geometry.size)
    if any(geometry.padding):
        inputs = F.pad(inputs, [p for padding in reversed(geometry.padding) for p in (padding, padding)])
    taps = math.prod(geometry.kernel)
    for piece in _pieces(inputs, inputs.shape[1] * taps * math.prod(geometry.outputs)):
        strides = piece.stride()
        patches = piece.as_strided(
            (piece.shape[0], groups, piece.shape[1] // groups, *geometry.outputs, *geometry.kernel),
            (
                strides[0], strides[1] * (piece.shape[1] // groups), strides[1],
                *(s * t for s, t in zip(strides[2:], geometry.stride, strict=True)),
                *(s * t for s, t in zip(strides[2:], geometry.dilation, strict=True)),
            ),
            piece.storage_offset(),
        )  # fmt: skip
        # (n, groups, m, *positions, *taps) → (groups, n, *positions, m, *taps)
        columns = patches.movedim((1, 2), (0, 2 + spatial))
        yield columns.flatten(2 + spatial).flatten(1, -2)


def _grouped(inputs: Tensor, groups: int) -> Tensor:
    """(n, c_in, *size) as (n, groups, channels, *size)."""
    return inputs.reshape(inputs.shape[0], groups, -1, *inputs.shape[2:])


def _pieces(inputs: Tensor, numbers: int) -> tuple[Tensor, ...]:
    """The batch in pieces of which each copy stays in bounds; numbers: of a copy, for one item."""
    return torch.split(inputs, max(1, UNFOLD_BYTES // (numbers * inputs.element_size())))


@contextmanager
def _recording_nothing() -> Iterator[None]:
    """No gradients, and no inference tensors, which could not be used where gradients are recorded."""
    with torch.inference_mode(False), torch.no_grad():
        yield
