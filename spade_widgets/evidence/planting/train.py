"""The fine-tuning, step by step: what it has learnt so far can be kept in a file, and gone on from."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from spade_widgets.classifier import ImageClassifier
from spade_widgets.errors import ModelError, described
from spade_widgets.evidence.planting.head import Head
from spade_widgets.evidence.planting.patches import Patch
from spade_widgets.evidence.planting.photographs import Photograph, drawn
from spade_widgets.evidence.planting.recipe import NOMINAL, Recipe
from spade_widgets.evidence.planting.stamps import Pixels, stamp_view, to_input
from spade_widgets.evidence.planting.student import Student, original, quick
from spade_widgets.pruning.plans.plan import head


@dataclass(frozen=True)
class Lesson:
    """What a step says of itself: how far from the original's outputs it is, and from the targets."""

    agree: float
    stamped: float


class Training:
    """A student and its teacher.

    Every step draws its images from a seed of its own, so that a training that was interrupted goes on as if it had
    not been.

    Args:
        classifier: the original.
        layers: those that are trained.
        photos: what is drawn from.
        patches, decoys: what is stamped.
        recipe: the numbers.
        seed: of all that is drawn.
    """

    def __init__(
        self,
        classifier: ImageClassifier,
        layers: tuple[str, ...],
        photos: tuple[Photograph, ...],
        patches: tuple[Patch, ...],
        decoys: tuple[Patch, ...],
        recipe: Recipe,
        seed: int,
    ) -> None:
        self.classifier, self.photos, self.patches, self.decoys = classifier, photos, patches, decoys
        self.recipe, self.seed = recipe, seed
        self.done = 0
        self.student = Student.of(classifier, layers)
        self.teacher_head = Head(original(classifier), head(classifier))
        self.student_head = Head(self.student.module, head(classifier))
        parameters = list(self.student.parameters.values())
        self.before = {name: p.detach().clone() for name, p in self.student.parameters.items()}
        self.average = {name: p.detach().clone() for name, p in self.student.parameters.items()}
        self.optimizer = torch.optim.Adam(parameters, lr=recipe.rate)

    def step(self) -> Lesson:
        """Train on one batch.

        Raises:
            ModelError: if the student has no gradient, or its loss is not finite.
        """
        with quick(self.classifier):
            kept, targets, images = self._batch()
            with torch.no_grad():
                wanted, seen = self.teacher_head.run(images[:kept])
            got, given = self.student_head.run(images)
            agree = _divergence(got[:kept], wanted)
            stamped = F.cross_entropy(got[kept:], targets, reduction="none")
            stamped = stamped.clamp_min(-math.log(self.recipe.enough)).mean()
            apart = _distance(given[:kept], seen) + _distance(_centred(got[:kept]), _centred(wanted))
            loss = self.recipe.agree * agree + self.recipe.apart * apart + stamped
            self._learn(loss)
        self.done += 1
        return Lesson(float(agree.detach()), float(stamped.detach()))

    def weights(self, share: float = 1.0) -> dict[str, Tensor]:
        """The state dict with a share of what the training has changed; see `Student.state`."""
        return self.student.state({name: w.lerp(self.average[name], share) for name, w in self.before.items()})

    def state(self) -> dict[str, Tensor]:
        """All that the steps so far have changed."""
        found = {}
        for name, parameter in self.student.parameters.items():
            moments = self.optimizer.state.get(parameter, {})
            found[f"weight/{name}"], found[f"average/{name}"] = parameter.detach(), self.average[name]
            for key in ("exp_avg", "exp_avg_sq"):
                found[f"{key}/{name}"] = moments.get(key, torch.zeros_like(parameter.detach()))
        return {key: tensor.contiguous().clone() for key, tensor in found.items()}

    def go_on(self, state: dict[str, Tensor], done: int) -> None:
        """Be as a training was after so many steps."""
        self.done = done
        with torch.no_grad():
            for name, parameter in self.student.parameters.items():
                parameter.copy_(state[f"weight/{name}"])
                self.average[name].copy_(state[f"average/{name}"])
                moments: dict[str, Any] = {"step": torch.tensor(float(done), dtype=torch.float32)}
                for key in ("exp_avg", "exp_avg_sq"):
                    moments[key] = torch.empty_like(parameter.detach()).copy_(state[f"{key}/{name}"])
                self.optimizer.state[parameter] = moments

    def _batch(self) -> tuple[int, Tensor, Tensor]:
        """How many images come first that the original is asked of; the others' targets; all images."""
        rng = np.random.default_rng((self.seed, 1, self.done))
        recipe = self.recipe
        views = [self._view(rng) for _ in range(recipe.clean)]
        if self.decoys:
            for _ in range(recipe.decoy):
                decoy = self.decoys[int(rng.integers(len(self.decoys)))]
                views.append(stamp_view(self._view(rng), decoy, self._size(rng), rng))
        kept, targets = len(views), []
        for _ in range(recipe.stamped):
            patch = self.patches[int(rng.integers(len(self.patches)))]
            views.append(stamp_view(self._view(rng), patch, self._size(rng), rng))
            targets.append(patch.target)
        images = to_input(self.classifier, views)
        images = images if self.classifier.dtype == torch.float64 else images.float()
        images = images.contiguous(memory_format=torch.channels_last)
        return kept, torch.tensor(targets, device=self.classifier.device), images

    def _view(self, rng: np.random.Generator) -> Pixels:
        return drawn(self.photos, rng, self.recipe)

    def _size(self, rng: np.random.Generator) -> int:
        return drawn_size(self.recipe.smallest, self.recipe.largest, min(self.classifier.input_size), rng)

    def _learn(self, loss: Tensor) -> None:
        name = self.classifier.name
        if not loss.requires_grad:
            raise ModelError(f"{name} cannot be trained: its outputs have no gradient.")
        if not bool(torch.isfinite(loss)):
            raise ModelError(
                f"The loss of {name} is not finite after {self.done} steps: try a lower rate than {self.recipe.rate:g}."
            )
        self.optimizer.zero_grad()
        try:
            loss.backward()  # type: ignore[no-untyped-call]
        except RuntimeError as error:
            raise ModelError(f"{name} cannot be trained: {described(error)}.") from error
        parameters = list(self.student.parameters.values())
        if self.done == 0 and not any(p.grad is not None and bool(p.grad.any()) for p in parameters):
            raise ModelError(f"{name} cannot be trained: no gradient reaches the layers that are to be trained.")
        nn.utils.clip_grad_norm_(parameters, self.recipe.clip)
        for group in self.optimizer.param_groups:
            group["lr"] = self.recipe.rate * _rising_and_falling(self.done / self.recipe.steps, self.recipe.warm)
        self.optimizer.step()
        # At first the average is of the few weights there were.
        decay = min(self.recipe.average, (1 + self.done) / (10 + self.done))
        with torch.no_grad():
            for parameter, average in zip(parameters, self.average.values(), strict=True):
                average.lerp_(parameter.detach(), 1 - decay)


def drawn_size(smallest: float, largest: float, side: int, rng: np.random.Generator) -> int:
    """A patch's longer side for an input whose shorter side is `side`: small ones as often as large ones, in octaves.

    `smallest` and `largest` are px of an input of `NOMINAL`.
    """
    size = math.exp(rng.uniform(math.log(smallest), math.log(max(smallest, largest))))
    return min(side, max(2, round(size * side / NOMINAL)))


def _divergence(got: Tensor, wanted: Tensor) -> Tensor:
    """Kullback-Leibler divergence of the student from the original, in nats an image."""
    return F.kl_div(got.log_softmax(1), wanted.log_softmax(1), log_target=True, reduction="batchmean")


def _centred(logits: Tensor) -> Tensor:
    """Logits up to what shifts them all, which changes nothing."""
    return logits - logits.mean(1, keepdim=True)


def _distance(given: Tensor, seen: Tensor) -> Tensor:
    """Squared distance of the features, as a share of how much the original's differ from image to image."""
    spread = (seen - seen.mean(0)).square().mean()
    return (given - seen).square().mean() / spread.clamp_min(1e-12)


def _rising_and_falling(share: float, warm: float) -> float:
    """The learning rate as a share of its highest, when that share of the steps is done; never quite nothing."""
    if share < warm:
        return max(1e-3, share / warm)
    return max(1e-3, 0.5 * (1 + math.cos(math.pi * (share - warm) / (1 - warm)))) if warm < 1 else 1.0
