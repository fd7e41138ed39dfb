"""Documents as a reader sees them: code blocks, the files they make, the stages of a project.

The conventions are those of CONTRIBUTING.md; `test_docs` runs what is found here.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

ROOT = Path(__file__).resolve().parents[1]
PAGES = [*sorted(ROOT.glob("*.md")), *sorted((ROOT / "docs").glob("*.md"))]

# Blocks that are files of the page's project, and how their first line names the file.
FILES = {
    "python": re.compile(r"# (?P<name>\S+\.py)"),
    "jinja": re.compile(r"\{# (?P<name>\S+\.(?:j2|html)) #\}"),
    "css": re.compile(r"/\* (?P<name>\S+\.css) \*/"),
    "sql": re.compile(r"-- (?P<name>\S+\.sql)"),
    "protobuf": re.compile(r"// (?P<name>\S+\.proto)"),
}
LANGUAGES = {*FILES, "console", "bash", "text"}
_MAIN = re.compile(r"^if __name__ == ", re.MULTILINE)
_TREE_LINE = re.compile(r"(?P<indent> *)(?P<name>[\w.-]+/?)(?: +.*)?")


class PageError(Exception):
    """A document breaks one of the conventions; the message says where and how."""


@dataclass(frozen=True)
class Block:
    """A fenced block: its language and text, and where it stands."""

    page: Path
    line: int
    language: str
    text: str

    @property
    def place(self) -> str:
        return f"{os.path.relpath(self.page, ROOT)}:{self.line}"

    def error(self, message: str) -> PageError:
        return PageError(f"{self.place}: {message}")


@dataclass(frozen=True)
class Command:
    """A line of a console after its ``$``, and the lines that follow as its output."""

    text: str
    output: list[str]
    place: str


@dataclass
class Stage:
    """The project of a page, from one rewriting of a file to the next."""

    page: Path
    number: int
    files: dict[str, str]
    consoles: list[Block] = field(default_factory=list)

    def __str__(self) -> str:
        return f"{os.path.relpath(self.page, ROOT)}-{self.number}"


def blocks_of(page: Path) -> list[Block]:
    """All fenced blocks of a page. Raises ``PageError`` for a language nobody checks."""
    blocks: list[Block] = []
    opened: Block | None = None
    lines: list[str] = []
    for number, line in enumerate(page.read_text(encoding="utf-8").splitlines(), 1):
        if not line.lstrip().startswith("```"):
            lines.append(line)
            continue
        if opened is None:
            opened, lines = Block(page, number, line.strip().strip("`"), ""), []
            if line[0] != "`":
                raise opened.error("a code block must not be indented")
            if opened.language not in LANGUAGES:
                known = ", ".join(sorted(LANGUAGES))
                raise opened.error(f"language {opened.language!r} is not checked: use {known}")
        else:
            blocks.append(Block(page, opened.line, opened.language, "\n".join(lines) + "\n"))
            opened = None
    if opened is not None:
        raise opened.error("the code block is not closed")
    return blocks


def stages_of(page: Path) -> list[Stage]:
    """The stages of a page's project, in order; empty when the page has none."""
    stages = [Stage(page, 1, {})]
    open_file = ""
    for block in blocks_of(page):
        stage = stages[-1]
        if block.language == "console":
            stage.consoles.append(block)
        elif block.language in FILES:
            name = file_name(block)
            if not name:
                stage.files[open_file] = continue_file(block, stage.files.get(open_file))
                continue
            if name in stage.files:
                if not stage.consoles:
                    raise block.error(f"{name} is written again before anything was checked")
                stage = Stage(page, stage.number + 1, dict(stage.files))
                stages.append(stage)
            stage.files[name] = block.text
            open_file = name if block.language == "python" else open_file
    return [stage for stage in stages if stage.files or stage.consoles]


def file_name(block: Block) -> str:
    """The file that a block is, relative to the project; empty when it continues another one."""
    match = FILES[block.language].fullmatch(block.text.partition("\n")[0])
    if match is None:
        if block.language != "python":
            raise block.error("the first line must be a comment with the name of the file")
        return ""
    name = match["name"]
    if name.startswith("/") or ".." in PurePosixPath(name).parts:
        raise block.error(f"{name} must be inside the project")
    return name


def continue_file(block: Block, text: str | None) -> str:
    """The Python file ``text`` with a block added, above its ``if __name__ ==`` line."""
    if text is None:
        raise block.error("the first Python block must begin with a file name: # serve.py")
    main = _MAIN.search(text)
    if main is None:
        return f"{text}\n\n{block.text}"
    return f"{text[: main.start()]}{block.text}\n\n{text[main.start() :]}"


def commands_of(block: Block) -> list[Command]:
    """The commands of a console, each with its expected output."""
    commands: list[Command] = []
    continued = False
    for number, line in enumerate(block.text.splitlines(), block.line + 1):
        if continued:
            last = commands.pop()
            commands.append(Command(f"{last.text} {line.strip()}", [], last.place))
        elif line.startswith("$ "):
            place = f"{os.path.relpath(block.page, ROOT)}:{number}"
            commands.append(Command(line[2:], [], place))
        elif commands:
            commands[-1].output.append(line)
        else:
            raise block.error("a console must begin with a command: $ curl …")
        continued = continued_line(commands, line)
    return commands


def continued_line(commands: list[Command], line: str) -> bool:
    """Whether the command goes on in the next line; its backslash is taken away."""
    if not line.endswith("\\") or commands[-1].output:
        return False
    last = commands.pop()
    commands.append(Command(last.text.removesuffix("\\").rstrip(), [], last.place))
    return True


def paths_of_tree(block: Block) -> list[str]:
    """The paths in a drawn directory tree; directories end with ``/``."""
    parents: list[tuple[int, str]] = []
    paths: list[str] = []
    for line in block.text.splitlines():
        match = _TREE_LINE.fullmatch(line)
        if match is None:
            raise block.error(f"{line!r} is no line of a tree: write names, indented by 2 blanks")
        indent = len(match["indent"])
        while parents and parents[-1][0] >= indent:
            parents.pop()
        path = (parents[-1][1] if parents else "") + match["name"]
        paths.append(path)
        if path.endswith("/"):
            parents.append((indent, path))
    return paths


def expected_pattern(lines: list[str]) -> str:
    """A regular expression for output: ``…`` is any text in a line, alone any number of lines."""
    pattern = ""
    for line in lines:
        if line.strip() == "…":
            pattern += r"(?:.*\n)*?"
        else:
            pattern += ".*?".join(re.escape(piece) for piece in line.split("…")) + r"\n"
    return pattern
