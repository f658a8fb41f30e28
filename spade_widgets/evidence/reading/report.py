"""What the reader found, as Markdown for people and as CSV for programs: means with bootstrap intervals."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from spade_widgets.evidence.bootstrap import DRAWS, LEVEL, Interval, balanced, differences

#: Network → sample → number in 0…1.
Values: TypeAlias = Mapping[str, Mapping[str, float]]


@dataclass(frozen=True, eq=False)
class Column:
    """One question, answered by a number a sample.

    Attributes:
        key, title: its name for programs and for people.
        groups: the samples' numbers; of several groups each counts alike, however many samples it has.
        higher: whether more is better; None where neither is.
    """

    key: str
    title: str
    groups: tuple[Values, ...]
    higher: bool | None = True


@dataclass(frozen=True, eq=False)
class Section:
    """One table: a row a network, a column a question.

    Attributes:
        title, text: what stands above it.
        columns: at least one.
    """

    title: str
    text: str
    columns: tuple[Column, ...]


@dataclass(frozen=True)
class Cell:
    """A network's figure.

    Attributes:
        value: the mean over samples; None where there is no number.
        difference: the mean difference to the first network on the same samples; None for the first one itself.
        apart: whether the two means' intervals do not touch.
    """

    value: Interval | None
    difference: Interval | None = None
    apart: bool = False


def cell(column: Column, network: str, first: str) -> Cell:
    """The figure of a network; `first`: the one that it is compared with."""
    value = _over([list(group.get(network, {}).values()) for group in column.groups])
    if network == first:
        return Cell(value)
    paired = [differences(dict(group.get(network, {})), dict(group.get(first, {}))) for group in column.groups]
    reference = _over([list(group.get(first, {}).values()) for group in column.groups])
    return Cell(value, _over(paired), value is not None and reference is not None and value.apart(reference))


def markdown(sections: Sequence[Section], networks: Sequence[str], notes: Sequence[str] = ()) -> str:
    """A table a section. Marks: ▲ better, ▼ worse than the first network where the paired difference leaves out 0."""
    lines = []
    for section in sections:
        heads = ["", *(_head(column, networks) for column in section.columns)]
        lines += [f"### {section.title}", "", section.text, ""]
        lines += [_line(heads), "|---" * len(heads) + "|"]
        for network in networks:
            found = [(column, cell(column, network, networks[0])) for column in section.columns]
            lines.append(_line([network, *(_shown(column, one) for column, one in found)]))
        lines.append("")
    lines.append(
        f"Means over samples, %, with {LEVEL:.0%} bootstrap intervals ({DRAWS:,} draws). In square brackets the "
        f"difference to {networks[0]} on the same samples; ▲ better, ▼ worse, where its interval leaves out 0; doubled "
        "where the two means' intervals do not touch either."
    )
    return "\n".join([*lines, *(["", *(f"- {note}" for note in notes)] if notes else []), ""])


def csv_text(sections: Sequence[Section], networks: Sequence[str]) -> str:
    """A line for each section, column and network; shares in 0…1."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    names = ("mean", "low", "high", "samples")
    writer.writerow(["table", "column", "network", *names, *(f"difference_to_{networks[0]}_{n}" for n in names)])
    for section in sections:
        for column in section.columns:
            for network in networks:
                found = cell(column, network, networks[0])
                writer.writerow(
                    [section.title, column.key, network, *_numbers(found.value), *_numbers(found.difference)]
                )
    return out.getvalue()


def _over(groups: Sequence[Sequence[float]]) -> Interval | None:
    """The mean of the groups' means; None if one has no sample."""
    return balanced(groups) if groups and all(groups) else None


def _head(column: Column, networks: Sequence[str]) -> str:
    counts = [sum(len(group.get(network, {})) for group in column.groups) for network in networks]
    low, high = min(counts, default=0), max(counts, default=0)
    return f"{column.title} (n = {low if low == high else f'{low} to {high}'})"


def _shown(column: Column, found: Cell) -> str:
    if found.value is None:
        return "—"
    v, d = found.value, found.difference
    text = f"{100 * v.mean:.1f} ({100 * v.low:.1f} to {100 * v.high:.1f})"
    if d is None:
        return text
    mark = ""
    if column.higher is not None and not d.low <= 0 <= d.high:
        mark = ("▲" if (d.mean > 0) == column.higher else "▼") * (2 if found.apart else 1)
    return f"{text} [{100 * d.mean:+.1f} ({100 * d.low:+.1f} to {100 * d.high:+.1f})] {mark}".rstrip()


def _line(cells: Sequence[str]) -> str:
    return "| " + " | ".join(text.replace("|", "\\|") for text in cells) + " |"


def _numbers(value: Interval | None) -> list[float | int | str]:
    return ["", "", "", ""] if value is None else [value.mean, value.low, value.high, value.count]
