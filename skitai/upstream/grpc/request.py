"""A call of a gRPC method, and what was answered; stubs make calls, backends answer them."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Iterable, Iterator, Sized
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from skitai.tasks.reply import Reply

if TYPE_CHECKING:
    from skitai.wire.protobuf import Method

    Metadata = list[tuple[str, str | bytes]]

MAX_INLINE = 64 * 1024  # bytes of a message that is parsed on the loop

_KEY = re.compile(r"[0-9a-z_.-]+")
_VALUE = re.compile(r"[\x20-\x7e]*")
_END: Any = object()


@dataclass(slots=True)
class GrpcRequest:
    """A call.

    Attributes:
        method: what is called.
        path: of the service, behind that of the member: ``/package.Service``.
        message: serialized; None for a method that takes a stream.
        messages: what such a method takes: an iterator, also an asynchronous one.
        metadata: of the call.
        compress: ``"gzip"``, ``"deflate"``, or empty.
        deadline: when the server has to have answered (monotonic seconds).
    """

    method: Method
    path: str
    message: bytes | None
    messages: Any
    metadata: Metadata
    compress: str
    deadline: float


class GrpcReply(Reply):
    """What a method has answered.

    Attributes:
        headers: the metadata that came first.
        trailers: the metadata behind the messages.
    """

    __slots__ = ("headers", "trailers")

    def __init__(
        self,
        data: Any,
        headers: Any,
        trailers: Any,
        status_code: int = 200,
        reason: str = "OK",
        error: BaseException | None = None,
    ) -> None:
        super().__init__(data, status_code, reason, error)
        self.headers = dict(headers or ())
        self.trailers = dict(trailers or ())


def make_metadata(headers: Any) -> Metadata:
    """Metadata of headers, given as a dictionary or as pairs.

    Raises ``ValueError`` for what metadata can't have.
    """
    pairs = headers.items() if hasattr(headers, "items") else headers or ()
    metadata: Metadata = []
    for name, value in pairs:
        key = str(name).lower()
        if not _KEY.fullmatch(key) or key.startswith("grpc-"):
            raise ValueError(f"{name!r} is no name for metadata: use letters, digits, '-' and '_'")
        if key.endswith("-bin"):
            metadata.append((key, value if isinstance(value, bytes) else str(value).encode()))
            continue
        text = str(value)
        if not _VALUE.fullmatch(text):
            raise ValueError(f"metadata {name!r} must be of printable ASCII: call it '{key}-bin'")
        metadata.append((key, text))
    return metadata


def check_messages(method: Method, given: Any) -> Any:
    """The messages for a method that takes a stream of them. Raises ``TypeError``."""
    if isinstance(given, method.request) or not isinstance(given, (Iterable, AsyncIterator)):
        if hasattr(given, "__aiter__"):
            return aiter(given)
        raise TypeError(
            f"{method.service}.{method.name} takes a stream: give an iterator or a list of "
            f"{method.request.DESCRIPTOR.full_name}, not {type(given).__name__}"
        )
    return given


def serialize(method: Method, message: Any) -> bytes:
    """A message for a method. Raises ``TypeError`` for one of another type."""
    if not isinstance(message, method.request):
        raise TypeError(
            f"{method.service}.{method.name} takes {method.request.DESCRIPTOR.full_name}, "
            f"not {type(message).__name__}"
        )
    data: bytes = message.SerializeToString()
    return data


async def each(messages: Any) -> AsyncIterator[Any]:
    """The messages of a stream; a generator of the app runs in a thread, it may block."""
    if isinstance(messages, AsyncIterator):
        async for message in messages:
            yield message
    elif isinstance(messages, Sized):
        for message in messages:  # type: ignore[attr-defined]  # it was checked
            yield message
    else:
        iterator: Iterator[Any] = iter(messages)
        while (message := await asyncio.to_thread(next, iterator, _END)) is not _END:
            yield message


async def parse(method: Method, data: bytes) -> Any:
    """The message of an answer. Raises ``google.protobuf.message.DecodeError``."""
    if len(data) <= MAX_INLINE:
        return method.response.FromString(data)
    return await asyncio.to_thread(method.response.FromString, data)
