"""Samples: the images a user asks about, read from whatever the user has."""

from __future__ import annotations

import hashlib
import io
import logging
import math
import warnings
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
import torch
from PIL import ExifTags, Image, ImageOps, UnidentifiedImageError

from spade_widgets.errors import InputError

Mask: TypeAlias = npt.NDArray[np.bool_]
#: What `Sample.read` accepts.
Source: TypeAlias = "Sample | str | Path | bytes | Image.Image | npt.NDArray[Any] | torch.Tensor"

log = logging.getLogger(__name__)

#: Longest side kept, in pixels. No classifier looks at more, and a thumbnail of a larger one would cost seconds.
MAX_SIDE = 2048
#: Pixels beyond which a file is refused before it is decoded (a decompression bomb would fill the memory). Pillow
#: itself refuses a little more.
MAX_PIXELS = 170_000_000
#: How far floats may lie outside 0…1: what arithmetic on a picture leaves.
SLACK = 1e-3
SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".webp", ".bmp", ".gif", ".tif", ".tiff"})
CHANNELS = (1, 3, 4)
ACCEPTED = "a path, PIL image, array or tensor (H, W), (H, W, 3) or (3, H, W), or the bytes of an image file"


@dataclass(frozen=True, eq=False)
class Sample:
    """One image the user asks about.

    Attributes:
        image: RGB picture, at most `MAX_SIDE` pixels on its longer side.
        title: what to call it on screen; text, never markup.
        label: its true class, where known.
        mask: bool array (H, W) of the image's size, True on the pixels that matter (a Trojan patch), where known.
    """

    image: Image.Image
    title: str = "sample"
    label: str | None = None
    mask: Mask | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        width, height = self.image.size
        if self.mask is not None and self.mask.shape != (height, width):
            raise InputError(
                f"The mask has shape {self.mask.shape}, but the image is {(height, width)} (rows, columns)."
            )

    @cached_property
    def id(self) -> str:
        """16 hexadecimal digits that name the content: equal for equal pixels, title, label and mask."""
        digest = hashlib.sha256(repr((self.image.size, self.title, self.label)).encode())
        digest.update(self.image.tobytes())
        if self.mask is not None:
            digest.update(np.packbits(self.mask).tobytes())
        return digest.hexdigest()[:16]

    @staticmethod
    def read(
        source: Source, *, title: str | None = None, label: str | None = None, mask: npt.ArrayLike | None = None
    ) -> Sample:
        """Make a sample of a path, the bytes of an image file, a PIL image, an array or a tensor.

        Arrays and tensors are (H, W), (H, W, C) or (C, H, W) with C in 1, 3, 4: uint8 in 0…255, uint16 in 0…65535,
        floats in 0…1, or other integers in 0…255 or, if one is larger, 0…65535. Transparency is laid over white; EXIF
        rotation is applied; what is larger than `MAX_SIDE` is scaled down.

        Raises:
            InputError: if it is not an image, is damaged, or has another shape or range.
        """
        if isinstance(source, Sample):
            if title is None and label is None and mask is None:
                return source
            area = source.mask if mask is None else _area(mask, source.image)
            return replace(source, title=title or source.title, label=label or source.label, mask=area)
        if isinstance(source, str | Path):
            path = Path(source).expanduser()
            image, name = _open(path, path.name), title or path.stem
        elif isinstance(source, bytes | bytearray | memoryview):
            image, name = _open(io.BytesIO(source), title or "the data"), title or "image"
        elif isinstance(source, Image.Image):
            image, name = _rgb(source), title or Path(str(getattr(source, "filename", "") or "image")).stem
        elif isinstance(source, np.ndarray | torch.Tensor):
            image, name = _from_array(source), title or "array"
        else:
            raise InputError(f"A {type(source).__name__} is not an image: give {ACCEPTED}.")
        return Sample(image, name, label, None if mask is None else _area(mask, image))


def read_samples(source: Source | Iterable[Source]) -> tuple[Sample, ...]:
    """All samples of a folder (its image files, by name), of a list of anything `Sample.read` takes, or of one source.

    A folder's file that cannot be read is left out, and the log says so.

    Raises:
        InputError: if there is none, or one that was named by itself cannot be read.
    """
    return tuple(sample for _, sample in read_each(source))


def read_each(source: Source | Iterable[Source]) -> Iterator[tuple[Source, Sample]]:
    """What `read_samples` gives, one by one, with what each was read from. Arguments and errors are the same."""
    in_folder, first, read = _is_folder(source), None, 0
    for each in list_sources(source):
        try:
            sample = Sample.read(each)
        except InputError as error:
            if not in_folder:
                raise
            first = first or error
            log.warning("%s It is left out.", error)
            continue
        read += 1
        yield each, sample
    if first is not None and not read:
        raise first


def list_sources(source: Source | Iterable[Source]) -> list[Source]:
    """The single sources of what `read_samples` takes, not read yet: a folder's files, a list's entries, or itself.

    Raises:
        InputError: if there is none.
    """
    if _is_folder(source):
        inside = sorted(Path(str(source)).expanduser().iterdir())
        files: list[Source] = [p for p in inside if p.suffix.lower() in SUFFIXES]
        if not files:
            raise InputError(f"The folder '{source}' holds no image file ({', '.join(sorted(SUFFIXES))}).")
        return files
    if isinstance(
        source, Sample | str | Path | bytes | bytearray | memoryview | np.ndarray | torch.Tensor | Image.Image
    ) or not isinstance(source, Iterable):
        return [source]  # type: ignore[list-item]  # bytes-like
    listed = list(source)
    if not listed:
        raise InputError("The list of samples is empty: give at least one image.")
    return listed


def _is_folder(source: object) -> bool:
    return isinstance(source, str | Path) and Path(source).expanduser().is_dir()


def _area(mask: npt.ArrayLike, image: Image.Image) -> Mask:
    """The mask as bools; one of a picture that was scaled down is scaled with it."""
    area = np.asarray(mask).astype(bool)
    width, height = image.size
    if area.ndim != 2 or max(area.shape) <= MAX_SIDE or max(width, height) < MAX_SIDE:
        return area
    if abs(area.shape[0] * width - area.shape[1] * height) > max(area.shape):  # of another shape: `Sample` says so
        return area
    return np.asarray(Image.fromarray(area).resize(image.size, Image.Resampling.NEAREST))


def _open(file: Path | io.BytesIO, name: str) -> Image.Image:
    name = name if len(name) <= 100 else f"{name[:100]}…"
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)  # the limit is ours
            picture = Image.open(file)
        with picture as opened:
            if opened.width * opened.height > MAX_PIXELS:
                raise InputError(
                    f"'{name}' has {opened.width} × {opened.height} pixels; at most {MAX_PIXELS:,} in all are accepted."
                )
            # JPEG decodes straight to a half, quarter or eighth of its size, as long as that is large enough.
            opened.draft("RGB", (MAX_SIDE, MAX_SIDE))
            opened.load()
            return _rgb(opened)
    except FileNotFoundError:
        raise InputError(f"There is no file '{name}'.") from None
    except IsADirectoryError:
        raise InputError(f"'{name}' is a folder; give one image file.") from None
    except UnidentifiedImageError:
        raise InputError(f"'{name}' is not an image that can be read (PNG, JPEG, WebP, GIF, BMP or TIFF).") from None
    except Image.DecompressionBombError:
        raise InputError(f"'{name}' has too many pixels; at most {MAX_PIXELS:,} in all are accepted.") from None
    except InputError:
        raise
    except (OSError, SyntaxError, ValueError) as error:  # what Pillow's decoders raise on damaged files
        detail = str(error)[:100]
        raise InputError(f"'{name}' is damaged or cut off and cannot be read as an image ({detail}).") from None


def _rgb(image: Image.Image) -> Image.Image:
    """Any mode to 8-bit RGB: 16-bit is scaled (Pillow's own conversion would clip it to white), alpha laid on white.

    The result is a copy in any case: the user's own picture may be drawn on later.
    """
    if min(image.size) < 1:
        raise InputError("The image has no pixels.")
    if image.getexif().get(ExifTags.Base.Orientation, 1) != 1:
        image = ImageOps.exif_transpose(image)
    if image.mode == "F":
        floats = np.asarray(image)
        return _from_array(floats / 255 if floats.max() > 1 + SLACK else floats)  # Pillow's own floats are 0…255
    if image.mode.startswith("I"):
        return _from_array(_full_range(np.asarray(image)))
    try:
        if image.has_transparency_data:
            rgba = _shrunk(image.convert("RGBA"))
            return Image.alpha_composite(Image.new("RGBA", rgba.size, "white"), rgba).convert("RGB")
        return _shrunk(image if image.mode in ("L", "RGB", "CMYK") else image.convert("RGB")).convert("RGB")
    except ValueError:
        raise InputError(f"An image of mode {image.mode} cannot be read: convert it to RGB.") from None


def _full_range(values: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Whole numbers of a file in 0…65535, where 10 or 12 bits of them are used: as cameras and scanners leave them."""
    high = int(values.max())
    bits = 10 if high < 2**10 else 12
    if high <= 255 or high >= 2**bits or int(values.min()) < 0:
        return values
    log.warning("The image's values end at %d of 65535, so they are taken as %d bits.", high, bits)
    return np.asarray(np.rint(values * (65535 / (2**bits - 1))), dtype=np.uint16)


def _shrunk(image: Image.Image) -> Image.Image:
    """The image, or one whose longer side is `MAX_SIDE`; by whole pixels first, which is quick and takes no memory."""
    longer = max(image.size)
    if longer <= MAX_SIDE:
        return image
    size = tuple(max(1, round(side * MAX_SIDE / longer)) for side in image.size)
    if longer >= 2 * MAX_SIDE:
        image = image.reduce(longer // MAX_SIDE)
    return image.resize((size[0], size[1]), Image.Resampling.LANCZOS)


def _from_array(source: npt.NDArray[Any] | torch.Tensor) -> Image.Image:
    if isinstance(source, torch.Tensor):
        try:
            tensor = source.detach().cpu()
            array = (tensor.float() if tensor.is_floating_point() else tensor).numpy()  # NumPy has no bfloat16
        except (TypeError, RuntimeError):
            raise InputError(
                f"A {source.layout} tensor on '{source.device}' is not an image: give {ACCEPTED}."
            ) from None
    else:
        array = np.asarray(source)
    shape, channels_first = array.shape, isinstance(source, torch.Tensor)  # where either could be meant
    if array.ndim == 4 and array.shape[0] == 1:
        array = array[0]
    if array.ndim == 3 and (array.shape[2] not in CHANNELS or (channels_first and array.shape[0] in CHANNELS)):
        array = array.transpose(1, 2, 0)
    if array.ndim not in (2, 3) or 0 in array.shape or (array.ndim == 3 and array.shape[2] not in CHANNELS):
        raise InputError(f"An array of shape {shape} is not an image: (H, W), (H, W, 3) or (3, H, W) is accepted.")
    if array.ndim == 3 and array.shape[2] == 1:
        array = array[:, :, 0]
    return _rgb(Image.fromarray(_to_uint8(array)))


def _to_uint8(array: npt.NDArray[Any]) -> npt.NDArray[np.uint8]:
    if array.dtype == np.uint8:
        return np.ascontiguousarray(array)
    if array.dtype == np.bool_:
        return array.astype(np.uint8) * np.uint8(255)
    kind = array.dtype.kind
    if kind not in "uif":
        raise InputError(f"An array of {array.dtype} is not an image: uint8, uint16 or floats in 0…1 are accepted.")
    low, high = float(array.min()), float(array.max())
    if not math.isfinite(low + high):
        raise InputError("The array holds NaN or infinite values, so it is not an image.")
    if kind == "f":
        if low < -SLACK or high > 1 + SLACK:
            raise InputError(f"The array's floats go from {low:g} to {high:g}; an image's are in 0…1.")
        scale = 255.0
    elif low < 0 or high > 65535:
        raise InputError(f"The array's values go from {low:g} to {high:g}; an image's are in 0…255 or 0…65535.")
    else:
        two_bytes = kind == "u" and array.dtype.itemsize == 2
        scale = 255.0 / 65535.0 if two_bytes or high > 255 else 1.0
    values = np.multiply(array, scale, dtype=np.float32)
    return np.asarray(values.clip(0, 255, out=values).round(out=values), dtype=np.uint8)
