"""A request over HTTP/3 that goes on in another protocol (RFC 9220): the frames of its stream."""

from __future__ import annotations

from typing import TYPE_CHECKING

from skitai.wire.http3.errors import Code

if TYPE_CHECKING:
    from collections.abc import Callable

    from skitai.server.http3.stream import Http3Stream
    from skitai.server.tunnel import Receiver


class Http3Tunnel:
    """The way to the client; see ``skitai.server.tunnel.Tunnel``.

    Parameters:
        stream: the request's.
        receiver: the handler's end.
    """

    __slots__ = ("_stream", "receiver")

    def __init__(self, stream: Http3Stream, receiver: Receiver) -> None:
        self._stream = stream
        self.receiver = receiver

    @property
    def backlog(self) -> bool:
        return self._stream.backlog

    def write(self, data: bytes) -> bool:
        stream = self._stream
        if stream.over or not data:
            return not stream.over
        stream.exchange.bytes_sent += len(data)
        return stream.send(data)

    def when_writable(self, callback: Callable[[], None]) -> None:
        self._stream.when_writable(callback)

    def hold(self) -> None:
        self._stream.hold()

    def resume(self) -> None:
        self._stream.resume()

    def finish(self) -> None:
        self._stream.finish()

    def close(self) -> None:
        # Not now: whoever calls is in the middle of something.
        self._stream.server.loop.call_soon(self._stream.on_broken, Code.REQUEST_CANCELLED)
