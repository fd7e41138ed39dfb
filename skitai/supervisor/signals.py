"""Records the signals of the master and wakes its loop; what they mean is decided there."""

from __future__ import annotations

import contextlib
import signal
import socket
from collections import deque
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable
    from types import FrameType


class SignalInbox:
    """Between ``open`` and ``close`` the given signals are recorded instead of taking effect.

    ``fileno`` becomes readable when something is to be taken; only the main thread may open and
    close. ``wake`` may be called from any thread.
    """

    def __init__(self, signals: Iterable[signal.Signals]) -> None:
        self._signals = tuple(signals)
        self._recorded: deque[int] = deque()
        self._handlers: dict[signal.Signals, Any] = {}
        self._old_wakeup = -1
        self._reader, self._writer = socket.socketpair()
        self._reader.setblocking(False)
        self._writer.setblocking(False)

    def open(self) -> None:
        """Install the handlers; signals that whoever started us had blocked are let in."""
        self._old_wakeup = signal.set_wakeup_fd(self._writer.fileno(), warn_on_full_buffer=False)
        for signum in self._signals:
            self._handlers[signum] = signal.signal(signum, self._record)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, self._signals)

    def close(self) -> None:
        """Put back the handlers that were there before."""
        for signum, handler in self._handlers.items():
            signal.signal(signum, handler if handler is not None else signal.SIG_DFL)
        signal.set_wakeup_fd(self._old_wakeup)
        self.close_descriptors()

    def close_descriptors(self) -> None:
        """For a forked child, which resets its signals in its own way."""
        self._reader.close()
        self._writer.close()

    def fileno(self) -> int:
        return self._reader.fileno()

    def take(self) -> list[int]:
        """The signals that came since the last call, in order."""
        with contextlib.suppress(BlockingIOError):
            while self._reader.recv(4096):
                pass
        taken = []
        while self._recorded:
            taken.append(self._recorded.popleft())
        return taken

    def wake(self) -> None:
        """Make ``fileno`` readable without a signal."""
        # A full buffer wakes as well; a closed one has nobody to wake.
        with contextlib.suppress(OSError):
            self._writer.send(b"\0")

    def _record(self, signum: int, frame: FrameType | None) -> None:
        self._recorded.append(signum)
