"""What the receiving half of an HTTP/2 connection calls: its sink.

``server/http2/connection.py`` implements it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol, TypeVar

from skitai.wire.http2.sending import Stream

if TYPE_CHECKING:
    from skitai.wire.http2.requests import RequestHead

T = TypeVar("T", bound=Stream, contravariant=True)


class Sink(Protocol[T]):
    """Receives what the client sends, in order; all on the loop."""

    def request_received(self, stream_id: int, head: RequestHead, ended: bool) -> None:
        """A new stream. Puts it into ``Receiver.streams`` before anything can end it."""

    def body_received(self, stream: T, data: bytes) -> None:
        """A piece of the request's body; not empty."""

    def request_ended(self, stream: T) -> None:
        """The body is complete."""

    def stream_broken(self, stream: T) -> None:
        """The client has reset the stream; it is no longer in ``Receiver.streams``."""

    def break_off(self, stream: T, code: int) -> None:
        """Reset the stream for what the client did on it, and forget it."""

    def grant(self, stream: T, size: int) -> None:
        """Let the client send more on a stream, unless that is over."""

    def window_opened(self, stream: T | None, size: int) -> None:
        """More may be sent; without a stream it is about the connection."""

    def settings_received(self, settings: dict[int, int]) -> None:
        """The client's settings; the acknowledgement is sent behind this call."""

    def goaway_received(self) -> None:
        """The client opens no more streams."""

    def send(self, frame: bytes) -> None:
        """A frame for the client."""
