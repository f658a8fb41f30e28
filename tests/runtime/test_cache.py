"""What a session keeps on disk: found again to the last bit by whoever asks for the same, and by nobody else."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn
from torchvision import transforms

from spade_widgets.classifier import ImageClassifier
from spade_widgets.network import half
from spade_widgets.neuron import Neuron
from spade_widgets.pruning.pruner import Pruner
from spade_widgets.runtime import attribute as attributing
from spade_widgets.runtime.attribute import Found, Question, attribute, known_maps, walk
from spade_widgets.runtime.cache import answer
from spade_widgets.runtime.drawing import PLAIN
from spade_widgets.runtime.explore import Rendered, Selection, explore
from spade_widgets.runtime.jobs import Worker
from spade_widgets.runtime.session import Session
from spade_widgets.runtime.tracing import Pruning
from spade_widgets.sample import Sample
from spade_widgets.visualization import Renderer

PRUNING = Pruning(0.1 + 0.2, "pattern", "3, 7")
NEURON = Neuron("3", 2)


def sample(seed: int = 0, title: str = "sample", masked: bool = False) -> Sample:
    pixels = np.random.default_rng(seed).integers(0, 256, (32, 32, 3), dtype=np.uint8)
    mask = np.zeros((32, 32), dtype=bool)
    mask[3:9, 4:12] = True
    return Sample(Image.fromarray(pixels), title, mask=mask if masked else None)


@pytest.fixture
def open_session(tiny: ImageClassifier, tmp_path: Path) -> Iterator[Callable[..., Session]]:
    """Opens sessions on one folder, each as a kernel of its own would."""
    made: list[Session] = []

    def new(classifier: ImageClassifier = tiny, *samples: Sample, **options: Any) -> Session:
        options = {"augmentations": 4, "steps": 3, "cache": tmp_path, "worker": Worker(), **options}
        session = Session(classifier, samples or (sample(),), **options)
        made.append(session)
        return session

    yield new
    for session in made:
        session.worker.close()


def looked_at(session: Session, pruning: Pruning = PRUNING, neuron: Neuron = NEURON) -> dict[str, Any]:
    """Everything that the Explorer shows, once it is written."""
    last: dict[str, Renderer] = {}
    for event in explore(session, Selection(session.samples[0], pruning, neuron, "3")):
        if isinstance(event, Rendered):
            last[event.which] = event.renderer
    session.cache.flush()
    trace = session.known_trace(session.samples[0], pruning)
    assert trace is not None
    return {"trace": trace, **last}


def explained(session: Session, methods: tuple[str, ...] = ("saliency", "gradcam")) -> Question:
    """Everything that the Saliency panel shows, with curves, once it is written."""
    question = Question(session.samples[0], PRUNING, methods, None)
    for _ in attribute(session, question):
        pass
    for _ in walk(session, question):
        pass
    session.cache.flush()
    return question


@contextmanager
def nothing_computed() -> Iterator[None]:
    """Fails where a trace, a step of a picture, a map or a curve is computed."""

    def forbidden(*_: Any, **__: Any) -> Any:
        raise AssertionError("this should have been found")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Pruner, "prune", forbidden)
        patch.setattr(Renderer, "step", forbidden)
        for name in ("noted_steps", "curve_steps"):
            patch.setattr(attributing, name, forbidden)
        patch.setattr("spade_widgets.runtime.tracing.stages", forbidden)
        yield


def entries(folder: Path) -> dict[str, bytes]:
    return {file.name: file.read_bytes() for file in sorted(folder.iterdir())}


def kinds(folder: Path) -> list[str]:
    return [name.split("-")[0] for name in entries(folder)]


def test_another_kernel_finds_trace_and_pictures_to_the_last_bit(
    open_session: Callable[..., Session], tmp_path: Path
) -> None:
    first = looked_at(open_session())
    assert kinds(tmp_path) == ["picture", "picture", "trace"]
    with nothing_computed():
        second = looked_at(open_session())
    one, other = first["trace"], second["trace"]
    assert other is not one
    assert other.plan == one.plan
    assert list(other.plan.sparsities.values()) == [0.1 + 0.2] * 2
    assert all(torch.equal(w, other.weights()[name]) for name, w in one.weights().items())
    assert list(one.stats()) == list(other.stats())
    assert one.agreement == other.agreement
    for which in ("dense", "sparse"):
        left, right = first[which], second[which]
        assert torch.equal(left.image(), right.image())
        assert (left.steps_done, left.activation, left.seconds) == (right.steps_done, right.activation, right.seconds)
        for renderer in (left, right):
            renderer.step()
        assert torch.equal(left.image(), right.image())  # it goes on alike too


def test_another_kernel_finds_maps_and_curves_to_the_last_bit(
    open_session: Callable[..., Session], tiny: ImageClassifier, tmp_path: Path
) -> None:
    first = open_session(tiny, sample(masked=True))
    question = explained(first)
    assert sorted(set(kinds(tmp_path))) == ["curve", "map", "trace"]
    assert kinds(tmp_path).count("curve") == 8
    second = open_session(tiny, sample(masked=True))
    with nothing_computed():
        explained(second)
    one, other = known_maps(first, question), known_maps(second, question)
    assert one.keys() == other.keys()
    assert len(one) == 4
    for cell, left in one.items():
        right = other[cell]
        assert isinstance(right, Found)
        assert np.array_equal(left.map, right.map)
        assert left.map.dtype == right.map.dtype
        assert (left.key, left.metrics, left.seconds) == (right.key, right.metrics, right.seconds)
        assert left.metrics


CHANGES: dict[str, dict[str, Any]] = {
    "seed": {"options": {"seed": 1}},
    "augmentations": {"options": {"augmentations": 5}},
    "steps": {"options": {"steps": 2}},
    "sparsity": {"pruning": Pruning(0.3, "pattern", "3, 7")},  # not 0.1 + 0.2
    "layers": {"pruning": Pruning(0.1 + 0.2, "pattern", "7")},
    "solver": {"pruning": Pruning(0.1 + 0.2, "pattern", "3, 7", solver="magnitude")},
    "sample": {"samples": (sample(1),)},
    "neuron": {"neuron": Neuron("3", 1)},
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES.keys())
def test_whoever_asks_for_something_else_does_not_find_it(
    change: dict[str, Any], open_session: Callable[..., Session], tiny: ImageClassifier, tmp_path: Path
) -> None:
    looked_at(open_session())
    before = set(entries(tmp_path))
    session = open_session(tiny, *change.get("samples", ()), **change.get("options", {}))
    selected = {name: change[name] for name in ("pruning", "neuron") if name in change}
    looked_at(session, **selected)
    new = set(entries(tmp_path)) - before
    # The dense picture depends on neither sample nor pruning, the trace not on steps or neuron.
    expected = {"steps": 2, "neuron": 2, "sparsity": 2, "layers": 2, "solver": 2, "sample": 2, "augmentations": 2}
    [name] = [n for n, c in CHANGES.items() if c is change]
    assert len(new) == expected.get(name, 3)


def other_classifier(model: nn.Module, shift: float = 0.0, size: int = 32) -> ImageClassifier:
    def preprocess(image: Image.Image) -> torch.Tensor:
        small = transforms.Compose([transforms.Resize((size, size)), transforms.ToTensor()])(image)
        return (small.roll(round(shift), 2) - 0.5) / 0.25

    return ImageClassifier(model, preprocess=preprocess)


class Sharper(nn.Sequential):
    """The same weights, another answer."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        logits: torch.Tensor = super().forward(x)
        return 1.02 * logits


def test_other_weights_other_code_and_other_preprocessing_are_told_apart(
    tiny_model: nn.Module, open_session: Callable[..., Session], tmp_path: Path
) -> None:
    plain = other_classifier(tiny_model)
    looked_at(open_session(plain))
    assert len(entries(tmp_path)) == 3
    with nothing_computed():
        looked_at(open_session(other_classifier(tiny_model)))
    sharper = other_classifier(Sharper(*tiny_model))
    assert sharper.digest == plain.digest  # the weights do not tell
    looked_at(open_session(sharper))
    assert len(entries(tmp_path)) == 6
    shifted = other_classifier(tiny_model, shift=3)
    assert shifted.digest == plain.digest  # nor does the normalisation
    looked_at(open_session(shifted))
    assert len(entries(tmp_path)) == 8  # the dense picture is the same
    with torch.no_grad():
        tiny_model[0].weight.mul_(1.001)
    looked_at(open_session(other_classifier(tiny_model)))
    assert len(entries(tmp_path)) == 11


def test_the_answer_does_not_depend_on_the_last_digits(tiny_model: nn.Module) -> None:
    before = answer(other_classifier(tiny_model))
    with torch.no_grad():
        tiny_model[7].weight.mul_(1 + 1e-6)
    assert answer(other_classifier(tiny_model)) == before
    with torch.no_grad():
        tiny_model[7].weight.mul_(1.02)
    assert answer(other_classifier(tiny_model)) != before


def test_what_was_computed_while_the_network_was_changed_is_not_kept(
    tiny_model: nn.Module, open_session: Callable[..., Session], tmp_path: Path
) -> None:
    session = open_session(other_classifier(tiny_model))
    renderer = session.renderer(session.classifier, NEURON)
    for _ in range(session.steps):
        renderer.step()
    with torch.no_grad():
        tiny_model[0].weight.mul_(1.5)
    session.keep(renderer)
    session.cache.flush()
    assert entries(tmp_path) == {}


def test_an_unfinished_picture_is_not_kept(open_session: Callable[..., Session], tmp_path: Path) -> None:
    session = open_session()
    renderer = session.renderer(session.classifier, NEURON)
    renderer.step()
    session.keep(renderer)
    session.cache.flush()
    assert entries(tmp_path) == {}


@pytest.mark.parametrize("damage", ["cut", "flipped", "swapped", "empty"])
def test_damaged_entries_are_computed_again_and_never_shown(
    damage: str, open_session: Callable[..., Session], tmp_path: Path
) -> None:
    first = looked_at(open_session())
    explained(open_session())
    looked_at(open_session(), Pruning(0.7, "pattern", "3, 7"))
    whole = entries(tmp_path)
    for name, content in whole.items():
        kind = [other for other in whole if other.split("-")[0] == name.split("-")[0]]
        hurt = {
            "cut": content[: len(content) // 2],
            "flipped": content[:-9] + bytes([content[-9] ^ 1]) + content[-8:],
            "swapped": whole[kind[kind.index(name) - 1]],  # whole, but another one's
            "empty": b"",
        }[damage]
        (tmp_path / name).write_bytes(hurt)
    again = looked_at(open_session())
    explained(open_session())
    looked_at(open_session(), Pruning(0.7, "pattern", "3, 7"))
    for which in ("dense", "sparse"):
        assert torch.equal(first[which].image(), again[which].image())
    assert all(torch.equal(w, again["trace"].weights()[name]) for name, w in first["trace"].weights().items())
    repaired = entries(tmp_path)
    assert repaired.keys() == whole.keys()
    with nothing_computed():  # each is whole again
        looked_at(open_session())
        explained(open_session())
        looked_at(open_session(), Pruning(0.7, "pattern", "3, 7"))


def test_without_a_folder_nothing_is_written_and_the_network_is_not_asked_more(
    open_session: Callable[..., Session], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("spade_widgets.runtime.cache.answer", None)
    monkeypatch.chdir(tmp_path)
    looked_at(open_session(cache=None))
    assert entries(tmp_path) == {}


def test_a_full_disk_keeps_nobody_from_working(
    open_session: Callable[..., Session], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: Any) -> None:
        raise OSError(28, os.strerror(28))

    for name in ("write_bytes", "replace"):
        monkeypatch.setattr(Path, name, full)
    session = open_session()
    shown = looked_at(session)
    assert shown["sparse"].steps_done == session.steps
    assert session.cache.disk is not None
    assert "No space left on device" in session.cache.disk.trouble
    assert entries(tmp_path) == {}


def test_files_are_written_on_the_workers_thread_when_it_has_nothing_else_to_do(
    open_session: Callable[..., Session], tmp_path: Path
) -> None:
    session = open_session()
    order: list[str] = []
    disk = session.cache.disk
    assert disk is not None
    write = disk.write

    def noted(name: str, how: Any) -> bool:
        order.append(f"written in {threading.current_thread().name}")
        return write(name, how)

    disk.write = noted  # type: ignore[method-assign]

    def computing() -> Iterator[None]:
        for event in explore(session, Selection(session.samples[0], PRUNING, NEURON, "3")):
            order.append(type(event).__name__)
            yield

    job = session.worker.submit("panel", computing(), pytest.fail)
    assert job.finished.wait(60)
    written = [job for owner, job in list(session.worker._jobs.items()) if owner == (session.cache, "writing")]
    assert all(job.finished.wait(60) for job in written)
    assert order[-3:] == ["written in spade-widgets"] * 3
    assert not any(said.startswith("written") for said in order[:-3])


SCRIPT = """
import sys, torch
torch.set_num_threads(1)
from spade_widgets.demo import emoji
from spade_widgets.runtime.session import Session
from spade_widgets.runtime.tracing import Pruning
from spade_widgets.pruning.progress import finish
session = Session(emoji.classifier(), emoji.samples()[:1], augmentations=4, steps=3, cache=sys.argv[1])
finish(session.trace(session.samples[0], Pruning()))
session.worker.close()  # what is idle is dropped
"""


def test_what_waits_to_be_written_is_written_when_the_interpreter_ends(tmp_path: Path) -> None:
    subprocess.run([sys.executable, "-c", SCRIPT, str(tmp_path)], check=True, timeout=300)
    assert kinds(tmp_path) == ["trace"]


def test_pictures_made_in_fewer_bits_have_a_name_of_their_own(
    open_session: Callable[..., Session], monkeypatch: pytest.MonkeyPatch
) -> None:
    session = open_session(size=half.SIDE)
    subject = session.subject(NEURON, PLAIN)
    names = []
    for multiplied in (False, True):
        monkeypatch.setattr(half, "_multiplied", lambda multiplied=multiplied: multiplied)
        names.append(session.cache.picture_name(session.classifier, subject))
    assert names[0] != names[1]
    assert None not in names
