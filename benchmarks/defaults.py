"""Which layers, how sparse, over how many augmentations: what the defaults were chosen by.

    python benchmarks/defaults.py PLANTED --samples FOLDER --take 0:10

PLANTED is what `spade-widgets plant` wrote; the photographs are stamped with its patches, and those that it was trained
with are left out. Each row is a setting of `sw.trace` with `refined`: how often the trace names the dense network's
class, its KL, and the Trojan AUC of three gradient methods. Choose by photographs that no result is reported on.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path

import numpy as np

import spade_widgets as sw
from spade_widgets.cli_options import taken
from spade_widgets.evidence import trojan_auc
from spade_widgets.evidence.planting import Planted
from spade_widgets.prediction import Network
from spade_widgets.pruning.plans.plan import SparsityPlan
from spade_widgets.pruning.progress import finish
from spade_widgets.pruning.spade import trace_steps
from spade_widgets.sample import Sample, list_sources

METHODS = ("saliency", "input_x_gradient", "integrated_gradients")
#: (preset, augmentations) → the sparsities that are tried.
SETTINGS: dict[tuple[str, int], tuple[float, ...]] = {
    ("third", 128): (0.8, 0.9, 0.95, 0.98),
    ("third", 32): (0.9, 0.95),
    ("third", 64): (0.95,),
    ("third", 256): (0.9,),
    ("late", 128): (0.8, 0.9, 0.95),
    ("all", 128): (0.8, 0.9),
}


def networks(classifier: sw.ImageClassifier, sample: Sample, solver: str) -> Iterator[tuple[str, Network]]:
    """The dense network, then a trace of each setting, by what it is called in the table."""
    yield "dense", classifier
    for (preset, augmentations), sparsities in SETTINGS.items():
        plans = [SparsityPlan.preset(classifier, sparsity, preset) for sparsity in sparsities]
        for sparsity, trace in zip(
            sparsities, finish(trace_steps(classifier, sample, plans, solver, augmentations, 0)), strict=True
        ):
            yield f"{preset}, {sparsity:g}, {augmentations}", trace


def main() -> None:
    """Print the table, photograph by photograph."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("planted", type=Path)
    parser.add_argument("--samples", type=Path, required=True, help="a folder of photographs")
    parser.add_argument("--take", default="0:12", help="which of those that it was not trained with (slices)")
    parser.add_argument("--solver", default="refined")
    given = parser.parse_args()
    planted = Planted.load(given.planted)
    classifier = planted.classifier
    unseen = planted.unseen([Sample.read(source) for source in list_sources(given.samples)])
    rows: dict[str, list[list[float]]] = {}
    for sample in planted.stamped(taken(unseen, given.take)):
        said, mask = sw.predict(classifier, sample, top=1)[0].index, classifier.view_mask(sample)
        for name, network in networks(classifier, sample, given.solver):
            agreement = getattr(network, "agreement", None)
            keeps, kl = (1.0, 0.0) if agreement is None else (float(agreement.agrees), agreement.kl)
            aucs = [trojan_auc(sw.saliency(network, sample, said, method), mask) for method in METHODS]
            rows.setdefault(name, []).append([keeps, kl, *aucs])
        print(f"{len(rows['dense'])} photographs", flush=True)
        table(rows)


def table(rows: dict[str, list[list[float]]]) -> None:
    """What is known so far, as Markdown."""
    print("| layers, sparsity, augmentations | keeps class | KL | " + " | ".join(METHODS) + " |")
    print("|---" * (3 + len(METHODS)) + "|")
    for name, values in rows.items():
        keeps, kl, *aucs = np.mean(values, axis=0)
        print(f"| {name} | {keeps:.0%} | {kl:.2f} | " + " | ".join(f"{auc:.3f}" for auc in aucs) + " |")


if __name__ == "__main__":
    main()
