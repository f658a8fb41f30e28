"""torchvision's classifiers by name, with weights from its download or from a local file."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable
from enum import Enum
from pathlib import Path
from typing import Any, TypeAlias

import torch
import torchvision
from PIL import Image
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn
from torchvision.transforms._presets import ImageClassification

from spade_widgets.errors import InputError, ModelError
from spade_widgets.network.random_numbers import own_random_numbers

#: The heads that Inception and GoogLeNet are trained with.
_AUXILIARY = ("AuxLogits.", "aux1.", "aux2.")

Built = tuple[nn.Module, Callable[[Image.Image], Tensor] | None, tuple[str, ...] | None]


#: torchvision's own weights by name or as its enumerations have them, a file, or none.
Weights: TypeAlias = str | Path | Enum | None


def build(name: str, weights: Weights) -> Built:
    """The model, its preprocessing and its class names. See `ImageClassifier.from_torchvision`."""
    # Detection, segmentation, video and optical flow live in sub-modules of their own; classifiers in the top one.
    if name not in torchvision.models.list_models(module=torchvision.models):
        raise InputError(f"torchvision has no classifier '{name}'; 'resnet50' and 'mobilenet_v2' are two of its names.")
    chosen = _preset(name, weights)
    preset = chosen or torchvision.models.get_model_weights(name)["DEFAULT"]
    preprocess, classes = preset.transforms(), tuple(preset.meta["categories"])
    if chosen is not None:
        try:
            with own_random_numbers():  # as below
                model = torchvision.models.get_model(name, weights=preset)
        except OSError as error:  # URLError is one: no network, no such host, a server's refusal
            raise ModelError(
                f"The weights of {name} cannot be downloaded here ({error}): "
                f"give a local file, weights='…/{name}.safetensors'."
            ) from error
        return model.eval(), preprocess, classes
    if weights is None:
        return _random(name, **_image_size(name, preset.meta["min_size"][0])).eval(), preprocess, classes
    assert not isinstance(weights, Enum)  # one is chosen above, or refused
    state = read_state(Path(weights).expanduser())
    size = _trained_size(name, state)
    with own_random_numbers():  # the random weights that are overwritten are not the caller's business
        options = _image_size(name, size)
        model = _random(name, **options)
        rows = _head_rows(model, state)
        own_classes = rows not in (0, len(classes))  # fine-tuned on others
        if own_classes:
            model = _random(name, num_classes=rows, **options)
    if size and size != preset.meta["min_size"][0]:
        preprocess = _preprocess_of_size(name, size)
    _as_trained(model)
    try:
        # Loading copies into the model's float32 tensors, so float16 files are exact in it.
        model.load_state_dict({key: value for key, value in state.items() if not key.startswith(_AUXILIARY)})
    except RuntimeError as error:
        raise ModelError(f"'{Path(weights).name}' does not fit {name}: {_first_words(error)}") from error
    return model.eval(), preprocess, None if own_classes else classes


def _preset(name: str, weights: Weights) -> Any:
    """torchvision's own weights that are meant, by name, such as "IMAGENET1K_V2", or as an enumeration has them."""
    own: Any = torchvision.models.get_model_weights(name)
    if isinstance(weights, Enum):
        if weights not in own:
            known = ", ".join(map(str, own))
            raise InputError(f"{weights} is of another model than {name}, whose weights are {known}.")
        return weights
    if isinstance(weights, str):
        key = weights.removeprefix(f"{own.__name__}.")
        if key in own.__members__:
            return own[key]
    return None


def _as_trained(model: Any) -> None:
    """What torchvision sets on its Inception and GoogLeNet when it loads their weights, and not when it does not."""
    if hasattr(model, "transform_input"):
        model.transform_input = True  # they were trained on another normalisation
    if hasattr(model, "aux_logits"):
        model.aux_logits = False  # heads for training: a file may have them or not
        for name in {child.rstrip(".") for child in _AUXILIARY} & {child for child, _ in model.named_children()}:
            setattr(model, name, None)


def _image_size(name: str, size: int) -> dict[str, int]:
    """The option that fixes a vision transformer's input size: it has a position embedding for each patch."""
    return {"image_size": size} if name.startswith("vit_") and size else {}


def _trained_size(name: str, state: dict[str, Tensor]) -> int:
    """The input size that a file's vision transformer was trained for; 0 where that is not to be seen or not fixed.

    torchvision has several sets of weights for one builder, at different sizes.
    """
    positions, patch = state.get("encoder.pos_embedding"), state.get("conv_proj.weight")
    if not name.startswith("vit_") or positions is None or patch is None or positions.ndim != 3 or patch.ndim != 4:
        return 0
    return math.isqrt(positions.shape[1] - 1) * patch.shape[2]


def _preprocess_of_size(name: str, size: int) -> Callable[[Image.Image], Tensor]:
    """The preprocessing of torchvision's own weights of that size; scaled from its default where it has none."""
    for preset in torchvision.models.get_model_weights(name):
        if preset.meta["min_size"][0] == size:
            found: Callable[[Image.Image], Tensor] = preset.transforms()
            return found
    made: Callable[[Image.Image], Tensor] = ImageClassification(crop_size=size, resize_size=size)
    return made


def _random(name: str, **options: Any) -> nn.Module:
    with warnings.catch_warnings():
        # googlenet and inception say at every call that their random initialisation is slow.
        warnings.simplefilter("ignore", FutureWarning)
        model: nn.Module = torchvision.models.get_model(name, weights=None, **options)
    return model


def read_state(path: Path) -> dict[str, Tensor]:
    """A state dict from a `.safetensors`, `.pt` or `.pth` file; no code in it is ever run.

    Raises:
        ModelError: if there is no such file or it holds no state dict.
    """
    if not path.is_file():
        raise ModelError(f"There is no weights file '{path}'.")
    try:
        state: Any
        if path.suffix == ".safetensors":
            state = load_file(path)
        else:
            state = torch.load(path, map_location="cpu", weights_only=True)
    except (SafetensorError, RuntimeError, EOFError, ValueError, OSError) as error:
        raise ModelError(f"'{path.name}' is damaged or no weights file ({_first_words(error)}).") from error
    except Exception as error:  # pickle.UnpicklingError and what else a foreign pickle raises
        raise ModelError(
            f"'{path.name}' is damaged, or holds more than tensors and is not opened: save a state_dict() alone."
        ) from error
    for key in ("state_dict", "model_state_dict", "model"):
        if isinstance(state, dict) and isinstance(state.get(key), dict):
            state = state[key]
    if not isinstance(state, dict) or not state or not all(isinstance(v, Tensor) for v in state.values()):
        raise ModelError(f"'{path.name}' holds no state dict: save model.state_dict() into it.")
    return _bare({str(key): value for key, value in state.items()})


def _bare(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """Without what wrappers put before the keys, in whatever order and depth: compiled, parallel, part of a trainer."""
    found = {
        ".".join(part for part in key.split(".") if part not in ("_orig_mod", "module")): value
        for key, value in state.items()
    }
    # No classifier of torchvision has all its weights in one part.
    while len({key.partition(".")[0] for key in found}) == 1 and all("." in key for key in found):
        found = {key.partition(".")[2]: value for key, value in found.items()}
    return found


def _first_words(error: Exception) -> str:
    return " ".join(str(error).split())[:300] or type(error).__name__


def _head_rows(model: nn.Module, state: dict[str, Tensor]) -> int:
    """How many classes the file's head has: the rows of the last linear or convolutional layer; 0 if not there."""
    heads = [n for n, m in model.named_modules() if isinstance(m, nn.Linear | nn.Conv2d)]
    weight = state.get(f"{heads[-1]}.weight") if heads else None
    return int(weight.shape[0]) if weight is not None else 0
