"""The same classifier with other weights."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from spade_widgets.classifier import ImageClassifier
from spade_widgets.errors import ModelError


def renewed(
    classifier: ImageClassifier, state: Mapping[str, Tensor], name: str, class_names: Sequence[str] | None = None
) -> ImageClassifier:
    """A copy of a classifier with storage of its own and these weights, in its own type.

    Raises:
        ModelError: if they do not fit.
    """
    with torch.inference_mode(False):  # whose tensors could not be written into
        module = copy.deepcopy(classifier.module())
        try:
            module.load_state_dict(dict(state))
        except RuntimeError as error:
            said = " ".join(str(error).split())[:200].rstrip(".")
            raise ModelError(f"These weights do not fit {classifier.name}: {said}.") from error
    names = classifier.class_names if class_names is None else class_names
    # Whatever the preprocessing is, the copy sees the same.
    return ImageClassifier(module, class_names=names, preprocess=classifier._preprocess, name=name)
