"""What a handler may return and how it becomes a response (seed, Making Response).

The endpoints call ``send`` with the handler's result; the table at the end maps types to senders.
"""

from __future__ import annotations

import errno
import os
import stat as stat_module
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from atila.encoding import encode
from atila.errors import HTTPError
from atila.failures import answer_status
from atila.heads import head_of
from atila.streams import is_stream, send_stream
from skitai.handlers.files import respond_file
from skitai.server.streaming import to_bytes

if TYPE_CHECKING:
    from collections.abc import Callable

    from atila.response import Response
    from atila.was import Was

HTML = "text/html; charset=utf-8"
JSON = "application/json"
BINARY = "application/octet-stream"
_NO_FILE = frozenset((errno.ENOENT, errno.ENOTDIR, errno.ENAMETOOLONG))


class API:
    """A JSON answer (seed, API Response).

    Parameters:
        args: optionally a status (``"201 Created"`` or 201), then optionally a dictionary.
        data: more keys; these win.

    Raises ``TypeError`` for other positional arguments.
    """

    __slots__ = ("data", "status")

    def __init__(self, /, *args: Any, **data: Any) -> None:
        self.status: str | int | None = None
        self.data: dict[str, Any] = data
        if args:
            self._take(args, data)

    def _take(self, args: tuple[Any, ...], data: dict[str, Any]) -> None:
        rest = list(args)
        if rest and (isinstance(rest[0], str) or type(rest[0]) is int):
            self.status = rest.pop(0)
        elif len(rest) > 1 and rest[0] is None:
            rest.pop(0)
        if rest and isinstance(rest[0], dict):
            self.data = {**rest.pop(0), **data}
        elif rest and rest[0] is None:
            rest.pop(0)
        if rest:
            raise TypeError(f"was.API takes a status and a dictionary, not {rest[0]!r}")

    def __getitem__(self, key: str) -> Any:
        return self.data[key]

    def __setitem__(self, key: str, value: Any) -> None:
        self.data[key] = value

    def get(self, key: str, default: Any = None) -> Any:
        """A key of the answer."""
        return self.data.get(key, default)

    def set(self, key: str, value: Any) -> None:
        """Set a key of the answer."""
        self.data[key] = value


class File:
    """A file as the answer (seed, File).

    Parameters:
        source: path, relative to the launch script's directory, or an open file, which is sent from
            its start and closed.
        mimetype: its Content-Type.
        filename: offer it for download under this name.
    """

    __slots__ = ("filename", "mimetype", "source")

    def __init__(self, source: Any, mimetype: str = BINARY, filename: str | None = None) -> None:
        self.source = source
        self.mimetype = mimetype
        self.filename = filename

    def send(self, was: Was) -> None:
        """Answer with the file; 404 when there is none."""
        head = head_of(was, self.mimetype)
        if self.filename is not None:
            head.fields = [*(head.fields or ()), ("Content-Disposition", self._disposition())]
        if hasattr(self.source, "read"):
            was.exchange.respond(head, _read_all(self.source))
            return
        try:
            descriptor = os.open(
                was.app.abspath(os.fspath(self.source)), os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK
            )
        except OSError as exc:
            if exc.errno not in _NO_FILE:
                raise
            raise HTTPError(404, "there is no such file") from None
        except ValueError:  # a NUL in the name
            raise HTTPError(404, "there is no such file") from None
        status = os.fstat(descriptor)
        if not stat_module.S_ISREG(status.st_mode):
            os.close(descriptor)
            raise HTTPError(404, "there is no such file")
        respond_file(was.exchange, head, descriptor, status)

    def _disposition(self) -> str:
        """RFC 6266: a plain name for old clients, the exact one encoded."""
        name = self.filename or ""
        plain = "".join(
            char if char.isascii() and char.isprintable() and char not in '"\\' else "_"
            for char in name
        )
        if plain == name:
            return f'attachment; filename="{name}"'
        return f"attachment; filename=\"{plain}\"; filename*=UTF-8''{quote(name)}"


def _read_all(source: Any) -> bytes:
    """The whole content of an open file, from its start if it can be rewound; closes it."""
    try:
        if hasattr(source, "seek") and (not hasattr(source, "seekable") or source.seekable()):
            source.seek(0)
        return to_bytes(source.read())
    finally:
        if hasattr(source, "close"):
            source.close()


def redirect(response: Response, url: str, status: str | int) -> str:
    """Make ``response`` a redirect and return its body."""
    response.set_status(status)
    response.set_header("Location", quote(url, safe="/:?#[]@!$&'()*+,;=%~-._"))
    response.set_header("Cache-Control", "max-age=0")
    return ""


# -- from result to response


def _send_api(was: Was, result: API) -> None:
    if result.status is not None:
        was.response.set_status(result.status)
    was.exchange.respond(head_of(was, JSON), encode(result.data))


def _send_text(was: Was, result: str) -> None:
    was.exchange.respond(head_of(was, HTML if result else ""), result.encode())


def _send_bytes(was: Was, result: bytes) -> None:
    was.exchange.respond(head_of(was, HTML if result else ""), bytes(result))


def _send_json(was: Was, result: Any) -> None:
    was.exchange.respond(head_of(was, JSON), encode(result))


def _send_file(was: Was, result: File) -> None:
    result.send(was)


def _send_error(was: Was, result: HTTPError) -> None:
    """A raised or returned status: those below 400 are results like others."""
    if result.code >= 400:
        raise result
    answer_status(was, result)


def _send_other(was: Was, result: Any) -> None:
    """Results whose exact type is not in the table."""
    for kind, send in SENDERS.items():
        if isinstance(result, kind):
            send(was, result)
            return
    if hasattr(result, "read"):
        File(result, HTML).send(was)
    elif is_stream(result):
        send_stream(was, result)
    elif hasattr(type(result), "__dataclass_fields__") or hasattr(
        type(result), "__struct_fields__"
    ):
        _send_json(was, result)
    else:
        name = was.route.function.__qualname__ if was.route is not None else "of the error"
        raise TypeError(f"handler {name} returned {type(result).__name__}, which is no response")


SENDERS: dict[type, Callable[[Was, Any], None]] = {
    API: _send_api,
    str: _send_text,
    bytes: _send_bytes,
    bytearray: _send_bytes,
    dict: _send_json,
    list: _send_json,
    tuple: _send_json,
    File: _send_file,
    HTTPError: _send_error,
}


def send(was: Was, result: Any) -> None:
    """Answer the request of ``was`` with what its handler returned.

    Raises ``TypeError`` for a result that is no response, ``HTTPError`` for one that is an error.
    """
    SENDERS.get(type(result), _send_other)(was, result)
