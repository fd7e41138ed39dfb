"""A plugin for the tests of an app: ``from atila.pytest_hooks import *`` in ``tests/conftest.py``.

``pytest --docs`` makes documents of what tests sent and got (seed, Integrating pytest and API
Documentation); ``pytest --run-slow`` also runs tests that are marked slow.
"""

from __future__ import annotations

import os
import tempfile
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from atila.documenting.report import render_report
from skitai.testing.recording import VARIABLE, read_records

# The star import also gives what conftest files of the seed take for granted.
__all__ = [
    "partial",
    "pytest",
    "pytest_addoption",
    "pytest_collection_modifyitems",
    "pytest_configure",
    "pytest_sessionfinish",
    "pytest_terminal_summary",
]

DOCUMENTS = Path("docs", "api")
INDEX = "index"
_records = pytest.StashKey[str]()
_outcome = pytest.StashKey[str]()


def pytest_addoption(parser: pytest.Parser) -> None:
    """Declare ``--docs`` and ``--run-slow``; once, also if several conftest files have the star."""
    group = parser.getgroup("atila")
    try:
        group.addoption(
            "--docs",
            action="store_true",
            help="write ../docs/api/index.md, or <directory>.md, when all tests have passed",
        )
        group.addoption("--run-slow", action="store_true", help="run tests that are marked slow")
    except ValueError:  # declared by another conftest file
        pass


def pytest_configure(config: pytest.Config) -> None:
    """Make a private place for the records; processes of pytest-xdist inherit where it is."""
    if _records in config.stash:
        return
    config.stash[_records] = ""
    config.addinivalue_line("markers", "slow: takes long, is only run with --run-slow")
    if not config.getoption("--docs") or hasattr(config, "workerinput"):
        return
    directory = tempfile.TemporaryDirectory(prefix="atila-docs-")
    before = os.environ.get(VARIABLE)
    os.environ[VARIABLE] = config.stash[_records] = directory.name

    def clean_up() -> None:
        directory.cleanup()
        if before is None:
            os.environ.pop(VARIABLE, None)
        else:
            os.environ[VARIABLE] = before

    config.add_cleanup(clean_up)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Skip slow tests, unless they are asked for."""
    if config.getoption("--run-slow"):
        return
    for item in items:
        if "slow" in item.keywords:
            item.add_marker(pytest.mark.skip(reason="slow: give --run-slow to run it"))


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> None:
    """Write the document when everything has passed."""
    config = session.config
    directory = config.stash.get(_records, "")
    if not directory or exitstatus != 0:
        return
    config.stash[_records] = ""  # done, should another conftest file have the star too
    records = read_records(directory)
    if not records:
        config.stash[_outcome] = "nothing was recorded: the services must run with --devel"
        return
    home = _home(config)
    folder = _documents(home, config)
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{_name(config, home)}.md"
    path.write_text(render_report(records), encoding="utf-8")
    config.stash[_outcome] = f"written: {path}"


def pytest_terminal_summary(terminalreporter: Any, config: pytest.Config) -> None:
    """Say what came of ``--docs``."""
    outcome = config.stash.get(_outcome, "")
    if outcome:
        config.stash[_outcome] = ""
        terminalreporter.section("API documents")
        terminalreporter.write_line(outcome)


def _home(config: pytest.Config) -> Path:
    """The directory of the tests: that of the outermost conftest file with these hooks."""
    homes = [
        Path(plugin.__file__).parent
        for plugin in config.pluginmanager.get_plugins()
        if getattr(plugin, "pytest_sessionfinish", None) is pytest_sessionfinish
        and os.path.basename(getattr(plugin, "__file__", None) or "") == "conftest.py"
    ]
    return min(homes, key=lambda path: len(path.parts), default=config.invocation_params.dir)


def _documents(home: Path, config: pytest.Config) -> Path:
    """``../docs/api`` as seen from the tests; ``docs/api`` if they have no directory of their own,
    as the project's configuration of pytest lies beside them."""
    at_root = config.inipath is not None and config.inipath.parent == home
    return (home if at_root else home.parent) / DOCUMENTS


def _name(config: pytest.Config, home: Path) -> str:
    """``index``, or the name of the directory below the tests that was asked for."""
    if config.args_source is not pytest.Config.ArgsSource.ARGS:
        return INDEX
    path = Path(config.invocation_params.dir, config.args[0].partition("::")[0]).resolve()
    folder = path if path.is_dir() else path.parent
    return (
        INDEX if folder == home.resolve() or home.resolve() not in folder.parents else folder.name
    )
