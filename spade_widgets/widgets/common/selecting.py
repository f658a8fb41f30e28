"""What a panel selects: which samples there are, which values are accepted, and who may set them."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, ClassVar

import numpy as np

from spade_widgets.errors import InputError, SpadeError, first_line
from spade_widgets.pruning.plans.fidelity import check_fidelity
from spade_widgets.pruning.plans.plan import NOMINAL
from spade_widgets.pruning.solvers import check_sparsity
from spade_widgets.runtime.tracing import PLAN, Pruning
from spade_widgets.sample import Sample, Source
from spade_widgets.widgets.common.observers import alone
from spade_widgets.widgets.common.plans import read_plan
from spade_widgets.widgets.common.thumbnails import place
from spade_widgets.widgets.common.wire import SHARED, PanelWire, check_flag


class Selecting(PanelWire):
    """The traits that a user chooses, whether in the panel or from Python; what follows from a choice is a `Panel`'s.

    Args:
        traits: the values that the traits begin with.
    """

    #: What computes anew when it changes.
    SELECTS: ClassVar[tuple[str, ...]] = ()
    #: What can be set besides.
    SETS: ClassVar[tuple[str, ...]] = ()

    _open = False  # until all of it is made

    def __init__(self, **traits: Any) -> None:
        self._listing = threading.Lock()
        super().__init__(**traits)

    # The samples

    @property
    def sample(self) -> Sample:
        """The chosen sample. Set it to a `Sample`, an id, a number, a title, or anything that `Sample.read` takes."""
        return self.session.sample(self.sample_id)

    @sample.setter
    def sample(self, value: Source | int | np.integer[Any]) -> None:
        self.sample_id = self._find(value).id

    def _find(self, value: Source | int | np.integer[Any]) -> Sample:
        """The sample that is meant; one that is not among the panel's comes to them."""
        known = self.session.samples
        if isinstance(value, int | np.integer):
            if not -len(known) <= value < len(known):
                raise InputError(f"There is no sample {value}: they are numbered 0 to {len(known) - 1}.")
            return known[int(value)]
        for candidate in known:
            if isinstance(value, str) and value in (candidate.id, candidate.title):
                return candidate
        return self._add(Sample.read(value))

    def _add(self, sample: Sample) -> Sample:
        try:
            self.session.classifier.view(sample)
        except Exception as error:  # whatever the user's own preprocessing raises
            raise InputError(f"The preprocessing fails on '{sample.title}': {first_line(error)}") from error
        added = self.session.add(sample)
        self._list_samples()
        return added

    def _list_samples(self) -> None:
        """The samples for the page."""
        with self._listing:  # else whoever saw fewer samples could come last
            self.samples = [
                {"id": s.id, "title": s.title, "label": s.label or "", "thumb": place(i)}
                for i, s in enumerate(self.session.samples)
            ]

    # What is accepted

    def _accepted(self, name: str, value: Any) -> Any:
        """A value as it is kept; an `InputError` says why it cannot be."""
        if name == "sparsity":
            return check_sparsity(value)
        if name == "fidelity":
            return None if value is None else check_fidelity(value)
        if name == "sequential":
            return check_flag(name, value)
        if name == "plan":
            plan = read_plan(value)
            if self._open and (plan or self.preset == PLAN.key):
                self.session.check(self._pruning(plan=plan, preset=PLAN.key))
            return plan
        if not isinstance(value, str):
            raise InputError(f"The {name} is {value!r}, which is no text.")
        if name == "sample_id":
            return self.session.sample(value).id
        if self._open:  # while the panel is made, preset, pattern and solver come one by one
            self.session.check(self._pruning(**{name: value}))
        return value

    @contextmanager
    def hold_trait_notifications(self) -> Iterator[None]:
        """Notifications are not held once the panel is open.

        They would be on whatever thread sets a trait while the page sets another: the worker's could then be lost.
        """
        if self._open:
            yield
        else:
            with super().hold_trait_notifications():
                yield

    def set_state(self, sync_data: Mapping[str, Any]) -> None:
        """What the page sets. Bad input is said in `error`, and the page gets the value that still holds."""
        with alone():
            self._set_from_page(sync_data)

    def _set_from_page(self, sync_data: Mapping[str, Any]) -> None:
        problems = []
        ours = (*self.SELECTS, *self.SETS)
        # The pattern and the plan first: they are checked against the layers when the preset that uses them comes.
        for name in sorted(sync_data, key=lambda n: n not in ("pattern", "plan")):
            try:
                if name == "plan" and isinstance(sync_data[name], str):
                    raise InputError("A page says what is in a plan, not where it lies.")
                value = self._accepted(name, sync_data[name]) if name in ours else sync_data[name]
            except SpadeError as error:
                problems.append(str(error))
                self.send_state(name)
            else:
                super().set_state({name: list(value) if isinstance(value, tuple) else value})  # as in JSON
        if not sync_data.keys().isdisjoint(ours):  # also when it is what was selected already
            self.error = " ".join(problems)
            self.session.worker.favour(self)  # it was touched, whatever followed it

    def _pruning(self, **changed: Any) -> Pruning:
        values = {name: getattr(self, name) for name in SHARED if name != "sample_id"}
        if values["fidelity"] is not None:
            # Where the slider stands is what came of it: the same is asked for before and after.
            values["sparsity"] = NOMINAL
        return Pruning(**{**values, **changed})
