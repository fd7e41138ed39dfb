"""A machine with faults: disks without room, and rights that even root does not have."""

from __future__ import annotations

import contextlib
import ctypes
import os
import resource
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from live_service import PATIENCE

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

ROOT = Path(__file__).resolve().parents[2]
PR_CAPBSET_DROP = 24  # prctl(2)
# capabilities(7)
DAC_OVERRIDE, DAC_READ_SEARCH, SETGID, SETUID, NET_BIND_SERVICE = 1, 2, 6, 7, 10
# Nor may a disk without room cut what Python keeps of the modules that it has compiled.
FOR_ALL = {"PYTHONPATH": str(ROOT), "PYTHONDONTWRITEBYTECODE": "1"}

_libc = ctypes.CDLL(None, use_errno=True)


@contextlib.contextmanager
def full_disk(processes: Iterable[int], room: int = 0) -> Iterator[None]:
    """No file of these processes can be written behind so many bytes.

    They ignore the signal of that limit, as all of Python does, and get an error as of a full disk.
    """
    processes = list(processes)
    for process in processes:
        resource.prlimit(process, resource.RLIMIT_FSIZE, (room, resource.RLIM_INFINITY))
    try:
        yield
    finally:
        for process in processes:
            with contextlib.suppress(ProcessLookupError):
                unlimited = (resource.RLIM_INFINITY, resource.RLIM_INFINITY)
                resource.prlimit(process, resource.RLIMIT_FSIZE, unlimited)


def without_room(room: int = 0) -> Callable[[], None]:
    """For a process that is to be started: no file can have more bytes than these."""
    return lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (room, room))


def without_rights(*capabilities: int) -> Callable[[], None]:
    """For a process that is to be started: root does not have these capabilities."""

    def drop() -> None:
        for capability in capabilities:
            if os.geteuid() == 0 and _libc.prctl(PR_CAPBSET_DROP, capability, 0, 0, 0):
                raise OSError(ctypes.get_errno(), "prctl")

    return drop


without_override = without_rights(DAC_OVERRIDE, DAC_READ_SEARCH)
"""Modes of files and directories hold for root, too."""


@contextlib.contextmanager
def mode(path: Path, bits: int) -> Iterator[None]:
    """A file or a directory has another mode for a while."""
    before = path.stat().st_mode
    path.chmod(bits)
    try:
        yield
    finally:
        path.chmod(before)


def types(
    folder: Path,
    *words: str,
    fault: Callable[[], None] | None = None,
    module: str = "",
    **variables: str,
) -> subprocess.CompletedProcess[str]:
    """Run serve.py of a folder, or a module, until it ends.

    Parameters:
        fault: is called in the process before it becomes Python.
        variables: of the environment.
    """
    command = ["-m", module] if module else ["serve.py"]
    try:
        return subprocess.run(
            [sys.executable, "-W", "error", *command, *words],
            cwd=folder, env={**os.environ, **FOR_ALL, **variables},
            stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=4 * PATIENCE,
            preexec_fn=fault, check=False,
        )  # fmt: skip
    except subprocess.SubprocessError as exc:
        if "preexec_fn" in str(exc):
            pytest.skip("root may not give up capabilities here")
        raise


def refused(done: subprocess.CompletedProcess[str], *texts: str) -> None:
    """It ended with one line that has these texts, and exit code 2."""
    assert done.returncode == 2, done
    assert len(done.stderr.splitlines()) == 1, done.stderr
    for text in texts:
        assert text in done.stderr, done.stderr
    assert "Traceback" not in done.stderr
