"""Passes an exchange on to an HTTP upstream and its answer back, piece by piece.

``was.ProxyPass`` uses it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import quote

from skitai.server.exchange import ClientGone
from skitai.server.representation import Head
from skitai.server.streaming import write
from skitai.tasks.errors import BAD_GATEWAY, Failure, mark_gateway
from skitai.tasks.status import STA_TIMEOUT
from skitai.upstream.http.proxy_headers import request_headers, response_headers
from skitai.upstream.http.request import HttpRequest

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from skitai.server.exchange import Exchange
    from skitai.server.representation import Fields
    from skitai.upstream.http.exchange import HttpStream
    from skitai.upstream.place import Place

PIECE_SIZE = 64 * 1024
# An answer of so many bytes goes out in one piece with its head.
SHORT_BODY = 64 * 1024
# What a path may have unencoded behind decoding (RFC 3986, 3.3).
_PATH = "/:@!$&'()*+,;=~-._"


async def open_relay(exchange: Exchange, place: Place, base: str, path: str | None = None) -> Relay:
    """Ask an upstream what the client has asked; gives what it begins to answer.

    Parameters:
        exchange: not answered yet.
        place: a service; another member is asked when one can't be reached.
        base: path before the target.
        path: decoded, instead of that of the request, whose query stays.

    Raises what went wrong when there is no answer, marked as the fault of an upstream; a client is
    not told more than 502, 503 or 504.
    """
    request = exchange.request
    if path is None:
        target = request.target if request.target.startswith("/") else request.path
    else:
        target = "/" + quote(path.lstrip("/"), safe=_PATH)
        if request.query:
            target += f"?{request.query}"
    body, length = _body_of(exchange)
    sent = HttpRequest(
        request.method,
        base.rstrip("/") + target,
        request_headers(
            request.headers.items(),
            exchange.channel.peer[0],
            exchange.channel.scheme,
            request.version,
        ),
        body,
        length,
    )
    try:
        return Relay(await place.cluster.use(lambda member: member.open(sent), sent.repeatable))
    except Failure as failure:
        mark_gateway(failure.error, failure.code if failure.status == STA_TIMEOUT else BAD_GATEWAY)
        raise failure.error from None


def _body_of(exchange: Exchange) -> tuple[bytes | AsyncIterator[bytes] | None, int | None]:
    """The request's body, whole or in pieces, and the length of these."""
    if exchange.input is not None:
        length = exchange.request.headers.get("content-length", "")
        return _blocks(exchange), int(length) if length.isdecimal() else None
    body = exchange.body
    if body is None:
        return None, None
    if body.spool is None:
        return body.read(), None
    return _spooled(exchange), body.size


async def _blocks(exchange: Exchange) -> AsyncIterator[bytes]:
    assert exchange.input is not None
    while block := await exchange.input.read(PIECE_SIZE):
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

    async def send(self, exchange: Exchange, more: Fields | None = None) -> None:
        """Answer the exchange; ``more`` are headers beside those of the upstream.

        An answer that breaks off in the middle is broken off for the client too.
        """
        stream = self._stream
        fields, length = response_headers(stream.headers)
        head = Head(stream.status, "", [*fields, *(more or ())], length, stream.reason)
        async with stream:
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
