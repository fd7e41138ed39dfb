"""The environment of a WSGI call (PEP 3333, environ Variables). The endpoint of an app makes it."""

from __future__ import annotations

import io
import os
import sys
from typing import TYPE_CHECKING, Any

from skitai.handlers.server_names import server_name
from skitai.handlers.wsgi_files import FileWrapper
from skitai.wire.request import origin_form

if TYPE_CHECKING:
    from skitai.server.exchange import Exchange

_MAX_KEYS = 512
_MAX_NAME = 256
# The body has been decoded. With HTTP_PROXY clients would set the proxy of others (httpoxy).
_keys: dict[str, str | None] = {
    "content-type": "CONTENT_TYPE",
    "content-length": "CONTENT_LENGTH",
    "transfer-encoding": None,
    "proxy": None,
}
_protocols = {"1.1": "HTTP/1.1", "1.0": "HTTP/1.0", "2.0": "HTTP/2", "3.0": "HTTP/3"}


class EnvironMaker:
    """Makes the environments of an app's requests.

    Parameters:
        point: of the mount, starts and ends with a slash.
        threaded: the app is called in several threads.
    """

    def __init__(self, point: str, threaded: bool) -> None:
        script = _as_latin1(point[:-1])
        self._size = len(script)
        # The process's own environment is not in it: error pages of frameworks show all of this.
        self._base: dict[str, Any] = {
            "SCRIPT_NAME": script,
            "GATEWAY_INTERFACE": "CGI/1.1",
            "SERVER_SOFTWARE": "skitai",
            "wsgi.version": (1, 0),
            "wsgi.errors": sys.stderr,
            "wsgi.multithread": threaded,
            "wsgi.multiprocess": True,
            "wsgi.run_once": False,
            "wsgi.file_wrapper": FileWrapper,
            "wsgi.input_terminated": True,
            "skitai.process": os.getpid(),
        }

    def make(self, exchange: Exchange) -> dict[str, Any]:
        """The environment of a request whose body is complete.

        ``HTTP_*`` has the headers; repeated ones are joined. A header with ``_`` in its name is not
        there: a client could put it in the place of the one with ``-``. ``CONTENT_LENGTH`` is the
        size of the body also when it came in chunks.
        """
        request, body = exchange.request, exchange.body
        path, target = request.path, request.target
        address, scheme, host = exchange.origin
        environ = self._base.copy()
        environ["REQUEST_METHOD"] = request.method
        environ["PATH_INFO"] = (path if path.isascii() else _as_latin1(path))[self._size :]
        environ["QUERY_STRING"] = request.query
        environ["REQUEST_URI"] = environ["RAW_URI"] = (
            target if target[0] == "/" else origin_form(target)
        )
        environ["REMOTE_ADDR"] = address
        environ["REMOTE_PORT"] = str(exchange.channel.peer[1])
        environ["SERVER_NAME"], environ["SERVER_PORT"] = server_name(host, scheme)
        environ["SERVER_PROTOCOL"] = _protocols[request.version]
        environ["REQUEST_VERSION"] = request.version
        environ["wsgi.url_scheme"] = scheme
        keys = _keys
        for name, value in request.headers.items():
            try:
                key = keys[name]
            except KeyError:
                key = _new_key(name)
            if key is not None:
                environ[key] = value
        if body is None:
            environ["wsgi.input"] = io.BytesIO()
        else:
            environ["wsgi.input"] = body.open()
            environ["CONTENT_LENGTH"] = str(body.size)
        return environ


def _new_key(name: str) -> str | None:
    key = None if "_" in name else f"HTTP_{name.upper().replace('-', '_')}"
    if len(_keys) < _MAX_KEYS and len(name) <= _MAX_NAME:
        _keys[name] = key
    return key


def _as_latin1(path: str) -> str:
    """PEP 3333: text stands for bytes, one character each."""
    return path.encode("utf-8").decode("latin-1")
