"""What a lesson's file holds: everything that the Explorer shows for the samples, neurons and sparsities chosen.

`js/src/panels/lesson/recording.ts` says the same of it.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any, TypeAlias

from PIL import Image

from spade_widgets import __version__
from spade_widgets.errors import InputError
from spade_widgets.inspection.activations import excitement
from spade_widgets.neuron import Neuron
from spade_widgets.prediction import Network
from spade_widgets.pruning.progress import Progress, Steps, saying
from spade_widgets.runtime.drawing import PLAIN, Drawing
from spade_widgets.runtime.session import Session
from spade_widgets.runtime.tracing import PATTERN, Pruning
from spade_widgets.sample import Sample
from spade_widgets.visualization import overlay
from spade_widgets.widgets.common import images
from spade_widgets.widgets.common.facts import prediction_rows, trace_facts

Values: TypeAlias = dict[str, Any]

#: Said of pictures that do.
AT_SAMPLE = "Pictures begin at the sample (near {near:g}): its own object is in them by construction."


@dataclass(frozen=True)
class Lesson:
    """What a lesson shows: each sample with each neuron at each sparsity.

    Attributes:
        title: of the page.
        samples, neurons: at least one each.
        sparsities: in [0, 1), ascending, at least one.
        pruning: how samples are traced; its sparsity is the one to begin with.
        sample, neuron: to begin with; the first ones where these are not among those shown.
        drawing: how pictures are made.
    """

    title: str
    samples: tuple[Sample, ...]
    neurons: tuple[Neuron, ...]
    sparsities: tuple[float, ...]
    pruning: Pruning
    sample: Sample
    neuron: Neuron
    drawing: Drawing = PLAIN

    @property
    def pictures(self) -> int:
        """How many visualizations there are."""
        dense = len(self.samples) if self.drawing.begins_at_sample else 1
        return len(self.neurons) * (dense + len(self.samples) * len(self.sparsities))

    def __str__(self) -> str:
        counts = (
            (len(self.samples), "sample", "samples"),
            (len(self.neurons), "neuron", "neurons"),
            (len(self.sparsities), "sparsity", "sparsities"),
        )
        return " × ".join(f"{n} {one if n == 1 else many}" for n, one, many in counts)

    def start(self) -> dict[str, int]:
        """The places of what is shown first."""
        ids = [sample.id for sample in self.samples]
        return {
            "sample": ids.index(self.sample.id) if self.sample.id in ids else 0,
            "neuron": self.neurons.index(self.neuron) if self.neuron in self.neurons else 0,
            "sparsity": min(range(len(self.sparsities)), key=lambda i: abs(self.sparsities[i] - self.pruning.sparsity)),
        }


class Images:
    """The lesson's images, each once.

    Args:
        limit: bytes that they may take in the file.
    """

    def __init__(self, limit: float) -> None:
        self.encoded: list[str] = []
        self._limit = limit
        self._nbytes = 0
        self._numbers: dict[bytes, int] = {}

    def add(self, image: Image.Image) -> int:
        """The image's number.

        Raises:
            InputError: if they are too many bytes by now.
        """
        data = images.webp(image)
        digest = hashlib.sha256(data).digest()
        if digest not in self._numbers:
            self._numbers[digest] = len(self.encoded)
            self.encoded.append(base64.b64encode(data).decode("ascii"))
            self._nbytes += len(self.encoded[-1])
            if self._nbytes > self._limit:
                raise too_large(self._limit)
        return self._numbers[digest]


def too_large(limit: float) -> InputError:
    """That a lesson has more bytes than it may."""
    return InputError(
        f"The lesson has more than max_mb={limit / 1e6:g}: choose fewer samples, neurons or sparsities, or allow more."
    )


def _all(parts: Iterable[Steps[Values]]) -> Steps[list[Values]]:
    """One after another."""
    made = []
    for part in parts:
        made.append((yield from part))  # noqa: PERF401 - a comprehension cannot yield
    return made


class Recorder:
    """Makes a recording, a step at a time. What the session's store has is not computed again.

    Args:
        session: that computes and keeps it.
        lesson: what is recorded.
        limit: bytes that the images may take in the file.
    """

    def __init__(self, session: Session, lesson: Lesson, limit: float) -> None:
        self._session = session
        self._lesson = lesson
        self._images = Images(limit)
        self._done = 0  # pictures

    def run(self, app: Values) -> Steps[Values]:
        """All of it, as plain values. `app`: what the panel says of the classifier.

        Raises:
            InputError: if the images take more than they may.
            SpadeError: where something cannot be computed.
        """
        lesson = self._lesson
        own = lesson.drawing.begins_at_sample  # each sample has dense pictures of its own
        dense = [] if own else (yield from self._pictures(self._session.classifier, lesson.sample))
        samples = yield from _all(self._sample(sample) for sample in lesson.samples)
        return {
            "title": lesson.title,
            "notes": self._notes(),
            "app": app,
            "neurons": [str(neuron) for neuron in lesson.neurons],
            "sparsities": lesson.sparsities,
            "start": lesson.start(),
            "image": lesson.drawing.image,
            "dense": dense,
            "samples": samples,
            "images": self._images.encoded,
        }

    def _sample(self, sample: Sample) -> Steps[Values]:
        traces = yield from _all(self._trace(sample, sparsity) for sparsity in self._lesson.sparsities)
        view = self._session.classifier.view(sample)
        own = self._lesson.drawing.begins_at_sample
        dense = (yield from self._pictures(self._session.classifier, sample)) if own else None
        return {
            "id": sample.id,
            "title": sample.title,
            "label": sample.label or "",
            "thumb": self._images.add(images.small_view(view, images.THUMB)),
            "excitements": [self._excitement(sample, neuron) for neuron in self._lesson.neurons],
            "traces": traces,
            "dense": dense,
        }

    def _trace(self, sample: Sample, sparsity: float) -> Steps[Values]:
        session, classifier = self._session, self._session.classifier
        pruning = replace(self._lesson.pruning, sparsity=sparsity)
        trace = yield from saying(session.trace(sample, pruning), self._progress("tracing"))
        probabilities = session.probabilities(classifier, sample), session.probabilities(trace, sample)
        pictures = yield from self._pictures(trace, sample)
        return {
            "facts": trace_facts(trace, sparsity, None),
            "rows": prediction_rows(classifier.class_names, *probabilities),
            "pictures": pictures,
        }

    def _pictures(self, network: Network, sample: Sample) -> Steps[list[Values]]:
        return (yield from _all(self._picture(network, neuron, sample) for neuron in self._lesson.neurons))

    def _picture(self, network: Network, neuron: Neuron, sample: Sample) -> Steps[Values]:
        steps = self._session.steps
        renderer = self._session.renderer(network, neuron, self._lesson.drawing.at(sample))
        while renderer.steps_done < steps:
            renderer.step()
            yield self._progress("rendering", renderer.steps_done / steps)
        self._done += 1
        return {
            "image": self._images.add(renderer.sheet()),
            "steps": steps,
            "seconds": round(renderer.seconds, 2),
            "activation": renderer.activation,
            "dead": renderer.dead,
        }

    def _excitement(self, sample: Sample, neuron: Neuron) -> Values | None:
        if neuron.layer is None:
            return None
        maps = self._session.maps(sample, neuron.layer)
        view = images.small_view(self._session.classifier.view(sample))
        return {
            "image": self._images.add(overlay(view, maps[neuron.channel])),
            "activation": float(excitement(maps)[neuron.channel]),
        }

    def _progress(self, stage: str, share: float = 0.0) -> Progress:
        return Progress(stage, self._done + share, self._lesson.pictures)

    def _notes(self) -> list[str]:
        session, pruning = self._session, self._lesson.pruning
        presets = {preset.key: preset.title for preset in session.presets()}
        layers = f"layers '{pruning.pattern}'" if pruning.preset == PATTERN.key else presets[pruning.preset]
        order = ", block by block" if pruning.sequential else ""
        return [
            f"Pruned: {layers}; solver {session.solver(pruning)}{order}; {session.augmentations} augmentations; "
            f"pictures of {session.steps} steps; seed {session.seed}.",
            *([AT_SAMPLE.format(near=self._lesson.drawing.near)] if self._lesson.drawing.begins_at_sample else []),
            f"Recorded with spade_widgets {__version__}: nothing is computed in this page.",
        ]
