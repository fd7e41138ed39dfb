"""Handlers that are called for each message: ``WS_REPORTY`` and ``WS_GROUPCHAT``.

Messages of one socket are handled one after the other, in a thread of the pool or on the loop.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Generator
from typing import TYPE_CHECKING, Any

from atila.context import current
from atila.websockets.conversation import Conversation
from atila.websockets.messages import TEXT, Malformed

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from atila.websockets.conversation import Plan, SocketWas
    from skitai.server.websocket.session import WebSocket

MANY = 16  # messages that wait, before nothing more is read
LARGE = 256 * 1024  # bytes of them
TURN = 16  # messages of a socket, and 16 times as many answers, before it is the turn of others

_END: Any = object()


class Report(Conversation):
    """A function is called for each message; what it returns is sent."""

    __slots__ = ("_busy", "_held", "_lock", "_pieces", "_plain", "_size", "_waiting")

    def __init__(
        self, plan: Plan, was: SocketWas, websocket: WebSocket, arguments: dict[str, Any]
    ) -> None:
        super().__init__(plan, was, websocket, arguments)
        self._plain = plan.codec is TEXT and not plan.group
        self._lock = threading.Lock()  # guards the four below
        self._waiting: deque[Any] = deque()
        self._size = 0
        self._busy = False  # somebody takes messages, or will
        self._held = False  # nothing more is read
        # the rest of what the last call returned, while the client is slow
        self._pieces: Iterator[Any] | None = None

    # -- on the loop

    def receive(self, message: str | bytes) -> None:
        if self._busy or self.plan.pool is not None or self.plan.watched:
            self._put(message, len(message))
            return
        # PERF: what runs here waits for no thread: 0.5 us a message instead of 2.1 us.
        self._busy = True
        if self._handle(message) and (self._pieces is None or self._send_pieces()):
            self._busy = False

    def closed(self, code: int, reason: str) -> None:
        self._put(_END, 0)

    def _put(self, message: Any, size: int) -> None:
        hold = False
        with self._lock:
            self._waiting.append(message)
            self._size += size
            begin, self._busy = not self._busy, True
            if not self._held and (len(self._waiting) > MANY or self._size > LARGE):
                self._held = hold = not begin
        if begin:
            self._begin()
        elif hold:
            self.websocket.hold()

    def _begin(self) -> None:
        pool = self.plan.pool
        if pool is None:
            self._work()
        else:
            pool.resubmit(Report._work, self)

    def _read_on(self) -> None:
        with self._lock:
            resume = self._held and self._is_low()
            if resume:
                self._held = False
        if resume:
            self.websocket.resume()

    def _is_low(self) -> bool:
        return len(self._waiting) <= MANY // 2 and self._size <= LARGE // 2

    # -- where the handler runs

    def _work(self) -> None:
        """Handle what waits, until others have their turn or the client has to catch up."""
        token = current.set(self.was) if self.plan.watched else None
        try:
            for _ in range(TURN):
                if self._pieces is not None and not self._send_pieces():
                    return
                with self._lock:
                    if not self._waiting:
                        self._busy = False
                        return
                    message = self._waiting.popleft()
                    if message is not _END:
                        self._size -= len(message)
                    low = self._held and self._is_low()
                if low:
                    self._later(self._read_on)
                if message is _END:
                    self.ended = True
                    self._later(self.end)
                    return
                if not self._handle(message):
                    return
            self._later(self._begin)
        finally:
            if token is not None:
                current.reset(token)

    def _later(self, callback: Callable[[], None]) -> None:
        self.was.exchange.channel.server.loop.call_soon_threadsafe(callback)

    def _handle(self, message: str | bytes) -> bool:
        """Call the handler with a message; False when the client has to catch up first."""
        plan = self.plan
        try:
            if plan.codec is not TEXT:
                message = self.decode(message)
            result = plan.function(self.was, message, **self.arguments)
            # PERF: most handlers return one text: 0.5 us a message instead of 1.2 us.
            if type(result) is str and self._plain:
                if result and not self.websocket.send(result) and self.websocket.open:
                    self.websocket.when_writable(self._begin)
                    return False
            elif result is not None:
                self._pieces = iter(plan.codec.split(result))
        except Malformed:
            pass
        except BaseException as exc:  # whatever it is, the next message must have its turn
            self.report(exc)
        return True

    def _send_pieces(self) -> bool:
        """Send what the handler returned; False when the rest has to wait."""
        pieces = self._pieces
        assert pieces is not None
        try:
            for at, value in enumerate(pieces, 1):
                if not self.tell(value):
                    self.websocket.when_writable(self._begin)
                    return False
                if at == TURN * TURN:
                    self._later(self._begin)
                    return False
                if not self.websocket.open:
                    break
            self._pieces = None
            if isinstance(pieces, Generator):
                pieces.close()
        except BaseException as exc:
            self._pieces = None
            self.report(exc)
        return True
