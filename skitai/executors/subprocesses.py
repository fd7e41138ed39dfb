"""``Subprocess``: a command that runs beside the worker, on its loop, for ``was.Subprocess``."""

from __future__ import annotations

import asyncio
import codecs
import contextlib
import logging
import os
import subprocess
import threading
import time
from collections import deque
from typing import IO, TYPE_CHECKING

from skitai.executors.config import ZOMBIE_TIMEOUT
from skitai.executors.errors import OutputTooLarge
from skitai.executors.process_tree import Leash, kill_tree, watch_process
from skitai.executors.threaded import ThreadExecutor

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Mapping, Sequence

    Command = str | Sequence[str]

log = logging.getLogger("skitai")

MAX_OUTPUT = 64 << 20  # bytes
GRACE_SECONDS = 1.0  # between SIGTERM and SIGKILL
CHUNK = 1 << 16
AHEAD = 1 << 18  # bytes that are read before somebody wants them
TAIL = 1 << 12  # bytes of standard error that are kept
LOOK_SECONDS = 0.01  # between looks at a command, where the system does not tell of its end

# Ending a command may take a second and must not depend on the loop, which may be about to end.
_killers = ThreadExecutor(16, 1_000_000, "skitai-kill", idle_seconds=5.0)


async def run_subprocess(
    command: Command,
    timeout: float | None = ZOMBIE_TIMEOUT,
    *,
    env: Mapping[str, str] | None = None,
    cwd: str | None = None,
    max_output: int = MAX_OUTPUT,
) -> str:
    """Run a command and return what it wrote to standard output. See ``Subprocess``."""
    return await Subprocess(command, timeout, env=env, cwd=cwd, max_output=max_output).text()


def end_commands(seconds: float) -> bool:
    """Wait until all commands that were broken off have ended; when the worker stops.

    Parameters:
        seconds: how long at most. Those that are left are killed by the end of the worker, but not
            what has left their process group.

    Returns whether all have ended.
    """
    until = time.monotonic() + seconds
    while _killers.busy and time.monotonic() < until:
        time.sleep(0.005)
    return not _killers.busy


class Subprocess:
    """A command, started at once.

    It leads a session of its own, has nothing to read, and no descriptors of the worker. It is
    killed with all that it started when the timeout passes, when who awaits it is cancelled, and
    when the worker ends in any way. What it leaves in the background when it ends by itself may
    live on, if it has closed the output.

    PERF: ``echo`` takes 0.8 ms, of which the loop is blocked for 0.3 ms. Those of the loop itself
    take 2.4 ms, and 22 ms when the worker has 500 MB, as uvloop copies its page tables (two cores).

    Parameters:
        command: text for ``/bin/sh``, or a program and its arguments.
        timeout: seconds; None waits for ever.
        env: the environment; default: that of the worker.
        cwd: the directory; default: that of the worker.
        max_output: most bytes of the text, or of one line.

    Raises ``OSError`` when it can't be started, ``ValueError`` for an empty command. ``text`` and
    ``lines`` raise ``SystemError`` with ``code:N`` and the end of standard error when the exit code
    is not 0, ``TimeoutError``, and ``OutputTooLarge``.
    """

    def __init__(
        self,
        command: Command,
        timeout: float | None = ZOMBIE_TIMEOUT,
        *,
        env: Mapping[str, str] | None = None,
        cwd: str | None = None,
        max_output: int = MAX_OUTPUT,
    ) -> None:
        if not command or (isinstance(command, str) and not command.strip()):
            raise ValueError("the command is empty: give one")
        self._loop = asyncio.get_running_loop()
        self._max_output = max_output
        self._leash = Leash()
        try:
            self._process = _start(command, env, cwd, self._leash)
        except BaseException:
            self._leash.release()
            raise
        self._chunks: deque[bytes] = deque()
        self._ahead = 0
        self._tail = bytearray()
        self._wake: asyncio.Future[None] | None = None
        self._over = False  # it was reaped, or somebody else does that
        self._error: BaseException | None = None
        self._killing = threading.Lock()
        self._kills = 0
        self._death: int | None = None
        self._stdout = _Pipe(self._loop, self._process.stdout, self._received, self._closed)
        self._stderr = _Pipe(self._loop, self._process.stderr, self._complained, self._closed)
        self._timer = None if timeout is None else self._loop.call_later(timeout, self._expire)
        self._timeout = timeout

    @property
    def pid(self) -> int:
        """Its process id, which is that of its group and session too."""
        return self._process.pid

    async def text(self) -> str:
        """Wait for its end; all of standard output, as UTF-8. Ask once, this or ``lines``."""
        decode = codecs.getincrementaldecoder("utf-8")("replace").decode
        parts: list[str] = []
        size = 0
        try:
            while chunk := await self._chunk():
                size += len(chunk)
                self._limit(size)
                parts.append(decode(chunk))
            await self._end()
        finally:
            self._abandon()
        return "".join([*parts, decode(b"", True)])

    async def lines(self) -> AsyncIterator[str]:
        """The lines of standard output as they come, with their ends; then raises as ``text``.

        The command has to wait while nobody takes them. It is killed when the iterator is closed.
        """
        parts: list[bytes] = []
        size = 0
        try:
            while chunk := await self._chunk():
                *ended, rest = chunk.split(b"\n")
                for line in ended:
                    self._limit(size + len(line))
                    yield _text(*parts, line, b"\n")
                    parts, size = [], 0
                parts.append(rest)
                size += len(rest)
                self._limit(size)
                await asyncio.sleep(0)  # who takes lines at once would never let others go on
            if size:
                yield _text(*parts)
            await self._end()
        finally:
            self._abandon()

    def terminate(self) -> None:
        """Ask it and all that it started to end; what has not after a second is killed."""
        self._put_down(GRACE_SECONDS)

    def kill(self) -> None:
        """Kill it and all that it started."""
        self._put_down(0.0)

    async def _chunk(self) -> bytes:
        """What was read next; nothing at the end."""
        while not self._chunks and not self._over and not self._stdout.closed:
            await self._news()
        if not self._chunks:
            return b""
        chunk = self._chunks.popleft()
        self._ahead -= len(chunk)
        if self._ahead < AHEAD and not self._over:
            self._stdout.read(True)
        return chunk

    async def _end(self) -> None:
        """Wait until it has ended and was reaped; raises what went wrong."""
        while not self._over:
            await self._news()
        if self._error is not None:
            raise self._error
        code = self._process.returncode
        if code:
            tail = self._tail[-TAIL:].decode("utf-8", "replace").strip()
            raise SystemError(f"the command failed, code:{code} {tail}".rstrip())

    async def _news(self) -> None:
        self._wake = self._loop.create_future()
        await self._wake

    def _tell(self) -> None:
        if self._wake is not None and not self._wake.done():
            self._wake.set_result(None)

    # -- called by the loop

    def _received(self, data: bytes) -> None:
        self._chunks.append(data)
        self._ahead += len(data)
        if self._ahead >= AHEAD:
            self._stdout.read(False)
        self._tell()

    def _complained(self, data: bytes) -> None:
        self._tail += data
        if len(self._tail) > CHUNK:
            del self._tail[:-TAIL]

    def _closed(self) -> None:
        self._tell()
        if self._stdout.closed and self._stderr.closed:
            self._look()

    def _look(self) -> None:
        """Reap it, if it has closed its output and ended, which mostly comes together."""
        if self._over:
            return
        if self._kills and self._process.returncode is None:
            self._unwatch()  # who kills it reaps it, and then this is called again
            return
        if not (self._stdout.closed and self._stderr.closed):
            return
        if self._process.poll() is not None:
            self._finish()
            self._leash.release()
            return
        if self._death is None:
            self._death = watch_process(self._process.pid)
            if self._death >= 0:
                self._loop.add_reader(self._death, self._look)
        if self._death < 0:
            self._loop.call_later(LOOK_SECONDS, self._look)

    def _expire(self) -> None:
        self._abandon(TimeoutError(f"the command did not end within {self._timeout:g} seconds"))

    # -- the end

    def _limit(self, size: int) -> None:
        if size > self._max_output:
            error = OutputTooLarge(f"the command wrote more than {self._max_output} bytes")
            self._abandon(error)
            raise error

    def _finish(self) -> None:
        self._over = True
        if self._timer is not None:
            self._timer.cancel()
        self._stdout.close()
        self._stderr.close()
        self._unwatch()
        if not self._loop.is_closed():
            self._tell()

    def _unwatch(self) -> None:
        if self._death is not None and self._death >= 0:
            if not self._loop.is_closed():
                self._loop.remove_reader(self._death)
            os.close(self._death)
            self._death = None

    def _abandon(self, error: BaseException | None = None) -> None:
        """Nobody wants to know any more: end it in the background, unless it has ended."""
        if not self._over:
            self._error = error
            self._finish()
            self._put_down(GRACE_SECONDS, release=True)

    def _put_down(self, patience: float, *, release: bool = False) -> None:
        if release or not self._over:
            self._kills += 1
            _killers.submit(self._kill, (patience, release), {}, _ignore)

    def _kill(self, patience: float, release: bool) -> None:
        with self._killing:
            kill_tree(self._process, patience)
            if release:
                self._leash.release()
                return
        with contextlib.suppress(RuntimeError):  # the loop is closed
            self._loop.call_soon_threadsafe(self._look)


class _Pipe:
    """The reading end of a pipe, on a loop.

    Parameters:
        file: unbuffered.
        receive: gets what was read.
        ended: called once, at the end of the file.
    """

    __slots__ = ("_ended", "_file", "_loop", "_reading", "_receive", "closed")

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        file: IO[bytes] | None,
        receive: Callable[[bytes], None],
        ended: Callable[[], None],
    ) -> None:
        assert file is not None
        self._loop = loop
        self._file = file
        self._receive = receive
        self._ended = ended
        self._reading = False
        self.closed = False
        os.set_blocking(file.fileno(), False)
        self.read(True)

    def read(self, wanted: bool) -> None:
        """Go on or pause."""
        if wanted == self._reading or self.closed:
            return
        self._reading = wanted
        if wanted:
            self._loop.add_reader(self._file.fileno(), self._ready)
        else:
            self._loop.remove_reader(self._file.fileno())

    def close(self) -> None:
        """Read no more; who writes gets an error from now on."""
        if not self._loop.is_closed():
            self.read(False)
        self.closed = True
        self._file.close()

    def _ready(self) -> None:
        try:
            data = os.read(self._file.fileno(), CHUNK)
        except BlockingIOError:
            return
        if data:
            self._receive(data)
        else:
            self.close()
            self._ended()


def _start(
    command: Command, env: Mapping[str, str] | None, cwd: str | None, leash: Leash
) -> subprocess.Popen[bytes]:
    process = subprocess.Popen(
        command,
        bufsize=0,
        shell=isinstance(command, str),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=env,
        cwd=cwd,
        pass_fds=(leash.descriptor,),
        start_new_session=True,
    )
    leash.fasten(process.pid)
    return process


def _text(*parts: bytes) -> str:
    return b"".join(parts).decode("utf-8", "replace")


def _ignore(result: None, error: BaseException | None) -> None:
    if error is not None:
        log.error("a command could not be ended: %r", error)
