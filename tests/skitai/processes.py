"""Looks at processes, and starts one: for the tests that care about what is left of them."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psutil

if TYPE_CHECKING:
    from collections.abc import Callable

PATIENCE = 20.0  # seconds; far more than anything here takes
ROOT = Path(__file__).parents[2]


def eventually(condition: Callable[[], Any], what: str) -> Any:
    deadline = time.monotonic() + PATIENCE
    while not (result := condition()):
        assert time.monotonic() < deadline, f"waited in vain for: {what}"
        time.sleep(0.01)
    return result


def is_gone(pid: int) -> bool:
    """Whether no such process and none of its group is left, and no zombie that is ours to reap."""
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.NoSuchProcess, ProcessLookupError):
            ours = process.ppid() == os.getpid()
            if pid in (process.pid, os.getpgid(process.pid)) and (
                ours or process.status() != psutil.STATUS_ZOMBIE
            ):
                return False
    return True


def run_python(source: str, *flags: str) -> subprocess.CompletedProcess[str]:
    """Run a piece of Python in an interpreter of its own."""
    environ = {**os.environ, "PYTHONPATH": str(ROOT)}
    return subprocess.run(
        [sys.executable, *flags, "-c", source],
        env=environ, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
