"""The tables of each question."""

from __future__ import annotations

from collections.abc import Mapping

from spade_widgets.errors import InputError
from spade_widgets.evidence.reading.likeness import DEAD, KEEPS, LOGIT, RANK, READ, TOP, Answers
from spade_widgets.evidence.reading.patch import MARGIN, Cause, Leans
from spade_widgets.evidence.reading.report import Column, Section, Values

RIGHT, UNDECIDED, WRONG = "right", "undecided", "wrong"
_SIGN: dict[Cause, int] = {"patch": 1, "object": -1}
_TITLES: dict[Cause, str] = {"patch": "the patch decides", "object": "the object decides"}


def verdict(lean: float, cause: Cause, margin: float) -> str:
    """Right, wrong or undecided: which crop the picture is more like, by more than the margin."""
    if abs(lean) <= margin:
        return UNDECIDED
    return RIGHT if lean * _SIGN[cause] > 0 else WRONG


def patch_sections(leans: Leans, margin: float = MARGIN) -> list[Section]:
    """Share right, undecided and wrong: where the patch decides, where the object does, and both in balance.

    Raises:
        InputError: if the margin is below 0.
    """
    if not margin >= 0:
        raise InputError(f"A margin of {margin:g} cannot be: 0 or more.")
    sections = []
    for outcome, higher in ((RIGHT, True), (UNDECIDED, None), (WRONG, False)):
        groups: dict[Cause, Values] = {cause: _shares(leans, cause, outcome, margin) for cause in _SIGN}
        columns = [Column(cause, _TITLES[cause], (groups[cause],), higher) for cause in _SIGN]
        columns.append(Column("both", "both, balanced", tuple(groups.values()), higher))
        text = (
            f"Is the picture more like the crop of the patch, or of the other place? Undecided: similarities that "
            f"differ by {margin:g} at most."
        )
        sections.append(Section(outcome, text, tuple(columns)))
    return sections


def likeness_sections(answers: Answers) -> list[Section]:
    """A table a kind of neuron: rank of the own sample, dead pictures; for the logit also what is read and kept."""
    sections = []
    for kind in dict.fromkeys(kind for kind, _ in answers.values if kind):
        found: Mapping[str, Values] = {metric: values for (k, metric), values in answers.values.items() if k == kind}
        columns = [Column(RANK, "own sample's rank (chance 50)", (found[RANK],))]
        if READ in found:
            columns.append(Column(READ, f"read as the class (first {TOP})", (found[READ],)))
        columns.append(Column(DEAD, "nothing reaches the neuron", (found[DEAD],), False))
        if kind == LOGIT and ("", KEEPS) in answers.values:
            columns.append(Column(KEEPS, "keeps class", (answers.values["", KEEPS],), None))
        what = "the logit of the predicted class" if kind == LOGIT else f"the most excited channel of {kind}"
        text = f"Pictures of {what}. Rank: the share of the other samples that are less like the picture."
        sections.append(Section(what, text, tuple(columns)))
    return sections


def _shares(leans: Leans, cause: Cause, outcome: str, margin: float) -> dict[str, dict[str, float]]:
    return {
        network: {sample: float(verdict(lean, cause, margin) == outcome) for sample, lean in found[cause].items()}
        for network, found in leans.leans.items()
    }
