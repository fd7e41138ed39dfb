"""HTTP/3 for the test client: `skitai.testing.adapters` over aioquic.

The client imports it at first use. A service is asked over HTTPS first for the port of its HTTP/3.
"""

from __future__ import annotations

import asyncio
import re
import ssl
import threading
from contextlib import AsyncExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import requests
from aioquic.asyncio.client import connect
from aioquic.asyncio.protocol import QuicConnectionProtocol
from aioquic.h3.connection import H3_ALPN, H3Connection
from aioquic.h3.events import DataReceived, HeadersReceived
from aioquic.quic.configuration import QuicConfiguration
from aioquic.quic.events import ConnectionTerminated, StreamReset

from skitai.testing.adapters import Answered, LoopAdapter
from skitai.testing.sessions import HttpSession

if TYPE_CHECKING:
    from urllib.parse import SplitResult

    from aioquic.h3.events import H3Event
    from aioquic.quic.events import QuicEvent

    from skitai.testing.adapters import Asked, Cert, Verify

    Key = tuple[str, Verify, Cert]

TLS_ERRORS = range(0x100, 0x200)  # RFC 9001, 4.8
_ANNOUNCED = re.compile(r'\bh3="(?P<host>[^":]*):(?P<port>\d+)"')  # RFC 7838, 3


class Http3Adapter(LoopAdapter):
    """Speaks HTTP/3 to the port that ``Alt-Svc`` names, over one connection to each server."""

    def __init__(self) -> None:
        super().__init__()
        self._places: dict[str, tuple[str, int]] = {}
        self._asking = threading.Lock()
        self._connections: dict[Key, _Connection] = {}
        self._connecting: dict[Key, asyncio.Lock] = {}

    def prepare(self, asked: Asked) -> None:
        """Find out where HTTP/3 is. Raises ``requests.ConnectionError`` if nothing is announced."""
        url = urlsplit(asked.url)
        if url.scheme != "https":
            raise requests.ConnectionError(
                f"{asked.url}: HTTP/3 is never without TLS: give ssl=True to test_client"
            )
        with self._asking:
            if url.netloc in self._places:
                return
            with HttpSession() as session:
                answer = session.head(
                    f"https://{url.netloc}/",
                    timeout=asked.timeout,
                    verify=asked.verify,
                    cert=asked.cert,
                    allow_redirects=False,
                )
            found = _ANNOUNCED.search(answer.headers.get("Alt-Svc", ""))
            if found is None:
                raise requests.ConnectionError(
                    f"https://{url.netloc} announces no HTTP/3 in Alt-Svc: a service of skitai "
                    "does with quic= and enable_ssl"
                )
            self._places[url.netloc] = (found["host"] or str(url.hostname), int(found["port"]))

    async def exchange(self, asked: Asked) -> Answered:
        """Send a request, and read the answer. Raises ``requests.RequestException``."""
        url = urlsplit(asked.url)
        key = (url.netloc, asked.verify, asked.cert)
        async with self._connecting.setdefault(key, asyncio.Lock()):
            connection = self._connections.get(key)
            if connection is not None and connection.terminated:
                await connection.opened.aclose()
            if connection is None or connection.terminated:
                connection = self._connections[key] = await self._connect(asked, url)
        reply = connection.ask(asked, url)
        try:
            while not reply.ended:
                reply.changed.clear()
                await asyncio.wait_for(reply.changed.wait(), asked.timeout[1])
        except asyncio.TimeoutError:
            raise requests.ReadTimeout(f"{asked.url}: nothing came in time") from None
        finally:
            connection.leave(reply)
        if reply.failure:
            raise requests.ConnectionError(f"{asked.url} over HTTP/3: {reply.failure}")
        return Answered(reply.status, reply.fields, bytes(reply.body), 30)

    async def disconnect(self) -> None:
        """Close all connections."""
        for connection in self._connections.values():
            await connection.opened.aclose()

    async def _connect(self, asked: Asked, url: SplitResult) -> _Connection:
        host, port = self._places[url.netloc]
        made: list[_Connection] = []
        opened = AsyncExitStack()

        def make(*args: Any, **options: Any) -> _Connection:
            made.append(_Connection(*args, **options))
            return made[0]

        opening = connect(
            host, port, configuration=_configuration(asked, url), create_protocol=make
        )
        try:
            await asyncio.wait_for(opened.enter_async_context(opening), asked.timeout[0])
        except asyncio.TimeoutError:
            raise requests.ConnectTimeout(f"{asked.url}: no QUIC connection in time") from None
        except OSError as exc:
            end = made[0].terminated if made else None
            if end is not None and end.error_code in TLS_ERRORS:
                raise requests.exceptions.SSLError(f"{asked.url}: {end.reason_phrase}") from exc
            why = end.reason_phrase if end is not None else exc
            raise requests.ConnectionError(f"{asked.url}: no QUIC connection: {why}") from exc
        made[0].opened = opened
        return made[0]


class _Reply:
    """What has come on one stream.

    Attributes:
        ended: it is complete, or will not be: then ``failure`` says why.
        changed: something has come.
    """

    def __init__(self, stream: int, method: str) -> None:
        self.stream = stream
        self.method = method
        self.status = 0
        self.fields: list[tuple[str, str]] = []
        self.body = bytearray()
        self.ended = False
        self.failure = ""
        self.changed = asyncio.Event()

    def take(self, event: DataReceived | HeadersReceived) -> None:
        if isinstance(event, DataReceived):
            self.body += event.data
        elif not self.fields:  # else they are trailers
            fields = [(name.decode(), value.decode("latin-1")) for name, value in event.headers]
            status = int(dict(fields)[":status"])
            if status >= 200:
                self.status = status
                self.fields = [pair for pair in fields if not pair[0].startswith(":")]
        if event.stream_ended:
            length = dict(self.fields).get("content-length", str(len(self.body)))
            if length != str(len(self.body)) and self.method != "HEAD" and self.status != 304:
                self.fail(f"{len(self.body)} bytes came of {length}")
            self.ended = True
        self.changed.set()

    def fail(self, why: str) -> None:
        if not self.ended:
            self.ended, self.failure = True, why
        self.changed.set()


class _Http(H3Connection):
    def _check_content_length(self, stream: Any) -> None:
        """aioquic would take answers to HEAD and 304 for broken, which have a length and no data
        (RFC 9110, 8.6). `_Reply` checks it.
        """


class _Connection(QuicConnectionProtocol):
    """A connection with its requests.

    Attributes:
        opened: what closes it.
        terminated: how it has ended.
    """

    opened: AsyncExitStack

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self._http = _Http(self._quic)
        self._replies: dict[int, _Reply] = {}
        self.terminated: ConnectionTerminated | None = None

    def ask(self, asked: Asked, url: SplitResult) -> _Reply:
        """Send a request; what will come."""
        stream = self._quic.get_next_available_stream_id()
        reply = self._replies[stream] = _Reply(stream, asked.method)
        fields = dict(asked.fields)
        head = {
            ":method": asked.method,
            ":scheme": url.scheme,
            ":authority": fields.pop("host", url.netloc.rpartition("@")[2]),
            ":path": (url.path or "/") + (f"?{url.query}" if url.query else ""),
            **fields,
        }
        encoded = [(name.encode(), value.encode("latin-1")) for name, value in head.items()]
        self._http.send_headers(stream, encoded, not asked.body)
        if asked.body:
            self._http.send_data(stream, asked.body, True)
        self.transmit()
        return reply

    def leave(self, reply: _Reply) -> None:
        """Nobody waits for it any more."""
        del self._replies[reply.stream]
        if not reply.ended and self.terminated is None:
            self._quic.stop_stream(reply.stream, 0x10C)  # RFC 9114, 8.1: cancelled
            self.transmit()

    def quic_event_received(self, event: QuicEvent) -> None:
        """What aioquic calls."""
        if isinstance(event, ConnectionTerminated):
            self.terminated = event
            why = event.reason_phrase or f"the connection has ended ({event.error_code:#x})"
            for reply in self._replies.values():
                reply.fail(why)
        elif isinstance(event, StreamReset) and event.stream_id in self._replies:
            self._replies[event.stream_id].fail(f"the service broke off ({event.error_code:#x})")
        for http_event in self._http.handle_event(event):
            self._take(http_event)

    def _take(self, event: H3Event) -> None:
        if isinstance(event, (DataReceived, HeadersReceived)) and event.stream_id in self._replies:
            self._replies[event.stream_id].take(event)


def _configuration(asked: Asked, url: SplitResult) -> QuicConfiguration:
    configuration = QuicConfiguration(
        is_client=True, alpn_protocols=H3_ALPN, server_name=url.hostname
    )
    if asked.verify is False:
        configuration.verify_mode = ssl.CERT_NONE
    elif isinstance(asked.verify, str):
        folder = Path(asked.verify).is_dir()
        configuration.load_verify_locations(
            cafile=None if folder else asked.verify, capath=asked.verify if folder else None
        )
    if asked.cert is not None:
        configuration.load_cert_chain(
            *((asked.cert,) if isinstance(asked.cert, str) else asked.cert)
        )
    return configuration
