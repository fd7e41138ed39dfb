"""The sending side of one WebSocket: frames in order, from any thread, as fast as the client reads.

``WebSocket`` owns one. No thread ever waits for another: who finds the socket busy leaves its
message to the one that is sending.
"""

from __future__ import annotations

import threading
from collections import deque
from typing import TYPE_CHECKING

from skitai.wire.websocket.messages import BINARY, CLOSE, PONG, encode_frame

if TYPE_CHECKING:
    from collections.abc import Callable

    from skitai.server.core import Server
    from skitai.server.tunnel import Tunnel
    from skitai.wire.websocket.deflate import Deflater

PIECE = 128 * 1024  # bytes of a frame that are written at once, so that progress can be seen
QUEUED_BYTES = 64 * 1024  # that wait behind other threads before these are asked to wait, too
QUEUED_COST = 128  # bytes that a queued message takes besides its own
TURNS = 64  # frames that a thread sends for others before it hands over
MIN_DEFLATED = 64  # bytes; shorter messages are sent as they are


class FrameSender:
    """Sends what it is given; until ``begin`` it keeps it.

    Parameters:
        server: has the loop and the clock.
        deflater: compresses messages, or None.
        max_backlog: bytes that may wait for the client.
        overflow: called on the loop, once, when more are waiting; nothing is sent any more then.

    Attributes:
        ended: the last frame has been sent or queued, or can't be.
        blocked: the client has not taken what was sent.
        progress: when it last took something, or the last frame was sent.
    """

    __slots__ = (
        "_busy",
        "_deflater",
        "_drained",
        "_finishing",
        "_lock",
        "_max_backlog",
        "_overflow",
        "_pong",
        "_queue",
        "_rest",
        "_server",
        "_tunnel",
        "_waiting",
        "blocked",
        "ended",
        "progress",
    )

    def __init__(
        self,
        server: Server,
        deflater: Deflater | None,
        max_backlog: int,
        overflow: Callable[[], None],
    ) -> None:
        self._server = server
        self._deflater = deflater
        self._max_backlog = max_backlog
        self._overflow: Callable[[], None] | None = overflow
        self._tunnel: Tunnel | None = None
        self.ended = False
        self.blocked = False
        self.progress = server.clock.now
        # The lock is held for moments only, never while something is compressed or written.
        self._lock = threading.Lock()
        self._busy = True  # somebody is sending, or nobody can
        self._finishing = False
        self._queue: deque[tuple[int, bytes]] | None = None
        self._waiting = 0  # bytes that the queue takes
        self._pong: bytes | None = None
        self._rest: memoryview | None = None  # of a frame that was written in part
        self._drained: list[Callable[[], object]] = []

    # -- any thread

    def send(self, opcode: int, payload: bytes) -> bool:
        """Send a message, or with ``CLOSE`` the last frame.

        Returns False when the sender should wait with ``when_writable``, or all is over.
        """
        with self._lock:
            if self.ended:
                return False
            if opcode == CLOSE:
                self.ended = True
                self.progress = self._server.clock.now
            if self._busy:
                return self._enqueue(opcode, payload)
            self._busy = True
        return self._write(opcode, payload)

    def send_control(self, opcode: int, payload: bytes) -> None:
        """Send a ping or a pong.

        Of the pongs that have to wait only the last is sent (RFC 6455, 5.5.3); a ping that would
        have to wait is not.
        """
        with self._lock:
            if self.ended:
                return
            if self._busy:
                if opcode == PONG:
                    self._pong = payload
                return
            self._busy = True
        self._write(opcode, payload)

    def when_writable(self, callback: Callable[[], object]) -> None:
        """Call back on the loop when little is waiting, or all is over."""
        with self._lock:
            if self._busy and (self.blocked or self._waiting > QUEUED_BYTES):
                self._drained.append(callback)
                return
        self._server.loop.call_soon_threadsafe(callback)

    def _enqueue(self, opcode: int, payload: bytes) -> bool:
        if self._queue is None:
            self._queue = deque()
        self._queue.append((opcode, payload))
        self._waiting += len(payload) + QUEUED_COST
        if not self.blocked:
            return self._waiting <= QUEUED_BYTES
        if self._waiting > self._max_backlog and self._overflow is not None:
            self.ended = True
            self._server.loop.call_soon_threadsafe(self._overflow)
            self._overflow = None
        return False

    def _write(self, opcode: int, payload: bytes) -> bool:
        """Send a frame and what is queued by then; who calls it has become the busy one."""
        tunnel, deflater = self._tunnel, self._deflater
        if tunnel is None:
            return False  # it has ended in this moment
        turns = TURNS
        while True:
            deflates = False
            if deflater is not None and opcode <= BINARY and len(payload) >= MIN_DEFLATED:
                deflates = True
                payload = deflater.deflate(payload)
            frame = encode_frame(opcode, payload, deflates)
            if not (
                tunnel.write(frame) if len(frame) <= PIECE else self._write_long(tunnel, frame)
            ):
                self._block()
                return False
            turns -= 1
            if not turns:
                self._server.loop.call_soon_threadsafe(self._go_on)
                return True
            following = self._next()
            if following is None:
                return True
            opcode, payload = following

    def _write_long(self, tunnel: Tunnel, data: bytes | memoryview) -> bool:
        """Write in pieces; keep the rest when the client can't take more."""
        view = memoryview(data)
        while view:
            piece, view = view[:PIECE], view[PIECE:]
            if not tunnel.write(bytes(piece)):
                self._rest = view if view else None
                return False
        self._rest = None
        return True

    def _block(self) -> None:
        with self._lock:
            tunnel = self._tunnel
            if tunnel is None:
                return
            self.blocked = True
            self.progress = self._server.clock.now
        tunnel.when_writable(self._go_on)

    def _next(self) -> tuple[int, bytes] | None:
        """What is to be sent next; if that is nothing, nobody is busy any more."""
        with self._lock:
            if self._pong is not None:
                payload, self._pong = self._pong, None
                return PONG, payload
            if self._queue:
                following = self._queue.popleft()
                self._waiting -= len(following[1]) + QUEUED_COST
                return following
            self._queue = None
            self._busy = False
            if self._drained or self._finishing:
                self._server.loop.call_soon_threadsafe(self._caught_up)
            return None

    # -- on the loop

    def begin(self, tunnel: Tunnel) -> None:
        """Send through this tunnel from now on."""
        self._tunnel = tunnel
        self._go_on()

    def finish(self) -> None:
        """Send no more; finish the tunnel when everything has been sent."""
        with self._lock:
            self.ended = True
            if self._busy:
                self._finishing = True
                return
        if self._tunnel is not None:
            self._tunnel.finish()

    def lost(self) -> None:
        """The tunnel has ended; who waits is called back."""
        with self._lock:
            self.ended = True
            self._tunnel = self._queue = self._rest = self._pong = self._overflow = None
            self.blocked = self._finishing = False
            self._waiting = 0
            callbacks, self._drained = self._drained, []
        for callback in callbacks:
            callback()

    def rest(self) -> None:
        """Keep no memory for compressing, as nothing is being sent."""
        if self._deflater is not None:
            with self._lock:
                if not self._busy:
                    self._deflater.rest()

    def _go_on(self) -> None:
        """The client can take more, or another thread has sent enough for others."""
        tunnel = self._tunnel
        if tunnel is None:
            return
        with self._lock:
            self.blocked = False
            self.progress = self._server.clock.now
        if self._rest is not None and not self._write_long(tunnel, self._rest):
            self._block()
            return
        following = self._next()
        if following is not None:
            self._write(*following)

    def _caught_up(self) -> None:
        with self._lock:
            callbacks, self._drained = self._drained, []
            finishing, self._finishing = self._finishing, False
        if finishing and self._tunnel is not None:
            self._tunnel.finish()
        for callback in callbacks:
            callback()
