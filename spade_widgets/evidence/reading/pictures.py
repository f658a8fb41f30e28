"""The pictures that are read: made once, kept in a folder if there is one, and found again by what they depend on."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from PIL.PngImagePlugin import PngInfo
from torch import Tensor

import spade_widgets
from spade_widgets.errors import InputError
from spade_widgets.evidence.results import Settings, settings_id
from spade_widgets.prediction import Network
from spade_widgets.pruning.progress import Progress, Steps
from spade_widgets.visualization.renderer import Renderer

#: Steps between two words of progress.
EVERY = 8
_DEAD = "dead"


@dataclass(frozen=True)
class Style:
    """How pictures are made; see `Renderer`.

    Attributes:
        steps: how many.
        size: rows and columns of the picture; None: the classifier's input size.
    """

    steps: int = 128
    size: int | None = None


@dataclass(frozen=True, eq=False)
class Picture:
    """A visualization.

    Attributes:
        image: RGB.
        dead: whether nothing that it shows reaches the neuron; see `Renderer.dead`.
    """

    image: Image.Image
    dead: bool

    @property
    def tensor(self) -> Tensor:
        """(3, h, w) in 0…1."""
        return torch.from_numpy(np.array(self.image)).permute(2, 0, 1).float() / 255


class Pictures:
    """Pictures by what they depend on.

    Args:
        style: how they are made.
        folder: where they are kept as PNG, made where missing; None: in memory only.
    """

    def __init__(self, style: Style, folder: Path | str | None = None) -> None:
        self.style = style
        self.folder = None if folder is None else Path(folder)
        self._made: dict[str, Picture] = {}

    def settings(self, neuron: str, seed: int, network: Settings) -> dict[str, Any]:
        """All that a picture depends on; JSON. `network`: what the network depends on, the sample too if it does."""
        return {
            "network": network,
            "neuron": neuron,
            "seed": seed,
            "steps": self.style.steps,
            "size": self.style.size,
            "version": spade_widgets.__version__,
        }

    def find(self, settings: Settings, title: str) -> Picture | None:
        """The picture of these `settings`, if it was made. `title`: see `make`.

        Raises:
            InputError: if its file cannot be read.
        """
        key = settings_id(settings)
        path = self._path(key, title)
        if key not in self._made and path is not None and path.exists():
            self._made[key] = _read(path)
        return self._made.get(key)

    def make(self, settings: Settings, network: Network, title: str) -> Steps[Picture]:
        """Make the picture of these `settings`, and keep it.

        Args:
            settings: see there.
            network: whose neuron it is.
            title: what the file is called, beside what names the settings.

        Raises:
            InputError: if the folder cannot be used.
            ModelError: see `Renderer`.
        """
        renderer = Renderer(network, settings["neuron"], seed=settings["seed"], size=self.style.size)
        while renderer.steps_done < self.style.steps:
            renderer.step()
            if renderer.steps_done % EVERY == 0:
                yield Progress("picture", renderer.steps_done, self.style.steps)
        key = settings_id(settings)
        made = self._made[key] = Picture(renderer.picture(), renderer.dead)
        path = self._path(key, title)
        if path is not None:
            _write(path, made)
        return made

    def _path(self, key: str, title: str) -> Path | None:
        return None if self.folder is None else self.folder / f"{_plain(title)}.{key}.png"


def _write(path: Path, picture: Picture) -> None:
    info = PngInfo()
    info.add_text(_DEAD, str(int(picture.dead)))
    unfinished = path.with_suffix(".part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        picture.image.save(unfinished, "PNG", pnginfo=info)
        unfinished.replace(path)  # a run that is killed leaves no half of a picture
    except OSError as error:
        raise InputError(f"'{path}' cannot be written: {error.strerror}.") from error


def _read(path: Path) -> Picture:
    try:
        with Image.open(path) as image:
            return Picture(image.convert("RGB"), image.info.get(_DEAD) == "1")
    except OSError as error:
        raise InputError(f"'{path}' is no picture of this program: remove it, and it is made again.") from error


def _plain(title: str) -> str:
    """A title as a part of a file's name."""
    return "".join(c if c.isalnum() or c in "-_." else "-" for c in title)[:80]
