"""TLS on an accepted connection: a transport for the protocol above it, and its writing side.

``server/negotiation.py`` puts one on the transport of the socket, behind whatever comes before TLS.
"""

from __future__ import annotations

import ssl
from collections import deque
from typing import TYPE_CHECKING, Any, Protocol

from skitai.net.output import TcpOutput

if TYPE_CHECKING:
    import asyncio

RECORD_SIZE = 16 * 1024  # the most that a record holds (RFC 8446, 5.1)
PIECE_SIZE = 128 * 1024  # encrypted at a time; beyond what the kernel takes, data waits in clear
TURN_SIZE = 1024 * 1024  # then other connections have their turn; it takes 0.3 ms
MAX_OWED = 64 * 1024  # bytes that TLS itself may have to say to a client that doesn't read


class Secured(Protocol):
    """The protocol above TLS, as asyncio knows protocols, and what it hears of the handshake."""

    def secured(self) -> None:
        """The handshake is complete; called before anything is received."""

    def refused(self, reason: str) -> None:
        """The handshake failed; what TLS has to say about it has been sent.

        ``reason`` is OpenSSL's: ``HTTP_REQUEST`` for a client that speaks plain HTTP.
        """

    def data_received(self, data: bytes) -> None: ...

    def eof_received(self) -> bool: ...

    def connection_lost(self, exc: Exception | None) -> None: ...

    def resume_writing(self) -> None: ...


class TlsOutput(TcpOutput):
    """Encrypts in the thread that sends, and then sends as ``TcpOutput`` does.

    ``lock`` guards the state of TLS, too: the loop decrypts under it.

    PERF: 67k requests/s at 15 us of CPU, where uvloop's transport for TLS, which threads reach
    through the loop, comes to 37k/s at 19 us (plain function, small JSON, 64 connections, one core
    each for server and client); without TLS 94k/s at 11 us. For ``async def`` both take 14 us, for
    a body of 1 MiB this 485 us and the other 540 us.
    """

    __slots__ = ("_held", "_outgoing", "_ssl", "_waiting")

    takes_files = False

    def __init__(
        self,
        transport: Any,
        loop: asyncio.AbstractEventLoop,
        state: ssl.SSLObject,
        outgoing: ssl.MemoryBIO,
    ) -> None:
        super().__init__(transport, loop)
        self._ssl = state
        self._outgoing = outgoing
        self._waiting: deque[bytes | memoryview] = deque()  # in clear
        self._held = 0  # bytes of it

    def send(self, data: bytes) -> bool:
        if self.fd < 0:
            return False
        if self.backlog:
            self._hold(data)
            return False
        if len(data) <= PIECE_SIZE:
            return self._encrypt(data)
        self._hold(memoryview(data))
        return self._send_waiting()

    def flush(self) -> int:
        """Send what TLS itself has to say, and count its bytes; the caller holds ``lock``."""
        said = self._outgoing.read()
        if said:
            TcpOutput.send(self, said)
        return len(said)

    def send_clear(self, data: bytes) -> None:
        """Answer a client that doesn't speak TLS; the caller holds ``lock``."""
        TcpOutput.send(self, data)

    def resumed(self) -> None:
        with self.lock:
            # Also called at the next turn: then the transport may keep what TLS has said since.
            if self._scheduled or (self.fd >= 0 and self._transport.get_write_buffer_size()):
                return
            self.backlog = False
            if not self._send_waiting():
                return
            # Still under the lock: the next thread that sends may leave something waiting again.
            callbacks, self._drained = self._drained, []
        for callback in callbacks:
            callback()

    def lost(self) -> None:
        with self.lock:
            self._drop()
        super().lost()

    def pending(self) -> int:
        return super().pending() + self._held

    def _hold(self, data: bytes | memoryview) -> None:
        self._waiting.append(data)
        self._held += len(data)

    def _drop(self) -> None:
        self._waiting.clear()
        self._held = 0

    def _send_waiting(self) -> bool:
        """Go on until the kernel takes no more, for a turn; True when nothing waits."""
        waiting = self._waiting
        budget = TURN_SIZE
        while waiting:
            if budget <= 0:
                self.backlog = True
                self._loop.call_soon_threadsafe(self.resumed)
                return False
            data = waiting.popleft()
            if len(data) > PIECE_SIZE:
                waiting.appendleft(data[PIECE_SIZE:])
                data = data[:PIECE_SIZE]
            self._held -= len(data)
            budget -= len(data)
            if not self._encrypt(data):
                return False
        return True

    def _encrypt(self, data: bytes | memoryview) -> bool:
        try:
            self._ssl.write(data)
        except ssl.SSLError:  # the end of TLS has been said
            self._drop()
            self._loop.call_soon_threadsafe(self._transport.abort)
            return False
        return TcpOutput.send(self, self._outgoing.read())


class TlsTransport:
    """Stands between the transport of a socket and the protocol that the client speaks over TLS.

    Everything runs on the loop.

    Parameters:
        transport: of the socket; nothing has been written to it.
        loop: the worker's.
        context: certificates and rules.
        protocol: gets what the client sends.

    Attributes:
        output: what ``output_of`` finds.
    """

    __slots__ = (
        "_closing",
        "_deaf",
        "_ended",
        "_incoming",
        "_loop",
        "_owed",
        "_paused",
        "_protocol",
        "_secured",
        "_ssl",
        "_told",
        "_transport",
        "output",
    )

    def __init__(
        self,
        transport: Any,
        loop: asyncio.AbstractEventLoop,
        context: ssl.SSLContext,
        protocol: Secured,
    ) -> None:
        self._transport = transport
        self._loop = loop
        self._protocol: Any = protocol
        self._incoming = ssl.MemoryBIO()
        outgoing = ssl.MemoryBIO()
        self._ssl = context.wrap_bio(self._incoming, outgoing, server_side=True)
        self.output = TlsOutput(transport, loop, self._ssl, outgoing)
        self._secured = False
        self._ended = False  # the client will send no more
        self._told = False  # and the protocol knows
        self._deaf = False  # our side has said its end: what still comes is not looked at
        self._closing = False
        self._paused = False
        self._owed = 0

    # -- as the protocol of the socket's transport

    def connection_made(self, transport: Any) -> None:
        """The transport was made before."""

    def data_received(self, data: bytes) -> None:
        if self._deaf or self._ended:
            return
        self._incoming.write(data)
        if not self._secured and not self._shake_hands():
            return
        plain, failed = self._decrypt()
        if plain:
            self._protocol.data_received(plain)
        if failed:
            self.abort()
        elif self._ended and not self._paused:
            self._end()

    def eof_received(self) -> bool:
        if not self._secured or self._closing:
            return False
        if not self._ended:
            self._ended = True
            self._end()
        return not self._closing

    def connection_lost(self, exc: Exception | None) -> None:
        self._closing = self._deaf = True
        self._protocol.connection_lost(exc)

    def pause_writing(self) -> None:
        """The transport keeps bytes; the output knows."""

    def resume_writing(self) -> None:
        self._protocol.resume_writing()

    def _shake_hands(self) -> bool:
        """Answer the client's part of the handshake; True when it is complete."""
        failure = None
        with self.output.lock:
            try:
                self._ssl.do_handshake()
                self._secured = True
            except ssl.SSLWantReadError:
                pass
            except (ssl.SSLError, ValueError) as exc:  # ValueError: a name that can't be decoded
                failure = exc
                self._deaf = True
            reason = getattr(failure, "reason", None) or str(failure)
            if reason != "HTTP_REQUEST":
                self.output.flush()
        if failure is not None:
            self._protocol.refused(reason)
        elif self._secured:
            self._protocol.secured()
        return self._secured and not self._closing

    def _decrypt(self) -> tuple[bytes, bool]:
        """What has come in clear, and whether it is followed by something that is not TLS."""
        read, left, incoming = self._ssl.read, self._ssl.pending, self._incoming
        pieces = []
        failed = False
        with self.output.lock:
            try:
                # PERF: asking what is left saves an exception for each request, 0.9 of 15 us.
                while incoming.pending or left():
                    piece = read(RECORD_SIZE)
                    if not piece:
                        self._ended = True
                        break
                    pieces.append(piece)
            except ssl.SSLWantReadError:
                pass
            except ssl.SSLError:
                failed = True
            failed = not self._answer() or failed
        return pieces[0] if len(pieces) == 1 else b"".join(pieces), failed

    def _answer(self) -> bool:
        """Send what TLS itself answers, such as to key updates; False for a client that makes it
        pile up."""
        output = self.output
        self._owed += output.flush()
        if not output.backlog:
            self._owed = 0
        return self._owed <= MAX_OWED

    def _end(self) -> None:
        if self._told or self._closing:
            return
        self._told = True
        if not self._protocol.eof_received():
            self.close()

    # -- as the transport of the protocol above

    @property
    def alpn(self) -> str | None:
        """The protocol that was agreed on (RFC 7301)."""
        return self._ssl.selected_alpn_protocol()

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        """What asyncio's TLS transports know: ``ssl_object``, and what the socket knows."""
        return self._ssl if name == "ssl_object" else self._transport.get_extra_info(name, default)

    def set_protocol(self, protocol: Any) -> None:
        """Give what comes from now on to another protocol."""
        self._protocol = protocol

    def is_closing(self) -> bool:
        """Whether nothing more will be read."""
        return self._closing or bool(self._transport.is_closing())

    def pause_reading(self) -> None:
        """Receive nothing until ``resume_reading``."""
        self._paused = True
        self._transport.pause_reading()

    def resume_reading(self) -> None:
        """Receive again."""
        self._paused = False
        self._transport.resume_reading()
        if self._ended and not self._told:
            self._loop.call_soon(self._end)

    def can_write_eof(self) -> bool:
        """Whether our side can end alone."""
        return True

    def write_eof(self) -> None:
        """End our side behind what was sent; what still comes is dropped."""
        self._deaf = True
        self.output.when_writable(self._half_close)

    def close(self) -> None:
        """End it in order, behind what was sent."""
        if not self._closing:
            self._closing = self._deaf = True
            self.output.when_writable(self._close)

    def abort(self) -> None:
        """End it at once."""
        self._closing = self._deaf = True
        self._transport.abort()

    def _half_close(self) -> None:
        self._say_end()
        self._loop.call_soon(self._close_write)

    def _close_write(self) -> None:
        if self.output.fd >= 0 and not self._transport.is_closing():
            self._transport.write_eof()

    def _close(self) -> None:
        self._say_end()
        # Not now: what the kernel did not take is on its way to the transport.
        self._loop.call_soon(self._transport.close)

    def _say_end(self) -> None:
        """Send ``close_notify`` (RFC 8446, 6.1), without waiting for that of the client."""
        output = self.output
        with output.lock:
            if output.fd < 0 or not self._secured:
                return
            try:
                self._ssl.unwrap()
            except (ssl.SSLError, ValueError):
                pass
            output.flush()
