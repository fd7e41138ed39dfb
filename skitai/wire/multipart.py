"""``multipart/form-data`` bodies (RFC 7578): text and files of a form.

Called with a whole body, in memory or on disk; the framing is parsed by the multipart package. The
files of a body on disk are windows on it: they are neither read into memory nor copied.
"""

from __future__ import annotations

import io
import os
import re
from typing import TYPE_CHECKING, TypeAlias
from urllib.parse import unquote_to_bytes

from multipart import MultipartError, MultipartSegment, PushMultipartParser, parse_options_header

from skitai.wire.forms import MAX_TEXT, MalformedForm, text_codec
from skitai.wire.spool import Spool, SpooledFile

if TYPE_CHECKING:
    from collections.abc import Iterator

Value: TypeAlias = "str | UploadedFile"
PIECE = 256 * 1024  # bytes parsed at a time
MAX_BOUNDARY = 70  # RFC 2046, 5.1.1
_BREAK = re.compile(r"[\r\n\0]")
_MEDIA_TYPE = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+/[!#$%&'*+.^_`|~0-9A-Za-z-]+")
BINARY = "application/octet-stream"
_QUOTED = re.compile(r'"(?:[^"\\]|\\.)*"')
_EXTENDED_NAME = re.compile(r"""(?i);\s*filename\*\s*=\s*([^'";\s]*)'[^'";\s]*'([^'";\s]*)""")
_HEAD_END = b"\r\n\r\n"
_HEAD_SIZES = (1024, 256 * 1024)  # bytes to look for the end of a part's head; usual, and largest


class UploadedFile:
    """A file that a form brought along.

    Attributes:
        name: the file name as sent by the client. Never use it as a path unchecked.
        mimetype: as sent, without parameters; ``application/octet-stream`` when what was sent is no
            media type (RFC 9110, 8.3.1), so that it can be put into a header.
        size: bytes.
        file: the content as a seekable binary file, in memory or on disk.
    """

    __slots__ = ("file", "mimetype", "name", "size")

    def __init__(self, name: str, mimetype: str, size: int, file: io.BytesIO | SpooledFile) -> None:
        self.name = name
        self.mimetype = mimetype
        self.size = size
        self.file = file

    def __repr__(self) -> str:
        return f"<UploadedFile {self.name!r} {self.mimetype} {self.size} bytes>"

    def copy(self, target: int) -> None:
        """Write the whole content, whatever the position is, to the descriptor ``target``.

        Raises ``OSError`` when writing fails, ``ValueError`` when ``file`` was closed.
        """
        if isinstance(self.file, SpooledFile):
            self.file.raw.copy(target)
            return
        with self.file.getbuffer() as rest:
            done = 0
            while done < len(rest):
                done += os.write(target, rest[done:])


def parse_multipart(
    body: bytes | Spool,
    content_type: str,
    max_fields: int = 1000,
    max_part_header: int = 4096,
    max_text: int = MAX_TEXT,
    piece: int = PIECE,
) -> dict[str, Value | list[Value]]:
    """Read the fields of a form; repeated names give lists, in the order sent.

    Parameters:
        body: the whole body. Files of one on disk stay where they are.
        content_type: the ``Content-Type`` header of the request, which names the boundary.
        max_fields: highest number of parts.
        max_part_header: bytes of one header line of a part.
        max_text: bytes of all fields that are no files.
        piece: bytes that are parsed at a time.

    A file input that was left empty is no field. Raises ``MalformedForm`` for another type, an
    unusable boundary, broken framing, nested multipart parts (obsolete: RFC 7578, 4.3), a charset
    that is not known, and exceeded limits.
    """
    boundary = _boundary(content_type)
    parser = PushMultipartParser(
        boundary, max_header_size=max_part_header, max_segment_count=max_fields
    )
    form = _Form(body, boundary.encode(), max_text)
    try:
        for data in _pieces(body, piece):
            for event in parser.parse(data):
                if event is None:
                    form.end_part()
                elif isinstance(event, MultipartSegment):
                    form.begin_part(event)
                else:
                    form.add(event)
        parser.close()
    except MultipartError as exc:
        raise MalformedForm(f"multipart body: {exc}") from exc
    return form.fields


def _boundary(content_type: str) -> str:
    kind, options = parse_options_header(content_type)
    if kind != "multipart/form-data":
        raise MalformedForm(f"content type {kind!r} is not multipart/form-data")
    boundary: str = options.get("boundary", "")
    if not (0 < len(boundary) <= MAX_BOUNDARY and boundary.isascii() and boundary.isprintable()):
        raise MalformedForm(f"boundary must be 1 to {MAX_BOUNDARY} printable ASCII characters")
    return boundary


def _pieces(body: bytes | Spool, size: int) -> Iterator[bytes]:
    if isinstance(body, Spool):
        for start in range(0, body.size, size):
            yield body.read(start, size)
    elif len(body) <= size:
        if body:
            yield body
    else:
        for start in range(0, len(body), size):
            yield body[start : start + size]


class _Form:
    """Collects the fields of one body from the parser's events.

    The parser doesn't say where in the body a part is. That follows from where the one before has
    ended: the head of a part ends with the first empty line, its content with the delimiter.
    """

    def __init__(self, body: bytes | Spool, boundary: bytes, max_text: int) -> None:
        # per body
        self.fields: dict[str, Value | list[Value]] = {}
        self._body = body
        self._between = len(b"\r\n--\r\n" + boundary)
        self._at = self._find(b"--" + boundary + b"\r\n", 0, PIECE)
        if self._at < 0:
            self._at = 0  # the parser knows better what is wrong, or there are no parts
        self._text_left = max_text
        # per part
        self._segment: MultipartSegment | None = None
        self._file_name: str | None = None
        self._start = 0
        self._size = 0
        self._text: list[bytes] = []

    def begin_part(self, segment: MultipartSegment) -> None:
        if not segment.name:
            raise MalformedForm("multipart body: part without a name")
        # The parser refuses a bare line break only when a piece ends in the middle of that line.
        if any(_BREAK.search(value) for _, value in segment.headerlist):
            raise MalformedForm("multipart body: line break in a part header")
        coding = segment.header("Content-Transfer-Encoding", "binary").lower()
        if coding not in ("binary", "8bit", "7bit"):
            raise MalformedForm(f"multipart body: transfer encoding {coding!r} is obsolete")
        self._segment = segment
        self._file_name = _file_name(segment)
        kind = segment.content_type or ""
        if self._file_name is None and kind.startswith("multipart/"):
            raise MalformedForm(f"multipart body: nested {kind}, send each file as its own part")
        self._start = self._end_of_head()
        self._size = 0
        self._text = []

    def add(self, data: bytes) -> None:
        self._size += len(data)
        if self._file_name is not None:
            return
        self._text_left -= len(data)
        if self._text_left < 0:
            raise MalformedForm("multipart body: too much text, send large values as files")
        self._text.append(data)

    def end_part(self) -> None:
        segment = self._segment
        assert segment is not None
        self._at = self._start + self._size + self._between
        value: Value
        if self._file_name is None:
            value = self._decode(segment)
        elif not self._file_name and not self._size:
            return
        else:
            kind = segment.content_type or ""
            kind = kind if _MEDIA_TYPE.fullmatch(kind) else BINARY
            value = UploadedFile(self._file_name, kind, self._size, self._open())
        known = self.fields.get(segment.name)
        if known is None:
            self.fields[segment.name] = value
        elif isinstance(known, list):
            known.append(value)
        else:
            self.fields[segment.name] = [known, value]

    def _decode(self, segment: MultipartSegment) -> str:
        codec = text_codec(segment.charset or "utf-8")
        try:
            return b"".join(self._text).decode(codec)
        except UnicodeDecodeError as exc:
            raise MalformedForm(f"field {segment.name!r} is not valid {codec}") from exc

    def _open(self) -> io.BytesIO | SpooledFile:
        body, start = self._body, self._start
        if isinstance(body, Spool):
            return body.open(start, self._size)
        return io.BytesIO(body[start : start + self._size])

    def _end_of_head(self) -> int:
        """Where the content of the part whose head begins at ``_at`` begins."""
        for size in _HEAD_SIZES:
            found = self._find(_HEAD_END, self._at, size, end=self._at + size)
            if found >= 0:
                return found
        raise MalformedForm("multipart body: too long a part header")

    def _find(self, mark: bytes, start: int, piece: int, end: int | None = None) -> int:
        """Where the first ``mark`` behind ``start`` ends; -1 when there is none before ``end``."""
        body = self._body
        if not isinstance(body, Spool):
            found = body.find(mark, start)
            return found + len(mark) if found >= 0 else -1
        while start < (body.size if end is None else min(end, body.size)):
            found = body.read(start, piece).find(mark)
            if found >= 0:
                return start + found + len(mark)
            start += max(1, piece - len(mark) + 1)
        return -1


def _file_name(segment: MultipartSegment) -> str | None:
    """The name of a file, None for a text field.

    ``filename*`` (RFC 5987) does not belong into forms, but some clients know nothing else for
    names that are not ASCII.
    """
    header = segment.header("Content-Disposition", "")
    if "filename*" not in header.lower():
        return segment.filename  # type: ignore[no-any-return]  # the package has no types
    found = _EXTENDED_NAME.search(_QUOTED.sub('""', header))
    if found is None:
        return segment.filename  # type: ignore[no-any-return]  # the package has no types
    try:
        name = unquote_to_bytes(found[2]).decode(text_codec(found[1]))
    except UnicodeDecodeError as exc:
        raise MalformedForm(f"multipart body: file name is not valid {found[1]}") from exc
    return name
