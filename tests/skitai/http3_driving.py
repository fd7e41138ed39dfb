"""An HTTP/3 server in this process on a real UDP socket, and aioquic's client for it.

with Http3Serving(app, tmp_path) as serving:
    async def talk():
        async with serving.client() as client:
            assert (await client.get("/")).body == b"hello"
    asyncio.run(talk())
"""

from __future__ import annotations

import asyncio
import os
import ssl
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from aioquic.asyncio.client import connect
from aioquic.asyncio.protocol import QuicConnectionProtocol
from aioquic.h3 import events as h3_events
from aioquic.h3.connection import H3Connection
from aioquic.quic import events
from aioquic.quic.configuration import QuicConfiguration
from certificates import make_certificates
from serving import PATIENCE, Serving

from skitai.net.udp import UdpPort
from skitai.server.http3.listener import Http3Listener
from skitai.wire.http3.identity import load_identity

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from pathlib import Path


class LonelyBus:
    """A bus with this worker only, or with others that the test plays.

    Attributes:
        sent: what was sent to others: worker, channel, data.
    """

    def __init__(self, worker: int = 0) -> None:
        self.worker = worker or os.getpid()
        self.others: list[int] = []
        self.sent: list[tuple[int, str, bytes]] = []
        self.receive: Callable[[bytes], object]

    def workers(self) -> list[int]:
        return self.others

    def subscribe(self, channel: str, receive: Callable[[bytes], object]) -> None:
        self.receive = receive

    def send(self, worker: int, channel: str, data: bytes) -> None:
        self.sent.append((worker, channel, data))


class Http3Serving(Serving):
    """``Serving`` with HTTP/3 beside it.

    Parameters:
        directory: for certificates.
        port: a bound port to take the first socket of; default: a new one.
        bus: default: a lonely one.
    """

    def __init__(
        self,
        app: Any,
        directory: Path,
        *,
        port: UdpPort | None = None,
        slot: int = 0,
        bus: Any = None,
        workers: int = 1,
        **options: Any,
    ) -> None:
        super().__init__(app, **options)
        self._directory = directory
        self.bus = bus or LonelyBus()
        self._own_port = port is None
        self.port = port or UdpPort("127.0.0.1", 0, 1)
        self._slot, self._workers = slot, workers

    def __enter__(self) -> Http3Serving:
        self.ca_file = self._directory / "ca.pem"
        if not self.ca_file.exists():
            make_certificates(self._directory)
        super().__enter__()
        self.on_loop(self._start_http3)
        return self

    def __exit__(self, *reason: object) -> None:
        drain = self.server.drain

        async def drain_all(timeout: float) -> bool:
            self.listener.close()
            done = await drain(timeout)
            self.listener.stop()
            return done

        self.server.drain = drain_all  # type: ignore[method-assign]  # as a worker does it
        try:
            super().__exit__(*reason)
        finally:
            if self._own_port:
                self.port.close()

    def _start_http3(self) -> None:
        identity = load_identity(str(self._directory / "server.pem"), "", "")
        seat = self.port.seat(self._slot)
        self.listener = Http3Listener(self.server, seat, identity, self.bus, self._workers)
        self.listener.start()

    def on_loop(self, function: Callable[[], Any]) -> Any:
        """Call on the server's loop; what it returns."""

        async def call() -> Any:
            return function()

        return asyncio.run_coroutine_threadsafe(call(), self.loop).result(PATIENCE)

    def client(self, *, bare: bool = False, **configuration: Any) -> Any:
        """A new connection of aioquic's client; see ``connected``."""
        return connected(self.port.number, self.ca_file, bare=bare, **configuration)


@asynccontextmanager
async def connected(
    port: int, ca_file: Path, *, bare: bool = False, **configuration: Any
) -> AsyncIterator[Client]:
    """A connection of aioquic's client to a port of this machine.

    Parameters:
        ca_file: who has to vouch for the server.
        bare: without the streams of HTTP/3 that a client opens at first.
        configuration: of ``QuicConfiguration``.
    """
    configuration.setdefault("alpn_protocols", ["h3"])
    chosen = QuicConfiguration(is_client=True, **configuration)
    chosen.verify_mode = ssl.CERT_REQUIRED
    chosen.load_verify_locations(str(ca_file))
    kind = BareClient if bare else Client
    async with connect("127.0.0.1", port, configuration=chosen, create_protocol=kind) as client:
        assert isinstance(client, Client)
        yield client


@dataclass
class Reply:
    """What has come on one stream."""

    fields: list[tuple[bytes, bytes]] = field(default_factory=list)
    interim: list[int] = field(default_factory=list)
    body: bytearray = field(default_factory=bytearray)
    trailers: list[tuple[bytes, bytes]] = field(default_factory=list)
    ended: bool = False
    reset: int | None = None
    stopped: int | None = None

    @property
    def status(self) -> int:
        return int(dict(self.fields)[b":status"])

    def __getitem__(self, name: str) -> str:
        return dict(self.fields)[name.encode()].decode()


class Client(QuicConnectionProtocol):
    """aioquic's HTTP/3 client. Sends whole requests or pieces of them.

    Attributes:
        replies: by stream.
        terminated: why the connection ended.
    """

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.quic = self._quic
        self.http = self.make_http()
        self.replies: dict[int, Reply] = {}
        self.terminated: events.ConnectionTerminated | None = None
        self.goaways: list[bytes] = []
        self._changed = asyncio.Event()

    def make_http(self) -> H3Connection:
        return H3Connection(self._quic)

    def quic_event_received(self, event: events.QuicEvent) -> None:
        if isinstance(event, events.ConnectionTerminated):
            self.terminated = event
        elif isinstance(event, events.StreamReset):
            self.reply(event.stream_id).reset = event.error_code
        elif isinstance(event, events.StopSendingReceived):
            self.reply(event.stream_id).stopped = event.error_code
        elif isinstance(event, events.StreamDataReceived) and event.stream_id & 2:
            self.goaways.append(event.data)
        for http_event in self.http.handle_event(event):
            self._take(http_event)
        self._changed.set()

    def _take(self, event: h3_events.H3Event) -> None:
        if isinstance(event, h3_events.HeadersReceived):
            reply = self.reply(event.stream_id)
            status = dict(event.headers).get(b":status", b"")
            if status.startswith(b"1"):
                reply.interim.append(int(status))
            elif reply.fields:
                reply.trailers = event.headers
            else:
                reply.fields = event.headers
            reply.ended |= event.stream_ended
        elif isinstance(event, h3_events.DataReceived):
            reply = self.reply(event.stream_id)
            reply.body += event.data
            reply.ended |= event.stream_ended

    def reply(self, stream: int) -> Reply:
        return self.replies.setdefault(stream, Reply())

    async def until(self, condition: Callable[[], Any]) -> None:
        """Wait for something that comes from the server."""

        async def wait() -> None:
            while not condition():
                self._changed.clear()
                await self._changed.wait()

        await asyncio.wait_for(wait(), PATIENCE)

    def begin(
        self, method: str, path: str, *fields: tuple[str, str], ended: bool = True, **pseudo: str
    ) -> int:
        """Send a head; the stream."""
        stream = self.quic.get_next_available_stream_id()
        names = {":method": method, ":scheme": "https", ":authority": "localhost", ":path": path}
        names.update({f":{name}": value for name, value in pseudo.items()})
        head = [(name.encode(), value.encode()) for name, value in (*names.items(), *fields)]
        self.http.send_headers(stream, head, ended)
        self.transmit()
        return stream

    def send(self, stream: int, data: bytes, ended: bool = False) -> None:
        """Send a piece of a body."""
        self.http.send_data(stream, data, ended)
        self.transmit()

    def raw(self, data: bytes, ended: bool = False, stream: int | None = None) -> int:
        """Send bytes on a request stream as they are; the stream."""
        if stream is None:
            stream = self.quic.get_next_available_stream_id()
        self.quic.send_stream_data(stream, data, ended)
        self.transmit()
        return stream

    async def whole(self, stream: int) -> Reply:
        """The answer, when it is complete or broken off."""
        reply = self.reply(stream)
        await self.until(lambda: reply.ended or reply.reset is not None or self.terminated)
        return reply

    async def get(self, path: str, *fields: tuple[str, str]) -> Reply:
        return await self.whole(self.begin("GET", path, *fields))

    async def post(self, path: str, body: bytes, *fields: tuple[str, str]) -> Reply:
        stream = self.begin("POST", path, *fields, ended=False)
        self.send(stream, body, True)
        return await self.whole(stream)


class _Bare(H3Connection):
    def _init_connection(self) -> None:
        """No control stream, none of QPACK."""

    def _handle_control_frame(self, frame_type: int, frame_data: bytes) -> None:
        """What the server says would be answered on a stream of QPACK."""

    def _encode_headers(self, stream_id: int, headers: h3_events.Headers) -> bytes:
        return bytes(self._encoder.encode(stream_id, headers)[1])

    def _decode_headers(self, stream_id: int, frame_data: bytes | None) -> h3_events.Headers:
        assert frame_data is not None
        return list(self._decoder.feed_header(stream_id, frame_data)[1])


class BareClient(Client):
    """Opens no stream by itself."""

    def make_http(self) -> H3Connection:
        return _Bare(self._quic)
