"""Cookies of a request, and those that its answer sets (RFC 6265; seed, Cookie).

``was.cookie`` is a ``Cookie``; session and message box write their own cookies with a
``Placement``.
"""

from __future__ import annotations

import re
import time
from abc import abstractmethod
from collections.abc import MutableMapping
from functools import lru_cache
from math import isfinite
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, quote_plus, unquote_to_bytes

from skitai.wire.dates import format_date

if TYPE_CHECKING:
    from collections.abc import Iterator

MAX_HEADER = 65536  # characters of a request's cookies that are looked at
MAX_COOKIES = 256  # of a request
MAX_SIZE = 4096  # bytes of name and value that browsers keep (RFC 6265, 6.1)
NEVER = 3153600000  # seconds, a hundred years
SESSION = "ATLSES_"
MESSAGES = "ATLMBX_"

_ERASED = "; expires=Thu, 01 Jan 1970 00:00:00 GMT"
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
_DOMAIN = re.compile(r"\.?[A-Za-z0-9](?:[A-Za-z0-9.-]*[A-Za-z0-9])?")
_SAME_SITE = {"lax": "Lax", "strict": "Strict", "none": "None"}


class LenientMapping(MutableMapping[str, Any]):
    """A dictionary in which what is missing is None, to read as well as to remove."""

    __slots__ = ()

    @abstractmethod
    def _read(self) -> dict[str, Any]:
        """The values by name."""

    @abstractmethod
    def set(self, key: str, value: Any) -> None:
        """Set a value."""

    @abstractmethod
    def remove(self, key: str) -> None:
        """Remove a value; nothing happens when there is none."""

    def get(self, key: str, default: Any = None) -> Any:
        """A value, ``default`` when it is missing."""
        return self._read().get(key, default)

    def __getitem__(self, key: str) -> Any:
        return self.get(key)

    def __setitem__(self, key: str, value: Any) -> None:
        self.set(key, value)

    def __delitem__(self, key: str) -> None:
        self.remove(key)

    def __contains__(self, key: object) -> bool:
        return key in self._read()

    def __iter__(self) -> Iterator[str]:
        return iter(list(self._read()))

    def __len__(self) -> int:
        return len(self._read())

    def pop(self, key: str, default: Any = None) -> Any:
        """Remove a value and return it, ``default`` when it is missing."""
        value = self.get(key, default)
        self.remove(key)
        return value

    def setdefault(self, key: str, default: Any = None) -> Any:
        """A value; ``default``, which is set, when it is missing."""
        if key not in self:
            self.set(key, default)
        return self.get(key)


class Placement:
    """Where a cookie is valid and who may read it; get one from ``placement``.

    Parameters:
        path: starts with ``/``.
        domain: a host whose subdomains get the cookie too; None for this host alone.
        secure: only over https.
        http_only: not for scripts.
        same_site: ``"Lax"``, ``"Strict"``, ``"None"``, which implies ``secure``, or None for no
            such attribute.

    Raises ``ValueError`` when one of them can't be written.
    """

    __slots__ = ("_before", "_behind")

    def __init__(
        self, path: str, domain: str | None, secure: bool, http_only: bool, same_site: str | None
    ) -> None:
        if not path.startswith("/") or ";" in path or _CONTROL.search(path):
            raise ValueError(f"path {path!r} of a cookie must start with / and have no ; in it")
        behind = ""
        if domain:
            if not _DOMAIN.fullmatch(domain):
                raise ValueError(f"domain {domain!r} of a cookie must be a host name")
            behind = f"; domain={domain}"
        if same_site is not None:
            kind = _SAME_SITE.get(same_site.lower())
            if kind is None:
                raise ValueError(f"same_site {same_site!r} must be 'Lax', 'Strict' or 'None'")
            behind += f"; SameSite={kind}"
            secure = secure or kind == "None"
        self._before = f"; path={quote(path, safe='/%:@!$&()*+,=~')}"
        self._behind = behind + "; Secure" * bool(secure) + "; HttpOnly" * bool(http_only)

    def write(self, name: str, value: str, deadline: float | None) -> str:
        """The value of a Set-Cookie header.

        Parameters:
            name, value: as they are sent.
            deadline: seconds since the epoch; None for the end of the browser's session.
        """
        expires = "" if deadline is None else f"; expires={format_date(deadline)}"
        return f"{name}={value}{self._before}{expires}{self._behind}"

    def erase(self, name: str) -> str:
        """The value of a Set-Cookie header that removes the cookie."""
        return f"{name}={self._before}{_ERASED}{self._behind}"


# PERF: checking and writing the attributes costs 1.1 us, finding them again 0.1 us.
placement = lru_cache(maxsize=256)(Placement)


class Cookie(LenientMapping):
    """The cookies of one request (seed, Cookie).

    Parameters:
        header: the request's Cookie header, or None.
        point: where the app is mounted; new cookies are valid there.
        sealed: the headers of the answer are sent.

    Attributes:
        read: something has looked at the cookies of the client.
        sealed: the headers are sent: a change raises ``RuntimeError``.

    Names and values are text. What was set can be read at once. A cookie that the client sent
    twice has the value that it sent first, which is the one of the longest path.
    """

    __slots__ = ("_changes", "_header", "_path", "_values", "read", "sealed")

    def __init__(self, header: str | None, point: str = "/", sealed: bool = False) -> None:
        self._header = header
        self._path = point.rstrip("/") or "/"
        self._values: dict[str, str] | None = None
        self._changes: dict[tuple[str, str, str | None], str] | None = None
        self.read = False
        self.sealed = sealed

    def _read(self) -> dict[str, Any]:
        self.read = True
        return self._parsed()

    def _parsed(self) -> dict[str, Any]:
        values = self._values
        if values is None:
            values = self._values = parse_cookies(self._header) if self._header else {}
        return values

    def set(
        self,
        key: str,
        value: str | float = "",
        expires: float | str | None = None,
        path: str | None = None,
        domain: str | None = None,
        secure: bool = False,
        http_only: bool = False,
        same_site: str | None = "Lax",
    ) -> None:
        """Set a cookie.

        Parameters:
            key, value: any text; numbers are written as text.
            expires: seconds from now; 0 or ``"now"`` removes the cookie, ``"never"`` keeps it for
                100 years, None until the browser is closed.
            path: default: where the app is mounted.
            domain, secure, http_only, same_site: see ``Placement``.

        Raises ``ValueError`` for what can't be sent, and for more than 4096 bytes, which browsers
        would drop; ``RuntimeError`` when the headers are sent.
        """
        if not isinstance(value, (str, int, float)):
            raise TypeError(f"cookie {key!r} must be text or a number, not {type(value).__name__}")
        text = str(value)
        name = encode_name(key)
        deadline = _deadline(expires)
        if path is None:
            path = self._path
        where = placement(path, domain, secure, http_only, same_site)
        if deadline == 0:
            self._change(key, path, domain, where.erase(name))
            self._parsed().pop(key, None)
            return
        encoded = quote_plus(text)
        size = len(name) + len(encoded)
        if size > MAX_SIZE:
            raise ValueError(
                f"cookie {key!r} takes {size} bytes and browsers drop what has more than "
                f"{MAX_SIZE}: keep the data on the server, and its key in the cookie"
            )
        self._change(key, path, domain, where.write(name, encoded, deadline))
        self._parsed()[key] = text

    def _change(self, key: str, path: str, domain: str | None, header: str) -> None:
        if self.sealed:
            raise RuntimeError(f"cookie {key!r} can't be changed: the headers are sent")
        if self._changes is None:
            self._changes = {}
        self._changes[key, path, domain] = header

    def remove(self, key: str, path: str | None = None, domain: str | None = None) -> None:
        """Remove a cookie; ``path`` and ``domain`` must be those with which it was set."""
        self.set(key, "", 0, path, domain)

    def clear(self) -> None:
        """Remove all cookies of the request but those of session and message box."""
        for key in self:
            if not key.startswith((SESSION, MESSAGES)):
                self.remove(key)

    def set_cookie_values(self) -> list[str]:
        """The values of the Set-Cookie headers; from now on a change raises ``RuntimeError``."""
        self.sealed = True
        return list(self._changes.values()) if self._changes else []


def encode_name(name: str) -> str:
    """A cookie's name as it is sent. Raises ``ValueError`` for an empty or unprintable one."""
    if not name or _CONTROL.search(name):
        raise ValueError(f"a cookie can't be named {name!r}")
    return quote_plus(name)


def _deadline(expires: float | str | None) -> float | None:
    """Seconds since the epoch, 0 for a cookie that ends now, None for one of the session."""
    if expires is None:
        return None
    if expires == "now":
        return 0
    if expires == "never":
        return time.time() + NEVER
    if not isinstance(expires, (int, float)) or not isfinite(expires):
        raise ValueError(f"expires must be seconds, 'now', 'never' or None, not {expires!r}")
    return time.time() + expires if expires > 0 else 0


def parse_cookies(header: str) -> dict[str, str]:
    """The cookies of a request, read leniently (RFC 6265, 5.4); what is none is left out.

    Parameters:
        header: the Cookie header, whatever the client wrote into it.
    """
    if len(header) > MAX_HEADER:
        header = header[:MAX_HEADER].rpartition(";")[0]
    values: dict[str, str] = {}
    pairs = header.split(";", MAX_COOKIES)[:MAX_COOKIES]
    if header.isascii() and not ("%" in header or "+" in header or '"' in header):
        # PERF: there is nothing to decode in most headers; 3 cookies take 0.9 us instead of 1.8.
        for pair in pairs:
            name, mark, value = pair.partition("=")
            name = name.strip(" \t")
            if mark and name and name not in values and name.isprintable():
                values[name] = value.strip(" \t")
        return values
    for pair in pairs:
        name, mark, value = pair.partition("=")
        name = _decode(name.strip(" \t"))
        if not mark or not name or name in values or _CONTROL.search(name):
            continue
        value = value.strip(" \t")
        if len(value) > 1 and value[0] == value[-1] == '"':
            value = value[1:-1]
        values[name] = _decode(value)
    return values


def _decode(text: str) -> str:
    if "%" not in text and "+" not in text and text.isascii():
        return text
    octets = text.replace("+", " ").encode("latin-1", "replace")
    return unquote_to_bytes(octets).decode("utf-8", "replace")
