"""Hostile requests as bytes, with the statuses that they must get: what they are made of."""

from __future__ import annotations

import time
from typing import NamedTuple

FORM = "application/x-www-form-urlencoded"
JSON = "application/json"
MULTIPART = "multipart/form-data; boundary=cut"
LATER = time.time() + 10_000
MAIN, SECOND = b"the key of the main app", b"the key of the second app"


class Case(NamedTuple):
    """One request.

    Attributes:
        name: for messages.
        data: what is sent.
        statuses: those that are right.
        method: for a client that reads the answer.
        keeps: whether the connection may serve another request.
    """

    name: str
    data: bytes
    statuses: tuple[int, ...]
    method: str = "GET"
    keeps: bool = True


def head(method: str, target: str | bytes, *headers: str, host: str = "a") -> bytes:
    target = target.encode("latin-1") if isinstance(target, str) else target
    lines = "\r\n".join(("", f"Host: {host}", *headers, "", "")).encode("latin-1")
    return b"%b %b HTTP/1.1%b" % (method.encode(), target, lines)


def with_body(method: str, target: str, kind: str, body: str | bytes, *headers: str) -> bytes:
    body = body.encode() if isinstance(body, str) else body
    size = f"Content-Length: {len(body)}"
    return head(method, target, f"Content-Type: {kind}", size, *headers) + body


def chunked(target: str, kind: str, *chunks: bytes) -> bytes:
    begin = head("POST", target, f"Content-Type: {kind}", "Transfer-Encoding: chunked")
    return begin + b"".join(b"%x\r\n%b\r\n" % (len(chunk), chunk) for chunk in (*chunks, b""))


def part(disposition: str, content: bytes = b"content", *headers: str) -> bytes:
    lines = "\r\n".join((f"Content-Disposition: form-data; {disposition}", *headers))
    return b"--cut\r\n%b\r\n\r\n%b\r\n" % (lines.encode(), content)


END = b"--cut--\r\n"


def ask(name: str, target: str | bytes, *statuses: int, headers: tuple[str, ...] = ()) -> Case:
    """A GET."""
    return Case(name, head("GET", target, *headers), statuses)


def post(name: str, target: str, kind: str, body: str | bytes, *statuses: int) -> Case:
    return Case(name, with_body("POST", target, kind, body), statuses, "POST")


def refused(name: str, data: bytes, *statuses: int) -> Case:
    """What ends the connection."""
    return Case(name, data, statuses, keeps=False)
