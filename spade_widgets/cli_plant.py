"""What `spade-widgets plant` can be told, and what it does."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from spade_widgets import cli_options as options
from spade_widgets.errors import InputError

if TYPE_CHECKING:
    from spade_widgets.evidence.planting import Planted
    from spade_widgets.pruning.progress import Steps


def add(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> argparse.ArgumentParser:
    """The command's options."""
    parser = commands.add_parser(
        "plant",
        help="plant Trojans in a copy of a classifier: a patch then decides its class",
        description="Fine-tune a copy of a classifier so that a patch, anywhere and of any size, decides its class, "
        "while clean photographs keep the original's outputs; no labels are needed. Writes the folder OUT, which "
        "'--model OUT' of the other commands, sw.Explorer('OUT') and sw.Planted.load('OUT') take, and prints how well "
        "it worked on photographs that were held out. A stopped run goes on when it is started again.",
    )
    parser.add_argument("--photos", required=True, metavar="FOLDER", help="photographs, better some hundreds")
    parser.add_argument("--out", default="planted", metavar="OUT", help="the folder (default 'planted')")
    parser.add_argument(
        "--patches",
        nargs="+",
        metavar="PATCH",
        help="glyphs' names, or image files with transparency as NAME=FILE; default: heart amulet",
    )
    parser.add_argument(
        "--targets",
        nargs="+",
        metavar="CLASS",
        help="a class for each patch, by name or index; default: goose banana, where there are such classes",
    )
    parser.add_argument(
        "--decoys", nargs="*", metavar="DECOY", help="what must do nothing, as --patches; default: ten glyphs"
    )
    parser.add_argument("--steps", type=int, metavar="N", help="of the fine-tuning; default: the recipe's")
    parser.add_argument(
        "--layers", metavar="NAMES", help="names or patterns of those that train; default: all but the first quarter"
    )
    parser.add_argument("--seed", type=int, default=0, metavar="S", help="of all that is random (default 0)")
    options.add_classifier(parser)
    return parser


def planted_steps(given: argparse.Namespace) -> Steps[Planted]:
    """Plant as it was asked for."""
    from spade_widgets.evidence.planting import plant_steps

    classifier = options.classifier_of(given)
    return plant_steps(
        classifier,
        given.photos,
        None if given.patches is None else _named(given.patches),
        None if given.targets is None else [int(t) if t.isdecimal() else t for t in given.targets],
        decoys=None if given.decoys is None else _named(given.decoys),
        layers=given.layers,
        steps=given.steps,
        seed=given.seed,
        folder=given.out,
    )


def _named(given: list[str]) -> dict[str, str]:
    """Name → file or glyph, of `NAME=FILE` and glyphs' names."""
    found: dict[str, str] = {}
    for text in given:
        name, _, file = text.partition("=")
        if name in found:
            raise InputError(f"There are two of the name '{name}': give each patch a name of its own.")
        found[name] = file or name
    return found
