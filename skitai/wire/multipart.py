"""``multipart/form-data`` bodies (RFC 7578) read piece by piece, large files on disk.

Called with the pieces of a body as they arrive; the framing is parsed by the multipart package.
"""

from __future__ import annotations

import io
import os
import re
import shutil
import tempfile
import weakref
from typing import TYPE_CHECKING, TypeAlias

from multipart import MultipartError, MultipartSegment, PushMultipartParser, parse_options_header

from skitai.wire.forms import MalformedForm, text_codec

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

Value: TypeAlias = "str | UploadedFile"
COPY_SIZE = 256 * 1024
MAX_BOUNDARY = 70  # RFC 2046, 5.1.1
_BREAK = re.compile(r"[\r\n\0]")


class UploadedFile:
    """A file that a form brought along.

    Attributes:
        name: the file name as sent by the client. Never use it as a path unchecked.
        mimetype: as sent, without parameters; ``application/octet-stream`` when not sent.
        size: bytes.
        file: the content as a seekable binary file, in memory or on disk.
    """

    __slots__ = ("file", "mimetype", "name", "size")

    def __init__(self, name: str, mimetype: str, size: int, file: io.BufferedIOBase) -> None:
        self.name = name
        self.mimetype = mimetype
        self.size = size
        self.file = file

    def __repr__(self) -> str:
        return f"<UploadedFile {self.name!r} {self.mimetype} {self.size} bytes>"

    def read(self, size: int = -1) -> bytes:
        """Read at most ``size`` bytes from the current position, by default all that is left."""
        return self.file.read(size)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the whole content to ``path``, replacing a file that is there.

        The position is at the start afterwards. Raises ``OSError`` when writing fails.
        """
        self.file.seek(0)
        with open(path, "wb") as target:
            shutil.copyfileobj(self.file, target, COPY_SIZE)
        self.file.seek(0)

    def close(self) -> None:
        """Free the memory or disk space. Files that nobody refers to are freed as well."""
        self.file.close()


class MultipartReader:
    """Collects the fields of one body.

    Parameters:
        content_type: the ``Content-Type`` header of the request, which names the boundary.
        spool_size: bytes of a file kept in memory; larger ones go to disk.
        max_fields: highest number of parts.
        max_part_header: bytes of one header line of a part.
        max_memory: bytes of all parts kept in memory; when they are used up, small files go to
            disk as well, and text is refused.

    Raises ``MalformedForm`` when the type is another one or has no usable boundary.
    """

    def __init__(
        self,
        content_type: str,
        spool_size: int = 1024 * 1024,
        max_fields: int = 1000,
        max_part_header: int = 4096,
        max_memory: int = 8 * 1024 * 1024,
    ) -> None:
        kind, options = parse_options_header(content_type)
        boundary = options.get("boundary", "")
        if kind != "multipart/form-data":
            raise MalformedForm(f"content type {kind!r} is not multipart/form-data")
        if not (
            0 < len(boundary) <= MAX_BOUNDARY and boundary.isascii() and boundary.isprintable()
        ):
            raise MalformedForm(f"boundary must be 1 to {MAX_BOUNDARY} printable ASCII characters")
        # per body
        self._parser = PushMultipartParser(
            boundary,
            max_header_size=max_part_header,
            max_segment_count=max_fields,
        )
        self._spool_size = spool_size
        self._memory_left = max_memory
        self._spool: Spool | None = None
        self._fields: dict[str, Value | list[Value]] = {}
        # per part
        self._segment: MultipartSegment | None = None
        self._buffer = io.BytesIO()
        self._start_on_disk = -1
        self._size = 0

    def feed(self, data: bytes) -> None:
        """Take the next piece of the body.

        Raises ``MalformedForm`` for broken framing and exceeded limits, ``OSError`` when the disk
        is full. What was collected is gone then.
        """
        if not data:
            return
        try:
            for event in self._parser.parse(data):
                if event is None:
                    self._end_part()
                elif isinstance(event, MultipartSegment):
                    self._begin_part(event)
                else:
                    self._add(event)
        except MultipartError as exc:
            self.discard()
            raise MalformedForm(f"multipart body: {exc}") from exc
        except (MalformedForm, OSError):
            self.discard()
            raise

    def close(self) -> dict[str, Value | list[Value]]:
        """End the body and return its fields; repeated names give lists, in the order sent.

        A file input that was left empty is no field. Raises ``MalformedForm`` when the end of the
        body is missing.
        """
        try:
            self._parser.close()
        except MultipartError as exc:
            self.discard()
            raise MalformedForm(f"multipart body: {exc}") from exc
        fields, self._fields = self._fields, {}
        return fields

    def discard(self) -> None:
        """Free everything collected so far: the body was bad or the client has left."""
        self._parser.close(check_complete=False)
        for value in self._fields.values():
            for item in value if isinstance(value, list) else [value]:
                if isinstance(item, UploadedFile):
                    item.close()
        self._fields.clear()
        self._buffer = io.BytesIO()
        self._spool = None

    def _begin_part(self, segment: MultipartSegment) -> None:
        if not segment.name:
            raise MalformedForm("multipart body: part without a name")
        # The parser refuses a bare line break only when a piece ends in the middle of that line.
        if any(_BREAK.search(value) for _, value in segment.headerlist):
            raise MalformedForm("multipart body: line break in a part header")
        coding = segment.header("Content-Transfer-Encoding", "binary").lower()
        if coding not in ("binary", "8bit", "7bit"):
            raise MalformedForm(f"multipart body: transfer encoding {coding!r} is obsolete")
        self._segment = segment
        self._buffer = io.BytesIO()
        self._start_on_disk = -1
        self._size = 0

    def _add(self, data: bytes) -> None:
        self._size += len(data)
        if self._start_on_disk >= 0:
            self._disk().append(data)
            return
        held = self._buffer.tell()
        is_file = self._segment is not None and self._segment.filename is not None
        fits = len(data) <= self._memory_left
        if fits and (not is_file or held + len(data) <= self._spool_size):
            self._buffer.write(data)
            self._memory_left -= len(data)
        elif is_file:
            self._start_on_disk = self._disk().size
            self._disk().append(self._buffer.getvalue())
            self._disk().append(data)
            self._memory_left += held
            self._buffer = io.BytesIO()
        else:
            raise MalformedForm("multipart body: too much text, send large values as files")

    def _disk(self) -> Spool:
        if self._spool is None:
            self._spool = Spool()
        return self._spool

    def _end_part(self) -> None:
        segment, self._segment = self._segment, None
        assert segment is not None
        value: Value
        if segment.filename is None:
            value = self._text(segment)
        elif not segment.filename and not self._size:
            return
        else:
            value = UploadedFile(
                segment.filename,
                segment.content_type or "application/octet-stream",
                self._size,
                self._content(),
            )
        known = self._fields.get(segment.name)
        if known is None:
            self._fields[segment.name] = value
        elif isinstance(known, list):
            known.append(value)
        else:
            self._fields[segment.name] = [known, value]

    def _text(self, segment: MultipartSegment) -> str:
        codec = text_codec(segment.charset or "utf-8")
        try:
            return self._buffer.getvalue().decode(codec)
        except UnicodeDecodeError as exc:
            raise MalformedForm(f"field {segment.name!r} is not valid {codec}") from exc

    def _content(self) -> io.BufferedIOBase:
        if self._start_on_disk < 0:
            self._buffer.seek(0)
            return self._buffer
        return io.BufferedReader(SpoolWindow(self._disk(), self._start_on_disk, self._size))


class Spool:
    """One temporary file without a name that holds all large files of a body.

    A single descriptor per body: a thousand files in a form can't use up those of the process,
    and nothing is left behind when the process is killed. Closed when nobody refers to it.
    """

    __slots__ = ("__weakref__", "fd", "size")

    def __init__(self) -> None:
        with tempfile.TemporaryFile(buffering=0) as file:
            self.fd = os.dup(file.fileno())
        self.size = 0
        weakref.finalize(self, os.close, self.fd)

    def append(self, data: bytes) -> None:
        """Write all of ``data`` at the end."""
        rest = memoryview(data)
        while rest:
            written = os.pwrite(self.fd, rest, self.size)
            self.size += written
            rest = rest[written:]


class SpoolWindow(io.RawIOBase):
    """The bytes of one file within a spool, read-only and with a position of its own."""

    def __init__(self, spool: Spool, start: int, size: int) -> None:
        self._spool: Spool | None = spool
        self._start = start
        self._size = size
        self._position = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._position

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        base = {os.SEEK_SET: 0, os.SEEK_CUR: self._position, os.SEEK_END: self._size}[whence]
        if base + offset < 0:
            raise ValueError(f"position {base + offset} is before the start of the file")
        self._position = base + offset
        return self._position

    def readinto(self, buffer: WriteableBuffer) -> int:
        if self._spool is None:
            raise ValueError("the uploaded file is closed")
        view = memoryview(buffer).cast("B")[: max(0, self._size - self._position)]
        count = os.preadv(self._spool.fd, [view], self._start + self._position) if view else 0
        self._position += count
        return count

    def close(self) -> None:
        self._spool = None
        super().close()
