"""Uploaded files as apps see them (seed, File Upload): named safely, saved where the app says.

``arguments.form_body`` makes them of the files that the engine found in a form.
"""

from __future__ import annotations

import os
import re
import secrets
import tempfile
import weakref
from typing import TYPE_CHECKING, Any

from skitai.wire.multipart import UploadedFile

if TYPE_CHECKING:
    from collections.abc import Iterator

NO_NAME = "noname"
MAX_NAME = 200  # bytes; file systems allow 255, and a number may have to go in
IN_A_ROW = 1000  # numbers that are tried one after the other
# What makes trouble in shells, URLs and headers, and what can't be seen: control characters, and
# those that turn the direction of text, which make "gpj.exe" look like "exe.jpg".
_UNSAFE = re.compile(
    r"""[\s\x00-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069\ud800-\udfff\\"':;|><&?]+"""
)


def safe_name(name: str) -> str:
    """A file name that can be used as one: the last part of the path that a client sent.

    Leading dots are dropped, runs of blanks, control characters and ``\\ " ' : ; | > < & ?`` become
    ``_``, long names are cut before their extension. ``"noname"`` when nothing is left.
    """
    name = _UNSAFE.sub("_", name.rpartition("/")[2].lstrip(".")) or NO_NAME
    if len(name.encode()) <= MAX_NAME:
        return name
    stem, ext = os.path.splitext(name)
    if len(ext.encode()) > MAX_NAME // 2:
        stem, ext = name, ""
    return _cut(stem, MAX_NAME - len(ext.encode())) + ext


def _cut(text: str, size: int) -> str:
    """As much of the text as fits into ``size`` bytes of UTF-8."""
    return text.encode()[:size].decode("utf-8", "ignore")


class FlashFile(str):
    """The path of a temporary file that is deleted at the end of a ``with`` block.

    Without one it is deleted when nobody refers to the path any more.
    """

    def __new__(cls, path: str) -> FlashFile:
        made = super().__new__(cls, path)
        made._remove = weakref.finalize(made, _unlink, path, os.getpid())
        return made

    _remove: weakref.finalize[Any, FlashFile]

    def __enter__(self) -> FlashFile:
        return self

    def __exit__(self, *_: object) -> None:
        self._remove()


def _unlink(path: str, owner: int) -> None:
    """Delete a temporary file, if it is there; not at the end of a process forked meanwhile."""
    if os.getpid() != owner:
        return
    try:
        os.unlink(path)
    except FileNotFoundError:
        pass


class Upload(UploadedFile):
    """A file that a form brought along.

    The content is in memory or in a temporary file without a name, and gone when nobody refers to
    it. What ``save`` and ``move`` wrote stays. They block, so call them in a thread.

    Attributes:
        name: file name as posted, made safe by ``safe_name``.
        mimetype: as posted: the client may say what it likes; ``application/octet-stream`` for what
            is no media type.
        size: bytes.
        file: the content as a seekable binary file.
    """

    __slots__ = (
        "__weakref__",
        "_content",
        "_path",
        "_temporary",
        "file",
        "mimetype",
        "name",
        "size",
    )

    def __init__(self, content: UploadedFile) -> None:
        self._content = content
        self._temporary: FlashFile | None = None
        self._path = ""  # where it was moved to
        self.file = content.file
        self.name = safe_name(content.name)
        self.mimetype = content.mimetype
        self.size = content.size

    def __repr__(self) -> str:
        return f"<Upload {self.name!r} {self.mimetype} {self.size} bytes>"

    @property
    def ext(self) -> str | None:
        """Extension of the name with its dot, e.g. ``".png"``; None when it has none."""
        return os.path.splitext(self.name)[1] or None

    @property
    def path(self) -> str:
        """Path of a temporary file with the content, written when it is first asked for.

        The file is deleted with the upload. After ``move`` it is the path given there.
        """
        return self.flush()

    def flush(self) -> str:
        """Write the content to its temporary file, unless it is there; return the path."""
        if self._path:
            return self._path
        if self._temporary is None:
            self._temporary = self._write_temporary()
        return str(self._temporary)

    def read(self, size: int = -1) -> bytes:
        """Read at most ``size`` bytes from the current position, by default all that is left."""
        return self.file.read(size)

    def save(
        self,
        into: str | os.PathLike[str],
        name: str | None = None,
        mkdir: bool = False,
        dup: str = "u",
    ) -> str:
        """Write the content to a file in a directory.

        Parameters:
            into: the directory.
            name: file name, by default ``self.name``.
            mkdir: make the directory, and those above it, when it is not there.
            dup: what to do when there is a file of that name: ``"u"`` finds a new name,
                ``a.1.txt``, ``a.2.txt`` …; ``"o"`` replaces it; no reader ever sees half of it.

        Returns the path of the file. Raises ``FileNotFoundError`` without the directory,
        ``ValueError`` for another ``dup`` and for a name that is a path, ``OSError`` when writing
        fails.
        """
        if dup not in ("u", "o"):
            raise ValueError(f"dup must be 'u' (unique name) or 'o' (overwrite), not {dup!r}")
        if name is None:
            name = self.name
        elif name in ("", ".", "..") or "/" in name or "\0" in name:
            raise ValueError(f"name must be the name of a file, not {name!r}")
        into = os.fspath(into)
        if mkdir:
            os.makedirs(into, exist_ok=True)
        target = os.path.join(into, name)
        if dup == "o":
            self._replace(target)
            return target
        for free in _alternatives(target):
            try:
                self._write(free)
            except FileExistsError:
                continue
            return free
        raise AssertionError("there is always one more name")

    def move(self, to: str | os.PathLike[str]) -> str:
        """Write the content to the path ``to``, replacing a file that is there.

        Into a directory it goes under its own name. ``path`` is the new place from now on, and
        nothing deletes it. Returns that path; raises ``OSError`` when writing fails.
        """
        to = os.fspath(to)
        if os.path.isdir(to):
            to = os.path.join(to, self.name)
        self._replace(to)
        self._drop_temporary()
        self._path = to
        return to

    def remove(self) -> None:
        """Drop the content and the temporary file; what was saved or moved stays."""
        self._drop_temporary()
        self.file.close()

    def as_flashfile(self) -> FlashFile:
        """The temporary file as a path that deletes it at the end of a ``with`` block.

        The file now belongs to the path: it outlives the upload.
        """
        if self._temporary is None:
            return self._write_temporary()
        given, self._temporary = self._temporary, None
        return given

    tempfile = flashfile = as_flashfile

    # -- writing

    def _write_temporary(self) -> FlashFile:
        descriptor, path = tempfile.mkstemp(prefix="atila-", suffix=self.ext or "")
        flash = FlashFile(path)
        with os.fdopen(descriptor, "wb", 0):
            self.copy(descriptor)
        return flash

    def _drop_temporary(self) -> None:
        if self._temporary is not None:
            with self._temporary:
                self._temporary = None

    def _replace(self, target: str) -> None:
        """Write to a file beside ``target`` and rename it: readers see the old one or the new."""
        folder, name = os.path.split(target)
        fresh = os.path.join(folder, f".{_cut(name, MAX_NAME)}.{secrets.token_hex(8)}")
        self._write(fresh)
        try:
            os.replace(fresh, target)
        except OSError:
            os.unlink(fresh)
            raise

    def _write(self, target: str) -> None:
        """Write to a new file; ``FileExistsError`` when there is one."""
        descriptor = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666)
        try:
            with os.fdopen(descriptor, "wb", 0):
                self.copy(descriptor)
        except BaseException:
            os.unlink(target)
            raise


def _alternatives(target: str) -> Iterator[str]:
    """The path itself, then with a number before its extension, without end.

    The numbers are random after a while, lest a client makes every upload slower than the last.
    """
    yield target
    stem, ext = os.path.splitext(target)
    for number in range(1, IN_A_ROW + 1):
        yield f"{stem}.{number}{ext}"
    while True:
        yield f"{stem}.{secrets.randbelow(10**12)}{ext}"
