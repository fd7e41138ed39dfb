"""``FormBody``: ``multipart/form-data`` as it is sent (RFC 7578), and files as bodies.

``payload`` makes them. Files are read while they are sent, in threads, never as a whole.
"""

from __future__ import annotations

import asyncio
import io
import mimetypes
import os
import secrets
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping, Sequence

PIECE = 256 * 1024  # bytes read at a time
BINARY = "application/octet-stream"
# As browsers do (WHATWG, Multipart form data): in the head of a part these would end the name.
_ESCAPES = str.maketrans({'"': "%22", "\r": "%0D", "\n": "%0A"})


class FileBody:
    """An open file, from where it stands to its end; can be sent again if it can be rewound.

    Parameters:
        file: binary; whoever opened it closes it.

    Attributes:
        length: bytes, None when that can't be known before it was read.

    Raises ``ValueError`` for a file in text mode.
    """

    __slots__ = ("_file", "_start", "length")

    def __init__(self, file: Any) -> None:
        if isinstance(file, io.TextIOBase):
            raise ValueError(f"{file!r} is open as text: open it with mode 'rb'")
        self._file = file
        self._start: int | None = None
        self.length: int | None = None
        if getattr(file, "seekable", bool)():
            self._start = file.tell()
            self.length = file.seek(0, os.SEEK_END) - self._start
            file.seek(self._start)

    async def __aiter__(self) -> AsyncIterator[bytes]:
        loop = asyncio.get_running_loop()
        left = self.length
        if self._start is not None:
            await loop.run_in_executor(None, self._file.seek, self._start)
        # What is appended meanwhile is not sent: the length was told.
        while left is None or left > 0:
            size = PIECE if left is None else min(PIECE, left)
            data = await loop.run_in_executor(None, self._file.read, size)
            if not data:
                return
            if isinstance(data, str):
                raise ValueError(f"{self._file!r} gives text: open it with mode 'rb'")
            if left is not None:
                left -= len(data)
            yield data


class FormBody:
    """A form with files.

    Parameters:
        fields: names to values. An open file, bytes, and a tuple ``(file name, content[, type])``
            with bytes, text or an open file are files; anything else is text. A list gives several
            of one name, None leaves it out.

    Attributes:
        content_type: with the boundary.
        length: bytes of all of it, None when that of a file can't be known.

    Raises ``ValueError`` as ``FileBody`` does.
    """

    __slots__ = ("_parts", "content_type", "length")

    def __init__(self, fields: Mapping[str, Any]) -> None:
        boundary = secrets.token_hex(16)
        self.content_type = f"multipart/form-data; boundary={boundary}"
        self._parts: list[bytes | FileBody] = []
        for name, value in fields.items():
            values = value if isinstance(value, list) else [value]
            for item in values:
                if item is not None:
                    self._add(boundary, str(name), item)
        self._parts.append(f"--{boundary}--\r\n".encode("ascii"))
        self.length = self._total()

    def whole(self) -> bytes | None:
        """All of it, when there is nothing to read; else None."""
        parts = [part for part in self._parts if isinstance(part, bytes)]
        return b"".join(parts) if len(parts) == len(self._parts) else None

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for part in self._parts:
            if isinstance(part, bytes):
                yield part
            else:
                async for data in part:
                    yield data

    def _add(self, boundary: str, name: str, value: Any) -> None:
        filename, content, kind = _part(name, value)
        head = f'--{boundary}\r\nContent-Disposition: form-data; name="{name.translate(_ESCAPES)}"'
        if filename is not None:
            head += f'; filename="{filename.translate(_ESCAPES)}"\r\nContent-Type: {kind}'
        self._parts += (f"{head}\r\n\r\n".encode(), content, b"\r\n")

    def _total(self) -> int | None:
        total = 0
        for part in self._parts:
            length = len(part) if isinstance(part, bytes) else part.length
            if length is None:
                return None
            total += length
        return total


def _part(name: str, value: Any) -> tuple[str | None, bytes | FileBody, str]:
    """File name (None: it is text), content and media type of a field."""
    if isinstance(value, tuple):
        return _described(value)
    if isinstance(value, (bytes, bytearray, memoryview)):
        return name, bytes(value), BINARY
    if is_file(value):
        # A descriptor has a number for a name, and unnamed files have none.
        path = getattr(value, "name", None)
        filename = os.path.basename(path) if isinstance(path, str) and path else name
        return filename, FileBody(value), _guess(filename)
    return None, str(value).encode(), ""


def _described(value: Sequence[Any]) -> tuple[str, bytes | FileBody, str]:
    if len(value) not in (2, 3) or not isinstance(value[0], str):
        raise ValueError(f"a file is a tuple of file name, content and maybe type, not {value!r}")
    filename, content = value[0], value[1]
    kind = str(value[2]) if len(value) == 3 and value[2] else _guess(filename)
    if not kind.isprintable():
        raise ValueError(f"the type of {filename!r} can't be sent: {kind!r}")
    if is_file(content):
        return filename, FileBody(content), kind
    if isinstance(content, str):
        return filename, content.encode(), kind
    if isinstance(content, (bytes, bytearray, memoryview)):
        return filename, bytes(content), kind
    raise ValueError(f"the content of {filename!r} must be bytes, text or an open file")


def is_file(value: Any) -> bool:
    """Whether it can be read like a file."""
    return callable(getattr(value, "read", None))


def _guess(filename: str) -> str:
    return mimetypes.guess_type(filename)[0] or BINARY
