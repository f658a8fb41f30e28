"""What a picture goes through before the network sees it: transforms that draw from a generator they are given.

`turns_and_shifts` is Lucent's standard chain as one warp. Lucent moves the picture four times, each time through a
resampling of all its pixels, and back again in the backward pass; composed, the same movement takes one resampling, a
fifth of the time, and does not blur twice. Numbers are drawn as Lucent draws them and in its order, so that a seed
means the same movement in both.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

#: (n, 3, h, w) → (n, 3, h', w'), differentiable; may draw random numbers.
Transform: TypeAlias = Callable[[Tensor], Tensor]

#: Lucent's choices.
SCALES = tuple(1 + (i - 5) / 50 for i in range(11))
DEGREES = (*range(-10, 11), *(5 * [0]))


@dataclass(frozen=True)
class Seeded:
    """A transform that draws from the generator that it is given, and touches nothing global.

    Called as any other transform, outside a `Renderer`, it is seeded by NumPy's global generator, as Lucent's are.
    """

    apply: Callable[[Tensor, np.random.Generator], Tensor]

    def __call__(self, images: Tensor) -> Tensor:
        """Apply it once."""
        seed = np.random.randint(2**31)  # noqa: NPY002
        return self.apply(images, np.random.default_rng(seed))


@dataclass(frozen=True)
class Reach:
    """How far Lucent's standard transforms move a picture of some size, in its pixels.

    Lucent's are tuned for 224 px: grey margin of 12, shift by up to 8, scale by 0.9 to 1.1, turn by up to 10°, shift by
    up to 4. On a 64 px picture a margin of 12 would be more than a third of what the network sees.

    Attributes:
        margin: of grey, on each side.
        first, second: of the two shifts; they are by 0 to one less.
    """

    margin: int
    first: int
    second: int

    @staticmethod
    def of(size: tuple[int, int]) -> Reach:
        """For a picture of so many rows and columns."""
        unit = max(size) / 224
        return Reach(*(max(2, round(pixels * unit)) for pixels in (12, 8, 4)))  # shifts of 1 would be none


def turns_and_shifts(size: tuple[int, int]) -> list[Transform]:
    """Lucent's standard transforms, their pixels scaled to the picture, as one warp that gives pictures of that size.

    The same random numbers move the picture as they do in `lucent_bridge.standard_transforms`, of which the middle is
    cut out: grey margin and the black beyond it lie where they lie there. Pixels differ by interpolation alone.

    Args:
        size: rows and columns of the picture, in pixels; it must be given pictures of this size.
    """
    reach = Reach.of(size)

    def move(images: Tensor, generator: np.random.Generator) -> Tensor:
        def shift(most: int) -> tuple[int, int]:  # right, then down
            return int(generator.integers(most)), int(generator.integers(most))

        first = shift(reach.first)
        scale, degrees = (chosen[generator.integers(len(chosen))] for chosen in (SCALES, DEGREES))
        places = _places(size, reach.margin, first, scale, degrees, shift(reach.second))
        # Lucent's first shift pushes the margin's right and lower ends off its canvas, and leaves black behind it.
        right, down = (reach.margin - moved for moved in first)
        padded = F.pad(images, (reach.margin, right, reach.margin, down), value=0.5)
        grid = _grid(places, size, padded.shape[2:], images.device)
        return F.grid_sample(
            padded, grid.expand(len(images), -1, -1, -1), mode="bilinear", padding_mode="zeros", align_corners=True
        )

    return [Seeded(move)]


def crops_and_noise(size: tuple[int, int]) -> list[Transform]:
    """MACO's transforms: a square of the picture anywhere in it, enlarged to the whole, and normal noise.

    The network so sees the picture from near and from farther away, and each part of it must stand for itself. Sides of
    0.3 to 0.8 and noise of 0.1 are ours, chosen by eye on the emoji classifier; the paper's are for pictures larger
    than the network's input.

    Args:
        size: rows and columns of the picture, in pixels.
    """

    def crop(images: Tensor, generator: np.random.Generator) -> Tensor:
        share = generator.uniform(0.3, 0.8)
        rows, cols = (max(1, round(side * share)) for side in size)
        top, left = (int(generator.integers(0, s - part + 1)) for s, part in zip(size, (rows, cols), strict=True))
        seen = images[:, :, top : top + rows, left : left + cols]
        return F.interpolate(seen, size, mode="bilinear", align_corners=False)

    def noise(images: Tensor, generator: np.random.Generator) -> Tensor:
        drawn = generator.standard_normal(tuple(images.shape), dtype=np.float32)
        return images + 0.1 * torch.from_numpy(drawn).to(images.device)

    return [Seeded(crop), Seeded(noise)]


@dataclass(frozen=True)
class _Places:
    """Where in a picture the pixels of another come from: x = xx · column + xy · row + x0, and y likewise."""

    xx: float
    xy: float
    x0: float
    yx: float
    yy: float
    y0: float


def _places(
    size: tuple[int, int],
    margin: int,
    first: tuple[int, int],
    scale: float,
    degrees: float,
    second: tuple[int, int],
) -> _Places:
    """From the pixels that the network sees back through Lucent's chain to those of the picture with its margin.

    Args:
        size, margin: of the picture.
        first, second: the shifts, right and down.
        scale: of the picture with its margin.
        degrees: counter-clockwise.
    """
    rows, cols = (side + 2 * margin for side in size)
    # As `random_scale` makes them: whole pixels, and black around what has become smaller. (Its margins are the
    # vertical one at the left and at the top, the horizontal one at the right and at the bottom.)
    large_rows, large_cols = (math.ceil(scale * side) for side in (rows, cols))
    above, beside = (max(0, math.ceil((b - a) / 2)) for a, b in ((large_rows, rows), (large_cols, cols)))
    canvas_rows, canvas_cols = large_rows + above + beside, large_cols + above + beside
    top, left = (canvas_rows - size[0]) // 2 - second[1], (canvas_cols - size[1]) // 2 - second[0]
    middle_x, middle_y = (canvas_cols - 1) / 2, (canvas_rows - 1) / 2
    cos, sin = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
    from_x, from_y = left - middle_x, top - middle_y
    shrink_x, shrink_y = (cols - 1) / (large_cols - 1), (rows - 1) / (large_rows - 1)
    return _Places(
        xx=cos * shrink_x,
        xy=-sin * shrink_x,
        x0=(cos * from_x - sin * from_y + middle_x - above) * shrink_x - first[0],
        yx=sin * shrink_y,
        yy=cos * shrink_y,
        y0=(sin * from_x + cos * from_y + middle_y - above) * shrink_y - first[1],
    )


def _grid(places: _Places, size: tuple[int, int], source: torch.Size, device: torch.device) -> Tensor:
    """What `grid_sample` takes: (1, rows, cols, 2), −1 and 1 at the middle of the source's outermost pixels."""
    x, y = 2 / (source[1] - 1), 2 / (source[0] - 1)
    numbers = torch.tensor(
        [[places.xx * x, places.yx * y], [places.xy * x, places.yy * y], [places.x0 * x - 1, places.y0 * y - 1]],
        dtype=torch.float32,
        device=device,
    )
    rows, cols = (_counting(side, device) for side in size)
    grid: Tensor = torch.addcmul(cols * numbers[0] + numbers[2], rows[:, None], numbers[1])[None]
    return grid


@functools.lru_cache(maxsize=32)
def _counting(side: int, device: torch.device) -> Tensor:
    """0, 1, 2, …, as a column (side, 1)."""
    return torch.arange(side, dtype=torch.float32, device=device)[:, None]
