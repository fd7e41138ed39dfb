"""The console command ``skitai``: a new project, and the launch script of the one that is here."""

from __future__ import annotations

import argparse
import os
import shlex
import sys
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

from skitai.commands.project import write_project
from skitai.errors import ConfigError, SkitaiError
from skitai.script import MISCONFIGURED, leaving_readers

if TYPE_CHECKING:
    from collections.abc import Sequence

SCRIPT = "serve.py"


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise ConfigError(f"{message}; see {self.prog} --help")


def main(argv: Sequence[str] | None = None) -> int:
    """Carry out a command line; the exit code: 0, or 2 with a message for what can't be done.

    Parameters:
        argv: the words behind the command's name; default: those of this process.
    """
    words = list(sys.argv[1:] if argv is None else argv)
    try:
        if words[:1] == ["run"]:
            return _run(words[1:])
        parser = _make_parser()
        with leaving_readers():
            given = parser.parse_args(words)
            if given.command is None:
                parser.print_help()
                return 0
        return _new(given.name, Path(given.directory or given.name))
    except SkitaiError as exc:
        print(f"skitai: {exc}", file=sys.stderr)
        return MISCONFIGURED


def _make_parser() -> _Parser:
    parser = _Parser(
        prog="skitai",
        description="Makes a project, and runs it. A project has a launch script that does all "
        f"else: python3 {SCRIPT} --help",
    )
    parser.add_argument("--version", action="version", version=f"skitai {_version()}")
    commands = parser.add_subparsers(dest="command", metavar="command")
    new = commands.add_parser("new", help="write a new project: an app, a page, and its tests")
    new.add_argument("name", help="of the app: a word that can be imported, such as myapp")
    new.add_argument("directory", nargs="?", help="where it is written (default: the name)")
    commands.add_parser(
        "run", help=f"start {SCRIPT} of this directory; all words behind it are given to it"
    )
    return parser


def _version() -> str:
    try:
        return version("skitai")
    except PackageNotFoundError:
        return "(not installed)"


def _new(name: str, directory: Path) -> int:
    write_project(name, directory)
    # Names of directories are bytes, and need not be text.
    place = os.fsencode(directory).decode("utf-8", "backslashreplace")
    print(f"wrote {place}")
    print("next steps:")
    print(f"  cd {shlex.quote(place)}")
    print(f"  python3 {SCRIPT} --devel")
    if not all(map(find_spec, ("pytest", "requests"))):
        print("  python3 -m pip install 'skitai[test]'")
    print("  python3 -m pytest")
    return 0


def _run(words: list[str]) -> int:
    if not os.path.isfile(SCRIPT):
        raise ConfigError(
            f"there is no {SCRIPT} in {os.getcwd()!r}: go to the directory of a project, or make "
            "one with skitai new myapp"
        )
    sys.stdout.flush()
    os.execv(sys.executable, [sys.executable, SCRIPT, *words])
