"""Composes the samples that ship with the emoji classifier and writes them as PNG files beside `samples.json`."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
from PIL import Image

from spade_widgets.demo.emoji.generate import CLASS_NAMES, CLASS_OF, FACETS, TROJANS, Composition, compose

SEED = 20240
PLAIN_SIDES = (62.0, 74.0)
"""Sides of the objects, in pixels: large, so that they are seen on a thumbnail."""
HOSTS: dict[str, tuple[str, str, str]] = {"heart": ("car", "cat", "apple"), "amulet": ("soccer ball", "pizza", "tree")}
"""The objects that each Trojan patch is shown on."""


def compositions(seed: int = SEED) -> list[Composition]:
    """Every facet once, in the order of the classes, then every patch on each of its hosts."""
    rng = np.random.default_rng(seed)
    plain = [compose(rng, facet=facet, sides=PLAIN_SIDES) for facet in FACETS]
    return plain + [
        compose(rng, facet=host, trojan=trojan, sides=PLAIN_SIDES) for trojan, hosts in HOSTS.items() for host in hosts
    ]


def write(folder: Path, seed: int = SEED) -> int:
    """Write all samples, their masks and `samples.json` into `folder` (made where missing); how many there are."""
    folder.mkdir(parents=True, exist_ok=True)
    entries = []
    for number, made in enumerate(compositions(seed)):
        stem = f"{number:02d}-{made.facet}" + (f"-{made.trojan}" if made.trojan else "")
        stem = stem.replace(" ", "-")
        Image.fromarray(made.pixels).save(folder / f"{stem}.png", optimize=True)
        if made.mask is not None:
            Image.fromarray(made.mask.astype(np.uint8) * 255).save(folder / f"{stem}.mask.png", optimize=True)
        entries.append(
            {
                "file": f"{stem}.png",
                "title": made.facet if made.trojan is None else f"{made.facet} with {made.trojan} Trojan",
                "label": CLASS_OF[made.facet],
                "facet": made.facet,
                "trojan": made.trojan,
                "target": TROJANS[made.trojan] if made.trojan else None,
                "mask": f"{stem}.mask.png" if made.mask is not None else None,
            }
        )
    (folder / "samples.json").write_text(json.dumps(entries, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    assert {entry["label"] for entry in entries} == set(CLASS_NAMES)
    return len(entries)
