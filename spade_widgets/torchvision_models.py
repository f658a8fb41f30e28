"""torchvision's classifiers by name, with weights from its download or from a local file."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
import torchvision
from PIL import Image
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from spade_widgets.errors import InputError, ModelError

#: The heads that Inception and GoogLeNet are trained with.
_AUXILIARY = ("AuxLogits.", "aux1.", "aux2.")

Built = tuple[nn.Module, Callable[[Image.Image], Tensor] | None, tuple[str, ...] | None]


def build(name: str, weights: str | Path | None) -> Built:
    """The model, its preprocessing and its class names. See `ImageClassifier.from_torchvision`."""
    # Detection, segmentation, video and optical flow live in sub-modules of their own; classifiers in the top one.
    if name not in torchvision.models.list_models(module=torchvision.models):
        raise InputError(f"torchvision has no classifier '{name}'; 'resnet50' and 'mobilenet_v2' are two of its names.")
    preset = torchvision.models.get_model_weights(name)["DEFAULT"]
    preprocess, classes = preset.transforms(), tuple(preset.meta["categories"])
    if weights == "DEFAULT":
        try:
            with torch.random.fork_rng(devices=[]):  # as below
                model = torchvision.models.get_model(name, weights=preset)
        except OSError as error:  # URLError is one: no network, no such host, a server's refusal
            raise ModelError(
                f"The weights of {name} cannot be downloaded here ({error}): "
                f"give a local file, weights='…/{name}.safetensors'."
            ) from error
        return model.eval(), preprocess, classes
    if weights is None:
        return _random(name).eval(), preprocess, classes
    state = read_state(Path(weights))
    with torch.random.fork_rng(devices=[]):  # the random weights that are overwritten are not the caller's business
        model = _random(name)
        rows = _head_rows(model, state)
        own_classes = rows not in (0, len(classes))  # fine-tuned on others
        if own_classes:
            model = _random(name, num_classes=rows)
    _as_trained(model)
    try:
        # Loading copies into the model's float32 tensors, so float16 files are exact in it.
        model.load_state_dict({key: value for key, value in state.items() if not key.startswith(_AUXILIARY)})
    except RuntimeError as error:
        raise ModelError(f"'{Path(weights).name}' does not fit {name}: {_first_words(error)}") from error
    return model.eval(), preprocess, None if own_classes else classes


def _as_trained(model: Any) -> None:
    """What torchvision sets on its Inception and GoogLeNet when it loads their weights, and not when it does not."""
    if hasattr(model, "transform_input"):
        model.transform_input = True  # they were trained on another normalisation
    if hasattr(model, "aux_logits"):
        model.aux_logits = False  # heads for training: a file may have them or not
        for name in {child.rstrip(".") for child in _AUXILIARY} & {child for child, _ in model.named_children()}:
            setattr(model, name, None)


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
    if isinstance(state, dict) and isinstance(state.get("state_dict"), dict):
        state = state["state_dict"]
    if not isinstance(state, dict) or not state or not all(isinstance(v, Tensor) for v in state.values()):
        raise ModelError(f"'{path.name}' holds no state dict: save model.state_dict() into it.")
    return {str(key).removeprefix("module."): value for key, value in state.items()}


def _first_words(error: Exception) -> str:
    return " ".join(str(error).split())[:300] or type(error).__name__


def _head_rows(model: nn.Module, state: dict[str, Tensor]) -> int:
    """How many classes the file's head has: the rows of the last linear or convolutional layer; 0 if not there."""
    heads = [n for n, m in model.named_modules() if isinstance(m, nn.Linear | nn.Conv2d)]
    weight = state.get(f"{heads[-1]}.weight") if heads else None
    return int(weight.shape[0]) if weight is not None else 0
