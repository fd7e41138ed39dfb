"""``was.File``, ``was.Static`` and ``was.Media``: files as answers (seed, File and Static)."""

from __future__ import annotations

import errno
import io
import os
import stat as stat_module
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, unquote

from atila.errors import HTTPError
from atila.results.heads import head_of
from atila.results.streams import send_stream
from skitai.handlers.files import respond_file
from skitai.server.streaming import to_bytes

if TYPE_CHECKING:
    from collections.abc import Iterator

    from atila.was import Was

BINARY = "application/octet-stream"
PIECE = 64 * 1024  # bytes that are read at once from what is no file of the system
_FLAGS = os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK
_NO_FILE = frozenset((errno.ENOENT, errno.ENOTDIR, errno.ENAMETOOLONG, errno.ELOOP))
NO_FILE = "there is no such file"
_IN_MEMORY = (io.BytesIO, io.StringIO)


class File:
    """A file as the answer.

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

    def check(self, was: Was) -> None:
        """Raise ``HTTPError`` 404 when there is no such file, before anything counts on it."""
        if not hasattr(self.source, "read") and not os.path.isfile(
            was.app.abspath(os.fspath(self.source))
        ):
            raise HTTPError(404, NO_FILE)

    def send(self, was: Was) -> None:
        """Answer with the file; 404 when there is none."""
        if self.filename is not None:
            was.response.set_header("Content-Disposition", disposition(self.filename))
        if not hasattr(self.source, "read"):
            self._send_descriptor(was, _open(was.app.abspath(os.fspath(self.source))))
        elif isinstance(self.source, _IN_MEMORY):
            with self.source as source:
                source.seek(0)
                body = to_bytes(source.read())
            was.exchange.respond(head_of(was, self.mimetype), body)
        elif (descriptor := _descriptor_of(self.source)) is not None:
            self._send_descriptor(was, descriptor)
        else:
            was.response.content_type = was.response.content_type or self.mimetype
            send_stream(was, _pieces(self.source))

    def _send_descriptor(self, was: Was, descriptor: int) -> None:
        status = os.fstat(descriptor)
        if not stat_module.S_ISREG(status.st_mode):
            os.close(descriptor)
            raise HTTPError(404, NO_FILE)
        respond_file(was.exchange, head_of(was, self.mimetype), descriptor, status)


def _open(path: str) -> int:
    try:
        return os.open(path, _FLAGS)
    except OSError as exc:
        if exc.errno not in _NO_FILE:
            raise
    except ValueError:  # a NUL in the name
        pass
    raise HTTPError(404, NO_FILE) from None


def _descriptor_of(source: Any) -> int | None:
    """A descriptor of an open file, which is closed; None when its bytes may be others.

    An object that decodes or unpacks has a descriptor too: that of what it reads.
    """
    raw = getattr(source, "raw", source)
    if type(raw) is not io.FileIO or type(source) not in (
        io.FileIO,
        io.BufferedReader,
        io.BufferedRandom,
    ):
        return None
    if not source.readable() or not stat_module.S_ISREG(os.fstat(source.fileno()).st_mode):
        return None
    with source:
        source.flush()
        return os.dup(source.fileno())


def _pieces(source: Any) -> Iterator[Any]:
    """What an open file has, from its start if it can be rewound; closes it."""
    try:
        if hasattr(source, "seek") and (not hasattr(source, "seekable") or source.seekable()):
            source.seek(0)
        while piece := source.read(PIECE):
            yield piece
    finally:
        if hasattr(source, "close"):
            source.close()


def disposition(name: str) -> str:
    """Content-Disposition (RFC 6266): a plain name for old clients, the exact one encoded."""
    plain = "".join(
        char if char.isascii() and char.isprintable() and char not in '"\\' else "_"
        for char in name
    )
    if plain == name:
        return f'attachment; filename="{name}"'
    encoded = quote(name, safe="", errors="replace")
    return f"attachment; filename=\"{plain}\"; filename*=UTF-8''{encoded}"


class MountedFile:
    """A file of the static mounts as the answer (seed, Static).

    Parameters:
        uri: its URL path, e.g. ``"/static/img/logo.png"``; a query is ignored.
    """

    __slots__ = ("path",)

    def __init__(self, uri: str) -> None:
        self.path = unquote(uri.partition("#")[0].partition("?")[0])

    def check(self, was: Was) -> None:
        """Raise ``HTTPError`` as ``send`` would, without an answer."""
        self._check_method(was)
        if not was.app.mounted_files(was.exchange, self.path, None):
            raise HTTPError(404, NO_FILE)

    def send(self, was: Was) -> None:
        """Answer with the file; 404 when there is none, 405 for other methods than GET and HEAD."""
        self._check_method(was)
        if not was.app.mounted_files(was.exchange, self.path, head_of(was, "")):
            raise HTTPError(404, NO_FILE)

    def _check_method(self, was: Was) -> None:
        if was.exchange.request.method not in ("GET", "HEAD"):
            was.response.set_header("Allow", "GET, HEAD")
            raise HTTPError(405, "a static file can only be read")


FILES = (File, MountedFile)
