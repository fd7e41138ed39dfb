"""``Development``: what the master does under ``--devel`` only.

It watches files, hears what new code says while it starts, and tells the workers, whose pages
follow. The ``Supervisor`` has one; its methods are for the master's thread.
"""

from __future__ import annotations

import contextlib
import ipaddress
import os
import re
import secrets
import select
import selectors
from collections import deque
from typing import TYPE_CHECKING, Any

from skitai.devel.orders import (
    FAILURE,
    HELLO,
    MAX_TRACE,
    PAGE,
    STYLE,
    open_channel,
    write_order,
)
from skitai.supervisor.spawning import exec_worker
from skitai.supervisor.watcher import FileWatcher, Kind

if TYPE_CHECKING:
    import logging
    import subprocess
    from collections.abc import Callable

    from skitai.config import Settings
    from skitai.supervisor.children import Child, Generation
    from skitai.supervisor.seats import WorkerSeat

_TRACE = re.compile(rb'^(Traceback \(most recent call last\)|  File "|Fatal Python error)', re.M)
_PLACE = re.compile(r'File "([^"]+)", line (\d+)')
STDERR = 2
MAX_REASON = 4000  # characters


class Overheard:
    """What a new program writes to its standard error until it has its seat.

    It goes on to the master's own, but for a traceback: that is kept until it is known whether the
    program ends with it.
    """

    def __init__(self, descriptor: int) -> None:
        self.descriptor = descriptor
        self.text = b""  # the end of it
        self._kept = b""

    def read(self) -> bool:
        """Take in a piece; False at its end."""
        piece = os.read(self.descriptor, 65536)
        self.text = (self.text + piece)[-MAX_TRACE:]
        data = self._kept + piece
        found = _TRACE.search(data)
        at = len(data) if found is None else found.start()
        _write(data[:at])
        self._kept = data[at:]
        return bool(piece)

    def release(self) -> None:
        """It goes on: what was kept is shown."""
        data, self._kept = self._kept, b""
        _write(data)

    def forget(self) -> None:
        """Somebody else shows what was kept."""
        self._kept = b""

    def trace(self) -> str:
        """The traceback that it ended with; empty for none."""
        found = _TRACE.search(self.text)
        return "" if found is None else self.text[found.start() :].decode(errors="replace").strip()


class Development:
    """The loop of edit, save and look, as far as the master has it.

    Parameters:
        sources: gives the directories of code.
        settings: ``devel_watch``.
        selector: of the master; what is registered has a function as its data.
        wake: lets the master go round; called in another thread.
        log: told of changes.
    """

    def __init__(
        self,
        sources: Callable[[], list[str]],
        settings: Settings,
        selector: selectors.BaseSelector,
        wake: Callable[[], None],
        log: logging.Logger,
    ) -> None:
        self._sources = sources
        self._settings = settings
        self._selector = selector
        self._wake = wake
        self._log = log
        self._service = secrets.token_hex(4)  # pages of another start know that it was another
        self._saves = 0
        self._serving = 0
        self._trace = ""  # of the last worker that could not start
        self._failure: dict[str, str] | None = None
        self._held = Kind.NOTHING  # for the pages, until it is known what becomes of a reload
        self._changes: deque[tuple[Kind, str]] = deque()
        self._overheard: dict[int, Overheard] = {}
        self._watcher = FileWatcher(self._changed, log)

    def start(self) -> None:
        """Watch; when the first workers have been started, as this makes threads."""
        self._watcher.watch(self._sources(), named=self._settings.devel_watch)
        address = self._settings.address
        if not _is_private(address):
            self._log.warning(
                "--devel on %s: whoever reaches this port sees source, tracebacks and routes; "
                "address='127.0.0.1' is for this machine alone", address,
            )  # fmt: skip

    def stop(self) -> None:
        """End everything."""
        self._watcher.stop()
        for overheard in self._overheard.values():
            self._close(overheard)

    def _changed(self, kind: Kind, path: str) -> None:
        """In a thread of the watcher."""
        self._changes.append((kind, path))
        self._wake()

    # Workers

    def channel(self, generation: Generation) -> tuple[int, int]:
        """The two ends of a worker's reports; on its own it finds the state of things."""
        ours, theirs = open_channel()
        failure = self._failure if generation.number == self._serving else None
        self._tell(ours, generation, HELLO, failure)
        return ours, theirs

    def exec_worker(self, command: list[str], seat: WorkerSeat) -> subprocess.Popen[bytes]:
        """Start a new program, and hear why it ends if it does. Raises ``OSError``."""
        ours, theirs = os.pipe()
        try:
            process = exec_worker(command, seat, theirs)
        except OSError:
            os.close(ours)
            raise
        finally:
            os.close(theirs)
        overheard = self._overheard[process.pid] = Overheard(ours)
        self._selector.register(ours, selectors.EVENT_READ, lambda: self._hear(overheard))
        return process

    def heed(self, child: Child) -> None:
        """A worker has reported: when it is ready, watch what it has mounted, too."""
        overheard = None if child.ready_at is None else self._overheard.pop(child.pid, None)
        if overheard is not None:
            overheard.release()
            self._close(overheard)
        if child.watched is not None:
            watched, child.watched = child.watched, None
            self._watcher.watch(**watched)

    def explain(self, child: Child, end: str) -> str:
        """Why a worker has ended that was not ready: what it reported, or else its last words."""
        overheard = self._overheard.pop(child.pid, None)
        if overheard is not None:
            self._hear_out(overheard)
            if not child.failure:
                child.trace = overheard.trace()
                end = _last_words(overheard, end)
            overheard.release()
        self._trace = child.trace
        return end

    def _hear(self, overheard: Overheard) -> None:
        if not overheard.read():
            self._close(overheard)

    def _hear_out(self, overheard: Overheard) -> None:
        """Take in what is there; others may have its other end still."""
        while overheard.descriptor >= 0 and select.select([overheard.descriptor], [], [], 0)[0]:
            self._hear(overheard)
        self._close(overheard)

    def _close(self, overheard: Overheard) -> None:
        if overheard.descriptor >= 0:
            self._selector.unregister(overheard.descriptor)
            os.close(overheard.descriptor)
            overheard.descriptor = -1

    # Changes

    def take(self, current: Generation, incoming: Generation | None) -> str | None:
        """Tell the pages what was saved; a file for whose sake the service has to reload."""
        code = None
        while self._changes:
            kind, path = self._changes.popleft()
            if kind is Kind.CODE:
                code = os.path.relpath(path)
            else:
                self._held = max(self._held, kind)
                self._log.debug("%s changed", os.path.relpath(path))
        if code is None and incoming is None:
            self._tell_pages(current)
        return code

    def failed(self, current: Generation, reason: str) -> None:
        """New code can't start: the pages say so."""
        self._failure = {"reason": reason[:MAX_REASON], "trace": self._trace[-MAX_TRACE:]}
        if self._held:
            self._tell_pages(current)
        else:
            self._tell_all(current, FAILURE)

    def promoted(self, generation: Generation) -> None:
        """New code serves; its pages have all that was saved before."""
        self._serving = generation.number
        self._failure = None
        self._trace = ""
        self._held = Kind.NOTHING

    def _tell_pages(self, current: Generation) -> None:
        kind, self._held = self._held, Kind.NOTHING
        if kind:
            self._saves += 1
            self._tell_all(current, STYLE if kind is Kind.STYLE else PAGE)

    def _tell_all(self, current: Generation, kind: str) -> None:
        for child in current.children():
            if child.report_fd >= 0:
                self._tell(child.report_fd, current, kind, self._failure)

    def _tell(
        self, descriptor: int, generation: Generation, kind: str, failure: dict[str, Any] | None
    ) -> None:
        state = f"{self._service}.{generation.number}.{self._saves}"
        write_order(descriptor, {"kind": kind, "state": state, "failure": failure})


def _is_private(address: str) -> bool:
    """Whether only programs of this machine reach an address."""
    if address == "localhost" or address.startswith("unix:"):
        return True
    try:
        return ipaddress.ip_address(address).is_loopback
    except ValueError:
        return False


def _last_words(overheard: Overheard, end: str) -> str:
    """The exception that ended a program, where it was, and its traceback."""
    trace = overheard.trace()
    if not trace:
        last = overheard.text.decode(errors="replace").strip().rpartition("\n")[2]
        return last or end
    overheard.forget()
    places = _PLACE.findall(trace)
    place = f" ({os.path.relpath(places[-1][0])}, line {places[-1][1]})" if places else ""
    return f"{trace.rpartition(chr(10))[2]}{place}\n{trace}"


def _write(data: bytes) -> None:
    with contextlib.suppress(OSError):
        while data:
            data = data[os.write(STDERR, data) :]
