"""What a forward pass multiplies with which weights: every convolution and linear layer, however it is written.

Layers end in a few operations of torch, and so does what a model writes without layers (Swin's attention calls
`F.linear` with its projections' weights). A mode sees these operations themselves, in its own thread alone, and knows a
weight by its identity. No module is hooked.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Collection, Iterator, Mapping
from typing import Any, TypeAlias

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode, resolve_name

from spade_widgets.network.weights import Product, layer_name

#: Told of a layer's name and of what it is multiplied with.
Report: TypeAlias = Callable[[str, Product], None]

_LINEAR = ("input", "weight", "bias")
_CONVOLUTION = ("input", "weight", "bias", "stride", "padding", "dilation", "groups")
_CONVOLUTIONS = {torch.conv1d: 1, torch.conv2d: 2, torch.conv3d: 3}
_ATTENTION = inspect.signature(F.multi_head_attention_forward)
_SEPARATE = ("q_proj_weight", "k_proj_weight", "v_proj_weight")
#: Operations that read no more of a tensor than its shape, type or device.
_SHAPE_ONLY = {
    "zeros_like", "ones_like", "empty_like", "full_like", "rand_like", "randn_like", "new_zeros", "new_ones",
    "new_empty", "new_full", "new_tensor", "type_as", "view_as", "expand_as", "reshape_as",
}  # fmt: skip

NOT_REACHED = "not reached"
PARAMETRISED = "parametrised: computed from other parameters"
MIXED = "used with different numbers of groups"
TAKEN_PAST = "taken past its layer: from a list, a closure or a cache, which would go on with the dense weight"
BUFFER = "a buffer, not a parameter"
NOT_FLOATING = "not of a real floating point type"


class Watch(TorchFunctionMode):
    """While it is on, in this thread, tells of every product with one of a module's weights before it is made.

    The values that the forward pass gives are those of the operations themselves; attention takes its plain way, not
    its fused one, so that they may differ from an unwatched pass in the last digits.

    Args:
        module: whose weights are known.
        report: called with each layer's name and product.
        layers: the names of the layers to be told of; by default all.
    """

    def __init__(self, module: nn.Module, report: Report, layers: Collection[str] | None = None) -> None:
        super().__init__()
        self._report = report
        named = {layer_name(path): parameter for path, parameter in module.named_parameters()}
        # With the tensors, so that no other can come to lie where one of them was.
        self._known = {id(p): (name, p) for name, p in named.items() if layers is None or name in layers}

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        named: dict[str, Any] = kwargs or {}
        if func is F.linear:
            given = dict(zip(_LINEAR, args, strict=False)) | named
            self._tell(given["weight"], lambda: Product(given["input"], given["weight"]))
        elif func in _CONVOLUTIONS:
            given = dict(zip(_CONVOLUTION, args, strict=False)) | named
            self._tell(given["weight"], lambda: _convolution(given, _CONVOLUTIONS[func]))
        elif func is F.multi_head_attention_forward:
            return self._attend(_ATTENTION.bind(*args, **named))
        return func(*args, **named)

    def _tell(self, weight: Tensor, product: Callable[[], Product]) -> bool:
        name, _ = self._known.get(id(weight), (None, None))
        if name is None:
            return False
        made = product()
        # Within `torch.vmap` an input is all images at once, and stands for one: nothing can be summed of it.
        if torch._C._functorch.is_functorch_wrapped_tensor(made.input):
            return False
        self._report(name, made)
        return True

    def _attend(self, bound: inspect.BoundArguments) -> Any:
        given = bound.arguments
        inputs = tuple(given[key] for key in ("query", "key", "value"))
        if given.get("use_separate_proj_weight"):
            for x, key in zip(inputs, _SEPARATE, strict=True):
                self._tell(given[key], lambda x=x, key=key: Product(x, given[key]))  # type: ignore[misc]
        else:
            self._tell(given["in_proj_weight"], lambda: _packed(inputs, given["in_proj_weight"]))
        projection, bias = given["out_proj_weight"], given["out_proj_bias"]
        if id(projection) not in self._known:
            return F.multi_head_attention_forward(*bound.args, **bound.kwargs)
        # Attention is one operation to the outside. With an identity for its last projection it gives that one's input.
        given["out_proj_weight"] = torch.eye(projection.shape[1], dtype=projection.dtype, device=projection.device)
        given["out_proj_bias"] = None
        attended, shares = F.multi_head_attention_forward(*bound.args, **bound.kwargs)
        self._tell(projection, lambda: Product(attended, projection))
        return F.linear(attended, projection, bias), shares


class Survey(Watch):
    """What a forward pass uses of a module: the layers that can be pruned, and why other weights cannot.

    Run the module once while it is on; then ask.
    """

    def __init__(self, module: nn.Module) -> None:
        super().__init__(module, self._see)
        self._module = module
        self._groups: dict[str, set[int]] = {}
        self._others: dict[str, str] = {}
        self._buffers = {id(b): (layer_name(path), b) for path, b in module.named_buffers()}
        self._used_buffers: dict[str, None] = {}

    def _see(self, name: str, product: Product) -> None:
        self._groups.setdefault(name, set()).add(product.groups)

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = super().__torch_function__(func, types, args, kwargs)
        roles = _roles(func, args, kwargs or {})
        for tensor in roles:
            if id(tensor) in self._buffers:
                self._used_buffers.setdefault(self._buffers[id(tensor)][0])
        # What gives no tensor has asked for a shape or a device.
        if next(_tensors(result), None) is not None:
            for tensor in _tensors((args, kwargs)):
                if id(tensor) in self._known and not any(tensor is role for role in roles):
                    self._use_otherwise(func, tensor, args)
        return result

    def _use_otherwise(self, func: Any, tensor: Tensor, args: tuple[Any, ...]) -> None:
        operation = _name(func)
        takes_type = operation == "to" and tensor is not args[0]
        if operation not in _SHAPE_ONLY and not takes_type:
            self._others.setdefault(self._known[id(tensor)][0], operation)

    def prunable(self) -> tuple[str, ...]:
        """The layers that the pass used as convolutions and linear layers and as nothing else, in its order."""
        left = self.left_dense()
        return tuple(name for name in self._groups if name not in left)

    def left_dense(self) -> dict[str, str]:
        """Name → why it cannot be pruned: every other parameter of two or more dimensions, in the module's order."""
        left: dict[str, str] = {}
        for path, parameter in self._module.named_parameters():
            owner, computed, rest = path.partition("parametrizations.")
            if computed:
                left[layer_name(owner + rest.partition(".")[0])] = PARAMETRISED
            elif parameter.ndim > 1 and (why := self._why(layer_name(path), parameter)):
                left[layer_name(path)] = why
        return left | dict.fromkeys(self._used_buffers, BUFFER)

    def _why(self, name: str, parameter: Tensor) -> str | None:
        groups, other = self._groups.get(name), self._others.get(name)
        if other and groups:
            return f"also used by {other}, which is neither a convolution nor a linear layer"
        if other:
            return f"used by {other}, which is neither a convolution nor a linear layer"
        if not groups:
            return NOT_REACHED
        if not parameter.is_floating_point():
            return NOT_FLOATING
        return MIXED if len(groups) > 1 else None


def _convolution(given: Mapping[str, Any], dimensions: int) -> Product:
    x, weight = given["input"], given["weight"]
    stride, dilation = (_each(given.get(key, 1), dimensions) for key in ("stride", "dilation"))
    padding = given.get("padding", 0)
    if x.ndim == dimensions + 1:
        x = x.unsqueeze(0)
    if padding == "valid":
        padding = 0
    elif padding == "same":
        # Where the total is odd, the operation pads one more behind than before.
        totals = [d * (k - 1) for d, k in zip(dilation, weight.shape[2:], strict=True)]
        x = F.pad(x, [side for total in reversed(totals) for side in (0, total % 2)])
        padding = [total // 2 for total in totals]
    return Product(x, weight, stride, _each(padding, dimensions), dilation, given.get("groups", 1))


def _packed(inputs: tuple[Tensor, ...], weight: Tensor) -> Product:
    """Query, key and value projections in one weight of 3 · E rows: linear, or three groups on inputs of their own."""
    query, key, value = inputs
    if query is key and key is value:
        return Product(query, weight)
    # (tokens, n, E) or (tokens, E) → (n, E, tokens). A kernel of one makes a grouped linear layer of a convolution, and
    # zeros count as tokens that add nothing, so that all three are weighed alike.
    columns = [x.unsqueeze(1) if x.ndim == 2 else x for x in inputs]
    longest = max(x.shape[0] for x in columns)
    stacked = torch.cat([F.pad(x.permute(1, 2, 0), (0, longest - x.shape[0])) for x in columns], 1)
    return Product(stacked, weight.unsqueeze(-1), (1,), (0,), (1,), 3)


def _roles(func: Any, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> tuple[Tensor, ...]:
    """The arguments that an operation takes as weights of a convolution or linear layer."""
    if func is F.linear or func in _CONVOLUTIONS:
        return (args[1] if len(args) > 1 else kwargs["weight"],)
    if func is F.multi_head_attention_forward:
        given = _ATTENTION.bind(*args, **kwargs).arguments
        found = (given.get(key) for key in ("in_proj_weight", "out_proj_weight", *_SEPARATE))
        return tuple(tensor for tensor in found if tensor is not None)
    return ()


def _tensors(value: Any) -> Iterator[Tensor]:
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, dict):
        for inner in value.values():
            yield from _tensors(inner)
    elif isinstance(value, list | tuple):
        for inner in value:
            yield from _tensors(inner)


def _name(func: Any) -> str:
    """An operation as people call it: `add` for `torch.Tensor.__iadd__`, `T` for the property's getter."""
    parts = (resolve_name(func) or getattr(func, "__name__", repr(func))).removesuffix(".__get__").split(".")
    plain = parts[-1].strip("_")
    return "indexing" if plain == "getitem" else plain


def _each(value: int | tuple[int, ...] | list[int], dimensions: int) -> tuple[int, ...]:
    numbers = (value,) if isinstance(value, int) else tuple(value)
    return numbers * dimensions if len(numbers) == 1 else numbers
