"""Header fields of HTTP/2 and 3 to a request: pseudo headers, and what makes one malformed.

``http2.py`` calls it with decoded header blocks (RFC 9113, 8; RFC 8441; RFC 9114, 4.3).
"""

from __future__ import annotations

import re
from typing import NamedTuple

from skitai.wire.errors import MalformedRequest
from skitai.wire.fields import OF_CONNECTIONS
from skitai.wire.request import HOST, Request, UpgradeRequest, split_target

Field = tuple[str, str]

_PSEUDO = frozenset((":method", ":scheme", ":authority", ":path", ":protocol"))
_ONCE = frozenset(("host", "content-length", "content-type"))
_METHODS = frozenset(("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE"))
_METHOD = re.compile(r"[A-Z][A-Z-]{0,30}")
_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9a-z-]+")
# RFC 9110, 5.5; with HTTP/1 the parser refuses the same.
_VALUE = re.compile(r"(?:[\x21-\x7e\x80-\xff](?:[\t\x20-\x7e\x80-\xff]*[\x21-\x7e\x80-\xff])?)?")
_TARGET = re.compile(r"[\x21-\x7e]+")
_LENGTH = re.compile(r"[0-9]{1,18}")
_MAX_NAMES = 512
_names: set[str] = set()


class BrokenFields(Exception):
    """Fields that are no request: what is sent with them is not answered (RFC 9113, 8.1.1)."""


class RequestHead(NamedTuple):
    """What the fields of a request say.

    Attributes:
        refusal: why it can't be served, None if it can.
        length: announced bytes of the body, None when unknown.
        protocol: of an extended CONNECT (RFC 8441, 4), empty for any other request.
    """

    method: str
    target: str
    path: str
    query: str
    headers: dict[str, str]
    length: int | None = None
    protocol: str = ""
    refusal: MalformedRequest | None = None

    def request(self, version: str) -> Request:
        """A request of its own, whatever becomes of it."""
        method, target, path, query, headers, _, protocol, _ = self
        if protocol:
            return UpgradeRequest(target, path, query, version, headers.copy(), protocol)
        return Request(method, target, path, query, version, headers.copy())


def read_head(fields: list[Field], max_line: int, max_headers: int) -> RequestHead:
    """The request that header fields stand for.

    Parameters:
        fields: in their order, pseudo headers first.
        max_line: bytes of a target; more is refused with 414.
        max_headers: more fields are refused with 431.

    Raises ``BrokenFields``.
    """
    pseudo, headers = _sort(fields)
    method = pseudo.get(":method", "")
    if method not in _METHODS and not _METHOD.fullmatch(method):
        raise BrokenFields("the method is missing or no token")
    length = _length(headers)
    host = pseudo.get(":authority")
    if host is not None:
        if headers.pop("host", host).lower() != host.lower():
            raise BrokenFields("the fields :authority and host contradict each other")
        headers = {"host": host, **headers}
    protocol = pseudo.get(":protocol", "")
    if method == "CONNECT" and not protocol:
        if ":scheme" in pseudo or ":path" in pseudo or host is None:
            raise BrokenFields("a CONNECT request has an authority, no scheme and no path")
        refusal = MalformedRequest("tunnels are not supported", 501)
        return RequestHead(method, host, host, "", headers, length, "", refusal)
    target = pseudo.get(":path", "")
    if pseudo.get(":scheme", "") not in ("http", "https") or not target:
        raise BrokenFields("the scheme or the path is missing")
    if method != "CONNECT" and protocol:
        raise BrokenFields("only CONNECT goes on in another protocol")
    if protocol:
        method = "GET"
    try:
        if len(fields) > max_headers:
            raise MalformedRequest("the request has too many headers", 431)
        path, query = _split(target, method, host or headers.get("host"), max_line)
    except MalformedRequest as refusal:
        return RequestHead(method, target, target, "", headers, length, "", refusal)
    return RequestHead(method, target, path, query, headers, length, protocol.lower())


def check_trailers(fields: list[Field]) -> None:
    """Raise ``BrokenFields`` for what may not stand behind a body (RFC 9113, 8.1)."""
    pseudo, _ = _sort(fields)
    if pseudo:
        raise BrokenFields("there is a pseudo header in the trailers")


def _sort(fields: list[Field]) -> tuple[dict[str, str], dict[str, str]]:
    """Pseudo headers and joined other ones."""
    pseudo: dict[str, str] = {}
    headers: dict[str, str] = {}
    for name, value in fields:
        if name not in _names:
            _check_name(name)
        if not _VALUE.fullmatch(value):
            raise BrokenFields("a value has characters that it can't have")
        if name[0] == ":":
            if name not in _PSEUDO or name in pseudo or headers:
                raise BrokenFields(f"the pseudo header {name} is unknown, repeated or late")
            pseudo[name] = value
        elif name not in headers:
            headers[name] = value
        elif name in _ONCE:
            raise BrokenFields(f"the header {name} is repeated")
        else:
            headers[name] += ("; " if name == "cookie" else ", ") + value
    if headers.get("te", "trailers") != "trailers":
        raise BrokenFields("the header te can only be 'trailers'")
    return pseudo, headers


def _check_name(name: str) -> None:
    if not _NAME.fullmatch(name[1:] if name[:1] == ":" else name):
        raise BrokenFields("the name of a field is no token in lower case")
    if name in OF_CONNECTIONS:
        raise BrokenFields(f"the header {name} is of a connection")
    if len(_names) < _MAX_NAMES and len(name) <= 256:
        _names.add(name)


def _length(headers: dict[str, str]) -> int | None:
    text = headers.get("content-length")
    if text is None:
        return None
    if not _LENGTH.fullmatch(text):
        raise BrokenFields("the header content-length is no number")
    return int(text)


def _split(target: str, method: str, host: str | None, max_line: int) -> tuple[str, str]:
    if len(target) > max_line:
        raise MalformedRequest("the request target is too long", 414)
    if host is None or (host and not HOST.fullmatch(host)):
        raise MalformedRequest("the host is missing or no host name")
    if not _TARGET.fullmatch(target):
        raise MalformedRequest("the request target has characters that must be percent-encoded")
    if target[0] != "/" and not (target == "*" and method == "OPTIONS"):
        raise MalformedRequest("the request target is not a path")
    return split_target(target, method, {})
