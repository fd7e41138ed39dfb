"""Passes an exchange on to an HTTP upstream and its answer back, piece by piece.

``was.ProxyPass`` uses it.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING
from urllib.parse import quote

from skitai.errors import HTTPError
from skitai.server.exchange import ClientGone
from skitai.server.representation import Head
from skitai.server.streaming import write
from skitai.tasks.errors import BAD_GATEWAY, Failure, mark_gateway
from skitai.tasks.status import STA_TIMEOUT
from skitai.upstream.http.proxy_headers import request_headers, response_headers
from skitai.upstream.http.request import HttpRequest
from skitai.upstream.http.target import has_dots
from skitai.wire.request import origin_form

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from skitai.server.exchange import Exchange
    from skitai.server.representation import Fields
    from skitai.upstream.http.exchange import HttpStream
    from skitai.upstream.place import Place

PIECE_SIZE = 64 * 1024
# An answer of so many bytes goes out in one piece with its head.
SHORT_BODY = 64 * 1024
# What a path may have unencoded behind decoding (RFC 3986, 3.3).
_PATH = "/:@!$&'()*+,;=~-._"


class Patience:
    """Gives up on an upstream after a time, which does not pass while the client is the slow one.

    Parameters:
        seconds: without an answer, counted from the last piece of a streamed body.
        give_up: called then, on the loop.
    """

    __slots__ = ("_give_up", "_seconds", "_timer")

    def __init__(self, seconds: float, give_up: Callable[[], object]) -> None:
        self._seconds = seconds
        self._give_up = give_up
        self._timer: asyncio.TimerHandle | None = None

    def start(self) -> None:
        """From now on the upstream is waited for."""
        self.stop()
        self._timer = asyncio.get_running_loop().call_later(self._seconds, self._give_up)

    def stop(self) -> None:
        """Nobody waits, or it is the client that is waited for."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None


async def open_relay(
    exchange: Exchange, place: Place, base: str, path: str | None, patience: Patience
) -> Relay:
    """Ask an upstream what the client has asked; gives what it begins to answer.

    Parameters:
        exchange: not answered yet.
        place: a service; another member is asked when one can't be reached.
        base: path before the target.
        path: decoded, instead of that of the request, whose query stays.
        patience: is started; who made it stops it.

    Raises ``HTTPError`` 400 for a path that would lead out of ``base``. Without an answer it raises
    what went wrong, marked as the fault of an upstream: clients get no more than 502, 503 or 504.
    """
    request = exchange.request
    if path is None:
        target = origin_form(request.target)
    else:
        target = "/" + quote(path.lstrip("/"), safe=_PATH)
        if request.query:
            target += f"?{request.query}"
    if has_dots(target):
        raise HTTPError(400, "the path has segments that lead elsewhere")
    patience.start()
    body, length = _body_of(exchange, patience)
    peer = exchange.channel.peer[0]
    sent = HttpRequest(
        request.method,
        base.rstrip("/") + target,
        request_headers(
            request.headers.items(),
            peer,
            exchange.channel.scheme,
            request.version,
            trusted=peer in exchange.channel.server.trusted,
        ),
        body,
        length,
    )
    try:
        return Relay(await place.cluster.use(lambda member: member.open(sent), sent.repeatable))
    except Failure as failure:
        mark_gateway(failure.error, failure.code if failure.status == STA_TIMEOUT else BAD_GATEWAY)
        raise failure.error from None


def _body_of(
    exchange: Exchange, patience: Patience
) -> tuple[bytes | AsyncIterator[bytes] | None, int | None]:
    """The request's body, whole or in pieces, and the length of these."""
    if exchange.input is not None:
        length = exchange.request.headers.get("content-length", "")
        return _blocks(exchange, patience), int(length) if length.isdecimal() else None
    body = exchange.body
    if body is None:
        return None, None
    if body.spool is None:
        return body.read(), None
    return _spooled(exchange), body.size


async def _blocks(exchange: Exchange, patience: Patience) -> AsyncIterator[bytes]:
    assert exchange.input is not None
    while True:
        patience.stop()
        block = await exchange.input.read(PIECE_SIZE)
        patience.start()
        if not block:
            return
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

        An answer that breaks off in the middle is broken off for the client too.
        """
        async with self._stream as stream:
            fields, length = response_headers(stream.headers)
            if stream.status == 204:
                length = None  # RFC 9110, 8.6
            head = Head(stream.status, "", [*fields, *(more or ())], length, stream.reason)
            if exchange.request.method == "HEAD":
                exchange.channel.respond(exchange, head, b"")
            elif length is not None and length <= SHORT_BODY:
                await self._send_short(exchange, head)
            else:
                await self._send_long(exchange, head)

    async def _send_short(self, exchange: Exchange, head: Head) -> None:
        try:
            body = b"".join([piece async for piece in self._stream])
        except Failure as failure:
            mark_gateway(failure.error, BAD_GATEWAY)
            raise failure.error from None
        # Not by the exchange: this is the form that the upstream has chosen.
        exchange.channel.respond(exchange, head, body)

    async def _send_long(self, exchange: Exchange, head: Head) -> None:
        exchange.start(head)
        try:
            async for piece in self._stream:
                await write(exchange, piece)
        except Failure as failure:
            exchange.crash(failure.error)
            raise ClientGone from failure.error
        exchange.end()
