"""What a session keeps on disk: traces, finished pictures, saliency maps and their curves, named by what makes them.

A name is a hash of all that decides what comes out: the dense network (its weights, and how it answers to a test
picture, which tells apart two networks of the same weights), what it sees of the sample, every setting, the versions of
the libraries, and on what kind of device it was computed. Whoever comes with the same finds it again; nobody else does.

What is not told apart: preprocessing that differs on other pictures than the sample, and code of the user's own whose
change moves the answer to the test picture by less than a thousandth.
"""

from __future__ import annotations

import atexit
import hashlib
import json
import logging
import math
import threading
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, TypeAlias, TypeVar
from weakref import WeakSet

import numpy as np
import numpy.typing as npt
import torch

from spade_widgets import __version__
from spade_widgets.classifier import ImageClassifier, tensor_digest
from spade_widgets.disk import Disk, Entry, read_entry, write_entry
from spade_widgets.errors import InputError
from spade_widgets.evidence.curves import Mode
from spade_widgets.evidence.metrics import Map
from spade_widgets.network.half import suits
from spade_widgets.prediction import Network
from spade_widgets.pruning.plans.plan import SparsityPlan
from spade_widgets.pruning.traces.trace import Trace
from spade_widgets.runtime.drawing import Subject
from spade_widgets.runtime.jobs import Steps, Worker
from spade_widgets.sample import Sample
from spade_widgets.visualization import Renderer
from spade_widgets.visualization.snapshot import Snapshot

log = logging.getLogger(__name__)

T = TypeVar("T")

#: Of what is kept and how it is named. Raise it when a computation comes to give other values.
SCHEMA = 4
#: The libraries whose own version may change what comes out.
LIBRARIES = ("torch", "torchvision", "torch-lucent", "captum", "zennit", "numpy")

#: Results that may wait to be written; each holds its memory.
UNWRITTEN = 64

#: Plain values, as JSON has them.
Plain: TypeAlias = dict[str, Any]
Arrays: TypeAlias = Mapping[str, npt.NDArray[Any]]


@dataclass(frozen=True)
class Name:
    """What an entry is called, and what it is of: said in the file too, so that no other passes for it.

    Attributes:
        file: the kind and a hash.
        made: all that decides what comes out.
    """

    file: str
    made: Plain


class Cache:
    """A session's results on disk. Without a disk nothing is found and nothing is kept.

    All of it is for the worker's thread: names ask the network, and files are read where they are looked for. They are
    written when the worker has nothing else to do, or when the interpreter ends.

    Args:
        disk: where.
        classifier: the session's.
        worker: whose idle time writes take.
        augmentations, seed, steps: the session's.
    """

    def __init__(
        self,
        disk: Disk | None,
        classifier: ImageClassifier,
        worker: Worker,
        *,
        augmentations: int,
        seed: int,
        steps: int,
    ) -> None:
        self.disk = disk
        self._classifier = classifier
        self._worker = worker
        self._augmentations, self._seed, self._steps = augmentations, seed, steps
        self._answered: tuple[str, str] | None = None
        self._seen: dict[str, str] = {}
        # When more comes than can be written, the oldest is not kept.
        self._unwritten: deque[Callable[[], object]] = deque(maxlen=UNWRITTEN)
        self._writing = threading.Lock()
        if disk is not None:
            _writing.add(self)

    # What things are called

    def trace_name(
        self, sample: Sample, plan: SparsityPlan, solver: str, sequential: bool = False, fidelity: float | None = None
    ) -> Name | None:
        """Names a trace; with a fidelity, the plan says its layers alone."""

        def said() -> Plain:
            layers = plan.sparsities if fidelity is None else dict.fromkeys(plan.layers)
            made = self._trace(sample, layers, solver, self._augmentations, self._seed, sequential)
            return made if fidelity is None else {**made, "fidelity": fidelity}

        return self._name("trace", said)

    def picture_name(self, network: Network, subject: Subject) -> Name | None:
        """Names a neuron's pictures after all steps; those of processors with and without bfloat16 are not the same."""
        return self._name(
            "picture",
            lambda: {
                "network": self._network(network),
                "neuron": str(subject.neuron),
                "steps": self._steps,
                "seed": subject.seed,
                "image": subject.drawing.image,
                "count": subject.drawing.count,
                "magnitude": subject.magnitude.digest if subject.magnitude else None,
                "size": subject.size,
                "bfloat16": _half(network.dense, subject.size),
                **self._begun(subject),
            },
        )

    def map_name(self, network: Network, sample: Sample, target: int, method: str) -> Name | None:
        """Names a saliency map with what it is worth by the sample's mask."""
        return self._name(
            "map",
            lambda: {
                "network": self._network(network),
                "sample": self._sample(sample),
                "target": target,
                "method": method,
                "seed": self._seed,
                "bfloat16": _half(network.dense),
            },
        )

    def curve_name(self, sample: Sample, saliency: Map, target: int, mode: Mode) -> Name | None:
        """Names the curve of a map, whatever made it."""
        return self._name(
            "curve",
            lambda: {
                "sample": self._sample(sample),
                "map": hashlib.sha256(saliency.tobytes()).hexdigest(),
                "target": target,
                "mode": mode,
                "seed": self._seed,
                "bfloat16": _half(self._classifier),
            },
        )

    # What is kept

    def trace(self, name: Name | None, sample: Sample) -> Trace | None:
        """The sample's trace of that name."""

        def read(file: Path, name: Name) -> Trace:
            found = Trace.load(file, self._classifier, sample=sample)
            said: Plain = {"solver": found.solver, "seed": found.seed, "augmentations": found.augmentations}
            said |= {"sequential": found.sequential, "plan": dict(found.plan.sparsities)}
            if found.fidelity is not None:  # its sparsities were found, not asked for
                said |= {"fidelity": found.fidelity.asked, "plan": dict.fromkeys(found.plan.sparsities)}
            if any(name.made.get(key) != value for key, value in said.items()):
                raise InputError(f"'{file.name}' is another trace than its name says.")
            return found

        return self._read(name, read)

    def keep_trace(self, name: Name | None, trace: Trace) -> None:
        """Have a trace written."""
        self._keep(name, lambda file, _: trace.save(file, sample=False))

    def picture(self, name: Name | None, renderer: Renderer) -> bool:
        """Bring a renderer at its start to where the one was that was kept; whether there was one."""

        def restore(arrays: Arrays, numbers: Plain) -> bool:
            renderer.restore(Snapshot({key: torch.from_numpy(array) for key, array in arrays.items()}, numbers))
            return True

        return bool(self.find(name, restore))

    def keep_picture(self, name: Name | None, renderer: Renderer) -> None:
        """Have it written where a renderer is now."""
        if name is not None:
            now = renderer.snapshot()
            self.keep(name, {key: tensor.numpy() for key, tensor in now.tensors.items()}, dict(now.numbers))

    def find(self, name: Name | None, make: Callable[[Arrays, Plain], T]) -> T | None:
        """What `make` makes of the arrays and plain values that were kept together under a name."""

        def read(file: Path, name: Name) -> T:
            entry = read_entry(file)
            if entry.record["made"] != name.made:
                raise InputError(f"'{file.name}' is of something else than its name says.")
            return make({key: tensor.numpy() for key, tensor in entry.tensors.items()}, dict(entry.record["values"]))

        return self._read(name, read)

    def keep(self, name: Name | None, arrays: Arrays, values: Plain) -> None:
        """Have arrays and plain values written."""
        if name is None:
            return
        tensors = {key: torch.from_numpy(np.asarray(array, order="C")) for key, array in arrays.items()}
        self._keep(name, lambda file, name: write_entry(file, Entry(tensors, {"values": values, "made": name.made})))

    def flush(self) -> None:
        """Write now what is to be written."""
        while self._write_next():
            pass

    # How

    def _read(self, name: Name | None, read: Callable[[Path, Name], T]) -> T | None:
        if name is None or self.disk is None:
            return None
        return self.disk.read(name.file, lambda file: read(file, name))

    def _keep(self, name: Name | None, write: Callable[[Path, Name], object]) -> None:
        disk = self.disk
        if name is None or disk is None or name.made["dense"] != self._dense():
            return  # the network was changed while this was computed: it is of neither
        self._unwritten.append(lambda: disk.write(name.file, lambda file: write(file, name)))
        self._worker.submit((self, "writing"), self._writes(), self._not_written, idle=True, place=self._classifier)

    def _writes(self) -> Steps:
        while self._write_next():
            yield

    def _write_next(self) -> bool:
        with self._writing:  # whoever flushes waits for what another thread is writing
            try:
                write = self._unwritten.popleft()
            except IndexError:
                return False
            write()
            return True

    def _not_written(self, error: Exception) -> None:
        log.error("A result could not be kept", exc_info=error)

    def _name(self, kind: str, made: Callable[[], Plain]) -> Name | None:
        if self.disk is None:
            return None
        told = {"kind": kind, "schema": SCHEMA, "versions": versions(), "dense": self._dense(), **made()}
        text = json.dumps(told, sort_keys=True)
        return Name(f"{kind}-{hashlib.sha256(text.encode()).hexdigest()[:32]}", json.loads(text))

    def _dense(self) -> Plain:
        """Names the dense network as it is now."""
        digest = self._classifier.digest
        if self._answered is None or self._answered[0] != digest:
            self._answered = digest, answer(self._classifier)
        return {"digest": digest, "answer": self._answered[1], "device": self._classifier.device.type}

    def _sample(self, sample: Sample) -> Plain:
        """Names a sample, as it is and as the network sees it: preprocessing is the user's own code."""
        seen = self._seen.get(sample.id)
        if seen is None:
            seen = self._seen[sample.id] = tensor_digest(self._classifier.view(sample))
        return {"id": sample.id, "seen": seen}

    def _trace(
        self,
        sample: Sample,
        plan: Mapping[str, float | None],
        solver: str,
        augmentations: int,
        seed: int,
        sequential: bool,
    ) -> Plain:
        return {
            "sample": self._sample(sample),
            "plan": dict(plan),
            "solver": solver,
            "sequential": sequential,
            "augmentations": augmentations,
            "seed": seed,
        }

    def _begun(self, subject: Subject) -> Plain:
        """Names where a picture begins, if that is a sample."""
        sample = subject.drawing.sample
        return {} if sample is None else {"begins": self._sample(sample), "near": subject.drawing.near}

    def _network(self, network: Network) -> Plain | None:
        """Names a trace by what makes it; None is the dense network."""
        if isinstance(network, Trace):
            t = network
            made = self._trace(t.sample, t.plan.sparsities, t.solver, t.augmentations, t.seed, t.sequential)
            return {**made, "others": [other.id for other in t.others]} if t.others else made
        if network is not self._classifier:
            raise TypeError(f"a {type(network).__name__} has no name")
        return None


#: The caches that may have something to write when the interpreter ends.
_writing: WeakSet[Cache] = WeakSet()


@atexit.register
def _flush() -> None:
    for kept in list(_writing):
        kept.flush()


@cache
def versions() -> Plain:
    """What results are computed with: library → version, None for one that was installed without saying which it is."""
    return {"spade_widgets": __version__, **{name: _version(name) for name in LIBRARIES}}


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def answer(classifier: ImageClassifier) -> str:
    """How a classifier answers to a test picture, in eight numbers of three digits: what its weights do not tell.

    The logits' sums with random signs, in thousandths of the logits' own size: arithmetic in another order, as of
    another number of threads, does not change them, but for one in many thousands.
    """
    h, w = classifier.input_size
    noise = np.random.default_rng(0).random((1, 3, h, w), dtype=np.float32)
    with torch.no_grad():
        logits = classifier.module()(classifier.normalize(torch.from_numpy(noise)))[0].double().cpu().numpy()
    signs = np.random.default_rng(1).choice([-1.0, 1.0], (8, len(logits)))
    size = float(np.linalg.norm(logits))
    # A power of two: the unit itself then does not change with the last digits, but for one in many thousands either.
    unit = 2.0 ** math.floor(math.log2(size)) / 1024 if size > 0 else 1.0
    return " ".join(str(round(value)) for value in (signs @ logits / unit).tolist())


def _half(dense: ImageClassifier, side: int | None = None) -> bool:
    """Whether the network multiplies in bfloat16 here, on images of its own size or of that side."""
    return suits(dense.device, dense.dtype, dense.input_size if side is None else (side, side))
