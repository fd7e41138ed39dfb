"""``HttpBackend``: the connections to one member of an HTTP alias, and requests on them.

Lives on the worker's loop. ``call`` is for stubs: a whole answer. ``open`` is for proxies: bodies
are streamed both ways. Redirects are answers like others, nothing follows them.
"""

from __future__ import annotations

import asyncio
import ipaddress
import re
import select
from base64 import b64encode
from typing import TYPE_CHECKING, TypeVar
from urllib.parse import quote

from skitai.errors import ConfigError
from skitai.tasks.errors import Failure, NetworkError, network_failure, request_failure
from skitai.upstream.http.connecting import CONNECT_SECONDS, Connector
from skitai.upstream.http.connection import HttpConnection
from skitai.upstream.http.content import accepted_codings, decompress
from skitai.upstream.http.exchange import Collector, Exchange, HttpStream
from skitai.upstream.http.reply import HttpReply
from skitai.upstream.slots import Slots
from skitai.wire.http1_client import MAX_HEAD, encode_request

if TYPE_CHECKING:
    from collections.abc import Callable

    from skitai.upstream.http.request import HttpRequest
    from skitai.upstream.interface import Member

ExchangeT = TypeVar("ExchangeT", bound=Exchange)

MAX_CONNECTIONS = 32
MAX_IDLE = 256  # connections that are kept where their number has no limit
IDLE_SECONDS = 300.0
STALL_SECONDS = 60.0
MAX_RESPONSE = 64 * 1024 * 1024
_DEFAULT_PORTS = {False: 80, True: 443}
_HOST = re.compile(r"[A-Za-z0-9._~-]+")


class HttpBackend:
    """A server that is asked over HTTP/1.1.

    Parameters:
        member: of the alias; its ``path`` stands before the target of each request.
        max_conns: connections at the same time, 0 for no limit.
        verify: certificates are checked with the authorities of the system (True), with those in
            this file or directory, or not at all (False).
        max_response: bytes that the body of an answer to ``call`` may have, compressed or not.
        max_head: bytes that the head of an answer may have.
        idle_seconds: how long an unused connection is kept.
        stall_seconds: how long the upstream may be silent in the middle of a streamed body.
        connect_seconds: for making a connection.

    Raises ``ConfigError`` for a ``verify`` that isn't there, and a host that is no name.
    """

    def __init__(
        self,
        member: Member,
        max_conns: int = MAX_CONNECTIONS,
        verify: bool | str = True,
        max_response: int = MAX_RESPONSE,
        max_head: int = MAX_HEAD,
        idle_seconds: float = IDLE_SECONDS,
        stall_seconds: float = STALL_SECONDS,
        connect_seconds: float = CONNECT_SECONDS,
    ) -> None:
        host = _ascii_host(member.host)
        field = f"[{host.partition('%')[0]}]" if ":" in host else host
        if member.port != _DEFAULT_PORTS[member.tls]:
            field += f":{member.port}"
        base = quote(member.path.strip("/"), safe="/%:@!$&'()*+,;=~")
        self._name = f"{host}:{member.port}"
        self._base = f"/{base}" if base else ""
        self._url = f"{'https' if member.tls else 'http'}://{field}"
        self._defaults = _default_fields(member, field)
        self._raw_defaults = [known for known in self._defaults if known[0] != "accept-encoding"]
        self._connector = Connector(host, member.port, member.tls, verify, connect_seconds)
        self._max_response = max_response
        self._max_head = max_head
        self._idle_seconds = idle_seconds
        self._stall_seconds = stall_seconds
        self._max_kept = max_conns or MAX_IDLE
        self._slots = Slots(max_conns, member.name)
        self._loop = asyncio.get_running_loop()
        self._idle: dict[HttpConnection, None] = {}  # the one that was used last is last
        self._connections: set[HttpConnection] = set()
        self._sweep: asyncio.TimerHandle | None = None
        self._closed = False
        self._emptied: asyncio.Future[None] | None = None

    @property
    def busy(self) -> int:
        """Requests that run or wait here."""
        return self._slots.busy

    @property
    def connections(self) -> int:
        """Open connections, used or not."""
        return len(self._connections)

    async def call(self, request: HttpRequest) -> HttpReply:
        """Ask, and take the whole answer.

        A status of 300 or more is an answer too: ``reply.error`` says what ``fetch`` raises.

        Raises ``Failure``: the upstream can't be reached, broke off, or says what isn't HTTP
        (``NetworkError``); the request can't be sent as it is (``ValueError``); the answer is too
        large (``ResponseTooLarge``) or compressed in a way that can't be read (``ContentError``).
        """
        target = self._base + request.target
        head = self._encode(request, target, self._defaults)
        await self._slots.acquire()
        try:
            exchange = await self._perform(request, head, lambda: Collector(self._max_response))
        finally:
            self._slots.release()
        answer = exchange.head
        assert answer is not None, "it was waited for"
        body = exchange.body
        if body and (coding := _coding(answer.fields)):
            body = await decompress(body, coding, self._max_response)
        reply = HttpReply(answer, body, self._url + target)
        if request.decode is not None and reply.error is None:
            await reply.settle(request.decode)
        return reply

    async def open(self, request: HttpRequest) -> HttpStream:
        """Ask, and return the answer as soon as its head is there.

        The caller reads the stream to its end, or closes it. Nothing is decompressed, and
        ``Accept-Encoding`` has no default. A request for another protocol has a connection of its
        own, which does not count for ``max_conns``: it lasts as long as the client stays. When its
        answer is 101 the caller takes that over, see ``HttpStream.hand_over``.

        Raises ``Failure`` as ``call`` does.
        """
        target = self._base + request.target
        head = self._encode(request, target, self._raw_defaults)
        if request.upgrade:
            stream = HttpStream(self._stall_seconds)
            await _ask(await self._connect(), request, head, stream)
            return stream
        await self._slots.acquire()
        try:
            stream = await self._perform(request, head, lambda: HttpStream(self._stall_seconds))
        except BaseException:
            self._slots.release()
            raise
        if stream.ended or stream.failure is not None:
            self._slots.release()
        else:
            stream.on_end = self._slots.release
        return stream

    @property
    def ready(self) -> bool:
        """A connection is free, so that ``begin`` has one."""
        return bool(self._idle) and self._slots.free

    def begin(self, request: HttpRequest, stream: HttpStream) -> None:
        """``open`` without waiting, on a free connection; it may be closed in the same moment.

        Parameters:
            request: may be repeated.
            stream: is told what comes, also that it has failed.

        Raises ``Failure`` when the request can't be sent as it is.
        """
        head = self._encode(request, self._base + request.target, self._raw_defaults)
        connection = self._take(careful=False)
        if connection is None:
            stream.failed(network_failure(NetworkError(f"{self._name} has closed"), False))
            return
        self._slots.held += 1
        stream.on_end = self._slots.release
        headed = request.method == "HEAD"
        connection.start(stream, head, headed, request.body, request.length)

    async def close(self) -> None:
        """Close all connections; what still runs fails."""
        self._closed = True
        self._max_kept = 0
        if self._sweep is not None:
            self._sweep.cancel()
            self._sweep = None
        for connection in list(self._connections):
            connection.abort()
        while self._connections:
            if self._emptied is None:
                self._emptied = self._loop.create_future()
            await asyncio.shield(self._emptied)

    # -- one request

    def _encode(
        self, request: HttpRequest, target: str, defaults: list[tuple[str, str, str]]
    ) -> bytes:
        try:
            return encode_request(
                request.method,
                target,
                request.headers,
                defaults,
                request.body_length,
                request.upgrade,
            )
        except (TypeError, ValueError) as exc:
            raise request_failure(exc) from exc

    async def _perform(
        self, request: HttpRequest, head: bytes, make: Callable[[], ExchangeT]
    ) -> ExchangeT:
        """Return the exchange that ``make`` made, when it has what it needs.

        A connection that was open before may be closed by the server in the moment it is used
        again. A request that may be repeated is, once, and on a new connection (RFC 9112, 9.3.1).
        """
        repeatable = request.repeatable
        connection = self._take(careful=not repeatable)
        if connection is not None:
            exchange = make()
            try:
                await _ask(connection, request, head, exchange)
                return exchange
            except Failure as exc:
                if exc.sent and (exchange.answered or not repeatable):
                    raise
        exchange = make()
        await _ask(await self._connect(), request, head, exchange)
        return exchange

    # -- connections

    def _take(self, careful: bool) -> HttpConnection | None:
        """An idle connection; ``careful``: not one whose end waits to be read."""
        while self._idle:
            connection, _ = self._idle.popitem()
            if not connection.open:
                continue
            if careful and _is_readable(connection):
                connection.abort()
                continue
            return connection
        return None

    async def _connect(self) -> HttpConnection:
        self._check_open()
        connection = await self._connector.connect(self._make)
        try:
            self._check_open()
        except Failure:
            connection.abort()
            raise
        # Not before: uvloop tells the end only of connections that it has handed out.
        if connection.open:
            self._connections.add(connection)
        return connection

    def _check_open(self) -> None:
        if self._closed:
            raise network_failure(NetworkError(f"{self._name}: the service stops"), False)

    def _make(self) -> HttpConnection:
        return HttpConnection(self, self._loop, self._name, self._max_head)

    def _drop_idle(self) -> None:
        """Close what was not used for long; called when the oldest one is due."""
        self._sweep = None
        due = self._loop.time() - self._idle_seconds
        for connection in list(self._idle):
            if connection.idle_since > due:
                when = connection.idle_since + self._idle_seconds
                self._sweep = self._loop.call_at(when, self._drop_idle)
                return
            del self._idle[connection]
            connection.abort()

    # -- skitai.upstream.http.connection.Pool

    def connection_free(self, connection: HttpConnection) -> None:
        if len(self._idle) >= self._max_kept:
            connection.abort()
            return
        self._idle[connection] = None
        if self._sweep is None:
            self._sweep = self._loop.call_later(self._idle_seconds, self._drop_idle)

    def connection_gone(self, connection: HttpConnection) -> None:
        self._idle.pop(connection, None)
        self._connections.discard(connection)
        if not self._connections and self._emptied is not None and not self._emptied.done():
            self._emptied.set_result(None)


async def _ask(
    connection: HttpConnection, request: HttpRequest, head: bytes, exchange: Exchange
) -> None:
    headed = request.method == "HEAD"
    connection.start(exchange, head, headed, request.body, request.length, request.upgrade)
    try:
        await exchange.ready()
    except BaseException:
        exchange.break_off()
        raise


def _is_readable(connection: HttpConnection) -> bool:
    """Whether something came while nothing was asked: most likely the end.

    PERF: not done for what may be repeated: it takes 1 us of 18 us a call.
    """
    descriptor = connection.descriptor()
    if descriptor < 0:
        return True
    watch = select.poll()
    watch.register(descriptor, select.POLLIN)
    return bool(watch.poll(0))


def _coding(fields: list[tuple[str, str]]) -> str:
    """The value of Content-Encoding, empty when there is none."""
    values = [
        value for name, value in fields if len(name) == 16 and name.lower() == "content-encoding"
    ]
    return ", ".join(values)


def _default_fields(member: Member, host: str) -> list[tuple[str, str, str]]:
    fields = [
        ("host", "Host", host),
        ("user-agent", "User-Agent", "skitai"),
        ("accept-encoding", "Accept-Encoding", accepted_codings()),
    ]
    if member.user is not None:
        fields.append(("authorization", "Authorization", basic(member.user, member.password)))
    return fields


def basic(user: str, password: str | None) -> str:
    """The value of ``Authorization`` for a user (RFC 7617)."""
    return "Basic " + b64encode(f"{user}:{password or ''}".encode()).decode("ascii")


def _ascii_host(host: str) -> str:
    """The host as resolvers and certificates have it. Raises ``ConfigError``."""
    name = host.strip("[]")
    try:
        if ":" in name:
            return str(ipaddress.IPv6Address(name))
        name = name if name.isascii() else name.encode("idna").decode("ascii")
    except ValueError:
        name = ""
    if not _HOST.fullmatch(name):
        raise ConfigError(f"{host!r} is not the name or address of a server")
    return name
