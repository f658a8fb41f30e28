"""torchvision's builders by name, and weights from local files. Nothing here is downloaded."""

from __future__ import annotations

import json
import pickle
import warnings
from pathlib import Path
from typing import Any

import pytest
import torch
import torchvision
from PIL import Image
from safetensors.torch import save_file
from torch import nn

from spade_widgets.classifier import ImageClassifier
from spade_widgets.errors import InputError, ModelError
from spade_widgets.network.torchvision_models import _preprocess_of_size, build, read_state
from spade_widgets.prediction import predict
from spade_widgets.sample import Sample


@pytest.fixture(scope="module")
def squeezenet() -> nn.Module:
    torch.manual_seed(0)
    return torchvision.models.get_model("squeezenet1_1", weights=None).eval()


def saved(state: dict[str, torch.Tensor], path: Path) -> Path:
    if path.suffix == ".safetensors":
        save_file({key: value.contiguous() for key, value in state.items()}, path)
    else:
        torch.save(state, path)
    return path


@pytest.mark.parametrize("file", ["w.safetensors", "w.pt", "w.pth"])
def test_a_local_file_gives_its_weights(squeezenet: nn.Module, tmp_path: Path, file: str) -> None:
    path = saved(squeezenet.state_dict(), tmp_path / file)
    before = torch.get_rng_state()
    classifier = ImageClassifier.from_torchvision("squeezenet1_1", weights=path)
    assert torch.equal(torch.get_rng_state(), before)
    for name, tensor in classifier._model.state_dict().items():
        assert torch.equal(tensor, squeezenet.state_dict()[name])
    assert classifier.name == "squeezenet1_1"
    assert classifier.class_names[99] == "goose"
    assert classifier.input_size == (224, 224)
    assert classifier.mean == (0.485, 0.456, 0.406)
    assert classifier.std == (0.229, 0.224, 0.225)


def test_float16_files_are_exact_in_float32(squeezenet: nn.Module, tmp_path: Path) -> None:
    half = {key: value.half() for key, value in squeezenet.state_dict().items()}
    classifier = ImageClassifier.from_torchvision("squeezenet1_1", weights=str(saved(half, tmp_path / "w.safetensors")))
    assert classifier.dtype == torch.float32
    for name, tensor in classifier._model.state_dict().items():
        assert torch.equal(tensor, half[name].float())


@pytest.mark.parametrize("file", ["w.safetensors", "w.pt"])
def test_wrapped_state_dicts(squeezenet: nn.Module, tmp_path: Path, file: str) -> None:
    wrapped: Any = {f"module.{key}": value for key, value in squeezenet.state_dict().items()}
    if file.endswith(".pt"):
        wrapped = {"state_dict": wrapped}
    path = saved(wrapped, tmp_path / file)
    assert set(read_state(path)) == set(squeezenet.state_dict())


@pytest.mark.parametrize(
    "prefix", ["_orig_mod.", "module._orig_mod.", "_orig_mod.module.", "model.", "model.net._orig_mod.", "a.b.c."]
)
@pytest.mark.parametrize("key", [None, "state_dict", "model_state_dict", "model"])
def test_what_wrappers_put_before_keys_is_taken_off(
    squeezenet: nn.Module, tmp_path: Path, prefix: str, key: str | None
) -> None:
    wrapped: Any = {f"{prefix}{name}": value for name, value in squeezenet.state_dict().items()}
    path = saved(wrapped if key is None else {key: wrapped}, tmp_path / "w.pt")
    assert set(read_state(path)) == set(squeezenet.state_dict())


def test_a_compiled_part_inside_is_found(squeezenet: nn.Module, tmp_path: Path) -> None:
    wrapped = {name.replace("features.", "features._orig_mod."): v for name, v in squeezenet.state_dict().items()}
    assert set(read_state(saved(wrapped, tmp_path / "w.pt"))) == set(squeezenet.state_dict())


def test_weights_as_torchvision_has_them(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[Any] = []
    real = torchvision.models.get_model

    def get_model(name: str, weights: Any = None, **options: Any) -> nn.Module:
        asked.append(weights)
        return real(name, weights=None, **options)

    monkeypatch.setattr(torchvision.models, "get_model", get_model)
    weights = torchvision.models.ResNet50_Weights
    for given in (weights.IMAGENET1K_V1, "IMAGENET1K_V1", "ResNet50_Weights.IMAGENET1K_V1", weights.DEFAULT, "DEFAULT"):
        _, preprocess, classes = build("resnet50", given)
        meant = (
            weights.DEFAULT
            if "DEFAULT" in (given, getattr(given, "name", "")) or given is weights.DEFAULT
            else (weights.IMAGENET1K_V1)
        )
        assert asked.pop() is meant
        assert preprocess.resize_size == meant.transforms().resize_size  # type: ignore[union-attr]
        assert classes == tuple(meant.meta["categories"])
    with pytest.raises(InputError, match=r"of another model than resnet50, whose weights are ResNet50_Weights\."):
        build("resnet50", torchvision.models.ResNet18_Weights.DEFAULT)


def test_a_file_of_weights_may_be_at_home(
    squeezenet: nn.Module, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    saved(squeezenet.state_dict(), tmp_path / "w.safetensors")
    model, _, _ = build("squeezenet1_1", "~/w.safetensors")
    assert set(model.state_dict()) == set(squeezenet.state_dict())


def test_a_head_of_other_classes(tmp_path: Path) -> None:
    tuned = torchvision.models.get_model("squeezenet1_1", weights=None, num_classes=7)
    path = saved(tuned.state_dict(), tmp_path / "tuned.safetensors")
    assert ImageClassifier.from_torchvision("squeezenet1_1", weights=path).class_names == tuple("0123456")
    named = ImageClassifier.from_torchvision("squeezenet1_1", weights=path, class_names=list("abcdefg"))
    assert named.class_names == tuple("abcdefg")
    with pytest.raises(InputError, match="0 class names, but the model has 7"):
        ImageClassifier.from_torchvision("squeezenet1_1", weights=path, class_names=[])


def test_random_weights_follow_the_callers_seed() -> None:
    torch.manual_seed(5)
    one = build("squeezenet1_1", None)[0]
    torch.manual_seed(5)
    same, other = build("squeezenet1_1", None)[0], build("squeezenet1_1", None)[0]
    weights = [next(model.parameters()) for model in (one, same, other)]
    assert torch.equal(weights[0], weights[1])
    assert not torch.equal(weights[0], weights[2])


@pytest.mark.slow
@pytest.mark.parametrize("with_heads", [True, False])
def test_googlenet_runs_as_it_was_trained(tmp_path: Path, with_heads: bool) -> None:
    """torchvision sets `transform_input` on it, and takes its training heads off, when it loads its own weights."""
    model = torchvision.models.googlenet(weights=None, init_weights=False, aux_logits=with_heads)
    path = saved(model.state_dict(), tmp_path / "googlenet.pth")
    built = build("googlenet", path)[0]
    trained = torchvision.models.googlenet(weights=None, init_weights=False, aux_logits=False, transform_input=True)
    trained.load_state_dict({k: v for k, v in model.state_dict().items() if not k.startswith("aux")})
    x = torch.randn(1, 3, 224, 224)
    with torch.no_grad():
        assert torch.equal(built(x), trained.eval()(x))


@pytest.mark.rare
def test_vision_transformers_of_every_size(tmp_path: Path) -> None:
    """torchvision has weights of several sizes for one builder, and a position embedding for each patch."""
    small = torchvision.models.get_model("vit_b_32", weights=None, image_size=64, num_classes=3)
    path = saved(small.state_dict(), tmp_path / "small.safetensors")
    classifier = ImageClassifier.from_torchvision("vit_b_32", weights=path)
    assert classifier.input_size == (64, 64)
    assert classifier.class_names == tuple("012")
    x = torch.randn(1, 3, 64, 64)
    with torch.no_grad():
        assert torch.equal(classifier.module()(x), small.eval()(x))


@pytest.mark.parametrize(
    ("name", "size"), [("vit_h_14", 518), ("vit_b_16", 224), ("inception_v3", 299), ("maxvit_t", 224)]
)
def test_random_weights_fit_the_preprocessing(name: str, size: int) -> None:
    with torch.device("meta"), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # some initialisations do not know this device, which needs no memory
        model, preprocess, _ = build(name, None)
    assert preprocess is not None
    assert preprocess(Image.new("RGB", (600, 600))).shape == (3, size, size)
    assert getattr(model, "image_size", size) == size


def test_preprocessing_of_other_weights_than_the_default() -> None:
    for size in (224, 384, 96):
        preprocess = _preprocess_of_size("vit_b_16", size)
        assert preprocess(Image.new("RGB", (500, 400))).shape == (3, size, size)


# Refused


@pytest.mark.parametrize("name", ["resnet51", "", "ResNet50", "fasterrcnn_resnet50_fpn", "raft_small", "r3d_18"])
def test_unknown_names(name: str) -> None:
    with pytest.raises(InputError, match=f"torchvision has no classifier '{name}'; 'resnet50' and"):
        ImageClassifier.from_torchvision(name, weights=None)


def test_a_failed_download_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    from urllib.error import URLError

    def fail(*_args: Any, **_options: Any) -> None:
        raise URLError("Name or service not known")

    monkeypatch.setattr("torch.hub.download_url_to_file", fail)
    monkeypatch.setattr("torch.hub.get_dir", lambda: "nowhere-that-exists")
    monkeypatch.setattr("torch.hub.os.makedirs", lambda *_a, **_o: None)
    with pytest.raises(ModelError, match=r"weights of squeezenet1_1 cannot be downloaded.*give a local file, weights="):
        ImageClassifier.from_torchvision("squeezenet1_1")


def test_files_that_are_none(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"no weights file '.*gone\.pt'"):
        read_state(tmp_path / "gone.pt")
    with pytest.raises(ModelError, match="no weights file"):
        read_state(tmp_path)


@pytest.mark.parametrize("file", ["w.safetensors", "w.pt"])
@pytest.mark.parametrize("kept", [0, 40, -200], ids=["empty", "beginning", "cut off"])
def test_damaged_files(squeezenet: nn.Module, tmp_path: Path, file: str, kept: int) -> None:
    path = saved(squeezenet.state_dict(), tmp_path / file)
    path.write_bytes(path.read_bytes()[:kept])
    with pytest.raises(ModelError, match=f"'{file}' is damaged"):
        ImageClassifier.from_torchvision("squeezenet1_1", weights=path)


def test_text_is_no_weights(tmp_path: Path) -> None:
    (tmp_path / "w.pth").write_text("not weights at all\n" * 9)
    with pytest.raises(ModelError, match=r"'w.pth' is damaged, or holds more than tensors"):
        read_state(tmp_path / "w.pth")


class Opened:
    """Unpickling it makes a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return (Path.touch, (self.path,))


@pytest.mark.parametrize("zipped", [True, False])
def test_code_in_a_file_is_not_run(tmp_path: Path, zipped: bool) -> None:
    trap, path = tmp_path / "trap", tmp_path / "w.pt"
    if zipped:
        torch.save({"weight": Opened(trap)}, path)
    else:
        path.write_bytes(pickle.dumps({"weight": Opened(trap)}, protocol=2))
    with pytest.raises(ModelError, match=r"'w.pt' .*holds more than tensors and is not opened"):
        ImageClassifier.from_torchvision("squeezenet1_1", weights=path)
    assert not trap.exists()


def test_whole_models_are_not_opened(tmp_path: Path) -> None:
    torch.save(nn.Linear(2, 2), tmp_path / "model.pt")
    with pytest.raises(ModelError, match=r"holds more than tensors and is not opened: save a state_dict"):
        read_state(tmp_path / "model.pt")


@pytest.mark.parametrize("content", [{}, [torch.zeros(1)], {"epoch": 3}, torch.zeros(3)], ids=repr)
def test_files_of_something_else(tmp_path: Path, content: Any) -> None:
    torch.save(content, tmp_path / "w.pt")
    with pytest.raises(ModelError, match=r"'w\.pt' holds no state dict"):
        read_state(tmp_path / "w.pt")


def test_weights_of_another_model(squeezenet: nn.Module, tmp_path: Path) -> None:
    path = saved(squeezenet.state_dict(), tmp_path / "w.safetensors")
    with pytest.raises(ModelError, match=r"'w.safetensors' does not fit squeezenet1_0: .*features\.5\.squeeze\.weight"):
        ImageClassifier.from_torchvision("squeezenet1_0", weights=path)


def test_weights_that_are_not_finite(squeezenet: nn.Module, tmp_path: Path) -> None:
    state = {key: value.clone() for key, value in squeezenet.state_dict().items()}
    state["features.0.bias"][3] = float("nan")
    path = saved(state, tmp_path / "w.safetensors")
    with pytest.raises(ModelError, match=r"weights 'features\.0\.bias' hold NaN"):
        ImageClassifier.from_torchvision("squeezenet1_1", weights=path)


# Real weights


@pytest.mark.parametrize(("name", "rows"), [("squeezenet1_1", 1000), ("mobilenet_v2", 1000)])
def test_real_weights_name_real_photographs(data_dir: Path, name: str, rows: int) -> None:
    classifier = ImageClassifier.from_torchvision(name, weights=data_dir / "models" / f"{name}.safetensors")
    assert len(classifier.class_names) == rows
    labels = json.loads((data_dir / "imagenet_samples" / "labels.json").read_text())
    photographs = sorted((data_dir / "imagenet_samples").glob("*.jp*g"))[:12]
    assert photographs
    right = 0
    for path in photographs:
        right += labels[path.name]["index"] in [p.index for p in predict(classifier, Sample.read(path))]
    assert right >= 9  # of twelve, among the top five
