"""Class activation maps: what the last feature map of a network says of the class, drawn up to the image's size."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from spade_widgets.attribution.methods.gradients import guided_gradient
from spade_widgets.attribution.methods.query import Query, progress, spans, strongest
from spade_widgets.errors import InputError, ModelError
from spade_widgets.pruning.progress import Steps

#: They pass on or pool what another layer computed.
_PASSING = (
    nn.Dropout, nn.Dropout2d, nn.Identity,
    nn.MaxPool2d, nn.AvgPool2d, nn.AdaptiveAvgPool2d, nn.AdaptiveMaxPool2d,
)  # fmt: skip


def gradcam(query: Query, *, layer: str | None) -> Steps[Tensor]:
    """The feature map's channels, weighted by their mean gradient."""
    yield progress(0, 1)
    return _drawn_up(_gradcam(query, layer), query.size)[0, 0]


def guided_gradcam(query: Query, *, layer: str | None, signed: bool) -> Steps[Tensor]:
    """GradCAM times guided backpropagation, pixel by pixel."""
    yield progress(0, 1)
    cam = _drawn_up(_gradcam(query, layer), query.size)
    return strongest(cam * guided_gradient(query), signed)


def scorecam(query: Query, *, layer: str | None, batch: int | None, bfloat16: bool | None) -> Steps[Tensor]:
    """The feature map's channels, weighted by the logit of the image that is masked with them."""
    size = query.batch(batch)
    maps = _outputs(query.module(), query.x, layer or last_map(query))[-1][0][:, None]
    low, high = maps.amin((1, 2, 3), keepdim=True), maps.amax((1, 2, 3), keepdim=True)
    channels = len(maps)
    score = query.scorer(bfloat16=bfloat16)
    blank = score(query.baseline("mean"))
    gains = []
    for first, last in spans(channels, size):
        drawn = _drawn_up(maps[first:last], query.size)
        least, most = drawn.amin((1, 2, 3), keepdim=True), drawn.amax((1, 2, 3), keepdim=True)
        masks = (drawn - least) / (most - least).clamp_min(torch.finfo(drawn.dtype).tiny)
        gains.append(score(query.x * masks) - blank)
        yield progress(last, channels)
    # A channel that is the same everywhere masks nothing.
    gain = torch.where((high > low).flatten(), torch.cat(gains), -torch.inf)
    weights = gain.softmax(0).nan_to_num().view(-1, 1, 1, 1)
    return _drawn_up((weights * maps).sum(0, keepdim=True).relu(), query.size)[0, 0]


def last_map(query: Query) -> str:
    """The name of the layer whose output is the last feature map that leads to the logit, and is larger than 1 × 1.

    Pooling layers are passed over, and so are maps with a channel a class, which are the answer already.

    Raises:
        ModelError: if there is none, or what follows it works on tokens.
    """
    name = query.classifier.name
    found: list[tuple[str, Tensor]] = []
    tokens = False
    pooled: list[int] = []
    kept: list[Any] = []  # as long as the numbers of tensors are compared

    def look(path: str, part: nn.Module, output: Any) -> None:
        nonlocal tokens
        if not isinstance(output, Tensor):
            return
        kept.append(output)
        if isinstance(part, _PASSING):
            pooled.append(id(output))
        elif _is_map(output, query.size) and id(output) not in pooled:
            if output.shape[1] != len(query.classifier.class_names):
                found.append((path, output))
                tokens = False
        elif output.ndim == 3 and output.shape[1] > 1:
            tokens = True

    module = query.module()
    for path, part in module.named_modules():
        if path:
            part.register_forward_hook(lambda part, _inputs, output, path=path: look(path, part, output))
    with torch.enable_grad():
        logits: Tensor = module(query.image())
    if not found:
        raise ModelError(f"{name} has no feature map larger than 1 × 1, so it has no class activation map.")
    if tokens:
        raise ModelError(
            f"{name} goes on with tokens after its last feature map, so it has no class activation map: "
            "gradient and perturbation methods work on it."
        )
    return _leading(found, logits[:, query.target])


def _leading(found: list[tuple[str, Tensor]], logit: Tensor) -> str:
    """The last of the maps that the logit is made of; some networks give a map beside it."""
    tracked = [(path, output) for path, output in found if output.requires_grad]
    if logit.requires_grad and tracked:
        gradients: Any = torch.autograd.grad(logit, [output for _, output in tracked], allow_unused=True)
        leading = [path for (path, _), gradient in zip(tracked, gradients, strict=True) if gradient is not None]
        if leading:
            return leading[-1]
    return found[-1][0]


def _is_map(output: Tensor, size: tuple[int, int]) -> bool:
    """Whether it is (1, channels, rows, columns), larger than 1 × 1, of the image's proportions."""
    if output.ndim != 4 or output.shape[1] < 2 or output.shape[2] * output.shape[3] < 2:
        return False
    (rows, columns), (h, w) = output.shape[2:], size
    return abs(rows * w - columns * h) <= 2 * max(h, w)


def _gradcam(query: Query, layer: str | None) -> Tensor:
    """(1, 1, rows, columns): captum's GradCAM of a layer's last call, where it is positive."""
    from captum.attr import LayerGradCam

    module, name = query.module(), layer or last_map(query)
    _outputs(module, query.x, name)
    part = module.get_submodule(name)
    cam: Tensor = LayerGradCam(module, part).attribute(query.image(), target=query.target, relu_attributions=True)
    return cam.detach()


def _outputs(module: nn.Module, x: Tensor, layer: str) -> list[Tensor]:
    """What a layer gives in each of its calls; the last one is a map.

    Raises:
        InputError: if there is no such layer, or it gives none.
    """
    if layer not in dict(module.named_modules()):
        raise InputError(f"There is no layer '{layer}' to take a feature map from.")
    outputs: list[Any] = []
    handle = module.get_submodule(layer).register_forward_hook(
        lambda _part, _inputs, output: outputs.append(output.clone() if isinstance(output, Tensor) else output)
    )
    with torch.no_grad():
        module(x)
    handle.remove()
    if not outputs or not isinstance(outputs[-1], Tensor) or not _is_map(outputs[-1], (x.shape[2], x.shape[3])):
        raise InputError(f"Layer '{layer}' gives no feature map (1, channels, rows, columns) larger than 1 × 1.")
    return outputs


def _drawn_up(cam: Tensor, size: tuple[int, int]) -> Tensor:
    """(n, 1, rows, columns) → (n, 1, h, w), bilinearly."""
    return F.interpolate(cam, size=size, mode="bilinear", align_corners=False)
