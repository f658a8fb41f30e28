"""One warp in the place of Lucent's chain: the same movement from the same numbers, other interpolation."""

# ruff: noqa: NPY002  # NumPy's global generator is what Lucent's transforms, and ours outside a renderer, draw from

from __future__ import annotations

import functools

import numpy as np
import pytest
import torch
from torch import Tensor
from visualization.nets import lucent

from spade_widgets.visualization import lucent_bridge, transforms

#: (40, 64) and (64, 40) because Lucent's `random_scale` mixes up the two margins.
SIZES = [(224, 224), (96, 96), (64, 64), (33, 47), (40, 64), (64, 40)]


def both(images: Tensor, seed: int) -> tuple[Tensor, Tensor]:
    """What the network sees: through Lucent's chain, and through ours."""
    size = (images.shape[2], images.shape[3])
    chains = lucent_bridge.standard_transforms(size), transforms.turns_and_shifts(size)
    theirs, ours = (lucent_bridge.transform_image(chain, images, seed, 3, fork_global=False) for chain in chains)
    return lucent_bridge.fit(theirs, size), ours


@pytest.fixture(params=[False, True], ids=["as it is", "exact"])
def precise(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> bool:
    """Whether kornia places pixels exactly: as Lucent calls it, a shift by d pixels is one by d · w / (w − 1)."""
    if request.param:
        kornia, translate = lucent.transform.kornia, lucent.transform.translate
        monkeypatch.setattr(lucent.transform, "translate", functools.partial(translate, align_corners=True))
        monkeypatch.setattr(kornia, "warp_affine", functools.partial(kornia.warp_affine, align_corners=True))
    return request.param


@pytest.mark.parametrize("size", SIZES)
def test_every_pixel_comes_from_where_lucents_chain_takes_it(size: tuple[int, int], precise: bool) -> None:
    """The picture is its own coordinates: interpolation does nothing to a ramp, so that none is left to excuse."""
    rows, cols = size
    down, right = (torch.arange(side, dtype=torch.float32) for side in size)
    inside = torch.zeros(size)
    inside[2:-2, 2:-2] = 1
    picture = torch.stack([down[:, None].expand(size), right.expand(size), inside])[None]
    compared = 0.0
    for seed in range(30):
        theirs, ours = both(picture, seed)
        assert ours.shape == (1, 3, rows, cols)
        sure = (theirs[0, 2] > 0.9999) & (ours[0, 2] > 0.9999)
        assert float((theirs - ours)[0, :2, sure].abs().max()) < (0.002 if precise else 0.1)  # pixels
        compared += float(sure.float().mean()) / 30
    assert compared > 0.5


@pytest.mark.parametrize("size", SIZES)
def test_margins_and_what_lies_beyond_are_where_lucents_are(size: tuple[int, int]) -> None:
    black = torch.zeros(())
    for seed in range(30):
        theirs, ours = both(torch.ones(1, 3, *size), seed)
        for level in (0.2, 0.7):  # 0 beyond the margin, 0.5 in it, 1 in the picture; edges are interpolated twice there
            differ = ((theirs > level) != (ours > level))[0, 0]
            assert float(differ.float().mean()) < 0.02
        black = black + (theirs < 0.2).float().mean() / 30
    assert 0.001 < float(black) < 0.1


def test_smooth_pictures_differ_by_interpolation_alone() -> None:
    numbers = torch.rand(2, 3, 4, 4, generator=torch.Generator().manual_seed(0))
    smooth = torch.nn.functional.interpolate(numbers, (96, 96), mode="bicubic", align_corners=True).clamp(0, 1)
    for seed in range(30):
        theirs, ours = both(smooth, seed)
        assert float((theirs - ours).abs().mean()) < 0.004


def test_gradients_are_those_of_the_warp() -> None:
    warp = transforms.turns_and_shifts((16, 16))
    picture = torch.rand(1, 3, 16, 16, requires_grad=True)

    def through(images: Tensor) -> Tensor:
        return lucent_bridge.transform_image(warp, images, 1, 0, fork_global=False)

    direction = torch.randn_like(picture)
    (gradient,) = torch.autograd.grad(through(picture).square().sum(), picture)
    with torch.no_grad():
        ahead, behind = (through(picture + sign * 1e-2 * direction).square().sum() for sign in (1, -1))
    assert float((gradient * direction).sum()) == pytest.approx(float((ahead - behind) / 2e-2), rel=1e-2)


def test_several_pictures_move_alike() -> None:
    picture = torch.rand(1, 3, 32, 32)
    once = lucent_bridge.transform_image(transforms.turns_and_shifts((32, 32)), picture, 4, 1, fork_global=False)
    twice = lucent_bridge.transform_image(
        transforms.turns_and_shifts((32, 32)), picture.expand(2, -1, -1, -1), 4, 1, fork_global=False
    )
    assert torch.equal(twice, once.expand(2, -1, -1, -1))


def test_ours_lucents_and_a_users_own_go_together() -> None:
    seen: list[Tensor] = []

    def own(images: Tensor) -> Tensor:
        seen.append(images)
        return images * (0.5 + float(torch.rand(())))

    picture = torch.rand(1, 3, 32, 32)
    chain = [*transforms.turns_and_shifts((32, 32)), own, lucent.transform.jitter(4)]
    first, second, other = (
        lucent_bridge.transform_image(chain, picture, 4, step, fork_global=True) for step in (0, 0, 1)
    )
    assert torch.equal(first, second)
    assert not torch.equal(first, other)
    alone = lucent_bridge.transform_image(chain[:1], picture, 4, 0, fork_global=False)
    assert torch.equal(seen[0], alone)


def test_outside_a_renderer_numpys_global_generator_is_the_seed() -> None:
    (warp,) = transforms.turns_and_shifts((32, 32))
    picture = torch.rand(1, 3, 32, 32)
    seen = []
    for seed in (0, 0, 1):
        np.random.seed(seed)
        seen.append(warp(picture))
    assert torch.equal(seen[0], seen[1])
    assert not torch.equal(seen[0], seen[2])
