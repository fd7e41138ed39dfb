"""What a server answers a QUIC client with before there is a connection: Retry tokens, refusals."""

from __future__ import annotations

import hmac
import ipaddress
import time
from typing import Any

from aioquic.quic.crypto import CryptoPair
from aioquic.quic.packet import QuicFrameType, QuicPacketType
from aioquic.quic.packet_builder import QuicPacketBuilder

Address = tuple[Any, ...]

LIFETIME = 30  # seconds; clients return a token at once (RFC 9000, 8.1.4)
_MAC_LENGTH = 16
_DATAGRAM_SIZE = 1200


class RetryTokens:
    """Tokens that show that a client gets what is sent to its address (RFC 9000, 8.1.2).

    Parameters:
        key: the same in all workers: any may check what another has made.
    """

    def __init__(self, key: bytes) -> None:
        self._key = key

    def make(self, address: Address, original: bytes, source: bytes) -> bytes:
        """A token for a client; ``original`` is the id it has chosen, ``source`` that of Retry."""
        made = int(time.monotonic()).to_bytes(8, "big")
        content = made + bytes((len(original),)) + original
        return self._mac(content, address, source) + content

    def check(self, token: bytes, address: Address, source: bytes) -> bytes | None:
        """The id that the client had chosen; None for a token that is not its, or too old.

        Parameters:
            source: the id that the client uses now, which must be that of our Retry.
        """
        mac, content = token[:_MAC_LENGTH], token[_MAC_LENGTH:]
        if not hmac.compare_digest(mac, self._mac(content, address, source)):
            return None
        age = time.monotonic() - int.from_bytes(content[:8], "big")
        return content[9:] if age <= LIFETIME + 1 else None

    def _mac(self, content: bytes, address: Address, source: bytes) -> bytes:
        place = ipaddress.ip_address(address[0]).packed + int(address[1]).to_bytes(2, "big")
        sized = bytes((len(place), len(source)))
        return hmac.digest(self._key, sized + place + source + content, "sha256")[:_MAC_LENGTH]


def refusal(header: Any, code: int) -> bytes:
    """A datagram that ends a connection which has not begun (RFC 9000, 5.2.2 and 8.1.3)."""
    crypto = CryptoPair()
    crypto.setup_initial(cid=header.destination_cid, is_client=False, version=header.version)
    builder = QuicPacketBuilder(
        host_cid=header.destination_cid,
        is_client=False,
        max_datagram_size=_DATAGRAM_SIZE,
        peer_cid=header.source_cid,
        version=header.version,
    )
    builder.start_packet(QuicPacketType.INITIAL, crypto)
    frame = builder.start_frame(QuicFrameType.TRANSPORT_CLOSE, capacity=32)
    frame.push_uint_var(code)
    frame.push_uint_var(QuicFrameType.PADDING)
    frame.push_uint_var(0)
    datagrams, _ = builder.flush()
    return bytes(datagrams[0])
