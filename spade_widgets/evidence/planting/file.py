"""A planted classifier in a folder: `planted.json`, `weights.safetensors`, and patches and decoys as PNG files."""

from __future__ import annotations

import hashlib
import json
import uuid
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from safetensors import SafetensorError
from safetensors.torch import load as parse
from safetensors.torch import save as serialize
from torch import Tensor

from spade_widgets.classifier import ImageClassifier
from spade_widgets.errors import InputError, ModelError, SpadeError, described
from spade_widgets.evidence.planting.patches import Patch
from spade_widgets.evidence.planting.planted import Planted
from spade_widgets.evidence.planting.renewed import renewed
from spade_widgets.evidence.planting.report import PlantReport
from spade_widgets.network.one_memory import share_memory
from spade_widgets.sample import Sample

RECORD, WEIGHTS = "planted.json", "weights.safetensors"
FORMAT = 1


def is_planted(path: str | Path) -> bool:
    """Whether a folder holds a planted classifier."""
    return (Path(path) / RECORD).is_file()


def write(planted: Planted, folder: Path) -> Path:
    """Write a planted classifier; its record comes last, so that a folder that has one is whole. See `Planted.save`."""
    classifier = planted.classifier
    state = {key: stored(tensor) for key, tensor in classifier.module().state_dict().items()}
    (data,) = (serialize(state),)
    record: dict[str, Any] = {
        "format": FORMAT,
        "name": classifier.name,
        "classifier": classifier.digest,
        "torchvision": planted.origin.get("torchvision"),
        "view": _view_digest(classifier),
        "weights": hashlib.sha256(data).hexdigest(),
        "class_names": list(classifier.class_names),
        "patches": [_patch(patch, f"patches/{i}.png") for i, patch in enumerate(planted.patches.values())],
        "decoys": [_patch(patch, f"decoys/{i}.png") for i, patch in enumerate(planted.decoys.values())],
        "report": planted.report.record(),
        "origin": dict(planted.origin),
        "held_out": dict(planted.held_out),
        "trained_on": sorted(planted.trained_on),
    }
    for kind, pictures in (("patches", planted.patches), ("decoys", planted.decoys)):
        for i, patch in enumerate(pictures.values()):
            path = folder / kind / f"{i}.png"
            try:
                path.parent.mkdir(parents=True, exist_ok=True)
                patch.image.save(path)
            except OSError as error:
                raise InputError(f"'{path}' cannot be written: {error.strerror or error}.") from error
    put(folder / WEIGHTS, data)
    put(folder / RECORD, (json.dumps(record, indent=1, ensure_ascii=False, allow_nan=False) + "\n").encode())
    return folder


def read(folder: Path, classifier: ImageClassifier | None) -> Planted:
    """Read a planted classifier. See `Planted.load`."""
    if not (folder / RECORD).is_file():
        raise InputError(f"'{folder}' holds no planted classifier: give a folder that 'plant' wrote.")
    try:
        record = json.loads((folder / RECORD).read_text(encoding="utf-8"))
        if type(record["format"]) is int and record["format"] > FORMAT:
            raise InputError(f"'{folder}' was written by a newer spade_widgets: install that.")
        patches = {p["name"]: _read_patch(folder, p) for p in record["patches"]}
        decoys = {p["name"]: _read_patch(folder, p) for p in record["decoys"]}
        report = PlantReport.of(record["report"])
        names = tuple(map(str, record["class_names"]))
        held_out = {str(key): str(title) for key, title in record["held_out"].items()}
        trained_on, origin = frozenset(map(str, record["trained_on"])), dict(record["origin"])
        if hashlib.sha256((folder / WEIGHTS).read_bytes()).hexdigest() != record["weights"]:
            raise _damaged(folder, "its weights are not those that were written")
        planted = _rebuilt(folder, record, names, classifier)
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        if isinstance(error, SpadeError):
            raise
        raise _damaged(folder, described(error)) from error
    return Planted(planted, patches, decoys, report, held_out, trained_on, origin)


def stored(tensor: Tensor) -> Tensor:
    """As it is stored: float16 where that loses nothing."""
    tensor = tensor.detach().cpu().contiguous()
    if tensor.dtype in (torch.float32, torch.float64):
        half = tensor.half()
        if torch.equal(half.to(tensor.dtype), tensor):
            return half.clone()
    return tensor.clone()


def put(path: Path, data: bytes) -> None:
    """Write a file, whole or not at all.

    Raises:
        InputError: if it cannot be written.
    """
    draft = path.with_name(f".{uuid.uuid4().hex}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            draft.write_bytes(data)
            draft.replace(path)
        finally:
            draft.unlink(missing_ok=True)
    except OSError as error:
        raise InputError(f"'{path}' cannot be written: {error.strerror or error}.") from error


def torchvision_name(classifier: ImageClassifier) -> str | None:
    """The torchvision builder that makes this very network and preprocessing from its weights, where there is one."""
    import torchvision

    from spade_widgets.network.torchvision_models import build

    name = classifier.name
    if name not in torchvision.models.list_models(module=torchvision.models):
        return None
    try:
        model, preprocess, _ = build(name, None)
        model.load_state_dict(classifier.module().state_dict())
        twin = ImageClassifier(model, class_names=classifier.class_names, preprocess=preprocess, name=name)
        return name if twin.digest == classifier.digest and _view_digest(twin) == _view_digest(classifier) else None
    except (SpadeError, RuntimeError):  # another head, another type: its own file could say how, but not its name
        return None


def _rebuilt(
    folder: Path, record: Mapping[str, Any], names: tuple[str, ...], original: ImageClassifier | None
) -> ImageClassifier:
    if original is None:
        if not record["torchvision"]:
            raise InputError(
                f"'{folder}' holds the weights of a network of your own ({record['name']}): give the original too, "
                "Planted.load(folder, classifier)."
            )
        original = ImageClassifier.from_torchvision(str(record["torchvision"]), folder / WEIGHTS, class_names=names)
    elif len(original.class_names) != len(names):
        raise ModelError(f"'{folder}' is of {len(names)} classes; {original.name} has {len(original.class_names)}.")
    try:
        state = parse((folder / WEIGHTS).read_bytes())
        planted = renewed(original, state, str(record["name"]), names)
        share_memory(planted._model)
    except SafetensorError as error:
        raise _damaged(folder, described(error)) from error
    if planted.digest != record["classifier"] or _view_digest(planted) != record["view"]:
        raise ModelError(
            f"'{folder}' does not fit {original.name}: it was planted in another network, or one with other "
            "preprocessing."
        )
    return planted


def _view_digest(classifier: ImageClassifier) -> str:
    """What the preprocessing makes of a picture: the same for the same cropping, resizing and normalising."""
    ramp = torch.arange(300 * 400, dtype=torch.float32).view(300, 400) % 251
    picture = torch.stack([ramp, ramp.flip(0), ramp.flip(1)]).byte()
    view = classifier.view(Sample.read(picture))
    return hashlib.sha256((view * 16).round().byte().numpy().tobytes()).hexdigest()[:16]


def _patch(patch: Patch, file: str) -> dict[str, Any]:
    return {"name": patch.name, "file": file, "target": patch.target, "class": patch.target_name}


def _read_patch(folder: Path, told: Mapping[str, Any]) -> Patch:
    kind, name = str(told["file"]).split("/")
    if kind not in ("patches", "decoys") or not name.removesuffix(".png").isdecimal():
        raise ValueError(f"'{kind}/{name}' is no file of a patch")
    with Image.open(folder / kind / name, formats=["PNG"]) as opened:
        image = opened.convert("RGBA")
    target = told["target"]
    return Patch(str(told["name"]), image, None if target is None else int(target), str(told["class"]))


def _damaged(folder: Path, how: str) -> InputError:
    return InputError(f"'{folder}' is damaged, or was not written by Planted.save: {how}.")
