"""``was.websocket``: one socket, as handlers and threads of an app see it."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Protocol

from atila.websockets.messages import TEXT, apply_opcode, is_with_opcode
from skitai.sockets import WS_OPCODE_CLOSE

if TYPE_CHECKING:
    from collections.abc import Generator

    from atila.websockets.messages import Codec
    from atila.websockets.registry import Sockets
    from skitai.server.websocket.session import WebSocket


class Source(Protocol):
    """Where ``receive`` has its messages from: the conversation of an ``async def`` handler."""

    async def next_message(self) -> Any: ...
    async def take(self) -> Any: ...


class EndOfMessages(Exception):
    """The socket is closed, and all its messages have been taken."""


class Sent:
    """What ``send`` returns; to await it is to wait until the client keeps up.

    It is true when the client does, and need not be looked at.
    """

    __slots__ = ("_websocket",)

    def __init__(self, websocket: WebSocket | None = None) -> None:
        self._websocket = websocket

    def __bool__(self) -> bool:
        return self._websocket is None

    def __await__(self) -> Generator[Any, None, bool]:
        if self._websocket is None:
            return True
        yield from writable(self._websocket).__await__()
        return True


TAKEN = Sent()


async def writable(websocket: WebSocket) -> None:
    """Wait on the loop until a client has caught up, or is gone."""
    loop = asyncio.get_running_loop()
    caught_up: asyncio.Future[None] = loop.create_future()
    websocket.when_writable(lambda: None if caught_up.done() else caught_up.set_result(None))
    await caught_up


class ClientSocket:
    """One socket of one client.

    It may be kept when the handler has returned, and by threads. When the socket is closed, what
    is sent is forgotten.

    Attributes:
        client_id: a number that no other socket of the service has; ``app.websocket_send`` takes
            it, in all workers.
        room: of a group chat, else None.
        rooms: the rooms it is in, with the resource that each belongs to; the registry's.
        codec: makes messages of values.
        source: where ``receive`` has messages from; None where handlers get them as arguments.
    """

    __slots__ = (
        "__weakref__",
        "_scope",
        "_sockets",
        "_websocket",
        "client_id",
        "codec",
        "room",
        "rooms",
        "source",
    )

    def __init__(self, sockets: Sockets, websocket: WebSocket, codec: Codec) -> None:
        self.client_id = sockets.number()
        self.codec = codec
        self.room: str | None = None
        self.rooms: frozenset[tuple[str, str]] = frozenset()
        self.source: Source | None = None
        self._scope = ""
        self._sockets = sockets
        self._websocket = websocket

    @property
    def open(self) -> bool:
        """Whether the socket is accepted and not closed."""
        return self._websocket.open

    @property
    def subprotocol(self) -> str:
        """What client and declaration have agreed on; empty for nothing."""
        return self._websocket.subprotocol

    def send(self, message: Any, opcode: int | None = None) -> Sent:
        """Send a message; any thread, in order.

        Parameters:
            message: text, bytes, or what the socket's encoding takes.
            opcode: ``WS_OPCODE_BINARY`` sends text as a binary message, ``WS_OPCODE_TEXT`` bytes
                as text; ``WS_OPCODE_CLOSE`` closes, the message is the reason.

        ``await was.websocket.send(…)`` also waits until the client keeps up. Raises ``TypeError``
        for what can't be sent, ``ValueError`` for another opcode. Nothing happens when the socket
        is closed.
        """
        websocket = self._websocket
        if opcode is None:
            data = message if type(message) is str and self.codec is TEXT else self._encode(message)
        elif opcode == WS_OPCODE_CLOSE:
            self.close(reason=apply_opcode(message, 1))  # type: ignore[arg-type]  # it is text
            return TAKEN
        else:
            data = apply_opcode(self._encode(message), opcode)
        if websocket.send(data) or not websocket.open:
            return TAKEN
        return Sent(websocket)

    def _encode(self, message: Any) -> str | bytes:
        return self.codec.encode(message)

    def send_result(self, value: Any) -> Sent:
        """Send one of the values that a handler returned: a message, perhaps with an opcode."""
        if type(value) is tuple and self.codec is TEXT and is_with_opcode(value):
            message, opcode = value if isinstance(value[1], int) else (value[1], value[0])
            return self.send(message, opcode)
        return self.send(value)

    def close(self, code: int = 1000, reason: str = "") -> None:
        """Close the socket behind what was sent; any thread.

        Parameters:
            code: for the client (RFC 6455, 7.4).
            reason: text for the client, up to 123 bytes.
        """
        self._websocket.close(code, reason)

    # -- receiving, in ``async def`` handlers

    async def receive(self) -> Any:
        """The next message; None when the socket is closed.

        Only for handlers of ``WS_COROUTINE``; the others get messages as arguments. Raises
        ``RuntimeError`` there.
        """
        return await self._source().next_message()

    def __aiter__(self) -> ClientSocket:
        return self

    async def __anext__(self) -> Any:
        try:
            return await self._source().take()
        except EndOfMessages:
            raise StopAsyncIteration from None

    def _source(self) -> Source:
        if self.source is None:
            raise RuntimeError(
                "was.websocket.receive() is for 'async def' handlers of WS_COROUTINE: this one "
                "gets its messages in another way"
            )
        return self.source

    # -- rooms

    def join(self, room: str) -> None:
        """Get what is broadcast to a room of the app, in all workers; it begins with its first
        member and ends with its last."""
        self._sockets.join(self, "", room)

    def leave(self, room: str) -> None:
        """Get it no more; nothing happens when the socket is not in the room."""
        self._sockets.leave(self, "", room)

    def broadcast(self, message: Any, room: str | None = None) -> None:
        """Send a message to all members of a room, in all workers, this one too.

        Parameters:
            message: as for ``send``.
            room: that was joined, by anybody; default: that of the group chat. ``ValueError``
                where there is none.
        """
        if room is not None:
            self._sockets.broadcast("", room, message)
        elif self.room is None:
            raise ValueError("was.websocket.broadcast(): name a room, this is no group chat")
        else:
            self._sockets.broadcast(self._scope, self.room, message)

    def enter(self, scope: str, room: str) -> None:
        """Take part in a group chat, the one of a resource."""
        self._scope, self.room = scope, room
        self._sockets.join(self, scope, room)
