"""What a panel is opened on that may stand beside another one: that panel, a session, or a model of its own."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from spade_widgets.disk import SIZE
from spade_widgets.errors import InputError
from spade_widgets.network.preprocessing import Preprocess
from spade_widgets.runtime.session import Session
from spade_widgets.runtime.tracing import Pruning
from spade_widgets.sample import Source
from spade_widgets.widgets.common.opening import Model, Opened, open_panel, open_session
from spade_widgets.widgets.common.panel import ORDER, Panel
from spade_widgets.widgets.common.plans import asked_pruning


@dataclass(frozen=True, eq=False)
class Beside:
    """What a panel begins with.

    Attributes:
        opened, session: what it is on.
        panel: the one that it shares sample and pruning with, if there is one.
        begun: how that one prunes; without one, the model's default.
        asked: the same with what was asked for.
    """

    opened: Opened
    session: Session
    panel: Panel | None
    begun: Pruning
    asked: Pruning
    _given: Mapping[str, Any]

    @property
    def sample_id(self) -> str:
        """The other panel's sample; else the first."""
        return self.session.samples[0].id if self.panel is None else str(self.panel.sample_id)

    @property
    def pruning(self) -> Pruning:
        """What the panel begins with: the other one's, until both are linked."""
        return self.asked if self.panel is None else self.begun

    def agree(self, panel: Panel) -> None:
        """Have both panels, once they are linked, prune as asked; what was not asked for may have changed meanwhile."""
        if self.panel is None:
            return
        for name in ORDER[1:]:
            if self._given[name] is not None or getattr(self.asked, name) != getattr(self.begun, name):
                setattr(panel, name, getattr(self.asked, name))


def open_beside(
    source: Panel | Session | Model,
    pruning: Mapping[str, Any],
    *,
    samples: Source | Iterable[Source] | None,
    weights: str | Path | None,
    class_names: Sequence[str] | None,
    preprocess: Preprocess | None,
    **options: Any,
) -> Beside:
    """Make a session of what the user gave, or take that of a panel.

    Args:
        source: a panel, a session, or a model as the Explorer takes it.
        pruning: what was asked for, as `asked_pruning` takes it.
        samples, weights, class_names, preprocess: of a model; see the Explorer.
        options: of a model's session; None for what it begins with.

    Raises:
        InputError: if something is given that a panel or a session has already, or cannot be used.
    """
    if isinstance(source, Panel | Session):
        own: dict[str, Any] = {"samples": samples, "weights": None if weights == "DEFAULT" else weights}
        own |= {"class_names": class_names, "preprocess": preprocess, **options}
        if weights is None or any(value is not None for value in own.values()):
            kind = "session" if isinstance(source, Session) else "panel"
            *names, last = (f"`{name}`" for name in own)
            raise InputError(f"{', '.join(names)} and {last} are for a model; this {kind} has its own.")
        session = source if isinstance(source, Session) else source.session
        opened = source._opened if isinstance(source, Panel) else open_session(session)
    else:
        opened = open_panel(source, samples, weights, class_names, preprocess, "panel")
        begins = {"augmentations": opened.augmentations, "steps": opened.steps, "size": opened.size}
        begins |= {"seed": 0, "cache": None, "cache_size": SIZE}
        chosen: dict[str, Any] = {name: begins[name] if value is None else value for name, value in options.items()}
        session = Session(opened.classifier, opened.samples, **chosen)
    panel = source if isinstance(source, Panel) else None
    begun = Pruning(opened.sparsity) if panel is None else panel._pruning(sparsity=panel.sparsity)
    asked = asked_pruning(begun, **pruning)
    session.check(asked)
    return Beside(opened, session, panel, begun, asked, pruning)
