"""Where the workers of a service find each other, and who belongs to them.

Each listens at an abstract address (``unix(7)``): it has no file, so it ends with its process. The
address is that of the family, and a place in it: the lowest that is free.
"""

from __future__ import annotations

import errno
import os
import socket
import struct
from dataclasses import dataclass

# PERF: to look whether somebody is at a place takes 2.6 us: 1.3 ms for all when a worker starts.
LAST_PLACE = 511
BACKLOG = 128
_CREDENTIALS = struct.Struct("3i")  # struct ucred


@dataclass(frozen=True)
class Family:
    """The processes of one parent, which is the master of a service.

    Attributes:
        parent: process id of the parent.
        born: when it was started, in ticks since the machine was; a later process with the same id
            is not taken for it. 0 where that is hidden.
    """

    parent: int
    born: int

    @classmethod
    def of_parent(cls) -> Family:
        """The family of this process."""
        parent = os.getppid()
        try:
            return cls(parent, _birth(parent))
        except OSError:  # a system that shows nobody the processes of others
            return cls(parent, 0)

    def listen(self) -> tuple[socket.socket, int]:
        """Listen at the first place that is free; raises ``OSError`` when none is."""
        listener = _new_socket()
        try:
            for place in range(LAST_PLACE + 1):
                if _bind(listener, self._address(place)):
                    listener.listen(BACKLOG)
                    return listener, place
            raise OSError(errno.EADDRINUSE, f"all {LAST_PLACE + 1} places are taken")
        except OSError:
            listener.close()
            raise

    def connect(self, place: int) -> socket.socket | None:
        """Connect to who is at a place; None: nobody of the family is.

        Raises ``BlockingIOError`` when too many others do the same.
        """
        connection = _new_socket()
        try:
            connection.connect(self._address(place))
            if self.includes(connection):
                return connection
        except BlockingIOError:
            connection.close()
            raise
        except OSError:
            pass  # nobody listens there
        connection.close()
        return None

    def includes(self, connection: socket.socket) -> bool:
        """Whether a worker of this service is at the other end."""
        process, user = peer_of(connection)
        try:
            return user == os.geteuid() and _parent_of(process) == self.parent
        except (OSError, ValueError):  # it has ended
            return False

    def _address(self, place: int) -> str:
        return f"\0skitai-{self.parent}-{self.born}-{place}"


def peer_of(connection: socket.socket) -> tuple[int, int]:
    """The process and the user at the other end, as the kernel knows them."""
    size = _CREDENTIALS.size
    found = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, size)
    process, user, _ = _CREDENTIALS.unpack(found)
    return process, user


def _new_socket() -> socket.socket:
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    connection.setblocking(False)
    return connection


def _bind(listener: socket.socket, address: str) -> bool:
    try:
        listener.bind(address)
    except OSError as exc:
        if exc.errno == errno.EADDRINUSE:
            return False
        raise
    return True


def _facts(process: int) -> list[bytes]:
    """What ``proc(5)`` tells in ``stat``, behind the name, which may have anything in it."""
    with open(f"/proc/{process}/stat", "rb") as file:
        return file.read().rpartition(b")")[2].split()


def _parent_of(process: int) -> int:
    return int(_facts(process)[1])


def _birth(process: int) -> int:
    return int(_facts(process)[19])
