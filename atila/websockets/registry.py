"""The open websockets of an app in one worker, by their numbers and rooms, and the way to those in
other workers.

``client`` and ``declaring`` send by it; the worker's bus carries what goes to others.
"""

from __future__ import annotations

import itertools
import os
import threading
import time
from typing import TYPE_CHECKING, Any

import msgspec

from atila.arguments import decode_json

if TYPE_CHECKING:
    from atila.app import Atila
    from atila.websockets.client import ClientSocket

SERIALS = 2**30  # sockets of a worker, then of the next process id
STOP_SECONDS = 5.0
CHANNEL = "atila.websocket/"

_serials = itertools.count(1)  # of the process: numbers of all its apps are different


class Parcel(msgspec.Struct, array_like=True):
    """What goes to another worker.

    Attributes:
        client_id: whom it is for; 0 for a room.
        scope, room: the room.
        json: the message is a value, as JSON.
    """

    client_id: int
    scope: str
    room: str
    message: Any  # text or bytes
    json: bool = False


_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(Parcel).decode


class Sockets:
    """The websockets of one app.

    Parameters:
        app: whose apps of the same worker are reached, too.
    """

    __slots__ = ("_app", "_channel", "_emptied", "_lock", "_rooms", "_sockets")

    def __init__(self, app: Atila) -> None:
        self._app = app
        self._channel = ""
        self._lock = threading.Lock()
        self._emptied = threading.Condition(self._lock)
        self._sockets: dict[int, ClientSocket] = {}
        self._rooms: dict[tuple[str, str], set[ClientSocket]] = {}

    def __len__(self) -> int:
        return len(self._sockets)

    def start(self) -> None:
        """Hear from the other workers; called when the app begins to serve."""
        peers = self._app.peers
        bus, name = peers.bus, next((key for key in peers if peers.get(key) is self._app), None)
        if bus is not None and name is not None:
            self._channel = f"{CHANNEL}{name}"[:255]
            bus.subscribe(self._channel, self._receive)

    def stop(self) -> None:
        """Wait for handlers of sockets that the worker has closed, a moment; called in a thread."""
        until = time.monotonic() + STOP_SECONDS
        with self._emptied:
            while self._sockets and time.monotonic() < until:
                self._emptied.wait(until - time.monotonic())

    # -- members (any thread)

    def number(self) -> int:
        """A number that no other socket of the service has."""
        return os.getpid() * SERIALS + next(_serials) % SERIALS

    def add(self, socket: ClientSocket) -> None:
        with self._lock:
            self._sockets[socket.client_id] = socket

    def remove(self, socket: ClientSocket) -> None:
        """Forget a socket that has ended, in all its rooms."""
        with self._lock:
            self._sockets.pop(socket.client_id, None)
            for key in socket.rooms:
                self._quit(socket, key)
            socket.rooms = frozenset()
            if not self._sockets:
                self._emptied.notify_all()

    def join(self, socket: ClientSocket, scope: str, room: str) -> None:
        """Let a socket get what is sent to a room; one that has ended gets nothing.

        Parameters:
            scope: the resource whose room it is; empty for those of the app.
        """
        key = (scope, _checked(room))
        with self._lock:
            if socket.client_id in self._sockets:
                self._rooms.setdefault(key, set()).add(socket)
                socket.rooms |= {key}

    def leave(self, socket: ClientSocket, scope: str, room: str) -> None:
        key = (scope, _checked(room))
        with self._lock:
            self._quit(socket, key)
            socket.rooms -= {key}

    def _quit(self, socket: ClientSocket, key: tuple[str, str]) -> None:
        members = self._rooms.get(key)
        if members is not None:
            members.discard(socket)
            if not members:
                del self._rooms[key]

    # -- sending (any thread)

    def send(self, client_id: Any, message: Any) -> None:
        """Send to one socket, wherever it is; nothing happens when there is none."""
        if not isinstance(client_id, int):
            return
        socket = self.find(client_id)
        if socket is not None:
            socket.send(message)
            return
        worker, bus = client_id // SERIALS, self._app.peers.bus
        if bus is not None and self._channel and 0 < worker < 2**31 and worker != bus.worker:
            bus.send(worker, self._channel, self._pack(client_id, "", "", message))

    def broadcast(self, scope: str, room: str, message: Any) -> None:
        """Send to all members of a room, in all workers."""
        self._send_here(scope, _checked(room), message)
        bus = self._app.peers.bus
        if bus is not None and self._channel:
            bus.publish(self._channel, self._pack(0, scope, room, message))

    def find(self, client_id: int) -> ClientSocket | None:
        """A socket of this worker: of this app, else of another."""
        socket = self._sockets.get(client_id)
        if socket is None and client_id // SERIALS == os.getpid():
            peers = self._app.peers
            for name in peers:
                others = getattr(peers.get(name), "websockets", None)
                if isinstance(others, Sockets) and client_id in others._sockets:
                    return others._sockets.get(client_id)
        return socket

    def _send_here(self, scope: str, room: str, message: Any) -> None:
        with self._lock:
            members = list(self._rooms.get((scope, room), ()))
        for member in members:
            member.send(message)

    # -- other workers

    def _pack(self, client_id: int, scope: str, room: str, message: Any) -> bytes:
        if isinstance(message, (bytearray, memoryview)):
            message = bytes(message)
        if isinstance(message, (str, bytes)):
            return _encode(Parcel(client_id, scope, room, message))
        return _encode(Parcel(client_id, scope, room, self._app.encode(message), True))

    def _receive(self, data: bytes) -> None:
        """A parcel from another worker; on the loop."""
        try:
            parcel = _decode(data)
            message: Any = parcel.message
            if parcel.json:
                message = decode_json(message)
            if not parcel.client_id:
                self._send_here(parcel.scope, parcel.room, message)
            elif (socket := self.find(parcel.client_id)) is not None:
                socket.send(message)
        except (TypeError, ValueError, msgspec.MsgspecError) as exc:
            # The sender is in another process: nobody else could be told.
            self._app.logger.error("a message for a websocket can't be sent: %s", exc)


def _checked(room: str) -> str:
    if not isinstance(room, str):
        raise TypeError(f"a room is named by text, not {room!r}")
    return room
