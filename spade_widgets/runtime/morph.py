"""The trace's picture on screen: it follows the hand.

What a trace's picture is does not depend on what was looked at before: it begins from noise, under that trace alone. It
takes seconds to make, so meanwhile the picture that is on screen morphs: a copy of it goes on under the new weights.
The trace's own is rendered unseen, and takes the morph's place once it excites the neuron nearly as much.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field, replace
from statistics import fmean
from time import perf_counter

from spade_widgets.prediction import Network
from spade_widgets.runtime.drawing import Subject
from spade_widgets.runtime.tracing import Pruning
from spade_widgets.sample import Sample
from spade_widgets.visualization import Renderer

#: How long a morph goes on alone after its weights were swapped, in steps and in seconds, whichever is over first.
ALONE, SECONDS = 24, 0.4
#: After that it has one turn of so many.
EVERY = 8
#: Steps over which activations are compared: the transforms make them jump from step to step.
SMOOTH = 8
#: How far a picture is to have come, from what noise excites the neuron to what the morph does.
SHARE = 0.85


@dataclass(frozen=True)
class Origin:
    """What a picture was made under.

    Attributes:
        sample, pruning: what was asked for.
        augmentations, solver: of the trace or the draft of it.
        sequential: whether that was pruned block by block.
    """

    sample: Sample
    pruning: Pruning
    augmentations: int
    solver: str
    sequential: bool = False

    def differs(self, other: Origin) -> str:
        """What about this one differs from another, in few words; "" if nothing does."""
        if self.sample.id != other.sample.id:
            return f"'{self.sample.title}'"
        if self.pruning.fidelity is None and self.pruning.sparsity != other.pruning.sparsity:
            return f"{100 * self.pruning.sparsity:.1f} %"
        if self.pruning.family != other.pruning.family:
            return "other settings"
        if self.augmentations != other.augmentations:
            return f"{self.augmentations} augmentations"
        if self.solver != other.solver:
            return f"'{self.solver}'"
        return "" if self.sequential == other.sequential else "all blocks at once"


@dataclass(eq=False)
class Morph:
    """A picture that goes on under other weights than it was begun under.

    Attributes:
        renderer: that goes on; nobody else steps it.
        origin: what it was begun under.
        under: what it goes on under.
        steps: how many it has done under these weights.
    """

    renderer: Renderer
    origin: Origin
    under: Origin
    steps: int = 0
    _began: float = field(default_factory=perf_counter)
    _alone: bool = True
    _recent: deque[float] = field(default_factory=lambda: deque(maxlen=SMOOTH))

    @property
    def source(self) -> str:
        """Where it comes from, in few words; "" if it was begun under what it goes on under."""
        return self.origin.differs(self.under)

    @property
    def alone(self) -> bool:
        """Whether it is to go on before anything else."""
        self._alone = self._alone and self.steps < ALONE and perf_counter() - self._began < SECONDS
        return self._alone

    @property
    def activation(self) -> float | None:
        """What it had come to when it ceased to go on alone, the mean of a few steps; None before the first one."""
        return fmean(self._recent) if self._recent else None

    def step(self) -> None:
        """Do one step."""
        activation = self.renderer.step()
        self.steps += 1
        if self._alone:
            self._recent.append(activation)

    def swap(self, network: Network, under: Origin) -> None:
        """Go on under other weights."""
        self.renderer.swap(network)
        self.under, self.steps, self._began, self._alone = under, 0, perf_counter(), True
        self._recent.clear()


class OnScreen:
    """What is on screen of the trace, from one job of a panel to the next.

    Attributes:
        morph: what is on screen, where it is one.
    """

    def __init__(self) -> None:
        self.morph: Morph | None = None
        self._subject: Subject | None = None
        self._picture: Renderer | None = None
        self._origin: Origin | None = None
        self._noise: float | None = None
        self._recent: deque[float] = deque(maxlen=SMOOTH)

    @property
    def empty(self) -> bool:
        """Whether nothing is on screen."""
        return self.morph is None and self._picture is None

    def clear(self) -> None:
        """Nothing is on screen."""
        self.morph = self._subject = self._picture = self._origin = None

    def show(self, picture: Renderer, subject: Subject, origin: Origin) -> None:
        """A trace's own picture is on screen."""
        self.morph, self._picture, self._subject, self._origin = None, picture, subject, origin
        self._recent.clear()

    def shows(self, picture: Renderer) -> bool:
        """Whether it is this picture itself that is on screen."""
        return self.morph is None and self._picture is picture

    def morph_of(self, sample: Sample, pruning: Pruning, subject: Subject) -> Morph | None:
        """What is on screen, where it is a morph that goes on under this trace or a draft of it."""
        if self.morph is None or self._subject != subject:
            return None
        under = self.morph.under
        return self.morph if (under.sample.id, under.pruning) == (sample.id, pruning) else None

    def follow(self, network: Network, subject: Subject, under: Origin) -> Morph | None:
        """What is on screen goes on under a network: as a morph, or, if nothing of the subject is, not at all."""
        if self._subject != subject:
            self.clear()
            return None
        if self.morph is not None:
            if self.morph.under != under:
                self.morph.swap(network, under)
        elif self._picture is not None and self._origin is not None:
            self.morph = Morph(_copied(self._picture, network, subject), self._origin, under)
        self._recent.clear()
        self._noise = None
        return self.morph

    def begin(self, network: Network, subject: Subject, under: Origin) -> Morph:
        """A picture of a network that is itself on the way: it begins from noise, and is to go on under the next."""
        self.clear()
        self._subject = subject
        self.morph = Morph(subject.begin(network), under, under)
        return self.morph

    def overtaken(self, picture: Renderer, steps: int) -> bool:
        """Whether a trace's own picture, which has just done a step of `steps`, has come as far as the morph."""
        if picture.activation is not None:
            self._recent.append(picture.activation)
        if self.morph is None or picture.steps_done >= steps:
            return True
        if len(self._recent) < SMOOTH:
            return False
        now, reached = fmean(self._recent), self.morph.activation
        self._noise = now if self._noise is None else self._noise
        return reached is not None and now > self._noise and now - self._noise >= SHARE * (reached - self._noise)


def _copied(picture: Renderer, network: Network, subject: Subject) -> Renderer:
    """A renderer that goes on from a picture under other weights; the picture stays."""
    snapshot = picture.snapshot()
    made = subject.begin(network)
    # Whether anything reaches the neuron is to be seen under the new weights.
    made.restore(replace(snapshot, numbers={**snapshot.numbers, "moved": False}))
    return made
