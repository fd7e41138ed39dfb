"""Continuous load over pipelined HTTP/1.1, HTTP/2, WebSockets and HTTP/3, see ``load``.

A client begins anew only when the server has announced the end of the connection. What the server
has then said that it did not take is asked again, as the protocols have it; all else has failed.
"""

from __future__ import annotations

import asyncio
import http.client
import socket
from typing import TYPE_CHECKING

import h2.connection
import h2.events
from live_service import PATIENCE
from load import Load
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect

if TYPE_CHECKING:
    from pathlib import Path

AT_ONCE = 5
SERVICE_RESTART = 1012


class ProtocolLoad(Load):
    """Threads that each keep a connection until it ends, and then take the next one."""

    def _ask_on(self, number: int, keep: bool) -> None:
        while not self._enough.is_set():
            try:
                self._converse(f"t{number}")
            except Exception as exc:  # noqa: PERF203 - each connection counts by itself
                self.failures.append(f"t{number}: {exc!r}")

    def _converse(self, name: str) -> None:
        """Ask over one connection until it ends."""
        raise NotImplementedError

    def _count(self, token: str, status: int, text: str) -> None:
        assert status == 200, f"{status} {text}"
        echoed, _, pid = text.partition(" ")
        assert echoed == token, f"{token} was answered with {text!r}"
        self.answers[int(pid)] += 1

    def _connect(self) -> socket.socket:
        plain = socket.create_connection(("127.0.0.1", self.port), timeout=PATIENCE)
        if self._tls is None:
            return plain
        return self._tls.wrap_socket(plain, server_hostname="localhost")


class PipelinedLoad(ProtocolLoad):
    """Several requests of HTTP/1.1 at a time, behind one another."""

    def _converse(self, name: str) -> None:
        with self._connect() as connection:
            while not self._enough.is_set():
                tokens = [f"{name}-{at}" for at in range(AT_ONCE)]
                connection.sendall(
                    b"".join(
                        f"GET /who?token={token} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode()
                        for token in tokens
                    )
                )
                stream = connection.makefile("rb")
                with stream:
                    for token in tokens:
                        response = _Reading(stream)
                        response.begin()
                        self._count(token, response.status, response.read().decode())
                        if response.getheader("Connection") == "close":
                            return  # the others were not taken (RFC 9112, 9.6)


class _Reading(http.client.HTTPResponse):
    """One response of several, from a file that they share."""

    def __init__(self, stream: object) -> None:
        super().__init__(_Lender(stream))  # type: ignore[arg-type]

    def _close_conn(self) -> None:
        self.fp = None  # the file goes on


class _Lender:
    def __init__(self, stream: object) -> None:
        self._stream = stream

    def makefile(self, mode: str) -> object:
        return self._stream


class Http2Load(ProtocolLoad):
    """Several streams at a time, until the server says goodbye."""

    def _converse(self, name: str) -> None:
        with self._connect() as connection:
            conversation = Http2Conversation(connection)
            while not self._enough.is_set():
                answers = conversation.ask([f"{name}-{at}" for at in range(AT_ONCE)])
                for token, (status, text) in answers.items():
                    self._count(token, status, text)
                if conversation.last is not None:
                    return


class Http2Conversation:
    """A connection without TLS by prior knowledge, or one that TLS has agreed on.

    Attributes:
        last: the stream up to which the server takes requests; None until it says goodbye.
    """

    def __init__(self, connection: socket.socket) -> None:
        self._socket = connection
        self._h2 = h2.connection.H2Connection()
        self._h2.initiate_connection()
        self.last: int | None = None
        self._heads: dict[int, int] = {}
        self._bodies: dict[int, bytes] = {}
        self._ended: set[int] = set()

    def ask(self, tokens: list[str]) -> dict[str, tuple[int, str]]:
        """Ask at the same time; the answers to those that the server took."""
        streams = {self.begin(f"/who?token={token}"): token for token in tokens}
        while any(not self._done(stream) for stream in streams):
            self.receive()
        return {
            token: self.read(stream) for stream, token in streams.items() if stream in self._ended
        }

    def begin(self, path: str, method: str = "GET") -> int:
        """Send a head, and the end unless it is a POST; the stream."""
        stream = self._h2.get_next_available_stream_id()
        head = [
            (":method", method), (":scheme", "http"), (":authority", "localhost"), (":path", path),
        ]  # fmt: skip
        self._h2.send_headers(stream, head, end_stream=method == "GET")
        self._bodies[stream] = b""
        self._socket.sendall(self._h2.data_to_send())
        return stream

    def send(self, stream: int, data: bytes, ended: bool = False) -> None:
        """Send a piece of a body, as fast as the server allows."""
        while data:
            room = min(
                self._h2.local_flow_control_window(stream), self._h2.max_outbound_frame_size
            )  # fmt: skip
            if room <= 0:
                self.receive()
                continue
            self._h2.send_data(stream, data[:room], end_stream=ended and len(data) <= room)
            data = data[room:]
            self._socket.sendall(self._h2.data_to_send())

    def read(self, stream: int) -> tuple[int, str]:
        """The answer, when it is complete."""
        while stream not in self._ended:
            self.receive()
        return self._heads.pop(stream), self._bodies.pop(stream).decode()

    def _done(self, stream: int) -> bool:
        return stream in self._ended or (self.last is not None and stream > self.last)

    def receive(self) -> None:
        """Wait for the server."""
        data = self._socket.recv(65536)
        assert data, "the connection ended without a word"
        for event in self._h2.receive_data(data):
            if isinstance(event, h2.events.ResponseReceived):
                status = dict(event.headers)[b":status"]
                self._heads[event.stream_id] = int(status)
            elif isinstance(event, h2.events.DataReceived):
                self._bodies[event.stream_id] += event.data
                self._h2.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
            elif isinstance(event, h2.events.StreamEnded):
                self._ended.add(event.stream_id)
            elif isinstance(event, h2.events.StreamReset):
                raise AssertionError(f"stream {event.stream_id} was reset: {event.error_code}")
            elif isinstance(event, h2.events.ConnectionTerminated):
                assert event.error_code == 0, event
                self.last = event.last_stream_id
        self._socket.sendall(self._h2.data_to_send())


class SocketLoad(ProtocolLoad):
    """A websocket that sends tokens to ``/echo``, and comes again when it is closed with 1012."""

    def _converse(self, name: str) -> None:
        address = f"ws://127.0.0.1:{self.port}/echo"
        with connect(address, open_timeout=PATIENCE, close_timeout=PATIENCE) as client:
            asked = 0
            while not self._enough.is_set():
                asked += 1
                token = f"{name}-{asked}"
                try:
                    client.send(token)
                    text = client.recv(PATIENCE)
                except ConnectionClosed as exc:
                    if exc.rcvd is None or exc.rcvd.code != SERVICE_RESTART:
                        raise
                    return
                self._count(token, 200, str(text))


class Http3Load(ProtocolLoad):
    """Requests over QUIC, one after the other; a new connection when the server closes it."""

    def __init__(self, port: int, ca_file: Path, keeping: int = 2) -> None:
        super().__init__(port, keeping)
        self._ca_file = ca_file

    def _converse(self, name: str) -> None:
        asyncio.run(self._ask_over_quic(name))

    async def _ask_over_quic(self, name: str) -> None:
        from http3_project import connected

        async with connected(self.port, self._ca_file) as client:
            asked = 0
            while not self._enough.is_set() and not _says_goodbye(client.goaways):
                asked += 1
                token = f"{name}-{asked}"
                reply = await client.get(f"/who?token={token}")
                self._count(token, reply.status, reply.body.decode())


def _says_goodbye(heard: list[bytes]) -> bool:
    """Whether a GOAWAY frame is in what the server has sent on its own streams."""
    return any(data[:1] == b"\x07" for data in heard)
