"""``was.response``: status and headers that a handler sets before it returns (seed, Response).

Made when an app first asks for it; results read it when they send the answer.
"""

from __future__ import annotations

import hashlib
import re
import time
from collections.abc import Mapping
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from atila.errors import HTTPError
from atila.results.api import API, Fault
from skitai.errors import REASONS, parse_status
from skitai.server.representation import Fields, Head, add_vary
from skitai.wire.conditional import evaluate
from skitai.wire.dates import format_date, parse_date

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime

    from skitai.server.exchange import Exchange

_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_ETAG = re.compile(r'(?:W/)?"[\x21\x23-\x7e\x80-\xff]*"')
_SPLITTING = ("\r", "\n", "\0")


class Response:
    """Status and headers of the answer to be.

    Parameters:
        exchange: whose conditions ``set_etag`` and ``set_mtime`` look at.

    Attributes:
        status_code: 200 until set.
        content_type: empty until set.
    """

    __slots__ = ("_exchange", "_reason", "content_type", "fields", "status_code")

    API = api = API
    Fault = Fault

    def __init__(self, exchange: Exchange) -> None:
        self._exchange = exchange
        self._reason = ""
        self.status_code = 200
        self.content_type = ""
        self.fields: Fields = []

    # -- status

    def set_status(self, status: str | int) -> None:
        """Set e.g. ``"201 Created"`` or 201. Raises ``ValueError`` for what is no status."""
        self.status_code, reason = parse_status(status)
        self._reason = "" if reason == REASONS.get(self.status_code) else reason

    @property
    def reason(self) -> str:
        """The reason phrase, ``"OK"`` until another status is set."""
        return self._reason or REASONS.get(self.status_code, "Unknown")

    # -- headers

    def add_header(self, name: str, value: Any) -> None:
        """Add a header, also when there is one of that name.

        Raises ``ValueError`` for a name that is no token (RFC 9110, 5.1), and for a value that
        could not be sent: with a line break or NUL in it, or outside of Latin-1.
        """
        text = str(value)
        # PERF: all there is to check for nearly every value; the other way takes 0.4 us longer.
        if not (text.isascii() and text.isprintable() and _is_token(name)):
            _refuse(name, text)
        if name.lower() == "content-type":
            self.content_type = text
        else:
            self.fields.append((name, text))

    def set_header(self, name: str, value: Any) -> None:
        """Set a header, replacing those of that name. Raises as ``add_header``."""
        self.del_header(name)
        self.add_header(name, value)

    def append_header(self, name: str, value: Any) -> None:
        """Add a value to the list in a header (RFC 9110, 5.6.1), which is made if it isn't there.

        Raises as ``add_header``.
        """
        known = ", ".join(self._values(name))
        self.set_header(name, f"{known}, {value}" if known else value)

    def get_header(self, name: str, default: str | None = None) -> str | None:
        """The first header of that name."""
        lowered = name.lower()
        if lowered == "content-type":
            return self.content_type or default
        return next((value for key, value in self.fields if key.lower() == lowered), default)

    def del_header(self, name: str) -> None:
        """Remove all headers of that name."""
        lowered = name.lower()
        if lowered == "content-type":
            self.content_type = ""
        elif self.fields:
            self.fields = [pair for pair in self.fields if pair[0].lower() != lowered]

    def set_headers(self, headers: Mapping[str, Any] | Iterable[tuple[str, Any]]) -> None:
        """Set several headers, replacing those of the same names. Raises as ``add_header``.

        Parameters:
            headers: a dictionary, or pairs, in which a name may stand more than once.
        """
        pairs = list(headers.items() if isinstance(headers, Mapping) else headers)
        for name, _ in pairs:
            self.del_header(name)
        for name, value in pairs:
            self.add_header(name, value)

    def update(
        self, headers: str | Mapping[str, Any] | Iterable[tuple[str, Any]], value: Any = ""
    ) -> None:
        """``set_header`` for a name and a value, ``set_headers`` for a dictionary or pairs."""
        if isinstance(headers, str):
            self.set_header(headers, value)
        else:
            self.set_headers(headers)

    def add_vary(self, name: str) -> None:
        """Say that the answer depends on a header of the request (RFC 9110, 12.5.5)."""
        add_vary(self.fields, name)

    def __getitem__(self, name: str) -> str | None:
        return self.get_header(name)

    def __setitem__(self, name: str, value: Any) -> None:
        self.add_header(name, value)

    def __delitem__(self, name: str) -> None:
        self.del_header(name)

    def __contains__(self, name: str) -> bool:
        return self.get_header(name) is not None

    def _values(self, name: str) -> list[str]:
        lowered = name.lower()
        return [value for key, value in self.fields if key.lower() == lowered]

    # -- caching

    def set_max_age(self, max_age: float) -> None:
        """Let caches keep the answer (RFC 9111, 5.2.2.1).

        Parameters:
            max_age: seconds. HTTP/1.0 clients are told a moment, in Expires.

        Other directives that are in Cache-Control stay. Raises ``ValueError`` for a negative age.
        """
        seconds = _seconds(max_age)
        if self._exchange.request.version == "1.0":
            self._expire(seconds)
            return
        given = ", ".join(self._values("Cache-Control")).split(",")
        kept = [item.strip() for item in given if item.strip()]
        others = [item for item in kept if item.partition("=")[0].lower() != "max-age"]
        self.set_header("Cache-Control", ", ".join([*others, f"max-age={seconds}"]))

    set_cache = set_max_age

    def set_etag(self, identifier: Any, max_age: float = 0, as_etag: bool = False) -> None:
        """Name this version of the resource, and stop here for clients that have it.

        Parameters:
            identifier: text or bytes that are different for every version of every resource; the
                entity tag is their MD5.
            max_age: seconds for which caches need not ask again.
            as_etag: ``identifier`` is the entity tag itself, with or without quotes and ``W/``.

        Raises ``HTTPError`` 304 or 412 when the request's conditions ask for it (RFC 9110, 13),
        ``ValueError`` for what is no entity tag.
        """
        self._name(identifier, as_etag)
        if max_age:
            self.set_max_age(max_age)
        self._weigh()

    def set_mtime(
        self, mtime: float | datetime, length: int | None = None, max_age: float = 0
    ) -> None:
        """Say when the resource was modified, and stop here for clients that know this version.

        Parameters:
            mtime: seconds since the epoch, or a datetime; a naive one is local time.
            length: not needed, the engine counts the bytes of the body.
            max_age: seconds for which caches need not ask again, from now on.

        Raises ``HTTPError`` 304 or 412 when the request's conditions ask for it (RFC 9110, 13),
        ``ValueError`` for what is no moment.
        """
        self._date(mtime, max_age)
        self._weigh()

    def set_etag_mtime(
        self,
        identifier: Any,
        mtime: float | datetime,
        length: int | None = None,
        max_age: float = 0,
        as_etag: bool = False,
    ) -> None:
        """``set_etag`` and ``set_mtime`` at once: conditions are weighed with both known."""
        self._name(identifier, as_etag)
        self._date(mtime, max_age)
        self._weigh()

    def _name(self, identifier: Any, as_etag: bool) -> None:
        if as_etag:
            tag = str(identifier)
            tag = tag if tag.endswith('"') else f'"{tag}"'
            if not _ETAG.fullmatch(tag):
                raise ValueError(f"{identifier!r} can't be an entity tag: no blanks, no quotes")
        else:
            content = (
                identifier
                if isinstance(identifier, bytes)
                else str(identifier).encode("utf-8", "surrogatepass")
            )
            tag = f'"{hashlib.md5(content, usedforsecurity=False).hexdigest()}"'
        self.set_header("ETag", tag)

    def _date(self, mtime: float | datetime, max_age: float) -> None:
        moment = float(mtime) if isinstance(mtime, (int, float)) else mtime.timestamp()
        # A moment in the future is none that anything can be compared with (RFC 9110, 8.8.2.1).
        self.set_header("Last-Modified", format_date(min(moment, time.time())))
        if max_age:
            self.set_max_age(max_age)
            self._expire(_seconds(max_age))

    def _expire(self, seconds: int) -> None:
        self.set_header("Expires", format_date(time.time() + seconds))

    def _weigh(self) -> None:
        request = self._exchange.request
        modified = self.get_header("Last-Modified")
        status = evaluate(
            request.method,
            request.headers,
            self.get_header("ETag"),
            None if modified is None else parse_date(modified),
        )
        if status:
            raise HTTPError(status)

    # -- the answer

    def __call__(
        self,
        status: str | int = "200 OK",
        body: Any = None,
        headers: Mapping[str, Any] | Iterable[tuple[str, Any]] | None = None,
    ) -> Any:
        """Set status and headers at once and return the body (seed, Generator).

        Without a body an error status (400 and above) gives that status's error page.
        """
        self.set_status(status)
        if headers is not None:
            self.set_headers(headers)
        if body is not None:
            return body
        return HTTPError(status) if self.status_code >= 400 else ""

    def head(self, content_type: str) -> Head:
        """The head to send; ``content_type`` is what the result has when none was set."""
        return Head(
            self.status_code,
            self.content_type or content_type,
            self.fields or None,
            reason=self._reason,
        )


# An app uses the same few names again and again.
@lru_cache(maxsize=256)
def _is_token(name: str) -> bool:
    return _TOKEN.fullmatch(name) is not None


def _refuse(name: str, text: str) -> None:
    """Raise ``ValueError`` if this is no header."""
    if not _TOKEN.fullmatch(name):
        raise ValueError(f"{name!r} is no name of a header: letters, digits and hyphens only")
    if any(char in text for char in _SPLITTING):
        raise ValueError(f"header {name}: {text!r} has a line break or NUL in it")
    try:
        text.encode("latin-1")
    except UnicodeEncodeError:
        raise ValueError(
            f"header {name}: {text!r} is not Latin-1: encode it, e.g. with urllib.parse.quote"
        ) from None


def _seconds(max_age: float) -> int:
    seconds = int(max_age)
    if seconds < 0:
        raise ValueError(f"max_age is {max_age!r}: give seconds from now on, 0 or more")
    return seconds
