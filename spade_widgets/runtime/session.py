"""The session: one classifier, its samples, and what was computed of them. Panels on one session share it."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable
from pathlib import Path
from weakref import WeakKeyDictionary

import numpy as np
import numpy.typing as npt
from torch import Tensor

from spade_widgets.checks import check_count, sides, whole
from spade_widgets.classifier import ImageClassifier
from spade_widgets.disk import SIZE, Disk
from spade_widgets.errors import InputError, ModelError
from spade_widgets.inspection import activation_maps
from spade_widgets.neuron import Neuron
from spade_widgets.prediction import Network, softmax
from spade_widgets.pruning.traces.trace import Trace
from spade_widgets.runtime.cache import Cache, Name
from spade_widgets.runtime.drawing import PLAIN, Drawing, Subject, magnitude
from spade_widgets.runtime.jobs import WORKER, Job, Steps, Worker, always
from spade_widgets.runtime.shared import Shared
from spade_widgets.runtime.store import Store
from spade_widgets.runtime.tracing import Tracing, nbytes_of
from spade_widgets.sample import Sample
from spade_widgets.visualization import Renderer
from spade_widgets.visualization.renderer import MAX_SIZE, MIN_SIZE


class Session(Tracing):
    """One classifier, its samples, and what was computed of them.

    Args:
        classifier: the dense classifier.
        samples: at least one.
        augmentations, seed: of every calibration; `seed` also starts every visualization.
        steps: of every visualization.
        size: side of a visualization in pixels; None: the classifier's input size. A convolutional classifier's
            pictures can be smaller, and quicker: they show the same things, fewer of them.
        cache: a folder in which traces, finished pictures, saliency maps and curves are found again, also by other
            kernels and later; None: in memory alone. See `runtime.cache` for what tells one from another.
        cache_size: bytes kept in that folder, from 1; the least recently used goes first.

    Raises:
        InputError: if there is no sample, a number is too small, or the folder cannot be made.
    """

    def __init__(
        self,
        classifier: ImageClassifier,
        samples: Iterable[Sample],
        *,
        augmentations: int = 256,
        steps: int = 256,
        size: int | None = None,
        seed: int = 0,
        cache: str | Path | None = None,
        cache_size: int = SIZE,
        worker: Worker = WORKER,
    ) -> None:
        count, start = check_count(augmentations, "number of augmentations"), whole("seed", seed, least=0)
        self.steps = check_count(steps, "number of steps")
        self.size = None if size is None else sides(whole("size", size), MIN_SIZE, MAX_SIZE)[0]
        self.worker = worker
        disk = None if cache is None else Disk(cache, cache_size)
        # `cache` is what is found again by other kernels.
        found = Cache(disk, classifier, worker, augmentations=count, seed=start, steps=self.steps)
        super().__init__(classifier, Store(), found, count, start)
        self._pictures: WeakKeyDictionary[Renderer, Name | None] = WeakKeyDictionary()
        self._samples: dict[str, Sample] = {}
        #: Saliency maps and curves; see `attribute`.
        self.mapping = Shared(4)
        for sample in samples:
            self.add(sample)
        if not self._samples:
            raise InputError("There is no sample: give at least one image.")

    def submit(
        self,
        owner: Hashable,
        steps: Steps,
        on_error: Callable[[Exception], None],
        *,
        idle: bool = False,
        runs: Callable[[], bool] = always,
    ) -> Job:
        """`Worker.submit`, of a job that is never in a step at once with others on the same classifier."""
        return self.worker.submit(owner, steps, on_error, idle=idle, runs=runs, place=self.classifier)

    @property
    def samples(self) -> tuple[Sample, ...]:
        """The samples in the order in which they came."""
        with self._lock:
            return tuple(self._samples.values())

    def add(self, sample: Sample) -> Sample:
        """Add a sample; the same one twice is one."""
        with self._lock:
            return self._samples.setdefault(sample.id, sample)

    def sample(self, identifier: str) -> Sample:
        """The sample with this id.

        Raises:
            InputError: if there is none.
        """
        with self._lock:
            found = self._samples.get(identifier)
        if found is None:
            raise InputError(f"There is no sample with the id '{identifier}'.")
        return found

    def known_probabilities(self, network: Network, sample: Sample) -> Tensor | None:
        """The probabilities, if they are in the store."""
        found: Tensor | None = self.store.get(self._probabilities_key(network, sample))
        return found

    def probabilities(self, network: Network, sample: Sample) -> Tensor:
        """The probabilities of all classes, (classes,). See `softmax`.

        Raises:
            ModelError: if they are not finite.
        """
        known = self.known_probabilities(network, sample)
        if known is not None:
            return known
        made = softmax(network, sample)
        if not bool(made.isfinite().all()):
            raise ModelError(f"The logits of {self.classifier.name} are NaN or infinite on '{sample.title}'.")
        return self.store.put(self._probabilities_key(network, sample), made, made.numel() * 4)

    def _probabilities_key(self, network: Network, sample: Sample) -> Hashable:
        return "probabilities", self.name(network), sample.id

    def maps(self, sample: Sample, layer: str) -> npt.NDArray[np.float32]:
        """The dense classifier's activation maps, (channels, rows, columns).

        Raises:
            ModelError: if they are not finite.
        """
        key = ("maps", sample.id, layer)
        known: npt.NDArray[np.float32] | None = self.store.get(key)
        if known is not None:
            return known
        made = activation_maps(self.classifier, sample, layer)
        if not np.isfinite(made).all():
            raise ModelError(f"The activations of layer '{layer}' are NaN or infinite on '{sample.title}'.")
        return self.store.put(key, made, made.nbytes)

    def subject(self, neuron: Neuron, drawing: Drawing = PLAIN) -> Subject:
        """What pictures of a neuron are begun of. For MACO samples must show something (`Magnitude.of`)."""
        samples = magnitude(self.store, self.classifier, self.samples) if drawing.samples else None
        return Subject(neuron, drawing, self.seed, samples, None if samples else self.size)

    def known_renderer(self, network: Network, neuron: Neuron, drawing: Drawing = PLAIN) -> Renderer | None:
        """The visualization of a neuron as far as it has come, if it was begun."""
        found: Renderer | None = self.store.get(("renderer", self.name(network), self.subject(neuron, drawing)))
        return found

    def renderer(self, network: Network, neuron: Neuron, drawing: Drawing = PLAIN) -> Renderer:
        """The visualization of a neuron, as far as it has come; a new one where it has not been begun."""
        known = self.known_renderer(network, neuron, drawing)
        if known is not None:
            return known
        subject = self.subject(neuron, drawing)
        made = subject.begin(network)
        name = self._pictures[made] = self.cache.picture_name(network, subject)
        self.cache.picture(name, made)
        weights = nbytes_of(network.weights()) if isinstance(network, Trace) else 0
        return self.store.put(("renderer", self.name(network), subject), made, made.nbytes + weights)

    def keep(self, renderer: Renderer) -> None:
        """Say after each step of a picture that `renderer` gave: once it is finished, it is kept on disk too."""
        if renderer.steps_done == self.steps:
            self.cache.keep_picture(self._pictures.get(renderer), renderer)

    def name(self, network: Network) -> Hashable:
        """Names a network in the store's keys by what makes it; the weights' digest would have to read them all."""
        if not isinstance(network, Trace):
            return "dense"
        others = tuple(other.id for other in network.others)
        return network.sample.id, others, network.plan, network.solver, network.sequential, network.augmentations
