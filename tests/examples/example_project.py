"""Copies of the example projects for tests: nothing is written to the checkout, ports are free."""

from __future__ import annotations

import re
import shutil
from typing import TYPE_CHECKING

from doc_console import Console
from doc_page import ROOT, Block, blocks_of, commands_of

import skitai
from skitai.testing.launcher import free_port

if TYPE_CHECKING:
    from pathlib import Path

    from skitai.testing import TestClient

EXAMPLES = ROOT / "examples"
NAMES = sorted(path.parent.name for path in EXAMPLES.glob("*/README.md"))
TEXTS = {".py", ".md", ".j2", ".js", ".css", ".sql", ".proto"}
PORT = re.compile(r"\b500[0-2]\b")


class ExampleProject:
    """A copy of an example.

    Parameters:
        name: of the folder below examples/.
        place: an empty directory for the copy.

    Attributes:
        folder: the copy, in which each of the ports 5000 to 5002 became a free one.
        ports: those free ones, by the number as it is written in the example.
    """

    def __init__(self, name: str, place: Path) -> None:
        self.name = name
        self.folder = place / name
        self.ports = {str(port): str(free_port()) for port in (5000, 5001, 5002)}
        ignored = shutil.ignore_patterns("__pycache__", "*.sqlite3*")
        shutil.copytree(EXAMPLES / name, self.folder, ignore=ignored)
        for path in self.folder.rglob("*"):
            if path.suffix in TEXTS:
                path.write_text(self._placed(path.read_text(encoding="utf-8")), encoding="utf-8")

    def _placed(self, text: str) -> str:
        return PORT.sub(lambda match: self.ports[match[0]], text)

    @property
    def port(self) -> int:
        """Where its service listens."""
        return int(self.ports["5000"])

    def run_readme(self) -> None:
        """Do what the consoles of README.md show. Raises ``PageError`` for other output."""
        commands = []
        for block in blocks_of(EXAMPLES / self.name / "README.md"):
            if block.language == "console":
                text = self._placed(block.text)
                commands += commands_of(Block(block.page, block.line, block.language, text))
        Console(self.folder, self.port).run(commands)

    def start(self, script: str = "serve.py", port: str = "5000", **options: object) -> TestClient:
        """Start its service, or another script of it; a context manager."""
        return skitai.test_client(self.folder / script, port=self.ports[port], **options)
