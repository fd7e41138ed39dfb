"""Every code block of the documents works: projects are started, consoles compared, names checked.

The conventions for writers are in CONTRIBUTING.md, "Documents".
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import doc_shell
import pytest
import redis
from doc_console import Console
from doc_page import (
    PAGES,
    ROOT,
    Block,
    PageError,
    Stage,
    blocks_of,
    commands_of,
    paths_of_tree,
    stages_of,
)
from doc_requests import CurlError
from doc_servers import with_servers

from skitai.testing.launcher import free_port

if TYPE_CHECKING:
    from pathlib import Path

BLOCKS = [block for page in PAGES for block in blocks_of(page)]
STAGES = [stage for page in PAGES for stage in stages_of(page)]
# The ports of all examples; free ones take their place, in the files and in the consoles.
PORT, SECOND_PORT = re.compile(r"\b5000\b"), re.compile(r"\b5001\b")
ROUTE = re.compile(r'@app\.(?:route|get|post|put|patch|delete)\("(/[^"]*)"')
PARAMETER = re.compile(r"<[a-z:]+>")


def run_stage(stage: Stage, folder: Path) -> None:
    """Write a stage's project into an empty folder and run its consoles there."""
    port, second = free_port(), free_port()

    def placed(text: str) -> str:
        return SECOND_PORT.sub(str(second), PORT.sub(str(port), text))

    with with_servers(stage.files) as files:
        for name, text in files.items():
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(placed(text), encoding="utf-8")
        commands = []
        for block in stage.consoles:
            text = placed(block.text)
            commands += commands_of(Block(block.page, block.line, block.language, text))
        Console(folder, port).run(commands)


@pytest.mark.e2e
@pytest.mark.parametrize("stage", [stage for stage in STAGES if stage.consoles], ids=str)
def test_projects_do_what_their_consoles_show(stage, tmp_path, monkeypatch):
    monkeypatch.setenv("SKITAI_HOME", str(tmp_path / ".skitai"))
    run_stage(stage, tmp_path)


@pytest.mark.parametrize("stage", STAGES, ids=str)
def test_python_files_belong_to_a_project_that_is_run(stage):
    sources = [name for name in stage.files if name.endswith(".py")]
    for name in sources:
        compile(stage.files[name], f"{stage}: {name}", "exec")
    assert stage.consoles, f"{stage}: no console runs {', '.join(sources)}"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_route_is_requested(page):
    requests, rules = "", set()
    for stage in stages_of(page):
        for block in stage.consoles:
            requests += "".join(f"{command.text}\n" for command in commands_of(block))
        for name, text in stage.files.items():
            rules.update(ROUTE.findall(text))
            requests += text if name.startswith("tests/") else ""
            if name == "client.py":  # of gRPC: methods are routes
                requests += "".join(f"/{method} " for method in re.findall(r"\.(\w+)\(", text))
    for rule in rules:
        pattern = r"[^\s\"]*".join(re.escape(piece) for piece in PARAMETER.split(rule))
        assert re.search(rf"{pattern}(?=[\s\"?])", requests), f"nothing asks for {rule}"


@pytest.mark.parametrize(
    "block", [block for block in BLOCKS if block.language == "text"], ids=lambda block: block.place
)
def test_drawn_directories_are_as_they_are(block):
    """A tree shows the project of its page as it is at the end."""
    files = [name for stage in stages_of(block.page) for name in stage.files]
    for path in paths_of_tree(block):
        assert any(name == path or name.startswith(path) for name in files), f"no {path}"


@pytest.mark.parametrize(
    "block", [block for block in BLOCKS if block.language == "bash"], ids=lambda block: block.place
)
def test_shell_lines_name_what_exists(block):
    assert list(doc_shell.problems(block)) == []


# What must not pass

APP = """
```python
# serve.py
import skitai
from atila import Atila

app = Atila(__name__)


@app.route("/")
def index(was):
    return "Hello"


if __name__ == "__main__":
    skitai.mount("/", app)
    skitai.run(port=5000)
```
"""


def page_with(folder: Path, text: str) -> Path:
    page = folder / "page.md"
    page.write_text(text, encoding="utf-8")
    return page


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("```yaml\na: 1\n```\n", "language 'yaml' is not checked"),
        ("```\nanything\n```\n", "language '' is not checked"),
        ("- item\n  ```python\n  # a.py\n  ```\n", "must not be indented"),
        ("```python\n# a.py\n", "is not closed"),
        ("```python\nx = 1\n```\n", "must begin with a file name"),
        ("```css\np {}\n```\n", "must be a comment with the name of the file"),
        ("```sql\nselect 1\n```\n", "must be a comment with the name of the file"),
        ("```python\n# ../a.py\n```\n", "must be inside the project"),
        ("```python\n# a.py\n```\n" * 2, "written again before anything was checked"),
    ],
)
def test_blocks_that_nobody_could_check_are_refused(tmp_path, text, message):
    with pytest.raises(PageError, match=re.escape(message)):
        stages_of(page_with(tmp_path, text))


@pytest.mark.parametrize(
    ("console", "message"),
    [
        ("$ curl http://127.0.0.1:5000/", "nothing serves yet"),
        ("$ python3 serve.py\n$ curl http://127.0.0.1:5000/\nGoodbye", "but got\nHello"),
        ("$ python3 serve.py\n$ curl http://127.0.0.1:5000/\nHello\nyou", "but got\nHello"),
        ("$ python3 serve.py\n$ curl http://127.0.0.1:5000/", "but got\nHello"),
        ("$ python3 serve.py\n^C\ngood night", "the service printed"),
        ("$ python3 serve.py --prot 1\nserve.py: no\n$ echo $?\n2", "did you mean '--port'"),
        ("$ rm -r .", "rm is not run here"),
        ("Hello", "a console must begin with a command"),
    ],
)
@pytest.mark.e2e
def test_consoles_that_show_something_else_fail(tmp_path, console, message):
    page = page_with(tmp_path, f"{APP}```console\n{console}\n```\n")
    with pytest.raises(PageError, match=re.escape(message)):
        run_stage(stages_of(page)[0], tmp_path)


@pytest.mark.e2e
def test_addresses_of_databases_become_those_of_running_servers():
    with with_servers({"a.py": "redis://localhost:6379/0"}) as files:
        with redis.Redis.from_url(files["a.py"]) as client:
            assert client.ping()
    with with_servers({"a.py": "[::]:5000/5432"}) as files:
        assert files == {"a.py": "[::]:5000/5432"}


def test_options_of_curl_that_are_not_read_are_refused(tmp_path):
    console = "$ python3 serve.py\n$ curl --socks5 x http://127.0.0.1:5000/"
    page = page_with(tmp_path, f"{APP}```console\n{console}\n```\n")
    with pytest.raises(CurlError, match="--socks5"):
        run_stage(stages_of(page)[0], tmp_path)


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ("make fun", "no target fun"),
        ("pip install '.[everything]'", "no extra everything"),
        ("python3 serve.py --prot 1", "did you mean '--port'"),
        ("python3 other.py", "there is no such file"),
        ("kill -HUB 1", "no signal -HUB"),
        ("reboot", "reboot is not checked here"),
    ],
)
def test_shell_lines_about_nothing_are_reported(line, problem):
    block = Block(ROOT / "README.md", 1, "bash", f"{line}\n")
    (found,) = doc_shell.problems(block)
    assert problem in found
