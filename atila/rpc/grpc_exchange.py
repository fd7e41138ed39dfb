"""``GrpcExchange``: a gRPC call as its route sees it; what it sends are messages and a status.

``atila.rpc.grpc`` makes one for each call. Routes, streams and tasks use it like any exchange.
"""

from __future__ import annotations

import logging
import threading
from typing import TYPE_CHECKING, Any

from skitai.server.exchange import ClientGone, Exchange
from skitai.server.representation import Head
from skitai.wire.grpc import ENCODINGS, Status, encode_status_message, frame, status_of_http

if TYPE_CHECKING:
    from collections.abc import Callable

    from atila.errors import HTTPError
    from skitai.server.representation import Fields
    from skitai.wire.protobuf import Method

log = logging.getLogger("skitai")

CONTENT_TYPE = "application/grpc"
MIN_COMPRESSED = 1024  # bytes of a message

# Of HTTP, or of gRPC itself: an app does not set them.
_RESERVED = frozenset(
    ("content-type", "content-length", "trailer", "transfer-encoding", "vary")
    + ("grpc-status", "grpc-message", "grpc-encoding")
)


class GrpcExchange(Exchange):
    """A call.

    Parameters:
        outer: the request that it came with.

    Attributes:
        method: what is called; None until that is known.
        packed: messages that were made ready to be sent.
        late: gives the headers that the app has set by now.
    """

    __slots__ = (
        "_begun",
        "_encoding",
        "_ended",
        "_lock",
        "_outer",
        "late",
        "method",
        "packed",
    )

    def __init__(self, outer: Exchange) -> None:
        super().__init__(outer.channel, outer.request, False)
        self._outer = outer
        self._lock = threading.Lock()
        self._encoding = ""
        self._begun: Fields | None = None
        self._ended = False
        self.method: Method | None = None
        self.packed = 0
        self.late: Callable[[], Fields | None] | None = None

    @property
    def ended(self) -> bool:
        """The client has its status."""
        return self._ended

    def answer_like(self, encoding: str) -> None:
        """Compress what is worth it as the client does, if it accepts that."""
        accepted = self.request.headers.get("grpc-accept-encoding", "")
        if encoding in ENCODINGS and encoding in accepted.replace(" ", "").split(","):
            self._encoding = encoding

    def pack(self, message: Any) -> bytes:
        """A message with its prefix. Raises ``TypeError`` for what the method doesn't answer."""
        method = self.method
        assert method is not None
        if not isinstance(message, method.response):
            raise TypeError(
                f"{method.service}.{method.name} answers with "
                f"{method.response.DESCRIPTOR.full_name}, not with {type(message).__name__}"
            )
        if self.packed and not method.gives_stream:
            raise TypeError(
                f"{method.service}.{method.name} answers with one message, not with more"
            )
        self.packed += 1
        data = message.SerializeToString()
        return frame(data, self._encoding if len(data) >= MIN_COMPRESSED else "")

    # -- the response, as routes and streams send it

    def start(self, head: Head) -> None:
        """Send the metadata, unless they are sent already."""
        with self._lock:
            self._check()
            if self._begun is not None:
                return
            self._begun = fields = _metadata(head.fields)
            if self._encoding:
                fields = [*fields, ("grpc-encoding", self._encoding)]
            self.answered = True
            self._outer.start(Head(200, CONTENT_TYPE, fields or None))

    def write(self, data: bytes) -> bool:
        with self._lock:
            self._check()
            return self._outer.write(data)

    def _check(self) -> None:
        if self._ended or self.gone:
            raise ClientGone

    def end(self, trailers: Fields | None = None) -> None:
        """Complete the answer with the status OK, if it is one of the method."""
        method = self.method
        if method is not None and not method.gives_stream and not self.packed:
            log.error("%s answered without a message", self.request.path)
            self.finish(Status.INTERNAL, "Internal Server Error")
        else:
            self.finish(Status.OK)

    def finish(self, status: Status, message: str = "", fields: Fields | None = None) -> None:
        """Give the call its status, once; any thread.

        Parameters:
            message: for the client; empty for none.
            fields: metadata behind the messages, beside what the app has set since they began.
        """
        with self._lock:
            if self._ended:
                return
            self._ended = True
            if self._outer.gone:
                return
            trailers = [("grpc-status", str(int(status)))]
            if message:
                trailers.append(("grpc-message", encode_status_message(message)))
            trailers += _metadata(fields) if fields else []
            if self._begun is None:
                self._outer.respond(Head(200, CONTENT_TYPE, trailers), b"")
                return
            if self.late is not None:
                begun = self._begun
                trailers += [pair for pair in _metadata(self.late()) if pair not in begun]
            self._outer.end(trailers)

    # -- what else an exchange is asked for

    def respond(self, head: Head, body: bytes) -> None:
        raise TypeError("a gRPC method answers with messages")

    def fail(self, error: HTTPError, fields: Fields | None = None) -> None:
        self.finish(status_of_http(error.code), error.explain or error.reason, fields)

    def crash(self, exc: BaseException) -> None:
        log.error("%s failed", self.request.path, exc_info=exc)
        self.finish(Status.INTERNAL, "Internal Server Error")

    def abort(self) -> None:
        self.finish(Status.INTERNAL, "the answer broke off")

    def when_writable(self, callback: Callable[[], None]) -> None:
        self._outer.when_writable(callback)


def _metadata(fields: Fields | None) -> Fields:
    """What may go with messages, with names as HTTP/2 has them."""
    lowered = [(name.lower(), value) for name, value in fields or ()]
    return [pair for pair in lowered if pair[0] not in _RESERVED]
