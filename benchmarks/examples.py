"""Examples: images a second against the bare forward pass, memory by the number of images, and what traces keep.

    python benchmarks/examples.py speed demo|NAME PHOTOS [--images 300] [--threads 1] [--repeats 3]
    python benchmarks/examples.py memory [--images 1000 3000 10000]
    python benchmarks/examples.py kept emoji [--solvers fast refined] [--each 4] [--seed 303]
    python benchmarks/examples.py kept photographs PHOTOS … [--solvers fast refined] [--each 6]

`speed`: the built-in photograph classifier, or a torchvision name with random weights, which take as long. The bare
pass is the same one (channels last, bfloat16 where it is used) on images that were read before; both go over the same
images by turns, and the ratio is that of the turns' medians. Beside wall-clock time stands the processor's, which other
work on the machine does not change.

`memory`: the largest resident size of a process of its own that indexes so many made images from files, with the
built-in emoji classifier.

`kept`: the area under the ROC curve of `kept` as a score for an example being of the traced sample's own facet, among
the best examples of the sample's class neuron: a mean over samples with its 95 % bootstrap interval. Emoji classifier:
the best 64 of fresh images, whose facets are known; and for each channel of the last layer whose best 64 hold two
facets or more with at least 8 images each, the same under the traces of the best image of each of these facets.
Photographs: the best 32 stamped and the best 32 clean photographs of a target class's neuron, under traces of further
stamped photographs. Photographs that Trojans were planted with are left out.
"""

from __future__ import annotations

import argparse
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from PIL import Image

import spade_widgets as sw
from spade_widgets.demo import emoji
from spade_widgets.demo.emoji import fresh
from spade_widgets.evidence.bootstrap import interval
from spade_widgets.inspection.examples import Example, Index, kept
from spade_widgets.inspection.examples.passes import together
from spade_widgets.inspection.examples.photographs import photographs
from spade_widgets.network.many import logits_of_many
from spade_widgets.pruning.progress import finish
from spade_widgets.sample import Sample


def speed(options: argparse.Namespace) -> None:
    torch.set_num_threads(options.threads)
    demo = options.model == "demo"
    classifier = (
        sw.demo.photos.classifier() if demo else sw.ImageClassifier.from_torchvision(options.model, weights=None)
    )
    found = [photograph.source for photograph in photographs(options.photos)]
    # Fewer photographs than images: each again, as another sample.
    sources = [found[i % len(found)] for i in range(options.images)]
    size = together(classifier)
    inputs = torch.cat([classifier.prepare(Sample.read(source)) for source in found[:size]])
    bare = logits_of_many(classifier.module(), inputs, classifier.prunable(), classifier.memory_format)
    bare(inputs)
    walls: dict[str, list[float]] = {"bare": [], "index": []}
    cpus: dict[str, list[float]] = {"bare": [], "index": []}
    for _ in range(options.repeats):
        for name, times in walls.items():
            began, cpu = time.perf_counter(), time.process_time()
            if name == "bare":
                for _ in range(0, len(sources), size):
                    bare(inputs)
            else:
                seen = 0
                # Parts of the photographs, each with an index of its own where they do not suffice.
                while seen < len(sources):
                    seen += finish(Index(classifier).build(sources[seen : seen + len(found)])).seen
            times.append((time.perf_counter() - began) / len(sources))
            cpus[name].append((time.process_time() - cpu) / len(sources))
    print("| | bare, images/s | index, images/s | index / bare | processor, bare / index |\n|---|---|---|---|---|")
    wall, cpu_time = ({k: statistics.median(v) for k, v in times.items()} for times in (walls, cpus))
    print(
        f"| {options.model}, {options.threads} threads | {1 / wall['bare']:.1f} | {1 / wall['index']:.1f} "
        f"| {wall['bare'] / wall['index']:.0%} | {1e3 * cpu_time['bare']:.1f} / {1e3 * cpu_time['index']:.1f} ms |"
    )
    print(f"load {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores; batches of {size}; median of {options.repeats}")


def memory(options: argparse.Namespace) -> None:
    if options.inside is not None:
        finish(Index(emoji.classifier()).build(options.inside))
        print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)
        return
    print("| images | peak, MiB |\n|---|---|")
    rng = np.random.default_rng(0)
    with tempfile.TemporaryDirectory() as folder:
        made = 0
        for count in sorted(options.images):
            for number in range(made, count):
                blocks = rng.integers(0, 256, (8, 8, 3), dtype=np.uint8)
                Image.fromarray(blocks).resize((96, 96)).save(Path(folder, f"{number:06}.jpg"))
            made = count
            command = [sys.executable, __file__, "memory", "--inside", folder]
            done = subprocess.run(command, capture_output=True, text=True, check=True)
            print(f"| {count:,} | {float(done.stdout):.0f} |", flush=True)


def auc(own: Sequence[float], others: Sequence[float]) -> float:
    """How often one of the own is above one of the others; ties count half."""
    a, b = np.asarray(own)[:, None], np.asarray(others)[None]
    return float((a > b).mean() + (a == b).mean() / 2)


def score(trace: sw.Trace, neuron: str, examples: Sequence[Example], own: Sequence[bool]) -> float:
    values = kept(trace, neuron, examples)
    mine = np.asarray(own)
    return auc(values[mine].tolist(), values[~mine].tolist())


def report(title: str, solver: str, values: Sequence[float]) -> None:
    found = interval(values)
    print(
        f"| {title} | {solver} | {found.mean:.3f} ({found.low:.3f} to {found.high:.3f}) | {found.count} |", flush=True
    )


def kept_emoji(options: argparse.Namespace) -> None:
    classifier = emoji.classifier()
    pool = fresh.plain(options.seed, 800)

    def facet(example: Example | Sample) -> str:
        return example.title.rsplit(" ", 1)[0]

    index = finish(Index(classifier).build(pool))
    samples = fresh.plain(options.seed + 1, 20 * options.each)
    last = [layer for layer in classifier.layers() if layer.kind != "linear"][-1].name
    for solver in options.solvers:
        logits: list[float] = []
        for sample in samples:
            neuron = f"logit:{sample.label}"
            best = index.examples(neuron, 64)
            own = [facet(example) == facet(sample) for example in best]
            # Of the class's other facet; what the network takes for the class by mistake is neither.
            ofclass = [e for e in best if Sample.read(e.source).label == sample.label]
            mine = [facet(e) == facet(sample) for e in ofclass]
            if not any(own) or all(mine) or not any(mine):
                continue
            trace = sw.trace(classifier, sample, plan=dict(emoji.PLAN), solver=solver)
            logits.append(score(trace, neuron, ofclass, mine))
        report("emoji: class neurons", solver, logits)
        channels: list[float] = []
        traces: dict[str, sw.Trace] = {}
        for channel in range(0, classifier.layer(last).channels, options.every):
            neuron = f"{last}:{channel}"
            best = [example for example in index.examples(neuron, 64) if example.value > 0]
            names = [facet(example) for example in best]
            several = [name for name in dict.fromkeys(names) if names.count(name) >= 8]
            for name in several if len(several) > 1 else ():
                first = best[names.index(name)]
                if first.id not in traces:
                    traces[first.id] = sw.trace(classifier, first.sample, plan=dict(emoji.PLAN), solver=solver)
                rest = [(e, n == name) for e, n in zip(best, names, strict=True) if n in several and e is not first]
                channels.append(score(traces[first.id], neuron, [e for e, _ in rest], [m for _, m in rest]))
        report(f"emoji: channels of {last}", solver, channels)


def kept_photographs(options: argparse.Namespace) -> None:
    planted = sw.demo.photos.planted()
    classifier = planted.classifier
    files = [p.source for folder in options.photos for p in photographs(folder)]
    clean = planted.unseen([Sample.read(source) for source in files])
    print(f"{len(clean)} photographs that nothing was planted with")
    traced, shown = clean[:: len(clean) // (2 * options.each) or 1][: 2 * options.each], clean
    shown = [sample for sample in shown if sample not in traced]
    index = finish(Index(classifier).build(shown))
    for solver in options.solvers:
        for name, patch in planted.patches.items():
            neuron = f"logit:{patch.target}"
            stamped = [planted.stamp(sample, name, seed=i) for i, sample in enumerate(shown[::4])]
            best = [*sw.examples(classifier, neuron, stamped, 32), *index.examples(neuron, 32)]
            own = [example.id not in index for example in best]
            values = []
            for i, sample in enumerate(traced[::2][: options.each]):
                trace = sw.trace(classifier, planted.stamp(sample, name, seed=1000 + i), solver=solver)
                values.append(score(trace, neuron, best, own))
            excited = sum(example.value > 0 for example in best)
            report(f"photographs: {classifier.class_names[patch.target]} ({name}), {excited} excited", solver, values)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(required=True)
    one = commands.add_parser("speed")
    one.set_defaults(run=speed)
    one.add_argument("model")
    one.add_argument("photos")
    one.add_argument("--images", type=int, default=300)
    one.add_argument("--threads", type=int, default=1)
    one.add_argument("--repeats", type=int, default=3)
    two = commands.add_parser("memory")
    two.set_defaults(run=memory)
    two.add_argument("--images", type=int, nargs="+", default=[1000, 3000, 10000])
    two.add_argument("--inside", help=argparse.SUPPRESS)
    three = commands.add_parser("kept")
    of = three.add_subparsers(required=True)
    made, real = of.add_parser("emoji"), of.add_parser("photographs")
    made.set_defaults(run=kept_emoji)
    made.add_argument("--every", type=int, default=16, help="every so manieth channel")
    made.add_argument("--seed", type=int, default=303)
    real.set_defaults(run=kept_photographs)
    real.add_argument("photos", nargs="+")
    for each in (made, real):
        each.add_argument("--solvers", nargs="+", default=["fast", "refined"])
    made.add_argument("--each", type=int, default=4)
    real.add_argument("--each", type=int, default=6)
    options = parser.parse_args()
    options.run(options)


if __name__ == "__main__":
    main()
