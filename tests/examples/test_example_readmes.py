"""Every example is listed, small, and does what its README shows."""

from __future__ import annotations

import contextlib
import re

import doc_shell
import pytest
from doc_page import blocks_of
from example_project import EXAMPLES, NAMES

LINES = 120  # of a file, at most
DEMO = "shelf"  # larger; it has tests of its own
FILES = [
    path
    for name in NAMES
    if name != DEMO
    for path in sorted((EXAMPLES / name).rglob("*"))
    if path.suffix in {".py", ".j2", ".js", ".css", ".sql", ".proto", ".md"}
]


def test_the_list_of_examples_is_complete():
    listed = re.findall(r"^\| \[\S+\]\((\S+)/README\.md\) \| \S", list_of_examples(), re.MULTILINE)
    folders = sorted(path.name for path in EXAMPLES.iterdir() if any(path.glob("*.py")))
    assert sorted(listed) == folders == NAMES


def list_of_examples() -> str:
    return (EXAMPLES / "README.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(EXAMPLES)))
def test_files_are_small(path):
    assert len(path.read_text(encoding="utf-8").splitlines()) <= LINES


@pytest.mark.parametrize("page", sorted(EXAMPLES.rglob("*.md")), ids=lambda page: page.parent.name)
def test_links_lead_somewhere(page):
    for target in re.findall(r"\]\((?!http)([^)#]+)", page.read_text(encoding="utf-8")):
        assert (page.parent / target).is_file(), target


@pytest.mark.parametrize("name", NAMES)
def test_shell_lines_name_what_exists(name):
    for block in blocks_of(EXAMPLES / name / "README.md"):
        if block.language == "bash":
            assert list(doc_shell.problems(block)) == []


@pytest.mark.e2e
@pytest.mark.parametrize("name", [name for name in NAMES if name != DEMO])
def test_the_readme_shows_what_happens(name, example, monkeypatch):
    project = example(name)
    with contextlib.ExitStack() as stack:
        for key, value in surroundings(project, stack).items():
            monkeypatch.setenv(key, value)
        project.run_readme()


def surroundings(project, stack):
    """Start what an example needs beside itself; its environment, for that to be found."""
    if project.name == "postgres":
        from tests.skitai.postgresql_server import running_postgresql

        server = stack.enter_context(running_postgresql())
        return {"BOOKS_DB": f"{server.address}/{server.new_database()}"}
    if project.name == "mail":
        from tests.skitai.smtp_server import running_smtp

        return {"SMTP_SERVER": f"127.0.0.1:{stack.enter_context(running_smtp()).port}"}
    if project.name == "gateway":
        for port in ("5001", "5002"):
            stack.enter_context(project.start("backend.py", port))
    return {}
