"""A load generator for websockets: `python -m benchmarks.sockets PORT TARGET SIZE SECONDS`.

200 sockets send a text message of SIZE bytes, and the next one when it has come back. It prints the
same summary as wrk.lua. Frames are made once and answers only counted, the first of each socket is
compared: so the generator needs less time for a message than a server.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from typing import Any

import uvloop

SOCKETS = 200
HANDSHAKE = (
    "GET {target} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nConnection: Upgrade\r\n"
    "Upgrade: websocket\r\nOrigin: http://127.0.0.1:{port}\r\nSec-WebSocket-Version: 13\r\n"
    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
)
MASK = b"\x11\x22\x33\x44"


def length(size: int) -> bytes:
    """Return the length of a frame, without the mark that it is masked (RFC 6455, 5.2)."""
    if size < 126:
        return bytes([size])
    return b"\x7e" + size.to_bytes(2, "big") if size < 65536 else b"\x7f" + size.to_bytes(8, "big")


class Load:
    """What all sockets share: the message, and what became of it."""

    def __init__(self, port: int, target: str, size: int) -> None:
        message = (b"0123456789abcdef" * (size // 16 + 1))[:size]
        header = length(size)
        masked = bytes(byte ^ MASK[at % 4] for at, byte in enumerate(message))
        self.handshake = HANDSHAKE.format(port=port, target=target).encode()
        self.frame = b"\x81" + bytes([header[0] | 0x80]) + header[1:] + MASK + masked
        self.answer = b"\x81" + header + message
        self.latencies: list[float] = []
        self.broken = 0
        self.over = False


class Socket(asyncio.Protocol):
    """One socket."""

    def __init__(self, load: Load) -> None:
        self.load = load
        self.open = False
        self.compared = False
        self.data = bytearray()
        self.left = 0
        self.sent = 0.0

    def connection_made(self, transport: Any) -> None:
        """Ask for the websocket."""
        self.transport = transport
        transport.write(self.load.handshake)

    def data_received(self, data: bytes) -> None:
        """Count an answer, and send the next message when it is complete."""
        if not self.compared:
            self.data += data
            self._begin()
            return
        self.left -= len(data)
        if self.left == 0:
            now = time.perf_counter()
            self.load.latencies.append(now - self.sent)
            self._send(now)

    def connection_lost(self, exc: Exception | None) -> None:
        """Nobody but us may close it."""
        self.load.broken += not self.load.over

    def _begin(self) -> None:
        load = self.load
        if not self.open:
            head, mark, rest = bytes(self.data).partition(b"\r\n\r\n")
            if not mark:
                return
            if not head.startswith(b"HTTP/1.1 101"):
                sys.exit(f"no websocket: {head[:100]!r}")
            self.open, self.data = True, bytearray(rest)
            self._send(time.perf_counter())
        elif len(self.data) >= len(load.answer):
            if self.data != load.answer:
                sys.exit(f"wrong answer: {bytes(self.data[:100])!r}")
            self.compared = True
            self._send(time.perf_counter())

    def _send(self, now: float) -> None:
        if not self.load.over:
            self.sent, self.left = now, len(self.load.answer)
            self.transport.write(self.load.frame)


async def main(port: int, target: str, size: int, seconds: float) -> None:
    """Send for some seconds and print the summary."""
    loop, load = asyncio.get_running_loop(), Load(port, target, size)
    made = (loop.create_connection(lambda: Socket(load), "127.0.0.1", port) for _ in range(SOCKETS))
    connections = await asyncio.gather(*made)
    began = time.perf_counter()
    await asyncio.sleep(seconds)
    took, load.over = time.perf_counter() - began, True
    for transport, _ in connections:
        transport.abort()
    latencies = sorted(load.latencies) or [0.0]
    summary = {
        "requests": len(load.latencies),
        "microseconds": took * 1e6,
        "p50": latencies[len(latencies) // 2] * 1e6,
        "p99": latencies[len(latencies) * 99 // 100] * 1e6,
        "refused": 0,
        "broken": load.broken,
        "status": 0,
        "timeout": 0,
    }
    print(json.dumps(summary))


if __name__ == "__main__":
    port, target, size, seconds = sys.argv[1:]
    uvloop.run(main(int(port), target, int(size), float(seconds)))
