"""Checks the `bash` blocks of documents, which are not run: what they name has to exist."""

from __future__ import annotations

import re
import shlex
import signal
from typing import TYPE_CHECKING

from doc_page import ROOT

from benchmarks.plan import parse as parse_benchmark
from skitai.config import Settings
from skitai.errors import ConfigError
from skitai.options import parse as parse_options

if TYPE_CHECKING:
    from collections.abc import Iterator

    from doc_page import Block

MAKEFILE = (ROOT / "Makefile").read_text(encoding="utf-8")
PYPROJECT = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
TARGETS = set(re.findall(r"^([a-z][a-z-]*):", MAKEFILE, re.MULTILINE))
EXTRAS = set(
    re.findall(
        r"^([a-z0-9]+) = \[",
        PYPROJECT.partition("[project.optional-dependencies]")[2].partition("\n[")[0],
        re.MULTILINE,
    )
)
DEV_TOOLS = ("build", "mypy", "pytest", "ruff")


def problems(block: Block) -> Iterator[str]:
    """What is wrong with the lines of a block."""
    for line in block.text.splitlines():
        words = shlex.split(line, comments=True)
        while words and re.fullmatch(r"[A-Z_]+=.*", words[0]):
            del words[0]
        if words and (problem := _problem(words)):
            yield f"{block.place}: {line}: {problem}"


def _problem(words: list[str]) -> str:
    program = words[0].rpartition("/")[2]
    check = _CHECKS.get(program)
    if check is not None:
        return check(words[1:])
    if program in DEV_TOOLS:
        return _tool(program)
    if words[0].startswith((".", "/")) and not (ROOT / words[0]).is_file():
        return "there is no such file"
    return "" if words[0].startswith(".") else f"{program} is not checked here"


def _make(words: list[str]) -> str:
    missing = [word for word in words if "=" not in word and word not in TARGETS]
    return f"no target {missing[0]}" if missing else ""


def _pip(words: list[str]) -> str:
    text = " ".join(words)
    named = {name for names in re.findall(r"\[([a-z0-9,]+)\]", text) for name in names.split(",")}
    if words[:1] != ["install"]:
        return "only pip install is checked here"
    return f"no extra {sorted(named - EXTRAS)[0]}" if named - EXTRAS else ""


def _python(words: list[str]) -> str:
    if words[:2] == ["-m", "pip"]:
        return _pip(words[2:])
    if words[:1] == ["-m"]:
        return "" if words[1] == "venv" else _tool(words[1])
    if words[0] == "benchmarks/run.py":
        parse_benchmark(words[1:])
    elif words[0] == "serve.py":
        try:
            Settings.load({}, parse_options(words[1:], "serve.py", {}).settings)
        except ConfigError as exc:
            return str(exc)
    return "" if (ROOT / words[0]).is_file() else "there is no such file"


def _tool(name: str) -> str:
    return "" if name in DEV_TOOLS and f'"{name}>=' in PYPROJECT else f"{name} is no tool of ours"


def _kill(words: list[str]) -> str:
    known = {f"-{member.name.removeprefix('SIG')}" for member in signal.Signals}
    return "" if words[0] in known else f"no signal {words[0]}"


def _sudo(words: list[str]) -> str:
    return _problem(words)


def _skitai(words: list[str]) -> str:
    return "" if words[0] in ("new", "run", "--help", "--version") else f"no command {words[0]}"


def _anything(words: list[str]) -> str:
    return ""


_CHECKS = {
    "make": _make,
    "pip": _pip,
    "pip3": _pip,
    "python": _python,
    "python3": _python,
    "kill": _kill,
    "git": _anything,
    "cd": _anything,
    "skitai": _skitai,
    "source": _anything,
    "sudo": _sudo,
    "systemctl": _anything,
    "ln": _anything,
    "nginx": _anything,
    "journalctl": _anything,
}
