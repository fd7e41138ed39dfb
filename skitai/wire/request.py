"""The request as it came over the wire, the same for every HTTP version.

A protocol parser makes it when the head is complete; dispatch, handlers and apps only read it.
"""

from __future__ import annotations

import re
from urllib.parse import quote, unquote_to_bytes

from skitai.wire.errors import MalformedRequest

HOST = re.compile(r"(?:[A-Za-z0-9._~!$&'()*+,;=%-]+|\[[0-9A-Fa-f:.]+\])(?::[0-9]{0,5})?")


class Request:
    """Method, target and headers of one request (RFC 9110, 6).

    Attributes:
        method: upper-case method.
        target: request target as sent.
        path: decoded path, starting with ``/`` (or ``*`` for ``OPTIONS *``).
        query: raw query string without ``?``; may be empty.
        version: ``"1.0"``, ``"1.1"``, …
        headers: lower-case name to value; repeated fields joined as RFC 9110, 5.3 says.
        protocol: what the client wants to speak instead of HTTP, empty for nothing; see
            ``UpgradeRequest``.
    """

    __slots__ = ("headers", "method", "path", "query", "target", "version")

    protocol = ""

    def __init__(
        self,
        method: str,
        target: str,
        path: str,
        query: str,
        version: str,
        headers: dict[str, str],
    ) -> None:
        self.method = method
        self.target = target
        self.path = path
        self.query = query
        self.version = version
        self.headers = headers

    def slashed(self) -> str:
        """Path and query with a slash behind the path, to redirect to.

        Made from the decoded path, so that the host of an absolute-form target is not in it, and
        with one slash at its start, so that no client takes what follows for a host.
        """
        _, mark, query = self.target.partition("?")
        return f"/{quote(self.path.strip('/'))}/{mark}{query}"


class UpgradeRequest(Request):
    """A request to go on in another protocol: Upgrade of HTTP/1.1 (RFC 9110, 7.8), extended CONNECT
    of HTTP/2 and 3 (RFC 8441, RFC 9220). For handlers both are the same: a GET without a body.

    Attributes:
        protocol: lower-case name, e.g. ``"websocket"``.
    """

    __slots__ = ("protocol",)

    def __init__(
        self,
        target: str,
        path: str,
        query: str,
        version: str,
        headers: dict[str, str],
        protocol: str,
    ) -> None:
        super().__init__("GET", target, path, query, version, headers)
        self.protocol = protocol


def split_target(target: str, method: str, headers: dict[str, str]) -> tuple[str, str]:
    """Return decoded path and raw query of a request target (RFC 9112, 3.2).

    Accepts origin form, absolute form, and ``*`` for OPTIONS. The host of an absolute form takes
    the place of the Host header (RFC 9112, 3.2.2). Raises ``MalformedRequest`` for anything else,
    for a fragment, and for percent sequences that are not UTF-8.
    """
    if target[:1] != "/":
        if target == "*" and method == "OPTIONS":
            return "*", ""
        headers["host"], target = _split_url(target)
    path, _, query = target.partition("?")
    if "#" in target:
        raise MalformedRequest("the request target has a fragment")
    if "%" in path:
        path = _decode_path(path)
    return path, query


def origin_form(target: str) -> str:
    """Path and query of a target that ``split_target`` has accepted, as they were sent."""
    return target if target[:1] == "/" or target == "*" else _split_url(target)[1]


def _split_url(target: str) -> tuple[str, str]:
    scheme, mark, rest = target.partition("://")
    if not mark or scheme.lower() not in ("http", "https"):
        raise MalformedRequest("the request target is neither a path nor an http URL")
    end = min((at for at in (rest.find("/"), rest.find("?")) if at >= 0), default=len(rest))
    host, path = rest[:end], rest[end:]
    if not HOST.fullmatch(host):
        raise MalformedRequest("the host in the request target is not a host name")
    return host, path if path[:1] == "/" else "/" + path


_HEX = frozenset("0123456789abcdefABCDEF")


def _decode_path(path: str) -> str:
    for piece in path.split("%")[1:]:
        if len(piece) < 2 or piece[0] not in _HEX or piece[1] not in _HEX:
            raise MalformedRequest("the path has an incomplete percent sequence")
    try:
        return unquote_to_bytes(path).decode("utf-8")
    except UnicodeDecodeError:
        raise MalformedRequest("the path is not UTF-8") from None
