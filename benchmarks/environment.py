"""The benchmark's own virtualenv and the tools it expects on the machine.

Standard library only: `benchmarks.command` calls it before anything is installed.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parent.parent
FOLDER = ROOT / "benchmarks" / ".venv"
PYTHON = FOLDER / "bin" / "python"
REQUIREMENTS = ROOT / "benchmarks" / "requirements.txt"
# What is installed, as a digest; written only when everything could be installed.
STAMP = FOLDER / "installed"
# Requirement -> reason, for those that could not be installed.
FAILURES = FOLDER / "failures.json"
# Debian packages of the tools.
TOOLS = {"wrk": "wrk", "h2load": "nghttp2-client", "taskset": "util-linux"}


class SetupError(Exception):
    """Something on the machine is missing; the message says what to install."""


def require_tools() -> None:
    """Raise SetupError naming the Debian package of the first missing tool."""
    for tool, package in TOOLS.items():
        if shutil.which(tool) is None:
            raise SetupError(f"`{tool}` is not installed: apt-get install {package}")


class Cores(NamedTuple):
    """Where what runs; `services` are what the servers ask in their turn."""

    server: int
    client: int
    services: tuple[int, ...]


def cores() -> Cores:
    """Return the cores: services share the load generator's if there are only two.

    Raises SetupError if this process may use fewer.
    """
    allowed = sorted(os.sched_getaffinity(0))
    if len(allowed) < 2:
        raise SetupError(
            f"the benchmark needs two cores (server and load generator), this process has {allowed}"
        )
    return Cores(allowed[0], allowed[1], tuple(allowed[2:] or allowed[1:]))


def prepare() -> None:
    """Create or update the virtualenv; does nothing if it is as requirements.txt says.

    A requirement that can't be installed is recorded in FAILURES and tried again next time.
    Raises SetupError if the virtualenv itself can't be made.
    """
    wanted = _digest()
    if PYTHON.exists() and STAMP.exists() and STAMP.read_text() == wanted:
        return
    print(f"preparing {FOLDER.relative_to(ROOT)} ...", file=sys.stderr)
    if not _usable():
        command = [sys.executable, "-m", "venv", "--clear", str(FOLDER)]
        made = subprocess.run(command, capture_output=True, text=True)
        if made.returncode:
            raise SetupError(f"no virtualenv could be made: {_reason(made)}")
    failures = _install()
    FAILURES.write_text(json.dumps(failures))
    STAMP.unlink(missing_ok=True)
    if not failures:
        STAMP.write_text(wanted)


def failures() -> dict[str, str]:
    """Return the requirements that could not be installed, by name, with pip's reason."""
    if not FAILURES.exists():
        return {}
    found: dict[str, str] = json.loads(FAILURES.read_text())
    return found


def requirements() -> list[str]:
    """Return the lines of requirements.txt without comments."""
    lines = (line.partition("#")[0].strip() for line in REQUIREMENTS.read_text().splitlines())
    return [line for line in lines if line]


def _digest() -> str:
    digest = hashlib.sha256(sys.version.encode())
    for path in (REQUIREMENTS, ROOT / "pyproject.toml"):
        digest.update(path.read_bytes())
    return digest.hexdigest()


def _usable() -> bool:
    """Tell whether the virtualenv exists and is of the interpreter that runs now."""
    if not PYTHON.exists():
        return False
    command = [str(PYTHON), "-c", "import sys; print(sys.version)"]
    return subprocess.run(command, capture_output=True, text=True).stdout.strip() == sys.version


def _install() -> dict[str, str]:
    """Install everything together; if that fails, one by one to find out what can't be had."""
    if _pip("-r", str(REQUIREMENTS)).returncode == 0:
        return {}
    failures = {}
    for requirement in requirements():
        editable = requirement.startswith("-e")
        result = _pip(*requirement.split()) if editable else _pip(requirement)
        if result.returncode:
            failures[_name(requirement)] = _reason(result)
    return failures


def _pip(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [str(PYTHON), "-m", "pip", "install", "--disable-pip-version-check", "--quiet"]
    return subprocess.run([*command, *arguments], cwd=ROOT, capture_output=True, text=True)


def _name(requirement: str) -> str:
    """Return the bare name of a requirement; the project itself is called skitai."""
    if requirement.startswith("-e"):
        return "skitai"
    return requirement.partition(">")[0].partition("[")[0]


def _reason(result: subprocess.CompletedProcess[str]) -> str:
    """Return the line of a failed command's errors that says most."""
    lines = [line.strip() for line in result.stderr.splitlines() if line.strip()]
    telling = [line for line in lines if "fatal error:" in line or line.startswith("ERROR:")]
    return (telling or lines or [f"exit code {result.returncode}"])[0]
