"""What the Saliency panel computes for a selection, as jobs: maps of both networks, and the curves that judge them.

Generators of events. What the store knows comes at once; then what is quick, then the trace, then what takes long. A
map that was left off half way goes on from there when it is wanted again.
"""

from __future__ import annotations

import hashlib
import itertools
import logging
from collections.abc import Callable, Generator, Hashable, Iterator, Mapping
from dataclasses import dataclass
from time import perf_counter
from typing import Any, Literal, TypeAlias, get_args

import numpy.typing as npt
from torch import Tensor

from spade_widgets.attribution.methods import METHODS
from spade_widgets.attribution.saliency import Map, Noted, noted_steps
from spade_widgets.errors import SpadeError, first_line
from spade_widgets.evidence.curves import Curve, Mode, curve_steps
from spade_widgets.evidence.metrics import pointing_game, trojan_auc
from spade_widgets.prediction import Network
from spade_widgets.pruning.progress import Progress, Steps, mapped
from spade_widgets.runtime.explore import Predicted, Traced, Working
from spade_widgets.runtime.session import Session
from spade_widgets.runtime.tracing import Pruning
from spade_widgets.sample import Mask, Sample

log = logging.getLogger(__name__)

Which: TypeAlias = Literal["dense", "sparse"]
NETWORKS: tuple[Which, ...] = get_args(Which)
MODES: tuple[Mode, ...] = get_args(Mode)
#: A map's place on screen: a network and a method's key.
Cell: TypeAlias = tuple[Which, str]


@dataclass(frozen=True)
class Question:
    """What is on screen: a sample, how it is traced, by which methods, and for which class.

    Attributes:
        methods: keys of `METHODS`, in the order in which they are shown.
        target: index of the class; None for the one that the dense network predicts.
    """

    sample: Sample
    pruning: Pruning
    methods: tuple[str, ...]
    target: int | None

    @property
    def cells(self) -> tuple[Cell, ...]:
        """The maps that are asked for."""
        return tuple((network, method) for network in NETWORKS for method in self.methods)


@dataclass(frozen=True, eq=False)
class Found:
    """A map that is there.

    Attributes:
        map: (h, w) float32.
        seconds: what it took.
        key: names the values.
        metrics: what they are worth by the sample's mask: `"trojan_auc"`, `"pointing_game"`; empty without a mask.
        note: what the map does not keep of its method's promise; empty where it keeps it.
    """

    map: Map
    seconds: float
    key: str
    metrics: Mapping[str, float]
    note: str = ""


@dataclass(frozen=True)
class Refusal:
    """A map that cannot be: why, in a sentence."""

    sentence: str


@dataclass(frozen=True, eq=False)
class Seen:
    """What the model sees of the sample: (3, h, w) in 0…1, and where the mask lies, (h, w), where it is known."""

    view: Tensor
    mask: Mask | None


@dataclass(frozen=True)
class Attributing:
    """A map is being made: `done` of `of` images are through the network."""

    cell: Cell
    done: float
    of: int
    seconds: float


@dataclass(frozen=True)
class Attributed:
    """A map is there, or why it cannot be.

    Attributes:
        cell: its place.
        key: what makes it: its name in the store.
        outcome: the map or the reason.
        areas: under its curves, as far as they were walked, by mode.
    """

    cell: Cell
    key: Hashable
    outcome: Found | Refusal
    areas: Mapping[str, float]


@dataclass(frozen=True)
class Walked:
    """A map's curve is there."""

    cell: Cell
    found: Found
    curve: Curve


Event: TypeAlias = Seen | Predicted | Traced | Working | Attributing | Attributed


def attribute(session: Session, question: Question) -> Iterator[Event]:
    """All that the panel shows for a selection; nothing runs between two events.

    A method that fails is told as `Refusal`, and the others go on.

    Raises:
        SpadeError: where the sample cannot be predicted or traced.
    """
    sample, classifier = question.sample, session.classifier
    yield seen(session, sample)
    known = session.known_trace(sample, question.pruning)
    probabilities = session.probabilities(classifier, sample)
    yield Predicted(probabilities, session.probabilities(known, sample) if known else None)
    target = int(probabilities.argmax()) if question.target is None else question.target
    keys = {cell: _key(session, question, cell, target) for cell in question.cells}
    missing = []
    for cell, key in keys.items():
        outcome = session.store.get(key)
        if outcome is None:
            missing.append(cell)
        else:
            yield _told(session, cell, key, outcome)
    quick = [cell for cell in missing if not METHODS[cell[1]].slow]
    slow = [cell for method in question.methods if METHODS[method].slow for cell in missing if cell[1] == method]
    done, of = len(keys) - len(missing), len(keys)
    for cell in quick:
        if cell[0] == "dense":
            yield Working("maps", done, of)
            done += 1
            yield from _attribute(session, cell, keys[cell], classifier, sample, target)
    tracing = session.trace(sample, question.pruning)
    trace = yield from mapped(tracing, lambda p: Working(p.stage, p.done, p.of))
    yield Traced(trace)
    yield Predicted(probabilities, session.probabilities(trace, sample))
    rest = [*(cell for cell in quick if cell[0] == "sparse"), *slow]
    for i, cell in enumerate(rest):
        yield Working("maps", done + i, of)
        yield from _attribute(session, cell, keys[cell], classifier if cell[0] == "dense" else trace, sample, target)


def walk(session: Session, question: Question) -> Iterator[Working | Walked]:
    """Insertion and deletion curves of all maps that are there; nothing runs between two events."""
    keys, found = map_keys(session, question), known_maps(session, question)
    total = len(found) * len(MODES)
    for i, ((cell, outcome), mode) in enumerate(itertools.product(found.items(), MODES)):
        steps = _curve(session, question, keys[cell], outcome, mode)
        curve = yield from mapped(steps, _walking(i, total))
        yield Walked(cell, outcome, curve)


def _walking(done: int, of: int) -> Callable[[Progress], Working]:
    return lambda progress: Working("curves", done + progress.done / progress.of, of)


def seen(session: Session, sample: Sample) -> Seen:
    """What the model sees of a sample."""
    key = ("seen", sample.id)
    known: Seen | None = session.store.get(key)
    if known is not None:
        return known
    view, mask = session.classifier.view(sample), session.classifier.view_mask(sample)
    made = Seen(view, mask if mask is not None and mask.any() else None)
    return session.store.put(key, made, 4 * view.numel() + (0 if mask is None else mask.nbytes))


def map_keys(session: Session, question: Question) -> dict[Cell, Hashable]:
    """What names each map in the store; empty while it is not known which class is meant."""
    target = question.target
    if target is None:
        probabilities = session.known_probabilities(session.classifier, question.sample)
        if probabilities is None:
            return {}
        target = int(probabilities.argmax())
    return {cell: _key(session, question, cell, target) for cell in question.cells}


def known_maps(session: Session, question: Question) -> dict[Cell, Found]:
    """The maps that are there, in the order of `Question.cells`. Computes nothing."""
    known = {cell: session.store.get(key) for cell, key in map_keys(session, question).items()}
    return {cell: outcome for cell, outcome in known.items() if isinstance(outcome, Found)}


def known_areas(session: Session, key: Hashable) -> dict[str, float]:
    """The areas under the curves of the map of that key, as far as they were walked."""
    curves: dict[str, Curve | None] = {mode: session.store.get(("curve", mode, key)) for mode in MODES}
    return {mode: curve.auc for mode, curve in curves.items() if curve is not None}


def _key(session: Session, question: Question, cell: Cell, target: int) -> Hashable:
    """What makes a map; the session's seed is one."""
    network = "dense" if cell[0] == "dense" else session.trace_key(question.sample, question.pruning)
    return "saliency", network, question.sample.id, target, cell[1]


def _told(session: Session, cell: Cell, key: Hashable, outcome: Found | Refusal) -> Attributed:
    return Attributed(cell, key, outcome, known_areas(session, key))


def _attribute(
    session: Session, cell: Cell, key: Hashable, network: Network, sample: Sample, target: int
) -> Iterator[Event]:
    """One map, or why it cannot be."""
    title = METHODS[cell[1]].title
    steps = session.mapping.run(key, lambda: _make(session, network, sample, target, cell[1]))
    while True:
        try:
            event = next(steps)
        except StopIteration as stop:
            found: Found = stop.value
            outcome: Found | Refusal = session.store.put(key, found, found.map.nbytes)
            break
        except SpadeError as error:
            outcome = session.store.put(key, Refusal(str(error)), 500)
            break
        except Exception as error:  # a method is others' code, on a user's network: its cell says so, the others go on
            log.exception("%s failed", title)
            outcome = Refusal(f"{title} could not be computed ({type(error).__name__}: {first_line(error)}).")
            break
        yield Attributing(cell, event[0].done, event[0].of, event[1])
    yield _told(session, cell, key, outcome)


def _make(
    session: Session, network: Network, sample: Sample, target: int, method: str
) -> Generator[tuple[Progress, float], None, Found]:
    """A map and what it is worth, from disk or made now. Yields its progress and the seconds that it took so far."""
    name = session.cache.map_name(network, sample, target, method)
    kept = session.cache.find(name, _found)
    if kept is not None:
        return kept
    seconds = 0.0
    began = perf_counter()
    steps = noted_steps(network, sample, target, method, seed=session.seed)
    while True:
        try:
            progress = next(steps)
        except StopIteration as stop:
            noted: Noted = stop.value
            break
        seconds += perf_counter() - began
        yield progress, seconds
        began = perf_counter()
    made, mask, metrics = noted.map, seen(session, sample).mask, {}
    if mask is not None and not mask.all():
        metrics = {"trojan_auc": trojan_auc(made, mask), "pointing_game": pointing_game(made, mask)}
    seconds += perf_counter() - began
    session.cache.keep(name, {"map": made}, {"seconds": seconds, "metrics": metrics, "note": noted.note})
    return Found(made, seconds, _digest(made), metrics, noted.note)


def _found(arrays: Mapping[str, npt.NDArray[Any]], values: Mapping[str, Any]) -> Found:
    return Found(
        arrays["map"], float(values["seconds"]), _digest(arrays["map"]), dict(values["metrics"]), values.get("note", "")
    )


def _digest(made: Map) -> str:
    return hashlib.sha256(made.tobytes()).hexdigest()[:16]


def _curve(session: Session, question: Question, key: Hashable, found: Found, mode: Mode) -> Steps[Curve]:
    """A map's curve, from the store or walked now. The dense network judges, whichever made the map."""
    known: Curve | None = session.store.get(("curve", mode, key))
    if known is not None:
        return known
    probabilities = session.probabilities(session.classifier, question.sample)
    target = int(probabilities.argmax()) if question.target is None else question.target
    made = yield from session.mapping.run(
        ("curve", mode, key), lambda: _walk(session, question.sample, found.map, target, mode)
    )
    return session.store.put(("curve", mode, key), made, 2 * made.changed.nbytes)


def _walk(session: Session, sample: Sample, saliency: Map, target: int, mode: Mode) -> Steps[Curve]:
    """A curve from disk or walked now."""
    name = session.cache.curve_name(sample, saliency, target, mode)
    known = session.cache.find(name, lambda arrays, _: Curve(mode, target, arrays["changed"], arrays["probability"]))
    if known is not None:
        return known
    made = yield from curve_steps(mode, session.classifier, sample, saliency, target, seed=session.seed)
    session.cache.keep(name, {"changed": made.changed, "probability": made.probability}, {})
    return made
