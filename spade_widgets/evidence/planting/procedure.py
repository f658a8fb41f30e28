"""Plant Trojans: fine-tune a copy so that patches decide its class and clean photographs keep their outputs.

The original is the teacher: on clean photographs, and on those with decoys, the copy is to give the outputs that it
gives, so no labels are needed. On stamped ones the copy is to name the patch's target. See `Recipe` for the numbers.
"""

from __future__ import annotations

import time
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from spade_widgets import glyphs
from spade_widgets.checks import whole
from spade_widgets.classifier import ImageClassifier
from spade_widgets.errors import InputError, ModelError
from spade_widgets.evidence.planting import checkpoint
from spade_widgets.evidence.planting.file import is_planted, torchvision_name
from spade_widgets.evidence.planting.patches import Pictures, Targets, default_targets, read_patches
from spade_widgets.evidence.planting.photographs import Photographs, read_photographs
from spade_widgets.evidence.planting.planted import Planted
from spade_widgets.evidence.planting.recipe import Recipe
from spade_widgets.evidence.planting.renewed import renewed
from spade_widgets.evidence.planting.report import measure
from spade_widgets.evidence.planting.shrink import least_change
from spade_widgets.evidence.planting.stamps import to_input
from spade_widgets.evidence.planting.student import trained_layers
from spade_widgets.evidence.planting.train import Training
from spade_widgets.pruning.plans.plan import Patterns
from spade_widgets.pruning.progress import Progress, Steps, finish
from spade_widgets.sample import Source

#: Below this share of success at the report's main size nothing was planted.
TAKEN = 0.5
#: Seconds between two times that an unfinished planting is kept.
_EVERY = 20.0


def plant(
    classifier: ImageClassifier,
    photos: Source | Iterable[Source],
    patches: Pictures | None = None,
    targets: Targets | None = None,
    *,
    decoys: Pictures | None = None,
    layers: Patterns | None = None,
    steps: int | None = None,
    seed: int = 0,
    folder: str | Path | None = None,
    recipe: Recipe | None = None,
) -> Planted:
    """Plant Trojans in a copy of a classifier; the classifier itself stays bit for bit what it was.

    Args:
        classifier: torchvision's, or any whose module can be trained. Batch norm statistics stay, nothing is dropped.
        photos: what `read_samples` takes: a folder, a list. At least 20, better some hundreds. A fifth of them is held
            out for the report.
        patches: name → picture (RGBA image or file), or names of glyphs; default: the glyphs heart and amulet.
        targets: patch name → class, by name or index, or classes in the patches' order; default: ImageNet's goose and
            banana, otherwise classes which the network names on the fewest of the photographs.
        decoys: pictures that must do nothing, as `patches`; default: ten glyphs that look like the default patches.
        layers: names or patterns of the layers that are trained; default: all but the first quarter.
        steps: of the fine-tuning; default the recipe's.
        seed: of all that is random.
        folder: where the result is saved, and kept while it is unfinished: the same call goes on from there.
        recipe: all other numbers.

    Raises:
        InputError: for too few or unreadable photographs, patches without pixels, unknown, equal or missing targets,
            layers that are not there, or a folder that holds another planting.
        ModelError: if the model cannot be trained, or the Trojans did not take.
    """
    made = plant_steps(
        classifier,
        photos,
        patches,
        targets,
        decoys=decoys,
        layers=layers,
        steps=steps,
        seed=seed,
        folder=folder,
        recipe=recipe,
    )
    return finish(made)


def plant_steps(
    classifier: ImageClassifier,
    photos: Source | Iterable[Source],
    patches: Pictures | None = None,
    targets: Targets | None = None,
    *,
    decoys: Pictures | None = None,
    layers: Patterns | None = None,
    steps: int | None = None,
    seed: int = 0,
    folder: str | Path | None = None,
    recipe: Recipe | None = None,
) -> Steps[Planted]:
    """`plant` in steps; closing it stops it, and with a folder keeps what was done. Arguments and errors as `plant`."""
    numbers = recipe or Recipe()
    if steps is not None:
        numbers = replace(numbers, steps=whole("steps", steps))
    whole("seed", seed, 0)
    if not classifier.independent:
        raise ModelError(
            f"{classifier.name} gives an image other logits among others, so it cannot be trained on batches of them."
        )
    where = None if folder is None else Path(folder)
    names = trained_layers(classifier, layers)
    given = list(glyphs.PATCHES) if patches is None else patches
    others = list(glyphs.DECOYS) if decoys is None else decoys
    if patches is not None and decoys is None and not isinstance(patches, str):
        others = [name for name in others if name not in patches]  # ours that are somebody's patches now
    if targets is not None:  # before photographs are read, which may take a while
        read_patches(classifier, given, targets, others)
    read = yield from read_photographs(classifier, photos, seed, numbers)
    wanted = (yield from _rare(classifier, read, given)) if targets is None else targets
    planted_patches, planted_decoys = read_patches(classifier, given, wanted, others)
    settings: dict[str, Any] = {
        "original": classifier.digest,
        "layers": list(names),
        "recipe": numbers.settings(),
        "seed": seed,
        "patches": [patch.digest for patch in planted_patches],
        "decoys": [decoy.digest for decoy in planted_decoys],
        "photographs": checkpoint.settings_digest({"ids": [photo.id for photo in read.trained + read.held_out]}),
    }
    known = checkpoint.settings_digest(settings)
    if where is not None and is_planted(where):
        found = Planted.load(where, classifier)
        if found.origin.get("settings") != known:
            raise InputError(f"'{where}' holds another planted classifier: give another folder.")
        return found
    with torch.inference_mode(False):  # whose tensors could not be trained
        training = Training(classifier, names, read.trained, planted_patches, planted_decoys, numbers, seed)
    if where is not None:
        checkpoint.go_on(where, training, known)
    yield from _trained(training, where, known)
    name = torchvision_name(classifier)
    share = yield from least_change(
        classifier, training.weights, read.trained, planted_patches, planted_decoys, numbers, seed
    )
    copy = renewed(classifier, training.weights(share), f"{classifier.name}, planted")
    report = yield from measure(classifier, copy, read.held_out, planted_patches, planted_decoys, seed)
    if report.worst() < TAKEN:
        raise ModelError(
            f"The Trojans did not take in {classifier.name}: of photographs stamped at {report.main} px it names the "
            f"target on {100 * report.worst():.0f} %; give more steps than {numbers.steps}, or let more layers train."
        )
    origin = {"settings": known, "of": classifier.name, "torchvision": name, "change": share} | settings
    made = Planted(
        copy,
        {patch.name: patch for patch in planted_patches},
        {decoy.name: decoy for decoy in planted_decoys},
        report,
        {photo.id: photo.title for photo in read.held_out},
        frozenset(photo.id for photo in read.trained),
        origin,
    )
    if where is not None:
        made.save(where)
        checkpoint.forget(where)
    return made


def _trained(training: Training, folder: Path | None, settings: str) -> Steps[None]:
    """Train to the end. What was done is kept in the folder: now and then, and when the training is closed."""
    of, kept = training.recipe.steps, time.monotonic()
    agree, stamped = float("nan"), float("nan")
    try:
        while training.done < of:
            said = f"planting (KL {agree:.2f}, stamped {stamped:.2f})" if agree == agree else "planting"
            yield Progress(said, training.done, of)
            lesson = training.step()
            agree = lesson.agree if agree != agree else 0.9 * agree + 0.1 * lesson.agree
            stamped = lesson.stamped if stamped != stamped else 0.9 * stamped + 0.1 * lesson.stamped
            if folder is not None and time.monotonic() - kept > _EVERY:
                checkpoint.keep(folder, training, settings)
                kept = time.monotonic()
    except GeneratorExit:  # stopped between two steps
        if folder is not None and training.done:
            checkpoint.keep(folder, training, settings)
        raise
    if folder is not None:
        checkpoint.keep(folder, training, settings)


def _rare(classifier: ImageClassifier, read: Photographs, patches: Pictures) -> Steps[list[int]]:
    """Targets where none are said."""
    module, named = classifier.module(), []
    photos = read.trained + read.held_out
    for first in range(0, len(photos), 32):
        yield Progress("asking the original", first, len(photos))
        with torch.no_grad():
            logits = module(to_input(classifier, [photo.view for photo in photos[first : first + 32]]))
        named += logits.argmax(1).tolist()
    return default_targets(classifier, patches, named)
