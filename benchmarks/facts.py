"""The facts printed with every result: interpreter, machine, versions; called by the command."""

from __future__ import annotations

import os
import platform
import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from benchmarks.contenders import Contender

# Measured along with the contenders although no contender names them.
SHARED = ("uvloop", "httptools", "orjson")


def python_tag() -> str:
    """Return the interpreter as part of a file name, such as `cpython-3.11`."""
    return f"{sys.implementation.name}-{sys.version_info.major}.{sys.version_info.minor}"


def machine() -> dict[str, str]:
    """Return what the figures depend on besides the contenders."""
    return {
        "Python": f"{platform.python_implementation()} {platform.python_version()}",
        "System": f"{platform.system()} {platform.release()} {platform.machine()}",
        "CPU": f"{_cpu_model()}, {os.cpu_count()} cores",
        "Load average before the run": " ".join(f"{load:.2f}" for load in os.getloadavg()),
    }


def versions(contenders: Sequence[Contender]) -> dict[str, str]:
    """Return the installed version of each distribution that the contenders need."""
    names = sorted({*SHARED, *(name for one in contenders for name in one.needs)})
    return {name: _version(name) for name in names}


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "not installed"


def _cpu_model() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.processor() or "unknown"
