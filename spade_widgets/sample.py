"""Samples: the images a user asks about, read from whatever the user has."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image, ImageOps, UnidentifiedImageError

from spade_widgets.errors import InputError

Mask: TypeAlias = npt.NDArray[np.bool_]
#: What `Sample.read` accepts.
Source: TypeAlias = "Sample | str | Path | bytes | Image.Image | npt.NDArray[Any] | torch.Tensor"

#: Longest side kept, in pixels. No classifier looks at more, and a thumbnail of a larger one would cost seconds.
MAX_SIDE = 2048
#: Pixels beyond which a file is refused before it is decoded (a decompression bomb would fill the memory).
MAX_PIXELS = 200_000_000
SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".webp", ".bmp", ".gif", ".tif", ".tiff"})
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

        Arrays and tensors are (H, W), (H, W, C) or (C, H, W) with C in 1, 3, 4: uint8 in 0…255, uint16 in 0…65535, or
        floats in 0…1. Transparency is laid over white; EXIF rotation is applied; what is larger than `MAX_SIDE` is
        scaled down.

        Raises:
            InputError: if it is not an image, is damaged, or has another shape or range.
        """
        if isinstance(source, Sample):
            return replace(source, title=title or source.title, label=label or source.label)
        if isinstance(source, str | Path):
            path = Path(source)
            image, name = _open(path, path.name), title or path.stem
        elif isinstance(source, bytes | bytearray | memoryview):
            image, name = _open(io.BytesIO(source), title or "the data"), title or "image"
        elif isinstance(source, Image.Image):
            image, name = _rgb(source), title or Path(str(getattr(source, "filename", "") or "image")).stem
        elif isinstance(source, np.ndarray | torch.Tensor):
            image, name = _from_array(source), title or "array"
        else:
            raise InputError(f"A {type(source).__name__} is not an image: give {ACCEPTED}.")
        if max(image.size) > MAX_SIDE:
            image = ImageOps.contain(image, (MAX_SIDE, MAX_SIDE), Image.Resampling.LANCZOS)
        area = None if mask is None else np.asarray(mask).astype(bool)
        if area is not None and area.ndim == 2 and max(area.shape) > MAX_SIDE:
            area = np.asarray(Image.fromarray(area).resize(image.size, Image.Resampling.NEAREST))
        return Sample(image, name, label, area)


def read_samples(source: Source | Iterable[Source]) -> tuple[Sample, ...]:
    """All samples of a folder (its image files, by name), of a list of anything `Sample.read` takes, or of one source.

    Raises:
        InputError: if there is none, or one cannot be read.
    """
    return tuple(Sample.read(s) for s in list_sources(source))


def list_sources(source: Source | Iterable[Source]) -> list[Source]:
    """The single sources of what `read_samples` takes, not read yet: a folder's files, a list's entries, or itself.

    Raises:
        InputError: if there is none.
    """
    if isinstance(source, str | Path) and Path(source).is_dir():
        files: list[Source] = [p for p in sorted(Path(source).iterdir()) if p.suffix.lower() in SUFFIXES]
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


def _open(file: Path | io.BytesIO, name: str) -> Image.Image:
    try:
        with Image.open(file) as opened:
            if opened.width * opened.height > MAX_PIXELS:
                raise InputError(
                    f"'{name}' has {opened.width} × {opened.height} pixels; at most {MAX_PIXELS:,} in all are accepted."
                )
            # JPEG decodes straight to a smaller size: an 8000 × 8000 photograph then costs a sixteenth of the memory.
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
        raise InputError(f"'{name}' is damaged or cut off and cannot be read as an image ({error}).") from None


def _rgb(image: Image.Image) -> Image.Image:
    """Any mode to 8-bit RGB: 16-bit is scaled (Pillow's own conversion would clip it to white), alpha laid on white."""
    if min(image.size) < 1:
        raise InputError("The image has no pixels.")
    image = ImageOps.exif_transpose(image)
    if image.mode.startswith("I") or image.mode == "F":
        return _from_array(np.asarray(image))
    if image.mode in ("LA", "PA", "RGBA", "RGBa") or "transparency" in image.info:
        rgba = image.convert("RGBA")
        white = Image.new("RGBA", rgba.size, "white")
        return Image.alpha_composite(white, rgba).convert("RGB")
    # A copy in any case: the user's own picture may be drawn on later.
    return image.convert("RGB") if image.mode != "RGB" else image.copy()


def _from_array(source: npt.NDArray[Any] | torch.Tensor) -> Image.Image:
    if isinstance(source, torch.Tensor):
        tensor = source.detach().cpu()
        array = (tensor.float() if tensor.is_floating_point() else tensor).numpy()  # NumPy has no bfloat16
    else:
        array = np.asarray(source)
    if array.ndim == 4 and array.shape[0] == 1:
        array = array[0]
    if array.ndim == 3 and array.shape[0] in (1, 3, 4) and array.shape[2] not in (1, 3, 4):
        array = array.transpose(1, 2, 0)
    elif array.ndim == 3 and array.shape[2] not in (1, 3, 4):
        raise InputError(
            f"An array of shape {array.shape} is not an image: (H, W), (H, W, 3) or (3, H, W) is accepted."
        )
    if array.ndim not in (2, 3) or 0 in array.shape:
        raise InputError(
            f"An array of shape {array.shape} is not an image: (H, W), (H, W, 3) or (3, H, W) is accepted."
        )
    if array.ndim == 3 and array.shape[2] == 1:
        array = array[:, :, 0]
    return _rgb(Image.fromarray(_to_uint8(array)))


def _to_uint8(array: npt.NDArray[Any]) -> npt.NDArray[np.uint8]:
    if array.dtype == np.uint8:
        return array
    if array.dtype == np.bool_:
        return array.astype(np.uint8) * np.uint8(255)
    if array.dtype.kind not in "uif":
        raise InputError(f"An array of {array.dtype} is not an image: uint8, uint16 or floats in 0…1 are accepted.")
    values = array.astype(np.float64)
    if not np.isfinite(values).all():
        raise InputError("The array holds NaN or infinite values, so it is not an image.")
    low, high = float(values.min()), float(values.max())
    if low < 0:
        raise InputError(
            f"The array's values go from {low:g} to {high:g}; an image has values in 0…1, 0…255 or 0…65535."
        )
    if array.dtype.kind == "f" and high <= 1.0:
        scale = 255.0
    elif high <= 255:
        scale = 255.0 / 65535.0 if array.dtype == np.uint16 else 1.0
    elif high <= 65535:
        scale = 255.0 / 65535.0
    else:
        raise InputError(f"The array's values go up to {high:g}; an image has values in 0…1, 0…255 or 0…65535.")
    return np.asarray((values * scale).round(), dtype=np.uint8)
