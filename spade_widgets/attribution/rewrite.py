"""A forward pass rewritten as a list of modules, one a call, so that rules can be hooked to every operation.

Captum and zennit hook modules. Networks call functions, call one module several times, add and multiply tensors, and
compute in place; none of that can be hooked. So the pass is recorded on one input, however the model's code calls its
operations, and replayed by modules: each call is one, all are out of place, and all share the model's weights.

(`torch.fx` would record it too, but only of models whose code it can trace: no loops over the input's shape, no
branches on values.)
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, TypeAlias

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from spade_widgets.attribution.operations import (
    Add,
    AvgPool,
    BatchNorm,
    Call,
    Curve,
    MaxPool,
    Norm,
    Pointwise,
    Product,
    Quotient,
    Rectifier,
    Reshape,
    Scale,
    Slot,
    Squash,
)
from spade_widgets.errors import ModelError

#: A tensor of the pass: the number of the step that made it (−1: the input), and which of several outputs it is.
Ref: TypeAlias = tuple[int, int | None]

INPUT: Ref = (-1, None)

_KINDS: dict[type[Call], str] = {
    Reshape: "flatten view reshape permute transpose swapaxes contiguous cat concat stack chunk split __getitem__ "
    "squeeze unsqueeze expand narrow select unbind movedim moveaxis pixel_shuffle pixel_unshuffle "
    "channel_shuffle roll clone detach to float double flip unflatten repeat repeat_interleave tile broadcast_to ravel "
    "t swapdims tensor_split hsplit vsplit dsplit hstack vstack dstack index_select split_with_sizes adjoint T mT H mH "
    "data",
    Rectifier: "relu6 leaky_relu elu selu celu gelu silu hardswish mish softplus prelu",
    Squash: "sigmoid hardsigmoid tanh softsign",
    Curve: "exp log sqrt rsqrt square abs pow reciprocal erf",
    AvgPool: "avg_pool1d avg_pool2d avg_pool3d adaptive_avg_pool1d adaptive_avg_pool2d adaptive_avg_pool3d mean sum "
    "interpolate",
    MaxPool: "max_pool1d max_pool2d max_pool3d adaptive_max_pool1d adaptive_max_pool2d adaptive_max_pool3d amax",
    Norm: "layer_norm group_norm instance_norm rms_norm",
}
_KIND = {name: kind for kind, names in _KINDS.items() for name in names.split()}
_SUMS = {"add": 1.0, "__add__": 1.0, "__radd__": 1.0, "__iadd__": 1.0, "sub": -1.0, "__sub__": -1.0, "__isub__": -1.0}
_PRODUCTS = {"mul", "multiply", "__mul__", "__rmul__", "__imul__"}
_QUOTIENTS = {"div", "divide", "true_divide", "__truediv__", "__itruediv__"}
#: Constants: they take the shape of a tensor, and nothing of its values.
_CONSTANTS = {
    "zeros_like", "ones_like", "full_like", "empty_like", "new_zeros", "new_ones", "new_full", "new_empty",
    "new_tensor",
}  # fmt: skip
#: They give the first tensor a form that the second has: the second's values do not matter.
_FORMS: dict[str, Callable[[Tensor], tuple[Callable[..., Any], Any]]] = {
    "expand_as": lambda other: (Tensor.expand, tuple(other.shape)),
    "view_as": lambda other: (Tensor.view, tuple(other.shape)),
    "reshape_as": lambda other: (Tensor.reshape, tuple(other.shape)),
    "type_as": lambda other: (Tensor.to, other.dtype),
}
_SCALINGS = {*_SUMS, *_PRODUCTS, "div", "true_divide", "__truediv__", "__itruediv__", "neg", "__neg__", "__rsub__"}
_DROPOUTS = {"dropout", "dropout1d", "dropout2d", "dropout3d", "alpha_dropout", "feature_alpha_dropout"}
_CONVOLUTIONS: dict[str, tuple[type[nn.Conv1d | nn.Conv2d | nn.Conv3d], int]] = {
    "conv1d": (nn.Conv1d, 1), "conv2d": (nn.Conv2d, 2), "conv3d": (nn.Conv3d, 3),
}  # fmt: skip


class Recorded(nn.Module):
    """A forward pass as modules, for inputs of the shape it was recorded on.

    Attributes:
        calls: the modules, in the order in which they run.
        inputs: for each, what it is given.
        output: what the pass gives.
        layers: what each module of the model gave at its first run, where that is a tensor which comes of the input.
    """

    def __init__(
        self, calls: Sequence[nn.Module], inputs: Sequence[tuple[Ref, ...]], output: Ref, layers: Mapping[str, Ref]
    ) -> None:
        super().__init__()
        self.calls = nn.ModuleList(calls)
        self.inputs = list(inputs)
        self.output = output
        self.layers = dict(layers)
        self.eval()

    def forward(self, x: Tensor) -> Tensor:
        """The input, of the recorded shape → logits."""
        last = {ref[0]: step for step, refs in enumerate(self.inputs) for ref in refs}
        values: dict[int, Any] = {-1: x}
        for step, (call, refs) in enumerate(zip(self.calls, self.inputs, strict=True)):
            # Each call is given a tensor object of its own: captum's hooks on an input take the whole gradient of that
            # tensor, with what comes from its other users, and collide with those on the output of the call before.
            values[step] = call(*(_alias(_pick(values, ref)) for ref in refs))
            for index in {ref[0] for ref in refs}:
                if last[index] == step and index != self.output[0]:
                    del values[index]
        return _pick(values, self.output)

    def maker(self, ref: Ref) -> nn.Module | None:
        """The module that makes a tensor; None for the input."""
        return self.calls[ref[0]] if ref[0] >= 0 else None

    def users(self, ref: Ref) -> list[int]:
        """The steps that are given a tensor."""
        return [step for step, refs in enumerate(self.inputs) if ref in refs]


def _alias(tensor: Tensor) -> Tensor:
    return tensor.view_as(tensor)


def _pick(values: dict[int, Any], ref: Ref) -> Tensor:
    value: Tensor = values[ref[0]] if ref[1] is None else values[ref[0]][ref[1]]
    return value


def record(module: nn.Module, x: Tensor, name: str) -> Recorded:
    """Record what a module does with an input.

    Args:
        module: in eval mode, the caller's own; it is only run.
        x: (n, 3, h, w); the recording is good for inputs of this very shape, batch included.
        name: what to call the model in an error.

    Raises:
        ModelError: if the pass cannot be followed: it leaves PyTorch's functions, or goes other ways for other images.
    """
    recorder = _Recorder(x)
    with torch.no_grad():
        with recorder, recorder.noting_layers(module):
            out: object = module(x)
        output = recorder.find(out) if isinstance(out, Tensor) else None
        if output is None:
            raise ModelError(_untracked(name))
        recorded = Recorded(recorder.calls, recorder.inputs, output, recorder.layers)
        other = x.flip(-1) * 0.9  # a tensor that was taken for a constant shows on another image
        wanted, found = module(other), recorded(other)
    if not torch.allclose(found, wanted, rtol=1e-3, atol=1e-3 * float(wanted.abs().max())):
        raise ModelError(_untracked(name))
    return recorded


def _untracked(name: str) -> str:
    return (
        f"This method needs to follow each operation of {name}, and cannot: it leaves PyTorch's functions, "
        "or goes other ways for other images; gradient and perturbation methods work on it."
    )


class _Recorder(TorchFunctionMode):
    """Notes every call of a PyTorch function that is given a tensor which comes of the input."""

    def __init__(self, x: Tensor) -> None:
        super().__init__()
        self.calls: list[nn.Module] = []
        self.inputs: list[tuple[Ref, ...]] = []
        self.layers: dict[str, Ref] = {}
        # The tensors are kept: another could be given the number of one that is gone.
        self._known: dict[int, tuple[Tensor, Ref]] = {id(x): (x, INPUT)}

    def find(self, tensor: Tensor) -> Ref | None:
        """Where a tensor comes from; None if not of the input."""
        entry = self._known.get(id(tensor))
        return entry[1] if entry else None

    @contextmanager
    def noting_layers(self, module: nn.Module) -> Iterator[None]:
        """Note, too, what the modules in a module give."""

        def noter(name: str) -> Callable[[nn.Module, Any, Any], None]:
            def note(_part: nn.Module, _inputs: Any, output: Any) -> None:
                ref = self.find(output) if isinstance(output, Tensor) else None
                if ref is not None:
                    self.layers.setdefault(name, ref)

            return note

        handles = [part.register_forward_hook(noter(name)) for name, part in module.named_modules()]
        try:
            yield
        finally:
            for handle in handles:
                handle.remove()

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        name = str(getattr(func, "__name__", ""))
        if name == "__get__":  # x.mT
            name = str(getattr(func.__self__, "__name__", name))
        tensors: list[Tensor] = []
        if name in _FORMS:
            func, form = _FORMS[name](*args[1:], **kwargs)
            args, kwargs, name = (args[0], form), {}, func.__name__
        slotted_args, slotted_kwargs = self._slots(args, tensors), self._slots(kwargs, tensors)
        if not tensors or name in _CONSTANTS:
            return func(*args, **kwargs)
        refs = [self._known[id(tensor)][1] for tensor in tensors]
        in_place = _writes(name, kwargs)
        before = [tensor.shape for tensor in tensors]
        if in_place and isinstance(args[0], Tensor) and id(args[0]) not in self._known:
            slotted_args = (args[0].clone(), *slotted_args[1:])  # a constant that is written into
        result = func(*args, **kwargs)
        made = args[0] if in_place else result
        if not _holds_tensors(made):
            return result
        if name.rstrip("_") in _DROPOUTS:  # in eval mode
            self._note(made, refs[0])
            return result
        if result is tensors[0] and not in_place:
            if _KIND.get(name) is Reshape:  # nothing to do
                return result
            in_place = True  # by a flag among the positional arguments
        call, used = _as_module(func, name, slotted_args, slotted_kwargs, refs, before, made, in_place)
        self.calls.append(call)
        self.inputs.append(used)
        step = len(self.calls) - 1
        if isinstance(made, Tensor):
            self._note(made, (step, None))
            if in_place and isinstance(result, Tensor):
                self._note(result, (step, None))
        else:
            for item, part in enumerate(made):
                if isinstance(part, Tensor):
                    self._note(part, (step, item))
        return result

    def _note(self, tensor: Tensor, ref: Ref) -> None:
        self._known[id(tensor)] = (tensor, ref)

    def _slots(self, part: Any, tensors: list[Tensor]) -> Any:
        if isinstance(part, Tensor) and id(part) in self._known:
            tensors.append(part)
            return Slot(len(tensors) - 1)
        if isinstance(part, tuple | list) and type(part) in (tuple, list):
            return type(part)(self._slots(inner, tensors) for inner in part)
        if isinstance(part, dict):
            return {key: self._slots(inner, tensors) for key, inner in part.items()}
        return part


def _holds_tensors(value: object) -> bool:
    return isinstance(value, Tensor) or (isinstance(value, tuple | list) and any(isinstance(v, Tensor) for v in value))


def _writes(name: str, kwargs: dict[str, Any]) -> bool:
    """Whether a call writes into its first tensor. (`F.relu(x, inplace=True)` does, and returns the same tensor.)"""
    if name.startswith("__"):
        return name == "__setitem__" or (name.startswith("__i") and name not in ("__invert__", "__index__", "__int__"))
    return name.endswith("_") or kwargs.get("inplace") is True


def _as_module(
    func: Callable[..., Any],
    name: str,
    args: Any,
    kwargs: Any,
    refs: list[Ref],
    shapes: list[torch.Size],
    made: Any,
    in_place: bool,
) -> tuple[nn.Module, tuple[Ref, ...]]:
    """The module that does a call, and what it is given."""
    plain = name if name.startswith("__") else name.rstrip("_")
    kwargs = {key: value for key, value in kwargs.items() if key != "inplace"}
    one = len(refs) == 1 and isinstance(made, Tensor)
    if one and plain in _CONVOLUTIONS:
        return _convolution(plain, *_bound(args, kwargs, _CONVOLUTION)), (refs[0],)
    if one and plain == "linear":
        return _linear(*_bound(args, kwargs, ("input", "weight", "bias"))[1:], dims=len(shapes[0])), (refs[0],)
    if one and plain == "relu":
        return nn.ReLU(), (refs[0],)
    if plain in _SUMS and len(refs) == 2 and isinstance(made, Tensor):
        return Add(_SUMS[plain] * float(kwargs.get("alpha", 1))), (refs[0], refs[1])
    if plain in _PRODUCTS and len(refs) == 2:
        return Product(), (refs[0], refs[1])
    if plain in _QUOTIENTS and len(refs) == 2 and not kwargs.get("rounding_mode"):
        return Quotient(), (refs[0], refs[1])
    kind: type[Call] = Call
    same = one and made.shape == shapes[0]
    if plain == "batch_norm" and same:
        # Without running statistics it takes the image's own.
        kind = BatchNorm if isinstance(_bound(args, kwargs, ("input", "running_mean"))[1], Tensor) else Norm
    elif plain in _SCALINGS and same:
        kind = Scale
    elif plain == "pad":
        kind = Reshape if _pads_zeros(args, kwargs) else Call
    elif plain in ("mean", "sum") and one:
        kind = AvgPool if made.numel() < shapes[0].numel() else Call
    elif plain in ("clamp", "clamp_min", "hardtanh") and same:
        names = ("min_val", "max_val") if plain == "hardtanh" else ("min", "max")
        low, high = _bounds(args, kwargs, *names)
        if low == 0 and high is None:
            return nn.ReLU(), (refs[0],)
        kind = Rectifier if low == 0 else Squash
    elif plain in _KIND:
        kind = _KIND[plain]
        if kind not in (Reshape, AvgPool, MaxPool) and not same:
            kind = Call
    at = _FLAGS.get(name)
    if at is not None and len(args) > at:
        args = (*args[:at], False, *args[at + 1 :])
    by_flag = at is not None or not (name.endswith("_") or name.startswith("__"))
    return kind(func, args, kwargs, in_place and not by_flag), tuple(refs)


_CONVOLUTION = ("input", "weight", "bias", "stride", "padding", "dilation", "groups")


def _bound(args: Any, kwargs: dict[str, Any], names: Sequence[str]) -> list[Any]:
    return [args[i] if i < len(args) else kwargs.get(key) for i, key in enumerate(names)]


#: Where `inplace` stands among the positional arguments; it is switched off.
_FLAGS = {"relu6": 1, "silu": 1, "hardswish": 1, "hardsigmoid": 1, "mish": 1, "selu": 1, "leaky_relu": 2, "elu": 2}
_FLAGS |= {"celu": 2, "hardtanh": 3, "threshold": 3}


def _bounds(args: Any, kwargs: dict[str, Any], first: str, second: str) -> tuple[Any, Any]:
    low, high = _bound(args, kwargs, ("input", first, second))[1:]
    return low, high


def _pads_zeros(args: Any, kwargs: dict[str, Any]) -> bool:
    mode, value = _bound(args, kwargs, ("input", "pad", "mode", "value"))[2:]
    return mode in (None, "constant") and value in (None, 0, 0.0)


def _frozen(tensor: Tensor | None) -> nn.Parameter | None:
    return None if tensor is None else nn.Parameter(tensor.detach(), requires_grad=False)


def _convolution(
    name: str, _input: Any, weight: Tensor, bias: Tensor | None, stride: Any, padding: Any, dilation: Any, groups: Any
) -> nn.Module:
    kind, dims = _CONVOLUTIONS[name]

    def each(value: Any, default: int) -> tuple[int, ...]:
        values = (default,) if value is None else tuple(value) if isinstance(value, tuple | list) else (value,)
        return tuple(itertools.islice(itertools.cycle(values), dims))

    groups = 1 if groups is None else groups
    layer = kind(
        weight.shape[1] * groups,
        weight.shape[0],
        tuple(weight.shape[2:]),  # type: ignore[arg-type]  # one number a dimension
        stride=each(stride, 1),  # type: ignore[arg-type]
        padding=padding if isinstance(padding, str) else each(padding, 0),  # type: ignore[arg-type]
        dilation=each(dilation, 1),  # type: ignore[arg-type]
        groups=groups,
        bias=False,
        device="meta",  # draws no random numbers
    )
    layer.weight, layer.bias = _frozen(weight), _frozen(bias)  # type: ignore[assignment]
    return layer


def _linear(weight: Tensor, bias: Tensor | None, *, dims: int) -> nn.Module:
    kind = Pointwise if dims > 2 else nn.Linear
    layer = kind(weight.shape[1], weight.shape[0], bias=False, device="meta")
    layer.weight, layer.bias = _frozen(weight), _frozen(bias)  # type: ignore[assignment]
    return layer
