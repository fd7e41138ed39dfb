"""The PROXY protocol: what a proxy says of its client before the client's own bytes.

``server/negotiation.py`` reads it from proxies that are trusted (HAProxy, PROXY protocol 1 and 2).
"""

from __future__ import annotations

import ipaddress
import re
import struct
from typing import NamedTuple

from skitai.wire.errors import MalformedRequest

SIGNATURE = b"\r\n\r\n\0\r\nQUIT\n"  # of version 2
MAX_TEXT = 107  # bytes of a line of version 1, with its end
MAX_BINARY = 4096  # bytes of version 2 behind its first 16; proxies send some hundreds

_TEXT = re.compile(r"PROXY (?:(TCP4|TCP6) (\S+) (\S+) ([0-9]{1,5}) ([0-9]{1,5})|UNKNOWN(?: .*)?)")
_VERSION, _LOCAL, _PROXY = 0x20, 0x20, 0x21
_INET, _INET6, _UNIX = 1, 2, 3
_SIZES = {_INET: 12, _INET6: 36, _UNIX: 216}
_TLV_SSL, _CLIENT_SSL = 0x20, 0x01


class ProxyHeader(NamedTuple):
    """What the proxy says.

    Attributes:
        size: bytes of the header; the client's own follow.
        source: IP address and port of the client; None when the proxy speaks for itself, or
            doesn't know.
        tls: the client's connection to the proxy was encrypted.
    """

    size: int
    source: tuple[str, int] | None
    tls: bool


def parse_proxy_header(data: bytes) -> ProxyHeader | None:
    """Read the header at the beginning of a connection; None when it is not complete yet.

    Raises ``MalformedRequest`` for anything else, and for a header that is too long.
    """
    if data.startswith(SIGNATURE):
        return _parse_binary(data)
    if SIGNATURE.startswith(data):
        return None
    line, end, _ = data[:MAX_TEXT].partition(b"\r\n")
    if not b"PROXY ".startswith(line[:6]) or (not end and len(data) >= MAX_TEXT):
        raise MalformedRequest("the proxy did not say whom it stands for")
    return _parse_text(line) if end else None


def _parse_text(line: bytes) -> ProxyHeader:
    found = _TEXT.fullmatch(line.decode("latin-1"))
    if found is None:
        raise MalformedRequest("the line of the proxy is malformed")
    size = len(line) + 2
    kind, source, target, *ports = found.groups()
    if kind is None:
        return ProxyHeader(size, None, False)
    family = ipaddress.IPv4Address if kind == "TCP4" else ipaddress.IPv6Address
    try:
        family(target)
        address = str(family(source))
    except ValueError:
        raise MalformedRequest("the line of the proxy has a wrong address") from None
    if any(int(port) > 65535 for port in ports):
        raise MalformedRequest("the line of the proxy has a wrong port")
    return ProxyHeader(size, (address, int(ports[0])), False)


def _parse_binary(data: bytes) -> ProxyHeader | None:
    if len(data) < 16:
        return None
    command, family, length = struct.unpack_from("!BBH", data, 12)
    if command not in (_LOCAL, _PROXY):
        raise MalformedRequest("the version or command of the proxy is unknown")
    if length > MAX_BINARY:
        raise MalformedRequest("the header of the proxy is too long")
    if len(data) < 16 + length:
        return None
    if command == _LOCAL:
        return ProxyHeader(16 + length, None, False)
    kind = family >> 4
    size = _SIZES.get(kind, 0)
    if size > length:
        raise MalformedRequest("the addresses of the proxy are too short")
    body = data[16 : 16 + length]
    return ProxyHeader(
        16 + length, _source(kind, body), _speaks_tls(body[size:]) if size else False
    )


def _source(kind: int, body: bytes) -> tuple[str, int] | None:
    if kind == _INET:
        return str(ipaddress.IPv4Address(body[:4])), struct.unpack_from("!H", body, 8)[0]
    if kind == _INET6:
        return str(ipaddress.IPv6Address(body[:16])), struct.unpack_from("!H", body, 32)[0]
    return ("", 0) if kind == _UNIX else None


def _speaks_tls(extras: bytes) -> bool:
    """Look for PP2_TYPE_SSL among the extras, and in it for a client that uses TLS."""
    at = 0
    found = False
    while at < len(extras):
        if len(extras) - at < 3:
            raise MalformedRequest("the extras of the proxy are malformed")
        kind, length = struct.unpack_from("!BH", extras, at)
        value = extras[at + 3 : at + 3 + length]
        if len(value) < length:
            raise MalformedRequest("the extras of the proxy are malformed")
        if kind == _TLV_SSL and value:
            found = bool(value[0] & _CLIENT_SSL)
        at += 3 + length
    return found
