"""Runs the consoles of a document: starts its project, sends its requests, compares the output."""

from __future__ import annotations

import os
import re
import shlex
import signal
import subprocess
import sys
import time
from typing import TYPE_CHECKING, Any

import doc_requests
from doc_page import PageError, expected_pattern

import skitai

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from doc_page import Command

SCRIPT = "serve.py"
PATIENCE = 20.0  # seconds; far more than anything here takes
# What readers may be asked to type in the project's folder beside curl and python3.
TOOLS = ("gzip", "ln", "openssl", "touch")


class Console:
    """The terminal of one stage: a project folder and, once it was started, its service.

    Parameters:
        folder: the project.
        port: where the service listens.
    """

    def __init__(self, folder: Path, port: int) -> None:
        self._folder = folder
        self._port = port
        self._service: Any = None
        self._started_by: Command | None = None
        self._exit_code = 0

    def run(self, commands: list[Command]) -> None:
        """Run the commands in order. Raises ``PageError`` for output that isn't as written."""
        try:
            for command, following in zip(commands, [*commands[1:], None], strict=True):
                ends = following is not None and following.text == "echo $?"
                self._run(command, ends)
            self._end_service()
        finally:
            if self._service is not None:
                self._service.stop()

    def _run(self, command: Command, ends: bool) -> None:
        words = shlex.split(command.text, comments=True)
        if words[0] == "curl":
            if self._service is None:
                raise PageError(f"{command.place}: nothing serves yet: $ python3 {SCRIPT}")
            check(command, doc_requests.perform(doc_requests.read(words[1:], self._folder)))
        elif words[:2] == ["python3", SCRIPT] and not ends:
            self._end_service()
            self._start_service(command, words[2:])
        elif words == ["echo", "$?"]:
            check(command, f"{self._exit_code}\n")
        elif words[0] == "python3":
            self._execute(command, [sys.executable, *words[1:]])
        elif words[0] in TOOLS:
            self._execute(command, words)
        else:
            raise PageError(f"{command.place}: {words[0]} is not run here")

    def _start_service(self, command: Command, options: list[str]) -> None:
        script = shlex.join([str(self._folder / SCRIPT), *options])
        self._service = skitai.test_client(script, port=self._port, stop_timeout=PATIENCE)
        self._started_by = command

    def _end_service(self) -> None:
        """End the service, if there is one, as Ctrl-C does; its output must be as written.

        Output that is written above a line ``^C``, or without one, is there while it still runs.
        """
        service, command = self._service, self._started_by
        if service is None or command is None:
            return
        lines = command.output
        at = lines.index("^C") if "^C" in lines else len(lines)
        wait_for(lambda: _printed(service, lines[:at]), "")
        os.kill(service.pid, signal.SIGINT)
        wait_for(lambda: service.returncode is not None, f"{command.place}: the end")
        service.stop()
        self._service = None
        if service.returncode != 0:
            raise PageError(f"{command.place}: exit code {service.returncode}:\n{service.log()}")
        if not _printed(service, lines[:at] + lines[at + 1 :]):
            raise PageError(f"{command.place}: the service printed\n{service.log()}")

    def _execute(self, command: Command, words: list[str]) -> None:
        environ = {name: os.environ[name] for name in os.environ if name != "PYTEST_ADDOPTS"}
        done = subprocess.run(
            words, cwd=self._folder, env=environ, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT, text=True, timeout=PATIENCE, check=False,
        )  # fmt: skip
        self._exit_code = done.returncode
        check(command, done.stdout)


def _printed(service: Any, lines: list[str]) -> bool:
    """Whether the lines stand in the service's output, one after the other."""
    return re.search(f"^{expected_pattern(lines)}", service.log(), re.MULTILINE) is not None


def wait_for(condition: Callable[[], bool], what: str) -> None:
    """Poll until the condition holds; past ``PATIENCE`` it is an error to have waited for ``what``.

    With an empty ``what`` the caller finds out for itself.
    """
    deadline = time.monotonic() + PATIENCE
    while not condition():
        if time.monotonic() > deadline:
            if what:
                raise PageError(f"waited in vain for {what}")
            return
        time.sleep(0.01)


def check(command: Command, output: str) -> None:
    """Compare what a command printed with the document, but for blank lines at the end."""
    text = output.replace("\r\n", "\n").rstrip("\n")
    expected = "\n".join(command.output).rstrip("\n")
    pattern = expected_pattern(expected.split("\n") if expected else [])
    if not re.fullmatch(pattern, f"{text}\n" if text else ""):
        raise PageError(f"{command.place}: $ {command.text}\nexpected\n{expected}\nbut got\n{text}")
