"""Bad input: one clear sentence that names what was wrong and what is accepted, and nothing else (invariant 6)."""

from __future__ import annotations

import contextlib
import io
import subprocess
import sys
import zlib
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor, nn

import spade_widgets as sw
from spade_widgets.sample import MAX_SIDE, Sample, read_samples


def refused(kind: type[sw.SpadeError], said: str, call: Callable[[], object]) -> None:
    """It raises this kind, says that, and says it in one line that ends like a sentence."""
    with pytest.raises(kind, match=said) as caught:
        call()
    assert type(caught.value) is kind
    text = str(caught.value)
    assert "\n" not in text
    assert not text[0].islower() or text.startswith("torchvision ")
    assert text[-1] in ".?" or "did you mean" in text or "to choose" in text, text
    assert len(text) < 500


def encoded(image: Image.Image, kind: str, **options: Any) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


NOISE = Image.fromarray(np.random.default_rng(0).integers(0, 256, (60, 80, 3), dtype=np.uint8))

# Pictures that are none


@pytest.mark.parametrize(
    "content", [b"", b"hello", b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff", b"<svg></svg>" * 50], ids=repr
)
def test_not_an_image(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "picture.png"
    path.write_bytes(content)
    refused(sw.InputError, r"'picture\.png' is (not an image that can be read|damaged)", lambda: Sample.read(path))
    refused(sw.InputError, "'the data' is (not an image|damaged)", lambda: Sample.read(content))


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "GIF", "BMP", "TIFF", "WEBP"])
@pytest.mark.parametrize("share", [0.3, 0.7, 0.95])
def test_truncated(tmp_path: Path, kind: str, share: float) -> None:
    whole = encoded(NOISE, kind)
    path = tmp_path / "cut"
    path.write_bytes(whole[: int(len(whole) * share)])
    refused(sw.InputError, "'cut' is (damaged or cut off|not an image)", lambda: Sample.read(path))


@pytest.mark.filterwarnings("ignore")  # Pillow's own, of what it could still read
def test_flipped_bits() -> None:
    """Whatever is broken in a file, it is an image or an input error, never anything else."""
    generator = np.random.default_rng(7)
    for kind in ("PNG", "JPEG", "GIF", "TIFF", "WEBP", "BMP"):
        whole = np.frombuffer(encoded(NOISE.resize((20, 20)), kind), np.uint8)
        for _ in range(40):
            broken = whole.copy()
            where = generator.integers(0, min(len(broken), 400), 4)
            broken[where] = generator.integers(0, 256, 4)
            with contextlib.suppress(sw.InputError):
                Sample.read(broken.tobytes())


@pytest.mark.rare
@pytest.mark.parametrize("kind", ["PNG", "JPEG"])
def test_8000_by_8000_is_accepted_in_bounded_memory(tmp_path: Path, kind: str) -> None:
    ramp = np.arange(8000, dtype=np.uint32)
    pixels = ((ramp[:, None] * 3 + ramp * 5) // 64).astype(np.uint8)
    path = tmp_path / f"large.{kind.lower()}"
    Image.fromarray(pixels).convert("RGB").save(path)
    script = (
        "import resource, sys\nfrom spade_widgets.sample import Sample\n"
        "before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
        "sample = Sample.read(sys.argv[1])\n"
        "print(*sample.image.size, (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) // 1024)"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, str(path)], capture_output=True, text=True, timeout=300, check=True
    )
    width, height, megabytes = map(int, done.stdout.split())
    assert (width, height) == (MAX_SIDE, MAX_SIDE)
    assert megabytes < 450  # decoded, the picture itself has 192


def test_a_decompression_bomb_is_refused_before_it_is_decoded() -> None:
    header = bytearray(encoded(Image.new("1", (1, 1)), "PNG"))
    for size, said in ((13_200, "13200 × 13200 pixels; at most"), (60_000, "too many pixels; at most")):
        header[16:24] = size.to_bytes(4) * 2
        header[29:33] = zlib.crc32(bytes(header[12:29])).to_bytes(4)
        refused(sw.InputError, said, lambda: Sample.read(bytes(header)))


def test_1_by_1_goes_all_the_way(tiny: sw.ImageClassifier) -> None:
    sample = Sample.read(encoded(Image.new("RGB", (1, 1), "red"), "PNG"))
    assert len(sw.predict(tiny, sample)) == 5
    assert sw.trace(tiny, sample, augmentations=2).kept > 0


def test_paths_that_are_no_files(tmp_path: Path) -> None:
    refused(sw.InputError, r"There is no file 'gone\.png'", lambda: Sample.read(tmp_path / "gone.png"))
    refused(sw.InputError, "is a folder; give one image file", lambda: Sample.read(tmp_path))
    refused(sw.InputError, r"holds no image file \(\.bmp, ", lambda: read_samples(tmp_path))
    refused(sw.InputError, "There is no file", lambda: read_samples(str(tmp_path / "gone")))
    refused(sw.InputError, "There is no file", lambda: Sample.read(str(tmp_path / "gone.png" / "deeper.png")))
    refused(sw.InputError, "is damaged|is not", lambda: Sample.read("a\0b.png"))
    refused(sw.InputError, "cannot be read", lambda: Sample.read("x" * 5000))
    refused(sw.InputError, "is a folder", lambda: Sample.read(""))
    refused(sw.InputError, "list of samples is empty", lambda: read_samples([]))
    (tmp_path / "bad.png").write_bytes(b"no")
    refused(sw.InputError, r"'bad\.png' is not an image", lambda: read_samples(tmp_path))


@pytest.mark.parametrize("source", [None, 5, 1.5, {"a": 1}, object(), [[1, 2], [3, 4]]], ids=lambda s: type(s).__name__)
def test_objects_that_are_no_image(source: Any) -> None:
    refused(sw.InputError, rf"A {type(source).__name__} is not an image: give a path, PIL", lambda: Sample.read(source))


@pytest.mark.parametrize("wrap", [np.asarray, torch.as_tensor], ids=["array", "tensor"])
@pytest.mark.parametrize(
    ("shape", "said"),
    [
        ((5,), r"shape \(5,\) is not an image"),
        ((), r"shape \(\) is not an image"),
        ((0, 5, 3), r"shape \(0, 5, 3\) is not an image"),
        ((5, 0), r"shape \(5, 0\) is not an image"),
        ((0,), r"shape \(0,\) is not an image"),
        ((3, 0, 0), r"shape \(3, 0, 0\) is not an image"),
        ((5, 6, 7), r"shape \(5, 6, 7\) is not an image"),
        ((5, 6, 2), r"shape \(5, 6, 2\) is not an image"),
        ((2, 5, 6, 3), r"shape \(2, 5, 6, 3\) is not an image"),
        ((1, 1, 5, 6, 3), r"shape \(1, 1, 5, 6, 3\) is not an image"),
    ],
)
def test_arrays_of_other_shapes(wrap: Any, shape: tuple[int, ...], said: str) -> None:
    refused(sw.InputError, said, lambda: Sample.read(wrap(np.zeros(shape, np.uint8))))


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ([[0.0, 1.5]], r"floats go from 0 to 1\.5; an image's are in 0…1"),
        ([[0.0, 200.0]], r"floats go from 0 to 200; an image's are in 0…1"),
        ([[-0.5, 0.5]], r"floats go from -0\.5 to 0\.5"),
        ([[float("nan"), 0.5]], "NaN or infinite"),
        ([[float("inf"), 0.5]], "NaN or infinite"),
        ([[-float("inf"), float("inf")]], "NaN or infinite"),
        ([[-1, 5]], r"values go from -1 to 5; an image's are in 0…255 or 0…65535"),
        ([[0, 70000]], "values go from 0 to 70000"),
        ([[1 + 2j]], "array of complex"),
    ],
)
def test_arrays_out_of_range(values: Any, said: str) -> None:
    refused(sw.InputError, said, lambda: Sample.read(np.array(values)))
    refused(sw.InputError, said, lambda: Sample.read(torch.tensor(values)))


@pytest.mark.parametrize("array", [np.array([["a"]]), np.array([[None]]), np.array([["2020"]], "M8")], ids=str)
def test_arrays_of_other_things(array: Any) -> None:
    refused(sw.InputError, r"array of .* is not an image: uint8, uint16 or floats", lambda: Sample.read(array))


def test_strange_tensors() -> None:
    refused(sw.InputError, "is not an image", lambda: Sample.read(torch.zeros(3, 4, 4).to_sparse()))
    refused(sw.InputError, "is not an image", lambda: Sample.read(torch.zeros(3, 4, 4, device="meta")))


# Models that are none


class Gives(nn.Module):
    """A network that gives whatever it is told."""

    def __init__(self, result: Callable[[Tensor], Any]) -> None:
        super().__init__()
        self.fc, self.result = nn.Linear(3, 4), result

    def forward(self, x: Tensor) -> Any:
        return self.result(self.fc(x.mean((2, 3))))


def fails(_x: Tensor) -> Any:
    raise RuntimeError("mat1 and mat2\nshapes cannot be multiplied")


@pytest.mark.parametrize("thing", [None, 5, {"state": 1}, nn.Linear, len], ids=lambda t: type(t).__name__)
def test_things_that_are_no_module(thing: Any) -> None:
    said = rf"An object of type {type(thing).__name__} is no classifier: give a torch\.nn\.Module"
    refused(sw.ModelError, said, lambda: sw.ImageClassifier(thing))


@pytest.mark.parametrize(
    ("result", "said"),
    [
        (lambda x: {"y": x, "z": x}, r"gives a dict .*; wrap it in a module that gives output\['y'\]"),
        (lambda x: (x, x), r"gives a tuple .*; wrap it in a module that gives output\[0\]"),
        (lambda x: SimpleNamespace(scores=x), r"gives a SimpleNamespace instead of logits \(1, classes\)\.$"),
        (lambda _: None, "gives a NoneType"),
        (lambda x: x.view(1, 2, 2, 1), r"gives a tensor of shape \(1, 2, 2, 1\) instead of logits \(1, classes\)\.$"),
        (lambda x: x * float("nan"), "gives NaN or infinite logits on a grey image"),
        (fails, "Mine cannot be run on an image of 224 × 224 px: RuntimeError: mat1 and mat2"),
    ],
)
def test_models_that_are_no_classifiers(result: Any, said: str) -> None:
    refused(sw.ModelError, said, lambda: sw.ImageClassifier(Gives(result), name="Mine"))


def test_models_of_grey_images() -> None:
    model = nn.Sequential(nn.Conv2d(1, 4, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten())
    said = r"cannot be run .*; it runs on one channel, so put a module before it that gives x\.mean\(1, keepdim=True\)"
    refused(sw.ModelError, said, lambda: sw.ImageClassifier(model))


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_weights_that_are_not_finite(tiny_model: nn.Module, bad: float) -> None:
    with torch.no_grad():
        tiny_model[3].weight[2, 1] = bad  # type: ignore[index, union-attr, operator]
    refused(sw.ModelError, r"weights '3\.weight' hold NaN or infinite", lambda: sw.ImageClassifier(tiny_model))


def test_buffers_that_are_not_finite(tiny_model: nn.Module) -> None:
    tiny_model[1].running_var[0] = float("nan")  # type: ignore[index, union-attr, operator]
    refused(sw.ModelError, r"buffers '1\.running_var' hold NaN or infinite", lambda: sw.ImageClassifier(tiny_model))


def test_lazy_models() -> None:
    model = nn.Sequential(nn.Flatten(), nn.LazyLinear(4))
    refused(sw.ModelError, r"weights '1\.weight' have no shape yet", lambda: sw.ImageClassifier(model))


def test_models_that_cannot_be_copied(tiny_model: nn.Module) -> None:
    tiny_model.generator = (i for i in range(3))  # type: ignore[assignment]
    said = r"Sequential cannot be copied, because of its attribute 'generator' \(TypeError"
    refused(sw.ModelError, said, lambda: sw.ImageClassifier(tiny_model))


@pytest.mark.parametrize(
    ("preprocess", "said"),
    [
        (lambda image: image, "preprocessing gives a Image; a float tensor"),
        (lambda _: np.zeros((3, 32, 32)), "gives a ndarray; a float tensor"),
        (lambda _: torch.zeros(32, 32), r"gives a torch.float32 tensor \(32, 32\); a float tensor \(3, h, w\)"),
        (lambda _: torch.zeros(1, 3, 32, 32), r"tensor \(1, 3, 32, 32\); a float tensor .* end it with \[0\]"),
        (lambda _: torch.zeros(32, 32, 3), r"tensor \(32, 32, 3\); a float tensor .* \.permute\(2, 0, 1\)"),
        (lambda _: torch.zeros(3, 32, 32, dtype=torch.uint8), r"a torch.uint8 tensor \(3, 32, 32\)"),
        (lambda _: torch.zeros(3, 32, 32), "must end in a per-channel"),
        (lambda image: torch.full((3, 32, 32), image.getpixel((0, 0))[0] / 255.0) ** 2, "must end in a per-channel"),
        (lambda _: torch.rand(3, 32, 32), "must end in a per-channel"),
        (lambda _: torch.full((3, 32, 32), float("nan")), "must end in a per-channel"),
        (lambda _: fails(torch.zeros(1)), "preprocessing fails on a plain RGB image: RuntimeError: mat1 and mat2"),
    ],
)
def test_preprocessing_that_cannot_be(tiny_model: nn.Module, preprocess: Any, said: str) -> None:
    refused(sw.ModelError, said, lambda: sw.ImageClassifier(tiny_model, preprocess=preprocess))


@pytest.mark.parametrize("names", [["a"], list("abcdef"), []])
def test_class_names_that_do_not_fit(tiny_model: nn.Module, names: list[str]) -> None:
    said = f"{len(names)} class names, but the model has 5 classes"
    refused(sw.InputError, said, lambda: sw.ImageClassifier(tiny_model, class_names=names))


# Numbers and names


@pytest.mark.parametrize(
    ("bad", "said"),
    [
        (-0.1, r"The sparsity -0\.1 is outside the accepted range: 0 ≤ sparsity < 1"),
        (1, "The sparsity 1 is outside"),
        (1.5, r"The sparsity 1\.5 is outside"),
        (float("nan"), "The sparsity nan is outside"),
        ("x", "The sparsity 'x' is not a number"),
        ([], r"The sparsity \[\] is not a number"),
    ],
)
def test_sparsities(tiny: sw.ImageClassifier, bad: Any, said: str) -> None:
    refused(sw.InputError, said, lambda: sw.trace(tiny, NOISE, sparsity=bad))
    refused(sw.InputError, said, lambda: sw.trace(tiny, NOISE, plan={"7": bad}))
    refused(sw.InputError, said, lambda: sw.sweep(tiny, NOISE, [0.5, bad]))
    refused(sw.InputError, said, lambda: sw.SparsityPlan.preset(tiny, bad, "late"))


def test_everything_else_that_may_be_misspelt(tiny: sw.ImageClassifier) -> None:
    calls: list[tuple[str, Callable[[], object]]] = [
        ("No layer that can be pruned matches 'layer9'", lambda: sw.trace(tiny, NOISE, layers="layer9")),
        ("The solver|no solver 'fastest'", lambda: sw.trace(tiny, NOISE, solver="fastest")),
        ("number of augmentations is 0", lambda: sw.trace(tiny, NOISE, augmentations=0)),
        ("number of augmentations is 'x'", lambda: sw.trace(tiny, NOISE, augmentations="x")),  # type: ignore[arg-type]
        ("no preset 'best'", lambda: sw.SparsityPlan.preset(tiny, 0.5, "best")),
        ("needs a layer", lambda: sw.SparsityPlan.preset(tiny, 0.5, "paper-saliency")),
        ("no layer 'conv'", lambda: tiny.layer("conv")),
        ("no layer 'conv'", lambda: sw.visualize(tiny, "conv:1", steps=1)),
        ("no channel 8", lambda: sw.visualize(tiny, "0:8", steps=1)),
        ("no row 32, column 0", lambda: sw.visualize(tiny, "0:0@32,0", steps=1)),
        ("no class 'wolf'", lambda: sw.visualize(tiny, "logit:wolf", steps=1)),
        ("no class 5", lambda: tiny.class_index(5)),
        ("top 0 classes", lambda: sw.predict(tiny, NOISE, top=0)),
        ("A NoneType is not an image", lambda: sw.predict(tiny, None)),  # type: ignore[arg-type]
        ("A NoneType is not an image", lambda: sw.trace(tiny, None)),  # type: ignore[arg-type]
        ("seed", lambda: sw.trace(tiny, NOISE, seed="x")),  # type: ignore[arg-type]
        ("seed", lambda: sw.trace(tiny, NOISE, seed=1.5)),  # type: ignore[arg-type]
        ("torchvision has no classifier 'resnet51'", lambda: sw.ImageClassifier.from_torchvision("resnet51")),
    ]
    for said, call in calls:
        refused(sw.InputError, said, call)


def test_after_all_that_it_still_works(tiny: sw.ImageClassifier) -> None:
    refused(sw.InputError, "sparsity", lambda: sw.trace(tiny, NOISE, sparsity=2))
    assert sw.trace(tiny, NOISE, augmentations=1).kept > 0
