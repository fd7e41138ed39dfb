"""The writing side of a TCP connection, usable from the loop and from worker threads.

A worker thread sends straight to the socket as long as nothing is buffered; what the kernel does
not take goes to the transport, on the loop. ``server/connection.py`` owns one per connection.
"""

from __future__ import annotations

import ctypes
import errno
import os
import socket
import struct
import threading
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable


_SEND_FLAGS = socket.MSG_DONTWAIT | socket.MSG_NOSIGNAL
KEEP_GIL_SIZE = 64 * 1024
# PERF: `os.write` gives the interpreter lock up, so that every answer of a worker thread begins a
# round of lock hand-overs. A non-blocking send of some kilobytes is shorter than that: keeping the
# lock saved 1 us of 11.6 us per request (plain function, 4 threads, 64 connections, one core).
_send_keeping_gil = ctypes.PyDLL(None, use_errno=True).send


def output_of(transport: Any, loop: asyncio.AbstractEventLoop) -> TcpOutput:
    """The output for an accepted connection."""
    output: TcpOutput | None = getattr(transport, "output", None)  # a TlsTransport has its own
    return TcpOutput(transport, loop) if output is None else output


class TcpOutput:
    """Ordered, non-blocking output of one connection.

    PERF: a direct ``os.write`` from the worker thread answers 200k requests/s where a
    ``call_soon_threadsafe`` hop to the transport answers 135k (bare protocol, one core).

    Attributes:
        lock: guards everything here; the owner shares it for its own hand-over between threads.
        fd: the socket, -1 once the connection is lost. The transport closes the descriptor only
            after ``lost`` has run, so a thread that holds the lock never writes to a reused one.
        backlog: bytes wait in the transport; the client is slower than we are.
        takes_files: ``sendfile`` on ``fd`` reaches the client.
    """

    takes_files = True

    __slots__ = ("_drained", "_loop", "_scheduled", "_transport", "backlog", "fd", "lock")

    def __init__(self, transport: Any, loop: asyncio.AbstractEventLoop) -> None:
        self._transport = transport
        self._loop = loop
        self._drained: list[Callable[[], None]] = []
        self._scheduled = 0
        self.lock = threading.Lock()
        self.fd: int = transport.get_extra_info("socket").fileno()
        self.backlog = False
        # With a high-water mark of 0 every byte the transport keeps is reported by
        # pause_writing/resume_writing, so that `backlog` is exact.
        transport.set_write_buffer_limits(high=0)

    def send(self, data: bytes) -> bool:
        """Send or queue ``data``; the caller holds ``lock``.

        Returns True when the kernel took everything, False when the client has to catch up first
        or is gone (``fd`` is -1 then).
        """
        if self.fd < 0:
            return False
        rest: bytes | memoryview = data
        if not self.backlog:
            sent = self._write(data)
            if sent == len(data):
                return True
            if sent < 0:
                # Reset by the client: the loop will see the same and call connection_lost.
                self._loop.call_soon_threadsafe(self._transport.abort)
                return False
            rest = memoryview(data)[sent:]
            self.backlog = True
        self._scheduled += 1
        self._loop.call_soon_threadsafe(self._buffer, rest)
        return False

    def _write(self, data: bytes) -> int:
        """Bytes that the kernel took, 0 when it is full, -1 when the connection is broken."""
        size = len(data)
        if size <= KEEP_GIL_SIZE:
            sent: int = _send_keeping_gil(self.fd, data, size, _SEND_FLAGS)
            if sent < 0 and ctypes.get_errno() in (errno.EAGAIN, errno.EINTR):
                return 0
            return sent
        try:
            return os.write(self.fd, data)
        except BlockingIOError:
            return 0
        except OSError:
            return -1

    def when_writable(self, callback: Callable[[], None]) -> None:
        """Call back on the loop when the backlog is gone or the connection is lost."""
        with self.lock:
            if self.backlog and self.fd >= 0:
                self._drained.append(callback)
                return
        self._loop.call_soon_threadsafe(callback)

    def resumed(self) -> None:
        """The transport's buffer is empty (on the loop)."""
        with self.lock:
            if self._scheduled:
                return
            self.backlog = False
            callbacks, self._drained = self._drained, []
        for callback in callbacks:
            callback()

    def lost(self) -> None:
        """The connection ended (on the loop); whoever waits is told."""
        with self.lock:
            self.fd = -1
            self.backlog = False
            callbacks, self._drained = self._drained, []
        for callback in callbacks:
            callback()

    def reset(self) -> None:
        """End the connection at once and with an error for the client (on the loop)."""
        if self.fd >= 0:
            at_once = struct.pack("ii", 1, 0)
            self._transport.get_extra_info("socket").setsockopt(
                socket.SOL_SOCKET, socket.SO_LINGER, at_once
            )
            self._transport.abort()

    def pending(self) -> int:
        """Bytes that wait in the transport (on the loop)."""
        return int(self._transport.get_write_buffer_size()) if self.backlog else 0

    def _buffer(self, data: bytes | memoryview) -> None:
        with self.lock:
            self._scheduled -= 1
            if self.fd < 0:
                return
        self._transport.write(data)
        if self._transport.get_write_buffer_size() == 0:
            self.resumed()
