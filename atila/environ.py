"""``was.env``: the request as a WSGI environment (PEP 3333), for code that expects one.

``was.request.env`` makes it when it is first read.
"""

from __future__ import annotations

import io
import os
import sys
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from skitai.server.exchange import Exchange

_PORTS = {"http": "80", "https": "443"}
_BARE = {"content-type": "CONTENT_TYPE", "content-length": "CONTENT_LENGTH"}


def make_environ(exchange: Exchange, point: str) -> dict[str, Any]:
    """The environment of a request to an app mounted at ``point``.

    ``HTTP_*`` has the headers; repeated ones are joined. A header with ``_`` in its name is not
    there: a client could put it in the place of the one with ``-``, e.g. of ``X-Forwarded-For``.
    ``wsgi.input`` is the whole body, and ``CONTENT_LENGTH`` its size, also when it came in chunks.
    """
    request, channel = exchange.request, exchange.channel
    origin = exchange.origin
    host, port = _split_host(origin.host, origin.scheme)
    script = point.rstrip("/")
    environ: dict[str, Any] = {
        "REQUEST_METHOD": request.method,
        "SCRIPT_NAME": _as_latin1(script),
        "PATH_INFO": _as_latin1(request.path[len(script) :]),
        "QUERY_STRING": request.query,
        "REQUEST_URI": request.target,
        "REQUEST_VERSION": request.version,
        "SERVER_NAME": host,
        "SERVER_PORT": port,
        "SERVER_PROTOCOL": f"HTTP/{request.version}",
        "SERVER_SOFTWARE": "skitai",
        "GATEWAY_INTERFACE": "CGI/1.1",
        "REMOTE_ADDR": origin.address,
        "REMOTE_PORT": str(channel.peer[1]),
        "wsgi.version": (1, 0),
        "wsgi.url_scheme": origin.scheme,
        "wsgi.input": io.BytesIO(),
        "wsgi.errors": sys.stderr,
        "wsgi.multithread": True,
        "wsgi.multiprocess": True,
        "wsgi.run_once": False,
        "skitai.process": os.getpid(),
    }
    for name, value in request.headers.items():
        if "_" not in name:
            environ[_BARE.get(name) or f"HTTP_{name.upper().replace('-', '_')}"] = value
    if exchange.body is not None:
        environ["wsgi.input"] = exchange.body.open()
        environ["CONTENT_LENGTH"] = str(exchange.body.size)
    return environ


def _split_host(host: str, scheme: str) -> tuple[str, str]:
    """Name and port of a Host header, which has been checked; the port may be left out or empty."""
    name, _, port = host.rpartition(":")
    if not name or port.endswith("]"):
        name, port = host, ""
    return name or "localhost", port or _PORTS[scheme]


def _as_latin1(path: str) -> str:
    """PEP 3333: text stands for bytes, one character each."""
    return path.encode("utf-8").decode("latin-1")
