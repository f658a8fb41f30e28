"""The saliency methods, by key. A new one is a function in a file here and one entry in the registry.

May import: its parent's files, and what those may.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from spade_widgets.attribution.methods import cams, deeplift, gradients, lrp, perturbation
from spade_widgets.pruning.progress import Steps


@dataclass(frozen=True)
class Method:
    """One way to make a saliency map.

    Attributes:
        key: what it is called in code.
        title: what it is called on screen.
        description: what a value of the map is, and what was summed over the colours.
        source: the paper, and where the defaults come from.
        defaults: its options. Where there is `signed`, True asks for the signed sum over the colours in place of the
            largest magnitude; `bias="absorbing"` of LRP lets biases keep their share, as zennit does; `bfloat16`: see
            `logits_of_many`.
        slow: whether it runs the network on many images: a progress bar is in place.
        run: (query, **options) → steps that return the map (h, w).
        together: whether the image and its baseline go through the network at once, which must take each for itself.
        signed: whether values below zero speak against the class; else a map has none, unless its options ask for it.
    """

    key: str
    title: str
    description: str
    source: str
    defaults: Mapping[str, Any]
    slow: bool
    run: Callable[..., Steps[Tensor]]
    signed: bool = True
    together: bool = False


_STRONGEST = "; the largest magnitude over the colours."
_SUMMED = "; signed, summed over the colours."

_ALL = (
    Method(
        key="saliency",
        title="Saliency",
        description="The gradient of the class's logit" + _STRONGEST,
        source="Simonyan et al., 'Deep inside convolutional networks', 2014, section 3.",
        defaults={"signed": False},
        slow=False,
        run=gradients.saliency,
        signed=False,
    ),
    Method(
        key="input_x_gradient",
        title="Input × Gradient",
        description="The gradient times the normalised image" + _SUMMED,
        source="Shrikumar et al., 'Not just a black box', 2016.",
        defaults={},
        slow=False,
        run=gradients.input_x_gradient,
    ),
    Method(
        key="deeplift",
        title="DeepLIFT",
        description="What the logit differs by from the baseline's, by the rescale rule"
        + _SUMMED
        + " The map's sum is "
        "that difference.",
        source="Shrikumar et al., 'Learning important features through propagating activation differences', 2017; the "
        "baseline is captum's, zero after normalisation.",
        defaults={"baseline": "mean"},
        slow=False,
        run=deeplift.deeplift,
        together=True,
    ),
    Method(
        key="lrp",
        title="LRP",
        description="The share of the logit that goes back to a pixel"
        + _SUMMED
        + " The map's sum is the logit: biases keep nothing, what they add is shared among a layer's inputs or other "
        "outputs.",
        source="Bach et al., 'On pixel-wise explanations', 2015; zennit's composite EpsilonPlus with its ε of 1e-6 "
        "(Montavon et al., 'Layer-wise relevance propagation: an overview', 2019).",
        defaults={"composite": "epsilon_plus", "bias": "ignored"},
        slow=False,
        run=lrp.lrp,
    ),
    Method(
        key="guided_backprop",
        title="Guided backpropagation",
        description="The gradient of which every rectifier passes the positive part alone" + _STRONGEST,
        source="Springenberg et al., 'Striving for simplicity', 2015. It is defined for ReLUs; ReLU6, SiLU, GELU, "
        "Hardswish and their like are taken for such.",
        defaults={"signed": False},
        slow=False,
        run=gradients.guided_backprop,
        signed=False,
    ),
    Method(
        key="guided_gradcam",
        title="Guided GradCAM",
        description="GradCAM times guided backpropagation" + _STRONGEST,
        source="Selvaraju et al., 'Grad-CAM', 2017, section 3.2.",
        defaults={"layer": None, "signed": False},
        slow=False,
        run=cams.guided_gradcam,
        signed=False,
    ),
    Method(
        key="lime",
        title="LIME",
        description="What a superpixel adds to the class's probability, in a linear model of the network around the "
        "image; signed.",
        source="Ribeiro et al., 'Why should I trust you?', 2016: superpixels are greyed out (mean colour). Samples, "
        "kernel and ridge as in the authors' package (lime_image), which covers a superpixel with its own mean "
        "(cover='segment'): that hides nothing of a plain object. Superpixels by SLIC (Achanta et al. 2012, with its "
        "compactness of 10) in place of the package's quickshift.",
        defaults={
            "samples": 1000,
            "segments": 64,
            "compactness": 10.0,
            "kernel_width": 0.25,
            "ridge": 1.0,
            "cover": "mean",
            "output": "probability",
            "batch": None,
            "bfloat16": None,
        },
        slow=True,
        run=perturbation.lime,
    ),
    Method(
        key="occlusion",
        title="Occlusion",
        description="What the class's logit loses when a square is hidden: the mean over the squares that hide the "
        "pixel; signed.",
        source="Zeiler & Fergus, 'Visualizing and understanding convolutional networks', 2014; square and stride of "
        "captum's tutorial (15 and 8 px of 224, to scale on other sizes), under the mean colour.",
        defaults={
            "window": None,
            "stride": None,
            "baseline": "mean",
            "output": "logit",
            "batch": None,
            "bfloat16": None,
        },
        slow=True,
        run=perturbation.occlusion,
    ),
    Method(
        key="integrated_gradients",
        title="Integrated gradients",
        description="The gradient's mean on the way from the baseline, times the difference" + _SUMMED + " The map's "
        "sum is what the logit differs by from the baseline's.",
        source="Sundararajan et al., 'Axiomatic attribution for deep networks', 2017: a black image, 20 to 300 steps; "
        "captum's 50.",
        defaults={"steps": 50, "baseline": "black", "batch": None},
        slow=True,
        run=gradients.integrated_gradients,
    ),
    Method(
        key="gradient_shap",
        title="GradientSHAP",
        description="The gradient at a random point between a random baseline and the image, times the difference: the "
        "mean over many" + _SUMMED,
        source="Lundberg & Lee, 'A unified approach to interpreting model predictions', 2017; 50 samples as in "
        "captum's tutorial, without noise as in SHAP. Training images are not to be had, so the baselines are black, "
        "grey and white.",
        defaults={"samples": 50, "noise": 0.0, "baselines": ("black", "grey", "white"), "batch": None},
        slow=True,
        run=gradients.gradient_shap,
    ),
    Method(
        key="gradcam",
        title="GradCAM",
        description="The last feature map's channels, weighted by their mean gradient; never negative, drawn up "
        "bilinearly.",
        source="Selvaraju et al., 'Grad-CAM', 2017, equations 1 and 2.",
        defaults={"layer": None},
        slow=False,
        run=cams.gradcam,
        signed=False,
    ),
    Method(
        key="scorecam",
        title="Score-CAM",
        description="The last feature map's channels, weighted by the softmax of the logit that the image has under "
        "each of them as a mask; never negative, drawn up bilinearly.",
        source="Wang et al., 'Score-CAM', 2020, algorithm 1; the baseline is the mean colour.",
        defaults={"layer": None, "batch": None, "bfloat16": None},
        slow=True,
        run=cams.scorecam,
        signed=False,
    ),
    Method(
        key="smoothgrad",
        title="SmoothGrad",
        description="The mean gradient over noisy copies of the image" + _STRONGEST,
        source="Smilkov et al., 'SmoothGrad', 2017: 50 samples, noise of 15 % of the image's range.",
        defaults={"samples": 50, "noise": 0.15, "signed": False, "batch": None},
        slow=True,
        run=gradients.smoothgrad,
        signed=False,
    ),
)

METHODS: dict[str, Method] = {method.key: method for method in _ALL}
