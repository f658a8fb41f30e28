"""Traces in files: the same to the last bit, for the same classifier alone, whole or not at all."""

from __future__ import annotations

import errno
import io
import json
import os
import stat
from collections.abc import Callable, Iterator
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image
from pruning import nets
from pruning.traces.test_trace import NETS, preprocess
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

import spade_widgets as sw
from spade_widgets.pruning.traces import file as trace_file
from spade_widgets.pruning.traces.trace import Fidelity, Trace


@pytest.fixture
def picture() -> sw.Sample:
    pixels = np.random.default_rng(0).integers(0, 256, (13, 17, 3), dtype=np.uint8)
    mask = np.zeros((13, 17), bool)
    mask[2:5, 3:9] = True
    return sw.Sample.read(pixels, title="<Gänse> & \n“co”", label="bee", mask=mask)


@pytest.fixture
def trace(tiny: sw.ImageClassifier, picture: sw.Sample) -> Trace:
    return sw.trace(tiny, picture, layers="*", sparsity=0.8, augmentations=3, seed=5)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "a trace.safetensors"


def same(one: Trace, other: Trace) -> None:
    """Every attribute; weights and energies to the last bit."""
    for field in fields(Trace):
        here, there = getattr(one, field.name), getattr(other, field.name)
        if field.name == "sample":
            assert here.id == there.id
        elif field.name == "dense":
            assert here.digest == there.digest
        elif field.name in ("_weights", "_energies"):
            assert list(here) == list(there)
            for name, tensor in here.items():
                assert (tensor.dtype, tensor.shape, tensor.stride()) == (
                    there[name].dtype, there[name].shape, there[name].stride()
                )  # fmt: skip
                assert torch.equal(tensor.contiguous().view(-1).view(torch.uint8),
                                   there[name].contiguous().view(-1).view(torch.uint8))  # fmt: skip
        else:
            assert here == there
            assert type(here) is type(there)
    assert one.digest == other.digest


@pytest.mark.parametrize("sparsity", [0, 0.5, 0.97])
@pytest.mark.parametrize("kind", NETS)
def test_every_kind_of_network_comes_back(kind: str, sparsity: float, picture: sw.Sample, path: Path) -> None:
    torch.manual_seed(3)
    model = NETS[kind]()
    model(torch.zeros(1, 3, 20, 28, dtype=next(model.parameters()).dtype))
    classifier = sw.ImageClassifier(model, preprocess=preprocess)
    trace = sw.trace(classifier, picture, layers="*", sparsity=sparsity, augmentations=2, seed=7)
    trace.save(path)
    loaded = Trace.load(str(path), classifier)
    same(trace, loaded)
    x = classifier.prepare(picture)
    with torch.no_grad():
        assert torch.equal(loaded.module()(x), trace.module()(x))
    assert loaded.stats() == trace.stats()
    assert loaded.channels("fc" if "fc" in trace.weights() else "3") == trace.channels(
        "fc" if "fc" in trace.weights() else "3"
    )


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    sparsities=st.lists(st.floats(0, 0.999), min_size=3, max_size=3),
    seed=st.integers(0, 2**40),
    title=st.text(max_size=30),
    label=st.none() | st.text(max_size=9),
)
def test_any_plan_comes_back(
    tiny: sw.ImageClassifier, path: Path, sparsities: list[float], seed: int, title: str, label: str | None
) -> None:
    plan = dict(zip(("0", "3", "7"), sparsities, strict=True))
    pixels = np.full((9, 8, 3), seed % 256, np.uint8)
    trace = sw.trace(
        tiny, sw.Sample.read(pixels, title=title, label=label), plan=plan, augmentations=1 + seed % 3, seed=seed % 999
    )
    trace.save(path)
    same(trace, Trace.load(path, tiny))


def test_it_says_how_to_make_it_again(trace: Trace, tiny: sw.ImageClassifier, path: Path) -> None:
    trace.save(path)
    loaded = Trace.load(path, tiny)
    again = sw.trace(
        tiny,
        loaded.sample,
        plan=loaded.plan,
        solver=loaded.solver,
        augmentations=loaded.augmentations,
        seed=loaded.seed,
    )
    assert again.digest == trace.digest
    assert loaded.versions == {"spade_widgets": sw.__version__, "torch": torch.__version__}
    assert loaded.sample.mask is not None
    assert trace.sample.mask is not None
    assert (loaded.sample.mask == trace.sample.mask).all()
    assert loaded.sample.label == "bee"


@pytest.mark.parametrize("fidelity", [None, Fidelity(0.9, 0.95, 64)])
@pytest.mark.parametrize("sequential", [False, True])
def test_whatever_way_it_was_made_is_kept(
    tiny: sw.ImageClassifier, picture: sw.Sample, path: Path, sequential: bool, fidelity: Fidelity | None
) -> None:
    trace = sw.trace(tiny, picture, layers="*", sequential=sequential, augmentations=2)
    trace = replace(trace, fidelity=fidelity)
    trace.save(path)
    loaded = Trace.load(path, tiny)
    assert (loaded.sequential, loaded.fidelity) == (sequential, fidelity)
    same(trace, loaded)


def test_it_loads_for_another_copy_of_the_classifier(
    trace: Trace, tiny: sw.ImageClassifier, tiny_model: nn.Module, path: Path
) -> None:
    trace.save(path)
    other = sw.ImageClassifier(tiny_model.train(), preprocess=tiny._preprocess, name="other")
    loaded = Trace.load(path, other)
    assert loaded.dense is other
    same(trace, loaded)
    loaded.save(path)
    same(trace, Trace.load(path, tiny))


def test_the_dense_model_is_not_touched_by_files(trace: Trace, tiny: sw.ImageClassifier, path: Path) -> None:
    before = {key: (value.data_ptr(), value._version) for key, value in tiny._model.state_dict().items()}
    trace.save(path)
    loaded = Trace.load(path, tiny)
    assert {key: (value.data_ptr(), value._version) for key, value in tiny._model.state_dict().items()} == before
    for name, weight in loaded.weights().items():
        assert weight.data_ptr() != tiny._model.get_parameter(f"{name}.weight").data_ptr()
        assert not weight.requires_grad
        assert not weight.is_inference()


def test_loaded_in_inference_mode_it_still_passes_gradients(trace: Trace, tiny: sw.ImageClassifier, path: Path) -> None:
    trace.save(path)
    with torch.inference_mode():
        loaded = Trace.load(path, tiny)
    x = tiny.prepare(trace.sample).requires_grad_()
    loaded.module()(x)[0, 0].backward()
    assert x.grad is not None


def test_equal_traces_are_equal_files(trace: Trace, tiny: sw.ImageClassifier, tmp_path: Path) -> None:
    for name in ("one", "two"):
        trace.save(tmp_path / name)
    Trace.load(tmp_path / "one", tiny).save(tmp_path / "three")
    assert len({(tmp_path / name).read_bytes() for name in ("one", "two", "three")}) == 1


def test_the_file_is_sparse_inside(tiny: sw.ImageClassifier, picture: sw.Sample, path: Path) -> None:
    """A 95 % trace: at most 4 bytes a kept weight and 1.3 for its place. (ResNet-50's is in the benchmarks.)"""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(3, 256, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(4), nn.Flatten(), nn.Linear(4096, 99))
    wide = sw.ImageClassifier(model, preprocess=preprocess)
    trace = sw.trace(wide, picture, layers="4", sparsity=0.95, solver="magnitude", augmentations=2)
    trace.save(path)
    assert path.stat().st_size < 5.3 * trace.kept + 8192
    trace = sw.trace(wide, picture, layers="4", sparsity=0.5, solver="magnitude", augmentations=2)
    trace.save(path)
    assert path.stat().st_size < 4 * trace.kept + trace.total / 8 + 8192


# The sample


def test_without_pixels_the_sample_has_to_be_given(
    trace: Trace, tiny: sw.ImageClassifier, picture: sw.Sample, path: Path
) -> None:
    trace.save(path, sample=False)
    assert not any(name.startswith("sample/") for name in load_file(path))
    with pytest.raises(sw.InputError, match=r"holds no sample: give the one it was made for \('<Gänse> &"):
        Trace.load(path, tiny)
    loaded = Trace.load(path, tiny, sample=np.asarray(picture.image))
    assert (loaded.sample.title, loaded.sample.label) == (picture.title, "bee")
    with pytest.raises(sw.InputError, match=r"other pixels than .* \(17 × 13 px\)"):
        Trace.load(path, tiny, sample=np.asarray(picture.image)[::-1])
    same(trace, Trace.load(path, tiny, sample=picture))


def test_a_sample_that_is_given_is_checked_too(trace: Trace, tiny: sw.ImageClassifier, path: Path) -> None:
    trace.save(path)
    with pytest.raises(sw.InputError, match="other pixels"):
        Trace.load(path, tiny, sample=np.zeros((13, 17, 3), np.uint8))


def test_the_picture_takes_nothing_else_along(tiny: sw.ImageClassifier, path: Path) -> None:
    """No position, date or name that a photograph's file may hold."""
    image = sw.Sample.read(np.zeros((9, 9, 3), np.uint8)).image
    image.info["comment"] = image.info["icc_profile"] = b"secret place"
    trace = sw.trace(tiny, sw.Sample(image), augmentations=1)
    trace.save(path)
    png = load_file(path)["sample/png"].numpy().tobytes()
    assert Image.open(io.BytesIO(png)).info == {}


# Other classifiers


def other_head() -> nn.Module:
    model = nets.Depthwise()
    model.fc = nn.Linear(12, 5)
    return model


def longer() -> nn.Module:
    model = nets.Depthwise()
    model.after, forward = nn.Linear(4, 4), model.forward
    model.forward = lambda x: model.after(forward(x))  # type: ignore[method-assign]
    return model


def nudged() -> nn.Module:
    torch.manual_seed(3)
    model = nets.Depthwise()
    with torch.no_grad():
        model.mix.weight[3, 4] += 1e-3
    return model


def reseeded() -> nn.Module:
    torch.manual_seed(4)
    return nets.Depthwise()


OTHERS: dict[str, tuple[Callable[[], nn.Module], str]] = {
    "another head": (other_head, r"'fc.weight' is \(5, 12\) here and \(4, 12\) there"),
    "more layers": (longer, "it has 'after.bias', 'after.weight' too"),
    "another network": (
        nets.Tied,
        "it lacks 'depthwise.bias', 'depthwise.weight', 'grouped.bias' and 3 more",
    ),
    "another type": (lambda: nets.Depthwise().double(), "'stem.weight' is float64 here and float32 there"),
    "one value": (nudged, r"its weights have other values in 'mix.weight' \(1 of 10 tensors\)"),
    "other values": (reseeded, r"in 'stem.weight', 'stem.bias', 'grouped.weight' and 7 more \(10 of 10 tensors\)"),
}


@pytest.mark.parametrize(("build", "says"), OTHERS.values(), ids=OTHERS)
def test_another_classifier_is_refused_and_told_apart(
    build: Callable[[], nn.Module], says: str, picture: sw.Sample, path: Path
) -> None:
    torch.manual_seed(3)
    sw.trace(sw.ImageClassifier(nets.Depthwise(), preprocess=preprocess, name="mine"), picture, augmentations=1).save(
        path
    )
    torch.manual_seed(3)
    with pytest.raises(
        sw.ModelError, match=f"^'a trace.safetensors' is a trace of mine, and yours is not the same: .*{says}"
    ):
        Trace.load(path, sw.ImageClassifier(build(), preprocess=preprocess, name="yours"))


def test_another_preprocessing_is_refused(trace: Trace, tiny_model: nn.Module, path: Path) -> None:
    trace.save(path)
    with pytest.raises(sw.ModelError, match=r"the size of its input is \(20, 28\) here and \(32, 32\) there"):
        Trace.load(path, sw.ImageClassifier(tiny_model, preprocess=preprocess))

    def brighter(image: Any) -> Tensor:
        return torch.from_numpy(np.asarray(image.resize((32, 32)), np.float32).transpose(2, 0, 1) / 255 - 0.25) * 4

    with pytest.raises(sw.ModelError, match=r"the mean of its normalisation is \(0.25, "):
        Trace.load(path, sw.ImageClassifier(tiny_model, preprocess=brighter))


def test_a_module_is_no_classifier(trace: Trace, tiny_model: nn.Module, path: Path) -> None:
    trace.save(path)
    with pytest.raises(sw.InputError, match="A Sequential is no classifier: give the ImageClassifier"):
        Trace.load(path, tiny_model)  # type: ignore[arg-type]


# Files that are not what they should be


def test_every_cut_off_file_is_refused(trace: Trace, tiny: sw.ImageClassifier, path: Path) -> None:
    trace.save(path)
    whole = path.read_bytes()
    for length in {0, 1, 7, 8, 9, 100, len(whole) // 3, len(whole) - 100, len(whole) - 1}:
        path.write_bytes(whole[:length])
        with pytest.raises(sw.InputError, match=r"^'a trace.safetensors' is (cut off, )?damaged") as caught:
            Trace.load(path, tiny)
        assert "\n" not in str(caught.value)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(where=st.floats(0, 1, exclude_max=True), bit=st.integers(0, 7))
def test_no_flipped_bit_goes_unnoticed(
    trace: Trace, tiny: sw.ImageClassifier, path: Path, where: float, bit: int
) -> None:
    trace.save(path)
    data = bytearray(path.read_bytes())
    data[int(where * len(data))] ^= 1 << bit
    path.write_bytes(data)
    with pytest.raises(sw.InputError):
        Trace.load(path, tiny)


def rewrite(path: Path, change: Callable[[dict[str, Any], dict[str, Tensor]], None]) -> None:
    """Change a file's header or tensors as someone would who also mends the checksum."""
    with safe_open(path, framework="pt") as opened:
        told = json.loads(opened.metadata()[trace_file.FORMAT])
    tensors = load_file(path)
    change(told, tensors)
    told["checksum"] = trace_file._checksum(told["header"], tensors)
    save_file(tensors, path, {trace_file.FORMAT: json.dumps(told)})


def put(kind: str, value: Any) -> Callable[[dict[str, Any], dict[str, Tensor]], None]:
    def change(told: dict[str, Any], _: dict[str, Tensor]) -> None:
        *outer, last = kind.split("/")
        for key in outer:
            told = told[key]
        told[last] = value

    return change


def tensor(name: str, value: Tensor | None) -> Callable[[dict[str, Any], dict[str, Tensor]], None]:
    def change(_: dict[str, Any], tensors: dict[str, Tensor]) -> None:
        tensors.pop(name)
        if value is not None:
            tensors[name] = value

    return change


FORGED: dict[str, tuple[Callable[[dict[str, Any], dict[str, Tensor]], None], str]] = {
    "newer": (put("version", 2), "of format 2, but this spade_widgets reads formats up to 1: install a newer one"),
    "no version": (put("version", "x"), "its format has no version"),
    "no header": (put("header", []), "its header is no record"),
    "an unknown word": (put("header/trace/colour", 1), "its header says 'colour', which is not known here"),
    "seed": (put("header/trace/seed", "zero"), "seed is 'zero'"),
    "sparsity": (put("header/trace/plan", {"sparsities": {"0": 2.0}}), "sparsity 2 is outside"),
    "code": (put("header/codes/0", "zip"), "in '0', the code 'zip' is not known"),
    "layer": (put("header/codes/nowhere", "all"), "it prunes 'nowhere', which is no layer"),
    "batch norm": (put("header/codes/1.running_mean", "all"), "it prunes '1.running_mean', which is no layer"),
    "values": (tensor("values/0", torch.ones(3)), "in '0', 3 values have"),
    "no values": (tensor("values/0", None), "the weights of '0' are missing"),
    "type": (tensor("values/0", torch.ones(43).double()), "the weights of '0' are missing, of another type"),
    "nan": (tensor("values/0", torch.full((43,), torch.nan)), "not finite"),
    "places": (tensor("places/0", torch.zeros(2, 2)), "in '0', values and places are not lists"),
    "picture": (tensor("sample/png", torch.zeros(50, dtype=torch.uint8)), "its picture: cannot identify"),
    "mask": (tensor("sample/mask", torch.zeros(2, dtype=torch.uint8)), "its picture: the mask has 16 bits for 221"),
}  # fmt: skip


@pytest.mark.parametrize(("change", "says"), FORGED.values(), ids=FORGED)
def test_forged_files_are_refused(change: Any, says: str, trace: Trace, tiny: sw.ImageClassifier, path: Path) -> None:
    trace.save(path)
    rewrite(path, lambda *_: None)
    same(trace, Trace.load(path, tiny))
    rewrite(path, change)
    with pytest.raises(sw.InputError, match=says) as caught:
        Trace.load(path, tiny)
    assert "\n" not in str(caught.value)


def test_fields_that_came_later_may_be_missing(trace: Trace, tiny: sw.ImageClassifier, path: Path) -> None:
    def older(told: dict[str, Any], _: dict[str, Tensor]) -> None:
        del told["header"]["trace"]["versions"]
        for row in told["header"]["trace"]["_stats"]:
            del row["form"]

    trace.save(path)
    rewrite(path, older)
    assert Trace.load(path, tiny).stats() == trace.stats()


def test_what_is_no_trace_says_so(tiny: sw.ImageClassifier, tmp_path: Path, trace: Trace) -> None:
    weights = tmp_path / "weights.safetensors"
    save_file({"a": torch.zeros(3)}, weights)
    with pytest.raises(sw.InputError, match=r"'weights.safetensors' holds tensors, but no trace: give a file"):
        Trace.load(weights, tiny)
    with pytest.raises(sw.InputError, match=r"There is no file '.*gone'"):
        Trace.load(tmp_path / "gone", tiny)
    with pytest.raises(sw.InputError, match=r"is cut off, damaged or no trace"):
        Trace.load(tmp_path, tiny)
    pickled = tmp_path / "trace.pt"
    torch.save({"a": torch.zeros(3)}, pickled)
    with pytest.raises(sw.InputError, match=r"'trace.pt' is cut off, damaged or no trace"):
        Trace.load(pickled, tiny)


# Writing


@pytest.fixture
def written(trace: Trace, path: Path) -> Iterator[bytes]:
    """A file that is there already, and must be there still."""
    trace.save(path)
    yield path.read_bytes()
    assert [file.name for file in path.parent.iterdir()] == [path.name]


@pytest.mark.parametrize(
    "fault", [OSError(errno.ENOSPC, "No space left on device"), KeyboardInterrupt(), MemoryError()]
)
def test_a_cut_off_write_leaves_the_old_file(
    fault: BaseException, written: bytes, trace: Trace, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(_: int) -> None:
        raise fault

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(sw.InputError if isinstance(fault, OSError) else type(fault)) as caught:
        trace.save(path)
    if isinstance(fault, OSError):
        assert str(caught.value).endswith("a trace.safetensors': No space left on device.")
    assert path.read_bytes() == written


def test_a_file_is_replaced_and_readable_by_all_who_may(written: bytes, trace: Trace, path: Path) -> None:
    path.write_bytes(b"old")
    trace.save(path)
    assert path.read_bytes() == written
    plain = path.with_name("plain")
    plain.touch()
    assert stat.S_IMODE(path.stat().st_mode) == stat.S_IMODE(plain.stat().st_mode)
    plain.unlink()


def test_where_nothing_can_be_written(trace: Trace, tmp_path: Path) -> None:
    with pytest.raises(
        sw.InputError, match=r"The trace cannot be written to '.*nowhere.*': No such file or directory\."
    ):
        trace.save(tmp_path / "nowhere" / "t.safetensors")
    (tmp_path / "folder").mkdir()
    with pytest.raises(sw.InputError, match=r"cannot be written to '.*folder': Is a directory"):
        trace.save(tmp_path / "folder")
    assert [entry.name for entry in tmp_path.iterdir()] == ["folder"]
