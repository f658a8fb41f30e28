"""Results on disk: found again whole or not at all, whatever happens to the files."""

from __future__ import annotations

import errno
import logging
import multiprocessing
import os
import random
import resource
import time
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from spade_widgets.disk import LEFT_BEHIND, Disk, Entry, read_entry, write_entry
from spade_widgets.errors import InputError

NAMES = [f"map-{i:032x}" for i in range(40)]


def entry(value: int = 0, size: int = 100) -> Entry:
    return Entry({"a": torch.arange(size) + value, "b": torch.tensor(0.1, dtype=torch.float64)}, {"value": value})


def put(disk: Disk, name: str, made: Entry) -> bool:
    return disk.write(name, lambda file: write_entry(file, made))


def same(left: Entry | None, right: Entry) -> bool:
    return (
        left is not None
        and left.record == right.record
        and left.tensors.keys() == right.tensors.keys()
        and all(torch.equal(t, right.tensors[k]) and t.dtype == right.tensors[k].dtype for k, t in left.tensors.items())
    )


def used(folder: Path) -> int:
    return sum(file.stat().st_size for file in folder.glob("*.safetensors"))


def drafts(folder: Path) -> list[Path]:
    return list(folder.glob(".*.part"))


class Listener:
    def __init__(self, told: list[str]) -> None:
        self.told = told

    def hear(self, sentence: str) -> None:
        self.told.append(sentence)


def test_what_was_written_is_found_by_another_to_the_last_bit(tmp_path: Path) -> None:
    record = {"seconds": 0.1 + 0.2, "seed": 2**63 + 1, "title": "</script> ü", "none": None, "plan": {"fc": 1 / 3}}
    made = Entry({"half": torch.rand(3, 4).half(), "none": torch.zeros(0, 3), "scalar": torch.tensor(1 / 3)}, record)
    assert put(Disk(tmp_path / "deep" / "er"), NAMES[0], made)
    disk = Disk(tmp_path / "deep" / "er")
    assert same(disk.read(NAMES[0], read_entry), made)
    assert disk.read(NAMES[1], read_entry) is None
    assert drafts(disk.folder) == []


def test_a_file_cut_off_anywhere_or_with_any_bit_turned_is_never_taken(tmp_path: Path) -> None:
    disk, made = Disk(tmp_path), entry(size=3)
    put(disk, NAMES[0], made)
    file = tmp_path / f"{NAMES[0]}.safetensors"
    whole = file.read_bytes()

    @settings(max_examples=300, deadline=None)
    @given(st.integers(0, len(whole) - 1), st.integers(0, 7), st.booleans())
    def hurt(place: int, bit: int, cut: bool) -> None:
        changed = whole[place] ^ (1 << bit)
        file.write_bytes(whole[:place] if cut else whole[:place] + bytes([changed]) + whole[place + 1 :])
        found = disk.read(NAMES[0], read_entry)
        # A space of the header's padding may be another space to JSON: then nothing is damaged.
        assert found is None or same(found, made)
        assert file.exists() == (found is not None)

    hurt()
    file.write_bytes(whole[:-1])
    assert disk.read(NAMES[0], read_entry) is None
    assert put(disk, NAMES[0], made)
    assert same(disk.read(NAMES[0], read_entry), made)


@pytest.mark.parametrize("content", [b"", b"\x00" * 7, b"\xff" * 64, b"\x80\x04\x95garbage", b"{}" * 500])
def test_what_is_no_entry_at_all_is_removed(tmp_path: Path, content: bytes, caplog: pytest.LogCaptureFixture) -> None:
    disk = Disk(tmp_path)
    (tmp_path / f"{NAMES[0]}.safetensors").write_bytes(content)
    assert disk.read(NAMES[0], read_entry) is None
    assert list(tmp_path.iterdir()) == []
    assert "damaged" in caplog.text


def test_the_least_recently_used_goes_first_also_when_another_kernel_has_used_it(tmp_path: Path) -> None:
    put(Disk(tmp_path), NAMES[0], entry())
    size = used(tmp_path)
    disk, other = Disk(tmp_path, 3 * size), Disk(tmp_path, 3 * size)
    for name in NAMES[1:3]:
        put(disk, name, entry())
    assert other.read(NAMES[0], read_entry) is not None  # now the second is the one that was used least recently
    put(disk, NAMES[3], entry())
    left = {file.stem for file in tmp_path.iterdir()}
    assert left == {NAMES[0], NAMES[2], NAMES[3]}
    assert used(tmp_path) <= 3 * size


def test_what_is_larger_than_all_that_is_kept_is_not_kept_and_throws_nothing_out(tmp_path: Path) -> None:
    put(Disk(tmp_path), NAMES[0], entry())
    disk = Disk(tmp_path, 2 * used(tmp_path))
    assert not put(disk, NAMES[1], entry(size=100_000))
    assert disk.trouble == ""
    assert [file.stem for file in tmp_path.iterdir()] == [NAMES[0]]


def test_files_of_others_are_left_alone_and_not_counted(tmp_path: Path) -> None:
    others = {"model.safetensors": b"x" * 9999, "map-1.safetensors": b"y", "notes.part": b"z", ".secret.part": b""}
    for name, content in others.items():
        (tmp_path / name).write_bytes(content)
        os.utime(tmp_path / name, (0, 0))
    disk = Disk(tmp_path, 1500)
    for name in NAMES:
        put(disk, name, entry())
    assert {name: (tmp_path / name).read_bytes() for name in others} == others
    assert 0 < len(list(tmp_path.glob("map-*" + "0" * 8 + "*"))) < len(NAMES)


def test_what_a_killed_kernel_left_half_written_is_removed_after_a_while(tmp_path: Path) -> None:
    old, young = tmp_path / f".{'a' * 32}.part", tmp_path / f".{'b' * 32}.part"
    old.write_bytes(b"half")
    young.write_bytes(b"half")
    os.utime(old, (time.time() - 2 * LEFT_BEHIND,) * 2)
    put(Disk(tmp_path), NAMES[0], entry())
    assert drafts(tmp_path) == [young]


def test_a_full_disk_is_said_once_and_the_work_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    disk = Disk(tmp_path)
    told: list[str] = []
    listener = Listener(told)
    disk.tell(listener.hear)
    disk.tell(Listener(told).hear)  # which nobody holds
    put(disk, NAMES[0], entry())
    write_bytes = Path.write_bytes

    def full(path: Path, data: Any) -> int:
        write_bytes(path, data[: len(data) // 2])
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patched, caplog.at_level(logging.WARNING):
        patched.setattr(Path, "write_bytes", full)
        assert not put(disk, NAMES[1], entry(1))
        assert not put(disk, NAMES[2], entry(2))
    assert disk.trouble.endswith("results are kept in memory alone: No space left on device.")
    assert told == [disk.trouble]
    assert caplog.text.count("No space left") == 1
    assert drafts(tmp_path) == []
    assert same(disk.read(NAMES[0], read_entry), entry())  # what was there is there
    assert put(disk, NAMES[1], entry(1))
    assert disk.trouble == ""


def _write_with_little_room(folder: str, results: Any) -> None:
    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))  # the system itself refuses what is longer
    import signal

    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    disk = Disk(folder)
    results.put((put(disk, NAMES[0], entry(size=100)), put(disk, NAMES[1], entry(size=100_000)), disk.trouble))


def test_a_write_that_the_system_cuts_off_leaves_nothing(tmp_path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    results = context.SimpleQueue()
    process = context.Process(target=_write_with_little_room, args=(str(tmp_path), results))
    process.start()
    process.join(120)
    small, large, trouble = results.get()
    assert (small, large) == (True, False)
    assert "File too large" in trouble
    assert [file.stem for file in tmp_path.iterdir()] == [NAMES[0]]


def test_a_folder_that_vanished_is_made_again(tmp_path: Path) -> None:
    disk = Disk(tmp_path / "gone")
    put(disk, NAMES[0], entry())
    for file in disk.folder.iterdir():
        file.unlink()
    disk.folder.rmdir()
    assert disk.read(NAMES[0], read_entry) is None
    assert put(disk, NAMES[0], entry())
    assert same(disk.read(NAMES[0], read_entry), entry())


def test_a_folder_that_cannot_be_written_any_more_is_said_once(tmp_path: Path) -> None:
    disk = Disk(tmp_path / "folder")
    disk.folder.rmdir()
    disk.folder.write_text("a file now")
    assert disk.read(NAMES[0], read_entry) is None
    assert not put(disk, NAMES[0], entry())
    assert "cannot be written" in disk.trouble
    assert disk.folder.read_text() == "a file now"


@pytest.mark.parametrize("folder", ["taken/cache", "\0", 7, b"bytes", ""], ids=repr)
def test_a_folder_that_cannot_be_made_is_refused_in_a_sentence(tmp_path: Path, folder: Any) -> None:
    (tmp_path / "taken").write_text("no folder")
    given = str(tmp_path / folder) if folder == "taken/cache" else folder
    with pytest.raises(InputError, match="folder"):
        Disk(given)


@pytest.mark.parametrize("size", [0, -1, 1.5, "1 GB", True, None], ids=repr)
def test_a_size_that_is_none_is_refused(tmp_path: Path, size: Any) -> None:
    with pytest.raises(InputError, match="size of the cache in bytes"):
        Disk(tmp_path, size)


def _work(folder: str, number: int, results: Any) -> None:
    """A kernel that writes and reads what others write and read too, in too little room."""
    disk = Disk(folder, 30_000)
    wrong = found = 0
    chance = random.Random(number)
    for _ in range(200):
        name = chance.choice(NAMES[:16])
        right = entry(NAMES.index(name), 300)
        seen = disk.read(name, read_entry)
        if seen is None:
            put(disk, name, right)
        else:
            found += 1
            wrong += not same(seen, right)
    results.put((wrong, found, disk.trouble))


def test_several_kernels_write_and_read_at_once(tmp_path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    results = context.SimpleQueue()
    kernels = [context.Process(target=_work, args=(str(tmp_path), i, results)) for i in range(3)]
    for kernel in kernels:
        kernel.start()
    told = [results.get() for _ in kernels]
    for kernel in kernels:
        kernel.join(60)
    assert [wrong for wrong, _, _ in told] == [0, 0, 0]
    assert [trouble for _, _, trouble in told] == ["", "", ""]
    assert sum(found for _, found, _ in told) > 0
    assert 0 < used(tmp_path) <= 30_000
    assert drafts(tmp_path) == []
