"""What the Facet panel computes: which events come, what a second run costs, and whether it is what the calls give."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from runtime.colours import colours, spots

import spade_widgets as sw
from spade_widgets.errors import InputError
from spade_widgets.inspection.facets import ChannelFacets
from spade_widgets.runtime.exemplify import Gallery
from spade_widgets.runtime.explore import Working
from spade_widgets.runtime.facets import (
    Cropped,
    Drawn,
    FacetKept,
    FacetTraced,
    Grouped,
    Inquiry,
    facet,
    known_facets,
    known_pictures,
    survey,
)
from spade_widgets.runtime.session import Session
from spade_widgets.runtime.tracing import Pruning

PRUNING = Pruning(0.8, "pattern", "either", "fast")


@pytest.fixture
def session() -> Session:
    samples = spots(1, 1, 1, seed=9)
    return Session(colours(), samples, augmentations=8, steps=3)


def asked(session: Session, *many: int, **options: Any) -> Inquiry:
    neuron = session.classifier.neuron("either:0")
    return Inquiry(neuron, Gallery(session, spots(*many)), PRUNING, **options)


def of(events: list[Any], kind: type) -> list[Any]:
    return [event for event in events if isinstance(event, kind)]


def test_the_facets_are_those_of_the_call_and_each_has_its_trace_and_picture(session: Session) -> None:
    inquiry = asked(session, 14, 10, 6)
    events = list(facet(session, inquiry))
    found = of(events, Grouped)[-1].facets
    plain = sw.facets(session.classifier, "either:0", spots(14, 10, 6))
    assert np.array_equal(found.assignment, plain.assignment)
    assert found.silhouette == pytest.approx(plain.silhouette)
    by_facet = [{example.title.split()[0] for example in one.examples} for one in found]
    assert by_facet[0] == {"red"}
    assert by_facet[1] == {"green"}

    traces = {event.facet: event.trace for event in of(events, FacetTraced)}
    assert set(traces) == {0, 1}
    made = plain.trace(1, sparsity=0.8, layers="either", solver="fast", augmentations=max(8, len(found[1])))
    for name, weight in traces[1].weights().items():
        assert (weight == made.weights()[name]).all()

    drawn = {event.place: event.renderer for event in of(events, Drawn)}
    assert set(drawn) == {0, 1, 2}
    assert {renderer.steps_done for renderer in drawn.values()} == {3}
    assert drawn[1] is not drawn[2]
    assert {event.place for event in of(events, Cropped)} == set(range(len(found.examples)))
    # A red example reaches the neuron by the red detector alone: its facet's trace keeps that one.
    for event in of(events, FacetKept):
        assert event.own == pytest.approx(1, abs=0.3)
        assert event.others is not None


def test_a_second_run_computes_nothing_anew(session: Session) -> None:
    inquiry = asked(session, 14, 10, 6)
    list(facet(session, inquiry))
    before = known_facets(session, inquiry)
    pictures = known_pictures(session, inquiry, before) if before else []
    again = list(facet(session, inquiry))
    assert not [event for event in of(again, Working) if event.text not in ("what is kept",)]
    assert of(again, Grouped)[0].facets is before
    assert [event.renderer for event in of(again, Drawn)][: len(pictures)] == pictures


def test_a_facets_trace_passes_for_no_single_samples(session: Session) -> None:
    trace = of(list(facet(session, asked(session, 14, 10))), FacetTraced)[0].trace
    alone = replace(trace, others=())
    assert session.name(trace) != session.name(alone)
    assert session.cache._network(trace) != session.cache._network(alone)


def test_facets_of_ones_own_are_traced_as_they_are_grouped(session: Session) -> None:
    inquiry = asked(session, 14, 10, 6)
    list(facet(session, inquiry))
    found = known_facets(session, inquiry)
    assert found is not None
    mine = tuple(example.id for example in found.examples[:3])
    own = Inquiry(inquiry.neuron, inquiry.gallery, PRUNING, own=(mine, ("gone",)))
    events = list(facet(session, own))
    groups = of(events, Grouped)[-1].facets
    assert groups.own
    assert sorted(map(len, groups)) == [3, len(found.examples) - 3]
    assert {event.facet for event in of(events, FacetTraced)} == {0, 1}


def test_few_examples_stay_one_facet_unless_a_number_is_asked_for(session: Session) -> None:
    events = list(facet(session, asked(session, 6, 5)))
    assert len(of(events, Grouped)[-1].facets) == 1
    events = list(facet(session, asked(session, 6, 5, count=2)))
    assert sorted(map(len, of(events, Grouped)[-1].facets)) == [5, 6]
    with pytest.raises(InputError, match="cannot be in 6 facets"):
        list(facet(session, asked(session, 2, 2, count=6)))


def test_a_neuron_that_no_photograph_excites_is_said_in_one_sentence(session: Session) -> None:
    with pytest.raises(InputError, match="None of the photographs excites either:0"):
        list(facet(session, asked(session, 0, 0, 5)))


def test_a_survey_that_was_left_off_goes_on_from_there(session: Session) -> None:
    gallery = Gallery(session, spots(20, 20, 20))
    steps = survey(session, gallery, "either")
    first = next(event for event in steps if isinstance(event, ChannelFacets))
    steps.close()  # type: ignore[attr-defined]
    rest = list(survey(session, gallery, "either"))
    assert rest[0] is first
    rows = {row.neuron.channel: row.count for row in rest if isinstance(row, ChannelFacets)}
    assert rows == {0: 2, 1: 1}
    assert all(isinstance(event, ChannelFacets) for event in survey(session, gallery, "either"))
