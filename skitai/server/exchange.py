"""One request and its response, whatever the HTTP version.

A connection makes it, dispatch hands it to a handler, the handler answers through it, from the loop
or from any thread. What holds for every response is written here once: HEAD, empty statuses,
conditional and range answers, compression, errors that nobody else answered.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any, Protocol

from skitai.config import MIN_COMPRESSED
from skitai.errors import HTTPError
from skitai.server import representation
from skitai.server.body_stream import BodyStream
from skitai.server.error_page import render_error

if TYPE_CHECKING:
    from collections.abc import Callable

    from skitai.server.body import RequestBody
    from skitai.server.core import Server
    from skitai.server.files import FilePart
    from skitai.server.origin import Origin
    from skitai.server.representation import Fields, Head
    from skitai.server.tunnel import Receiver, Tunnel
    from skitai.wire.request import Request

log = logging.getLogger("skitai")

SHORT_BODY = 64 * 1024  # bytes
RETRY_SECONDS = "5"


class ClientGone(Exception):
    """The client left before the response was complete."""


class Channel(Protocol):
    """What an exchange needs from the protocol below it; one class per HTTP version.

    Methods may be called from any thread unless they say that they are for the loop.
    """

    server: Server
    peer: tuple[str, int]
    scheme: str

    def respond(self, exchange: Exchange, head: Head, body: bytes) -> None:
        """Send a whole response and end the exchange."""

    def start(self, exchange: Exchange, head: Head) -> None:
        """Send the head of a response whose body follows."""

    def write(self, exchange: Exchange, data: bytes) -> bool:
        """Send a piece of the body; False when the client is slower than the app."""

    def end(self, exchange: Exchange, trailers: Fields | None) -> None:
        """Complete the body, with fields behind it where the protocol has them, and end the
        exchange."""

    def abort(self, exchange: Exchange) -> None:
        """Break the response off so that the client notices."""

    def tunnel(self, exchange: Exchange, head: Head, receiver: Receiver) -> Tunnel:
        """Accept the other protocol that the client asks for; on the loop."""

    def when_writable(self, callback: Callable[[], None]) -> None:
        """Call back, on the loop, when the client has caught up or is gone."""

    def send_file(
        self, exchange: Exchange, head: Head, descriptor: int, parts: list[FilePart]
    ) -> None:
        """Send a head and parts of an open file; takes the descriptor over."""

    def expect_body(self, exchange: Exchange) -> None:
        """Tell a waiting client to send its body (RFC 9110, 10.1.1); on the loop."""

    def hold_body(self, exchange: Exchange) -> None:
        """Read no more of the body until ``resume_body``; on the loop."""

    def resume_body(self, exchange: Exchange) -> None:
        """Read on; on the loop."""


class Exchange:
    """A request being answered.

    Attributes:
        request: the request's head.
        body: the request's body, None when there is none.
        input: the body while it arrives, for an endpoint that reads it piece by piece; then
            ``body`` is None.
        params: what the router found in the path.
        arguments: what the app made of path, query and body; None until it did.
        endpoint: what the app resolved the request to.
        failure: set when the request can't be served at all; dispatch is skipped.
        keep_alive: whether the connection may serve another request.
        answered: a response has begun.
        gone: the client left, or the response was broken off.
        on_gone: called once, on the loop, when the client leaves.
        started, status, bytes_sent: for the access log.
        transaction: id of the request in log lines, if somebody made one.
    """

    __slots__ = (
        "_then",
        "answered",
        "arguments",
        "body",
        "bytes_sent",
        "channel",
        "endpoint",
        "failure",
        "gone",
        "input",
        "keep_alive",
        "on_gone",
        "params",
        "request",
        "started",
        "status",
        "transaction",
    )

    # Set when they are known: a request that is not logged never pays for them.
    started: float
    status: int
    bytes_sent: int

    def __init__(self, channel: Channel, request: Request, keep_alive: bool) -> None:
        self.channel = channel
        self.request = request
        self.keep_alive = keep_alive
        self.body: RequestBody | None = None
        self.input: BodyStream | None = None
        self.params: dict[str, Any] | None = None
        self.arguments: dict[str, Any] | None = None
        self.endpoint: Any = None
        self.failure: HTTPError | None = None
        self.on_gone: Callable[[], object] | None = None
        self.transaction = ""
        self.answered = False
        self.gone = False
        self._then: Callable[[Exchange], None] | None = None

    @property
    def origin(self) -> Origin:
        """Who sent the request, as trusted proxies say."""
        channel = self.channel
        return channel.server.trusted.origin(channel.peer[0], channel.scheme, self.request.headers)

    # -- the request's body (on the loop)

    def collect_body(self, limit: int | None, then: Callable[[Exchange], None]) -> None:
        """Wait for the whole body, then call ``then(exchange)``; 413 if it exceeds ``limit`` bytes.

        Without a limit ``Settings.max_upload_size`` holds. With no body outstanding ``then`` is
        called at once. A client that waits for ``100 Continue`` gets it; any other expectation is
        417. HTTP/1.0 has no expectations (RFC 9110, 10.1.1).
        """
        body = self.body
        if body is None:
            then(self)
            return
        if limit is None:
            limit = self.channel.server.settings.max_upload_size
        body.limit = limit
        if max(body.length or 0, body.size) > limit:
            self._too_large()
        elif body.complete:
            then(self)
        else:
            self._then = then
            self._meet_expectation()

    def stream_body(self, then: Callable[[Exchange], None]) -> None:
        """Call ``then(exchange)`` at once; the body is read as it comes, from ``input``.

        No limit holds for its size. Expectations are met as by ``collect_body``.
        """
        body = self.body
        if body is not None:
            self.input = BodyStream(self)
            if body.size:
                self.input.feed(body.read())
            self.body = None
            body.close()
            if body.complete:
                self.input.end()
            elif not self._meet_expectation():
                return
        then(self)

    def _meet_expectation(self) -> bool:
        """Ask a client for its body that waits for that; False: what it expects is unknown."""
        expectation = self.request.headers.get("expect")
        if expectation is None or self.request.version == "1.0":
            return True
        if expectation.lower() == "100-continue":
            self.channel.expect_body(self)
            return True
        self.fail(HTTPError(417, "only the expectation 100-continue is known"))
        return False

    def pass_over_body(self, then: Callable[[Exchange], None]) -> None:
        """Call ``then(exchange)`` for an answer that does not depend on the body.

        A short body is waited for, so that the connection can go on; otherwise the answer comes at
        once and the connection ends with it.
        """
        body = self.body
        short = body is not None and body.length is not None and body.length <= SHORT_BODY
        if body is None or body.complete:
            then(self)
        elif not short or "expect" in self.request.headers:
            body.wanted = False
            then(self)
        else:
            self._then = then

    def receive(self, data: bytes) -> None:
        """A piece of the body arrived; called by the channel."""
        if self.input is not None:
            self.input.feed(data)
            return
        body = self.body
        if body is None or self.answered or not body.wanted:
            return
        try:
            body.append(data)
        except OSError as exc:
            self._not_kept(exc)
            return
        if body.size > body.limit:
            self._too_large()

    def received(self) -> None:
        """The body is complete; called by the channel."""
        if self.input is not None:
            self.input.end()
        if self.body is not None:
            self.body.complete = True
        then, self._then = self._then, None
        if then is not None and not self.answered:
            try:
                then(self)
            except BaseException as exc:  # an app must not end the loop
                self.crash(exc)

    def _not_kept(self, exc: OSError) -> None:
        log.error(
            "%s %s: its body can't be kept in the directory for temporary files (%s): make room "
            "there", self.request.method, self.request.target, exc.strerror,
        )  # fmt: skip
        if not self.gone:
            self.fail(HTTPError(507))

    def _too_large(self) -> None:
        limit = self.body.limit if self.body else 0
        self.fail(HTTPError(413, f"the body is larger than {limit} bytes"))

    # -- the response (any thread)

    def respond(self, head: Head, body: bytes) -> None:
        """Answer with a complete body.

        Parameters:
            head: status and headers; Content-Length is set here.
            body: the content before any compression or range.

        Raises ``ValueError`` for unsafe headers; nothing has been sent then.
        """
        request = self.request
        status = head.status
        if status == 200:
            head.length = len(body)
            if head.fields is not None or len(body) >= MIN_COMPRESSED or "range" in request.headers:
                body = representation.select(request, head, body, self.channel.server.settings)
                # RFC 9110, 8.6: a 304 must not claim that the content it stands for is empty.
                head.length = None if head.status == 304 else len(body)
        elif status in (204, 304) or status < 200:
            body, head.content_type = b"", ""  # without content there is no type of it
        else:
            head.length = len(body)
        if request.method == "HEAD":
            body = b""
        self.channel.respond(self, head, body)

    def start(self, head: Head) -> None:
        """Begin a response whose length may be unknown; continue with ``write`` and ``end``.

        A stream of events (``text/event-stream``) has no end of its own. When the worker is to
        end, it is completed, and the app finds its client gone.
        """
        self.channel.start(self, head)
        if head.content_type.startswith(representation.EVENT_STREAM):
            server = self.channel.server
            server.event_streams.add(self)
            if self.gone:  # since the head was sent: `lost` has not found it
                server.event_streams.discard(self)
            elif server.draining:
                server.loop.call_soon_threadsafe(self.conclude)

    def write(self, data: bytes) -> bool:
        """Send a piece of a started response.

        Returns False when the client reads slower than the app writes: wait with ``when_writable``
        before the next piece. Raises ``ClientGone``.
        """
        if self.gone:
            raise ClientGone
        if not data or self.request.method == "HEAD":
            return True
        return self.channel.write(self, data)

    def end(self, trailers: Fields | None = None) -> None:
        """Complete a started response.

        Parameters:
            trailers: fields behind the body; lost where the protocol has no place for them, which
                is in HTTP/1 a body of known length.
        """
        self.channel.server.event_streams.discard(self)
        self.channel.end(self, trailers)

    def conclude(self) -> None:
        """Complete an event stream whose worker is to end; on the loop.

        Its client asks again by itself, on a new connection (HTML Standard, 9.2.3).
        """
        if self in self.channel.server.event_streams:
            self.keep_alive = False
            self.end()
            self.lost()
            self.on_gone = None

    def tunnel(self, head: Head, receiver: Receiver) -> Tunnel:
        """Go on in the protocol that ``request.protocol`` names; on the loop.

        Parameters:
            head: status 101 and the fields of the other protocol's handshake; those of the change
                itself are added, and it becomes 200 where the HTTP version has it so (RFC 8441).
            receiver: gets what the client sends; nothing before this method has returned.

        Raises ``ClientGone``.
        """
        return self.channel.tunnel(self, head, receiver)

    def abort(self) -> None:
        """Break off a started response: the client sees an incomplete body."""
        self.channel.server.event_streams.discard(self)
        self.channel.abort(self)

    def when_writable(self, callback: Callable[[], None]) -> None:
        """Call back, on the loop, when more can be written or the client is gone."""
        self.channel.when_writable(callback)

    def fail(self, error: HTTPError, fields: Fields | None = None) -> None:
        """Answer with an error that no app renders, e.g. 404 for an unknown host.

        A 503 says when to come again (RFC 9110, 10.2.3).
        """
        if error.code == 503 and fields is None:
            fields = [("Retry-After", RETRY_SECONDS)]
        content_type, body = render_error(error, self.request.headers.get("accept", ""))
        self.respond(
            representation.Head(error.code, content_type, fields, reason=error.reason), body
        )

    def crash(self, exc: BaseException) -> None:
        """An exception escaped a handler: log it, answer 500 or break the response off."""
        log.error("%s %s failed", self.request.method, self.request.target, exc_info=exc)
        if self.answered:
            self.abort()
        elif not self.gone:
            self.fail(HTTPError(500))

    def when_gone(self, callback: Callable[[], object]) -> None:
        """Also call back when the client leaves, on the loop; at once if it has left."""
        others = self.on_gone
        if others is None:
            self.on_gone = callback
        else:
            before = others  # what was there a moment ago, whatever comes later

            def call_all() -> None:
                before()
                callback()

            self.on_gone = call_all
        if self.gone:
            callback()

    def lost(self) -> None:
        """The client left: stop whatever still works for it. Called once, on the loop."""
        self.channel.server.event_streams.discard(self)
        self.gone = True
        if self.input is not None:
            self.input.lost()
        if self.on_gone is not None:
            self.on_gone()
        if self.body is not None and not self.body.complete:
            self.release()

    def release(self) -> None:
        """Drop the body; whoever finds the exchange done or gone calls it."""
        if self.body is not None:
            self.body.close()
