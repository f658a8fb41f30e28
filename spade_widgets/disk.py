"""Files of results in one folder: whole or not there, checked, bounded, and shared with other kernels.

An entry is a safetensors file: tensors, and in its metadata a JSON record and a checksum over both. It is written under
another name and then renamed, which a file system does at once: whoever reads sees all of it or nothing, and two
kernels need no lock. When an entry was last used is its file's time of change, so that they also agree on what goes
first. Nothing is unpickled.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import logging
import os
import re
import time
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar
from weakref import WeakMethod

from safetensors import SafetensorError, safe_open
from safetensors.torch import save as serialize
from torch import Tensor

from spade_widgets.checks import whole
from spade_widgets.classifier import tensor_digest
from spade_widgets.errors import InputError, SpadeError

log = logging.getLogger(__name__)

T = TypeVar("T")

#: Bytes kept on disk: some hundred traces of a ResNet-50's last block, or many thousands of the emoji classifier's.
SIZE = 2 * 2**30
#: The one key of an entry's metadata.
FORMAT = "spade_widgets.result"
#: Seconds after which a file that is still being written was left behind by a kernel that was killed.
LEFT_BEHIND = 3600.0
# What may be removed: files of these names alone, whatever else lies in the folder.
_ENTRY = re.compile(r"[a-z]+-[0-9a-f]{32}\.safetensors")
_DRAFT = re.compile(r"\.[0-9a-f]{32}\.part")


@dataclass(frozen=True)
class Entry:
    """What a file holds.

    Attributes:
        tensors: by name, on the CPU.
        record: plain values, as JSON has them.
    """

    tensors: Mapping[str, Tensor]
    record: Mapping[str, Any]


def write_entry(path: Path, entry: Entry) -> None:
    """Write an entry.

    Raises:
        OSError: where it cannot be written.
    """
    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in entry.tensors.items()}
    told = {"checksum": _checksum(entry.record, tensors), "record": entry.record}
    path.write_bytes(serialize(tensors, {FORMAT: json.dumps(told)}))


def read_entry(path: Path) -> Entry:
    """Read an entry that `write_entry` wrote.

    Raises:
        InputError: if it is cut off, or anything in it is not what was written.
    """
    try:
        with safe_open(path, framework="pt", device="cpu") as opened:
            told = json.loads((opened.metadata() or {})[FORMAT])
            tensors = {name: opened.get_tensor(name).clone() for name in opened.keys()}  # noqa: SIM118
        entry = Entry(tensors, dict(told["record"]))
        whole = told["checksum"] == _checksum(entry.record, tensors)
    except (SafetensorError, RuntimeError, KeyError, TypeError, ValueError, RecursionError) as error:
        raise InputError(f"'{path.name}' is cut off or damaged ({type(error).__name__}).") from None
    if not whole:
        raise InputError(f"'{path.name}' is damaged: its content is not what its checksum was made of.")
    return entry


class Disk:
    """Results by name, as files in a folder.

    What cannot be written or read is not there, and the work goes on without: `trouble` says why, and so does a line in
    the log, once until a write succeeds again.

    Args:
        folder: where; it is made if it is not there. Files of others in it are left alone.
        nbytes: how much is kept; the least recently used goes first. With several kernels the least number holds.

    Raises:
        InputError: if the folder cannot be made, or `nbytes` is no whole number from 1.
    """

    def __init__(self, folder: str | Path, nbytes: int = SIZE) -> None:
        self.nbytes = whole("size of the cache in bytes", nbytes)
        #: Why the last write failed; "" where it did not.
        self.trouble = ""
        self._told: list[WeakMethod[Callable[[str], None]]] = []
        try:
            if not folder:
                raise ValueError("it has no name")
            self.folder = Path(folder).expanduser().absolute()
            self.folder.mkdir(parents=True, exist_ok=True)
        except (OSError, RuntimeError, TypeError, ValueError) as error:
            raise InputError(
                f"The cache cannot be kept in '{folder}' ({_why(error)}): give a folder that can be made."
            ) from None

    def read(self, name: str, read: Callable[[Path], T]) -> T | None:
        """What `read` makes of an entry's file, or None where there is none.

        A file that `read` can make nothing of is damaged, or of others: it is removed.
        """
        file = self._file(name)
        if not file.is_file():
            return None
        try:
            found = read(file)
        except OSError as error:  # it was removed just now, or cannot be read at all
            log.info("%s cannot be read: %s", file, _why(error))
            return None
        except (SpadeError, LookupError, TypeError, ValueError, RuntimeError) as error:
            log.warning("A damaged entry of the cache is removed and computed again: %s", _why(error))
            with contextlib.suppress(OSError):  # where it can be removed by nobody, it is read in vain again
                file.unlink(missing_ok=True)
            return None
        with contextlib.suppress(OSError):  # in a folder that may only be read, nothing is removed either
            os.utime(file)
        return found

    def write(self, name: str, write: Callable[[Path], object]) -> bool:
        """Let `write` make an entry's file; whether it is there now.

        What is larger than all that is kept is not kept.
        """
        draft = self.folder / f".{uuid.uuid4().hex}.part"
        try:
            self.folder.mkdir(parents=True, exist_ok=True)  # somebody may have emptied the disk meanwhile
            write(draft)
            size = draft.stat().st_size
            if size <= self.nbytes:
                draft.replace(self._file(name))
            self._trim()
        except (OSError, SpadeError) as error:
            self._failed(_why(error))
            return False
        finally:
            with contextlib.suppress(OSError):
                draft.unlink(missing_ok=True)
        self.trouble = ""
        return size <= self.nbytes

    def tell(self, method: Callable[[str], None]) -> None:
        """Call this method of an object, as long as there is one, with each new trouble, on the thread that met it."""
        self._told = [*(known for known in self._told if known() is not None), WeakMethod(method)]

    def _failed(self, why: str) -> None:
        if not self.trouble:
            self.trouble = f"The cache in '{self.folder}' cannot be written, so results are kept in memory alone: {why}"
            log.warning("%s", self.trouble)
            for heard in [method() for method in list(self._told)]:
                if heard is not None:
                    heard(self.trouble)

    def _trim(self) -> None:
        """Remove the least recently used until the rest fits, and what killed kernels have left behind."""
        found: list[tuple[int, str, int]] = []
        now = time.time()
        with os.scandir(self.folder) as listed:
            for item in listed:
                entry, draft = _ENTRY.fullmatch(item.name), _DRAFT.fullmatch(item.name)
                if not (entry or draft):
                    continue
                try:
                    stat = item.stat(follow_symlinks=False)
                except FileNotFoundError:  # another kernel has removed it just now
                    continue
                if entry:
                    found.append((stat.st_mtime_ns, item.name, stat.st_size))
                elif now - stat.st_mtime > LEFT_BEHIND:
                    self._remove(item.name)
        total = sum(size for _, _, size in found)
        for _, name, size in sorted(found):
            if total <= self.nbytes:
                break
            if self._remove(name):
                total -= size

    def _remove(self, name: str) -> bool:
        """Remove a file; whether it is gone (not where somebody has it open, on some systems)."""
        try:
            (self.folder / name).unlink(missing_ok=True)
        except OSError as error:
            log.info("%s cannot be removed: %s", name, _why(error))
            return False
        return True

    def _file(self, name: str) -> Path:
        return self.folder / f"{name}.safetensors"


def _checksum(record: Any, tensors: Mapping[str, Tensor]) -> str:
    hashed = hashlib.sha256(json.dumps(record, sort_keys=True).encode())
    for name in sorted(tensors):
        hashed.update(f"\n{name} {tensor_digest(tensors[name])}".encode())
    return hashed.hexdigest()[:32]


def _why(error: Exception) -> str:
    """What the system says, where it is the cause."""
    system = error if isinstance(error, OSError) else error.__cause__
    said = system.strerror if isinstance(system, OSError) and system.strerror else str(error)
    return " ".join(said.split())[:300].rstrip(".") + "."
