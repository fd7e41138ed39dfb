"""Feeds a request parser and records what it finds, for the tests of the wire."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from skitai.wire.errors import MalformedRequest
from skitai.wire.http1 import RequestParser

if TYPE_CHECKING:
    from collections.abc import Iterable

    from skitai.wire.request import Request

DEFAULTS = (8192, 65536, 128)  # bytes of target, bytes of headers, number of headers


@dataclass
class Message:
    """A request as the parser's sink got it; ``length`` is 0 without a body, None when chunked."""

    method: str
    path: str
    query: str
    version: str
    headers: dict[str, str]
    keep_alive: bool
    body: bytes = b""
    length: int | None = 0


class Recorder:
    """A sink that keeps the complete messages, and checks the order of the calls."""

    def __init__(self) -> None:
        self.messages: list[Message] = []
        self.targets: list[str] = []
        self.open: Message | None = None

    def request_received(self, request: Request, keep_alive: bool) -> None:
        assert self.open is None
        self.messages.append(self._message(request, keep_alive))

    def request_started(self, request: Request, keep_alive: bool, length: int | None) -> None:
        assert self.open is None
        self.open = self._message(request, keep_alive)
        self.open.length = length

    def body_received(self, data: bytes) -> None:
        assert self.open is not None
        assert data
        self.open.body += data

    def request_ended(self) -> None:
        assert self.open is not None
        assert self.open.length in (None, len(self.open.body))
        self.messages.append(self.open)
        self.open = None

    def _message(self, request: Request, keep_alive: bool) -> Message:
        self.targets.append(request.target)
        return Message(
            request.method,
            request.path,
            request.query,
            request.version,
            request.headers,
            keep_alive,
        )


def record(pieces: Iterable[bytes], *limits: int) -> tuple[list[Message], int | None]:
    """Feed the pieces to a new parser.

    Returns the complete messages and the status of the error that ended it, or None.
    """
    recorder = Recorder()
    parser = RequestParser(recorder, *(limits or DEFAULTS))
    try:
        for piece in pieces:
            parser.feed(piece)
    except MalformedRequest as exc:
        return recorder.messages, exc.status
    return recorder.messages, None
