"""``Link``: the connection of two workers, and how messages look on it.

``Bus`` makes one for each worker that it meets.
"""

from __future__ import annotations

import contextlib
import logging
import struct
import threading
from collections import deque
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import asyncio
    import socket
    from collections.abc import Callable

log = logging.getLogger("skitai")

# A worker that does not read has so many bytes kept for it in every other one.
MAX_BACKLOG = 32 * 1024 * 1024
READ_SIZE = 256 * 1024
SEND_SIZE = 1024 * 1024  # bytes that are handed to the kernel in one turn of the loop
JOINED_SIZE = 64 * 1024  # data of so many bytes is copied, so that it is one piece with its head
PIECE_COST = 128  # bytes of memory that a piece takes beside its data
# Before each message: bytes of its data, bytes of its channel's name. A greeting has neither.
_HEAD = struct.Struct("=IH")
GREETING = _HEAD.pack(0, 0)


def frame(channel: bytes, data: bytes) -> list[bytes]:
    """A message as it is sent, in pieces."""
    head = _HEAD.pack(len(data), len(channel)) + channel
    return [head + data] if len(data) <= JOINED_SIZE else [head, bytes(data)]


class Link:
    """One connection to one worker.

    Parameters:
        loop: where it is read.
        connection: does not block; the link closes it.
        worker: process id at the other end.
        deliver: called with channel and data for each message.
        lost: called once with the link when the connection has ended, unless ``close`` ends it.

    Attributes:
        greeted: done when the other worker has seen the connection, or it has ended.
    """

    __slots__ = (
        "_backlog",
        "_backlog_size",
        "_connection",
        "_deliver",
        "_drained",
        "_dropped",
        "_input",
        "_lock",
        "_loop",
        "_lost",
        "_open",
        "greeted",
        "worker",
    )

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        connection: socket.socket,
        worker: int,
        deliver: Callable[[str, bytes], None],
        lost: Callable[[Link], None],
    ) -> None:
        self.worker = worker
        self.greeted: asyncio.Future[None] = loop.create_future()
        self._loop = loop
        self._connection = connection
        self._deliver = deliver
        self._lost = lost
        self._input = bytearray()
        self._lock = threading.Lock()  # guards all that follows
        self._open = True
        self._backlog: deque[memoryview] = deque()
        self._backlog_size = 0
        self._dropped = 0
        self._drained: asyncio.Future[None] | None = None
        loop.add_reader(connection, self._readable)

    # -- sending (any thread)

    def send(self, message: list[bytes]) -> None:
        """Send a message, or keep it until the other worker reads; dropped when it reads nothing.

        That is logged once until it has caught up.

        Parameters:
            message: made by ``frame``.
        """
        with self._lock:
            if not self._open:
                return
            if self._backlog_size + sum(map(len, message)) > MAX_BACKLOG:
                if not self._dropped:
                    log.warning("worker %d does not read: messages to it are lost", self.worker)
                self._dropped += 1
            else:
                self._send(message)

    def greet(self) -> None:
        """Tell the other worker that it is known here; it has connected, so it knows this one."""
        with self._lock:
            if self._open:
                self._send([GREETING])
        self._met()

    def _met(self) -> None:
        if not self.greeted.done():
            self.greeted.set_result(None)

    def _send(self, parts: list[bytes]) -> None:
        """Send what the kernel takes and keep the rest; the lock is held."""
        waiting = bool(self._backlog)
        sent = 0
        if not waiting:
            try:
                sent = self._connection.sendmsg(parts)
            except (BlockingIOError, InterruptedError):
                pass
            except OSError:  # the other end has gone: reading finds it too
                return
        for part in parts:
            if sent < len(part):
                self._backlog.append(memoryview(part)[sent:])
                self._backlog_size += len(part) - sent + PIECE_COST
            sent = max(0, sent - len(part))
        if self._backlog and not waiting:
            with contextlib.suppress(RuntimeError):  # the loop was closed meanwhile
                self._loop.call_soon_threadsafe(self._watch)

    # -- the backlog (on the loop)

    def _watch(self) -> None:
        if self._open:
            self._loop.add_writer(self._connection, self._writable)

    def _writable(self) -> None:
        with self._lock:
            budget = SEND_SIZE
            while self._backlog and budget > 0:
                part = self._backlog[0]
                try:
                    sent = self._connection.send(part[:budget])
                except (BlockingIOError, InterruptedError):
                    return
                except OSError:
                    self._empty()
                    break
                budget -= sent
                self._backlog_size -= sent
                if sent == len(part):
                    self._backlog.popleft()
                    self._backlog_size -= PIECE_COST
                else:
                    self._backlog[0] = part[sent:]
            if self._backlog:
                return
            self._loop.remove_writer(self._connection)
            dropped, self._dropped = self._dropped, 0
        if dropped:
            log.warning("worker %d reads again: %d messages were lost", self.worker, dropped)
        if self._drained is not None and not self._drained.done():
            self._drained.set_result(None)

    def _empty(self) -> None:
        self._backlog.clear()
        self._backlog_size = 0

    def drained(self) -> asyncio.Future[None]:
        """Done when nothing waits to be sent."""
        self._drained = self._loop.create_future()
        with self._lock:
            if not self._backlog:
                self._drained.set_result(None)
        return self._drained

    # -- receiving (on the loop)

    def _readable(self) -> None:
        try:
            data = self._connection.recv(READ_SIZE)
        except (BlockingIOError, InterruptedError):
            return
        except OSError:
            data = b""
        if not data:
            self.close()
            self._lost(self)
            return
        self._input += data
        self._take_messages()

    def _take_messages(self) -> None:
        received, at = self._input, 0
        while len(received) - at >= _HEAD.size:
            size, name_size = _HEAD.unpack_from(received, at)
            start = at + _HEAD.size + name_size
            if len(received) < start + size:
                break
            if name_size == 0:
                self._met()
            else:
                name = received[start - name_size : start].decode()
                with memoryview(received) as view:
                    data = bytes(view[start : start + size])
                self._deliver(name, data)
            at = start + size
        del received[:at]

    def close(self) -> None:
        """End the connection; what the kernel has taken still arrives."""
        with self._lock:
            if not self._open:
                return
            self._open = False
            self._empty()
            self._loop.remove_reader(self._connection)
            self._loop.remove_writer(self._connection)
            self._connection.close()
        self._met()
        if self._drained is not None and not self._drained.done():
            self._drained.set_result(None)
