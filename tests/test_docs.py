"""Every code block of the documents works: projects are started, consoles compared, names checked.

The conventions for writers are in CONTRIBUTING.md, "Documents".
"""

from __future__ import annotations

import re

import doc_shell
import pytest
from doc_console import Console, check
from doc_page import (
    PAGES,
    ROOT,
    Block,
    Command,
    PageError,
    Stage,
    blocks_of,
    commands_of,
    paths_of_tree,
    stages_of,
)

from skitai.testing.launcher import free_port

STAGES = [stage for page in PAGES for stage in stages_of(page)]
BASH = [block for page in PAGES for block in blocks_of(page) if block.language == "bash"]


def trees_of(page):
    return [block for block in blocks_of(page) if block.language == "text"]


# The port of all examples; a free one takes its place, in the files and in the consoles.
PORT = re.compile(r"\b5000\b")


@pytest.mark.e2e
@pytest.mark.parametrize("stage", [stage for stage in STAGES if stage.consoles], ids=str)
def test_projects_do_what_their_consoles_show(stage, tmp_path, monkeypatch):
    monkeypatch.setenv("PYTHONDONTWRITEBYTECODE", "1")
    port = free_port()
    write_project(stage, tmp_path, port)
    consoles = [on_port(block, port) for block in stage.consoles]
    commands = [command for block in consoles for command in commands_of(block)]
    Console(tmp_path, port).run(commands)


@pytest.mark.parametrize("stage", STAGES, ids=str)
def test_python_blocks_compile_and_are_run_by_a_console(stage):
    sources = {name: text for name, text in stage.files.items() if name.endswith(".py")}
    for name, text in sources.items():
        compile(text, f"{stage}: {name}", "exec")
    assert stage.consoles or not sources, f"{stage}: no console runs {', '.join(sources)}"


@pytest.mark.parametrize("page", [page for page in PAGES if trees_of(page)], ids=str)
def test_drawn_directories_are_as_they_are(page):
    """A tree shows the project of its page as it is at the end, or else this repository."""
    files = [name for stage in stages_of(page) for name in stage.files]
    for block in trees_of(page):
        for path in paths_of_tree(block):
            known = any(name == path or name.startswith(path) for name in files)
            assert known or (not files and (ROOT / path).exists()), f"{block.place}: no {path}"


@pytest.mark.parametrize("block", BASH, ids=lambda block: block.place)
def test_shell_lines_name_what_exists(block):
    assert list(doc_shell.problems(block)) == []


def write_project(stage: Stage, folder, port):
    for name, text in stage.files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(PORT.sub(str(port), text), encoding="utf-8")


def on_port(block: Block, port: int) -> Block:
    return Block(block.page, block.line, block.language, PORT.sub(str(port), block.text))
