"""Samples: read from everything a user may have, and named by their content."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch
from PIL import Image

from spade_widgets.errors import InputError
from spade_widgets.sample import MAX_SIDE, Sample, read_samples

Pixels = npt.NDArray[np.uint8]


@pytest.fixture
def pixels() -> Pixels:
    return np.random.default_rng(0).integers(0, 256, (6, 9, 3), dtype=np.uint8)


def read(source: Any) -> Pixels:
    return np.asarray(Sample.read(source).image)


def encoded(image: Image.Image, kind: str = "PNG", **options: Any) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def test_all_sources_give_the_same_pixels(pixels: Pixels, tmp_path: Path) -> None:
    image = Image.fromarray(pixels)
    path = tmp_path / "a goose.png"
    image.save(path)
    tensor = torch.from_numpy(pixels)
    sources = [
        path, str(path), path.read_bytes(), bytearray(path.read_bytes()), memoryview(path.read_bytes()), image,
        pixels, pixels.transpose(2, 0, 1), pixels[None], pixels[:, ::-1][:, ::-1], pixels.astype(np.int64),
        pixels.astype(np.uint16) * 257, pixels / 255, (pixels / 255).astype(np.float32),
        tensor, tensor.permute(2, 0, 1), tensor.permute(2, 0, 1)[None] / 255, (tensor / 255).requires_grad_(),
        tensor.double() / 255,
    ]  # fmt: skip
    for source in sources:
        assert (read(source) == pixels).all()


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_tensors(pixels: Pixels, dtype: torch.dtype) -> None:
    found = read((torch.from_numpy(pixels) / 255).to(dtype)).astype(int)
    assert np.abs(found - pixels).max() <= 1


@pytest.mark.parametrize("shape", [(1, 1), (1, 1, 1), (1, 1, 3), (3, 1, 1), (1, 7), (7, 1, 3)])
def test_smallest_pictures(shape: tuple[int, ...]) -> None:
    assert min(Sample.read(np.zeros(shape, np.uint8)).image.size) == 1


def test_small_tensors_have_their_channels_first_and_small_arrays_last() -> None:
    assert Sample.read(torch.zeros(3, 4, 4)).image.size == (4, 4)
    assert Sample.read(np.zeros((3, 5, 4), np.uint8)).image.size == (5, 3)


def test_titles_and_labels(pixels: Pixels, tmp_path: Path) -> None:
    path = tmp_path / "a goose.png"
    Image.fromarray(pixels).save(path)
    assert Sample.read(path).title == "a goose"
    assert Sample.read(Image.open(path)).title == "a goose"
    assert Sample.read(pixels).title == "array"
    assert Sample.read(path.read_bytes()).title == "image"
    named = Sample.read(path, title="<b>one</b>", label="goose")
    assert (named.title, named.label) == ("<b>one</b>", "goose")
    again = Sample.read(named, label="swan", mask=np.ones((6, 9)))
    assert (again.title, again.label, again.image) == ("<b>one</b>", "swan", named.image)
    assert again.mask is not None
    assert again.mask.all()
    assert Sample.read(named) is named


def test_the_id_names_the_content(pixels: Pixels) -> None:
    one = Sample.read(pixels)
    assert len(one.id) == 16
    assert Sample.read(pixels.copy()).id == one.id
    others = [
        Sample.read(pixels[::-1]), Sample.read(pixels, title="other"), Sample.read(pixels, label="goose"),
        Sample.read(pixels, mask=np.eye(6, 9)), Sample.read(pixels, mask=np.zeros((6, 9))),
        Sample.read(pixels.reshape(9, 6, 3)),
    ]  # fmt: skip
    assert len({one.id, *(other.id for other in others)}) == 7


def test_the_users_picture_is_copied(pixels: Pixels) -> None:
    image = Image.fromarray(pixels)
    sample = Sample.read(image)
    image.paste("red", (0, 0, 9, 6))
    assert (np.asarray(sample.image) == pixels).all()


# Modes


def test_grey_and_palette_and_bilevel(pixels: Pixels) -> None:
    grey = Image.fromarray(pixels[..., 0])
    assert (read(grey) == pixels[..., :1]).all()
    assert (read(pixels[..., 0]) == pixels[..., :1]).all()
    assert (read(pixels[..., :1]) == pixels[..., :1]).all()
    assert (read(grey.convert("1")) == np.asarray(grey.convert("1").convert("RGB"))).all()
    assert (read(pixels[..., 0] > 99) == np.where(pixels[..., :1] > 99, 255, 0)).all()
    palette = Image.fromarray(pixels).quantize(8)
    assert (read(encoded(palette)) == np.asarray(palette.convert("RGB"))).all()


def test_transparency_is_laid_over_white(pixels: Pixels) -> None:
    rgba = np.dstack([pixels, np.full((6, 9), 255, np.uint8)])
    rgba[0, :, 3] = 0
    rgba[1, :, 3] = 128
    for source in (rgba, Image.fromarray(rgba), encoded(Image.fromarray(rgba)), rgba.transpose(2, 0, 1)):
        found = read(source)
        assert (found[0] == 255).all()
        assert np.abs(found[1].astype(float) - (pixels[1] * (128 / 255) + 127)).max() <= 1
        assert (found[2:] == pixels[2:]).all()
    grey = read(Image.fromarray(rgba).convert("LA"))
    assert (grey[0] == 255).all()
    assert (grey[2:] == np.asarray(Image.fromarray(pixels).convert("L"))[2:, :, None]).all()


def test_a_palette_with_a_transparent_colour() -> None:
    palette = Image.new("P", (4, 2), 1)
    palette.putpalette([10, 20, 30, 200, 100, 50])
    palette.putpixel((0, 0), 0)
    found = read(encoded(palette, transparency=0))
    assert found[0, 0].tolist() == [255, 255, 255]
    assert found[1, 1].tolist() == [200, 100, 50]


def test_a_transparent_colour_of_rgb() -> None:
    found = read(encoded(Image.new("RGB", (2, 2), (1, 2, 3)), transparency=(1, 2, 3)))
    assert (found == 255).all()


@pytest.mark.parametrize("kind", ["PNG", "TIFF"])
def test_sixteen_bits_are_scaled_not_clipped(kind: str) -> None:
    ramp = np.linspace(0, 65535, 64).astype(np.uint16).reshape(8, 8)
    found = read(encoded(Image.fromarray(ramp), kind))
    assert np.abs(found[..., 0] - ramp / 257).max() <= 0.5 + 1e-3
    dark = read(encoded(Image.fromarray(ramp // 300), kind))  # all below 256: dark, not eight bits
    assert dark.max() <= 1


def test_big_endian_sixteen_bits() -> None:
    dark = (np.arange(64).reshape(8, 8)).astype(">u2")
    assert read(dark).max() == 0
    assert read(encoded(Image.fromarray(dark.astype("<u2")), "TIFF")).max() == 0


def test_thirty_two_bit_modes() -> None:
    ramp = np.arange(64, dtype=np.int32).reshape(8, 8)
    assert (read(Image.fromarray(ramp))[..., 0] == ramp).all()
    assert (read(Image.fromarray(ramp * 1000))[..., 0] == (ramp * 1000 / 257).round()).all()
    assert (read(Image.fromarray(ramp.astype(np.float32)))[..., 0] == ramp).all()
    assert (read(Image.fromarray((ramp / 63).astype(np.float32)))[..., 0] == (ramp / 63 * 255).round()).all()


def test_cmyk() -> None:
    red = Image.new("RGB", (16, 16), (220, 30, 20)).convert("CMYK")
    assert np.abs(read(encoded(red, "JPEG", quality=95)).astype(int) - (220, 30, 20)).max() < 8


def test_other_colour_spaces(pixels: Pixels) -> None:
    image = Image.fromarray(pixels)
    for mode in ("YCbCr", "HSV", "RGBX", "LAB"):
        assert (read(image.convert(mode)) == np.asarray(image.convert(mode).convert("RGB"))).all()
    with pytest.raises(InputError, match="mode La cannot be read: convert it to RGB"):
        Sample.read(Image.new("La", (4, 4)))


@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_rotation_is_applied(pixels: Pixels, orientation: int) -> None:
    turned = {
        1: pixels, 2: pixels[:, ::-1], 3: pixels[::-1, ::-1], 4: pixels[::-1], 5: pixels.transpose(1, 0, 2),
        6: np.rot90(pixels, -1), 7: np.rot90(pixels, -1)[:, ::-1], 8: np.rot90(pixels),
    }  # fmt: skip
    turned[7] = pixels[::-1, ::-1].transpose(1, 0, 2)
    exif = Image.Exif()
    exif[0x0112] = orientation
    assert (read(encoded(Image.fromarray(pixels), exif=exif)) == turned[orientation]).all()


def test_animations_show_their_first_picture() -> None:
    frames = [Image.new("RGB", (4, 4), colour) for colour in ("red", "blue")]
    found = read(encoded(frames[0], "GIF", save_all=True, append_images=frames[1:]))
    assert found[0, 0].tolist() == [255, 0, 0]


# Sizes


@pytest.mark.parametrize("mode", ["L", "RGB", "RGBA", "P"])
def test_large_pictures_are_scaled_down(mode: str) -> None:
    left = Image.new("RGB", (5000, 300), "red")
    left.paste("blue", (2500, 0, 5000, 300))
    found = Sample.read(left.convert(mode)).image
    assert found.size == (MAX_SIDE, 123)
    expected = np.asarray(left.convert(mode).convert("RGB"))
    assert (np.asarray(found)[60, 100] == expected[100, 100]).all()
    assert (np.asarray(found)[60, -100] == expected[100, -100]).all()


def test_a_long_line_stays_a_picture() -> None:
    assert Sample.read(np.zeros((1, 9000), np.uint8)).image.size == (MAX_SIDE, 1)


def test_slack_around_floats() -> None:
    assert read(np.full((2, 2), 1.0002)).min() == 255
    assert read(np.full((2, 2), -1e-6)).max() == 0


# Masks


def test_masks() -> None:
    sample = Sample.read(np.zeros((4, 5, 3), np.uint8), mask=[[0, 0, 0, 1, 2]] * 4)
    assert sample.mask is not None
    assert sample.mask.dtype == np.bool_
    assert sample.mask.sum() == 8
    for shape in ((5, 4), (4, 5, 1), (20,)):
        with pytest.raises(InputError, match=r"mask has shape .* but the image is \(4, 5\)"):
            Sample.read(np.zeros((4, 5, 3), np.uint8), mask=np.zeros(shape))


def test_a_mask_is_scaled_with_its_picture() -> None:
    mask = np.zeros((1000, 4096), bool)
    mask[:, 2048:] = True
    found = Sample.read(np.zeros((1000, 4096), np.uint8), mask=mask).mask
    assert found is not None
    assert found.shape == (500, 2048)
    assert not found[:, :1024].any()
    assert found[:, 1024:].all()
    with pytest.raises(InputError, match=r"mask has shape \(4096, 1000\)"):
        Sample.read(np.zeros((1000, 4096), np.uint8), mask=mask.T)


# Several


def test_folders_and_lists(pixels: Pixels, tmp_path: Path) -> None:
    for name in ("b.png", "a.PNG", "c.jpg"):
        Image.fromarray(pixels).save(tmp_path / name)
    (tmp_path / "notes.txt").write_text("no image")
    assert [s.title for s in read_samples(tmp_path)] == ["a", "b", "c"]
    assert [s.title for s in read_samples(str(tmp_path))] == ["a", "b", "c"]
    assert [s.title for s in read_samples([pixels, tmp_path / "b.png"])] == ["array", "b"]
    assert len(read_samples(Sample.read(image) for image in (pixels, pixels))) == 2
    for one in (pixels, torch.from_numpy(pixels), tmp_path / "b.png", Image.fromarray(pixels), Sample.read(pixels)):
        assert len(read_samples(one)) == 1


# Bits, folders, home


@pytest.mark.parametrize(("bits", "least"), [(10, 0.99), (12, 0.99), (16, 0.99)])
def test_a_file_of_fewer_bits_is_as_bright_as_it_is(tmp_path: Path, bits: int, least: float) -> None:
    ramp = np.linspace(0, 2**bits - 1, 64).astype(np.uint16).reshape(8, 8)
    Image.fromarray(ramp).save(tmp_path / "deep.png")
    pixels = np.asarray(Sample.read(tmp_path / "deep.png").image)[..., 0].ravel() / 255
    np.testing.assert_allclose(pixels, np.linspace(0, 1, 64), atol=5e-3)
    assert pixels.max() >= least


def test_one_bad_file_of_a_folder_is_named_and_left_out(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    for name in "ac":
        Image.new("RGB", (9, 9), "red").save(tmp_path / f"{name}.png")
    (tmp_path / "b.png").write_bytes((tmp_path / "a.png").read_bytes()[:40])
    (tmp_path / "d.jpg").write_text("no image")
    assert [s.title for s in read_samples(tmp_path)] == ["a", "c"]
    assert "'b.png'" in caplog.text
    assert "'d.jpg'" in caplog.text
    with pytest.raises(InputError, match=r"'b\.png'"):  # named by itself, it was meant
        read_samples([tmp_path / "a.png", tmp_path / "b.png"])
    for name in "ac":
        (tmp_path / f"{name}.png").unlink()
    with pytest.raises(InputError, match=r"'b\.png'"):  # nothing is left
        read_samples(tmp_path)


def test_a_path_may_begin_at_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    Image.new("RGB", (9, 9)).save(tmp_path / "a.png")
    assert Sample.read("~/a.png").title == "a"
    assert len(read_samples("~")) == 1
