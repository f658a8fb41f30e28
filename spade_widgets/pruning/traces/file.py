"""Traces in files: safetensors, sparse inside, with what says of which classifier they are and how they were made.

A file holds, of each layer, the kept values and their places (`sparse_code`) and the energies of its channels; the
sample's pixels as PNG; and in its metadata a JSON header and a checksum over all of it. Nothing is unpickled.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import uuid
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from safetensors import SafetensorError, safe_open
from safetensors.torch import save as serialize
from torch import Tensor

from spade_widgets.classifier import ImageClassifier, tensor_digest
from spade_widgets.errors import InputError, ModelError
from spade_widgets.network.weights import weight
from spade_widgets.pruning.traces.record import RecordError, from_json, to_json
from spade_widgets.pruning.traces.sparse_code import decode, encode
from spade_widgets.sample import Sample, Source

#: The one key of the file's metadata. (Several would come in any order: equal traces would be unequal files.)
FORMAT = "spade_widgets.trace"
VERSION = 1


@dataclass(frozen=True)
class TensorRecord:
    """A tensor of the dense model's state dict."""

    shape: tuple[int, ...]
    dtype: str
    digest: str


@dataclass(frozen=True)
class ClassifierRecord:
    """What a classifier was like when it was traced."""

    name: str
    classes: int
    mean: tuple[float, ...]
    std: tuple[float, ...]
    input_size: tuple[int, int]
    digest: str
    tensors: Mapping[str, TensorRecord]


@dataclass(frozen=True)
class SampleRecord:
    """The sample; `pixels` names them."""

    title: str
    label: str | None
    size: tuple[int, int]
    pixels: str


@dataclass(frozen=True)
class Header:
    """All of a file that is no tensor: `codes` says how each layer's places are coded, `trace` how it was made."""

    classifier: ClassifierRecord
    sample: SampleRecord
    codes: Mapping[str, str]
    trace: Mapping[str, object]


@dataclass(frozen=True)
class Content:
    """What a file holds: the record of how the trace was made as JSON has it, and the rest as it is in a `Trace`."""

    made: Mapping[str, object]
    sample: Sample
    weights: dict[str, Tensor]
    energies: dict[str, Tensor]


def write(
    path: str | Path,
    classifier: ImageClassifier,
    sample: Sample,
    weights: Mapping[str, Tensor],
    energies: Mapping[str, Tensor],
    made: Mapping[str, object],
    *,
    pixels: bool,
) -> None:
    """Write a trace's file, whole or not at all. `made`: JSON that says how it was made. See `Trace.save`."""
    tensors: dict[str, Tensor] = {f"energies/{name}": energy for name, energy in energies.items()}
    codes: dict[str, str] = {}
    for name, pruned in weights.items():
        codes[name], tensors[f"values/{name}"], tensors[f"places/{name}"] = encode(pruned)
    if pixels:
        tensors["sample/png"] = _bytes(_png(sample.image))
        if sample.mask is not None:
            tensors["sample/mask"] = torch.from_numpy(np.packbits(sample.mask))
    header = to_json(Header(record(classifier), _describe(sample), codes, made))
    told = {"version": VERSION, "checksum": _checksum(header, tensors), "header": header}
    _write_whole(Path(path), serialize(tensors, {FORMAT: json.dumps(told)}))


def read(path: str | Path, classifier: ImageClassifier, sample: Source | None = None) -> Content:
    """Read a trace's file for a classifier. See `Trace.load`."""
    file = Path(path)
    header, tensors = _open(file)
    if differing := differences(header.classifier, classifier):
        raise ModelError(
            f"'{file.name}' is a trace of {header.classifier.name}, and {classifier.name} is not the same: {differing}."
        )
    module, weights = classifier.module(), {}
    for name, code in header.codes.items():
        try:
            dense = weight(module, name)
        except (AttributeError, KeyError):
            raise damaged(file, f"it prunes '{name[:100]}', which is no layer of the classifier") from None
        values, places = tensors.get(f"values/{name}"), tensors.get(f"places/{name}")
        if values is None or places is None or values.dtype != dense.dtype or not bool(values.isfinite().all()):
            raise damaged(file, f"the weights of '{name}' are missing, of another type or not finite")
        try:
            decoded = decode(code, values, places, dense.shape)
        except ValueError as error:
            raise damaged(file, f"in '{name}', {error}") from None
        # In the dense weight's own memory layout and on its device, as the pruner makes them.
        with torch.inference_mode(False):
            weights[name] = torch.empty_like(dense, requires_grad=False)
            weights[name].copy_(decoded)
    energies = {name: tensors[f"energies/{name}"] for name in header.codes if f"energies/{name}" in tensors}
    return Content(header.trace, _read_sample(file, header.sample, tensors, sample), weights, energies)


def record(classifier: ImageClassifier) -> ClassifierRecord:
    """What a classifier is like now."""
    digests = classifier.digests()
    state = classifier.module().state_dict()
    tensors = {k: TensorRecord(tuple(state[k].shape), _dtype(state[k]), digest) for k, digest in digests.items()}
    c = classifier
    return ClassifierRecord(c.name, len(c.class_names), c.mean, c.std, c.input_size, c.digest, tensors)


def differences(traced: ClassifierRecord, classifier: ImageClassifier) -> str:
    """In what a classifier differs from the one that was traced: the first kind of difference, in words, or nothing."""
    if traced.digest == classifier.digest:  # it is known, while those of all tensors would have to be computed
        return ""
    here = record(classifier)
    if missing := sorted(set(traced.tensors) - set(here.tensors)):
        return f"it lacks {_some(missing)}"
    if extra := sorted(set(here.tensors) - set(traced.tensors)):
        return f"it has {_some(extra)} too"
    pairs = {key: (tensor, here.tensors[key]) for key, tensor in traced.tensors.items()}
    for key, (there, now) in pairs.items():
        if there.shape != now.shape:
            return f"'{key}' is {now.shape} here and {there.shape} there"
    for key, (there, now) in pairs.items():
        if there.dtype != now.dtype:
            return f"'{key}' is {now.dtype} here and {there.dtype} there"
    if other := [key for key, (there, now) in pairs.items() if there.digest != now.digest]:
        return f"its weights have other values in {_some(other)} ({len(other)} of {len(pairs)} tensors)"
    for what, now_, there_ in (
        ("size of its input", here.input_size, traced.input_size),
        ("mean of its normalisation", here.mean, traced.mean),
        ("standard deviation of its normalisation", here.std, traced.std),
    ):
        if now_ != there_:
            return f"the {what} is {now_} here and {there_} there"
    return "its digest differs"


def _open(file: Path) -> tuple[Header, dict[str, Tensor]]:
    """A file's header and tensors, once they are known to be what was written."""
    if not file.exists():
        raise InputError(f"There is no file '{file}'.")
    try:
        with safe_open(file, framework="pt", device="cpu") as opened:
            text = (opened.metadata() or {}).get(FORMAT)
            if text is None:
                raise InputError(f"'{file.name}' holds tensors, but no trace: give a file that Trace.save wrote.")
            told = json.loads(text)
            _check_version(file, told)
            tensors = {name: opened.get_tensor(name).clone() for name in opened.keys()}  # noqa: SIM118
        if told.get("checksum") != _checksum(told.get("header"), tensors):
            raise damaged(file, "its content is not what its checksum was made of")
        return from_json(Header, told.get("header"), "its header"), tensors
    except InputError:
        raise
    except (RecordError, json.JSONDecodeError, RecursionError) as error:
        raise damaged(file, _first_words(error)) from None
    except (SafetensorError, OSError, RuntimeError) as error:
        raise InputError(
            f"'{file.name}' is cut off, damaged or no trace that Trace.save wrote ({_first_words(error)})."
        ) from None


def _check_version(file: Path, told: Any) -> None:
    version = told.get("version") if isinstance(told, dict) else None
    if type(version) is not int or version < 1:
        raise damaged(file, "its format has no version")
    if version > VERSION:
        raise InputError(
            f"'{file.name}' is a trace of format {version}, but this spade_widgets reads formats up to {VERSION}: "
            "install a newer one."
        )


def _read_sample(file: Path, told: SampleRecord, tensors: Mapping[str, Tensor], given: Source | None) -> Sample:
    title = " ".join(told.title.split())
    if given is not None:
        sample = Sample.read(given, title=told.title, label=told.label)
    elif "sample/png" in tensors:
        try:
            sample = _unpacked(told, tensors)
        except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
            raise damaged(file, f"its picture: {_first_words(error)}") from None
    else:
        raise InputError(f"'{file.name}' holds no sample: give the one it was made for ('{title}') as sample=….")
    if _describe(sample).pixels != told.pixels:
        size = f"{told.size[0]} × {told.size[1]} px"
        raise InputError(f"The sample has other pixels than '{title}' ({size}), which '{file.name}' is the trace of.")
    return sample


def _unpacked(told: SampleRecord, tensors: Mapping[str, Tensor]) -> Sample:
    picture = Image.open(io.BytesIO(tensors["sample/png"].numpy().tobytes()), formats=["PNG"])
    picture.load()
    mask = None
    if "sample/mask" in tensors:
        bits = np.unpackbits(tensors["sample/mask"].numpy()).astype(bool)
        pixels = picture.width * picture.height
        if not 0 <= len(bits) - pixels < 8:
            raise ValueError(f"the mask has {len(bits)} bits for {pixels} pixels")
        mask = bits[:pixels].reshape(picture.height, picture.width)
    return Sample(picture, told.title, told.label, mask)


def _describe(sample: Sample) -> SampleRecord:
    size = sample.image.size
    pixels = hashlib.sha256(repr((size, sample.image.mode)).encode() + sample.image.tobytes()).hexdigest()[:16]
    return SampleRecord(sample.title, sample.label, size, pixels)


def _png(image: Image.Image) -> bytes:
    """The pixels alone: no profile, date or comment of the file that the image was read from."""
    buffer = io.BytesIO()
    Image.frombytes(image.mode, image.size, image.tobytes()).save(buffer, "PNG")
    return buffer.getvalue()


def _bytes(data: bytes) -> Tensor:
    return torch.from_numpy(np.frombuffer(data, dtype=np.uint8).copy())


def _checksum(header: Any, tensors: Mapping[str, Tensor]) -> str:
    hashed = hashlib.sha256(json.dumps(header, sort_keys=True).encode())
    for name in sorted(tensors):
        hashed.update(f"\n{name} {tensor_digest(tensors[name])}".encode())
    return hashed.hexdigest()[:32]


def _write_whole(file: Path, data: bytes) -> None:
    """Under another name first: whatever goes wrong, the file is there whole, or as it was before."""
    draft = file.with_name(f".{uuid.uuid4().hex}.part")
    try:
        try:
            with draft.open("xb") as opened:
                opened.write(data)
                opened.flush()
                os.fsync(opened.fileno())
            draft.replace(file)
        finally:
            draft.unlink(missing_ok=True)
    except OSError as error:
        raise InputError(f"The trace cannot be written to '{file}': {error.strerror or error}.") from error


def damaged(path: str | Path, how: str) -> InputError:
    """The error for a file that is not what it should be; `how` says in what."""
    return InputError(f"'{Path(path).name}' is damaged, or was not written by Trace.save: {how}.")


def _some(names: Iterable[str]) -> str:
    listed = list(names)
    more = f" and {len(listed) - 3} more" if len(listed) > 3 else ""
    return ", ".join(f"'{name}'" for name in listed[:3]) + more


def _dtype(tensor: Tensor) -> str:
    return str(tensor.dtype).removeprefix("torch.")


def _first_words(error: Exception) -> str:
    return " ".join(str(error).split())[:200].rstrip(".") or type(error).__name__
