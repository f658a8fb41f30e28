"""Plans: which layers are pruned, and how much (SPADE, section 4 and appendix; the presets)."""

from __future__ import annotations

import fnmatch
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from torch import Tensor, nn

from spade_widgets.classifier import ImageClassifier
from spade_widgets.errors import InputError
from spade_widgets.network.weights import weight
from spade_widgets.pruning.solvers import check_sparsity

#: Layer names or patterns: `"fc"`, `"layer4.*"`, `"layer4.*, fc"`, or a list of such. A name also means all below it.
Patterns: TypeAlias = str | Sequence[str]

#: The sparsity at which a preset with numbers of its own has just these numbers (the paper's).
NOMINAL = 0.95


@dataclass(frozen=True)
class SparsityPlan:
    """Layer name → sparsity in [0, 1). Layers that are not named stay dense."""

    sparsities: Mapping[str, float]

    def __post_init__(self) -> None:
        object.__setattr__(self, "sparsities", {n: check_sparsity(s) for n, s in self.sparsities.items()})

    def __hash__(self) -> int:
        return hash(frozenset(self.sparsities.items()))

    @property
    def layers(self) -> tuple[str, ...]:
        """The layers that the plan names, in its order."""
        return tuple(self.sparsities)

    @staticmethod
    def uniform(classifier: ImageClassifier, sparsity: float, layers: Patterns | None = None) -> SparsityPlan:
        """One sparsity for all layers that match; by default those of the preset `DEFAULT`.

        Raises:
            InputError: if the sparsity is outside [0, 1), or a pattern matches no layer that can be pruned.
        """
        if layers is None:
            return preset(DEFAULT).plan(classifier, sparsity)
        value = check_sparsity(sparsity)
        return SparsityPlan(dict.fromkeys(matching(classifier.prunable(), layers), value))

    @staticmethod
    def preset(classifier: ImageClassifier, sparsity: float, key: str) -> SparsityPlan:
        """The plan of a preset (`PRESETS`) at a sparsity. See `Preset.plan`.

        Raises:
            InputError: if there is no such preset, its layers are missing, or the sparsity is outside [0, 1).
        """
        return preset(key).plan(classifier, sparsity)

    @staticmethod
    def check(classifier: ImageClassifier, sparsities: Mapping[str, float]) -> SparsityPlan:
        """A plan of the user's own numbers; keys are layer names or patterns, later ones overrule earlier ones.

        Raises:
            InputError: as `uniform`.
        """
        names = classifier.prunable()
        chosen: dict[str, float] = {}
        for pattern, sparsity in sparsities.items():
            chosen |= dict.fromkeys(matching(names, pattern), check_sparsity(sparsity))
        return SparsityPlan({n: chosen[n] for n in names if n in chosen})


@dataclass(frozen=True)
class Preset:
    """A named choice of layers.

    Attributes:
        key, title, description: its name in code, on screen, and what it does in a sentence.
        weights: pattern → the layers' sparsity at the nominal one; None stands for layers that are found in the
            classifier's own structure (`third`, `late`, `body`).
        needs: a layer that the classifier must have for the preset to be offered.
    """

    key: str
    title: str
    description: str
    weights: Mapping[str, float] | None = None
    needs: str | None = None

    def fits(self, classifier: ImageClassifier) -> bool:
        """Whether the preset's layers are there."""
        return self.needs is None or self.needs in classifier.prunable()

    def plan(self, classifier: ImageClassifier, sparsity: float) -> SparsityPlan:
        """The plan at a sparsity.

        A preset with numbers of its own keeps their proportions: a layer that keeps a share k of its weights at the
        nominal 0.95 keeps k to the power log(1 − sparsity) / log(0.05), so that 0 is dense and 0.95 is the paper's.

        Raises:
            InputError: if the sparsity is outside [0, 1), or the classifier lacks the layers.
        """
        value = check_sparsity(sparsity)
        if not self.fits(classifier):
            raise InputError(f"The preset '{self.key}' needs a layer '{self.needs}', which {classifier.name} has not.")
        if self.weights is None:
            return SparsityPlan(dict.fromkeys(_MADE[self.key](classifier), value))
        return SparsityPlan.check(classifier, {p: scaled(s, value) for p, s in self.weights.items()})


def scaled(nominal: float, sparsity: float) -> float:
    """A layer's sparsity when the whole is asked for at `sparsity` instead of the nominal one. See `Preset.plan`."""
    if nominal == NOMINAL:
        return sparsity
    if sparsity == NOMINAL:  # to the last bit
        return nominal
    if sparsity == 0 or nominal == 0:
        return 0.0
    # Kept shares multiply, so they are scaled in their logarithm.
    power = _log_kept(sparsity) / _log_kept(NOMINAL)
    return min(float(1 - (1 - nominal) ** power), math.nextafter(1, 0))


#: The preset of a classifier that has no plan of its own.
DEFAULT = "third"

PRESETS: tuple[Preset, ...] = (
    Preset(
        "third",
        "last third",
        "The last third of the blocks and what follows; all before them stays dense, and so do depthwise convolutions.",
    ),
    Preset(
        "late",
        "last block and head",
        "The last block and the classifier head; all before them stays dense, and so do depthwise convolutions.",
    ),
    Preset("all", "all but the stem", "Every convolutional and linear layer but the first one."),
    Preset(
        "paper-visualization",
        "paper: visualization",
        "SPADE's ResNet-50 plan for feature visualization: layer3.4, layer3.5, layer4 and fc.",
        {"layer3.4": 0.95, "layer3.5": 0.95, "layer4": 0.95, "fc": 0.95},
        needs="layer3.5.conv3",
    ),
    Preset(
        "paper-saliency",
        "paper: saliency",
        "SPADE's ResNet-50 plan for saliency maps, tuned by its authors block by block.",
        {
            "fc": 0.95, "layer4": 0.95, "layer3.5": 0.0, "layer3.4": 0.0, "layer3.3": 0.8, "layer3.2": 0.9,
            "layer3.1": 0.8, "layer3.0": 0.8, "layer2.3": 0.95, "layer2.2": 0.99, "layer2.1": 0.0, "layer2.0": 0.2,
            "layer1.2": 0.0, "layer1.1": 0.8, "layer1.0": 0.2,
        },
        needs="layer3.5.conv3",
    ),
)  # fmt: skip


def preset(key: str) -> Preset:
    """A preset by its key.

    Raises:
        InputError: if there is none.
    """
    for candidate in PRESETS:
        if candidate.key == key:
            return candidate
    raise InputError(f"There is no preset '{key}': {', '.join(repr(p.key) for p in PRESETS)} can be chosen.")


def head(classifier: ImageClassifier) -> str | None:
    """The layer whose rows are the class logits: the last one, where it has as many rows as there are classes."""
    name = classifier.prunable()[-1]
    rows = weight(classifier.module(), name).shape[0]
    return name if rows == len(classifier.class_names) else None


def third(classifier: ImageClassifier) -> tuple[str, ...]:
    """The last third of the blocks and all that follows the first of them, the head included; without blocks, of the
    layers.

    On a ResNet-50 these are the layers of the paper's plan for feature visualization: five blocks of 16. On real
    networks with planted Trojans traces of these layers show what decided, where those of `late` change next to nothing
    (docs/RESULTS.md). For what a block is, and why depthwise convolutions stay dense, see `late`.
    """
    starts = sorted(_starts(classifier))
    names = classifier.prunable()
    first = starts[-max(1, round(len(starts) / 3))] if starts else len(names) - max(1, round(len(names) / 3))
    return _from(classifier, first)


def late(classifier: ImageClassifier) -> tuple[str, ...]:
    """The last block and all that follows it, the head included; the last three layers of a network without blocks.

    A block is the outermost module that is no mere container and holds two or more of the layers, but not most of
    them: `layer4.2` of a ResNet-50, `features.17` of a MobileNetV2, `inception5b` of a GoogLeNet.

    Depthwise convolutions stay dense. They are few weights, and no others can stand in for them: MobileNetV2's last one
    has 9 in each channel, 0.4 % of the weights of its block and head. Pruned along with these it raises the KL of the
    trace at sparsity 0.8 from 0.08 to 0.50 (medians over photographs).
    """
    starts = _starts(classifier)
    return _from(classifier, max(starts) if starts else max(0, len(classifier.prunable()) - 3))


def _starts(classifier: ImageClassifier) -> list[int]:
    """The number of each block's first layer."""
    names = classifier.prunable()
    return [min(map(names.index, members)) for members in blocks(classifier)]


def _from(classifier: ImageClassifier, first: int) -> tuple[str, ...]:
    """The layers from a number on; depthwise ones only where there are no others."""
    module, chosen = classifier.module(), classifier.prunable()[first:]
    return tuple(name for name in chosen if not _depthwise(weight(module, name))) or tuple(chosen)


def blocks(classifier: ImageClassifier) -> list[list[str]]:
    """The layers of each block of the network; layers outside of blocks are in none. For what a block is see `late`."""
    return list(_blocks(classifier.module(), "", classifier.prunable()))


def _blocks(module: nn.Module, name: str, names: Sequence[str]) -> Iterator[list[str]]:
    for child_name, child in module.named_children():
        path = f"{name}.{child_name}" if name else child_name
        members = [n for n in names if n.startswith(f"{path}.")]
        # A module around a list (MaxViT's blocks) is as mere a container as the list itself.
        inside = [part for part in child.children() if any(True for _ in part.parameters())]
        listed = len(inside) == 1 and isinstance(inside[0], nn.ModuleList)
        container = listed or isinstance(child, nn.Sequential | nn.ModuleList | nn.ModuleDict)
        if container or len(members) > max(4, len(names) // 3):
            yield from _blocks(child, path, names)
        elif len(members) > 1:
            yield members


def _depthwise(weight: Tensor) -> bool:
    """Whether each row of a convolution sees one channel alone."""
    return weight.ndim > 2 and weight.shape[1] == 1 < weight.shape[0]


def body(classifier: ImageClassifier) -> tuple[str, ...]:
    """Every layer but the stem, which is the first one."""
    return classifier.prunable()[1:]


_MADE = {"third": third, "late": late, "all": body}


def matching(names: Sequence[str], patterns: Patterns) -> tuple[str, ...]:
    """The names that match any of the patterns, in the names' order.

    Raises:
        InputError: if a pattern matches none of them.
    """
    given = patterns.split(",") if isinstance(patterns, str) else list(patterns)
    found: set[str] = set()
    for pattern in (p.strip() for p in given):
        hits = {n for n in names if fnmatch.fnmatchcase(n, pattern) or n.startswith(f"{pattern}.")}
        if not hits:
            ends = ", ".join(f"'{n}'" for n in names[-3:])
            raise InputError(f"No layer that can be pruned matches '{pattern}'; the last ones are {ends}.")
        found |= hits
    return tuple(n for n in names if n in found)


def _log_kept(sparsity: float) -> float:
    return math.log(1 - sparsity)
