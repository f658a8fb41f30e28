"""The code on screen: Python that anyone may paste, whatever the names in it."""

from __future__ import annotations

import ast
from typing import Any

import numpy as np
import pytest
from PIL import Image

from spade_widgets.classifier import ImageClassifier
from spade_widgets.runtime.session import Session
from spade_widgets.runtime.tracing import Pruning
from spade_widgets.sample import Sample
from spade_widgets.widgets.common.opening import Opened
from spade_widgets.widgets.common.recipe import recipe

NASTY = [
    "plain.png",
    "it's.png",
    'say "cheese".png',
    "C:\\new\\table.png",
    "new\nline.png",
    "'''\"\"\"\\",
    "ünïcödé 🦢.png",
]


def picture(seed: int) -> Sample:
    return Sample(Image.fromarray(np.random.default_rng(seed).integers(0, 256, (32, 32, 3), dtype=np.uint8)))


def written(tiny: ImageClassifier, pruning: Pruning, neuron: str = "logit:bee", **opened: Any) -> str:
    sample = picture(0)
    session = Session(tiny, [sample], augmentations=12, steps=34, seed=5)
    given = {"classifier_code": "explorer.session.classifier", "sample_code": {}, **opened}
    if "path" in given:
        given["sample_code"] = {sample.id: repr(given.pop("path"))}
    return recipe(Opened(tiny, (sample,), **given), session, sample, pruning, neuron)


def assigned(code: str) -> dict[str, ast.expr]:
    nodes = [node for node in ast.parse(code).body if isinstance(node, ast.Assign)]
    return {target.id: node.value for node in nodes for target in node.targets if isinstance(target, ast.Name)}


def keywords(call: ast.expr) -> dict[str, Any]:
    assert isinstance(call, ast.Call)
    return {str(k.arg): ast.literal_eval(k.value) for k in call.keywords if k.arg != "plan"}


@pytest.mark.parametrize("path", NASTY)
def test_paths_come_out_as_they_went_in(tiny: ImageClassifier, path: str) -> None:
    code = written(tiny, Pruning(), path=path)
    assert ast.literal_eval(assigned(code)["sample"]) == path


@pytest.mark.parametrize("text", NASTY)
def test_patterns_and_neurons_come_out_as_they_went_in(tiny: ImageClassifier, text: str) -> None:
    code = assigned(written(tiny, Pruning(0.25, "pattern", text), f"logit:{text}"))
    assert keywords(code["trace"])["layers"] == text
    for name in ("dense_image", "sparse_image"):
        call = code[name]
        assert isinstance(call, ast.Call)
        assert ast.literal_eval(call.args[1]) == f"logit:{text}"


def test_every_setting_is_in_it(tiny: ImageClassifier) -> None:
    code = assigned(written(tiny, Pruning(0.25, "all", "of no use here", "fast", plan=(("no", 0.5),))))
    assert keywords(code["trace"]) == {"solver": "fast", "augmentations": 12, "seed": 5}
    assert "sw.SparsityPlan.preset(classifier, 0.25, 'all')" in ast.unparse(code["trace"])
    assert keywords(code["dense_image"]) == keywords(code["sparse_image"]) == {"steps": 34, "seed": 5}
    by_pattern = assigned(written(tiny, Pruning(0.25, "pattern", "3, 7")))["trace"]
    assert keywords(by_pattern) == {
        "sparsity": 0.25, "layers": "3, 7", "solver": "refined", "augmentations": 12, "seed": 5,
    }  # fmt: skip


def test_sparsities_come_out_to_the_last_bit(tiny: ImageClassifier) -> None:
    sparsity = 0.1 + 0.2 + 0.6000000000000001
    trace = assigned(written(tiny, Pruning(sparsity, "pattern", "7")))["trace"]
    assert keywords(trace)["sparsity"] == sparsity


def test_a_sample_that_only_lives_in_the_kernel_is_named_for_good(tiny: ImageClassifier) -> None:
    """By its id: pasted later, `explorer.sample` might be another one."""
    code = written(tiny, Pruning())
    assert ast.unparse(assigned(code)["sample"]) == f"explorer.session.sample({picture(0).id!r})"
    assert "demo" not in code


def test_the_demo_is_imported_where_it_is_used(tiny: ImageClassifier) -> None:
    code = written(tiny, Pruning(), classifier_code="emoji.classifier()")
    assert "from spade_widgets.demo import emoji" in code.splitlines()
