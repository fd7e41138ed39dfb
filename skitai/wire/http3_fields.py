"""Field sections of HTTP/3 (RFC 9114, 4.2 and 4.3): to a request, and from the head of a response.

``wire/http3.py`` decodes and encodes the sections themselves.
"""

from __future__ import annotations

import re
import time
from typing import TYPE_CHECKING

from skitai.wire.dates import format_date
from skitai.wire.errors import MalformedRequest
from skitai.wire.request import HOST, Request, UpgradeRequest, split_target

if TYPE_CHECKING:
    from skitai.wire.http1 import ResponseHead

PROTOCOLS = frozenset(("websocket",))  # what an extended CONNECT may ask for

_METHODS = frozenset(("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE"))
_TOKEN = re.compile(rb"[!#$%&'*+.^_`|~0-9a-z-]+")
_PSEUDO = frozenset((":method", ":scheme", ":authority", ":path", ":protocol"))
_UNSAFE = re.compile(rb"[\r\n\x00]")
_DIGITS = re.compile(r"[0-9]{1,18}")
_ONCE = frozenset(("host", "content-length", "content-type"))
_CONNECTION = frozenset(
    ("connection", "keep-alive", "proxy-connection", "transfer-encoding", "upgrade")
)
_OURS = _CONNECTION | {"content-length", "date", "server"}
_OUT_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_OUT_UNSAFE = re.compile(r"[\r\n\x00]")
_MAX_NAMES = 512
_MAX_NAME_LENGTH = 256  # longer names would only fill the memory
_names: dict[bytes, str] = {}

Section = list[tuple[bytes, bytes]]


class MalformedMessage(Exception):
    """A message that breaks HTTP/3's rules; its stream ends with H3_MESSAGE_ERROR."""


class Limits:
    """What the head of a request may have.

    Parameters:
        max_line: bytes of a target; more is 414.
        max_head: bytes of all fields; more is 431.
        max_headers: number of fields; more is 431.
    """

    __slots__ = ("max_head", "max_headers", "max_line")

    def __init__(self, max_line: int, max_head: int, max_headers: int) -> None:
        self.max_line = max_line
        self.max_head = max_head
        self.max_headers = max_headers


def parse_request(section: Section, limits: Limits) -> tuple[Request, int | None]:
    """The request that a field section describes, and the length of its body if it tells.

    Raises ``MalformedMessage`` for a stream error, ``MalformedRequest`` for what gets an answer.
    """
    pseudo, headers = _collect(section, limits)
    host = pseudo.get(":authority", "")
    if host:
        if headers.get("host", host) != host:
            raise MalformedMessage(":authority and host differ")
        headers["host"] = host
    method = pseudo.get(":method")
    if method is None:
        raise MalformedMessage(":method is missing")
    length = _body_length(headers)
    if method == "CONNECT":
        return _tunnel_request(pseudo, headers), length
    if ":protocol" in pseudo:
        raise MalformedMessage(":protocol is for CONNECT only")
    target = _target(pseudo, headers, limits)
    if method not in _METHODS:
        if not _TOKEN.fullmatch(method.lower().encode("latin-1")):
            raise MalformedMessage(":method is not a token")
        raise MalformedRequest("the method is not supported", 501)
    path, query = _split(target, method, headers)
    return Request(method, target, path, query, "3.0", headers), length


def check_trailers(section: Section, limits: Limits) -> None:
    """Raise ``MalformedMessage`` or ``MalformedRequest`` for trailers that can't be (4.1.2)."""
    pseudo, _ = _collect(section, limits)
    if pseudo:
        raise MalformedMessage("trailers have pseudo fields")


def _collect(section: Section, limits: Limits) -> tuple[dict[str, str], dict[str, str]]:
    """Pseudo fields and fields, names checked, repetitions joined (RFC 9110, 5.3)."""
    pseudo: dict[str, str] = {}
    headers: dict[str, str] = {}
    if len(section) > limits.max_headers + len(_PSEUDO):
        raise MalformedRequest("the request has too many headers", 431)
    size = 0
    for name, value in section:
        key = _names.get(name) or _field_name(name)
        if _UNSAFE.search(value) or value[:1] in (b" ", b"\t") or value[-1:] in (b" ", b"\t"):
            raise MalformedMessage(f"the value of {key} has forbidden characters")
        text = value.decode("latin-1")
        if key[0] == ":":
            if headers or key in pseudo:
                raise MalformedMessage(f"{key} is repeated or behind other fields")
            pseudo[key] = text
            continue
        size += len(name) + len(value) + 4
        if key not in headers:
            headers[key] = text
        elif key in _ONCE:
            raise MalformedMessage(f"the field {key} is repeated")
        else:
            headers[key] += ("; " if key == "cookie" else ", ") + text
    if size > limits.max_head or len(section) - len(pseudo) > limits.max_headers:
        raise MalformedRequest("the request headers are too large", 431)
    if headers.get("te", "trailers").lower() != "trailers":
        raise MalformedMessage("te has another value than trailers")
    return pseudo, headers


def _field_name(name: bytes) -> str:
    key = name.decode("latin-1")
    if key[:1] == ":":
        if key not in _PSEUDO:
            raise MalformedMessage(f"{key} is no pseudo field of a request")
    elif not _TOKEN.fullmatch(name):
        raise MalformedMessage(f"the field name {key!r} has forbidden characters")
    elif key in _CONNECTION:
        raise MalformedMessage(f"the field {key} is about a connection")
    if len(_names) < _MAX_NAMES and len(name) <= _MAX_NAME_LENGTH:
        _names[name] = key
    return key


def _body_length(headers: dict[str, str]) -> int | None:
    text = headers.get("content-length")
    if text is None:
        return None
    if not _DIGITS.fullmatch(text):
        raise MalformedMessage("content-length is not a number")
    return int(text)


def _tunnel_request(pseudo: dict[str, str], headers: dict[str, str]) -> UpgradeRequest:
    """An extended CONNECT (RFC 9220, RFC 8441): for handlers a GET that asks for a protocol."""
    protocol = pseudo.get(":protocol", "").lower()
    if not protocol:
        if ":path" in pseudo or ":scheme" in pseudo or ":authority" not in pseudo:
            raise MalformedMessage("CONNECT has :authority and no :path or :scheme")
        raise MalformedRequest("tunnels are not supported", 501)
    target = _target(pseudo, headers)
    if protocol not in PROTOCOLS:
        raise MalformedRequest("the protocol is not supported", 501)
    path, query = _split(target, "GET", headers)
    return UpgradeRequest(target, path, query, "3.0", headers, protocol)


def _target(pseudo: dict[str, str], headers: dict[str, str], limits: Limits | None = None) -> str:
    scheme, target = pseudo.get(":scheme"), pseudo.get(":path")
    if not scheme or not target:
        raise MalformedMessage(":scheme or :path is missing")
    host = headers.get("host", "")
    if scheme in ("http", "https") and not host:
        raise MalformedMessage("neither :authority nor host names a host")
    if host and not HOST.fullmatch(host):
        raise MalformedRequest(":authority is not a host name")
    if target[0] != "/" and target != "*":
        raise MalformedMessage(":path does not begin with a slash")
    if limits is not None and len(target) > limits.max_line:
        raise MalformedRequest("the request line is too long", 414)
    if any(char <= " " or char >= "\x7f" for char in target):
        raise MalformedRequest("the path has characters that have to be escaped")
    return target


def _split(target: str, method: str, headers: dict[str, str]) -> tuple[str, str]:
    if "%" not in target and "#" not in target and target[0] == "/":
        path, _, query = target.partition("?")
        return path, query
    return split_target(target, method, headers)


# -- responses


def encode_head(
    head: ResponseHead,
    fields: list[tuple[str, str]] | None,
    common: list[tuple[str, str]],
    status: int,
) -> Section:
    """The field section of a response.

    Parameters:
        head: content type and length.
        fields: the app's fields; those that are the server's own are left out.
        common: fields of every response.
        status: status code to send.

    Raises ``ValueError`` for a name that is no token and a value with CR, LF or NUL.
    """
    section = [(b":status", b"%d" % status), (b"server", b"skitai")]
    if head.content_type:
        section.append((b"content-type", _value("content-type", head.content_type)))
    if head.length is not None:
        section.append((b"content-length", b"%d" % head.length))
    section.append((b"date", format_date(int(time.time())).encode("ascii")))
    for name, value in common:
        section.append((name.lower().encode("ascii"), value.encode("latin-1")))
    return section + encode_fields(fields) if fields else section


def encode_fields(fields: list[tuple[str, str]]) -> Section:
    """Fields of an app, without those that are the server's own; raises as ``encode_head``."""
    section = []
    for name, value in fields:
        if not _OUT_TOKEN.fullmatch(name):
            raise ValueError(f"header name {name!r} is not a token")
        key = name.lower()
        if key not in _OURS:
            section.append((key.encode("ascii"), _value(name, value)))
    return section


def _value(name: str, value: str) -> bytes:
    if _OUT_UNSAFE.search(value):
        raise ValueError(f"the value of header {name} has a line break: {value!r}")
    return value.strip(" \t").encode("latin-1")
