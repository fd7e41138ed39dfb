"""``HttpReply``: the whole answer of an HTTP upstream, and ``Headers``; ``backend`` makes them."""

from __future__ import annotations

import asyncio
import json
import re
from typing import TYPE_CHECKING, Any

import msgspec

from skitai.errors import REASONS
from skitai.tasks.errors import TaskError, mark_gateway
from skitai.tasks.reply import Reply
from skitai.upstream.http.content import ContentError
from skitai.wire.forms import MalformedForm, text_codec

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from skitai.wire.http1_client import ResponseHead

FAILED = 300  # redirects are not followed, so they have not what was asked for
INLINE_SIZE = 64 * 1024  # bytes of a body that are decoded on the loop
_CHARSET = re.compile(r"""(?i);\s*charset\s*=\s*["']?([^"';\s]+)""")
_UNDECODED: Any = object()


class HTTPTaskError(TaskError):
    """The upstream answered with a status of 300 or more (facts, Failure mapping).

    Attributes:
        status_code, reason: of the answer.
    """

    def __init__(self, status_code: int, reason: str) -> None:
        super().__init__(f"{status_code} {reason}")
        self.status_code = status_code
        self.reason = reason


class Headers:
    """The headers of an answer; names in any case.

    Parameters:
        fields: names and values as sent, in their order.
    """

    __slots__ = ("_fields",)

    def __init__(self, fields: list[tuple[str, str]]) -> None:
        self._fields = fields

    def get(self, name: str, default: str | None = None) -> str | None:
        """The value; of a repeated header all of them, joined by commas (RFC 9110, 5.3)."""
        values = self.get_all(name)
        return ", ".join(values) if values else default

    def get_all(self, name: str) -> list[str]:
        """All values in their order, e.g. of ``Set-Cookie``."""
        key = name.lower()
        return [value for known, value in self._fields if known.lower() == key]

    def items(self) -> list[tuple[str, str]]:
        """Names and values as sent, with duplicates."""
        return list(self._fields)

    def keys(self) -> list[str]:
        """Names in lower case, each once."""
        return list(self)

    def __getitem__(self, name: str) -> str:
        value = self.get(name)
        if value is None:
            raise KeyError(name)
        return value

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str) and bool(self.get_all(name))

    def __iter__(self) -> Iterator[str]:
        return iter(dict.fromkeys(name.lower() for name, _ in self._fields))

    def __len__(self) -> int:
        return len({name.lower() for name, _ in self._fields})

    def __repr__(self) -> str:
        return f"Headers({self._fields!r})"


class HttpReply(Reply):
    """The answer.

    Attributes:
        status_code: 200 to 999.
        reason: as sent, or the usual phrase.
        headers: case-insensitive.
        content: the body without content codings.
        url: what was asked, without user and password.
        version: of HTTP.
        error: ``HTTPTaskError`` for a status of 300 or more.
    """

    __slots__ = ("_data", "content", "headers", "url", "version")

    def __init__(self, head: ResponseHead, content: bytes, url: str) -> None:
        self.status_code = head.status
        self.reason = head.reason or REASONS.get(head.status, "Unknown")
        self.version = head.version
        self.headers = Headers(head.fields)
        self.content = content
        self.url = url
        self.node = ""
        self._data = _UNDECODED
        self.error = None
        if head.status >= FAILED:
            self.error = HTTPTaskError(head.status, self.reason)

    @property
    def data(self) -> Any:
        """The body as its type says, decoded when it is asked for first.

        JSON as values, other text as ``str``, anything else as ``bytes``, without a body ``b""``.
        Raises ``ContentError`` for malformed JSON; that of a failure is text then.
        """
        if self._data is _UNDECODED:
            self._data = self._decode()
        return self._data

    @data.setter
    def data(self, value: Any) -> None:
        self._data = value

    @property
    def content_type(self) -> str:
        """Media type in lower case without parameters, may be empty."""
        value = self.headers.get("content-type") or ""
        return value.partition(";")[0].strip().lower()

    @property
    def text(self) -> str:
        """The body as text: in the charset of its type, else UTF-8; what is invalid is replaced."""
        found = _CHARSET.search(self.headers.get("content-type") or "")
        codec = "utf-8"
        if found:
            try:
                codec = text_codec(found[1])
            except MalformedForm:  # unknown, or none that a peer may choose
                codec = "utf-8"
        return self.content.decode(codec, "replace")

    @property
    def binary(self) -> bytes:
        """``content``, by another name."""
        return self.content

    def json(self) -> Any:
        """The body read as JSON, whatever its type is. Raises ``ContentError``."""
        try:
            return _decode_json(self.content)
        except (ValueError, RecursionError) as exc:
            error = ContentError(f"the answer of {self.url} is no JSON: {exc}")
            mark_gateway(error, 502)
            raise error from exc

    def get_header(self, name: str, default: str | None = None) -> str | None:
        """``headers.get``, by another name."""
        return self.headers.get(name, default)

    async def settle(self, decode: Callable[[HttpReply], Any]) -> None:
        """Make ``data`` with ``decode``; what it raises becomes ``error``."""
        try:
            if len(self.content) <= INLINE_SIZE:
                self.data = decode(self)
            else:
                loop = asyncio.get_running_loop()
                self.data = await loop.run_in_executor(None, decode, self)
        except Exception as exc:
            self.data = None
            self.error = exc

    def _decode(self) -> Any:
        kind = self.content_type
        if not self.content:
            return b""
        if kind == "application/json" or kind.endswith("+json"):
            try:
                return self.json()
            except ContentError:
                if self.error is None:
                    raise
                return self.text
        return self.text if kind.startswith("text/") else self.content


def _decode_json(text: bytes) -> Any:
    try:
        return msgspec.json.decode(text)
    except (msgspec.DecodeError, UnicodeDecodeError):
        # Python's own reads what many write: NaN, UTF-16, a byte order mark, lone surrogates.
        return json.loads(text)
