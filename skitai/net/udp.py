"""UDP sockets of HTTP/3: bound by the master, one for each worker, and read and written in batches.

The kernel shares the datagrams of a port out by addresses (``SO_REUSEPORT``). The master keeps all
sockets, so that neither the end of a worker nor a reload changes who gets which datagrams.
"""

from __future__ import annotations

import errno
import os
import socket
import stat
from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from skitai.errors import ConfigError
from skitai.net.listeners import explain_binding, resolve_address
from skitai.wire.http3.ids import SECRET_LENGTH

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable

Address = tuple[Any, ...]

LARGEST = 65535
BATCH = 64  # datagrams that are read in a row
BUFFER_SIZE = 4 * 1024 * 1024  # bytes in the kernel, if it allows that
MAX_WAITING = 1024  # datagrams the kernel does not take; more are dropped, QUIC sends them again
_ANCILLARY = 128
_IPV6_RECVPKTINFO, _IPV6_PKTINFO = 49, 50
_IP_PKTINFO = 8


@dataclass
class UdpSeat:
    """What one worker has of the port.

    Attributes:
        socket: its own socket.
        secret_fd: a file with the secret that all workers share.
    """

    socket: socket.socket
    secret_fd: int

    def secret(self) -> bytes:
        """The secret that all workers of the service have, old and new."""
        return os.pread(self.secret_fd, SECRET_LENGTH, 0)

    def descriptors(self) -> tuple[int, int]:
        """What a new program needs under the same numbers."""
        return self.socket.fileno(), self.secret_fd


class UdpPort:
    """A bound UDP port; the master has one when HTTP/3 is on.

    Parameters:
        address, port: as in ``bind_listeners``; with port 0 the kernel chooses.
        workers: number of sockets.

    Raises ``ConfigError`` when the port can't be bound.
    """

    def __init__(self, address: str, port: int, workers: int) -> None:
        family, target = resolve_address(address, port)
        self._sockets: list[socket.socket] = []
        self._secret_fd = -1
        try:
            # Sockets of others that share the port, too, would go unnoticed: so first without.
            probe = _bind(family, target, address, share=False)
            target = (target[0], probe.getsockname()[1], *target[2:])
            if workers == 1:
                self._sockets = [probe]
            else:
                probe.close()
            while len(self._sockets) < workers:
                self._sockets.append(_bind(family, target, address, share=True))
        except OSError as exc:
            self.close()
            raise explain_binding(exc, address, port, "--quic") from exc
        self._secret_fd = os.memfd_create("skitai-quic", os.MFD_CLOEXEC)
        os.write(self._secret_fd, os.urandom(SECRET_LENGTH))

    @property
    def number(self) -> int:
        """The real port."""
        return int(self._sockets[0].getsockname()[1])

    def seat(self, slot: int) -> UdpSeat:
        """What the worker in a slot gets."""
        return UdpSeat(self._sockets[slot], self._secret_fd)

    def close(self) -> None:
        """Let go of the port; workers still have theirs."""
        for sock in self._sockets:
            sock.close()
        descriptor, self._secret_fd = self._secret_fd, -1
        if descriptor >= 0:
            os.close(descriptor)


def adopt_seat(descriptors: list[int]) -> UdpSeat:
    """Rebuild what this process was started with; ``ConfigError`` if it is something else."""
    try:
        number, secret_fd = descriptors
        sock = socket.socket(fileno=number)
        if sock.type != socket.SOCK_DGRAM or not stat.S_ISREG(os.fstat(secret_fd).st_mode):
            raise ValueError
    except (OSError, ValueError):
        raise ConfigError(
            f"inherited descriptors {descriptors} are no UDP port: start the service without them"
        ) from None
    sock.set_inheritable(False)
    os.set_inheritable(secret_fd, False)
    sock.setblocking(False)
    return UdpSeat(sock, secret_fd)


def _bind(
    family: socket.AddressFamily, target: Address, address: str, share: bool
) -> socket.socket:
    sock = socket.socket(family, socket.SOCK_DGRAM)
    try:
        sock.setblocking(False)
        if share:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        if family == socket.AF_INET6:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, int(address != "::"))
            sock.setsockopt(socket.IPPROTO_IPV6, _IPV6_RECVPKTINFO, 1)
        else:
            sock.setsockopt(socket.IPPROTO_IP, _IP_PKTINFO, 1)
        for option in (socket.SO_RCVBUF, socket.SO_SNDBUF):
            sock.setsockopt(socket.SOL_SOCKET, option, BUFFER_SIZE)
        sock.bind(target)
    except OSError:
        sock.close()
        raise
    return sock


class UdpEndpoint:
    """Reads and writes the datagrams of one socket on a loop.

    An address is that of the other side, with the control message that makes an answer leave from
    the address that the datagram came to; so it stands for a path.

    Parameters:
        loop: the worker's.
        sock: a socket of a ``UdpPort``.
        received: called with datagram and address.
        finished: called when there is no more to read for now.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        sock: socket.socket,
        received: Callable[[bytes, Address], None],
        finished: Callable[[], None],
    ) -> None:
        self._loop = loop
        self._socket = sock
        self._received = received
        self._finished = finished
        self._ipv6 = sock.family == socket.AF_INET6
        self._waiting: deque[tuple[bytes, Address]] = deque()
        self.reading = False

    @property
    def port(self) -> int:
        """The real port."""
        return int(self._socket.getsockname()[1])

    def start(self) -> None:
        """Begin to read."""
        self.reading = True
        self._loop.add_reader(self._socket, self._read)

    def stop(self) -> None:
        """Read no more; sending goes on."""
        if self.reading:
            self.reading = False
            self._loop.remove_reader(self._socket)

    def close(self) -> None:
        """Neither read nor send; the socket stays open for the other workers of its slot."""
        self.stop()
        if self._waiting:
            self._waiting.clear()
            self._loop.remove_writer(self._socket)

    def send(self, data: bytes, address: Address) -> None:
        """Send a datagram, or drop it where the network does not take it."""
        if self._waiting:
            if len(self._waiting) < MAX_WAITING:
                self._waiting.append((data, address))
        elif not self._send(data, address):
            self._waiting.append((data, address))
            self._loop.add_writer(self._socket, self._flush)

    def _flush(self) -> None:
        while self._waiting:
            if not self._send(*self._waiting[0]):
                return
            self._waiting.popleft()
        self._loop.remove_writer(self._socket)

    def _send(self, data: bytes, address: Address) -> bool:
        """False when the kernel has no room."""
        *target, kind, control = address
        level = socket.IPPROTO_IPV6 if kind == _IPV6_PKTINFO else socket.IPPROTO_IP
        ancillary = [(level, kind, control)] if kind else []
        try:
            self._socket.sendmsg([data], ancillary, 0, tuple(target))
        except OSError as exc:
            # Anything else (no route, a network that is down, …) is a lost datagram to QUIC.
            return exc.errno not in (errno.EAGAIN, errno.ENOBUFS)
        return True

    def _read(self) -> None:
        for _ in range(BATCH):
            try:
                data, ancillary, flags, source = self._socket.recvmsg(LARGEST, _ANCILLARY)
            except BlockingIOError:
                break
            except OSError:  # an earlier datagram could not be delivered
                continue
            if not flags & socket.MSG_TRUNC and source[1]:
                self._received(data, (*source, *_path(ancillary)))
        self._finished()


def _path(ancillary: list[tuple[int, int, bytes]]) -> tuple[int, bytes]:
    """Which of our addresses a datagram came to, as what has to be said when answering."""
    for level, kind, control in ancillary:
        if level == socket.IPPROTO_IP and kind == _IP_PKTINFO:
            # struct in_pktinfo: interface, address to answer from, address in the header. The
            # interface is left to the routing table.
            return kind, bytes(4) + control[4:8] + bytes(4)
        if level == socket.IPPROTO_IPV6 and kind == _IPV6_PKTINFO:
            return kind, control
    return 0, b""
