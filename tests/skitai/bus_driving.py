"""Processes with a bus each, told what to do over pipes: the test is the master of their service.

Run as a program it is such a process.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import queue
import signal
import subprocess
import sys
import threading
from typing import TYPE_CHECKING, Any

from skitai import log
from skitai.bus.bus import Bus

if TYPE_CHECKING:
    from collections.abc import Iterator

PATIENCE = 20.0  # seconds; far more than anything here takes
CHANNEL = "news"


class Member:
    """A process on the bus.

    Attributes:
        pid: by which others send to it.
    """

    def __init__(self, *launcher: str) -> None:
        self._process = subprocess.Popen(
            [*launcher, sys.executable, "-W", "error", __file__],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip
        self._said: queue.Queue[dict[str, Any] | None] = queue.Queue()
        self._log: list[str] = []
        self._readers = [
            threading.Thread(target=self._read_said), threading.Thread(target=self._read_log),
        ]  # fmt: skip
        for reader in self._readers:
            reader.start()
        self.pid = self._hear()["ready"]

    def _read_said(self) -> None:
        for line in self._process.stdout or ():
            self._said.put(json.loads(line))
        self._said.put(None)

    def _read_log(self) -> None:
        for line in self._process.stderr or ():
            self._log.append(line)

    def _hear(self) -> dict[str, Any]:
        said = self._said.get(timeout=PATIENCE)
        assert said is not None, f"it has ended: {self.log()}"
        return said

    def log(self) -> str:
        return "".join(self._log)

    def tell(self, command: str, *arguments: Any) -> None:
        """Let it do something."""
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps([command, *arguments]) + "\n")
        self._process.stdin.flush()

    def ask(self, command: str, *arguments: Any) -> Any:
        """Let it do something and give the result; nothing may have been received meanwhile."""
        self.tell(command, *arguments)
        return self._hear()["result"]

    def got(self) -> Any:
        """The next message it has received: its text, or size and whether it is what was sent."""
        return self._hear()["got"]

    def quiet(self) -> bool:
        """Whether it has received nothing that was not asked for; it must be running."""
        return self.ask("echo", 1) == 1

    def signal(self, number: signal.Signals) -> None:
        self._process.send_signal(number)

    def kill(self) -> None:
        self.signal(signal.SIGKILL)
        self._process.wait(PATIENCE)

    def close(self) -> str:
        """End it in order; what it has logged."""
        if self._process.stdin is None or self._process.stdin.closed:
            return self.log()
        with contextlib.suppress(BrokenPipeError, ProcessLookupError):
            self.signal(signal.SIGCONT)
            self.tell("close")
        try:
            self._process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            self.kill()
        for reader in self._readers:
            reader.join(PATIENCE)
        for pipe in (self._process.stdin, self._process.stdout, self._process.stderr):
            if pipe is not None:
                with contextlib.suppress(BrokenPipeError):
                    pipe.close()
        return self.log()


@contextlib.contextmanager
def members(number: int) -> Iterator[list[Member]]:
    """So many processes of one service; all are known to all. The list may be added to."""
    started: list[Member] = []
    try:
        while len(started) < number:
            started.append(Member())
        yield started
    finally:
        for member in started:
            member.close()


# -- the process


def say(**said: Any) -> None:
    print(json.dumps(said), flush=True)


def sized(size: int) -> bytes:
    """Data that is not the same everywhere."""
    return (b"0123456789abcdef" * (size // 16 + 1))[:size]


def describe(data: bytes) -> Any:
    return data.decode() if len(data) < 1000 else [len(data), data == sized(len(data))]


def obey(bus: Bus, command: str, *arguments: Any) -> Any:
    """Called in a thread."""
    if command == "publish":
        for text in arguments:
            bus.publish(CHANNEL, text.encode())
    elif command == "send":
        worker, *texts = arguments
        for text in texts:
            bus.send(worker, CHANNEL, text.encode())
    elif command == "flood":
        worker, number, size = arguments
        for serial in range(number):
            bus.send(worker, CHANNEL, b"%d" % serial + b" " * size)
    elif command == "large":
        bus.send(arguments[0], CHANNEL, sized(arguments[1]))
    elif command == "workers":
        return sorted(bus.workers())
    elif command == "echo":
        return arguments[0]
    return None


async def live() -> None:
    loop = asyncio.get_running_loop()
    bus = Bus(loop)
    bus.subscribe(CHANNEL, lambda data: say(got=describe(data)))
    await bus.open()
    say(ready=bus.worker)
    while line := await asyncio.to_thread(sys.stdin.readline):
        command, *arguments = json.loads(line)
        if command == "close":
            break
        result = await asyncio.to_thread(obey, bus, command, *arguments)
        if command in ("workers", "echo", "flood"):
            say(result=result)
    await bus.close()


if __name__ == "__main__":
    log.install("test")
    asyncio.run(live())
