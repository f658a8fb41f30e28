"""A run's numbers as Markdown for people and as CSV for programs: means over samples with bootstrap intervals."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass

from spade_widgets.evidence.bootstrap import DRAWS, LEVEL, Interval, differences, interval
from spade_widgets.evidence.evaluate import Table
from spade_widgets.evidence.judging import Metric
from spade_widgets.evidence.networks import NetworkName

AVERAGE = "average"


@dataclass(frozen=True)
class Cell:
    """One row's figure for one network.

    Attributes:
        network, metric: their names.
        method: a saliency method's, `AVERAGE` for the mean over methods, or "" for a metric that needs no map.
        value: the mean over samples; None where there is no number.
        difference: the mean difference to the first network on the same samples; None for the first one itself.
        apart: whether its interval and the first network's do not touch.
        errors: why numbers are missing.
    """

    network: str
    method: str
    metric: Metric
    value: Interval | None
    difference: Interval | None
    apart: bool = False
    errors: tuple[str, ...] = ()

    @property
    def better(self) -> bool | None:
        """Whether it is better than the first network; None where the difference's interval holds 0."""
        if self.difference is None or self.difference.low <= 0 <= self.difference.high:
            return None
        return (self.difference.mean > 0) == self.metric.higher


def cells(table: Table, metric: Metric) -> list[list[Cell]]:
    """A row a method, a cell a network; below several methods their average.

    The average is taken sample by sample, over the methods and the samples for which every network has all numbers: so
    the networks are compared on the same ones.
    """
    networks = table.protocol.networks
    methods = table.protocol.methods if metric.needs_map else ("",)
    values = {(n, m): table.values(n, m, metric) for n in networks for m in methods}
    rows = [
        [
            _cell(n, m, metric, values[n, m], values[networks[0], m], i == 0, table.errors(n, m, metric))
            for i, n in enumerate(networks)
        ]
        for m in methods
    ]
    complete = [m for m in methods if all(values[n, m] for n in networks)]
    if len(complete) > 1:
        common = [s for s in table.samples if all(s in values[n, m] for n in networks for m in complete)]
        means = {n: {s: sum(values[n, m][s] for m in complete) / len(complete) for s in common} for n in networks}
        left = [m for m in methods if m not in complete]
        notes = [f"without {', '.join(left)}"] if left else []
        rows.append(
            [_cell(n, AVERAGE, metric, means[n], means[networks[0]], i == 0, notes) for i, n in enumerate(networks)]
        )
    return rows


def markdown(table: Table) -> str:
    """A Markdown table for each metric, the means first and below them the differences to the first network."""
    parts = [_markdown(table, metric) for metric in table.protocol.metrics]
    return "\n".join(parts)


def csv_text(table: Table) -> str:
    """A line for each metric, method and network, in the metrics' own units (shares in 0…1)."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    names = ("mean", "low", "high", "samples")
    first = str(table.protocol.networks[0])
    writer.writerow(["metric", "method", "network", *names, *(f"difference_to_{first}_{n}" for n in names), "errors"])
    for metric in table.protocol.metrics:
        for row in cells(table, metric):
            for cell in row:
                place = [metric.key, cell.method, cell.network]
                writer.writerow([*place, *_numbers(cell.value), *_numbers(cell.difference), " ".join(cell.errors)])
    return out.getvalue()


def _cell(
    network: NetworkName,
    method: str,
    metric: Metric,
    values: dict[str, float],
    reference: dict[str, float],
    first: bool,
    errors: Sequence[str],
) -> Cell:
    mean, first_mean = (interval(list(v.values())) if v else None for v in (values, reference))
    paired = [] if first else differences(values, reference)
    return Cell(
        str(network),
        method,
        metric,
        mean,
        interval(paired) if paired else None,
        mean is not None and first_mean is not None and mean.apart(first_mean),
        tuple(errors),
    )


def _markdown(table: Table, metric: Metric) -> str:
    rows = cells(table, metric)
    networks = [str(n) for n in table.protocol.networks]
    unit, better = (", %" if metric.share else ", nats"), ("higher" if metric.higher else "lower")
    counts = {cell.value.count for row in rows for cell in row if cell.value is not None}
    samples = " to ".join(str(n) for n in sorted({min(counts, default=0), max(counts, default=0)}))
    lines = [
        f"### {metric.title}{unit} ({better} is better)",
        "",
        f"Means over {samples} samples with {LEVEL:.0%} bootstrap intervals ({DRAWS:,} draws).",
        "",
        *_grid(networks, [[row[0].method or metric.title, *(_shown(c, metric) for c in row)] for row in rows]),
    ]
    if len(networks) > 1:
        lines += [
            "",
            f"Difference to {networks[0]} on the same samples; ▲ better, ▼ worse, where the interval leaves out 0; "
            f"doubled where the two means' intervals do not touch either:",
            "",
            *_grid(
                networks[1:], [[row[0].method or metric.title, *(_apart(c, metric) for c in row[1:])] for row in rows]
            ),
        ]
    notes = [f"- {c.method}, {c.network}: {error}" for row in rows for c in row for error in c.errors]
    return "\n".join([*lines, *(["", *notes] if notes else []), ""])


def _grid(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    def line(cells: Sequence[str]) -> str:
        return "| " + " | ".join(text.replace("|", "\\|") for text in cells) + " |"

    return [line(["", *heads]), "|---" * (len(heads) + 1) + "|", *map(line, rows)]


def _shown(cell: Cell, metric: Metric) -> str:
    if cell.value is None:
        return "—"
    scale, digits = _scale(metric)
    v = cell.value
    return f"{scale * v.mean:.{digits}f} ({scale * v.low:.{digits}f} to {scale * v.high:.{digits}f})"


def _apart(cell: Cell, metric: Metric) -> str:
    if cell.difference is None:
        return "—"
    scale, digits = _scale(metric)
    d = cell.difference
    mark = {True: "▲", False: "▼", None: ""}[cell.better] * (2 if cell.apart else 1)
    return f"{scale * d.mean:+.{digits}f} ({scale * d.low:+.{digits}f} to {scale * d.high:+.{digits}f}) {mark}".rstrip()


def _scale(metric: Metric) -> tuple[float, int]:
    return (100, 1) if metric.share else (1, 3)


def _numbers(value: Interval | None) -> list[float | int | str]:
    return ["", "", "", ""] if value is None else [value.mean, value.low, value.high, value.count]
