"""What the command line's options stand for: classifiers, samples, plans."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from spade_widgets.errors import InputError

if TYPE_CHECKING:
    from spade_widgets.classifier import ImageClassifier
    from spade_widgets.evidence.plan_file import PlanFile
    from spade_widgets.evidence.planting import Planted
    from spade_widgets.pruning.plans.plan import SparsityPlan
    from spade_widgets.sample import Sample

T = TypeVar("T")
EMOJI, PHOTOS = "emoji", "photos"
"""The built-in classifiers; the second one is planted."""
TROJANS, PLAIN = "trojans", "plain"
MASK = ".mask.png"
PAPER = (
    "saliency", "input_x_gradient", "deeplift", "lrp", "guided_backprop", "guided_gradcam", "lime", "occlusion",
    "integrated_gradients", "gradient_shap",
)  # fmt: skip
"""The ten methods of the paper's Table 1, in its order."""


def add_classifier(parser: argparse.ArgumentParser) -> None:
    """`--model` and what goes with it."""
    group = parser.add_argument_group("classifier")
    group.add_argument(
        "--model",
        default=EMOJI,
        metavar="NAME",
        help=f"'{EMOJI}' (default) or '{PHOTOS}', both built in; a torchvision classifier's name; or a folder with "
        "a planted classifier",
    )
    group.add_argument(
        "--weights",
        default="DEFAULT",
        metavar="FILE",
        help="its weights, .safetensors or .pt; default: torchvision's own, downloaded if they are not there yet",
    )
    group.add_argument("--device", default="cpu", help="where to compute: cpu (default), cuda, cuda:1, …")
    group.add_argument("--threads", type=int, metavar="N", help="processor threads; default: all cores")


def add_samples(parser: argparse.ArgumentParser, count: int, seed: int) -> None:
    """`--samples` and what goes with it."""
    group = parser.add_argument_group("samples")
    group.add_argument(
        "--samples",
        metavar="WHAT",
        help=f"an image, or a folder of images (name{MASK} beside name.png or name.jpg is its mask); default for the "
        "photograph classifier: its own stamped photographs; for the emoji "
        f"classifier also '{TROJANS}' (default) or '{PLAIN}': made afresh",
    )
    group.add_argument(
        "--count", type=int, metavar="N", help=f"how many: made afresh (default {count}), or at most of a folder's"
    )
    group.add_argument(
        "--sample-seed", type=int, default=seed, metavar="S", help=f"of samples made afresh (default {seed})"
    )
    group.add_argument(
        "--stamped",
        action="store_true",
        help="of a planted --model: the photographs that it was not planted with, stamped with its patches (34 to 44 "
        "of 224 px) where these decide the class",
    )
    group.add_argument(
        "--take",
        metavar="SLICES",
        help="which of the folder's images, sorted by name: Python slices such as 0:16, or 1::3,2::3",
    )


def add_plan(parser: argparse.ArgumentParser) -> None:
    """`--plan` and what goes with it."""
    group = parser.add_argument_group("traces")
    group.add_argument(
        "--plan",
        metavar="FILE",
        help="JSON: what 'spade-widgets tune' wrote, or sparsities by layer or pattern, {\"layer4\": 0.95}; default: "
        "the emoji classifier's recommended plan, else --sparsity in --layers",
    )
    group.add_argument("--sparsity", type=float, metavar="S", help="of all pruned layers, in [0, 1); default 0.95")
    group.add_argument(
        "--layers",
        metavar="NAMES",
        help="names or patterns, 'layer4.*, fc'; default: the last third and the head",
    )
    add_calibration(group)


def add_calibration(group: argparse._ActionsContainer) -> None:
    """`--augmentations` and `--seed`."""
    group.add_argument("--augmentations", type=int, default=256, metavar="N", help="of the calibration (default 256)")
    group.add_argument("--seed", type=int, default=0, metavar="S", help="of all that is random but the samples")


def classifier_of(given: argparse.Namespace) -> ImageClassifier:
    """The classifier that was asked for, on its device."""
    import torch

    from spade_widgets.classifier import ImageClassifier
    from spade_widgets.demo import emoji
    from spade_widgets.network.torchvision_models import build

    if given.threads is not None:
        if given.threads < 1:
            raise InputError(f"{given.threads} threads cannot compute: give at least 1.")
        torch.set_num_threads(given.threads)
    try:
        device = torch.device(given.device)
        torch.empty(1, device=device)
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        said = str(error).splitlines()[0].rstrip(".")
        raise InputError(f"There is no device '{given.device}' here: {said}.") from None
    if given.model == EMOJI:
        if given.weights != "DEFAULT":
            raise InputError(_OWN_WEIGHTS)
        ours = emoji.classifier()
        if device.type == "cpu":
            return ours
        module = ours.module().to(device)
        return ImageClassifier(module, class_names=ours.class_names, preprocess=emoji.preprocess, name=ours.name)
    planted = planted_of(given)
    if planted is not None:
        if given.weights != "DEFAULT":
            raise InputError(_OWN_WEIGHTS)
        if device.type == "cpu":
            return planted.classifier
        ours = planted.classifier
        return ImageClassifier(
            ours.module().to(device), class_names=ours.class_names, preprocess=ours._preprocess, name=ours.name
        )
    model, preprocess, names = build(given.model, given.weights)
    return ImageClassifier(model.to(device), class_names=names, preprocess=preprocess, name=given.model)


_OWN_WEIGHTS = "A built-in or planted classifier has its own weights: name a torchvision --model with --weights."


def planted_of(given: argparse.Namespace) -> Planted | None:
    """The planted classifier that `--model` names, built in or in a folder; None if it names something else."""
    from spade_widgets.evidence.planting import Planted

    if given.model == PHOTOS:
        from spade_widgets.demo import photos

        return photos.planted()
    return Planted.load(given.model) if Path(given.model).is_dir() else None


def samples_of(given: argparse.Namespace, classifier: ImageClassifier, count: int) -> list[Sample]:
    """The samples that were asked for; `count` of them, where they are made and no number is given."""
    from spade_widgets.demo.emoji import fresh

    if given.count is not None and given.count < 1:
        raise InputError(f"{given.count} samples cannot be judged: ask for at least 1.")
    built_in = given.model == EMOJI
    what = given.samples or (TROJANS if built_in else None)
    if built_in and given.stamped:
        raise InputError(f"--stamped is for a planted classifier in a folder: '{TROJANS}' are stamped already.")
    if what is None and given.model == PHOTOS and not given.stamped and given.take is None:
        from spade_widgets.demo import photos

        return [sample for sample in photos.samples() if sample.mask is not None][: given.count]
    if what is None:
        raise InputError(f"Say with --samples which images {classifier.name} is to be judged on.")
    if what in (TROJANS, PLAIN):
        if not built_in:
            raise InputError(f"Samples '{what}' are the emoji classifier's; name a folder for {classifier.name}.")
        if given.take is not None:
            raise InputError("--take chooses among a folder's images; samples made afresh have --sample-seed.")
        number = given.count or count
        seed: int = given.sample_seed
        return fresh.trojans(classifier, seed, number) if what == TROJANS else fresh.plain(seed, number)
    found = folder(Path(what), given.take)
    if not given.stamped:
        return found[: given.count]
    planted = planted_of(given)
    if planted is None:
        raise InputError(f"--stamped is for a planted classifier: {given.model} is none, name its folder as --model.")
    return planted.stamped(found, count=given.count, seed=given.sample_seed)


def folder(path: Path, slices: str | None) -> list[Sample]:
    """The images of a folder, or the one, with their masks."""
    import numpy as np

    from spade_widgets.sample import Sample, list_sources, log

    sources = [s for s in list_sources(path) if not str(s).endswith(MASK)]
    found, failed = [], []
    for source in sources if slices is None else taken(sources, slices):
        try:
            sample = Sample.read(source)
            mask = mask_of(Path(str(source)))
            if mask.exists():
                sample = Sample.read(sample, mask=np.asarray(Sample.read(mask).image.convert("L")) > 127)
        except InputError as error:
            failed.append(error)
            log.warning("%s '%s' is left out.", error, Path(str(source)).name)
            continue
        found.append(sample)
    if failed and not found:
        raise failed[0]
    if not found:
        raise InputError(f"No image of '{path}' is left by --take {slices}.")
    return found


def mask_of(image: Path) -> Path:
    """Where an image's mask is: beside it, under its own whole name up to the suffix."""
    return image.with_name(image.stem + MASK)


def taken(items: Sequence[T], slices: str) -> list[T]:
    """The items that any of the slices takes, in their order."""
    places: set[int] = set()
    for text in slices.split(","):
        parts = text.strip().split(":")
        try:
            numbers = [int(p) if p.strip() else None for p in parts]
            if not 2 <= len(numbers) <= 3:
                raise ValueError
            places.update(range(len(items))[slice(*numbers)])
        except ValueError:
            raise InputError(f"'{text}' is no slice: write start:stop or start:stop:step, such as 0:16.") from None
    return [items[i] for i in sorted(places)]


def plan_of(given: argparse.Namespace, classifier: ImageClassifier) -> tuple[SparsityPlan, PlanFile]:
    """The plan for the classifier, and the file that it is from, which says what it was tuned on."""
    from spade_widgets.demo import emoji
    from spade_widgets.evidence.plan_file import PlanFile
    from spade_widgets.pruning.plans.plan import SparsityPlan

    if given.plan is not None:
        if given.sparsity is not None or given.layers is not None:
            raise InputError("Give either --plan, or --sparsity and --layers.")
        file = PlanFile.read(given.plan)
        return SparsityPlan.check(classifier, file.plan), file
    if given.model == EMOJI and given.sparsity is None and given.layers is None:
        return SparsityPlan.check(classifier, emoji.PLAN), PlanFile(emoji.PLAN)
    sparsity = 0.95 if given.sparsity is None else given.sparsity
    plan = SparsityPlan.uniform(classifier, sparsity, given.layers)
    return plan, PlanFile(plan.sparsities)


def methods_of(names: Sequence[str]) -> tuple[str, ...]:
    """The methods' names: `paper` stands for the paper's ten, `all` for all there are."""
    from spade_widgets.attribution.methods import METHODS

    groups = {"paper": PAPER, "all": list(METHODS)}
    return tuple(dict.fromkeys(name for given in names for name in groups.get(given, [given])))
