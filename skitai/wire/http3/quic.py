"""QUIC (RFC 9000) for one connection: aioquic's, with our connection ids and windows that wait.

``server/http3/connection.py`` owns one per client. No sockets, no clock.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

from aioquic.quic.configuration import QuicConfiguration
from aioquic.quic.connection import QuicConnection, QuicConnectionId

from skitai.wire.http3.ids import ID_LENGTH

if TYPE_CHECKING:
    from collections.abc import Sequence

    from skitai.wire.http3.ids import ConnectionIds

STREAM_WINDOW = 512 * 1024  # bytes that a client may send before they are taken
CONNECTION_WINDOW = 2 * 1024 * 1024
MAX_STREAMS = 128  # requests at a time
MAX_SINGLE_STREAMS = 16  # unidirectional ones; three are in use
DATAGRAM_SIZE = 1350
SPARE_IDS = 8

# A client can make it write a line with each datagram.
logging.getLogger("quic").setLevel(logging.ERROR)


def configure(certificates: Sequence[Any], private_key: Any, idle_timeout: float) -> Any:
    """What all connections of a server have in common.

    Parameters:
        certificates: the server's, then those between it and its authority, of ``cryptography``.
        private_key: of the first one.
        idle_timeout: seconds without a datagram after which a connection is over.
    """
    return QuicConfiguration(
        alpn_protocols=["h3"],
        certificate=certificates[0],
        certificate_chain=list(certificates[1:]),
        connection_id_length=ID_LENGTH,
        idle_timeout=idle_timeout,
        is_client=False,
        max_data=CONNECTION_WINDOW,
        max_datagram_size=DATAGRAM_SIZE,
        max_stream_data=STREAM_WINDOW,
        private_key=private_key,
    )


class Quic(QuicConnection):
    """A connection of a server.

    aioquic raises the windows as bytes come in, and doubles them; here a client may send as far as
    what has been taken, plus a constant. Session tickets are never given out: there is no 0-RTT.

    Parameters:
        configuration: of ``configure``.
        ids: makes the connection ids.
        original: the id that the client has chosen at first.
        retried: the id of our Retry packet, if there was one.

    Attributes:
        held: streams of which no more is wanted for now.
    """

    def __init__(
        self, configuration: Any, ids: ConnectionIds, original: bytes, retried: bytes | None
    ) -> None:
        self._ids = ids
        self.held: set[int] = set()
        super().__init__(
            configuration=configuration,
            original_destination_connection_id=original,
            retry_source_connection_id=retried,
        )
        self._host_cids = []
        self._host_cid_seq = 0
        self._issue()
        first = self._host_cids[0]
        first.was_sent = True
        self.host_cid = self._local_initial_source_connection_id = first.cid
        self._local_max_streams_bidi.value = self._local_max_streams_bidi.sent = MAX_STREAMS
        self._local_max_streams_uni.value = self._local_max_streams_uni.sent = MAX_SINGLE_STREAMS

    def unconfirmed(self, stream: int) -> int:
        """Bytes written to a stream that the client has not confirmed; any thread."""
        found = self._streams.get(stream)
        if found is None:
            return 0
        sender = found.sender
        return int(sender._buffer_stop - sender._buffer_start)

    def confirmed(self, stream: int) -> bool:
        """Whether the client has everything up to the end, or wants no more."""
        found = self._streams.get(stream)
        return found is None or found.sender.is_finished

    def can_send(self, stream: int) -> bool:
        """Whether something may still be written to a stream that the client has opened."""
        found = self._streams.get(stream)
        if found is None:
            return False
        sender = found.sender
        return (
            not sender.is_finished
            and sender._reset_error_code is None
            and sender._buffer_fin is None
        )

    def stop_receiving(self, stream: int, code: int) -> None:
        """Tell the client that no more of a stream is read, if it is still sending."""
        found = self._streams.get(stream)
        if found is not None and not found.receiver.is_finished:
            found.receiver.stop(code)

    def break_off(self, stream: int, code: int) -> None:
        """End both halves of a stream that the client has opened, as far as they are open."""
        if stream in self._streams:
            self.reset_stream(stream, code)
            self.stop_receiving(stream, code)

    @property
    def ended(self) -> bool:
        """Closing, by whichever side."""
        return self._close_event is not None

    @property
    def established(self) -> bool:
        """The handshake is complete."""
        return self._handshake_complete

    # -- instead of aioquic's

    def _issue(self) -> None:
        connection_id = self._ids.make()
        self._host_cids.append(
            QuicConnectionId(
                cid=connection_id,
                sequence_number=self._host_cid_seq,
                stateless_reset_token=self._ids.reset_token(connection_id),
            )
        )
        self._host_cid_seq += 1

    def _replenish_connection_ids(self) -> None:
        while len(self._host_cids) < min(SPARE_IDS, self._remote_active_connection_id_limit):
            self._issue()

    def _write_stream_limits(self, builder: Any, space: Any, stream: Any) -> None:
        receiver = stream.receiver
        if (
            stream.max_stream_data_local
            and not receiver.is_finished
            and stream.stream_id not in self.held
            and stream.max_stream_data_local - receiver.starting_offset() < STREAM_WINDOW // 2
        ):
            stream.max_stream_data_local = receiver.starting_offset() + STREAM_WINDOW
        if (
            receiver.is_finished
            or stream.max_stream_data_local_sent == stream.max_stream_data_local
        ):
            return
        # Twice the limit that it compares with: aioquic's own rule never raises it.
        highest, receiver.highest_offset = receiver.highest_offset, 0
        try:
            super()._write_stream_limits(builder, space, stream)
        finally:
            receiver.highest_offset = highest

    def _write_connection_limits(self, builder: Any, space: Any) -> None:
        limit = self._local_max_data
        if limit.value - limit.used < CONNECTION_WINDOW // 2:
            waiting = sum(
                stream.receiver.highest_offset - stream.receiver.starting_offset()
                for stream in self._streams.values()
                if not stream.receiver.is_finished
            )
            limit.value = max(limit.value, limit.used - waiting + CONNECTION_WINDOW)
        used, limit.used = limit.used, 0
        try:
            super()._write_connection_limits(builder, space)
        finally:
            limit.used = used
