"""``Messages``: the messages of a gRPC call, taken from its body as they arrive."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from skitai.wire.grpc import (
    ACCEPTED,
    ENCODINGS,
    PREFIX_SIZE,
    GrpcError,
    Status,
    decompress,
    parse_prefix,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from google.protobuf.message import Message

    from skitai.server.body_stream import BodyStream
    from skitai.wire.protobuf import Method

# Bytes; larger messages are parsed in a thread. Compressed ones may become a thousand times longer.
PARSED_ON_LOOP = 64 * 1024
UNPACKED_ON_LOOP = 4 * 1024


class Messages:
    """What the client sends.

    Parameters:
        body: None when it sends nothing.
        method: whose messages they are.
        encoding: of those that are compressed, the value of ``grpc-encoding``.
        limit: bytes of a message, compressed or not.

    Attributes:
        asked: called when the first message is asked for.

    Raises ``GrpcError`` for an encoding that is not known.
    """

    __slots__ = ("_body", "_encoding", "_limit", "_method", "asked")

    def __init__(self, body: BodyStream | None, method: Method, encoding: str, limit: int) -> None:
        if encoding not in ("", "identity", *ENCODINGS):
            text = f"grpc-encoding {encoding[:40]!r} is not known, but {ACCEPTED}"
            raise GrpcError(Status.UNIMPLEMENTED, text)
        self._body = body
        self._method = method
        self._encoding = encoding
        self._limit = limit
        self.asked: Callable[[], None] | None = None

    async def read(self, size: int = 0) -> Message | None:
        """The next message, None when there are no more; ``size`` means nothing here.

        Raises ``GrpcError`` for what is no message, and for one that is too large.
        """
        if self.asked is not None:
            asked, self.asked = self.asked, None
            asked()
        prefix = await self._take(PREFIX_SIZE)
        if not prefix:
            return None
        if len(prefix) < PREFIX_SIZE:
            raise _cut_off()
        packed, length = parse_prefix(prefix, self._limit)
        data = await self._take(length) if length else b""
        if len(data) < length:
            raise _cut_off()
        if length <= (UNPACKED_ON_LOOP if packed else PARSED_ON_LOOP):
            return self._parse(data, packed)
        return await asyncio.to_thread(self._parse, data, packed)

    async def only(self) -> Message:
        """The message of a method that takes one. Raises ``GrpcError``."""
        message = await self.read()
        if message is None:
            raise GrpcError(Status.INTERNAL, "the call has no message")
        if await self._take(1):
            raise GrpcError(Status.INTERNAL, "the call has more than one message")
        return message

    async def collect(self, limit: int) -> list[Message]:
        """All messages, of ``limit`` bytes together at most. Raises ``GrpcError``."""
        messages, size = [], 0
        while (message := await self.read()) is not None:
            # Each also takes some memory of its own, however small it is.
            size += message.ByteSize() + 64
            if size > limit:
                text = f"the messages have more than {limit} bytes together"
                raise GrpcError(Status.RESOURCE_EXHAUSTED, text)
            messages.append(message)
        return messages

    def lost(self) -> None:
        """The client left; the body knows that too."""

    async def _take(self, size: int) -> bytes:
        """So many bytes; less at the end."""
        body = self._body
        if body is None:
            return b""
        data = await body.read(size)
        while len(data) < size and (more := await body.read(size - len(data))):
            data += more
        return data

    def _parse(self, data: bytes, packed: bool) -> Message:
        if packed:
            data = decompress(data, self._encoding, self._limit)
        kind: Any = self._method.request
        try:
            message: Message = kind.FromString(data)
        except Exception:  # DecodeError, of a library that is loaded when it is needed
            text = f"a message is no {kind.DESCRIPTOR.full_name}"
            raise GrpcError(Status.INTERNAL, text) from None
        return message


def _cut_off() -> GrpcError:
    return GrpcError(Status.INTERNAL, "the call ends in the middle of a message")
