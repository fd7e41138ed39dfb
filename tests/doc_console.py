"""Runs the consoles of a document: starts its project, sends its requests, compares the output."""

from __future__ import annotations

import os
import re
import shlex
import signal
import subprocess
import sys
import time
from typing import TYPE_CHECKING

import doc_requests
from doc_page import PageError, expected_pattern

import skitai

if TYPE_CHECKING:
    from pathlib import Path

    from doc_page import Command

SCRIPT = "serve.py"
PATIENCE = 20.0  # seconds; far more than anything here takes
# What readers may be asked to type in the project's folder beside curl and python3.
TOOLS = ("gzip", "ln", "mkdir", "touch")


class Console:
    """The terminal of one stage: a project folder and, once it was started, its service.

    Parameters:
        folder: the project.
        port: where the service listens.
    """

    def __init__(self, folder: Path, port: int) -> None:
        self._folder = folder
        self._port = port
        self._service: skitai.TestClient | None = None
        self._started_by: Command | None = None
        self._exit_code = 0

    def run(self, commands: list[Command]) -> None:
        """Run the commands in order. Raises ``PageError`` for output that isn't as written."""
        try:
            for command, following in zip(commands, [*commands[1:], None], strict=True):
                ends = following is not None and following.text == "echo $?"
                self._run(command, ends)
            self.stop()
        finally:
            if self._service is not None:
                self._service.stop()

    def _run(self, command: Command, ends: bool) -> None:
        words = shlex.split(command.text, comments=True)
        if words[0] == "curl":
            self._request(command, words[1:])
        elif words[:2] == ["python3", SCRIPT] and not ends:
            self._start(command, words[2:])
        elif words == ["echo", "$?"]:
            check(command, f"{self._exit_code}\n")
        elif words[0] == "python3":
            self._execute(command, [sys.executable, *words[1:]])
        elif words[0] in TOOLS:
            self._execute(command, words)
        else:
            raise PageError(f"{command.place}: {words[0]} is not run here")

    def _start(self, command: Command, options: list[str]) -> None:
        self.stop()
        script = shlex.join([str(self._folder / SCRIPT), *options])
        self._service = skitai.test_client(script, port=self._port, stop_timeout=PATIENCE)
        self._started_by = command

    def stop(self) -> None:
        """Stop the service, if there is one, as Ctrl-C does; its output must be as written."""
        service, command, self._service = self._service, self._started_by, None
        if service is None or command is None:
            return
        shown_at_end = "^C" in command.output
        lines = [line for line in command.output if line != "^C"]
        pattern = re.compile("^" + expected_pattern(lines), re.MULTILINE)
        deadline = time.monotonic() + PATIENCE
        while not shown_at_end and not pattern.search(service.log()):
            if time.monotonic() > deadline:
                break
            time.sleep(0.02)
        assert service.pid is not None
        if service.returncode is None:
            os.kill(service.pid, signal.SIGINT)
        while service.returncode is None and time.monotonic() < deadline:
            time.sleep(0.005)
        code = service.returncode
        service.stop()
        log = service.log()
        if code != 0:
            raise PageError(f"{command.place}: the service ended with {code}:\n{log}")
        if not pattern.search(log):
            raise PageError(f"{command.place}: the service printed\n{log}")

    def _request(self, command: Command, words: list[str]) -> None:
        if self._service is None:
            raise PageError(f"{command.place}: nothing serves yet: $ python3 {SCRIPT}")
        request = doc_requests.read(words, self._folder)
        head, body = doc_requests.perform(request)
        if request.output is not None:
            (self._folder / request.output).write_bytes(body)
            body = b""
        check(command, head + body.decode("utf-8", "replace"))

    def _execute(self, command: Command, words: list[str]) -> None:
        done = subprocess.run(
            words, cwd=self._folder, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT, text=True, timeout=PATIENCE, check=False,
        )  # fmt: skip
        self._exit_code = done.returncode
        check(command, done.stdout)


def check(command: Command, output: str) -> None:
    """Compare what a command printed with what the document says."""
    text = output.replace("\r\n", "\n").rstrip("\n") + "\n" if output.strip("\n") else ""
    if not re.fullmatch(expected_pattern(command.output), text):
        expected = "\n".join(command.output)
        raise PageError(f"{command.place}: $ {command.text}\nexpected\n{expected}\nbut got\n{text}")
