"""Try every saliency method on torchvision's families, and write what came out: `python scripts/saliency_methods.py`.

Random weights, in a first table as torchvision initialises them and in a second one as if trained, with biases and
batch norms' statistics; images as small as the architecture takes them. Some members of each family; with names as
arguments only these are tried, and only printed. (`classifiers.py` tries traces and visualizations, on every
classifier.)
"""

from __future__ import annotations

import argparse
import gc
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torchvision
from PIL import Image
from torch import Tensor, nn
from torchvision.transforms._presets import ImageClassification

import spade_widgets as sw
from spade_widgets.attribution import METHODS
from spade_widgets.attribution.methods.cams import last_map
from spade_widgets.attribution.methods.query import Query
from spade_widgets.attribution.promise import SumWarning
from spade_widgets.classifier import ImageClassifier
from spade_widgets.demo import emoji
from spade_widgets.errors import ModelError
from spade_widgets.sample import Sample

TABLE = Path(__file__).parents[1] / "docs" / "SALIENCY.md"
BUILT_IN = "built-in"
FAMILIES: dict[str, tuple[str, ...]] = {
    "built-in": (BUILT_IN,),
    "AlexNet": ("alexnet",),
    "VGG": ("vgg11", "vgg11_bn"),
    "SqueezeNet": ("squeezenet1_0", "squeezenet1_1"),
    "ResNet": ("resnet18", "resnet50"),
    "ResNeXt, Wide ResNet": ("resnext50_32x4d", "wide_resnet50_2"),
    "DenseNet": ("densenet121", "densenet169"),
    "GoogLeNet": ("googlenet",),
    "Inception": ("inception_v3",),
    "MobileNetV2": ("mobilenet_v2",),
    "MobileNetV3": ("mobilenet_v3_small", "mobilenet_v3_large"),
    "MNASNet": ("mnasnet0_5", "mnasnet1_0"),
    "ShuffleNetV2": ("shufflenet_v2_x0_5", "shufflenet_v2_x1_0"),
    "EfficientNet": ("efficientnet_b0", "efficientnet_v2_s"),
    "RegNet": ("regnet_x_400mf", "regnet_y_400mf"),
    "ConvNeXt": ("convnext_tiny",),
    "ViT": ("vit_b_32",),
    "Swin": ("swin_t", "swin_v2_t"),
    "MaxViT": ("maxvit_t",),
}
#: Left out of the first table: at 224 px it takes many minutes.
LEFT_OUT = ("maxvit_t",)
#: The smallest image whose last feature map is larger than 1 × 1; of the others, 64 px.
SIZES = {"inception": 160, "maxvit": 224, "vit": 224}
CLASSES = 20
#: What makes the slow methods quick. (Of IntegratedGradients the steps stay: they decide its error.)
QUICK: dict[str, dict[str, Any]] = {
    "lime": {"samples": 48, "segments": 9},
    "occlusion": {"window": 24, "stride": 20},
    "gradient_shap": {"samples": 4},
    "smoothgrad": {"samples": 4},
}
SHORT = {
    "saliency": "Saliency", "input_x_gradient": "I×G", "deeplift": "DeepLIFT", "lrp": "LRP", "guided_backprop": "GBP",
    "guided_gradcam": "GGC", "lime": "LIME", "occlusion": "Occl.", "integrated_gradients": "IG",
    "gradient_shap": "GSHAP", "gradcam": "GradCAM", "scorecam": "Score-CAM", "smoothgrad": "SmoothG.",
}  # fmt: skip

INTRODUCTION = """# Saliency methods on torchvision's families

All thirteen methods of `sw.saliency` on members of each family of torchvision {version} and on the built-in classifier.
torchvision's have random weights here; images are 64 px where the architecture takes them.
`.venv/bin/python scripts/saliency_methods.py` makes this page; `make test` checks three of these, `make test-rare`
three more, and on one member of each convolutional family the methods that have rules for each operation;
`make test-all` checks all of it.

✓: a finite map that is not the same everywhere, of the size that the model sees, and the model left as it was: tensors,
hooks, flags. 0: the map is the same everywhere: a class activation map for six classes, since no place of the last
feature map speaks for one, as may be where nothing was learnt; another method's where the logits do not move in
float32, since an untrained network's signals vanish on their way or its last layer is initialised with zeros. –: the
method does not apply, and says so in the sentence below. Three methods promise what their map sums to; for those the
table says how far off it is:

- **LRP**: the logit; the error as a share of it. (Biases hand on what they add; with `bias="absorbing"` they keep it.)
- **DeepLIFT**: what the logit differs by from that of the baseline, the mean colour; the error as a share of that.
- **IG**, integrated gradients: the same, from black, by a numerical integral of 50 steps; the error as a share of
  Σ|map|, since an untrained network's difference may happen to be near zero. More `steps` make it smaller.

GBP is guided backpropagation, GGC guided GradCAM, I×G input × gradient, GSHAP GradientSHAP. **Map** is the layer whose
output the three class activation maps take unless `layer=` names another.
"""
TITLES = {
    True: "As torchvision initialises them",
    False: "As if trained: with biases, and batch norms with the statistics of a few images",
}
HEADER = """
## {title}

| classifier | {methods} | map |
|---|{rules}|---|
"""


@dataclass(frozen=True)
class Row:
    """What came out for one classifier.

    Attributes:
        name: of the classifier.
        refused: method → the sentence that says why it cannot be applied.
        empty: methods whose map is zero for all of six classes.
        sums: method → (the map's sum, what it should be, the sum of its magnitudes).
        layer: whose output is the last feature map; None where there is none.
    """

    name: str
    refused: Mapping[str, str]
    empty: tuple[str, ...]
    sums: Mapping[str, tuple[float, float, float]]
    layer: str | None

    @property
    def errors(self) -> dict[str, float]:
        """Method → how far the map's sum is off, as the page says."""
        return {
            method: abs(found - whole) / ((magnitudes if method == "integrated_gradients" else abs(whole)) or 1)
            for method, (found, whole, magnitudes) in self.sums.items()
        }


def build(name: str, own: bool = False) -> ImageClassifier:
    """A classifier with random weights, the same each time.

    Args:
        own: whether they are torchvision's own; else its signals neither vanish nor explode.
    """
    if name == BUILT_IN:
        return emoji.classifier()
    size = next((size for start, size in SIZES.items() if name.startswith(start)), 64)
    options: dict[str, Any] = {"num_classes": CLASSES}
    if name in ("googlenet", "inception_v3"):
        options |= {"init_weights": False, "aux_logits": False}
    with torch.random.fork_rng(devices=[]), warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)
        torch.manual_seed(0)
        net = torchvision.models.get_model(name, weights=None, **options).eval()
        preprocess = ImageClassification(crop_size=size, resize_size=size)
        if not own:
            classifier = ImageClassifier(net, preprocess=preprocess, name=name)
            enliven(net, classifier.prepare(photograph()) + 0.3 * torch.randn(4, 3, size, size))
    return ImageClassifier(net, preprocess=preprocess, name=name)


@torch.no_grad()
def enliven(net: nn.Module, images: Tensor) -> None:
    """Give a network biases, and its batch norms statistics, as if it had been trained."""
    for name, parameter in net.named_parameters():
        if name.endswith("bias"):
            parameter.uniform_(-0.3, 0.3)
        elif "layer_scale" in name:
            parameter.uniform_(0.2, 0.4)
        elif name.startswith("heads") and not parameter.any():  # a transformer's head starts from nothing
            nn.init.normal_(parameter, std=0.02)
    norms = [part for part in net.modules() if isinstance(part, nn.BatchNorm2d)]
    for norm in norms:
        norm.weight.uniform_(0.5, 1.5)
        norm.weight[::3] *= -1  # trained networks have these too
        norm.reset_running_stats()
        norm.momentum = None
        norm.train()
    if norms:
        net(images)
    net.eval()


def photograph() -> Sample:
    """Noise in patches with a bright square: something at every scale, without a file."""
    draws = np.random.default_rng(0)
    pixels = np.kron(draws.random((8, 8, 3)), np.ones((32, 32, 1))) * 200 + draws.random((256, 256, 3)) * 55
    pixels[64:128, 64:128] = (250, 220, 40)
    return Sample(Image.fromarray(pixels.astype(np.uint8)), "noise")


def state(model: nn.Module) -> list[Any]:
    """All that a method could leave changed in a model: tensors, flags, gradients, hooks, parts."""
    found: list[Any] = []
    for name, part in model.named_modules():
        hooks = {key: len(value) for key, value in vars(part).items() if "hooks" in key and value}
        found.append((name, id(part), type(part), part.training, hooks, sorted(vars(part))))
    for name, tensor in [*model.named_parameters(), *model.named_buffers()]:
        found.append((name, id(tensor), tensor.requires_grad, tensor.grad, tensor._version, tensor.data_ptr()))
    return found


def check(name: str, own: bool = False) -> Row:
    """Every method on one classifier, as `build` makes it.

    Raises:
        AssertionError, SpadeError: if something does not come out as it should.
    """
    classifier, sample = build(name, own), photograph()
    if name == BUILT_IN:
        sample = next(s for s in emoji.samples() if s.mask is not None)
    model = classifier._model
    before, weights = state(model), {key: value.clone() for key, value in model.state_dict().items()}
    target = sw.predict(classifier, sample)[0].index
    query = Query(classifier, classifier.prepare(sample), target, 0)
    whole = {
        "lrp": logit(query, query.x),
        "deeplift": logit(query, query.x) - logit(query, query.baseline("mean")),
        "integrated_gradients": logit(query, query.x) - logit(query, query.baseline("black")),
    }
    refused, sums, empty = {}, {}, []
    for method in METHODS:
        # A class activation map that is positive nowhere is zero: then another class.
        classes = [target, *range(5)] if "cam" in method else [target]
        for index in classes:
            try:
                found = sw.saliency(classifier, sample, index, method, **QUICK.get(method, {}))
            except ModelError as error:
                said = str(error).replace(classifier.name, "it")
                refused[method] = said[0].upper() + said[1:]
                break
            assert found.shape == classifier.input_size, (method, found.shape)
            assert np.isfinite(found).all(), method
            if found.std() > 0:
                break
        else:
            assert own or "cam" in method, f"{method} is the same everywhere on {name}"
            empty.append(method)
        if method in whole and method not in refused:
            values = found.astype(np.float64)
            sums[method] = float(values.sum()), whole[method], float(np.abs(values).sum())
    assert state(model) == before, name
    for key, value in model.state_dict().items():
        assert torch.equal(value, weights[key]), (name, key)
    try:
        layer = last_map(query)
    except ModelError:
        layer = None
    return Row(name, refused, tuple(empty), sums, layer)


def logit(query: Query, x: Tensor) -> float:
    """The class's logit on an image, in float64."""
    with torch.no_grad():
        return float(query.network.module().double()(x.double())[0, query.target])


def line(row: Row, notes: list[str]) -> str:
    """The table's line; sentences are numbered."""
    cells = []
    for method in METHODS:
        if method in row.refused:
            if row.refused[method] not in notes:
                notes.append(row.refused[method])
            cells.append(f"– [{notes.index(row.refused[method]) + 1}]")
        elif method in row.empty:
            cells.append("0")
        else:
            cells.append(f"{row.errors[method]:.0e}" if method in row.errors else "✓")
    return f"| {row.name} | {' | '.join(cells)} | {f'`{row.layer}`' if row.layer else '–'} |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", help="which; some of each family, and the page is written, by default")
    options = parser.parse_args()
    torch.set_num_threads(1)
    warnings.simplefilter("ignore", SumWarning)  # the table says how far a sum is off
    notes: list[str] = []
    page = INTRODUCTION.format(version=torchvision.__version__.partition("+")[0])
    for own, title in TITLES.items():
        page += HEADER.format(
            title=title,
            methods=" | ".join(SHORT[method] for method in METHODS),
            rules="|".join("---" for _ in METHODS),
        )
        for name in options.names or [member for members in FAMILIES.values() for member in members]:
            if own and (name == BUILT_IN or (name in LEFT_OUT and not options.names)):
                continue
            made = line(check(name, own), notes)
            print(made, flush=True)
            page += made + "\n"
            gc.collect()
    said = "".join(f"\n[{number}] {note}\n" for number, note in enumerate(notes, 1))
    print(said)
    if not options.names:
        TABLE.write_text(page + said, encoding="utf-8")


if __name__ == "__main__":
    main()
