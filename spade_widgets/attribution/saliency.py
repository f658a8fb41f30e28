"""Where in a sample the prediction of a class comes from: one call for every method."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
import torch

from spade_widgets.attribution.methods import METHODS, Method
from spade_widgets.attribution.methods.query import Query, whole
from spade_widgets.attribution.promise import SumWarning, kept
from spade_widgets.errors import InputError, ModelError
from spade_widgets.network.blame import model_errors
from spade_widgets.prediction import Network, softmax
from spade_widgets.pruning.progress import Steps, finish
from spade_widgets.sample import Sample, Source

Map: TypeAlias = npt.NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class Noted:
    """A map, (h, w), and a sentence on what it does not keep of its method's promise; empty where it keeps it."""

    map: Map
    note: str


def saliency(
    network: Network,
    sample: Source,
    target: int | str | None = None,
    method: str = "saliency",
    *,
    seed: int = 0,
    **options: Any,
) -> Map:
    """Where in a sample the prediction of a class comes from.

    Args:
        network: a classifier or a trace.
        sample: anything that `Sample.read` takes.
        target: index or name of the class; default: the one that the *dense* classifier predicts, under a trace too,
            so that both maps speak of the same class.
        method: a key of `METHODS`, where each says what its values mean, its defaults and their source.
        seed: ≥ 0, of everything random.
        options: the method's own; see its `defaults`.

    Returns:
        (H, W) float32, of the size that the model sees (`classifier.input_size`; `classifier.view(sample)` is the
        picture under it). Larger is more. What is summed over the colours, and whether there are negative values,
        depends on the method: see its `description`.

    Raises:
        InputError: for a sample, class, method, option or seed that cannot be used.
        ModelError: if the method cannot be applied to the network, the map is not finite, or its sum is off by more
            than half of what the method promises (of Integrated Gradients: and by a twentieth of Σ|map|).

    Warns:
        SumWarning: if the sum is off by more than a per cent of what the method promises.
    """
    made = finish(noted_steps(network, sample, target, method, seed=seed, **options))
    if made.note:
        warnings.warn(made.note, SumWarning, stacklevel=2)
    return made.map


def saliency_steps(
    network: Network,
    sample: Source,
    target: int | str | None = None,
    method: str = "saliency",
    *,
    seed: int = 0,
    **options: Any,
) -> Steps[Map]:
    """`saliency` as a generator of progress (stage `"saliency"`, in images sent through the network).

    Arguments, result and errors are the same; it is the generator's return value. Nothing runs between two steps: drop
    the generator, and the work has stopped. What is wrong with the arguments is said at the call.
    """
    steps = noted_steps(network, sample, target, method, seed=seed, **options)
    return _map_alone(steps)


def noted_steps(
    network: Network,
    sample: Source,
    target: int | str | None = None,
    method: str = "saliency",
    *,
    seed: int = 0,
    **options: Any,
) -> Steps[Noted]:
    """`saliency_steps` that returns what is to be said of the map, too, in place of a warning."""
    chosen = find_method(method)
    unknown = [name for name in options if name not in chosen.defaults]
    if unknown:
        offered = f"its options are {', '.join(chosen.defaults)}" if chosen.defaults else "it has none"
        raise InputError(f"The method '{chosen.key}' has no option '{unknown[0]}': {offered}.")
    read = Sample.read(sample)
    seed = whole("seed", seed, least=0)
    index = None if target is None else network.dense.class_index(target)
    return _run(chosen, network, read, index, seed, {**chosen.defaults, **options})


def find_method(key: str) -> Method:
    """The method of that key.

    Raises:
        InputError: if there is none.
    """
    if key not in METHODS:
        raise InputError(f"There is no saliency method {key!r}: {', '.join(METHODS)} can be chosen.")
    return METHODS[key]


def _run(
    method: Method, network: Network, sample: Sample, target: int | None, seed: int, options: dict[str, Any]
) -> Steps[Noted]:
    with _gradients():
        classifier = network.dense
        if method.together and not classifier.independent:
            raise ModelError(
                f"{method.title} sends two images through {classifier.name} at once, which gives an image other logits "
                "among others: choose another method, such as Integrated Gradients."
            )
        if target is None:
            target = int(softmax(classifier, sample).argmax())
        x = classifier.prepare(sample)
        x = x if x.dtype == torch.float64 else x.float()
        query = Query(network, x, target, seed)
        steps = method.run(query, **options)
    while True:
        with _gradients():  # between two steps it is the caller's own mode
            try:
                with model_errors(method.title):
                    step = next(steps)
            except StopIteration as stop:
                found: torch.Tensor = stop.value
                break
        yield step
    if not bool(torch.isfinite(found).all()):
        raise ModelError(f"{method.title} gives NaN or infinite values on '{sample.title}' for {network.dense.name}.")
    with _gradients():
        note = kept(method, query, options, found)
    return Noted(np.ascontiguousarray(found.detach().float().cpu().numpy()), note)


def _map_alone(steps: Steps[Noted]) -> Steps[Map]:
    return (yield from steps).map


@contextmanager
def _gradients() -> Iterator[None]:
    """Gradients, also where the caller has switched them off."""
    with torch.inference_mode(False), torch.enable_grad():
        yield
