"""The `curl` lines of documents: read as curl would, sent with `http.client`, shown as curl does."""

from __future__ import annotations

import argparse
import http.client
import uuid
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn
from urllib.parse import urlsplit

TIMEOUT = 20.0  # seconds


class CurlError(Exception):
    """The line uses something that isn't read here."""


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise CurlError(f"curl: {message}")


def _parser() -> _Parser:
    parser = _Parser(prog="curl", add_help=False, allow_abbrev=False)
    for flags in (("-i", "--include"), ("-I", "--head"), ("-s", "--silent"), ("-N", "--no-buffer")):
        parser.add_argument(*flags, action="store_true")
    parser.add_argument("--compressed", action="store_true")
    parser.add_argument("-X", "--request")
    parser.add_argument("-r", "--range")
    parser.add_argument("-o", "--output")
    for flags in (("-H", "--header"), ("-d", "--data"), ("-F", "--form")):
        parser.add_argument(*flags, action="append", default=[])
    parser.add_argument("--json")
    parser.add_argument("url")
    return parser


@dataclass
class Request:
    """What a `curl` line asks for."""

    method: str
    url: str
    headers: dict[str, str]
    body: bytes | None
    show_head: bool
    compressed: bool
    output: str | None


def read(words: list[str], folder: Path) -> Request:
    """Read the words after `curl`; files named by `@` are in ``folder``."""
    given = _parser().parse_args(words)
    headers = {"User-Agent": "curl/8.0", "Accept": "*/*"}
    body: bytes | None = None
    if given.data:
        body = b"&".join(_content(value, folder) for value in given.data)
        headers["Content-Type"] = "application/x-www-form-urlencoded"
    elif given.json is not None:
        body = _content(given.json, folder)
        headers["Content-Type"] = headers["Accept"] = "application/json"
    elif given.form:
        boundary = uuid.uuid4().hex
        body = _multipart(given.form, boundary, folder)
        headers["Content-Type"] = f"multipart/form-data; boundary={boundary}"
    if given.range:
        headers["Range"] = f"bytes={given.range}"
    if given.compressed:
        headers["Accept-Encoding"] = "deflate, gzip"
    for line in given.header:
        name, _, value = line.partition(":")
        headers[name.title()] = value.strip()
    method = given.request or ("HEAD" if given.head else "GET" if body is None else "POST")
    return Request(
        method,
        given.url,
        headers,
        body,
        given.include or given.head,
        given.compressed,
        given.output,
    )


def _content(value: str, folder: Path) -> bytes:
    return (folder / value[1:]).read_bytes() if value.startswith("@") else value.encode()


def _multipart(fields: list[str], boundary: str, folder: Path) -> bytes:
    body = b""
    for item in fields:
        name, _, value = item.partition("=")
        disposition = f'form-data; name="{name}"'
        kind = ""
        if value.startswith("@"):
            disposition += f'; filename="{Path(value[1:]).name}"'
            kind = "Content-Type: text/plain\r\n"
        head = f"--{boundary}\r\nContent-Disposition: {disposition}\r\n{kind}\r\n"
        body += head.encode() + _content(value, folder) + b"\r\n"
    return body + f"--{boundary}--\r\n".encode()


def perform(request: Request) -> tuple[str, bytes]:
    """Send a request; return what curl prints before the body, and the body."""
    parts = urlsplit(request.url if "://" in request.url else f"http://{request.url}")
    target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=TIMEOUT)
    try:
        skip_host = "Host" in request.headers
        connection.putrequest(request.method, target, skip_host, skip_accept_encoding=True)
        for name, value in request.headers.items():
            connection.putheader(name, value)
        if request.body is not None:
            connection.putheader("Content-Length", str(len(request.body)))
        connection.endheaders(request.body)
        response = connection.getresponse()
        body = response.read()
    finally:
        connection.close()
    head = ""
    if request.show_head:
        version = {10: "1.0", 11: "1.1"}[response.version]
        lines = [f"HTTP/{version} {response.status} {response.reason}"]
        lines += [f"{name}: {value}" for name, value in response.getheaders()]
        head = "\n".join(lines) + ("\n" if request.method == "HEAD" else "\n\n")
    if request.compressed and response.getheader("Content-Encoding") == "gzip":
        body = zlib.decompress(body, zlib.MAX_WBITS | 16)
    return head, body
