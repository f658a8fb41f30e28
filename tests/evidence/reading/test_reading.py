"""Pictures, judged by a reader: features of known images, places of known maps, tables of known numbers."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor, nn

import spade_widgets as sw
from spade_widgets.classifier import ImageClassifier
from spade_widgets.errors import InputError, ModelError
from spade_widgets.evidence.networks import parse_networks
from spade_widgets.evidence.reading import likeness, patch
from spade_widgets.evidence.reading.conditions import Condition, conditions
from spade_widgets.evidence.reading.likeness import DEAD, KEEPS, LOGIT, RANK, READ, likeness_steps, rank
from spade_widgets.evidence.reading.patch import Asked, Leans, patch_steps
from spade_widgets.evidence.reading.pictures import Picture, Pictures, Style
from spade_widgets.evidence.reading.places import Box, around, covered, elsewhere, places
from spade_widgets.evidence.reading.reader import Reader, centred, late_blocks, similarities
from spade_widgets.evidence.reading.report import Column, Section, cell, csv_text, markdown
from spade_widgets.evidence.reading.sections import likeness_sections, patch_sections, verdict
from spade_widgets.evidence.reading.study import Study, Subject
from spade_widgets.evidence.results import Results, Settings
from spade_widgets.prediction import Network
from spade_widgets.pruning.plans.plan import SparsityPlan
from spade_widgets.pruning.progress import Progress, Steps, finish

PLANS = {"0.5": SparsityPlan({"3": 0.5}), "0.8": SparsityPlan({"3": 0.8})}
STYLE = Style(steps=2, size=16)


class Colours(nn.Module):
    """Features are the colours; classes are which of them there is most of, then two that never are."""

    def __init__(self) -> None:
        super().__init__()
        self.seen = nn.Conv2d(3, 3, 1, bias=False)
        self.seen.weight.data = torch.eye(3)[:, :, None, None]
        self.head = nn.Linear(3, 5)
        self.head.weight.data = torch.eye(5, 3)
        self.head.bias.data = torch.tensor([0.0, 0.0, 0.0, -9.0, -9.0])

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.head(self.seen(x).mean((2, 3)))
        return out


@pytest.fixture
def colours(tiny: ImageClassifier) -> ImageClassifier:
    return ImageClassifier(Colours().eval(), class_names=tiny.class_names, preprocess=tiny._preprocess, name="Colours")


def plain(*colour: float) -> Tensor:
    return torch.tensor(colour)[:, None, None].expand(3, 8, 8).float()


def sample(seed: int, size: int = 32, mask: bool = False) -> sw.Sample:
    image = np.random.default_rng(seed).integers(0, 255, (size, size, 3), dtype=np.uint8)
    area = np.zeros((size, size), bool)
    area[4:12, 20:28] = True
    return sw.Sample.read(image, title=f"s{seed}", mask=area if mask else None)


def study(tiny: ImageClassifier, reader: ImageClassifier, **changes: object) -> Study:
    made = conditions(parse_networks(["dense", "fast"]), PLANS, 4, 0)
    whole = Study(tiny, made, Reader(reader), Pictures(STYLE), Results(), seeds=2)
    return replace(whole, **changes)  # type: ignore[arg-type]


def test_features_are_the_mean_over_the_places_of_any_size(colours: ImageClassifier) -> None:
    half = plain(0.25, 0.5, 0.75).clone()
    half[:, :4] = 0.0
    (features,) = Reader(colours).features([plain(0.25, 0.5, 0.75), half, *[plain(1, 1, 1)] * 20])
    assert features.shape == (22, 3)
    normal = (torch.tensor([0.25, 0.5, 0.75]) - 0.5) / 0.25
    assert torch.allclose(features[0], normal, atol=1e-5)
    assert torch.allclose(features[1], (normal - 2) / 2, atol=0.02)  # −2 is black
    assert torch.allclose(features[21], torch.full((3,), 2.0), atol=1e-5)


def test_centred_sets_agree_in_what_tells_an_image_from_its_own_kind() -> None:
    samples = torch.tensor([[1.0, 0.0], [0.0, 1.0]])
    pictures = samples + torch.tensor([7.0, 3.0])  # all pictures have something in common that no sample has
    expected = torch.tensor([[1.0, -1.0], [-1.0, 1.0]])
    assert torch.allclose(similarities(centred((pictures,)), centred((samples,))), expected)
    assert torch.allclose(similarities((samples,), (samples,)), torch.eye(2))
    turned = samples.flip(1)
    assert torch.allclose(similarities((samples, samples), (samples, turned)), torch.full((2, 2), 0.5))


def test_a_reader_looks_with_the_blocks_of_its_later_half() -> None:
    squeezenet = ImageClassifier.from_torchvision("squeezenet1_1", None)
    assert Reader(squeezenet).layers == tuple(f"features.{i}" for i in (9, 10, 11, 12))
    mobilenet = ImageClassifier.from_torchvision("mobilenet_v2", None)
    assert Reader(mobilenet).layers == tuple(f"features.{i}" for i in range(9, 18))


def test_a_reader_without_blocks_looks_with_its_layers(tiny: ImageClassifier, colours: ImageClassifier) -> None:
    assert [layer.name for layer in late_blocks(tiny)] == ["3"]
    assert Reader(tiny, ["0", "3"]).layers == ("0", "3")
    flat = nn.Sequential(nn.Flatten(), nn.Linear(3 * 32 * 32, 5)).eval()
    with pytest.raises(ModelError, match="no feature map"):
        Reader(ImageClassifier(flat, preprocess=tiny._preprocess))
    with pytest.raises(InputError, match="no layer 'x'"):
        Reader(colours, ["x"])


def test_a_network_does_not_read_its_own_pictures(tiny: ImageClassifier) -> None:
    with pytest.raises(InputError, match="cannot read its own pictures"):
        study(tiny, tiny)


def test_a_reader_reads_the_class_that_there_is_most_of(colours: ImageClassifier, tiny: ImageClassifier) -> None:
    reader = Reader(colours)
    assert reader.classes(plain(0.9, 0.6, 0.7), 3) == [0, 2, 1]
    assert reader.same_classes(tiny)
    assert not reader.same_classes(ImageClassifier(Colours().eval(), preprocess=tiny._preprocess))


def test_the_patch_is_cut_out_with_a_little_around_it_and_inside_the_view() -> None:
    mask = np.zeros((40, 40), bool)
    mask[10:18, 36:40] = True
    box = around(mask, 1.5, "s")
    assert box == Box(8, 28, 12)
    view = torch.arange(1600.0).view(1, 40, 40)
    assert torch.equal(box.crop(view), view[:, 8:20, 28:40])
    with pytest.raises(InputError, match="no other place"):
        around(np.ones((40, 40), bool), 1.0, "s")


def test_the_other_place_is_the_most_salient_one_that_does_not_touch_the_patch() -> None:
    saliency = np.zeros((40, 40), np.float32)
    saliency[8:20, 28:40] = 9  # the patch itself
    saliency[8:20, 24:28] = 5  # beside it
    saliency[30:36, 2:8] = 3
    patch_box = Box(8, 28, 12)
    found = elsewhere(saliency, patch_box, "s")
    assert (found.top, found.left) == (8, 16)
    saliency[8:20, 24:28] = 0
    found = elsewhere(saliency, patch_box, "s")
    assert found.crop(torch.from_numpy(saliency)[None]).sum() == 3 * 36
    with pytest.raises(InputError, match="no other place"):
        elsewhere(np.zeros((20, 20), np.float32), Box(5, 5, 10), "s")


def test_covering_leaves_neither_the_patch_nor_its_outline(tiny: ImageClassifier) -> None:
    one = sample(0, mask=True)
    before, after = np.asarray(one.image), np.asarray(covered(tiny, one).image)
    assert (after[4:12, 20:28] == 128).all()
    after = after.copy()
    after[4:12, 20:28] = before[4:12, 20:28]
    assert np.array_equal(before, after)


def test_what_decides_is_what_the_prediction_changes_without(colours: ImageClassifier) -> None:
    image = np.full((32, 32, 3), (100, 90, 90), np.uint8)
    image[4:12, 20:28] = (0, 0, 255)  # little of it, but enough
    one = sw.Sample.read(image, mask=np.all(image == (0, 0, 255), axis=2))
    where = finish(places(colours, one))
    assert (where.target, where.covered, where.decided_by_patch) == (2, 0, True)
    image[4:12, 20:28] = (160, 90, 90)
    two = sw.Sample.read(image, mask=one.mask)
    assert not finish(places(colours, two)).decided_by_patch
    with pytest.raises(InputError, match="no mask"):
        finish(places(colours, sample(1)))


def test_conditions_are_each_solver_at_each_sparsity_and_dense_once() -> None:
    found = conditions(parse_networks(["dense", "fast", "refined-sequential"]), PLANS, 4, 0)
    assert list(map(str, found)) == [
        "dense", "fast 0.5", "fast 0.8", "refined-sequential 0.5", "refined-sequential 0.8"
    ]  # fmt: skip
    assert len({str(c.settings) for c in found}) == 5
    with pytest.raises(InputError, match="without a plan"):
        conditions(parse_networks(["fast"]), {}, 4, 0)


def test_traces_of_several_sparsities_are_those_of_sw_trace(tiny: ImageClassifier, colours: ImageClassifier) -> None:
    whole, one = study(tiny, colours), sample(3)
    subject = Subject(whole, one)
    for condition in whole.conditions[1:]:
        trace = finish(subject.network(condition))
        sparsity = float(condition.at)
        expected = sw.trace(tiny, one, sparsity=sparsity, layers="3", solver="fast", augmentations=4)
        assert torch.equal(dict(trace.module().named_parameters())["3.weight"], expected.weights()["3"])  # type: ignore[arg-type]


def test_dense_pictures_are_made_once_a_start_and_found_in_the_folder(
    tiny: ImageClassifier, colours: ImageClassifier, tmp_path: Path
) -> None:
    whole = study(tiny, colours, pictures=Pictures(STYLE, tmp_path / "new"))
    dense, fast, _ = whole.conditions
    starts = {seed: int(sample(seed).id, 16) % 2 for seed in range(6)}
    assert set(starts.values()) == {0, 1}
    made = {}
    for seed in starts:
        subject = Subject(whole, sample(seed))
        for condition in (dense, fast):
            made[seed, str(condition)] = finish(subject.picture(condition, "logit:2"))
    for a, one in starts.items():
        for b, other in starts.items():
            assert (made[a, "dense"] is made[b, "dense"]) == (one == other)
    assert len(list((tmp_path / "new").glob("*.png"))) == 2 + 6
    expected = sw.visualize(tiny, "logit:2", steps=2, size=16, seed=starts[3])
    assert np.array_equal(np.asarray(made[3, "dense"].image), np.asarray(expected))  # type: ignore[union-attr]

    later = study(tiny, colours, pictures=Pictures(STYLE, tmp_path / "new"), make=False)
    found = finish(Subject(later, sample(0)).picture(fast, "logit:2"))
    assert torch.equal(found.tensor, made[0, "fast 0.5"].tensor)  # type: ignore[union-attr]
    assert finish(Subject(later, sample(0)).picture(fast, "logit:1")) is None
    for file in (tmp_path / "new").glob("*.png"):
        file.write_bytes(b"no picture")
    damaged = replace(later, pictures=Pictures(STYLE, tmp_path / "new"))
    with pytest.raises(InputError, match="is no picture"):
        finish(Subject(damaged, sample(0)).picture(fast, "logit:2"))


def test_a_dead_neuron_is_still_dead_in_the_file(tmp_path: Path, tiny_model: nn.Module, tiny: ImageClassifier) -> None:
    tiny_model[7].weight.data[3] = 0  # type: ignore[index, union-attr, operator]
    model = ImageClassifier(tiny_model, preprocess=tiny._preprocess)
    settings = Pictures(STYLE).settings("logit:3", 0, {})
    assert finish(Pictures(STYLE, tmp_path).make(settings, model, "t")).dead
    found = Pictures(STYLE, tmp_path).find(settings, "t")
    assert found is not None
    assert found.dead


def test_rank_counts_ties_by_half() -> None:
    alike = torch.tensor([0.1, 0.5, 0.5, 0.9, 0.2])
    assert rank(alike, 3) == 1
    assert rank(alike, 0) == 0
    assert rank(alike, 1) == (2 + 0.5) / 4


class Painted(Pictures):
    """Pictures of one colour, the same for every trace of a sample."""

    def __init__(self, colours: Sequence[tuple[int, int, int]]) -> None:
        super().__init__(STYLE)
        self.colours = colours

    def make(self, settings: Settings, network: Network, title: str) -> Steps[Picture]:
        assert network is not None
        yield Progress("picture", 1, 1)
        index = sum(ord(c) for c in title) % len(self.colours) if "dense" in title else int(title.split(".")[1][1:])
        picture = Picture(Image.new("RGB", (16, 16), self.colours[index % len(self.colours)]), "fast" in title)
        self._made[title + str(settings)] = picture
        return picture


PRIMARY = ((200, 20, 20), (20, 200, 20), (20, 20, 200))


def coloured(count: int) -> list[sw.Sample]:
    noise = np.random.default_rng(0).integers(0, 40, (count, 32, 32, 3))
    images = [(noise[i] + np.array(PRIMARY[i % 3])).astype(np.uint8) for i in range(count)]
    return [sw.Sample.read(image, title=f"s{i}") for i, image in enumerate(images)]


def test_pictures_in_their_samples_colours_rank_first(tiny: ImageClassifier, colours: ImageClassifier) -> None:
    whole = study(tiny, colours, pictures=Painted(PRIMARY))
    answers = finish(likeness_steps(whole, coloured(3), [LOGIT, "3"]))
    assert list(answers.values[LOGIT, RANK]["fast 0.5"].values()) == [1, 1, 1]
    assert list(answers.values["3", RANK]["fast 0.8"].values()) == [1, 1, 1]
    assert list(answers.values[LOGIT, DEAD]["fast 0.5"].values()) == [1, 1, 1]
    assert set(answers.values["", KEEPS]["dense"].values()) == {1}
    # Five classes, all of them among the first ten.
    assert set(answers.values[LOGIT, READ]["dense"].values()) == {1}
    assert ("3", READ) not in answers.values
    titles = [section.title for section in likeness_sections(answers)]
    assert titles == ["the logit of the predicted class", "the most excited channel of 3"]


def test_what_is_read_is_the_dense_class(
    tiny: ImageClassifier, colours: ImageClassifier, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(likeness, "TOP", 1)
    some = coloured(3)
    whole = study(tiny, colours, pictures=Painted(PRIMARY))
    answers = finish(likeness_steps(whole, some))
    reader = whole.reader
    for i, one in enumerate(some):
        target = sw.predict(tiny, one, 1)[0].index
        reads = reader.classes(torch.tensor(PRIMARY[i])[:, None, None].expand(3, 8, 8) / 255, 1) == [target]
        assert answers.values[LOGIT, READ]["fast 0.5"][one.id] == reads


def test_another_readers_classes_are_not_asked_for(tiny: ImageClassifier) -> None:
    stranger = ImageClassifier(Colours().eval(), preprocess=tiny._preprocess)
    answers = finish(likeness_steps(study(tiny, stranger), coloured(2)))
    assert (LOGIT, READ) not in answers.values
    assert "knows other classes" in answers.left_out[0]
    assert len(answers.values[LOGIT, RANK]["dense"]) == 2


def test_a_stopped_run_goes_on_and_gives_the_same(
    tiny: ImageClassifier, colours: ImageClassifier, tmp_path: Path
) -> None:
    def fresh(make: bool = True) -> Study:
        kept = Pictures(STYLE, tmp_path / "p")
        return study(tiny, colours, pictures=kept, results=Results(tmp_path / "r.jsonl"), make=make)

    some = [sample(i) for i in range(3)]
    steps = likeness_steps(fresh(), some)
    while len(list(tmp_path.glob("p/*.png"))) < 4:
        next(steps)
    steps.close()
    times = {path: path.stat().st_mtime_ns for path in tmp_path.glob("p/*.png")}
    partly = finish(likeness_steps(fresh(make=False), some))
    assert 1 <= len(partly.values[LOGIT, RANK]["fast 0.5"]) < 3
    whole = finish(likeness_steps(fresh(), some))
    assert all(path.stat().st_mtime_ns == before for path, before in times.items())
    lines = len((tmp_path / "r.jsonl").read_text().splitlines())
    again = finish(likeness_steps(fresh(make=False), some))
    assert again.values == whole.values
    assert len((tmp_path / "r.jsonl").read_text().splitlines()) == lines
    assert whole.values == finish(likeness_steps(study(tiny, colours), some)).values


def test_progress_goes_from_0_to_the_end(tiny: ImageClassifier, colours: ImageClassifier) -> None:
    for steps in (
        likeness_steps(study(tiny, colours), [sample(i) for i in range(2)], [LOGIT, "3"]),
        patch_steps(study(tiny, colours), [Asked(sample(i, mask=True)) for i in range(2)]),
    ):
        seen = list(steps)  # type: ignore[call-overload]
        done = [p.done for p in seen]
        assert done == sorted(done)
        assert done[0] == 0
        assert done[-1] <= seen[0].of


def glyphed(background: tuple[int, int, int], glyph: tuple[int, int, int], title: str) -> sw.Sample:
    """A photograph of one colour with an object of the same but stronger, and a glyph of another."""
    image = np.full((32, 32, 3), background, np.uint8)
    image[4:12, 20:28] = glyph
    mask = np.zeros((32, 32), bool)
    mask[4:12, 20:28] = True
    return sw.Sample.read(image, title=title, mask=mask)


def test_the_picture_of_what_decides_is_right(colours: ImageClassifier, tiny: ImageClassifier) -> None:
    red, green, blue = (150, 90, 90), (90, 150, 90), (0, 0, 255)
    asked = [
        Asked(glyphed((100, 90, 90), blue, "s0"), "patch"),
        Asked(glyphed((90, 100, 90), blue, "s1"), "patch"),
        Asked(glyphed(red, (200, 200, 200), "s2"), "object"),
        Asked(glyphed(green, (200, 200, 200), "s3"), "object"),
        Asked(glyphed(red, (201, 200, 200), "s4"), "patch"),
    ]
    # The tiny network reads here: its features answer to colours as well.
    judged = Painted([(0, 0, 255), (0, 0, 255), (255, 90, 90), (90, 255, 90)])
    reader = ImageClassifier(Colours().eval(), preprocess=tiny._preprocess, name="another")
    reader._model.head.weight.data *= 2  # type: ignore[union-attr, operator]
    plans = {"": SparsityPlan({"seen": 0.0})}
    made = conditions(parse_networks(["fast"]), plans, 4, 0)
    whole = Study(colours, made, Reader(reader, ["seen"]), judged, Results())
    leans = finish(patch_steps(whole, asked))
    assert leans.left_out == {"s4": "the patch does not decide: ant, and ant when it is covered."}
    assert len(leans.leans["fast"]["patch"]) == len(leans.leans["fast"]["object"]) == 2
    assert all(value > 0.02 for value in leans.leans["fast"]["patch"].values())
    assert all(value < -0.02 for value in leans.leans["fast"]["object"].values())
    assert [s.title for s in patch_sections(leans)] == ["right", "undecided", "wrong"]


def test_verdicts_and_their_shares_are_balanced_between_the_causes() -> None:
    assert [verdict(lean, "patch", 0.1) for lean in (0.2, 0.1, -0.2)] == ["right", "undecided", "wrong"]
    assert [verdict(lean, "object", 0.1) for lean in (0.2, -0.05, -0.2)] == ["wrong", "undecided", "right"]
    stamped = {f"s{i}": lean for i, lean in enumerate((0.3, 0.3, 0.3, 0.0))}
    leans = Leans({"dense": {"patch": stamped, "object": {"d0": -0.3, "d1": 0.3}}})
    right, undecided, wrong = patch_sections(leans, 0.1)
    found = [
        [c.value.mean for c in (cell(col, "dense", "dense") for col in s.columns)] for s in (right, undecided, wrong)
    ]  # type: ignore[union-attr]
    assert found == [[0.75, 0.5, 0.625], [0.25, 0.0, 0.125], [0.0, 0.5, 0.25]]
    with pytest.raises(InputError, match="cannot be"):
        patch_sections(leans, -0.1)


def test_the_report_pairs_samples_and_says_better_and_worse() -> None:
    ones = {"dense": {"a": 0.0, "b": 0.0, "c": 0.5}, "fast": {"a": 1.0, "b": 1.0}, "none": {}}
    up = Column("up", "rank", (ones,))
    found = cell(up, "fast", "dense")
    assert found.difference is not None
    assert (found.difference.mean, found.difference.count, found.apart) == (1.0, 2, True)
    down = Column("down", "a | b", (ones,), higher=False)
    sections = [Section("t", "text.", (up, down))]
    text = markdown(sections, ["dense", "fast", "none"], ["a note"])
    assert "100.0 (100.0 to 100.0) [+100.0 (+100.0 to +100.0)] ▲▲" in text
    assert "▼▼" in text
    assert "a \\| b (n = 0 to 3)" in text
    assert "| none | — | — |" in text
    assert text.rstrip().endswith("- a note")
    lines = list(csv.DictReader(csv_text(sections, ["dense", "fast"]).splitlines()))
    assert [(line["column"], line["network"]) for line in lines] == [
        (c, n) for c in ("up", "down") for n in ("dense", "fast")
    ]
    assert float(lines[1]["difference_to_dense_mean"]) == 1


@pytest.mark.parametrize(
    ("samples", "neurons", "says"),
    [
        ([sample(0)], [LOGIT], "at least two"),
        ([sample(0), sample(0)], [LOGIT], "the same"),
        ([sample(0), sample(1)], [], "no neuron"),
        ([sample(0), sample(1)], ["nowhere"], "no layer 'nowhere'"),
    ],
)
def test_what_cannot_be_asked_is_said(
    tiny: ImageClassifier, colours: ImageClassifier, samples: list[sw.Sample], neurons: list[str], says: str
) -> None:
    with pytest.raises(InputError, match=says):
        finish(likeness_steps(study(tiny, colours), samples, neurons))


def test_a_trace_that_cannot_be_made_says_why_and_the_rest_goes_on(
    tiny: ImageClassifier, colours: ImageClassifier, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = study(tiny, colours)
    make = Subject.network

    def broken(self: Subject, condition: Condition):  # type: ignore[no-untyped-def]
        if str(condition) == "fast 0.8":
            raise ModelError("The trace gives NaN.")
        return (yield from make(self, condition))

    monkeypatch.setattr(Subject, "network", broken)
    answers = finish(likeness_steps(whole, coloured(2)))
    assert answers.errors == ["The trace gives NaN."]
    assert "fast 0.8" not in answers.values[LOGIT, RANK]
    assert len(answers.values[LOGIT, RANK]["fast 0.5"]) == 2
    leans = finish(patch_steps(whole, [Asked(sample(i, mask=True)) for i in range(2)]))
    assert leans.errors == ["The trace gives NaN."]
    assert patch.LEAN == "lean"
