"""The classifier a user looks into: any `nn.Module`, its preprocessing, its class names, and its layers."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn

from spade_widgets.errors import InputError, ModelError, described
from spade_widgets.network.copies import shared_copy
from spade_widgets.network.products import Survey
from spade_widgets.network.wrapping import GREY, is_logits, of_input, of_output
from spade_widgets.neuron import Layer, Neuron, find_class, parse_neuron, record_layers
from spade_widgets.sample import Sample

#: PIL RGB image → float tensor (3, h, w), resized, cropped and normalised as the model wants it.
Preprocess = Callable[[Image.Image], Tensor]


class ImageClassifier:
    """An image classifier, looked into but never changed.

    The user's module is only read: every computation runs on a structural copy from `module()` that shares the
    weights' storage, so no hook, flag or gradient ever reaches the original.

    Args:
        model: (n, 3, h, w) → logits (n, classes). Its training flag does not matter; the copies are in eval mode. One
            that takes one channel or gives something else is wrapped first: notebook 02 has three lines for each.
        class_names: one name a class; `"0"`, `"1"`, … where not given.
        preprocess: PIL RGB image → (3, h, w) tensor, ending in a per-channel normalisation (as torchvision's presets
            do). Default: the shorter side to 256, the middle 224 px, ImageNet's mean and standard deviation.
        name: what to call it on screen.

    Raises:
        ModelError: if it is no `nn.Module`, holds NaN or infinite weights, fails on a preprocessed image, does not give
            one row of logits, or the preprocessing is not per-channel affine at the end.
        InputError: if the class names are not as many as the logits.
    """

    def __init__(
        self,
        model: nn.Module,
        *,
        class_names: Sequence[str] | None = None,
        preprocess: Preprocess | None = None,
        name: str | None = None,
    ) -> None:
        if not isinstance(model, nn.Module):
            raise ModelError(
                f"An object of type {type(model).__name__} is no classifier: "
                "give a torch.nn.Module or a torchvision name."
            )
        self._model = model
        self._digest: tuple[object, str] | None = None
        self.name = name or type(model).__name__
        self._preprocess = preprocess or _imagenet_preprocess()
        _check_finite(model)
        self.mean, self.std, self.input_size = _probe(self._preprocess)
        logits = self._try_forward()
        self.class_names = _names(class_names, logits.shape[1])

    @classmethod
    def from_torchvision(
        cls,
        name: str,
        weights: str | Path | None = "DEFAULT",
        *,
        class_names: Sequence[str] | None = None,
        preprocess: Preprocess | None = None,
    ) -> ImageClassifier:
        """A classifier of torchvision by its builder's name.

        Args:
            name: as `torchvision.models.list_models()` has it, such as `"resnet50"`.
            weights: `"DEFAULT"` (torchvision's download, with its own preprocessing and names), the path of a local
                `.safetensors`, `.pt` or `.pth` state dict (read without unpickling code; it may be float16), or None
                for random weights.

        Raises:
            InputError: if torchvision has no such classifier.
            ModelError: if the weights cannot be downloaded, read or fitted; says what to do instead.
        """
        from spade_widgets.network.torchvision_models import build

        model, default_preprocess, default_names = build(name, weights)
        return cls(
            model,
            class_names=default_names if class_names is None else class_names,
            preprocess=preprocess or default_preprocess,
            name=name,
        )

    def __repr__(self) -> str:
        h, w = self.input_size
        return f"ImageClassifier({self.name}, {len(self.class_names)} classes, {h}×{w} px, {self.weights:,} weights)"

    @property
    def dense(self) -> ImageClassifier:
        """Itself; a trace answers with its dense classifier, so that either can be asked."""
        return self

    @cached_property
    def device(self) -> torch.device:
        """Where the model's parameters are."""
        return next((t.device for t in self._tensors()), torch.device("cpu"))

    @cached_property
    def dtype(self) -> torch.dtype:
        """The model's own floating point type; inputs are given in it."""
        return next((t.dtype for t in self._tensors() if t.is_floating_point()), torch.float32)

    @cached_property
    def weights(self) -> int:
        """How many parameters the model has."""
        return sum(p.numel() for p in self._model.parameters())

    @property
    def digest(self) -> str:
        """16 hexadecimal digits that name the content: equal for equal weights, buffers and normalisation.

        Not computed again until a tensor was written into or replaced, as by training or `load_state_dict`.
        """
        state = tuple((id(t), t.data_ptr(), version(t), t.dtype) for t in self._tensors())
        known = self._digest
        if known is None or known[0] != state:
            hashed = hashlib.sha256(repr((self.mean, self.std, self.input_size, str(self.dtype))).encode())
            for key, digest in self.digests().items():
                hashed.update(f"{key} {digest}\n".encode())
            self._digest = known = state, hashed.hexdigest()[:16]
        return known[1]

    def digests(self) -> dict[str, str]:
        """Key of the state dict → 16 hexadecimal digits that name the tensor's content; computed at every call."""
        state = self._model.state_dict()
        return {key: tensor_digest(tensor) for key, tensor in state.items() if isinstance(tensor, Tensor)}

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | {"_digest": None}  # it is known by addresses, which are others in the copy

    def module(self) -> nn.Module:
        """A fresh copy of the model: eval mode, frozen parameters, its own hooks, every tensor's storage shared.

        It is the caller's to hook and to change (by replacing parameters, not by writing into them); nobody else sees
        it, in this thread or another. Costs no memory for weights.
        """
        return shared_copy(self._model)

    def normalize(self, images: Tensor) -> Tensor:
        """(n, 3, h, w) in 0…1 → the model's input: normalised, in its dtype, on its device. Differentiable."""
        images = images.to(self.device)
        mean = torch.tensor(self.mean, device=self.device, dtype=images.dtype).view(1, -1, 1, 1)
        std = torch.tensor(self.std, device=self.device, dtype=images.dtype).view(1, -1, 1, 1)
        return ((images - mean) / std).to(self.dtype)

    def prepare(self, sample: Sample) -> Tensor:
        """The sample as the model's input: (1, 3, h, w), through the classifier's own preprocessing."""
        return self._preprocess(sample.image).unsqueeze(0).to(self.device, self.dtype)

    def view(self, sample: Sample) -> Tensor:
        """What the model sees of the sample, before normalisation: (3, h, w) float32 in 0…1."""
        x = self._preprocess(sample.image).float().cpu()
        mean, std = (torch.tensor(v, dtype=torch.float32, device="cpu").view(-1, 1, 1) for v in (self.mean, self.std))
        return (x * std + mean).clamp(0, 1)

    def view_mask(self, sample: Sample) -> np.ndarray[Any, np.dtype[np.bool_]] | None:
        """The sample's mask where the model sees it, (h, w) bool: sent through the preprocessing as a picture."""
        if sample.mask is None:
            return None
        picture = Image.fromarray(sample.mask.astype(np.uint8) * np.uint8(255)).convert("RGB")
        seen: np.ndarray[Any, np.dtype[np.bool_]] = (self.view(Sample(picture)).mean(0) > 0.5).numpy()
        return seen

    @cached_property
    def _recorded(self) -> tuple[tuple[Layer, ...], tuple[str, ...], Mapping[str, str]]:
        module = self.module()
        with Survey(module) as survey:
            layers = record_layers(module, self._blank())
        return layers, survey.prunable(), survey.left_dense()

    @property
    def _layers(self) -> tuple[Layer, ...]:
        return self._recorded[0]

    def layers(self) -> tuple[Layer, ...]:
        """The layers whose neurons can be visualised, in the order in which the model runs them."""
        return self._layers

    def prunable(self) -> tuple[str, ...]:
        """The names of all layers that can be pruned, in the order in which the forward pass first uses them.

        These are the weights that it uses in convolutions (of one to three dimensions), in linear layers and in
        attention's projections, through layers or not, and in nothing else. See `weights` for how they are named.
        """
        return self._recorded[1]

    def left_dense(self) -> dict[str, str]:
        """Name → why it cannot be pruned, for every other parameter of two or more dimensions."""
        return dict(self._recorded[2])

    def layer(self, name: str) -> Layer:
        """The layer of that name.

        Raises:
            InputError: if there is none.
        """
        for layer in self._layers:
            if layer.name == name:
                return layer
        examples = ", ".join(f"'{layer.name}'" for layer in self._layers[-3:])
        raise InputError(f"There is no layer '{name}' in {self.name}; its last ones are {examples}.")

    def neuron(self, spec: str | Neuron) -> Neuron:
        """Parse and check `"layer:channel"`, `"layer:channel@row,col"`, `"logit:name"` or `"logit:index"`.

        Raises:
            InputError: if it is not written like that, or there is no such layer, channel, position or class.
        """
        return parse_neuron(spec, self._layers, self.class_names)

    def class_index(self, spec: str | int) -> int:
        """The index of a class given by index or name.

        Raises:
            InputError: if there is none, or the name is several classes'.
        """
        return find_class(spec, self.class_names)

    def _tensors(self) -> list[Tensor]:
        return [*self._model.parameters(), *self._model.buffers()]

    def _blank(self) -> Tensor:
        h, w = self.input_size
        return self.normalize(torch.full((1, len(self.mean), h, w), 0.5))

    def _try_forward(self) -> Tensor:
        module, blank = self.module(), self._blank()
        out: object
        try:
            with torch.no_grad():
                out = module(blank)
        except Exception as error:  # whatever the user's own forward raises
            h, w = self.input_size
            failed = f"{self.name} cannot be run on an image of {h} × {w} px: {described(error)}"
            raise ModelError(f"{failed}{of_input(module, blank)}.") from error
        if not is_logits(out):
            shape = f"a tensor of shape {tuple(out.shape)}" if isinstance(out, Tensor) else f"a {type(out).__name__}"
            raise ModelError(
                f"{self.name} is not an image classifier: it gives {shape} instead of logits (1, classes)"
                f"{of_output(out)}."
            )
        if not bool(torch.isfinite(out).all()):
            raise ModelError(
                f"{self.name} gives NaN or infinite logits on a grey image, so nothing can be said about it."
            )
        return out


def tensor_bytes(tensor: Tensor) -> memoryview:
    """The values as they lie in memory, whatever the type: NumPy has no bfloat16. Copied only where they have to be."""
    return tensor.detach().cpu().contiguous().view(-1).view(torch.uint8).numpy().data


def tensor_digest(tensor: Tensor) -> str:
    """16 hexadecimal digits that name a tensor's shape, type and values."""
    hashed = hashlib.sha256(f"{tuple(tensor.shape)} {tensor.dtype}".encode())
    hashed.update(tensor_bytes(tensor))
    return hashed.hexdigest()[:16]


def version(tensor: Tensor) -> int:
    """How often a tensor was written into; those made in inference mode do not count."""
    return 0 if tensor.is_inference() else tensor._version


def _imagenet_preprocess() -> Preprocess:
    from torchvision.transforms._presets import ImageClassification

    return ImageClassification(crop_size=224)  # type: ignore[no-any-return]


def _probe(preprocess: Preprocess) -> tuple[tuple[float, ...], tuple[float, ...], tuple[int, int]]:
    """Mean, standard deviation and input size of any preprocessing, by sending black, grey and white through it.

    A visualization has no file to preprocess: it needs the normalisation alone, which an opaque function does not
    show. On a constant picture resizing and cropping do nothing, so what comes out is (value − mean) / std.
    """
    outs: list[Tensor] = []
    for level in (0, 128, 255):
        try:
            out: object = preprocess(Image.new("RGB", (512, 512), (level, level, level)))
        except Exception as error:  # whatever the user's own function raises
            raise ModelError(f"The preprocessing fails on a plain RGB image: {described(error)}.") from error
        if not isinstance(out, Tensor) or out.ndim != 3 or out.shape[0] != 3 or not out.is_floating_point():
            got = f"a {out.dtype} tensor {tuple(out.shape)}" if isinstance(out, Tensor) else f"a {type(out).__name__}"
            single = isinstance(out, Tensor) and out.ndim == 3 and out.shape[0] == 1
            how = f": for a model of grey images .expand(3, -1, -1), and {GREY} before the model" if single else ""
            raise ModelError(f"The preprocessing gives {got}; a float tensor (3, h, w) is needed{how}.")
        outs.append(out.double().cpu())
    black, grey, white = (o.mean(dim=(1, 2)) for o in outs)
    span = white - black
    flat = max(float((o - o.mean(dim=(1, 2), keepdim=True)).abs().max()) for o in outs)
    bend = float((grey - (black + span * (128 / 255))).abs().max())
    scale = float(span.abs().max())
    affine = float(span.abs().min()) > 0 and flat <= 1e-2 * scale and bend <= 1e-2 * scale  # none of it holds for NaN
    if not affine:
        raise ModelError("The preprocessing must end in a per-channel (value − mean) / std, alike at every pixel.")
    std, mean = 1 / span, -black / span
    # Float32 inside the function leaves 0.48500000349; six digits are what was meant.
    rounded = (tuple(round(v, 6) for v in values.tolist()) for values in (mean, std))
    return next(rounded), next(rounded), (outs[0].shape[1], outs[0].shape[2])


def _names(names: Sequence[str] | None, classes: int) -> tuple[str, ...]:
    if names is None:
        return tuple(str(i) for i in range(classes))
    if len(names) != classes:
        raise InputError(f"There are {len(names)} class names, but the model has {classes} classes.")
    return tuple(str(n) for n in names)


def _check_finite(model: nn.Module) -> None:
    for kind, tensors in (("weights", model.named_parameters()), ("buffers", model.named_buffers())):
        for name, tensor in tensors:
            if nn.parameter.is_lazy(tensor):
                raise ModelError(f"The model's {kind} '{name}' have no shape yet: run the model once on an image.")
            if tensor.is_floating_point() and not bool(torch.isfinite(tensor).all()):
                raise ModelError(
                    f"The model's {kind} '{name}' hold NaN or infinite values, so nothing can be said about it."
                )
