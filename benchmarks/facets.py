"""Whether the facets that are found are the ones that are there, and whether a facet's picture shows it.

    python benchmarks/facets.py found PHOTOS … [--seed 202]
    python benchmarks/facets.py pictures PHOTOS … --reader WEIGHTS [--seed 202] [--classifier emoji|photographs]

`found`: adjusted Rand index of the facets of the emoji classifier's logits and late channels with the objects on their
examples, and of the planted photograph classifier's target classes with which examples are stamped; then how often what
has one facet is split: examples of one object alone, and data without groups. `pictures`: a network that took no part
says which of a neuron's two facets a picture belongs to. It sees other images of each facet than the traces did.
PHOTOS: folders of ImageNet photographs; those that Trojans were planted with are left out. Seed 101 was for tuning.
"""

from __future__ import annotations

import argparse
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from typing import Any, Literal

import numpy as np
import torch
import torch.nn.functional as F
from PIL.Image import Image
from sklearn.metrics import adjusted_rand_score
from torch import Tensor

import spade_widgets as sw
from spade_widgets.classifier import ImageClassifier
from spade_widgets.demo import emoji, photos
from spade_widgets.demo.emoji.fresh import plain
from spade_widgets.evidence.bootstrap import Interval, interval
from spade_widgets.evidence.reading.reader import Features, Reader, centred, similarities
from spade_widgets.inspection.examples import Index
from spade_widgets.inspection.facets import Facets, facets
from spade_widgets.inspection.facets.grouping import (
    clusters,
    coordinates,
    distances,
    group,
    silhouette_of,
)
from spade_widgets.inspection.facets.reached import what_reached
from spade_widgets.pruning.progress import finish
from spade_widgets.sample import Sample, read_samples

LAYERS = ("layer4.0", "layer4.0.conv2", "layer4.0.conv1")
#: Of a hidden layer's channels every so many-th is asked; of stamped photographs so many are mixed with the clean ones.
EVERY, STAMPED = 32, 32
#: Data without groups that are made of the rows of each logit.
NULLS = 6
TUNING = 101
AUGMENTATIONS, STEPS = 96, 96


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("part", choices=("found", "pictures"))
    parser.add_argument("photos", nargs="+", help="folders of photographs")
    parser.add_argument("--reader", help="a state dict of mobilenet_v2, for pictures")
    parser.add_argument("--seed", type=int, default=202)
    parser.add_argument("--classifier", choices=("emoji", "photographs"), help="default: both")
    options = parser.parse_args()
    torch.set_num_threads(1)
    started = time.perf_counter()
    if options.part == "found":
        found(options.photos, options.seed)
    else:
        reader = Reader(ImageClassifier.from_torchvision("mobilenet_v2", weights=options.reader))
        if options.classifier != "photographs":
            pictures("emoji", *emoji_pairs(options.seed), reader, {"plan": emoji.PLAN}, {"steps": STEPS})
        if options.classifier != "emoji":
            drawn = {"steps": 64, "size": 128}
            pictures("photographs", *photograph_pairs(options.photos, options.seed), reader, {"sparsity": 0.95}, drawn)
    print(f"\n{time.perf_counter() - started:.0f} s, {torch.get_num_threads()} thread(s)")


def found(folders: Sequence[str], seed: int) -> None:
    classifier, samples = emoji.classifier(), plain(seed, 400)
    index = finish(Index(classifier).build(samples))
    made = of_classes(index)
    print("| neurons | asked | adjusted Rand index, mean (least) | where several were found | one facet |")
    print("|---|---|---|---|---|")
    row("emoji classifier, logits", made, [truth(one) for one in made])
    of_logits, of_channels = [part for one in made for part in by_object(one)], []
    for layer in LAYERS:
        channels = range(0, classifier.layer(layer).channels, EVERY)
        asked = [index.examples(f"{layer}:{c}", 64) for c in channels]
        exciting = [e for e in asked if sum(example.value > 0 for example in e) >= 20]
        of_layer = [facets(classifier, e.neuron, (), examples=e) for e in exciting]
        row(f"emoji classifier, `{layer}`", of_layer, [truth(one) for one in of_layer])
        of_channels += [part for one in of_layer for part in by_object(one)]
    stamped = [(one, flags) for _, one, flags in planted(folders, seed)]
    row("photograph classifier, targets", [one for one, _ in stamped], [flags for _, flags in stamped])
    which_layer(folders)
    print("\n| without several facets | asked | split |\n|---|---|---|")
    split("logits' examples of one object", [group(rows, seed=seed).labels for rows in of_logits])
    split("channels' examples of one object", [group(rows, seed=seed, draws=39).labels for rows in of_channels])
    rng = np.random.default_rng(seed)
    permuted = [rng.permuted(one.reached, axis=0) for one in made for _ in range(NULLS)]
    split(
        "logits' examples, channels permuted", [group(rows, seed=i, draws=39).labels for i, rows in enumerate(permuted)]
    )


def of_classes(index: Index, count: int | Literal["auto"] = "auto") -> list[Facets]:
    """The facets of each class of the emoji classifier, of 40 examples: as many as there are of a class."""
    classifier = index.classifier
    asked = [index.examples(f"logit:{name}", 40) for name in classifier.class_names]
    return [facets(classifier, examples.neuron, (), count, examples=examples) for examples in asked]


def row(name: str, made: Sequence[Facets], truths: Sequence[Sequence[object]]) -> None:
    scores = [adjusted_rand_score(known, one.assignment) for one, known in zip(made, truths, strict=True)]
    several = [score for score, one in zip(scores, made, strict=True) if len(one) > 1]
    where = f"{np.mean(several):.2f} ({len(several)})" if several else "none"
    print(
        f"| {name} | {len(made)} | {np.mean(scores):.2f} ({min(scores):.2f}) | {where} | {len(made) - len(several)} |"
    )


def split(name: str, labels: Sequence[np.ndarray]) -> None:
    print(f"| {name} | {len(labels)} | {100 * np.mean([one.max() > 0 for one in labels]):.1f} % |", flush=True)


def truth(made: Facets) -> list[str]:
    """The object on each example: the emoji samples' titles begin with it."""
    return [example.title.rsplit(" ", 1)[0] for example in made.examples]


def by_object(made: Facets) -> Iterable[np.ndarray]:
    """What reached the neuron on the examples of one object, for each that has enough of them."""
    known = np.array(truth(made))
    return [made.reached[known == name] for name in np.unique(known) if (known == name).sum() >= 16]


def photographs(folders: Sequence[str], seed: int) -> list[Sample]:
    """Those that Trojans were not planted with, in an order of the seed: one half for tuning, the other to report."""
    every = photos.planted().unseen([sample for folder in folders for sample in read_samples(folder)])
    half = every[::2] if seed == TUNING else every[1::2]
    return [half[i] for i in np.random.default_rng(seed).permutation(len(half))]


def planted(folders: Sequence[str], seed: int) -> Iterator[tuple[str, Facets, list[bool]]]:
    """Each patch's target class, twice: photographs stamped with the patch, and as many of the others that excite it
    most.
    """
    known = photos.planted()
    for patch_name, patch in known.patches.items():
        for draw in range(2):
            kept = photographs(folders, seed)
            kept = kept[draw * STAMPED :] + kept[: draw * STAMPED]
            stamped = [known.stamp(s, patch_name, seed=i) for i, s in enumerate(kept[:STAMPED])]
            ids = {sample.id for sample in stamped}
            index = finish(Index(known.classifier).build([*stamped, *kept[STAMPED:]]))
            found = index.examples(f"logit:{patch.target}", 2 * STAMPED)
            made = facets(known.classifier, found.neuron, (), examples=found)
            yield patch_name, made, [example.id in ids for example in made.examples]


def which_layer(folders: Sequence[str]) -> None:
    """On the tuning seed: the inputs of the layer that computes the neuron, or of the layers before that one."""
    print("\n| tuning: inputs of | silhouette of the known facets | adjusted Rand index of as many groups |")
    print("|---|---|---|")
    classifier, samples = emoji.classifier(), plain(TUNING, 400)
    index = finish(Index(classifier).build(samples))
    asked = of_classes(index, 1)
    compare("emoji classifier", [(one, truth(one)) for one in asked], ("fc",))
    compare("photograph classifier", [(one, flags) for _, one, flags in planted(folders, TUNING)], ("classifier.1",))


def compare(name: str, made: Sequence[tuple[Facets, Sequence[object]]], head: tuple[str, ...]) -> None:
    for what, spare in (("the layer itself", ()), ("the layers before", head)):
        apart, scores = [], []
        for one, known in made:
            samples = [replace(example).sample for example in one.examples]
            points = coordinates(
                what_reached(one.classifier, one.neuron, samples, [e.place for e in one.examples], spare=spare)
            )
            labels = np.unique(known, return_inverse=True)[1]
            apart.append(silhouette_of(distances(points), labels))
            scores.append(adjusted_rand_score(labels, clusters(points, labels.max() + 1)))
        print(f"| {name}, {what} | {np.mean(apart):.2f} | {np.mean(scores):.2f} |", flush=True)


def emoji_pairs(seed: int) -> tuple[list[Facets], list[list[list[Sample]]]]:
    """The facets of each class of the emoji classifier, and other images of each facet."""
    classifier, samples, others = emoji.classifier(), plain(seed, 400), plain(seed + 1, 400)
    index = finish(Index(classifier).build(samples))
    made = of_classes(index, 2)
    held_out = []
    for one in made:
        known = np.array(truth(one))
        main = [Counter(known[one.assignment == i]).most_common(1)[0][0] for i in range(2)]
        held_out.append([[s for s in others if s.title.rsplit(" ", 1)[0] == name] for name in main])
    return made, held_out


def photograph_pairs(folders: Sequence[str], seed: int) -> tuple[list[Facets], list[list[list[Sample]]]]:
    """The two facets of each target class, and the examples of the other draw of photographs."""
    by_patch: dict[str, list[tuple[Facets, list[bool]]]] = {}
    for patch_name, one, flags in planted(folders, seed):
        by_patch.setdefault(patch_name, []).append((one, flags))
    made, held_out = [], []
    for draws in by_patch.values():
        for (one, flags), (other, others) in (draws, draws[::-1]):
            two = one if len(one) == 2 else one.regroup([np.flatnonzero(flags).tolist()])
            own = {example.id for example in one.examples}
            stamped = [np.mean([flags[i] for i in facet.members]) > 0.5 for facet in two]
            apart = [(e.sample, flag) for e, flag in zip(other.examples, others, strict=True) if e.id not in own]
            made.append(two)
            held_out.append([[sample for sample, flag in apart if flag == mine] for mine in stamped])
    return made, held_out


def pictures(
    name: str,
    made: Sequence[Facets],
    held_out: Sequence[Sequence[Sequence[Sample]]],
    reader: Reader,
    pruned: dict[str, Any],
    drawn: dict[str, Any],
) -> None:
    """Each facet's picture: which of the neuron's two facets does the reader take it for?"""
    classifier = made[0].classifier
    looks = [means(reader, classifier, samples) for of_one in held_out for samples in of_one]
    centred_looks = centred(tuple(torch.stack(layer) for layer in zip(*looks, strict=True)))
    shown: dict[str, list[Tensor]] = {}
    for number, one in enumerate(made):
        neuron = one.neuron
        draw = partial(sw.visualize, neuron=neuron, **drawn)
        dense = picture(draw(classifier))
        for place, facet in enumerate(one):
            how = {**pruned, "augmentations": AUGMENTATIONS}
            one_trace = sw.trace(classifier, facet.examples[0].sample, **how)
            shown.setdefault("dense", []).append(dense)
            shown.setdefault("a sample's trace", []).append(picture(draw(one_trace)))
            shown.setdefault("facet's trace", []).append(picture(draw(one.trace(place, **how))))
            print(f"  {name} {number + 1} of {len(made)}: {neuron}, facet {place}", flush=True)
    print(f"\n| {name} | taken for its own facet | facets |\n|---|---|---|")
    right = {}
    for condition, images in shown.items():
        alike = similarities(centred(reader.features(images)), centred_looks)
        leans = [float(alike[i, i] - alike[i, i ^ 1]) for i in range(len(images))]
        right[condition] = [float(lean > 0) + 0.5 * float(lean == 0) for lean in leans]
        print(f"| {condition} | {said(interval(right[condition]))} | {len(images)} |")
    both = zip(right["facet's trace"], right["a sample's trace"], strict=True)
    gained = [own - one for own, one in both]
    print(f"| facet's trace − a sample's | {said(interval(gained))} | {len(gained)} |", flush=True)


def means(reader: Reader, classifier: ImageClassifier, samples: Sequence[Sample]) -> Features:
    found = reader.features([classifier.view(sample) for sample in samples])
    return tuple(F.normalize(layer, dim=1).mean(0) for layer in found)


def picture(image: Image) -> Tensor:
    return torch.from_numpy(np.asarray(image, dtype=np.float32) / 255).permute(2, 0, 1).contiguous()


def said(one: Interval) -> str:
    return f"{100 * one.mean:.0f} % [{100 * one.low:.0f}, {100 * one.high:.0f}]"


if __name__ == "__main__":
    main()
