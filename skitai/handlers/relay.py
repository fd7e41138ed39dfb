"""Passes an exchange on to an HTTP upstream and its answer back, piece by piece.

``was.ProxyPass`` and mounted aliases use it.
"""

from __future__ import annotations

import asyncio
import sys
from typing import TYPE_CHECKING
from urllib.parse import quote

from skitai.errors import HTTPError
from skitai.handlers.splice import handshake_fields, splice
from skitai.server.exchange import ClientGone
from skitai.server.representation import Head
from skitai.server.streaming import write
from skitai.tasks.errors import (
    BAD_GATEWAY,
    GATEWAY_TIMEOUT,
    Failure,
    OperationTimeout,
    mark_gateway,
)
from skitai.tasks.status import STA_TIMEOUT
from skitai.tasks.task import EXPIRED
from skitai.upstream.http.proxy_headers import request_headers, response_headers
from skitai.upstream.http.request import HttpRequest
from skitai.upstream.http.target import has_dots
from skitai.wire.request import origin_form

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from skitai.server.exchange import Exchange
    from skitai.server.representation import Fields
    from skitai.upstream.http.exchange import HttpStream
    from skitai.upstream.place import Place

PIECE_SIZE = 64 * 1024
# An answer of so many bytes goes out in one piece with its head; a request's body is awaited, so
# that the request can go to another member.
SHORT_BODY = 64 * 1024
# What a path may have unencoded behind decoding (RFC 3986, 3.3).
_PATH = "/:@!$&'()*+,;=~-._"


class Patience:
    """Gives up on an upstream after a time, which does not pass while the client is the slow one.

    Made in the task that waits. That is cancelled, as who waits for a connection, or watches a
    member, has to know why it ends.

    Parameters:
        seconds: without an answer, counted from the last piece of a streamed body.

    Attributes:
        expired: it has given up.
    """

    __slots__ = ("_loop", "_seconds", "_task", "_timer", "expired")

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._loop = asyncio.get_running_loop()
        self._task = asyncio.current_task()
        self._timer: asyncio.TimerHandle | None = None
        self.expired = False

    def start(self) -> None:
        """From now on the upstream is waited for."""
        self.stop()
        if self._task is not None:
            self._timer = self._loop.call_later(self._seconds, self._give_up)

    def stop(self) -> None:
        """It is the client that is waited for."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def close(self) -> None:
        """Nobody waits any more."""
        self.stop()
        self._task = None

    def _give_up(self) -> None:
        self.expired = True  # the message of the cancellation gets lost between tasks in 3.10
        if self._task is not None:
            self._task.cancel(EXPIRED)


def target_of(exchange: Exchange, path: str | None) -> str:
    """Path and query to ask an upstream for.

    Parameters:
        path: decoded, instead of that of the request, whose query stays.
    """
    request = exchange.request
    if path is None:
        return origin_form(request.target)
    target = "/" + quote(path.lstrip("/"), safe=_PATH)
    return f"{target}?{request.query}" if request.query else target


async def open_relay(
    exchange: Exchange,
    place: Place,
    target: str,
    timeout: float,
    max_body: int | None = None,
    keep_host: bool = False,
) -> Relay:
    """Ask an upstream what the client has asked; gives what it begins to answer.

    Parameters:
        exchange: not answered yet.
        place: a service; another member is asked when one can't be reached.
        target: path and query, percent-encoded, behind the base path of a member.
        timeout: seconds until the upstream begins to answer; they do not pass while a streamed
            body is waited for.
        max_body: bytes that a streamed body may have; None for no limit.
        keep_host: send the client's ``Host`` instead of the member's.

    Raises ``HTTPError`` 400 for a target that would lead out of its base, and for a body that the
    client does not complete; 413 for one that is too large. Without an answer it raises what went
    wrong, marked as the fault of an upstream: clients get no more than 502, 503 or 504.
    """
    if has_dots(target):
        raise HTTPError(400, "the path has segments that lead elsewhere")
    patience = Patience(timeout)
    try:
        body, length = await _body_of(exchange, patience, max_body)
        sent = make_request(exchange, target, keep_host, body, length)
        patience.start()
        stream = await place.cluster.use(lambda member: member.open(sent), sent.repeatable)
        return Relay(stream)
    except Failure as failure:
        error = failure.error
        if not isinstance(error, HTTPError):  # that is the fault of the client's body
            mark_gateway(error, failure.code if failure.status == STA_TIMEOUT else BAD_GATEWAY)
        raise error from None
    except asyncio.CancelledError:
        if not patience.expired or exchange.gone:
            raise
        if sys.version_info >= (3, 11):
            _uncancel()
        expired = OperationTimeout(f"{place.name} has not answered for {timeout:g} s")
        mark_gateway(expired, GATEWAY_TIMEOUT)
        raise expired from None
    finally:
        patience.close()


def make_request(
    exchange: Exchange,
    target: str,
    keep_host: bool,
    body: bytes | AsyncIterator[bytes] | None = None,
    length: int | None = None,
) -> HttpRequest:
    """What an upstream is asked for an exchange; parameters: see ``open_relay``."""
    request, channel = exchange.request, exchange.channel
    peer = channel.peer[0]
    headers = request_headers(
        request.headers, peer, channel.scheme, request.version, keep_host,
        peer in channel.server.trusted,
    )  # fmt: skip
    protocol = request.protocol
    if protocol:
        headers = handshake_fields(request, headers)
    return HttpRequest(request.method, target, headers, body, length, upgrade=protocol)


def _uncancel() -> None:
    task = asyncio.current_task()
    if task is not None and sys.version_info >= (3, 11):
        task.uncancel()


async def _body_of(
    exchange: Exchange, patience: Patience, limit: int | None
) -> tuple[bytes | AsyncIterator[bytes] | None, int | None]:
    """The request's body, whole or in pieces, and the length of these."""
    if exchange.input is not None:
        text = exchange.request.headers.get("content-length", "")
        length = int(text) if text.isdecimal() else None
        first = b""
        if length is not None and length <= SHORT_BODY:
            first = await exchange.input.read(length or 1)
            if len(first) == length:
                return first, length
        return _blocks(exchange, patience, first, limit), length
    body = exchange.body
    if body is None:
        return None, None
    if body.spool is None:
        return body.read(), None
    return _spooled(exchange), body.size


async def _blocks(
    exchange: Exchange, patience: Patience, first: bytes, limit: int | None
) -> AsyncIterator[bytes]:
    assert exchange.input is not None
    if first:
        yield first
    size = len(first)
    while True:
        patience.stop()
        block = await exchange.input.read(PIECE_SIZE)
        patience.start()
        if not block:
            return
        size += len(block)
        if limit is not None and size > limit:
            raise HTTPError(413, f"the body is larger than {limit} bytes")
        yield block


async def _spooled(exchange: Exchange) -> AsyncIterator[bytes]:
    assert exchange.body is not None
    with exchange.body.open() as file:
        while piece := file.read(PIECE_SIZE):
            yield piece


class Relay:
    """An answer of an upstream on its way to the client.

    Parameters:
        stream: its head has come.
    """

    __slots__ = ("_stream",)

    def __init__(self, stream: HttpStream) -> None:
        self._stream = stream

    def close(self) -> None:
        """Free the connection of an answer that nobody wants any more."""
        self._stream.close()

    async def send(self, exchange: Exchange, more: Fields | None = None) -> None:
        """Answer the exchange; ``more`` are headers beside those of the upstream.

        An answer that breaks off in the middle is broken off for the client too. After 101 both go
        on in the other protocol, when this has returned.
        """
        stream = self._stream
        try:
            status = stream.status
            fields, length = response_headers(stream.headers)
            if more:
                fields += more
            if status == 101:
                self._switch(exchange, fields)
                return
            if status == 204:
                length = None  # RFC 9110, 8.6
            head = Head(status, "", fields, length, stream.reason)
            if exchange.request.method == "HEAD":
                exchange.channel.respond(exchange, head, b"")
            elif length is not None and length <= SHORT_BODY:
                await self._send_short(exchange, head)
            else:
                await self._send_long(exchange, head)
        finally:
            stream.close()

    async def _send_short(self, exchange: Exchange, head: Head) -> None:
        stream = self._stream
        try:
            body = await stream.read()
            while not stream.ended:
                body += await stream.read()
        except Failure as failure:
            mark_gateway(failure.error, BAD_GATEWAY)
            raise failure.error from None
        # Not by the exchange: this is the form that the upstream has chosen.
        exchange.channel.respond(exchange, head, body)

    async def _send_long(self, exchange: Exchange, head: Head) -> None:
        stream = self._stream
        exchange.start(head)
        try:
            while data := await stream.read():
                await write(exchange, data)
        except Failure as failure:
            if isinstance(failure.error, HTTPError):  # that is the fault of the client's body
                exchange.abort()
            else:
                exchange.crash(failure.error)
            raise ClientGone from failure.error
        exchange.end(_trailers(exchange, stream))

    def _switch(self, exchange: Exchange, fields: Fields) -> None:
        try:
            splice(exchange, self._stream, fields)
        except Failure as failure:
            mark_gateway(failure.error, BAD_GATEWAY)
            raise failure.error from None


def _trailers(exchange: Exchange, stream: HttpStream) -> Fields | None:
    """What came behind the body, for a client that takes it (RFC 9110, 6.5.1)."""
    if not stream.trailers:
        return None
    request = exchange.request
    accepts = request.version >= "2" or "trailers" in request.headers.get("te", "").lower()
    return response_headers(stream.trailers)[0] if accepts else None
