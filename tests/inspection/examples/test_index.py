"""The index against its plain definition: all images at once, the largest over all places, sorted."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from inspection.examples.made import (
    Shortcut,
    Tokens,
    Twice,
    all_maps,
    classifier_of,
    images,
    neurons_of,
    write,
)
from PIL import Image
from torch import Tensor, nn
from torchvision.transforms import functional as TF

import spade_widgets as sw
from spade_widgets.classifier import ImageClassifier
from spade_widgets.errors import InputError
from spade_widgets.inspection.examples import Examples, Index, best, examples, index, peaks, photographs
from spade_widgets.neuron import Neuron
from spade_widgets.pruning.progress import finish
from spade_widgets.sample import Sample

TOGETHER = 7


@pytest.fixture(autouse=True)
def small_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(index, "together", lambda classifier: classifier.at_once(TOGETHER))


@pytest.fixture
def reads(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The titles of all images that were read."""
    titles: list[str] = []
    read = photographs._read

    def counted(classifier: ImageClassifier, photograph: photographs.Photograph) -> photographs.Read:
        found = read(classifier, photograph)
        titles.append(found.title or found.trouble)
        return found

    monkeypatch.setattr(photographs, "_read", counted)
    return titles


def same(one: Index, other: Index) -> bool:
    """Whether two indexes answer alike, for every neuron, up to the last digits of float64."""
    if (one.seen, set(one.left_out)) != (other.seen, set(other.left_out)):
        return False
    for neuron in neurons_of(one.classifier):
        a, b = one.examples(neuron, 64), other.examples(neuron, 64)
        if [(e.id, e.place) for e in a] != [(e.id, e.place) for e in b]:
            return False
        if not np.allclose([e.value for e in a], [e.value for e in b]) or not np.allclose(a.quantiles, b.quantiles):
            return False
    return True


@pytest.mark.parametrize("model", [Shortcut, Twice, Tokens])
def test_every_neuron_is_as_by_the_definition(model: type[nn.Module]) -> None:
    classifier, samples = classifier_of(model), images(100)
    found = finish(Index(classifier).build(samples))
    for neuron in neurons_of(classifier):
        maps = all_maps(classifier, samples, neuron.layer)[:, neuron.channel]
        largest, places = maps.flatten(1).max(1)
        # Of equal values (dead channels) the smaller id comes first.
        order = sorted(range(100), key=lambda i: (-np.float32(largest[i]), samples[i].id))
        got = found.examples(neuron, 64)
        assert [e.id for e in got] == [samples[i].id for i in order[:64]]
        assert [e.value for e in got] == pytest.approx([float(largest[i]) for i in order[:64]])
        assert [e.place for e in got] == [divmod(int(places[i]), maps.shape[2]) for i in order[:64]]
        assert got[0].source is samples[order[0]]
        assert got.quantiles == pytest.approx(np.quantile(largest, np.linspace(0, 1, 101)), abs=1e-6)
        middle = float(largest.float().median())  # as it is kept
        assert got.percentile(middle) == pytest.approx(
            100 * float((largest.float() < middle).double().mean() + (largest.float() == middle).double().mean() / 2),
            abs=0.51,
        )


def test_a_neuron_at_a_position_is_taken_there() -> None:
    classifier, samples = classifier_of(Shortcut), images(20)
    got = examples(classifier, "conv2:3@2,5", samples, 20)
    values = all_maps(classifier, samples, "conv2")[:, 3, 2, 5]
    assert [e.value for e in got] == pytest.approx(values.sort(descending=True).values.tolist())
    assert {e.place for e in got} == {(2, 5)}
    with pytest.raises(InputError, match="does not have 'conv2:3@2,5'"):
        finish(Index(classifier).build(samples)).examples("conv2:3@2,5")


def test_a_float32_network_channels_last_gives_the_same() -> None:
    exact = classifier_of(Shortcut)
    torch.manual_seed(0)
    single = ImageClassifier(Shortcut(), preprocess=exact._preprocess)
    assert single.channels_last
    one, other = (finish(Index(c).build(images(30))) for c in (exact, single))
    for neuron in neurons_of(single):
        values = [[e.value for e in found.examples(neuron, 30)] for found in (one, other)]
        assert values[0] == pytest.approx(values[1], abs=1e-5)


def test_a_model_of_one_image_at_a_time() -> None:
    class Batchwise(Shortcut):
        def forward(self, x: Tensor) -> Tensor:
            out = super().forward(x)
            return out - out.mean(0) + out.amax()

    classifier = classifier_of(Batchwise)
    assert not classifier.independent
    samples = images(5)
    got = examples(classifier, "conv2:0", samples, 5)
    alone = [float(peaks(classifier, sample, "conv2")[0]) for sample in samples]
    assert [e.value for e in got] == pytest.approx(sorted(alone, reverse=True))


def test_dropped_half_way_it_goes_on(tmp_path: Path, reads: list[str]) -> None:
    classifier, samples = classifier_of(Shortcut), images(60)
    folder = tmp_path / "photos"
    write(samples, folder)
    whole = finish(Index(classifier).build(folder))
    reads.clear()

    begun = Index(classifier, cache=tmp_path / "cache")
    steps = begun.build(folder)
    done = [next(steps).done for _ in range(4)]
    steps.close()
    assert done == [0, 7, 14, 21]
    assert begun.seen == 21

    # The same index goes on; and so does another one, of another kernel, from the disk.
    later = finish(Index(classifier, cache=tmp_path / "cache").build(folder))
    assert same(later, whole)
    assert len(set(reads)) == 60
    assert len(reads) < 60 + 3 * TOGETHER  # what was read ahead when it was dropped, once more
    assert same(finish(begun.build(folder)), whole)


def test_new_images_extend_it(tmp_path: Path, reads: list[str]) -> None:
    classifier = classifier_of(Twice)
    folder, cache = tmp_path / "photos", tmp_path / "cache"
    write(images(70, seed=1), folder)
    first = finish(Index(classifier, cache=cache).build(folder))
    write(images(50, seed=0), folder / "more")  # sorted before some of them
    reads.clear()
    extended = finish(Index(classifier, cache=cache).build(folder))
    assert len(reads) == 50
    assert same(extended, finish(Index(classifier).build(folder)))
    assert first.seen == 70
    assert same(finish(first.build([folder / "more"])), extended)
    assert len(list(cache.glob("examples-*"))) == 1

    # What is no longer asked for is in no answer.
    alone = finish(Index(classifier, cache=cache).build(folder / "more"))
    assert alone.seen == 50
    assert same(alone, finish(Index(classifier).build(images(50, seed=0))))


def test_an_unchanged_file_is_not_read_again(tmp_path: Path, reads: list[str]) -> None:
    classifier = classifier_of(Shortcut)
    paths = write(images(9), tmp_path / "photos")
    (tmp_path / "photos" / "broken.png").write_bytes(b"no image")
    sw.examples(classifier, "conv1:0", tmp_path / "photos", cache=tmp_path / "cache")
    assert len(reads) == 10
    reads.clear()
    found = sw.examples(classifier, "conv2:1", tmp_path / "photos", cache=tmp_path / "cache")
    assert reads == []
    assert found.seen == 9
    assert len(found.left_out) == 1
    assert found[0].source in paths

    # Other weights, or another preprocessing, are another index.
    sw.examples(classifier_of(Shortcut, seed=5), "conv2:1", tmp_path / "photos", cache=tmp_path / "cache")
    brighter = ImageClassifier(classifier.module(), preprocess=lambda image: classifier._preprocess(image) * 2)
    sw.examples(brighter, "conv2:1", tmp_path / "photos", cache=tmp_path / "cache")
    assert len(reads) == 20

    # A file that was changed is another image.
    images(1, seed=9)[0].image.save(paths[4])
    reads.clear()
    finish(Index(classifier, cache=tmp_path / "cache").build(tmp_path / "photos"))
    assert paths[4].stem in reads


def test_two_networks_of_equal_weights_are_told_apart(tmp_path: Path) -> None:
    class Other(Shortcut):
        def forward(self, x: Tensor) -> Tensor:
            return super().forward(x.flip(3)) * 2

    torch.manual_seed(0)
    one, two = (
        ImageClassifier(m().double(), preprocess=classifier_of(Shortcut)._preprocess) for m in (Shortcut, Other)
    )
    two._model.load_state_dict(one._model.state_dict())
    assert one.digest == two.digest
    values = [sw.examples(c, "logit:1", images(5), cache=tmp_path)[0].value for c in (one, two)]
    assert values[0] != pytest.approx(values[1])


def test_the_same_image_twice_counts_once(tmp_path: Path) -> None:
    samples = images(6)
    paths = write(samples, tmp_path / "a") + write(samples, tmp_path / "b")
    found = examples(classifier_of(Shortcut), "conv1:0", [*paths, *samples], 12)
    assert len(found) == found.seen == 6


def test_what_cannot_be_read_is_named_and_left_out(tmp_path: Path) -> None:
    classifier = classifier_of(Shortcut)
    write(images(5), tmp_path / "inner" / "deep")
    (tmp_path / "inner" / "torn.png").write_bytes(write(images(1, 3), tmp_path / "inner")[0].read_bytes()[:200])
    (tmp_path / ".hidden").mkdir()
    write(images(1, 4), tmp_path / ".hidden")
    (tmp_path / "notes.txt").write_text("no image")
    made = Index(classifier)
    assert [step.total for step in made.build(tmp_path)] == [7, 7]
    assert made.seen == 6
    assert len(made.left_out) == 1
    assert "'torn.png' is damaged" in made.left_out[0]
    images(1, 5)[0].image.save(tmp_path / "inner" / "torn.png")
    finish(made.build([tmp_path, tmp_path / "gone.png"]))
    assert made.seen == 7
    assert made.left_out == ("There is no file 'gone.png'.",)


def test_an_image_without_finite_values_is_left_out() -> None:
    class Root(Shortcut):
        def forward(self, x: Tensor) -> Tensor:
            return super().forward(x) + (x.mean() + 1.5).sqrt()

    samples = [*images(3), Sample(images(1)[0].image.point(lambda _: 0), "black")]
    classifier = ImageClassifier(Root(), preprocess=classifier_of(Shortcut)._preprocess)
    found = [examples(classifier, "logit:0", [sample]) for sample in samples[:3]]
    assert all(isinstance(one, Examples) for one in found)
    with pytest.raises(InputError, match="gives NaN or infinite values on 'black'"):
        examples(classifier, "logit:0", samples[3:])


def test_images_of_several_sizes_and_one_that_the_preprocessing_fails_on() -> None:
    def uncropped(image: Image.Image) -> Tensor:
        if image.size == (7, 7):
            raise RuntimeError("too small")
        return TF.normalize(TF.to_tensor(TF.resize(image, 16)), [0.5] * 3, [0.25] * 3)

    torch.manual_seed(0)
    classifier = ImageClassifier(Shortcut().double(), preprocess=uncropped)
    shapes = [(20, 20), (40, 20), (20, 30), (40, 20), (7, 7)]
    samples = [Sample(s.image.resize(size), s.title) for s, size in zip(images(5), shapes, strict=True)]
    found = examples(classifier, "conv2:1", samples, 5)
    one_by_one = [all_maps(classifier, [sample], "conv2")[0, 1] for sample in samples[:4]]
    for example, maps in zip(found, sorted(one_by_one, key=lambda m: -float(m.max())), strict=True):
        assert example.value == pytest.approx(float(maps.max()))
        assert float(maps[example.place]) == pytest.approx(float(maps.max()))
    assert found.left_out == ("The preprocessing fails on '0-4': RuntimeError: too small.",)


def test_the_upper_tail_is_exact_where_not_all_values_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(best, "MOST", 200)
    monkeypatch.setattr(best, "FEWEST", 200)
    rng = np.random.default_rng(0)
    values = rng.normal(size=(3000, 5)).astype(np.float32).clip(0)
    keys = [int(key) for key in rng.integers(0, 2**64, 3000, dtype=np.uint64)]
    kept = best.Best(5)
    for key, row in zip(keys, values, strict=True):
        kept.add(key, row, np.zeros(5, np.int32))
    assert kept.sampled.shape == (200, 5)
    for neuron in range(5):
        spread, ordered = kept.spread(neuron), np.sort(values[:, neuron])
        for rank in (2999, 2990, 2950, 2940):
            exact = 100 * (rank + 0.5) / 3000
            assert spread.percentiles(ordered[rank : rank + 1])[0] == pytest.approx(exact, abs=1e-6)
        assert spread.percentiles([-1.0, 99.0]).tolist() == [0, 100]
        # Half of them are 0: equal ones count half. The rest is as good as 200 of 3000 are: 3 %, four times.
        assert spread.percentiles([0.0])[0] == pytest.approx(25, abs=4)
        assert spread.percentiles([0.5])[0] == pytest.approx(100 * float((ordered < 0.5).mean()), abs=12)
        assert spread.quantiles([0.0, 1.0]).tolist() == [0, ordered[-1]]


@pytest.mark.parametrize("seed", range(5))
def test_what_is_kept_does_not_depend_on_the_order(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(best, "MOST", 50)
    monkeypatch.setattr(best, "FEWEST", 50)
    rng = np.random.default_rng(seed)
    values = rng.integers(-3, 4, (300, 9)).astype(np.float32)  # many are equal
    keys = [int(key) for key in rng.integers(0, 2**64, 300, dtype=np.uint64)]
    found = []
    for order in (np.arange(300), rng.permutation(300)):
        kept = best.Best(9)
        for step, i in enumerate(order):
            if step == 180:  # kept on disk, and read again
                kept = best.Best.of({name: array.copy() for name, array in kept.arrays().items()})
            kept.add(keys[i], values[i], np.full(9, i, np.int32))
        ranked = [kept.ranked(neuron) for neuron in range(9)]
        found.append([(v.tolist(), [kept.keys[i] for i in im], p.tolist()) for v, im, p in ranked])
        found[-1].append(sorted(kept.keys[i] for i in kept.drawn))
    assert found[0] == found[1]
    for neuron in range(9):
        order = sorted(range(300), key=lambda i: (-values[i, neuron], keys[i]))[:64]
        assert found[0][neuron][1] == [keys[i] for i in order]
        assert found[0][neuron][2] == order


def test_memory_holds_a_few_batches_and_no_image(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    classifier = classifier_of(Shortcut)
    write(images(120), tmp_path)
    alive: list[weakref.ref[object]] = []
    prepare = ImageClassifier.prepare

    def watched(self: ImageClassifier, sample: Sample) -> Tensor:
        inputs = prepare(self, sample)
        alive.extend([weakref.ref(sample), weakref.ref(inputs)])
        return inputs

    monkeypatch.setattr(ImageClassifier, "prepare", watched)
    most = 0
    made = Index(classifier)
    for _ in made.build(tmp_path):
        gc.collect()
        most = max(most, sum(ref() is not None for ref in alive))
    assert len(alive) == 240
    assert 0 < most <= 3 * TOGETHER + 3
    gc.collect()
    assert sum(ref() is not None for ref in alive) == 0


def test_progress_and_time_left() -> None:
    seen = []
    examples(classifier_of(Shortcut), "conv1:0", images(20), progress=seen.append)
    assert [(step.done, step.total) for step in seen] == [(0, 20), (7, 20), (14, 20), (20, 20)]
    assert seen[0].seconds_left is None
    assert seen[1].seconds_left is not None
    assert seen[1].seconds_left > 0
    assert seen[-1].seconds_left == 0


def test_percentiles_of_a_layer() -> None:
    classifier, samples = classifier_of(Shortcut), images(30)
    made = finish(Index(classifier).build(samples))
    for layer in ("conv2", None):
        got = made.percentiles(layer, peaks(classifier, samples[4], layer))
        values = all_maps(classifier, samples, layer).flatten(2).amax(2)
        assert got == pytest.approx(100 * ((values < values[4] - 1e-9).double().mean(0) + 0.5 / 30).numpy())


def relevance_by_hand(classifier: ImageClassifier, x: Tensor) -> tuple[Tensor, int]:
    """Of the hidden units of a network without biases: weight × activation, for the predicted class."""
    module = classifier.module()
    hidden = torch.relu(module[1](module[0](x)))
    best_class = int(module(x).argmax())
    return module[3].weight[best_class] * hidden[0], best_class


def test_relevance_is_what_reached_the_class() -> None:
    torch.manual_seed(2)
    model = nn.Sequential(
        nn.Flatten(), nn.Linear(3 * 256, 10, bias=False), nn.ReLU(), nn.Linear(10, 4, bias=False)
    ).double()
    classifier, samples = ImageClassifier(model, preprocess=classifier_of(Shortcut)._preprocess), images(12)
    by_hand = [relevance_by_hand(classifier, classifier.prepare(sample)) for sample in samples]
    for unit in range(10):
        got = examples(classifier, f"1:{unit}", samples, 12, by="relevance")
        assert got.by == "relevance"
        assert [e.value for e in got] == pytest.approx(
            sorted((float(r[unit]) for r, _ in by_hand), reverse=True), abs=1e-5
        )
    best_class = by_hand[0][1]
    logits = all_maps(classifier, samples, None)[:, best_class, 0, 0]
    got = examples(classifier, f"logit:{best_class}", samples, 12, by="relevance")
    expected = [float(z) if k == best_class else 0.0 for z, (_, k) in zip(logits, by_hand, strict=True)]
    assert [e.value for e in got] == pytest.approx(sorted(expected, reverse=True))


def test_relevance_is_conserved_and_peaks_where_it_is_largest() -> None:
    classifier, samples = classifier_of(Shortcut), images(4)
    made = finish(Index(classifier, "relevance").build(samples))
    logits = {s.id: float(all_maps(classifier, [s], None).max()) for s in samples}
    sums = dict.fromkeys(logits, 0.0)
    for channel in range(6):
        for example in made.examples(Neuron("conv1", channel), 4):
            sums[example.id] += example.value
    assert sums == pytest.approx(logits, rel=1e-3)
    place = made.examples("conv1:0", 1)[0]
    there = examples(classifier, f"conv1:0@{place.place[0]},{place.place[1]}", [place.sample], by="relevance")
    beside = examples(
        classifier, f"conv1:0@{(place.place[0] + 1) % 8},{place.place[1]}", [place.sample], by="relevance"
    )
    assert there[0].value > beside[0].value


def changed(classifier: ImageClassifier) -> Iterator[None]:
    with torch.no_grad():
        classifier._model.fc.bias += 1
    yield


def test_bad_input(tmp_path: Path) -> None:
    classifier, samples = classifier_of(Shortcut), images(3)
    with pytest.raises(InputError, match="There is no image file"):
        examples(classifier, "conv1:0", tmp_path)
    with pytest.raises(InputError, match="list of samples is empty"):
        examples(classifier, "conv1:0", [])
    with pytest.raises(InputError, match="There is no file"):
        examples(classifier, "conv1:0", tmp_path / "gone.png")
    with pytest.raises(InputError, match="There is no layer 'conv7'"):
        examples(classifier, "conv7:0", samples)
    with pytest.raises(InputError, match="there is no channel 99"):
        examples(classifier, "conv1:99", samples)
    with pytest.raises(InputError, match="'count' is a whole number from 1; 0 is none"):
        examples(classifier, "conv1:0", samples, 0)
    with pytest.raises(InputError, match="keeps the best 64"):
        examples(classifier, "conv1:0", samples, 65)
    with pytest.raises(InputError, match="'beauty' is neither"):
        examples(classifier, "conv1:0", samples, by="beauty")  # type: ignore[arg-type]
    with pytest.raises(InputError, match="no cache"):
        examples(classifier, "conv1:0", samples, cache=3)  # type: ignore[arg-type]
    with pytest.raises(InputError, match="not for a Sequential"):
        Index(nn.Sequential())  # type: ignore[arg-type]
    made = finish(Index(classifier).build(samples))
    with pytest.raises(InputError, match="other weights"):
        examples(classifier_of(Shortcut, seed=7), "conv1:0", samples, index=made)
    with pytest.raises(InputError, match="by activation, and examples by relevance"):
        examples(classifier, "conv1:0", samples, by="relevance", index=made)
    with pytest.raises(InputError, match="no index of examples"):
        examples(classifier, "conv1:0", samples, index=tmp_path)  # type: ignore[arg-type]
    with pytest.raises(InputError, match="holds no image yet"):
        Index(classifier).examples("conv1:0")
    with pytest.raises(InputError, match=r"'conv1' has 6 channels; \(2,\) values"):
        made.percentiles("conv1", [1.0, 2.0])
    next(changed(classifier))
    with pytest.raises(InputError, match="have changed since"):
        made.examples("conv1:0")
