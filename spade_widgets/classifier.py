"""The classifier a user looks into: any `nn.Module`, its preprocessing, its class names, and its layers."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Mapping
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn

from spade_widgets.errors import InputError, ModelError
from spade_widgets.network.answers import Answer
from spade_widgets.network.blame import model_errors
from spade_widgets.network.class_names import ClassNames, in_order
from spade_widgets.network.copies import shared_copy, unwrapped
from spade_widgets.network.faithful import check_copies
from spade_widgets.network.independence import ALONE
from spade_widgets.network.look import independent, look
from spade_widgets.network.memory_layout import takes_channels_last
from spade_widgets.network.outside import Outside
from spade_widgets.network.preprocessing import Preprocess, probe
from spade_widgets.network.products import TAKEN_PAST, Survey
from spade_widgets.network.weights import replace_weights, weight
from spade_widgets.network.wrapping import runs_on
from spade_widgets.neuron import Layer, Neuron, find_class, parse_neuron, record_layers
from spade_widgets.sample import Sample

if TYPE_CHECKING:
    from spade_widgets.network.torchvision_models import Weights

log = logging.getLogger(__name__)


class ImageClassifier:
    """An image classifier, looked into but never changed.

    The user's module is only read: every computation runs on a structural copy from `module()` that shares the
    weights' storage alone, so nothing that runs or is set on one ever reaches the original, and it is never run. Hooks
    are copied too, with what they close over. See `shared_copy` and `check_copies` for what is refused.

    Args:
        model: (n, 3, h, w) → logits (n, classes). Its training flag does not matter; the copies are in eval mode. Taken
            as well, and said in the log and by `answer`: logits in a tuple or a hub's object, a softmax or log-softmax
            behind them, and one number, or its sigmoid, for yes or no. Others are wrapped first: see notebook 02.
        class_names: one name a class, in the logits' order, `{index: name}` or `{name: index}`; `"0"`, `"1"`, … where
            not given.
        preprocess: PIL RGB image → (c, h, w) tensor, whose colours are an affine map of the picture's, alike at every
            pixel: torchvision's presets, BGR, a grey picture in one channel or three. Default: the shorter side to
            256, the middle 224 px, ImageNet's mean and standard deviation.
        name: what to call it on screen.

    Attributes:
        input_size: rows and columns of what the model sees.
        mean, std: of the normalisation, a channel each; see `Colours`.
        answer: how logits are had from what the model gives.
        independent: whether an image's logits are the same alone and among others. If not, as with batch statistics,
            all that can is run one image at a time, which is slow, and the rest is refused.
        remarks: a sentence for each of these two that is not as usual; the panels show them.

    Raises:
        ModelError: if it is no `nn.Module`, fails on a preprocessed image, gives NaN or infinite logits or what no
            logits can be had from, or the preprocessing is not an affine map of each pixel's colour.
        InputError: if the class names are not as many as the logits, or have no order.
    """

    def __init__(
        self,
        model: nn.Module,
        *,
        class_names: ClassNames | None = None,
        preprocess: Preprocess | None = None,
        name: str | None = None,
    ) -> None:
        if not isinstance(model, nn.Module):
            raise ModelError(
                f"An object of type {type(model).__name__} is no classifier: "
                "give a torch.nn.Module or a torchvision name."
            )
        self._model = model = unwrapped(model)
        self._digest: tuple[object, str] | None = None
        self.name = name or type(model).__name__
        self._preprocess = preprocess or _imagenet_preprocess()
        _check_kind(model, self.name)
        self._colours, self.input_size = probe(self._preprocess)
        self.answer, logits = self._look()
        self.class_names = in_order(class_names, logits.shape[1])
        self.independent = independent(self.module, self._blank(), self._noise(), logits)
        self.remarks = tuple(
            f"{self.name} {said}." for said in (self.answer.said, not self.independent and ALONE) if said
        )
        for remark in self.remarks:
            log.warning("%s", remark)

    @classmethod
    def from_torchvision(
        cls,
        name: str,
        weights: Weights = "DEFAULT",
        *,
        class_names: ClassNames | None = None,
        preprocess: Preprocess | None = None,
    ) -> ImageClassifier:
        """A classifier of torchvision by its builder's name.

        Args:
            name: as `torchvision.models.list_models()` has it, such as `"resnet50"`.
            weights: `"DEFAULT"` (torchvision's download, with its own preprocessing and names), another of its own by
                name or as `torchvision.models.ResNet50_Weights` has them, the path of a local
                `.safetensors`, `.pt` or `.pth` state dict (read without unpickling code; it may be float16), or None
                for random weights.

        Raises:
            InputError: if torchvision has no such classifier.
            ModelError: if the weights cannot be downloaded, read or fitted; says what to do instead.
        """
        from spade_widgets.network.one_memory import share_memory
        from spade_widgets.network.torchvision_models import build

        model, default_preprocess, default_names = build(name, weights)
        return cls(
            share_memory(model) if weights is not None else model,  # random ones are others each time
            class_names=default_names if class_names is None else class_names,
            preprocess=preprocess or default_preprocess,
            name=name,
        )

    def __repr__(self) -> str:
        h, w = self.input_size
        return f"ImageClassifier({self.name}, {len(self.class_names)} classes, {h}×{w} px, {self.weights:,} weights)"

    @property
    def mean(self) -> tuple[float, ...]:
        """A channel each: the grey level in 0…1 that is zero after the normalisation."""
        return self._colours.mean

    @property
    def std(self) -> tuple[float, ...]:
        """A channel each: by how much a grey level has to rise for one more after the normalisation."""
        return self._colours.std

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
            if not self._colours.per_channel:
                hashed.update(repr((self._colours.matrix, self._colours.offset)).encode())
            for key, digest in (self.digests() | self._unsaved()).items():
                hashed.update(f"{key} {digest}\n".encode())
            self._digest = known = state, hashed.hexdigest()[:16]
        return known[1]

    def digests(self) -> dict[str, str]:
        """Key of the state dict → 16 hexadecimal digits that name the tensor's content; computed at every call."""
        state = self._model.state_dict()
        named = {key.replace("_orig_mod.", ""): tensor for key, tensor in state.items()}  # as in copies
        return {key: tensor_digest(tensor) for key, tensor in named.items() if isinstance(tensor, Tensor)}

    def _unsaved(self) -> dict[str, str]:
        """As `digests`, of the buffers that a state dict leaves out."""
        saved = self._model.state_dict().keys()
        return {key: tensor_digest(tensor) for key, tensor in self._model.named_buffers() if key not in saved}

    @cached_property
    def _outside(self) -> Outside:
        return Outside(self._model, self.name)

    def __getstate__(self) -> dict[str, Any]:
        # Both know the model by addresses, which are others in the copy.
        return {key: value for key, value in self.__dict__.items() if key != "_outside"} | {"_digest": None}

    def module(self) -> nn.Module:
        """A fresh copy of the model: eval mode, frozen parameters (storage shared), its own hooks and buffers.

        It is the caller's to hook and to change (by replacing parameters, not by writing into them); nobody else sees
        it, in this thread or another. Costs no memory for weights.
        """
        return self.answer.attach(self._copy())

    def normalize(self, images: Tensor) -> Tensor:
        """(n, 3, h, w) in 0…1 → the model's input: normalised, in its dtype, on its device. Differentiable."""
        return self._colours.normalize(images.to(self.device)).to(self.dtype)

    def picture(self, x: Tensor) -> Tensor:
        """The model's input, (…, c, h, w) → the picture that is normalised to it, (…, 3, h, w) float32 in 0…1, CPU.

        Grey where the model is given no colours.
        """
        return self._colours.picture(x.float().cpu()).clamp(0, 1)

    def at_once(self, count: int) -> int:
        """How many images may go through the model at once, where so many are suitable: one if not `independent`."""
        return count if self.independent else 1

    @cached_property
    def channels_last(self) -> bool:
        """Whether images that lie channels last in memory have the same logits: on a CPU they take half the time."""
        with model_errors():
            return takes_channels_last(self.module, torch.cat([self._noise(), self._blank()])[: self.at_once(2)])

    @property
    def memory_format(self) -> torch.memory_format:
        """How images lie in memory that go through the model fastest, and its weights with them.

        Weights are to be brought there once, by `Module.to` on a copy, which leaves the user's where they are: else a
        convolution brings them there at every call.
        """
        on_cpu = self.device.type == "cpu"
        return torch.channels_last if on_cpu and self.channels_last else torch.preserve_format

    def prepare(self, sample: Sample) -> Tensor:
        """The sample as the model's input: (1, c, h, w), through the classifier's own preprocessing."""
        return self._preprocessed(sample).unsqueeze(0).to(self.device, self.dtype)

    def answer_of(self, module: nn.Module, sample: Sample) -> Tensor:
        """The logits of a sample, (1, classes), under a copy of the model, dense or sparse.

        Raises:
            ModelError: if the model fails on it.
        """
        with torch.no_grad(), model_errors():
            logits: Tensor = module(self.prepare(sample))
        return logits

    def view(self, sample: Sample) -> Tensor:
        """What the model sees of the sample, before normalisation: (3, h, w) float32 in 0…1."""
        return self.picture(self._preprocessed(sample))

    def _preprocessed(self, sample: Sample) -> Tensor:
        return self._preprocess(sample.image)[: len(self.mean)]

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
        with model_errors(), Survey(module) as survey:
            layers = record_layers(module, self._blank())
        names, left = survey.prunable(), survey.left_dense()
        # A weight that a pass takes from elsewhere, too (a list, a closure, a cache), cannot be replaced in its layer.
        other = self.module()
        replace_weights(other, {name: weight(other, name).detach() for name in names})
        with model_errors(), torch.no_grad(), Survey(other) as again:
            other(self._blank())
        lost = set(names) - set(again.prunable())
        return layers, tuple(name for name in names if name not in lost), left | dict.fromkeys(lost, TAKEN_PAST)

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
        return self.normalize(torch.full((1, 3, h, w), 0.5))

    def _look(self) -> tuple[Answer, Tensor]:
        """How logits are had from what the model gives, and those of a grey image."""

        def tried() -> tuple[nn.Module, list[object]]:
            return check_copies(self._model, torch.cat([self._blank(), self._noise()]), self.name, self._outside)

        copy, gave = tried()
        if len(self.mean) > 1 and self._colours.grey and not runs_on(self._copy(), self._blank()):
            one = self._blank()[:, :1]
            if runs_on(self._copy(), one):
                self._colours = self._colours.first()
                copy, gave = tried()
        return look(copy, gave, self._copy, self._blank(), self._noise(), self.name)

    def _copy(self) -> nn.Module:
        return shared_copy(self._model, outside=self._outside.shared)

    def _noise(self) -> Tensor:
        """An image that is unlike the grey one at every pixel and in each colour's mean, normalised."""
        draws = torch.Generator("cpu").manual_seed(0)
        noise = torch.rand(1, 3, *self.input_size, generator=draws, dtype=torch.float32, device="cpu")
        most = torch.tensor([1.0, 0.6, 0.2], dtype=torch.float32, device="cpu").view(1, 3, 1, 1)
        return self.normalize(noise * most)


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


def _check_kind(model: nn.Module, name: str) -> None:
    """Whether a model has values that can be read, and layers that can be copied."""
    if any(isinstance(part, torch.jit.ScriptModule) for part in model.modules()):
        raise ModelError(
            f"{name} is, or holds, a module of TorchScript, whose layers can be neither copied nor followed: give the "
            "nn.Module that it was made of, with its state dict."
        )
    everywhere = nn.modules.module
    if everywhere._global_forward_hooks or everywhere._global_forward_pre_hooks:
        raise ModelError(
            "There are hooks on all modules there are (register_module_forward_hook), which would be called for copies "
            "of the model, too: remove them, or register them on the model itself."
        )
    for kind, tensors in (("weights", model.named_parameters()), ("buffers", model.named_buffers())):
        for path, tensor in tensors:
            if nn.parameter.is_lazy(tensor):
                raise ModelError(f"The model's {kind} '{path}' have no shape yet: run the model once on an image.")
            if tensor.is_meta:
                raise ModelError(
                    f"The model's {kind} '{path}' have no values, on the 'meta' device: load a state dict into the "
                    "model first, with load_state_dict(…, assign=True)."
                )
