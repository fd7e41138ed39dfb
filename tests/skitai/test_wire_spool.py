"""Temporary files without a name, and windows on them."""

from __future__ import annotations

import errno
import gc
import os
import random
import tempfile
from typing import TYPE_CHECKING

import pytest

from skitai.wire.spool import Spool

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


def spool_of(*pieces: bytes) -> Spool:
    spool = Spool()
    for piece in pieces:
        spool.append(piece)
    return spool


def copied(folder: Path, copy: Callable[[int], None]) -> bytes:
    """What was written to a file that had a start already."""
    path = folder / "copy"
    with path.open("wb", 0) as file:
        file.write(b"start ")
        copy(file.fileno())
    return path.read_bytes().removeprefix(b"start ")


def test_what_was_appended_is_read_back() -> None:
    spool = spool_of(b"abc", b"", bytearray(b"defg"))
    assert spool.size == 7
    assert spool.read(0, 7) == b"abcdefg"
    assert spool.read(2, 3) == b"cde"
    assert spool.read(5, 100) == b"fg"
    assert spool.read(7, 1) == b""


def test_it_has_no_name_and_is_closed_when_nobody_refers_to_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    gc.collect()
    before = len(os.listdir("/proc/self/fd"))
    spool = spool_of(b"abc")
    window = spool.open(1, 1)
    assert list(tmp_path.iterdir()) == []
    assert len(os.listdir("/proc/self/fd")) == before + 1
    del spool
    assert window.read() == b"b"
    window.close()
    assert len(os.listdir("/proc/self/fd")) == before


def test_windows_are_seekable_files_of_their_own() -> None:
    spool = spool_of(b"before one\ntwo\nthree after")
    window, other = spool.open(7, 13), spool.open(7, 13)
    assert window.readable()
    assert window.seekable()
    assert not window.writable()
    assert window.readline() == b"one\n"
    assert window.seek(-5, os.SEEK_END) == 8
    assert window.read(3) == b"thr"
    assert window.seek(-3, os.SEEK_CUR) == 8
    assert window.read() == b"three"
    assert window.read() == b""
    assert list(other) == [b"one\n", b"two\n", b"three"]
    assert window.seek(100) == 100
    assert window.read() == b""
    with pytest.raises(ValueError, match="before the start"):
        window.seek(-1)
    with pytest.raises(ValueError, match="before the start"):
        window.seek(-14, os.SEEK_END)


@pytest.mark.parametrize("use", [lambda file: file.read(), lambda file: file.raw.copy(1)])
def test_a_closed_window_says_so(use: Callable[[object], object]) -> None:
    window = spool_of(b"abc").open(0, 3)
    raw = window.raw
    window.close()
    window.close()
    with pytest.raises(ValueError, match="closed"):
        window.read()
    with pytest.raises(ValueError, match="the file is closed"):
        raw.copy(1)


def test_parts_are_copied_in_the_kernel(tmp_path: Path) -> None:
    data = random.Random(1).randbytes(3_000_000)
    spool = spool_of(data[:1000], data[1000:])
    assert copied(tmp_path, lambda target: spool.copy(0, spool.size, target)) == data
    assert copied(tmp_path, lambda target: spool.copy(77, 1_000_000, target)) == data[77:1000077]
    window = spool.open(5, 9)
    window.read(3)
    assert copied(tmp_path, window.raw.copy) == data[5:14]
    assert window.read() == data[8:14]
    assert copied(tmp_path, lambda target: spool.copy(3, 0, target)) == b""


@pytest.mark.parametrize("code", [errno.EXDEV, errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP])
def test_copying_works_where_file_systems_can_not_clone(
    code: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*args: object) -> int:
        raise OSError(code, os.strerror(code))

    spool = spool_of(b"0123456789" * 1000)
    monkeypatch.setattr(os, "copy_file_range", refuse)
    assert copied(tmp_path, lambda target: spool.copy(5, 20, target)) == b"56789012345678901234"
    monkeypatch.setattr(os, "copy_file_range", lambda *_: 0)
    assert copied(tmp_path, lambda target: spool.copy(5, 5, target)) == b"56789"


def test_a_full_disk_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*args: object) -> int:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    spool = spool_of(b"abc")
    monkeypatch.setattr(os, "copy_file_range", refuse)
    with pytest.raises(OSError, match="No space"):
        spool.copy(0, 3, 1)


def test_short_writes_and_reads_are_continued(monkeypatch: pytest.MonkeyPatch) -> None:
    write, read = os.pwrite, os.pread
    monkeypatch.setattr(os, "pwrite", lambda fd, data, at: write(fd, data[:3], at))
    monkeypatch.setattr(os, "pread", lambda fd, size, at: read(fd, min(size, 2), at))
    spool = spool_of(b"0123456789")
    assert spool.size == 10
    assert spool.read(1, 7) == b"1234567"
    assert spool.read(1, 100) == b"123456789"
