"""Tables: what is computed, kept, gone on from, and printed. Maps are stubs, so that every number is known."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import spade_widgets as sw
from spade_widgets.classifier import ImageClassifier
from spade_widgets.errors import InputError, ModelError
from spade_widgets.evidence.evaluate import Protocol, Table, describe, evaluate_steps, parse_method
from spade_widgets.evidence.judging import METRICS, metrics
from spade_widgets.evidence.metrics import Map
from spade_widgets.evidence.networks import NetworkName, Networks, Pruning, parse_networks
from spade_widgets.evidence.plan_file import PlanFile, picture_id
from spade_widgets.evidence.results import Key, Result, Results, settings_id
from spade_widgets.evidence.tables import AVERAGE, cells, csv_text, markdown
from spade_widgets.prediction import Network
from spade_widgets.pruning.plans.plan import SparsityPlan
from spade_widgets.pruning.progress import Progress, Steps, finish
from spade_widgets.pruning.traces.trace import Trace

PATCH = np.zeros((32, 32), bool)
PATCH[4:12, 20:28] = True
PLAN = SparsityPlan({"3": 0.8, "7": 0.5})
TROJAN, POINTING = METRICS["trojan_auc"], METRICS["pointing_game"]


def samples(count: int) -> list[sw.Sample]:
    rng = np.random.default_rng(5)
    images = rng.integers(0, 255, (count, 32, 32, 3), dtype=np.uint8)
    return [sw.Sample.read(image, title=f"s{i}", mask=PATCH) for i, image in enumerate(images)]


class Stub:
    """Maps that find the patch perfectly on traces, by chance on the dense network; counts its calls."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, str, str, int]] = []

    def __call__(self, network: Network, sample: sw.Sample, target: int, method: str, seed: int) -> Steps[Map]:
        assert seed in (0, 1)
        yield Progress("saliency", 0, 1)
        name = network.solver if isinstance(network, Trace) else "dense"
        self.calls.append((sample.title, name, method, target))
        if method == "broken":
            raise ModelError("It does not apply here.")
        return PATCH.astype(float) if isinstance(network, Trace) else np.zeros((32, 32))


def protocol(explain: Stub, **changes: object) -> Protocol:
    made = Protocol(
        networks=parse_networks(["dense", "fast"]),
        methods=("good", "other"),
        metrics=(TROJAN,),
        pruning=Pruning(PLAN, augmentations=8),
        explain=explain,
        describe=lambda method: {"method": method},
    )
    return replace(made, **changes)  # type: ignore[arg-type]


def test_every_pair_is_judged_once_and_explains_the_dense_prediction(tiny: ImageClassifier) -> None:
    stub, some = Stub(), samples(3)
    table = finish(evaluate_steps(tiny, some, protocol(stub), Results()))
    assert len(stub.calls) == 3 * 2 * 2 == len(set(stub.calls))
    dense_class = {s.title: sw.predict(tiny, s, 1)[0].index for s in some}
    assert all(target == dense_class[title] for title, _, _, target in stub.calls)
    for name, expected in (("dense", 0.5), ("fast", 1.0)):
        values = table.values(NetworkName.parse(name), "good", TROJAN)
        assert values == {s.id: expected for s in some}


def test_a_stopped_run_goes_on_where_it_was(tiny: ImageClassifier, tmp_path: Path) -> None:
    stub, some, path = Stub(), samples(3), tmp_path / "new" / "run.jsonl"
    steps = evaluate_steps(tiny, some, protocol(stub), Results(path))
    while len(stub.calls) < 5:
        next(steps)
    steps.close()
    done = list(stub.calls)
    again = Stub()
    table = finish(evaluate_steps(tiny, some, protocol(again), Results(path)))
    assert not set(done) & set(again.calls)
    assert len(set(done) | set(again.calls)) == 12
    assert len(table.values(NetworkName("fast"), "other", TROJAN)) == 3
    third = Stub()
    assert markdown(finish(evaluate_steps(tiny, some, protocol(third), Results(path)))) == markdown(table)
    assert third.calls == []


@pytest.mark.parametrize(
    "change",
    [
        {"seed": 1},
        {"pruning": Pruning(PLAN, augmentations=9)},
        {"pruning": Pruning(SparsityPlan({"3": 0.8, "7": 0.6}), augmentations=8)},
        {"describe": lambda method: {"method": method, "options": 3}},
    ],
)
def test_other_settings_are_other_numbers(tiny: ImageClassifier, change: dict) -> None:
    results, some = Results(), samples(1)
    finish(evaluate_steps(tiny, some, protocol(Stub()), results))
    stub = Stub()
    finish(evaluate_steps(tiny, some, protocol(stub, **change), results))
    expected = 2 if "pruning" in change else 4  # the dense network does not depend on how traces are made
    assert len(stub.calls) == expected


def test_a_layer_at_sparsity_0_is_no_other_plan() -> None:
    one, two = (Pruning(SparsityPlan(plan)) for plan in ({"3": 0.8}, {"3": 0.8, "7": 0.0}))
    assert one.settings(NetworkName("fast")) == two.settings(NetworkName("fast"))


def test_a_line_that_was_cut_off_is_dropped(tmp_path: Path) -> None:
    path = tmp_path / "r.jsonl"
    settings = {"a": 1}
    key = Key("s", "dense", "lrp", "trojan_auc", settings_id(settings))
    Results(path).add(key, Result(0.25, title="é"), settings)
    whole = path.read_bytes()
    path.write_bytes(whole + whole.splitlines()[-1][:-9])
    opened = Results(path)
    assert (len(opened), opened.value(key)) == (1, 0.25)
    opened.add(replace(key, sample="t"), Result(0.75), settings)
    assert len(Results(path)) == 2
    assert len(path.read_text(encoding="utf-8").splitlines()) == 3  # the settings once, and two numbers


@pytest.mark.parametrize("text", ["a,b\n1,2\n", '{"sample": "s"}\n', "[1]\n", '{"plan": {"fc": 0.9}}\n'])
def test_a_foreign_file_is_left_alone(tmp_path: Path, text: str) -> None:
    path = tmp_path / "mine.jsonl"
    path.write_text(text + "no end of line")
    with pytest.raises(InputError, match="Line 1"):
        Results(path)
    assert path.read_text() == text + "no end of line"
    with pytest.raises(InputError, match="cannot be used"):
        Results(tmp_path)


def test_what_does_not_apply_says_why_and_the_rest_goes_on(tiny: ImageClassifier) -> None:
    table = finish(evaluate_steps(tiny, samples(2), protocol(Stub(), methods=("broken", "good")), Results()))
    rows = cells(table, TROJAN)
    assert [row[0].method for row in rows] == ["broken", "good"]  # one method is no average
    assert rows[0][0].value is None
    assert rows[0][0].errors == ("It does not apply here.",)
    text = markdown(table)
    assert "| broken | — | — |" in text
    assert "- broken, fast: It does not apply here." in text


def test_a_trace_that_cannot_be_made_says_why(tiny: ImageClassifier) -> None:
    class Failing:
        def make(self, name: NetworkName) -> Steps[Network]:
            yield from ()
            if name.solver is not None:
                raise ModelError("The trace gives NaN.")
            return tiny

    table = finish(evaluate_steps(tiny, samples(1), protocol(Stub()), Results(), lambda _: Failing()))
    assert table.errors(NetworkName("fast"), "good", TROJAN) == ["The trace gives NaN."]
    assert table.values(NetworkName("dense"), "good", TROJAN)


def test_the_shared_calibration_gives_the_trace_that_sw_trace_gives(tiny: ImageClassifier) -> None:
    (sample,) = samples(1)
    networks = Networks(tiny, sample, Pruning(PLAN, augmentations=8, seed=3))
    for name in ("fast", "exact", "fast-sequential"):
        made = finish(networks.make(NetworkName.parse(name)))
        solver, _, sequential = name.partition("-")
        expected = sw.trace(
            tiny, sample, plan=PLAN, solver=solver, sequential=bool(sequential), augmentations=8, seed=3
        )
        assert isinstance(made, Trace)
        for layer, weight in expected.weights().items():
            assert np.array_equal(weight, made.weights()[layer])


def test_solvers_share_one_calibration(tiny: ImageClassifier, monkeypatch: pytest.MonkeyPatch) -> None:
    from spade_widgets.evidence import networks as module

    runs: list[str] = []
    calibrate = module.calibrate

    def counted(classifier: ImageClassifier, sample: sw.Sample, *args: object, **more: object) -> object:
        runs.append(sample.title)
        return calibrate(classifier, sample, *args, **more)  # type: ignore[arg-type]

    monkeypatch.setattr(module, "calibrate", counted)
    names = parse_networks(["dense", "fast", "exact"])
    finish(evaluate_steps(tiny, samples(2), protocol(Stub(), networks=names), Results()))
    assert runs == ["s0", "s1"]


def test_fidelity_needs_no_map_and_no_mask(tiny: ImageClassifier) -> None:
    stub, (sample,) = Stub(), samples(1)
    bare = sw.Sample(sample.image)
    chosen = protocol(stub, metrics=metrics(["kl", "same_class"]), methods=())
    table = finish(evaluate_steps(tiny, [bare], chosen, Results()))
    assert stub.calls == []
    assert list(table.values(NetworkName("dense"), "", METRICS["kl"]).values()) == [0]
    (kl,) = table.values(NetworkName("fast"), "", METRICS["kl"]).values()
    trace = sw.trace(tiny, bare, plan=PLAN, solver="fast", augmentations=8)
    assert kl == pytest.approx(trace.agreement.kl, abs=1e-6)


def test_curves_are_judged_by_the_dense_network(tiny: ImageClassifier) -> None:
    from spade_widgets.evidence.curves import deletion, insertion

    (sample,) = samples(1)
    chosen = protocol(Stub(), metrics=metrics(["insertion", "deletion"]), methods=("good",))
    table = finish(evaluate_steps(tiny, [sample], chosen, Results()))
    for key, curve in (("insertion", insertion), ("deletion", deletion)):
        (found,) = table.values(NetworkName("fast"), "good", METRICS[key]).values()
        assert found == curve(tiny, sample, PATCH.astype(float)).auc


def test_a_missing_mask_is_said_before_anything_runs(tiny: ImageClassifier) -> None:
    stub, some = Stub(), samples(2)
    some[1] = sw.Sample(some[1].image, "bare")
    with pytest.raises(InputError, match="'bare' has no mask"):
        finish(evaluate_steps(tiny, some, protocol(stub), Results()))
    assert stub.calls == []


def test_progress_goes_from_0_to_the_end(tiny: ImageClassifier) -> None:
    seen = list(_progress(evaluate_steps(tiny, samples(2), protocol(Stub()), Results())))
    done = [p.done for p in seen]
    assert done == sorted(done)
    assert (done[0], seen[0].of) == (0, 8)
    assert 7 <= done[-1] <= 8
    assert {"s0 · fast · trace", "s1 · dense · other"} <= {p.stage for p in seen}


def _progress(steps: Steps[Table]) -> Iterator[Progress]:
    yield from steps


def hand_made(values: dict[str, list[float]], metric: str = "trojan_auc") -> Table:
    """A table of known numbers: `"network method"` → a number a sample, NaN for none."""
    networks = parse_networks(list(dict.fromkeys(name.split()[0] for name in values)))
    methods = tuple(dict.fromkeys(name.split()[1] for name in values))
    chosen = Protocol(networks, methods, metrics([metric]), Pruning(PLAN), describe=lambda method: {"m": method})
    count = len(next(iter(values.values())))
    settings = {(str(n), m, metric): {"n": str(n), "m": m} for n in networks for m in methods}
    table = Table(chosen, tuple(f"s{i}" for i in range(count)), Results(), settings)
    for name, numbers in values.items():
        network, method = name.split()
        for i, number in enumerate(numbers):
            if not np.isnan(number):
                key = table.key(f"s{i}", NetworkName.parse(network), method, METRICS[metric])
                table.results.add(key, Result(number), settings[network, method, metric])
    return table


def test_the_average_and_the_differences_are_paired() -> None:
    nan = float("nan")
    table = hand_made(
        {"dense a": [0.1, 0.2, 0.9], "dense b": [0.3, 0.4, nan], "fast a": [0.2, 0.3, 1.0], "fast b": [0.4, 0.5, 0.6]}
    )
    a, b, average = cells(table, TROJAN)
    assert a[1].difference is not None
    assert (a[1].difference.mean, a[1].difference.low) == (pytest.approx(0.1), pytest.approx(0.1))
    assert a[1].better is True
    assert a[1].apart is False  # the samples differ more than the networks
    assert b[1].difference is not None
    assert b[1].difference.count == 2  # only samples that both have
    assert (average[0].method, average[0].value.count) == (AVERAGE, 2)  # type: ignore[union-attr]
    assert average[0].value.mean == pytest.approx(0.25)  # type: ignore[union-attr]
    assert average[1].difference.mean == pytest.approx(0.1)  # type: ignore[union-attr]


def test_a_method_that_one_network_lacks_is_left_out_of_the_average() -> None:
    nan = float("nan")
    values = {f"{n} {m}": [0.5, 0.6] for n in ("dense", "fast") for m in "abc"} | {"fast c": [nan, nan]}
    rows = cells(hand_made(values), TROJAN)
    assert rows[-1][0].errors == ("without c",)
    assert rows[-1][0].value.mean == pytest.approx(0.55)  # type: ignore[union-attr]


def test_less_is_better_where_it_is() -> None:
    table = hand_made({"dense a": [0.5, 0.6], "fast a": [0.2, 0.3], "exact a": [0.9, 0.8]}, "deletion")
    (row,) = cells(table, METRICS["deletion"])
    assert [cell.better for cell in row] == [None, True, False]
    assert [cell.apart for cell in row] == [False, True, True]
    text = markdown(table)
    assert "-30.0 (-30.0 to -30.0) ▲▲" in text
    assert "+30.0 (+20.0 to +40.0) ▼▼" in text
    assert "55.0 (50.0 to 60.0)" in text


def test_no_difference_is_marked_where_the_interval_holds_0() -> None:
    (row,) = cells(hand_made({"dense a": [0.5, 0.5], "fast a": [0.6, 0.4]}), TROJAN)
    assert row[1].better is None


def test_the_csv_holds_the_same_in_the_metrics_own_units() -> None:
    lines = list(csv.DictReader(csv_text(hand_made({"dense a": [0.5, 0.7], "fast a": [0.6, 0.9]})).splitlines()))
    assert [(line["method"], line["network"]) for line in lines] == [("a", "dense"), ("a", "fast")]
    assert float(lines[1]["mean"]) == pytest.approx(0.75)
    assert float(lines[1]["difference_to_dense_mean"]) == pytest.approx(0.15)
    assert lines[0]["difference_to_dense_mean"] == ""


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda: parse_networks(["dens"]), "no network 'dens'"),
        (lambda: parse_networks(["dense-sequential"]), "no network"),
        (lambda: parse_networks([]), "no network to judge"),
        (lambda: metrics(["auc"]), "no metric 'auc'"),
        (lambda: metrics([]), "no metric"),
        (lambda: protocol(Stub(), pruning=None), "without a plan"),
        (lambda: protocol(Stub(), pruning=Pruning(SparsityPlan({}))), "names no layer"),
        (lambda: protocol(Stub(), methods=()), "no saliency method"),
        (lambda: parse_method("lrp:bias"), "no option"),
        (lambda: describe("lrq"), "no saliency method"),
        (lambda: describe("saliency:sign=True"), "no option 'sign'"),
    ],
)
def test_what_cannot_be_asked_for_is_said(make: object, says: str) -> None:
    with pytest.raises(InputError, match=says):
        make()  # type: ignore[operator]


def test_a_table_of_no_sample_is_refused(tiny: ImageClassifier) -> None:
    with pytest.raises(InputError, match="no sample"):
        finish(evaluate_steps(tiny, [], protocol(Stub()), Results()))


def test_methods_carry_options() -> None:
    assert parse_method("lime:samples=500, cover=mean,signed=True") == (
        "lime",
        {"samples": 500, "cover": "mean", "signed": True},
    )
    assert describe("saliency:signed=True")["options"]["signed"] == "True"
    assert describe("saliency") != describe("saliency:signed=True")


def test_networks_by_name() -> None:
    names = ["dense", "fast", "exact-sequential"]
    assert [str(n) for n in parse_networks([*names, "fast"])] == names
    assert parse_networks(names)[2] == NetworkName("exact", sequential=True)


def test_a_plan_is_not_judged_on_what_it_was_tuned_on(tmp_path: Path) -> None:
    one, two = samples(2)
    file = PlanFile({"fc": 0.9}, (picture_id(one),), {"metric": "insertion"})
    path = tmp_path / "plan.json"
    path.write_text(file.text())
    assert PlanFile.read(path) == file
    assert sw.Sample(one.image, "renamed").id != one.id
    with pytest.raises(InputError, match="'renamed' is one of the 1 samples that the plan was tuned on"):
        PlanFile.read(path).check_apart([two, sw.Sample(one.image, "renamed")])
    PlanFile.read(path).check_apart([two])


def test_plans_are_read_from_plain_files_too(tmp_path: Path) -> None:
    path = tmp_path / "plan.json"
    path.write_text(json.dumps({"layer4": 0.95, "fc": 0}))
    assert PlanFile.read(path) == PlanFile({"layer4": 0.95, "fc": 0.0})
    for text in ("[1]", '{"fc": "much"}', '{"plan": {"fc": true}}', '{"plan": {"fc": 0.9}, "tuned_on": 3}'):
        path.write_text(text)
        with pytest.raises(InputError, match="must say a sparsity"):
            PlanFile.read(path)
    path.write_text("{")
    with pytest.raises(InputError, match="no JSON"):
        PlanFile.read(path)
    with pytest.raises(InputError, match="cannot be read"):
        PlanFile.read(tmp_path / "none.json")
