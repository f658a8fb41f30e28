"""The Facet panel: what unlike things a neuron answers to in the user's photographs, and what it is in each of them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any
from weakref import ref

import numpy as np
import traitlets as t
from PIL import Image

from spade_widgets.checks import whole
from spade_widgets.errors import InputError
from spade_widgets.inspection.facets import Facets
from spade_widgets.network.preprocessing import Preprocess
from spade_widgets.neuron import Neuron
from spade_widgets.pruning.plans.plan import head
from spade_widgets.pruning.traces.trace import Trace
from spade_widgets.runtime.exemplify import Gallery
from spade_widgets.runtime.facets import FacetEvent, Grouped, Inquiry, facet, known_facets, known_pictures, known_traces
from spade_widgets.runtime.jobs import Steps
from spade_widgets.runtime.session import Session
from spade_widgets.sample import Source
from spade_widgets.widgets.common.beside import open_beside
from spade_widgets.widgets.common.follow import follows
from spade_widgets.widgets.common.link import Link
from spade_widgets.widgets.common.opening import Model
from spade_widgets.widgets.common.panel import Panel
from spade_widgets.widgets.common.plans import PlanSource
from spade_widgets.widgets.common.recipe import facets_recipe
from spade_widgets.widgets.common.still import Still
from spade_widgets.widgets.common.wire import check_flag
from spade_widgets.widgets.facets.screen import FacetScreen
from spade_widgets.widgets.facets.stills import facet_still
from spade_widgets.widgets.facets.wire import AUTO, BESIDES, MOST, SELECTION, FacetWire


class FacetPanel(Panel, FacetWire):
    """A neuron's facets: a row each, with crops of its examples, its share, and the neuron's picture under its trace.

    Everything on screen can be read and set: `neuron`, `count`, `groups`, `photos`, `sample`, `layer`, `listing`,
    `sparsity`, `preset`, `pattern`, `plan`, `solver`, `sequential`; and read: `facets`, `traces`, `images`, `survey`,
    `state()`, `code`.

    Args:
        source: an `Explorer` (its sample, neuron and pruning are then this panel's, and the other way round, and its
            photographs serve), a `Session`, or what the Explorer takes as its model.
        neuron: as the Explorer takes it. Default: the Explorer's; else the class that the first sample is taken for.
        photos: the user's own photographs, whose best 64 are grouped: a folder, or a list of anything that
            `Sample.read` takes. Default: the Explorer's; else the panel's samples.
        explorer: the same as giving it as `source`.
        count: how many facets, 1 to 6; `"auto"`, the default: as many as are clearer than chance, which may be one.
        layer: whose neurons are listed, once `listing` is set: which of them have several facets?
        samples, weights, class_names, preprocess, augmentations, steps, size, seed, cache, cache_size: as the Explorer
            takes them; not for a panel or a session, which have them.
        sparsity, preset, pattern, solver, sequential, plan: how facets are traced, to begin with; see the Explorer.

    Raises:
        InputError, ModelError: if something given cannot be used; one sentence says what and why.
    """

    SELECTS = SELECTION
    SETS = BESIDES

    _screen: FacetScreen

    def __init__(
        self,
        source: Panel | Session | Model = None,
        neuron: str | Neuron | None = None,
        photos: Source | Iterable[Source] | None = None,
        *,
        explorer: Panel | None = None,
        count: int | str = "auto",
        layer: str | None = None,
        samples: Source | Iterable[Source] | None = None,
        weights: str | Path | None = "DEFAULT",
        class_names: Sequence[str] | None = None,
        preprocess: Preprocess | None = None,
        sparsity: float | None = None,
        preset: str | None = None,
        pattern: str | None = None,
        solver: str | None = None,
        sequential: bool | None = None,
        plan: PlanSource | None = None,
        augmentations: int | None = None,
        steps: int | None = None,
        size: int | None = None,
        seed: int | None = None,
        cache: str | Path | None = None,
        cache_size: int | None = None,
    ) -> None:
        if explorer is not None:
            if source is not None and source is not explorer:
                raise InputError("A panel and a model cannot both be given: the panel has its own.")
            source = explorer
        beside = open_beside(
            source,
            {
                "sparsity": sparsity,
                "preset": preset,
                "pattern": pattern,
                "plan": plan,
                "solver": solver,
                "sequential": sequential,
                "fidelity": None,
            },
            samples=samples,
            weights=weights,
            class_names=class_names,
            preprocess=preprocess,
            augmentations=augmentations,
            steps=steps,
            size=size,
            seed=seed,
            cache=cache,
            cache_size=cache_size,
        )
        session, linked = beside.session, beside.panel
        self._other = None if linked is None else ref(linked)
        self._gallery = None if photos is None and hasattr(linked, "gallery") else Gallery(session, photos)
        classifier, first = session.classifier, session.samples[0]
        if neuron is None:
            followed = getattr(linked, "neuron", "")
            best = int(session.probabilities(classifier, first).argmax())
            chosen = classifier.neuron(followed or f"logit:{best}")
        else:
            chosen = classifier.neuron(neuron)
        hidden = [one.name for one in classifier.layers() if one.name != head(classifier)]
        shown = chosen.layer or getattr(linked, "layer", "") or (hidden or [classifier.layers()[-1].name])[-1]
        super().__init__(
            beside.opened,
            session,
            beside.sample_id,
            beside.pruning,
            neuron=str(chosen),
            count=count,
            layer=shown if layer is None else layer,
            layers=[{"name": x.name, "kind": x.kind, "channels": x.channels} for x in classifier.layers()],
        )
        self._screen = FacetScreen(self)
        if linked is not None and linked.has_trait("neuron"):
            if neuron is not None:
                linked.neuron = str(chosen)  # as a user's choice: it no longer follows
            link = Link(linked, self, ("neuron",))
            self._links.append(link)
            linked._links.append(link)
        self._begin(linked)
        self.observe(self._listed, ("layer", "listing"))
        beside.agree(self)

    # What a user reads and does

    @property
    def gallery(self) -> Gallery:
        """The photographs: the linked Explorer's, where none were given."""
        if self._gallery is None:
            other = self._linked()
            self._gallery = Gallery(self.session) if other is None else None
            if other is not None:
                shared: Gallery = other.gallery
                return shared
        assert self._gallery is not None
        return self._gallery

    @property
    def photos(self) -> tuple[Source, ...]:
        """The photographs: paths, where they came from files.

        Set them to a folder, a list of anything `Sample.read` takes, or None for the panel's own samples.
        """
        return self.gallery.photos

    @photos.setter
    def photos(self, value: Source | Iterable[Source] | None) -> None:
        gallery = Gallery(self.session, value)
        with self._starting:
            self._gallery = gallery
        self.error = ""
        if self.groups:
            self.groups = ()  # they were of the photographs of before; that starts the work, too
        else:
            self._start()
        self._listed()

    @property
    def facets(self) -> Facets | None:
        """The neuron's facets as they are shown; None until they are found."""
        selection = self._selection()
        return self._screen.facets_of(selection) or known_facets(self.session, selection)

    @property
    def traces(self) -> list[Trace | None]:
        """Each facet's trace; None while it is not there."""
        selection = self._selection()
        facets = known_facets(self.session, selection)
        return [] if facets is None else known_traces(self.session, selection, facets)

    @property
    def images(self) -> list[Image.Image | None]:
        """The neuron's pictures as far as they have come: the dense one, then one under each facet's trace."""
        selection = self._selection()
        facets = known_facets(self.session, selection)
        found = [] if facets is None else known_pictures(self.session, selection, facets)
        return [None if renderer is None else renderer.sheet() for renderer in found]

    def state(self) -> dict[str, Any]:
        """Everything on screen in plain values: the selection, facets, traces, the pictures' progress, status."""
        names = ("neuron", "count", "layer", "listing", "sparsity", "preset", "pattern", "solver", "sequential")
        rest = ("pictures", "survey", "status", "error")
        return {
            "sample": self.sample.title,
            "sample_id": self.sample_id,
            **{name: getattr(self, name) for name in names},
            "plan": [list(pair) for pair in self.plan],
            "groups": [list(members) for members in self.groups],
            "facets": self.summary,
            "examples": [{k: v for k, v in one.items() if k != "crop"} for one in self.examples],
            "traces": self.trace_rows,
            **{name: getattr(self, name) for name in rest},
        }

    def stop(self) -> None:
        """Stop computing, the list of neurons too; what is done stays."""
        super().stop()
        self.session.worker.cancel((self, "survey"))

    def resume(self) -> None:
        """Go on from where it was stopped."""
        super().resume()
        self._listed()

    def reset(self) -> None:
        """Away with groups of one's own: the neuron's facets again, as many as there are."""
        self.count = AUTO
        self.groups = ()

    # What is accepted, and what happens then

    @t.validate(*SELECTION, *BESIDES)
    def _check(self, proposal: Any) -> Any:
        name = proposal["trait"].name
        value = self._accepted(name, proposal["value"])
        if name == "neuron" and self._open and not follows():
            self._pin(value)
        return value

    def _accepted(self, name: str, value: Any) -> Any:
        match name:
            case "neuron":
                return str(self.session.classifier.neuron(value))
            case "count":
                return self._number(value)
            case "groups":
                return self._groups(value)
            case "layer" if isinstance(value, str):
                return self.session.classifier.layer(value).name
            case "listing":
                return check_flag(name, value)
        return super()._accepted(name, value)

    def _number(self, value: Any) -> int:
        if isinstance(value, str) and value == "auto":
            return AUTO
        whole_number = isinstance(value, int | np.integer) and not isinstance(value, bool)
        if not whole_number or not AUTO <= value <= MOST:
            raise InputError(f"The number of facets cannot be {value!r}: 'auto' or 1 to {MOST} can be chosen.")
        return int(value)

    def _groups(self, value: Any) -> tuple[tuple[str, ...], ...]:
        """Groups of examples, each by its id or its position among `facets.examples`."""
        if isinstance(value, str) or not isinstance(value, Iterable):
            raise InputError(f"The groups are {value!r}; a list of lists of examples is needed, a list a facet.")
        asked = [[members] if isinstance(members, str) else list(members) for members in value]
        numbered = any(not isinstance(one, str) for members in asked for one in members)
        found = self.facets if self._open and numbered else None
        groups = [tuple(self._example(one, found) for one in members) for members in asked]
        named = [one for members in groups for one in members]
        if len(groups) > MOST:
            raise InputError(f"There are {len(groups)} groups; up to {MOST} facets of one's own can be shown.")
        if not all(groups):
            raise InputError("A facet of one's own has at least one example.")
        if len(set(named)) < len(named):
            raise InputError("An example can be in one facet only.")
        return tuple(groups)

    def _example(self, one: Any, found: Facets | None) -> str:
        if isinstance(one, str):
            return one
        known = () if found is None else found.examples
        place = whole("position of an example", one, 0)
        if place >= len(known):
            raise InputError(f"There is no example {place}: {len(known)} are known of {self.neuron}.")
        return known[place].id

    def _selection(self) -> Inquiry:
        pruning = replace(self._pruning(), fidelity=None, sparsity=self.sparsity)
        neuron = self.session.classifier.neuron(self.neuron)
        return Inquiry(neuron, self.gallery, pruning, self.count or None, tuple(map(tuple, self.groups)))

    def _still(self) -> Still:
        return facet_still(self)

    def _events(self, selection: Inquiry) -> Iterator[FacetEvent]:
        for event in facet(self.session, selection):
            if isinstance(event, Grouped):
                # With the user's own groups, and for so few examples as there are.
                self.code = facets_recipe(self._opened, self.session, selection, event.facets)
            yield event

    def _selected(self, change: Any) -> None:
        name = change["name"]
        if name in ("neuron", "count") and self.groups:
            self.groups = ()  # they were of what was there before; that starts the work, too
        if name == "sparsity" and self.fidelity is not None:
            self.error = ""
            if not follows():
                self._choose_sparsity(change["new"])
            self._start()  # a facet has the sparsity that was found for the sample
            return
        super()._selected(change)

    def _listed(self, _change: Any = None) -> None:
        with self._starting:
            if self._closed or not self._active:
                return
            if self.listing:
                self._besides("survey", self._screen.survey(self._selection(), self.layer), idle=True)
            else:
                self.session.worker.cancel((self, "survey"))

    def _work(self, active: bool) -> None:
        super()._work(active)
        if active:
            self._listed()

    def _linked(self) -> Any:
        """The Explorer that this panel shares its neuron with, where it is still there."""
        return None if self._other is None else self._other()

    def _pin(self, neuron: str) -> None:
        """In the linked Explorer, too, the neuron is now a user's choice, which follows no sample's class."""
        other = self._linked()
        if other is not None and other.has_trait("neuron") and not other._closed:
            other.neuron = neuron

    def _message(self, widget: Any, content: dict[str, Any], buffers: list[Any]) -> None:
        match content.get("type"):
            case "ack":
                self._screen.frames.acknowledge(str(content.get("which")), int(content.get("seq", 0)))
            case "example":
                self._besides("example", self._choose_example(str(content.get("id"))))
            case "reset":
                self.error = ""
                self.reset()
            case _:
                super()._message(widget, content, buffers)

    def _choose_example(self, identifier: str) -> Steps:
        """On the worker's thread: an example becomes the sample; the neuron stays what it is."""
        facets = self.facets
        example = next((one for one in facets.examples if one.id == identifier), None) if facets else None
        if example is not None:
            self._pin(self.neuron)
            sample = self._add(replace(example).sample)
            if isinstance(example.source, str | Path):
                self._opened.sample_code.setdefault(sample.id, repr(str(example.source)))
            self.sample_id = sample.id
        yield

    def _recipe(self, selection: Inquiry) -> str:
        found = self._screen.facets_of(selection) if self._open else None  # at once: the kernel's own thread waits
        return facets_recipe(self._opened, self.session, selection, found)
