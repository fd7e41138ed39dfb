"""HTTP/1.1 as a client speaks it (RFC 9112): requests to bytes, bytes to responses. No sockets.

``upstream/http/connection.py`` owns one ``ResponseParser`` per connection. Framing is parsed by
llhttp (httptools), which is strict about lengths, chunk sizes, CR and LF; what it leaves to the
client (HEAD, interim answers, the end of the connection as the end of a body, sizes) is here.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Protocol

import httptools

from skitai.wire.errors import MalformedResponse
from skitai.wire.fields import check_name, check_value, join_lines

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

MAX_HEAD = 64 * 1024  # bytes of an answer before its body, interim answers included
_MAX_NAMES = 1024
_MAX_NAME_LENGTH = 64  # longer names would only fill the memory

# -- requests

_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_TARGET = re.compile(r"(?:/[!-\"$-~]*|\*)")
# The connection frames messages; a second opinion would let requests be smuggled (RFC 9112, 11.2).
# There is one connection per hop, and it is ours; 100 (Continue) is not waited for.
_OURS = frozenset(
    (
        "connection",
        "content-length",
        "expect",
        "keep-alive",
        "proxy-connection",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
    )
)
_ALWAYS_FRAMED = frozenset(("POST", "PUT", "PATCH"))  # RFC 9110, 8.6
_lower_names: dict[str, str] = {}


def encode_request(
    method: str,
    target: str,
    fields: Sequence[tuple[str, str]],
    defaults: Iterable[tuple[str, str, str]] = (),
    length: int | None = 0,
    upgrade: str = "",
) -> bytes:
    """The head of a request.

    Parameters:
        method: any token.
        target: path and query, percent-encoded, without fragment; or ``*``.
        fields: names and values. Those about framing and the connection itself are left out.
        defaults: lower-case name, name and value of fields that are sent unless ``fields`` has
            them; what they contain is trusted.
        length: bytes of the body, None for a chunked one.
        upgrade: the protocol to go on in; trusted.

    Raises ``ValueError`` for anything that is not what RFC 9110 (5.1, 5.5, 9.1) and RFC 9112 (3.2)
    allow, so that input of users can't add headers or requests; ``TypeError`` for a field that is
    no text.
    """
    if not _TOKEN.fullmatch(method):
        raise ValueError(f"the method {method!r} is not a token")
    if not _TARGET.fullmatch(target):
        raise ValueError(f"the path {target!r} must begin with / and be percent-encoded")
    parts: list[str] = []
    given = set()
    for name, value in fields:
        key = _lower_names.get(name) or _field_name(name)
        if key not in _OURS:
            given.add(key)
            parts += (name, ": ", value, "\r\n")
        else:
            check_value(name, value)
    lines = [f"{method} {target} HTTP/1.1\r\n", join_lines(parts, fields)]
    lines += [f"{name}: {value}\r\n" for key, name, value in defaults if key not in given]
    if length is None:
        lines.append("Transfer-Encoding: chunked\r\n")
    elif length or method in _ALWAYS_FRAMED:
        lines.append(f"Content-Length: {length}\r\n")
    if upgrade:
        lines.append(f"Connection: Upgrade\r\nUpgrade: {upgrade}\r\n")
    lines.append("\r\n")
    try:
        return "".join(lines).encode("latin-1")
    except UnicodeEncodeError as exc:
        raise ValueError(f"headers have no such character: {exc.object[exc.start]!r}") from None


def _field_name(name: str) -> str:
    check_name(name)
    key = name.lower()
    if len(_lower_names) < _MAX_NAMES and len(name) <= _MAX_NAME_LENGTH:
        _lower_names[name] = key
    return key


# -- responses

_names: dict[bytes, str] = {}
_reasons: dict[bytes, str] = {}
_CODING = len("Transfer-Encoding")


class ResponseHead:
    """Status and headers of an answer.

    Attributes:
        status: 200 to 999, or 101 where that was asked for.
        reason: as sent; may be empty.
        version: ``"1.1"`` or ``"1.0"``.
        fields: names and values as sent, in their order.
    """

    __slots__ = ("fields", "reason", "status", "version")

    def __init__(
        self, status: int, reason: str, version: str, fields: list[tuple[str, str]]
    ) -> None:
        self.status = status
        self.reason = reason
        self.version = version
        self.fields = fields


class ResponseSink(Protocol):
    """Receives what the parser finds, in order."""

    def response_started(self, head: ResponseHead) -> None:
        """The head of the answer; those of interim answers (1xx) are not told."""

    def body_received(self, data: bytes) -> None:
        """A piece of the body."""

    def response_ended(self, reusable: bool, trailers: list[tuple[str, str]]) -> None:
        """The answer is complete.

        Parameters:
            reusable: the connection can have another request.
            trailers: fields behind a chunked body; who passes them on keeps them apart from those
                of the head (RFC 9110, 6.5.1).
        """

    def switched(self, data: bytes) -> None:
        """After an answer 101: ``data`` and all that comes is in the other protocol."""


class ResponseParser:
    """Turns the bytes of one connection into calls on a sink.

    Parameters:
        sink: where answers go.
        max_head: bytes that an answer may have before its body.
    """

    __slots__ = (
        "_body_size",
        "_done",
        "_extra",
        "_fed",
        "_fields",
        "_head",
        "_headed",
        "_max_head",
        "_parser",
        "_persistent",
        "_reason",
        "_sink",
        "_switched",
        "_trailers",
        "_upgrade",
    )

    def __init__(self, sink: ResponseSink, max_head: int = MAX_HEAD) -> None:
        # per connection
        self._sink = sink
        self._max_head = max_head
        self._parser = httptools.HttpResponseParser(self)
        # per answer
        self._head: ResponseHead | None = None  # once it is complete, and not an interim one
        self._headed = False  # the request was HEAD
        self._done = True
        self._extra = False  # something came behind the answer
        self._persistent = False
        self._fed = 0
        self._body_size = 0
        self._reason = b""
        self._fields: list[tuple[str, str]] = []
        self._trailers: list[tuple[str, str]] = []
        self._upgrade = ""
        self._switched = False

    def expect(self, headed: bool, upgrade: str = "") -> None:
        """A request was made.

        Parameters:
            headed: by HEAD, so that the answer has no body.
            upgrade: the protocol that it asks for.
        """
        self._headed = headed
        self._upgrade = upgrade
        self._head = None
        self._done = False
        self._extra = False
        self._fed = 0
        self._body_size = 0

    def feed(self, data: bytes) -> None:
        """Parse ``data``. Raises ``MalformedResponse``; nothing may be fed after that."""
        self._fed += len(data)
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserCallbackError as exc:
            # The wrapper hides what a callback raised; it is either our verdict or a bug to show.
            raise exc.__context__ or exc from None
        except (httptools.HttpParserError, httptools.HttpParserUpgrade) as exc:
            if self._switched and isinstance(exc, httptools.HttpParserUpgrade):
                self._sink.switched(data[exc.args[0] :])
                return
            if not self._done:
                raise MalformedResponse(f"the answer is not HTTP/1.1: {exc}") from None
            self._extra = True  # the answer itself is whole
        if self._done:
            self._finish(data)
        elif self._switched:
            raise MalformedResponse("the answer 101 has no header Connection: Upgrade")
        elif self._fed > self._max_head:
            self._check_size()

    def end(self) -> None:
        """The connection was closed. Raises ``MalformedResponse`` when that cuts the answer."""
        if self._done:
            return
        if self._head is None:
            raise MalformedResponse("the connection was closed before the answer was complete")
        for name, _ in self._head.fields:
            if name.lower() in ("content-length", "transfer-encoding"):
                raise MalformedResponse("the connection was closed in the middle of the body")
        self._done = True
        self._sink.response_ended(False, [])

    # -- httptools callbacks, in the order of a message

    def on_message_begin(self) -> None:
        if self._done:
            self._extra = True
        self._fields = []
        self._trailers = []
        self._reason = b""

    def on_status(self, data: bytes) -> None:
        self._reason += data

    def on_header(self, name: bytes, value: bytes) -> None:
        if self._head is not None:
            # Kept apart: merging them into the head can't be trusted.
            self._trailers.append((name.decode("latin-1"), value.rstrip().decode("latin-1")))
            return
        if len(name) == _CODING and name.lower() == b"transfer-encoding":
            _check_coding(value)
        text = _names.get(name) or _decode_name(name)
        self._fields.append((text, value.rstrip().decode("latin-1")))

    def on_headers_complete(self) -> None:
        if self._done:
            return
        if self._fed > self._max_head:
            self._check_head()
        parser = self._parser
        status = parser.get_status_code()
        if status < 200:
            if status < 100:
                raise MalformedResponse(f"the answer has the status {status}")
            if status == 101:
                self._switch()
            return
        version = parser.get_http_version()
        if version[0] != "1":
            raise MalformedResponse(f"the answer is in HTTP/{version}")
        reason = _reasons.get(self._reason) or _decode_reason(self._reason)
        self._head = head = ResponseHead(status, reason, version, self._fields)
        self._persistent = parser.should_keep_alive()
        if self._headed:
            self._done = True
            self._persistent = _is_persistent(head)
        self._sink.response_started(head)

    def on_body(self, data: bytes) -> None:
        if self._done:
            self._extra = True
            return
        self._body_size += len(data)
        self._sink.body_received(data)

    def on_message_complete(self) -> None:
        # None: of an interim answer; the next head is awaited.
        if self._head is not None and not self._headed and not self._switched:
            self._done = True

    # -- decisions that llhttp leaves to the client

    def _switch(self) -> None:
        """The upstream goes on in another protocol, if it is the one that was asked for."""
        asked = self._upgrade
        chosen = [value.lower() for name, value in self._fields if name.lower() == "upgrade"]
        if not asked or chosen != [asked]:
            raise MalformedResponse("the upstream switched to a protocol nobody asked for")
        reason = self._reason.decode("latin-1")
        self._head = head = ResponseHead(101, reason, "1.1", self._fields)
        self._switched = True
        self._sink.response_started(head)

    def _finish(self, data: bytes) -> None:
        """Tell the end of the answer, after everything that came with it was looked at."""
        if self._headed:
            # llhttp waits for the body that the head announces (RFC 9110, 9.3.2).
            self._parser = httptools.HttpResponseParser(self)
            self._extra = self._extra or not data.endswith(b"\r\n\r\n"[-len(data) :])
        self._sink.response_ended(self._persistent and not self._extra, self._trailers)

    def _check_size(self) -> None:
        """Bound what an upstream can make the parser hold, or read past."""
        if self._head is None:
            raise MalformedResponse(f"the head of the answer is larger than {self._max_head} bytes")
        # Chunk extensions and trailers are not body; 16 bytes a byte is what tiny chunks need.
        if self._fed > 2 * self._max_head + 16 * self._body_size:
            raise MalformedResponse("the chunk extensions or trailers are too large")

    def _check_head(self) -> None:
        size = sum(len(name) + len(value) + 4 for name, value in self._fields)
        size += len(self._reason)
        if size > self._max_head:
            raise MalformedResponse(f"the head of the answer is larger than {self._max_head} bytes")


def _check_coding(value: bytes) -> None:
    if value.strip().lower() != b"chunked":
        raise MalformedResponse(f"the transfer coding {value[:40]!r} is not supported")


def _is_persistent(head: ResponseHead) -> bool:
    """Whether a connection stays open after an answer without a body (RFC 9112, 9.3)."""
    options = {
        option.strip().lower()
        for name, value in head.fields
        if name.lower() == "connection"
        for option in value.split(",")
    }
    return "close" not in options and (head.version == "1.1" or "keep-alive" in options)


def _decode_name(name: bytes) -> str:
    text = name.decode("latin-1")
    if len(_names) < _MAX_NAMES and len(name) <= _MAX_NAME_LENGTH:
        _names[name] = text
    return text


def _decode_reason(reason: bytes) -> str:
    text = reason.decode("latin-1").strip()
    if not text.isprintable():
        text = ""  # it would break the head of whoever passes it on
    if len(_reasons) < _MAX_NAMES and len(reason) <= _MAX_NAME_LENGTH:
        _reasons[reason] = text
    return text
