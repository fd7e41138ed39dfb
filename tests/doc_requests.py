"""The `curl` lines of documents: read and shown as curl does, sent with `http.client`.

Those that ask for HTTP/2 are sent with curl itself.
"""

from __future__ import annotations

import argparse
import base64
import http.client
import socket
import ssl
import subprocess
from dataclasses import dataclass
from typing import TYPE_CHECKING, NoReturn
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from pathlib import Path

TIMEOUT = 20.0  # seconds
BOUNDARY = "------------------------doc-requests"
VERSIONS = {10: "HTTP/1.0", 11: "HTTP/1.1"}


class CurlError(Exception):
    """The line uses something that isn't read here."""


@dataclass
class Request:
    """What a `curl` line asks for.

    Attributes:
        max_time: in seconds.
        cacert: file with the authorities of an https server.
        socket: path of the unix socket that is connected to.
        http2: the option that asks for HTTP/2, empty for none; the other ones are not heeded then.
    """

    method: str
    url: str
    headers: dict[str, str]
    body: bytes | None
    show_head: bool
    max_time: float
    cacert: str = ""
    socket: str = ""
    http2: str = ""


class UnixConnection(http.client.HTTPConnection):
    """HTTP over a unix socket."""

    def __init__(self, path: str, timeout: float) -> None:
        super().__init__("localhost", timeout=timeout)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self._path)


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise CurlError(f"curl: {message}")


def _parser() -> _Parser:
    parser = _Parser(prog="curl", add_help=False, allow_abbrev=False)
    for flags in (("-i", "--include"), ("-I", "--head"), ("-N", "--no-buffer"), ("--http1.1",)):
        parser.add_argument(*flags, action="store_true")
    for flag in ("--http2", "--http2-prior-knowledge"):
        parser.add_argument(flag, dest="http2", action="store_const", const=flag, default="")
    for flags in (("-H", "--header"), ("-d", "--data"), ("-F", "--form")):
        parser.add_argument(*flags, action="append", default=[])
    for flags in (
        ("-X", "--request"), ("-r", "--range"), ("--json",), ("-u", "--user"), ("-b", "--cookie"),
    ):  # fmt: skip
        parser.add_argument(*flags)
    for flag in ("--cacert", "--unix-socket"):
        parser.add_argument(flag, default="")
    parser.add_argument("-m", "--max-time", type=float, default=TIMEOUT)
    parser.add_argument("url")
    return parser


def read(words: list[str], folder: Path) -> Request:
    """Read the words after `curl`; files named by `@` in a form are in ``folder``."""
    given = _parser().parse_args(words)
    headers = {"User-Agent": "curl/8.0", "Accept": "*/*"}
    body: bytes | None = None
    if given.data:
        body = "&".join(given.data).encode()
        headers["Content-Type"] = "application/x-www-form-urlencoded"
    elif given.json is not None:
        body = given.json.encode()
        headers["Content-Type"] = headers["Accept"] = "application/json"
    elif given.form:
        body = b"".join(_part(field, folder) for field in given.form) + f"--{BOUNDARY}--".encode()
        headers["Content-Type"] = f"multipart/form-data; boundary={BOUNDARY}"
    if given.range:
        headers["Range"] = f"bytes={given.range}"
    if given.user:
        headers["Authorization"] = f"Basic {base64.b64encode(given.user.encode()).decode()}"
    if given.cookie:
        headers["Cookie"] = given.cookie
    for line in given.header:
        name, _, value = line.partition(":")
        headers[name.title()] = value.strip()
    method = given.request or ("HEAD" if given.head else "GET" if body is None else "POST")
    show_head = given.include or given.head
    files = [str(folder / name) if name else "" for name in (given.cacert, given.unix_socket)]
    return Request(
        method, given.url, headers, body, show_head, given.max_time, *files, http2=given.http2
    )


def _part(field: str, folder: Path) -> bytes:
    """One part of a multipart form, from `name=value` or `name=@file`."""
    name, _, value = field.partition("=")
    head = f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="{name}"'
    if not value.startswith("@"):
        return f"{head}\r\n\r\n{value}\r\n".encode()
    head += f'; filename="{value[1:]}"\r\nContent-Type: application/octet-stream\r\n\r\n'
    return head.encode() + (folder / value[1:]).read_bytes() + b"\r\n"


def _connection(request: Request) -> http.client.HTTPConnection:
    parts = urlsplit(request.url)
    host, port, timeout = parts.hostname or "", parts.port, request.max_time
    if request.socket:
        return UnixConnection(request.socket, timeout)
    if parts.scheme == "https":
        context = ssl.create_default_context(cafile=request.cacert or None)
        return http.client.HTTPSConnection(host, port, timeout=timeout, context=context)
    return http.client.HTTPConnection(host, port, timeout=timeout)


def perform(request: Request) -> str:
    """Send a request; return what curl would print."""
    if request.http2:
        line = ["curl", "-sS", "-m", str(request.max_time), request.http2, request.url]
        return subprocess.run(line, stdout=subprocess.PIPE, text=True, check=True).stdout
    parts = urlsplit(request.url)
    target = parts.path + (f"?{parts.query}" if parts.query else "")
    connection = _connection(request)
    try:
        connection.putrequest(
            request.method, target, skip_host="Host" in request.headers, skip_accept_encoding=True
        )
        for name, value in request.headers.items():
            connection.putheader(name, value)
        if request.body is not None:
            connection.putheader("Content-Length", str(len(request.body)))
        connection.endheaders(request.body)
        response = connection.getresponse()
        body = response.read().decode("utf-8", "replace")
    except TimeoutError:
        return f"curl: (28) Operation timed out after {request.max_time * 1000:.0f} milliseconds"
    finally:
        connection.close()
    if not request.show_head:
        return body
    lines = [f"{VERSIONS[response.version]} {response.status} {response.reason}"]
    lines += [f"{name}: {value}" for name, value in response.getheaders()]
    return "\n".join([*lines, "", body])
