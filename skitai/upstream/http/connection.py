"""``HttpConnection``: one connection to an upstream, for one exchange after another.

``backend`` owns the connections of a member and starts exchanges on them. Nothing here waits for a
deadline: who gives up aborts the connection.
"""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING, Any, Protocol

from skitai.tasks.errors import Failure, NetworkError, TaskError, network_failure
from skitai.tasks.status import STA_REQFAIL
from skitai.wire.errors import MalformedResponse
from skitai.wire.http1 import LAST_CHUNK, encode_chunk
from skitai.wire.http1_client import ResponseParser

if TYPE_CHECKING:
    from collections.abc import AsyncIterable

    from skitai.upstream.http.exchange import Exchange
    from skitai.wire.http1_client import ResponseHead

BAD_REQUEST = 400
_JOINED = 64 * 1024  # bytes of a body that are sent in one write with the head


class Pool(Protocol):
    """Who owns the connection."""

    def connection_free(self, connection: HttpConnection) -> None:
        """It can have another request."""

    def connection_gone(self, connection: HttpConnection) -> None:
        """It is closed."""


class HttpConnection(asyncio.Protocol):
    """A connection.

    Parameters:
        pool: its owner.
        loop: where it lives.
        name: of the member, for messages.
        max_head: bytes that the head of an answer may have.

    Attributes:
        idle_since: time of the loop at which it was free.
        open: it can still be used.
    """

    __slots__ = (
        "_exchange",
        "_loop",
        "_name",
        "_parser",
        "_paused",
        "_pool",
        "_refused",
        "_sender",
        "_switched",
        "_transport",
        "_unpaused",
        "idle_since",
        "open",
    )

    def __init__(
        self, pool: Pool, loop: asyncio.AbstractEventLoop, name: str, max_head: int
    ) -> None:
        # per connection
        self._pool = pool
        self._name = name
        self._loop = loop
        self._parser = ResponseParser(self, max_head)
        self._transport: Any = None
        self._unpaused: asyncio.Future[None] | None = None
        self.idle_since = 0.0
        self.open = False
        # per exchange
        self._exchange: Exchange | None = None
        self._paused = False
        self._refused = False  # the rest of the body was not sent
        self._sender: asyncio.Task[None] | None = None
        self._switched: bytes | None = None  # what came in the other protocol

    # -- for the pool

    def start(
        self,
        exchange: Exchange,
        head: bytes,
        headed: bool,
        body: bytes | AsyncIterable[bytes] | None,
        length: int | None,
        upgrade: str = "",
    ) -> None:
        """Send a request.

        Parameters:
            exchange: gets the answer.
            head: encoded.
            headed: the method is HEAD.
            body: of the request.
            length: bytes of a body in pieces, None when it is chunked.
            upgrade: the protocol that is asked for.
        """
        exchange.connection = self
        if not self.open or self._transport.is_closing():
            self._fail("the connection was closed", exchange)
            return
        self._exchange = exchange
        exchange.sent = True
        self._parser.expect(headed, upgrade)
        if body is None:
            self._transport.write(head)
        elif isinstance(body, bytes):
            if len(body) <= _JOINED:
                self._transport.write(head + body)
            else:
                self._transport.write(head)
                self._transport.write(body)
        else:
            self._transport.write(head)
            self._sender = self._loop.create_task(self._send(exchange, body, length))

    def abort(self) -> None:
        """Close it at once; the exchange on it ends."""
        self._fail("the connection was closed")

    def pause_reading(self) -> None:
        """The reader of the answer is slow."""
        if self.open and not self._paused:
            self._paused = True
            self._transport.pause_reading()

    def resume_reading(self) -> None:
        """It has caught up."""
        if self.open and self._paused:
            self._paused = False
            self._transport.resume_reading()

    def hand_over(self, protocol: asyncio.Protocol) -> tuple[Any, bytes]:
        """Let another one go on, after an answer 101.

        Returns the transport, whose reading is paused, and what has come of the other protocol.
        """
        assert self._switched is not None, "the answer was 101"
        self.open = False
        self._exchange = None
        self._transport.set_protocol(protocol)
        self._pool.connection_gone(self)
        return self._transport, self._switched

    def descriptor(self) -> int:
        """Of the socket, -1 if there is none any more."""
        number: int = self._transport.get_extra_info("socket").fileno()
        return number

    # -- asyncio.Protocol

    def connection_made(self, transport: Any) -> None:
        self._transport = transport
        self.open = True

    def data_received(self, data: bytes) -> None:
        exchange = self._exchange
        if self._switched is not None:
            self._switched += data
            return
        if exchange is None:
            self._close()  # nobody asked: what comes now can't be told from the next answer
            return
        exchange.answered = True
        try:
            self._parser.feed(data)
        except MalformedResponse as exc:
            self._fail(str(exc))

    def eof_received(self) -> None:
        if self._exchange is not None:
            try:
                self._parser.end()
            except MalformedResponse as exc:
                self._fail(str(exc))
        self._close()

    def connection_lost(self, exc: Exception | None) -> None:
        self.open = False
        self._fail(f"the connection was lost: {exc}" if exc else "the connection was closed")
        self.resume_writing()
        self._transport.abort()  # asyncio's TLS in Python 3.10 warns of what nobody closed
        self._pool.connection_gone(self)

    def pause_writing(self) -> None:
        self._unpaused = self._loop.create_future()

    def resume_writing(self) -> None:
        waiting, self._unpaused = self._unpaused, None
        if waiting is not None and not waiting.done():
            waiting.set_result(None)

    # -- skitai.wire.http1_client.ResponseSink

    def response_started(self, head: ResponseHead) -> None:
        if self._exchange is not None:
            if self._sender is not None and head.status >= BAD_REQUEST:
                self._stop_sending()  # RFC 9112, 9.5: it is likely to close soon
            self._exchange.started(head)

    def body_received(self, data: bytes) -> None:
        if self._exchange is not None:
            self._exchange.received(data)

    def switched(self, data: bytes) -> None:
        self._switched = data
        self.pause_reading()  # until somebody takes it over

    def response_ended(self, reusable: bool, trailers: list[tuple[str, str]]) -> None:
        exchange, self._exchange = self._exchange, None
        if exchange is None:
            return
        self._stop_sending()
        if reusable and self.open and not self._refused:
            if self._paused:
                self.resume_reading()  # else its end would not be seen while it is idle
            self.idle_since = self._loop.time()
            self._pool.connection_free(self)
        else:
            self._close()
        exchange.trailers = trailers
        exchange.finished()

    # -- the body of a request

    async def _send(
        self, exchange: Exchange, body: AsyncIterable[bytes], length: int | None
    ) -> None:
        """Send a body as fast as the upstream takes it."""
        pieces = aiter(body)
        try:
            await self._send_pieces(pieces, length)
            if self._exchange is exchange:
                self._sender = None
        except asyncio.CancelledError:
            raise
        except Exception as exc:
            if self._exchange is exchange:
                self._sender = None
                self._give_up(Failure(exc, STA_REQFAIL, True, 502, "Request Failed"))
        finally:
            close = getattr(pieces, "aclose", None)
            if close is not None:
                with contextlib.suppress(Exception):  # the exchange has its outcome
                    await close()

    async def _send_pieces(self, pieces: Any, length: int | None) -> None:
        left = length
        async for piece in pieces:
            if not self.open:
                return
            if not piece:
                continue
            if left is None:
                self._transport.write(encode_chunk(piece))
            else:
                left -= len(piece)
                if left < 0:
                    raise TaskError(f"the body of the request has more than {length} bytes")
                self._transport.write(piece)
            if self._unpaused is not None:
                await self._unpaused
        if left is None:
            self._transport.write(LAST_CHUNK)
        elif left > 0:
            raise TaskError(f"the body of the request has {left} bytes less than announced")

    # -- ends

    def _fail(self, reason: str, exchange: Exchange | None = None) -> None:
        exchange = exchange or self._exchange
        sent = exchange.sent if exchange is not None else False
        error = NetworkError(f"{self._name}: {reason}")
        self._give_up(network_failure(error, sent), exchange)

    def _give_up(self, failure: Failure, exchange: Exchange | None = None) -> None:
        exchange = exchange or self._exchange
        self._exchange = None
        self._stop_sending()
        self._close()
        if exchange is not None:
            exchange.failed(failure)

    def _stop_sending(self) -> None:
        if self._sender is not None:
            self._sender.cancel()
            self._sender = None
            self._refused = True  # the upstream would take a next request for the rest

    def _close(self) -> None:
        if self.open:
            self.open = False
            self._transport.abort()
