"""HTTP/1.0 and 1.1 (RFC 9112): bytes to requests, responses to bytes. No sockets, no clock.

``server/connection.py`` owns one ``RequestParser`` per connection and calls the encoders.
Framing is parsed by llhttp (httptools), which is strict about lengths, chunk sizes, CR and LF;
what it leaves to the server (versions, Host, sizes, transfer codings, upgrades) is decided here.
"""

from __future__ import annotations

import re
from typing import Protocol

import httptools

from skitai.errors import REASONS
from skitai.wire.errors import MalformedRequest
from skitai.wire.fields import OF_SERVER, UNSAFE, check_name, check_value, join_lines
from skitai.wire.http2.settings import read_upgrade_settings
from skitai.wire.request import HOST, Request, UpgradeRequest, split_target

CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
LAST_CHUNK = b"0\r\n\r\n"
UPGRADES = frozenset(("websocket",))  # protocols that handlers may go on in

_METHODS = {
    name.encode(): name
    for name in ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE")
}
_UNKNOWN_METHOD = re.compile(rb"[A-Z][A-Z-]{1,30} ")
_ONCE = frozenset(("host", "content-length", "transfer-encoding", "content-type"))
_OF_PROXIES = frozenset(("via", "forwarded", "x-forwarded-for", "x-real-ip"))
_MAX_NAMES = 512
_MAX_NAME_LENGTH = 256  # longer names would only fill the memory
_names: dict[bytes, str] = {}
_hosts: set[str] = set()


class RequestSink(Protocol):
    """Receives what the parser finds, in order."""

    def request_received(self, request: Request, keep_alive: bool) -> None:
        """A whole request without a body."""

    def upgrade_received(self, request: UpgradeRequest) -> None:
        """A request to go on in another protocol; the last one of the connection."""

    def request_started(self, request: Request, keep_alive: bool, length: int | None) -> None:
        """A head whose body follows; ``length`` is in bytes, None when the body is chunked."""

    def body_received(self, data: bytes) -> None:
        """A piece of the current body."""

    def request_ended(self) -> None:
        """The current body is complete."""


class RequestParser:
    """Turns the bytes of one connection into calls on a sink.

    Parameters:
        sink: where requests go.
        max_line: bytes a request target may have; more is 414.
        max_head: bytes all headers together may have; more is 431.
        max_headers: fields a head may have; more is 431.

    Attributes:
        in_message: the head or the body of a request is incomplete.
        held: what came behind a request for another protocol; None before.
    """

    __slots__ = (
        "_allowed",
        "_body_size",
        "_completed",
        "_fed",
        "_has_body",
        "_headers",
        "_max_head",
        "_max_headers",
        "_max_line",
        "_muted",
        "_parser",
        "_sink",
        "_target",
        "_upgrading",
        "held",
        "in_message",
    )

    def __init__(self, sink: RequestSink, max_line: int, max_head: int, max_headers: int) -> None:
        # per connection
        self._sink = sink
        self._max_line = max_line
        self._max_head = max_head
        self._max_headers = max_headers
        self._parser = httptools.HttpRequestParser(self)
        self._muted = False
        self.held: bytes | None = None
        # per message
        self.in_message = False
        self._completed = False
        self._fed = 0
        self._body_size = 0
        self._target = b""
        self._headers: dict[str, str] = {}
        self._allowed = max_headers  # names the head may have; every repetition takes one away
        self._has_body = False
        self._upgrading = False

    def feed(self, data: bytes) -> None:
        """Parse ``data``. Raises ``MalformedRequest``; nothing may be fed after that.

        Nothing may be fed after a request for another protocol either.
        """
        self._fed += len(data)
        self._completed = False
        self.in_message = True
        rest: bytes | memoryview = data
        try:
            while True:
                try:
                    self._parser.feed_data(rest)
                    break
                except httptools.HttpParserUpgrade as exc:
                    rest = memoryview(rest)[exc.args[0] :]
                    if self.held is not None:
                        self.held = bytes(rest)
                        break
                    self._continue_after_upgrade()
        except httptools.HttpParserCallbackError as exc:
            # The wrapper hides what a callback raised; it is either our verdict or a bug to show.
            raise exc.__context__ or exc from None
        except httptools.HttpParserError as exc:
            raise self._malformed(exc, data) from None
        if self._completed:
            # How much of `data` belongs to a next message is unknown: its head will be measured.
            self._fed = self._max_line + 1 if self.in_message else 0
        elif self._fed > self._max_line:
            self._check_unfinished()

    # -- httptools callbacks, in the order of a message

    def on_url(self, data: bytes) -> None:
        self.in_message = True
        self._target += data

    def on_header(self, name: bytes, value: bytes) -> None:
        if self._has_body or self._muted:
            # Trailers are read past: merging them into the head is a known smuggling path.
            return
        key = _names.get(name) or _header_name(name)
        headers = self._headers
        if key in headers:
            self._join(key, value)
        else:
            headers[key] = value.rstrip().decode("latin-1")  # llhttp leaves blanks at the end

    def on_headers_complete(self) -> None:
        if self._muted:
            self._muted = False
            return
        headers = self._headers
        if self._fed > self._max_line or len(headers) > self._allowed:
            self._check_head()
        parser = self._parser
        keep_alive = parser.should_keep_alive()
        if keep_alive and "connection" not in headers:
            # PERF: nothing but 1.1 is persistent without saying so; asking costs 0.15 us.
            version = "1.1"
        else:
            version = parser.get_http_version()
            if version != "1.1":
                self._check_old_version(version)
        host = headers.get("host")
        if host not in _hosts:
            self._check_host(host, version)
        name = parser.get_method()
        method = _METHODS.get(name) or _rare_method(name)
        target = self._target.decode("latin-1")
        if target[0] == "/" and "%" not in target and "#" not in target:
            # PERF: most targets need no more than this (-0.1 us of 11 us a request).
            path, _, query = target.partition("?")
        else:
            path, query = split_target(target, method, headers)
        request = Request(method, target, path, query, version, headers)
        if "content-length" in headers or "transfer-encoding" in headers:
            length = self._body_length()
            if length != 0:
                self._has_body = True
                self._upgrading = parser.should_upgrade()
                self._sink.request_started(request, keep_alive, length)
                return
        # RFC 9110, 7.8: HTTP/1.0 has no upgrades.
        if "upgrade" in headers and (method, version) == ("GET", "1.1") and parser.should_upgrade():
            protocol = headers["upgrade"].lower()
            if protocol in UPGRADES or (protocol == "h2c" and _offers_http2(headers)):
                self.held = b""
                self._reset()
                offer = UpgradeRequest(target, path, query, version, headers, protocol)
                self._sink.upgrade_received(offer)
                return
        # PERF: a request without a body reaches the sink in one call instead of two, and `_reset`
        # is written out: 0.1 us of 11 us a request.
        self.in_message = False
        self._completed = True
        self._target = b""
        self._headers = {}
        self._allowed = self._max_headers
        self._sink.request_received(request, keep_alive)

    def on_body(self, data: bytes) -> None:
        self._body_size += len(data)
        self._sink.body_received(data)

    def on_message_complete(self) -> None:
        if self._upgrading:
            # llhttp takes the body for the other protocol; see `_continue_after_upgrade`.
            self._upgrading = False
        elif self._has_body:
            self._reset()
            self._sink.request_ended()

    # -- decisions that llhttp leaves to the server

    def _reset(self) -> None:
        self.in_message = False
        self._completed = True
        self._target = b""
        self._headers = {}
        self._allowed = self._max_headers
        self._has_body = False
        self._body_size = 0

    def _join(self, key: str, value: bytes) -> None:
        """Add a repeated header to the value it has (RFC 9110, 5.3)."""
        if key in _ONCE:
            raise MalformedRequest(f"the header {key} is repeated")
        self._allowed -= 1
        if len(self._headers) > self._allowed:
            raise MalformedRequest("the request has too many headers", 431)
        joint = "; " if key == "cookie" else ", "
        self._headers[key] += joint + value.rstrip().decode("latin-1")

    def _body_length(self) -> int | None:
        coding = self._headers.get("transfer-encoding")
        if coding is None:
            return int(self._headers["content-length"])
        if coding.lower() != "chunked":
            raise MalformedRequest("only the transfer coding 'chunked' is supported", 501)
        return None

    def _check_head(self) -> None:
        if len(self._target) > self._max_line:
            raise MalformedRequest("the request line is too long", 414)
        if len(self._headers) > self._allowed:
            raise MalformedRequest("the request has too many headers", 431)
        size = sum(len(name) + len(value) + 4 for name, value in self._headers.items())
        if size > self._max_head:
            raise MalformedRequest("the request headers are too large", 431)

    def _check_unfinished(self) -> None:
        """Bound what a client can make the parser hold before a callback sees it."""
        bound = 2 * self._max_line + self._max_head  # `_fed` may begin at one line, see `feed`
        if self._has_body:
            # Chunk extensions and trailers are not body; 16 bytes a byte is what tiny chunks need.
            if self._fed > bound + 16 * self._body_size:
                raise MalformedRequest("the chunk extensions or trailers are too large", 431)
            return
        if len(self._target) > self._max_line:
            raise MalformedRequest("the request line is too long", 414)
        if self._fed > bound:
            raise MalformedRequest("the request headers are too large", 431)

    def _check_old_version(self, version: str) -> None:
        if version == "0.9":
            raise MalformedRequest("the request line has no usable HTTP version")
        if version != "1.0":
            raise MalformedRequest("the HTTP version is not supported", 505)
        if "transfer-encoding" in self._headers:
            # RFC 9112, 6.1: framing of such a message can't be trusted.
            raise MalformedRequest("an HTTP/1.0 request can't have a transfer coding")

    def _check_host(self, host: str | None, version: str) -> None:
        if host is None:
            if version == "1.1":
                raise MalformedRequest("the header host is missing")
            return
        if host and not HOST.fullmatch(host):
            raise MalformedRequest("the header host is not a host name")
        if len(_hosts) < _MAX_NAMES and len(host) <= _MAX_NAME_LENGTH:
            _hosts.add(host)

    def _continue_after_upgrade(self) -> None:
        """Serve a request that asked for an upgrade which is not made (RFC 9110, 7.8).

        llhttp stops after such a head and leaves its body unread, so a fresh parser is put in the
        middle of the same message: its head repeats only what is needed to go on, the framing and
        whether anything may follow.
        """
        keep_alive = self._parser.should_keep_alive()
        self._parser = httptools.HttpRequestParser(self)
        if self._has_body or not keep_alive:
            framing = f"Content-Length: {self._headers.get('content-length', 0)}"
            if "transfer-encoding" in self._headers:
                framing = "Transfer-Encoding: chunked"
            keep = "keep-alive" if keep_alive else "close"
            self._muted = True
            head = f"POST / HTTP/1.1\r\nConnection: {keep}\r\n{framing}\r\n\r\n"
            self._parser.feed_data(head.encode("latin-1"))
            if not self._has_body:
                self._reset()

    def _malformed(self, exc: httptools.HttpParserError, data: bytes) -> MalformedRequest:
        invalid_method = isinstance(exc, httptools.HttpParserInvalidMethodError)
        begins_here = self._fed == len(data) and not self._completed
        if invalid_method and begins_here and _UNKNOWN_METHOD.match(data):
            return MalformedRequest("the method is not supported", 501)
        return MalformedRequest(str(exc))


def _header_name(name: bytes) -> str:
    key = name.decode("latin-1").lower()
    if key == "proxy-connection":
        key = "connection"  # llhttp obeys both alike, so both have to be looked at together
    if len(_names) < _MAX_NAMES and len(name) <= _MAX_NAME_LENGTH:
        _names[name] = key
    return key


def _offers_http2(headers: dict[str, str]) -> bool:
    """Whether the client can go on in HTTP/2 (RFC 7540, 3.2.1).

    Not behind a proxy: one that passes the header on without knowing what it means would then be
    led around its own rules.
    """
    settings = read_upgrade_settings(headers.get("http2-settings"))
    return settings is not None and _OF_PROXIES.isdisjoint(headers)


def _rare_method(name: bytes) -> str:
    if name == b"CONNECT":
        raise MalformedRequest("tunnels are not supported", 501)
    return name.decode("ascii")


# -- responses

_prefixes: dict[tuple[int, str, str], bytes] = {}


class ResponseHead(Protocol):
    """What the head of a response is made of; see ``server/representation.py``."""

    @property
    def status(self) -> int: ...

    @property
    def reason(self) -> str: ...

    @property
    def content_type(self) -> str: ...

    @property
    def length(self) -> int | None: ...


def head_prefix(status: int, content_type: str, reason: str) -> bytes:
    """Status line and the headers that depend on nothing else; remembered by its arguments.

    A reason in another script than Latin is left out: nobody reads it (RFC 9112, 4), and the body
    has it. Raises ``ValueError`` for a content type or reason with a line break.
    """
    phrase = reason if reason and _is_latin(reason) else REASONS.get(status, "Unknown")
    lines = f"HTTP/1.1 {status} {phrase}\r\nServer: skitai\r\n"
    if content_type:
        lines += f"Content-Type: {content_type}\r\n"
    if UNSAFE.search(reason) or UNSAFE.search(content_type):
        raise ValueError(f"status or content type has a line break: {reason!r} {content_type!r}")
    prefix = lines.encode("latin-1")
    # Boundaries are made for one response each.
    once = len(prefix) > _MAX_NAME_LENGTH or "boundary=" in content_type
    if len(_prefixes) < _MAX_NAMES and not once:
        _prefixes[status, content_type, reason] = prefix
    return prefix


def _is_latin(text: str) -> bool:
    return all(char <= "\xff" for char in text)


def encode_head(head: ResponseHead, fields: bytes, date: bytes) -> bytes:
    """The head of a response.

    Parameters:
        head: status, reason, content type and length.
        fields: further header lines, each ended by CRLF (see ``encode_fields``).
        date: the ``Date`` line with CRLF.
    """
    # PERF: the part that repeats is one dict look-up instead of an f-string and encode (-0.4 us).
    key = (head.status, head.content_type, head.reason)
    prefix = _prefixes.get(key) or head_prefix(*key)
    if head.length is None:
        return b"%b%b%b\r\n" % (prefix, date, fields)
    return b"%bContent-Length: %d\r\n%b%b\r\n" % (prefix, head.length, date, fields)


_sent: dict[str, bool] = {}  # names that were seen, and whether they are not the server's own


def encode_fields(fields: list[tuple[str, str]]) -> bytes:
    """Header lines for name and value pairs, without those that are the server's own.

    Raises ``ValueError`` for a name that is no token and for CR, LF or NUL in a value, which would
    let an application's input split the response (RFC 9110, 5.5); ``TypeError`` for what is no
    text.
    """
    parts: list[str] = []
    for name, value in fields:
        sent = _sent.get(name)
        if sent if sent is not None else _is_sent(name):
            parts += (name, ": ", value, "\r\n")
        else:
            check_value(name, value)
    return join_lines(parts, fields).encode("latin-1")


def _is_sent(name: str) -> bool:
    check_name(name)
    sent = name.lower() not in OF_SERVER
    if len(_sent) < _MAX_NAMES and len(name) <= _MAX_NAME_LENGTH:
        _sent[name] = sent
    return sent


def encode_upgrade(request: Request) -> bytes:
    """The lines that accept a change of protocol (RFC 9110, 15.2.2)."""
    return f"Connection: Upgrade\r\nUpgrade: {request.protocol}\r\n".encode("ascii")


def encode_last_chunk(trailers: list[tuple[str, str]]) -> bytes:
    """The end of a chunked body, with fields behind it (RFC 9112, 7.1.2)."""
    return b"0\r\n%b\r\n" % encode_fields(trailers)


def encode_chunk(data: bytes) -> bytes:
    """One chunk of a chunked body (RFC 9112, 7.1); ``data`` must not be empty."""
    return b"%x\r\n%b\r\n" % (len(data), data)
