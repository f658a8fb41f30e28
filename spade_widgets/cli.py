"""The command `spade-widgets`: tables of what maps and pictures are worth, plans tuned for it, traces into files.

Errors are one sentence on stderr and exit code 2. Ctrl-C keeps what is done: the same command goes on from there.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from spade_widgets import __version__, cli_pictures, cli_plant
from spade_widgets import cli_options as options
from spade_widgets.errors import InputError, SpadeError

if TYPE_CHECKING:
    from spade_widgets.pruning.progress import Progress, Steps

T = TypeVar("T")
EVALUATED, TUNED = 100, 30
"""How many samples are made afresh for a table and for tuning, where it is not said."""
EVALUATE_SEED, TUNE_SEED = 20_000, 10_000
"""Their seeds: other ones, so that none is in both."""
STOPPED = 130


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; its exit code."""
    parser = _parser()
    given = parser.parse_args(arguments)
    run: Callable[[argparse.Namespace], None] = given.run
    try:
        run(given)
    except SpadeError as error:
        print(f"\nspade-widgets: {error}" if sys.stderr.isatty() else f"spade-widgets: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        where = given.out if given.run is _plant else f"{given.out}.jsonl" if given.resumes else ""
        kept = f" What is done is kept in {where}; the same command goes on." if where else ""
        print(f"\nStopped.{kept}", file=sys.stderr)
        return STOPPED
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="spade-widgets", description=__doc__)
    parser.add_argument("--version", action="version", version=f"spade-widgets {__version__}")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    _add_evaluate(commands)
    _add_tune(commands)
    _add_trace(commands)
    cli_pictures.add(commands).set_defaults(run=_pictures, resumes=True)
    cli_plant.add(commands).set_defaults(run=_plant, resumes=True)
    return parser


def _add_evaluate(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = commands.add_parser(
        "evaluate",
        help="judge saliency methods on dense and sparse networks: tables with intervals",
        description="Judge saliency methods on the dense network and on samples' traces. Writes OUT.jsonl (every "
        "single number, as it is found), OUT.csv and OUT.md (means with bootstrap intervals, and paired differences to "
        "the first network); prints the latter. A stopped run goes on when it is started again.",
    )
    parser.set_defaults(run=_evaluate, resumes=True)
    parser.add_argument(
        "--metrics",
        nargs="+",
        default=["trojan_auc"],
        metavar="METRIC",
        help="trojan_auc (default), pointing_game, insertion, deletion; same_class and kl, which need no map",
    )
    parser.add_argument(
        "--methods",
        nargs="*",
        default=["paper"],
        metavar="METHOD",
        help="saliency methods by name, with options as 'lrp:bias=absorbing'; 'paper': its ten (default); 'all'",
    )
    parser.add_argument(
        "--networks",
        nargs="+",
        default=["dense", "refined"],
        metavar="NETWORK",
        help="dense, a solver's name (fast, exact, refined), or that with -sequential; default: dense refined",
    )
    _add_how(parser)
    parser.add_argument("--out", default="evaluation", metavar="OUT", help="the files' name (default 'evaluation')")
    parser.add_argument("--tables-only", action="store_true", help="make the tables of what is known; compute nothing")
    options.add_samples(parser, EVALUATED, EVALUATE_SEED)
    options.add_classifier(parser)
    options.add_plan(parser)


def _add_tune(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = commands.add_parser(
        "tune",
        help="search the sparsity of each layer that makes a metric best",
        description="Coordinate search: block by block, the last one first, every sparsity of a grid is tried and the "
        "best one kept. Prints the plan as JSON and writes it to OUT.json, for 'spade-widgets evaluate --plan' and "
        "sw.trace(plan=json.load(file)['plan']); the trials go to OUT.jsonl, so that a stopped search goes on. The "
        "file names the samples that were tuned on; 'evaluate' refuses to judge the plan on any of them.",
    )
    parser.set_defaults(run=_tune, resumes=True)
    parser.add_argument("--metric", default="trojan_auc", help="as 'evaluate' has them (default trojan_auc)")
    parser.add_argument(
        "--methods", nargs="*", default=["lrp"], metavar="METHOD", help="judged together, by their mean (default lrp)"
    )
    parser.add_argument("--solver", default="refined", help="makes the traces (default refined)")
    parser.add_argument("--by", choices=["blocks", "layers"], default="blocks", help="what gets a sparsity of its own")
    parser.add_argument("--layers", metavar="NAMES", help="names or patterns to tune; default: all but the first layer")
    parser.add_argument(
        "--grid",
        default="0,0.2,0.5,0.8,0.9,0.95,0.99",
        metavar="LIST",
        help="sparsities to try (default 0,0.2,0.5,0.8,0.9,0.95,0.99)",
    )
    parser.add_argument("--start", metavar="FILE", help="plan to set out from, JSON; default: the dense network")
    parser.add_argument("--passes", type=int, default=1, metavar="N", help="rounds through all blocks (default 1)")
    parser.add_argument(
        "--gain", type=float, default=0.0, metavar="G", help="by how much a change must better the mean (default 0)"
    )
    parser.add_argument(
        "--memory", type=float, default=1.0, metavar="GB", help="for layers kept between trials (default 1)"
    )
    _add_how(parser)
    parser.add_argument("--out", default="plan", metavar="OUT", help="the files' name (default 'plan')")
    options.add_calibration(parser)
    options.add_samples(parser, TUNED, TUNE_SEED)
    options.add_classifier(parser)


def _add_trace(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = commands.add_parser(
        "trace",
        help="prune a classifier for one image and save the trace",
        description="Prune a classifier for one image. Prints what was kept, layer by layer, and how the prediction "
        "compares; writes the trace for sw.Trace.load(file, classifier).",
    )
    parser.set_defaults(run=_trace, resumes=False)
    parser.add_argument("image", help="the image file")
    parser.add_argument("--out", metavar="FILE", help="where to; default: IMAGE's name with .trace.safetensors")
    parser.add_argument("--solver", default="refined", help="refined (default), fast, exact")
    parser.add_argument("--sequential", action="store_true", help="prune block by block on what the pruned ones give")
    options.add_classifier(parser)
    options.add_plan(parser)


def _add_how(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("metrics")
    group.add_argument(
        "--steps", type=int, default=224, metavar="N", help="of insertion and deletion (default 224, as RISE)"
    )
    group.add_argument("--signed", action="store_true", help="rank pixels by signed value; default: by magnitude")


def _evaluate(given: argparse.Namespace) -> None:
    from spade_widgets.evidence.evaluate import Protocol, Table, evaluate_steps
    from spade_widgets.evidence.judging import How, metrics
    from spade_widgets.evidence.networks import Pruning, parse_networks
    from spade_widgets.evidence.results import Results
    from spade_widgets.evidence.tables import csv_text, markdown

    networks = parse_networks(given.networks)
    judges = metrics(given.metrics)
    classifier = options.classifier_of(given)
    plan, file = options.plan_of(given, classifier)
    samples = options.samples_of(given, classifier, EVALUATED)
    file.check_apart(samples)
    protocol = Protocol(
        networks=networks,
        methods=options.methods_of(given.methods),
        metrics=judges,
        pruning=Pruning(plan, given.augmentations, given.seed),
        how=How(absolute=not given.signed, steps=given.steps, seed=given.seed),
        seed=given.seed,
    )
    results = Results(f"{given.out}.jsonl")
    if given.tables_only:
        table = Table.of(classifier, samples, protocol, results)
    else:
        table = _shown(evaluate_steps(classifier, samples, protocol, results))
    _write(f"{given.out}.csv", csv_text(table))
    _write(f"{given.out}.md", markdown(table))
    print(markdown(table))


def _tune(given: argparse.Namespace) -> None:
    from spade_widgets.evidence.judging import How, metrics
    from spade_widgets.evidence.plan_file import PlanFile
    from spade_widgets.evidence.results import Results
    from spade_widgets.evidence.tune import Search, layer_units, tune_steps
    from spade_widgets.pruning.plans.plan import SparsityPlan

    (metric,) = metrics([given.metric])
    try:
        grid = tuple(float(text) for text in given.grid.split(","))
    except ValueError:
        raise InputError(f"'{given.grid}' is no list of sparsities: write 0,0.5,0.95.") from None
    classifier = options.classifier_of(given)
    start = {} if given.start is None else PlanFile.read(given.start).plan
    search = Search(
        units=layer_units(classifier, given.by, given.layers),
        metric=metric,
        methods=options.methods_of(given.methods) if metric.needs_map else (),
        solver=given.solver,
        start=SparsityPlan.check(classifier, start).sparsities,
        grid=grid,
        passes=given.passes,
        gain=given.gain,
        augmentations=given.augmentations,
        seed=given.seed,
        how=How(absolute=not given.signed, steps=given.steps, seed=given.seed),
        memory=int(given.memory * 2**30),
    )
    samples = options.samples_of(given, classifier, TUNED)
    tuned = _shown(tune_steps(classifier, samples, search, Results(f"{given.out}.jsonl")))
    text = tuned.file(classifier, samples, search).text()
    _write(f"{given.out}.json", text)
    print(text, end="")
    better = "No sparsity on the grid was better than the start." if tuned.after == tuned.before else ""
    print(
        f"{metric.title} on these {len(samples)} samples: {tuned.before.mean:.4f} at the start, {tuned.after.mean:.4f} "
        f"under the plan. {better}".rstrip(),
        file=sys.stderr,
    )


def _trace(given: argparse.Namespace) -> None:
    from spade_widgets.pruning.spade import trace_steps
    from spade_widgets.sample import Sample

    sample = Sample.read(given.image)
    classifier = options.classifier_of(given)
    plan, _ = options.plan_of(given, classifier)
    steps = trace_steps(
        classifier, sample, plan, given.solver, given.augmentations, given.seed, sequential=given.sequential
    )
    trace = _shown(steps)[0]
    path = given.out or f"{Path(given.image).stem}.trace.safetensors"
    trace.save(path)
    width = max(len(row.name) for row in trace.stats())
    for row in trace.stats():
        print(f"{row.name:{width}}  kept {row.kept:>9,} of {row.total:>10,}  error {row.error:.4f}")
    said, names = trace.agreement, classifier.class_names
    print(f"dense: {names[said.dense_class]}; trace: {names[said.sparse_class]}; KL {said.kl:.3f}. Written: {path}")


def _pictures(given: argparse.Namespace) -> None:
    from spade_widgets.evidence.reading.report import csv_text, markdown

    report = _shown(cli_pictures.report_steps(given))
    _write(f"{given.out}.csv", csv_text(report.sections, report.networks))
    _write(f"{given.out}.md", markdown(report.sections, report.networks, report.notes))
    print(markdown(report.sections, report.networks, report.notes))


def _plant(given: argparse.Namespace) -> None:
    print(_shown(cli_plant.planted_steps(given)).report.text(), end="")


def _write(path: str, text: str) -> None:
    try:
        Path(path).write_text(text, encoding="utf-8")
    except OSError as error:
        raise InputError(f"'{path}' cannot be written: {error.strerror}.") from error


def _shown(steps: Steps[T]) -> T:
    """Run a computation through and show its progress on stderr: one line that changes; in a log one a minute."""
    from spade_widgets.pruning.progress import finish, mapped

    terminal = sys.stderr.isatty()
    began = last = time.monotonic()
    first: float | None = None

    def show(progress: Progress) -> None:
        nonlocal first, last
        first = progress.done if first is None else first
        now = time.monotonic()
        if now - last >= (0.2 if terminal else 60):
            last = now
            line = _line(progress, first, now - began)
            print(
                f"\r{line[:110]:110}" if terminal else line, end="" if terminal else "\n", file=sys.stderr, flush=True
            )

    result = finish(mapped(steps, show))
    if terminal:
        print(f"\r{'':110}\r", end="", file=sys.stderr, flush=True)
    return result


def _line(progress: Progress, first: float, seconds: float) -> str:
    """`first`: what was done already when it began."""
    done = progress.done - first
    left = f", about {_span(seconds * (progress.of - progress.done) / done)} left" if done > 0 else ""
    return f"{100 * progress.done / max(1, progress.of):5.1f} %  {progress.stage}  ({_span(seconds)}{left})"


def _span(seconds: float) -> str:
    minutes = seconds / 60
    return f"{seconds:.0f} s" if minutes < 2 else f"{minutes:.0f} min" if minutes < 120 else f"{minutes / 60:.1f} h"


if __name__ == "__main__":
    sys.exit(main())
