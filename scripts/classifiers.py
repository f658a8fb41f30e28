"""Try every classifier of torchvision, and write what came out as a table: `python scripts/classifiers.py`.

Each is built with random weights, at the smallest input that it takes, and goes through all that a user would do with
it: a trace, a prediction under it, visualizations of a channel and of a class. One process a classifier, so that what
one takes in memory is given back; with names as arguments only these are tried, and only printed.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
import warnings
from collections import Counter
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
import torchvision
from PIL import Image
from torchvision.transforms._presets import ImageClassification

import spade_widgets as sw
from spade_widgets.classifier import ImageClassifier
from spade_widgets.network.products import NOT_REACHED
from spade_widgets.network.weights import weight
from spade_widgets.pruning.calibration.forms import LAYER_MEMORY
from spade_widgets.pruning.plans.plan import body, head, late
from spade_widgets.sample import Sample
from spade_widgets.visualization.renderer import Renderer

TABLE = Path(__file__).parents[1] / "docs" / "CLASSIFIERS.md"
OTHERWISE = ", which is neither a convolution nor a linear layer"
AUGMENTATIONS = 4
SPARSITY = 0.8
#: Parameters up to which all layers are pruned together, not the last block alone.
SMALL = 7_000_000

INTRODUCTION = """# torchvision's classifiers

Every classifier of torchvision {version} goes through a trace (the last block and the head at {sparsity:.0%} sparsity,
and in those of up to {small} million parameters every layer but the stem at once), a prediction under it, and
visualizations of a middle layer's channel and of a class, dense and sparse, with random weights at the smallest input
that the architecture takes. This table is what came out; `scripts/classifiers.py` makes it again, and `make test-all`
checks it.

- **layers** that can be pruned: convolutions (of which so many depthwise), linear layers, attention's packed
  projections.
- **covered** is their share of all parameters; the rest are biases, norms, and what is named under **stays dense**: all
  other weights of two or more dimensions, and what they are used by instead of a convolution or linear layer.
- **memory**: layers whose matrix H would take more than {memory} GiB. With few augmentations their inputs themselves
  are held, which loses nothing; with many, blocks of H.

| classifier | parameters | layers | covered | stays dense | memory | trace | visualization |
|---|---|---|---|---|---|---|---|
"""


@dataclass(frozen=True)
class Row:
    """What came out for one classifier: a row of the table. `seconds` is all of it together."""

    name: str
    parameters: int
    kinds: dict[str, int]
    covered: float
    left_dense: list[str]
    large: list[str]
    seconds: float

    def __str__(self) -> str:
        depthwise = f" ({self.kinds['depthwise']} depthwise)" if "depthwise" in self.kinds else ""
        names = {"convolution": f"convolution{depthwise}", "linear": "linear", "attention": "attention"}
        layers = ", ".join(f"{self.kinds[kind]} {name}" for kind, name in names.items() if kind in self.kinds)
        dense, large = "; ".join(self.left_dense) or "–", ", ".join(self.large) or "–"
        size = f"{self.parameters / 1e6:.1f} M"
        return f"| {self.name} | {size} | {layers} | {self.covered:.1%} | {dense} | {large} | ✓ | ✓ |"


def names() -> list[str]:
    """torchvision's classifiers."""
    return list(torchvision.models.list_models(module=torchvision.models))


def smallest(name: str) -> ImageClassifier:
    """A classifier with random weights, the same each time, at about the smallest input that it takes."""
    options = {}
    if name.startswith("vit"):
        size = 2 * int(name.rsplit("_", 1)[1])  # two patches by two
        options = {"image_size": size}
    elif name.startswith("maxvit"):
        size = 224  # its windows of 7 have to fit at each of its five scales
    else:
        size = 75 if name.startswith("inception") else 64
    with torch.random.fork_rng(devices=[]), warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # googlenet and inception: random weights are slow
        torch.manual_seed(0)
        model = torchvision.models.get_model(name, weights=None, **options)
        for parameter in model.parameters():
            if parameter.ndim > 1 and not parameter.any():  # a transformer's head starts from nothing
                torch.nn.init.normal_(parameter, std=0.02)
    preprocess = ImageClassification(crop_size=size, resize_size=size)
    return ImageClassifier(model, preprocess=preprocess, name=name)


def photograph() -> Sample:
    """Noise in patches: something at every scale, without a file."""
    generator = torch.Generator().manual_seed(0)
    noise = torch.rand(3, 8, 8, generator=generator).repeat_interleave(32, 1).repeat_interleave(32, 2)
    pixels = (noise * 200 + torch.rand(3, 256, 256, generator=generator) * 55).to(torch.uint8)
    return Sample(Image.fromarray(pixels.permute(1, 2, 0).numpy()))


def check(name: str) -> Row:
    """Everything that a user would do with a classifier.

    Raises:
        AssertionError, SpadeError: if something does not come out as it should.
    """
    began = time.monotonic()
    classifier, sample = smallest(name), photograph()
    before = classifier.digest
    layers = classifier.layers()
    middle = layers[len(layers) // 2]
    last = head(classifier)
    assert last == classifier.prunable()[-1], last
    # FastSPADE: what is tried is whether each layer can be pruned, not how well.
    how: dict[str, Any] = {"sparsity": SPARSITY, "solver": "fast", "augmentations": AUGMENTATIONS}
    trace = sw.trace(classifier, sample, layers=late(classifier), **how)
    assert len(trace.stats()) >= 3
    check_trace(trace, sample)
    check_visualizations(classifier, trace, f"{middle.name}:{middle.channels // 2}")
    if classifier.weights <= SMALL:
        whole = sw.trace(classifier, sample, layers=body(classifier), **how)
        assert set(whole.weights()) == set(body(classifier))
        check_trace(whole, sample)
    assert classifier.digest == before  # nothing has been written into the dense weights
    return describe(classifier, time.monotonic() - began)


def check_trace(trace: sw.Trace, sample: Sample) -> None:
    """Its zeros are there, and it predicts."""
    module = trace.module()
    for row in trace.stats():
        zeros = int((weight(module, row.name) == 0).sum())
        assert zeros == row.total - row.kept, row
        # The head keeps a floor in each row, and a layer of few weights at least one.
        assert row.name == trace.plan.layers[-1] or abs(zeros - SPARSITY * row.total) <= 1, row
        assert 0 <= row.error <= 1.001, row
    predictions = sw.predict(trace, sample)
    assert len(predictions) == 5
    assert all(0 <= p.probability <= 1 for p in predictions)


def check_visualizations(classifier: ImageClassifier, trace: sw.Trace, channel: str) -> None:
    """Two steps of a channel and of a logit, dense and sparse: the picture moves each time."""
    for network in (classifier, trace):
        for neuron in (channel, "logit:7"):
            renderer = Renderer(network, neuron)
            start = renderer.image()
            renderer.step()
            renderer.step()
            assert not renderer.dead, (neuron, network)
            assert not torch.equal(renderer.image(), start), neuron


def describe(classifier: ImageClassifier, seconds: float) -> Row:
    """What the classifier is made of."""
    module = classifier.module()
    weights = {name: weight(module, name) for name in classifier.prunable()}
    kinds = Counter[str]()
    for name, tensor in weights.items():
        packed = name.endswith("in_proj_weight")
        kinds["convolution" if tensor.ndim > 2 else "attention" if packed else "linear"] += 1
        if tensor.ndim > 2 and tensor.shape[1] == 1 < tensor.shape[0]:
            kinds["depthwise"] += 1
    left = Counter[str]()
    for name, why in classifier.left_dense().items():
        parts = name.split(".")
        left[f"`{parts[0] if why == NOT_REACHED else parts[-1]}` {{}}: {why.removesuffix(OTHERWISE)}"] += 1
    dense = [text.format(f"× {count}") if count > 1 else text.replace(" {}", "") for text, count in left.items()]
    large = [name for name, w in weights.items() if w[0].numel() ** 2 * 4 > LAYER_MEMORY]
    covered = sum(w.numel() for w in weights.values()) / classifier.weights
    return Row(classifier.name, classifier.weights, dict(kinds), covered, dense, large, seconds)


def table(rows: list[Row]) -> str:
    """The page."""
    version = torchvision.__version__.partition("+")[0]
    introduction = INTRODUCTION.format(
        version=version, sparsity=SPARSITY, small=SMALL // 1_000_000, memory=LAYER_MEMORY // 2**30
    )
    return introduction + "".join(f"{row}\n" for row in rows)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", help="which; all, and the table is written, where none is named")
    parser.add_argument("--here", action="store_true", help=argparse.SUPPRESS)  # in this process, the row as JSON
    options = parser.parse_args()
    torch.set_num_threads(1)
    if options.here:
        print(json.dumps(asdict(check(options.names[0]))))
        return
    rows, failed = [], []
    for name in options.names or names():
        run = subprocess.run([sys.executable, __file__, "--here", name], capture_output=True, text=True, check=False)
        if run.returncode:
            failed.append(name)
            print(f"{name}: {run.stderr}", file=sys.stderr)
            continue
        rows.append(Row(**json.loads(run.stdout.splitlines()[-1])))
        print(f"{rows[-1]} {rows[-1].seconds:.0f} s", flush=True)
    if failed:
        sys.exit(f"Failed: {', '.join(failed)}.")
    if not options.names:
        TABLE.write_text(table(rows), encoding="utf-8")


if __name__ == "__main__":
    main()
