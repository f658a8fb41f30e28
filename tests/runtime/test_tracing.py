"""How a session traces: drafts by a quick solver, block by block, to keep the prediction, by one's own plan."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

import spade_widgets as sw
from spade_widgets.classifier import ImageClassifier
from spade_widgets.errors import InputError
from spade_widgets.pruning.plans.plan import NOMINAL, SparsityPlan
from spade_widgets.pruning.progress import Steps, finish
from spade_widgets.pruning.pruner import Sketch
from spade_widgets.pruning.traces.trace import Trace
from spade_widgets.runtime.jobs import Worker
from spade_widgets.runtime.session import Session
from spade_widgets.runtime.tracing import PLAN, Pruning
from spade_widgets.sample import Sample


def picture(seed: int) -> Sample:
    return Sample(Image.fromarray(np.random.default_rng(seed).integers(0, 256, (32, 32, 3), dtype=np.uint8)))


@pytest.fixture
def session(tiny: ImageClassifier) -> Session:
    return Session(tiny, [picture(0), picture(1)], augmentations=8, steps=2)


def drafts_of(session: Session, pruning: Pruning, **options: bool) -> tuple[list[Trace | Sketch], Trace]:
    """What is to be seen of a trace while it is made, each once; and the trace."""
    sample, seen = session.samples[0], []
    steps: Steps[Trace] = session.trace(sample, pruning, **options)
    while True:
        try:
            next(steps)
        except StopIteration as stop:
            return seen, stop.value
        draft = session.draft(sample, pruning)
        if draft is not None and all(draft is not other for other in seen):
            seen.append(draft)


def same(one: Trace, other: Trace) -> bool:
    theirs = other.weights()
    return one.weights().keys() == theirs.keys() and all(torch.equal(w, theirs[n]) for n, w in one.weights().items())


@pytest.mark.parametrize(
    ("pruning", "seen"),
    [
        (Pruning(0.6, "all"), ["fast", "refined"]),
        (Pruning(0.6, "all", solver="exact"), ["fast", "exact"]),
        (Pruning(0.6, "all", solver="fast"), ["fast"]),
        (Pruning(0.6, "all", solver="magnitude"), ["magnitude"]),
        (Pruning(0.6, "all", solver="fast", sequential=True), ["fast"]),
    ],
)
def test_a_quick_solver_is_seen_first_while_a_slow_one_works(
    session: Session, pruning: Pruning, seen: list[str]
) -> None:
    drafts, trace = drafts_of(session, pruning, drafts=True)
    whole = [draft for draft in drafts if isinstance(draft, Trace)]
    assert list(dict.fromkeys(draft.solver for draft in drafts)) == seen
    # Those of another solver come as traces, with their numbers; of its own one there are weights before these.
    slow = pruning.solver not in ("fast", "magnitude") or pruning.sequential
    assert [draft.solver for draft in whole] == (["fast"] if slow else [])
    assert (trace.solver, trace.sequential) == (pruning.solver, pruning.sequential)
    for draft in whole:
        assert not draft.sequential
        assert same(draft, finish(session.trace(session.samples[0], replace(pruning, solver="fast", sequential=False))))
    # Once the trace is there, there is no draft of it.
    assert session.draft(session.samples[0], pruning) is None
    assert session.known_trace(session.samples[0], pruning) is trace


def test_no_draft_where_nobody_looks(session: Session) -> None:
    drafts, _ = drafts_of(session, Pruning(0.6, "all"))
    assert not [draft for draft in drafts if draft.solver == "fast"]


def test_block_by_block_is_that_of_the_plain_call_and_another_trace(session: Session) -> None:
    pruning = Pruning(0.6, "all", sequential=True)
    trace = finish(session.trace(session.samples[0], pruning))
    plan = {"3": 0.6, "7": 0.6}
    plain = sw.trace(session.classifier, session.samples[0], plan=plan, sequential=True, augmentations=8)
    assert trace.sequential
    assert same(trace, plain)
    together = finish(session.trace(session.samples[0], replace(pruning, sequential=False)))
    assert together is not trace
    assert not torch.equal(together.weights()["7"], trace.weights()["7"])
    assert session.name(together) != session.name(trace)


def test_the_sparsity_is_no_part_of_a_trace_that_keeps_the_prediction(session: Session, calls: dict[str, int]) -> None:
    sample = session.samples[0]
    asked = Pruning(0.5, "all", fidelity=0.9)
    trace = finish(session.trace(sample, asked, drafts=True))
    assert trace.fidelity is not None
    assert trace.fidelity.asked == 0.9
    assert trace.fidelity.reached >= 0.9
    assert trace.agreement.agrees
    assert 0 <= trace.kept < trace.total
    assert calls["calibrate"] == 1
    assert session.known_trace(sample, replace(asked, sparsity=0.1)) is trace
    assert finish(session.trace(sample, replace(asked, sparsity=0.99))) is trace
    for other in (replace(asked, fidelity=0.5), replace(asked, fidelity=None), replace(asked, preset="late")):
        assert session.known_trace(sample, other) is None
    # What the calibration cost is spent once, whatever is asked for of these layers.
    finish(session.trace(sample, replace(asked, fidelity=0.5)))
    finish(session.trace(sample, replace(asked, fidelity=None)))
    assert calls["calibrate"] == 1
    layers = SparsityPlan.preset(session.classifier, NOMINAL, "all").layers
    assert same(trace, sw.trace(session.classifier, sample, fidelity=0.9, layers=layers, augmentations=8))


def test_a_trace_that_keeps_the_prediction_has_no_draft_and_says_that_it_searches(session: Session) -> None:
    pruning, stages = Pruning(fidelity=0.9, preset="all"), []
    for progress in session.trace(session.samples[0], pruning, drafts=True):
        stages.append(progress.stage)
        assert session.draft(session.samples[0], pruning) is None
    assert list(dict.fromkeys(stages)) == ["calibrating", "solving", "searching"]


NUMBERS = (("0", 0.3), ("3, 7", 0.9), ("7", NOMINAL))


def test_a_plan_of_ones_own_counts_as_it_is_at_the_nominal_sparsity(session: Session) -> None:
    plan = session.plan(Pruning(NOMINAL, PLAN.key, plan=NUMBERS))
    assert plan.sparsities == {"0": 0.3, "3": 0.9, "7": NOMINAL}
    assert session.plan(Pruning(0.0, PLAN.key, plan=NUMBERS)).sparsities == {"0": 0.0, "3": 0.0, "7": 0.0}
    half = session.plan(Pruning(0.5, PLAN.key, plan=NUMBERS)).sparsities
    assert half["7"] == 0.5
    assert 0 < half["0"] < half["3"] < 0.5  # in proportion
    trace = finish(session.trace(session.samples[0], Pruning(NOMINAL, PLAN.key, plan=NUMBERS)))
    plain = sw.trace(session.classifier, session.samples[0], plan=dict(NUMBERS), augmentations=8)
    assert same(trace, plain)


def test_the_plan_is_of_no_account_to_other_presets(session: Session) -> None:
    sample = session.samples[0]
    finish(session.trace(sample, Pruning(0.5, "all")))
    assert session.known_trace(sample, Pruning(0.5, "all", plan=NUMBERS)) is not None
    assert session.solved(sample, Pruning(0.0, "all", plan=NUMBERS)) == [0.5]
    assert session.solved(sample, Pruning(0.0, PLAN.key, plan=NUMBERS)) == []


@pytest.mark.parametrize(
    ("pruning", "said"),
    [
        (Pruning(preset=PLAN.key), "There is no plan yet"),
        (Pruning(preset=PLAN.key, plan=(("conv9", 0.5),)), "matches 'conv9'"),
        (Pruning(preset=PLAN.key, plan=(("7", 1.5),)), "0 ≤ sparsity < 1"),
        (Pruning(fidelity=0.0), "0 < fidelity ≤ 1"),
        (Pruning(fidelity=float("nan")), "0 < fidelity ≤ 1"),
    ],
)
def test_what_cannot_be_asked_for(session: Session, pruning: Pruning, said: str) -> None:
    with pytest.raises(InputError, match=said) as caught:
        session.check(pruning)
    assert "\n" not in str(caught.value)


@pytest.fixture
def worker() -> Iterator[Worker]:
    made = Worker()
    yield made
    made.close()


def test_other_kernels_find_each_kind_under_its_own_name(
    tiny: ImageClassifier, worker: Worker, tmp_path: Path, calls: dict[str, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    kinds = {
        "plain": Pruning(0.6, "all"),
        "block by block": Pruning(0.6, "all", sequential=True),
        "keeps the prediction": Pruning(0.6, "all", fidelity=0.9),
        "less so": Pruning(0.6, "all", fidelity=0.5),
        "both": Pruning(0.6, "all", fidelity=0.9, sequential=True),
        "plan": Pruning(NOMINAL, PLAN.key, plan=NUMBERS),
    }

    def open_session() -> Session:
        return Session(tiny, [picture(0)], augmentations=8, steps=2, cache=tmp_path, worker=worker)

    first = open_session()
    made = {kind: finish(first.trace(first.samples[0], pruning)) for kind, pruning in kinds.items()}
    first.cache.flush()
    before, second = dict(calls), open_session()

    def made_again(*_: Any, **__: Any) -> None:
        pytest.fail("a trace was made again")

    monkeypatch.setattr(second, "_make_trace", made_again)
    for kind, pruning in kinds.items():
        # Where the slider stands does not matter to what is looked for.
        asked = pruning if pruning.fidelity is None else replace(pruning, sparsity=0.2)
        found = finish(second.trace(second.samples[0], asked))
        assert same(found, made[kind])
        assert (found.sequential, found.fidelity) == (made[kind].sequential, made[kind].fidelity)
    assert calls == before
