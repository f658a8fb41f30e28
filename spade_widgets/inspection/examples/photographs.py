"""The user's images, one by one: listed without being read, and read beside what else is computed."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from torch import Tensor

from spade_widgets.classifier import ImageClassifier
from spade_widgets.errors import InputError, described
from spade_widgets.sample import SUFFIXES, Sample, Source, list_sources

#: Bytes and time of change (ns): a file for which both are the same is taken as unchanged.
State = tuple[int, int]
#: More threads that read do not make one classifier faster.
READERS = 8


@dataclass(frozen=True, eq=False)
class Photograph:
    """An image that was not read yet.

    Attributes:
        source: where it is.
        path: the file's absolute path; None for what is no file.
        state: the file's; None for what is no file, or a file that is not there.
    """

    source: Source
    path: str | None = None
    state: State | None = None


@dataclass(frozen=True, eq=False)
class Read:
    """An image that was read, as the classifier sees it; or why it could not be.

    Attributes:
        photograph: where it is.
        id, title: the sample's.
        inputs: (1, c, h, w); None where it could not be read.
        trouble: a sentence; empty where it could.
    """

    photograph: Photograph
    id: str = ""
    title: str = ""
    inputs: Tensor | None = None
    trouble: str = ""


def photographs(source: Source | Iterable[Source]) -> list[Photograph]:
    """All images of a folder and the folders in it (by path), of a list of images and folders, or one image.

    Nothing is read.

    Raises:
        InputError: if there is none.
    """
    listed: list[Source] = [Path(str(source))] if _folder(source) else list_sources(source)
    found = [each for entry in listed for each in (_inside(entry) if _folder(entry) else [_single(entry)])]
    if not found:
        kinds = ", ".join(sorted(SUFFIXES))
        raise InputError(f"There is no image file ({kinds}) in '{listed[0]!s}', nor in the folders in it.")
    return found


def read_ahead(classifier: ImageClassifier, waiting: Sequence[Photograph], ahead: int) -> Iterator[Read]:
    """Read images in their order, in threads, at most `ahead` more than were taken.

    Close the iterator, and no more are read.
    """
    readers = ThreadPoolExecutor(max(1, min(READERS, (os.cpu_count() or 2) - 1)), "spade-examples")
    begun: deque[Future[Read]] = deque()
    left = iter(waiting)
    try:
        while True:
            while len(begun) < ahead and (photograph := next(left, None)) is not None:
                begun.append(readers.submit(_read, classifier, photograph))
            if not begun:
                return
            yield begun.popleft().result()
    finally:
        readers.shutdown(wait=True, cancel_futures=True)


def _read(classifier: ImageClassifier, photograph: Photograph) -> Read:
    try:
        sample = Sample.read(photograph.source)
    except InputError as error:
        return Read(photograph, trouble=str(error))
    try:
        inputs = classifier.prepare(sample)
    except MemoryError:
        raise
    except Exception as error:  # noqa: BLE001  # whatever the user's own function raises on an image unlike others
        return Read(photograph, trouble=f"The preprocessing fails on '{sample.title}': {described(error)}.")
    return Read(photograph, sample.id, sample.title, inputs)


def _folder(source: object) -> bool:
    return isinstance(source, str | Path) and Path(source).expanduser().is_dir()


def _inside(folder: object) -> list[Photograph]:
    found: list[Photograph] = []
    for place, folders, files in os.walk(Path(str(folder)).expanduser()):
        folders[:] = sorted(name for name in folders if not name.startswith("."))  # .ipynb_checkpoints
        inside = (Path(place, name) for name in sorted(files) if not name.startswith("."))
        found += [_single(path) for path in inside if path.suffix.lower() in SUFFIXES]
    return found


def _single(source: Source) -> Photograph:
    if not isinstance(source, str | Path):
        return Photograph(source)
    path = Path(source).expanduser().absolute()
    state = None
    with suppress(OSError):  # reading it will say what is wrong
        stat = path.stat()
        state = stat.st_size, stat.st_mtime_ns
    return Photograph(source, str(path), state)
