"""HTTP/3 of one worker: finds the connection of each datagram, and makes new ones.

Each worker has its own socket of the UDP port (``net/udp.py``); the kernel chooses by the client's
address. A connection id names the worker that has the connection, encrypted, so a datagram that
comes to another one, because the client has moved or workers were reloaded, is passed on over the
bus. While a reload has two workers read one socket, clients are sent a Retry, whose connection id
names the worker, too. A worker that drains reads no more, gets what is passed on, and lets running
requests end. A connection whose worker is dead is ended by a stateless reset.
"""

from __future__ import annotations

import json
import logging
import os
import time
from typing import TYPE_CHECKING, Any

from aioquic.buffer import Buffer
from aioquic.quic.packet import (
    QuicErrorCode,
    QuicPacketType,
    encode_quic_retry,
    encode_quic_version_negotiation,
    pull_quic_header,
)

from skitai.net.udp import UdpEndpoint
from skitai.server.http3.connection import Http3Connection
from skitai.wire.http3.fields import Limits
from skitai.wire.http3.ids import ID_LENGTH, ConnectionIds
from skitai.wire.http3.quic import Quic, configure
from skitai.wire.http3.tokens import RetryTokens, refusal

if TYPE_CHECKING:
    from skitai.net.udp import Address, UdpSeat
    from skitai.server.core import Server
    from skitai.wire.http3.identity import Identity

log = logging.getLogger("skitai")

CHANNEL = "skitai.quic"  # of the bus
ALT_SVC_SECONDS = 86400
MAX_HALF_OPEN = 64  # handshakes at a time; then clients have to show that their address is theirs
MAX_HANDSHAKES = 1024  # at a time; then clients have to try again
MAX_REPLIES = 200  # a second, to datagrams that belong to no connection
SMALLEST_INITIAL = 1200  # bytes (RFC 9000, 14.1)
SHORTEST_TRIGGER = 43  # bytes of a datagram that a reset answers; the reset is shorter
MIN_IDLE = 10.0
_LONG_HEADER = 0x80


class Http3Listener:
    """The serving side of HTTP/3 in a worker; lives on its loop.

    Parameters:
        server: what all connections share.
        seat: socket and secret.
        identity: certificate and key.
        bus: messages to the other workers.
        workers: how many the service has.

    Attributes:
        limits: for the heads of requests.
        idle_timeout: seconds without a datagram after which a connection is over.
        endpoint: the socket.
    """

    def __init__(
        self, server: Server, seat: UdpSeat, identity: Identity, bus: Any, workers: int
    ) -> None:
        settings = server.settings
        self.server = server
        self.limits = Limits(
            settings.max_request_line, settings.max_header_size, settings.max_headers
        )
        self.idle_timeout = max(settings.keep_alive, settings.network_timeout, MIN_IDLE)
        self.endpoint = UdpEndpoint(server.loop, seat.socket, self._received, self._settle)
        self._ids = ConnectionIds(seat.secret(), bus.worker)
        self._tokens = RetryTokens(self._ids.token_key)
        self._configuration = configure(
            identity.certificates, identity.private_key, self.idle_timeout
        )
        self._bus = bus
        self._workers = workers
        self._connections: dict[bytes, Http3Connection] = {}
        self._half_open: set[Http3Connection] = set()
        self._touched: dict[Http3Connection, None] = {}  # since the last `_settle`, in order
        self._replies = MAX_REPLIES
        self._reply_second = self._complaint_second = 0
        bus.subscribe(CHANNEL, self._passed_on)

    def start(self) -> None:
        """Serve, and tell the clients of other versions about it (RFC 7838)."""
        port = self.endpoint.port
        self.server.add_common_field("Alt-Svc", f'h3=":{port}"; ma={ALT_SVC_SECONDS}')
        self.endpoint.start()

    def close(self) -> None:
        """Read no more: what others read is passed on. For the beginning of a drain."""
        self.endpoint.stop()
        for connection in self._all():
            connection.go_away()

    def stop(self) -> None:
        """End for good; for the end of the worker."""
        self.endpoint.close()
        for connection in self._all():
            connection.drop()
        self._connections.clear()

    # -- for connections

    def add(self, connection_id: bytes, connection: Http3Connection) -> None:
        """Datagrams with this id are for that connection."""
        self._connections[connection_id] = connection

    def remove(self, connection_id: bytes) -> None:
        """The id has been given up."""
        self._connections.pop(connection_id, None)

    def established(self, connection: Http3Connection) -> None:
        """Its handshake is over."""
        self._half_open.discard(connection)

    def forget(self, connection: Http3Connection) -> None:
        """Nothing of it is left; late datagrams are dropped or answered with a reset."""
        self._half_open.discard(connection)
        for connection_id in connection.ids:
            self._connections.pop(connection_id, None)

    def complain(self, what: str, exc: Exception) -> None:
        """Log what must not happen, once a second at most."""
        second = int(time.monotonic())
        if second != self._complaint_second:
            self._complaint_second = second
            log.error("%s", what, exc_info=exc)

    # -- datagrams

    def _all(self) -> list[Http3Connection]:
        return list(dict.fromkeys(self._connections.values()))

    def _received(self, data: bytes, address: Address, passed_on: bool = False) -> None:
        if not data:
            return
        if data[0] & _LONG_HEADER:
            self._received_long(data, address, passed_on)
            return
        connection_id = data[1 : 1 + ID_LENGTH]
        connection = self._connections.get(connection_id)
        if connection is not None:
            self._hand(connection, data, address)
        elif not self._pass_on(connection_id, data, address, passed_on):
            self._reset(connection_id, data, address)

    def _received_long(self, data: bytes, address: Address, passed_on: bool) -> None:
        try:
            header = pull_quic_header(Buffer(data=data), host_cid_length=ID_LENGTH)
        except ValueError:
            return
        kind, version = header.packet_type, header.version
        if kind in (QuicPacketType.VERSION_NEGOTIATION, QuicPacketType.RETRY):
            return  # servers send those
        connection = self._connections.get(header.destination_cid)
        if connection is not None:
            self._hand(connection, data, address)
            return
        large = len(data) >= SMALLEST_INITIAL
        supported = self._configuration.supported_versions
        if version not in supported:
            if large and self._may_reply():
                reply = encode_quic_version_negotiation(
                    source_cid=header.destination_cid,
                    destination_cid=header.source_cid,
                    supported_versions=supported,
                )
                self.endpoint.send(reply, address)
            return
        if self._pass_on(header.destination_cid, data, address, passed_on):
            return
        if kind == QuicPacketType.INITIAL and large:
            self._open(header, data, address)

    def _hand(self, connection: Http3Connection, data: bytes, address: Address) -> None:
        self._touched[connection] = None
        connection.receive(data, address)

    def _settle(self) -> None:
        touched, self._touched = self._touched, {}
        for connection in touched:
            connection.settle()

    # -- other workers

    def _pass_on(
        self, connection_id: bytes, data: bytes, address: Address, passed_on: bool
    ) -> bool:
        """Send a datagram to the worker that its id names; False when that is none."""
        if passed_on:
            return False
        worker = self._ids.worker_of(connection_id)
        if worker is None or worker == self._bus.worker or worker not in self._bus.workers():
            return False
        *path, control = address
        place = json.dumps([*path, control.hex()]).encode("ascii")
        self._bus.send(worker, CHANNEL, place + b"\n" + data)
        return True

    def _passed_on(self, message: bytes) -> None:
        """A datagram that another worker has read."""
        place, _, data = message.partition(b"\n")
        *path, control = json.loads(place)
        self._received(data, (*path, bytes.fromhex(control)), passed_on=True)
        self._settle()

    @property
    def _crowded(self) -> bool:
        """More workers than places: those of a reload, of which two read one socket."""
        return len(self._bus.workers()) >= self._workers

    # -- without a connection

    def _open(self, header: Any, data: bytes, address: Address) -> None:
        """Begin a connection, or let the client show first that it gets what is sent to it."""
        original, retried = header.destination_cid, None
        if header.token:
            found = self._tokens.check(header.token, address, header.destination_cid)
            if found is None:
                self._refuse(header, QuicErrorCode.INVALID_TOKEN, address)
                return
            original, retried = found, header.destination_cid
        elif self._crowded or len(self._half_open) >= MAX_HALF_OPEN:
            self._retry(header, address)
            return
        if len(self._half_open) >= MAX_HANDSHAKES:
            self._refuse(header, QuicErrorCode.CONNECTION_REFUSED, address)
            return
        quic = Quic(self._configuration, self._ids, original, retried)
        connection = Http3Connection(self, quic, address)
        if not self.server.opened(connection):
            self.server.closed(connection)
            self._refuse(header, QuicErrorCode.CONNECTION_REFUSED, address)
            return
        self._half_open.add(connection)
        connection.own(header.destination_cid)
        connection.own(quic.host_cid)
        self._hand(connection, data, address)

    def _retry(self, header: Any, address: Address) -> None:
        if not self._may_reply():
            return
        source = self._ids.make()
        reply = encode_quic_retry(
            version=header.version,
            source_cid=source,
            destination_cid=header.source_cid,
            original_destination_cid=header.destination_cid,
            retry_token=self._tokens.make(address, header.destination_cid, source),
        )
        self.endpoint.send(reply, address)

    def _refuse(self, header: Any, code: int, address: Address) -> None:
        if self._may_reply():
            self.endpoint.send(refusal(header, code), address)

    def _reset(self, connection_id: bytes, data: bytes, address: Address) -> None:
        """End a connection that is known to the client only (RFC 9000, 10.3)."""
        ours = self._ids.worker_of(connection_id) is not None
        if ours and len(data) >= SHORTEST_TRIGGER and self._may_reply():
            noise = os.urandom(min(len(data) - 1, SHORTEST_TRIGGER + data[-1] % 16) - 16)
            first = bytes((noise[0] & 0x3F | 0x40,))
            token = self._ids.reset_token(connection_id)
            self.endpoint.send(first + noise[1:] + token, address)

    def _may_reply(self) -> bool:
        second = int(time.monotonic())
        if second != self._reply_second:
            self._reply_second, self._replies = second, MAX_REPLIES
        self._replies -= 1
        return self._replies >= 0
