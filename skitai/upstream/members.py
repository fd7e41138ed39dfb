"""Members of aliases as text: ``user:pass@host:port/path 20`` becomes a ``Member``."""

from __future__ import annotations

import ipaddress
import re
from typing import TYPE_CHECKING
from urllib.parse import unquote

from skitai.upstream.interface import Member
from skitai.upstream.kinds import DB_MONGODB, DB_PGSQL, DB_REDIS, DB_SQLITE3, PROTO_HTTP, PROTO_WS

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from skitai.upstream.kinds import Kind

MAX_WEIGHT = 1_000_000

_WEIGHT = re.compile(r"[0-9]{1,7}")
_HOST = re.compile(r"(?=.{1,253}$)\w(?:[\w.-]*\w)?\.?")
_HOST_AND_PORT = re.compile(r"(?:\[(?P<ipv6>[^\]]*)\]|(?P<host>[^:\[\]]*))(?::(?P<port>[^:]*))?")
_SCHEME = re.compile(r"[a-zA-Z][\w+.-]*://")


def parse_member(kind: Kind, text: str, tls: bool, home: Path | None) -> Member:
    """Take one member of an alias apart (seed, Resource Aliasing).

    The forms, of which brackets mean that a part may be missing; user and password are
    percent-decoded, and the weight is how often a member is asked compared with the others:

    - HTTP: ``[user:pass@]host[:port][/base/path] [weight]``
    - PostgreSQL: ``[user[:pass]@]host[:port][/database] [weight]``; also
      ``host[:port]/database/user[/pass]``. The directory of a local server's socket stands for the
      host, as in ``user@/var/run/postgresql/database`` or ``/tmp:5433/database``.
    - Redis: ``[[user]:pass@]host[:port][/number] [weight]``
    - MongoDB: ``[user:pass@]host[:port]/database[/collection] [weight]``
    - SQLite: the whole text is the path of the file, ``:memory:`` or a ``file:`` URI.
    - others: ``[user:pass@]host[:port][/path] [weight]``

    Parameters:
        kind: of the alias.
        text: the member.
        tls: the connection is encrypted.
        home: where relative paths of files begin; None leaves them as they are.

    Raises ``ValueError`` that says what is wrong, and what to write instead.
    """
    text = text.strip()
    if kind.name == DB_SQLITE3:
        return Member("", 0, _file(text, home))
    address, weight = _split_weight(text)
    if _SCHEME.match(address):
        raise ValueError(f"leave out {_SCHEME.match(address)[0]!r}, the type of the alias says it")  # type: ignore[index]  # it matches
    head, slash, tail = address.partition("/")
    credentials, at, server = head.rpartition("@")
    if at and not credentials:
        raise ValueError("give a user before '@', or leave that out")
    user, colon, password = credentials.partition(":")
    found = {
        "user": _decode(user) if at else None,
        "password": _decode(password) if colon else None,
    }
    if kind.name == DB_PGSQL:
        if slash and not server:
            server, _, tail = f"/{tail}".rpartition("/")
        tail = _slash_form(tail, found, bool(at))
    host, port = _server(server, kind.default_port(tls))
    path = _PATHS.get(kind.name, _any_path)(tail)
    return Member(host, port, path, found["user"] or None, found["password"], weight, tls)


def shown(text: str) -> str:
    """A member without its password, for messages; also one that is malformed."""
    head, at, tail = text.rpartition("@")
    if at:
        user, colon, _ = head.partition(":")
        return f"{user}{colon and ':***'}@{tail}"
    parts = text.split("/")
    return "/".join([*parts[:3], "***"]) if len(parts) > 3 else text


def _split_weight(text: str) -> tuple[str, int]:
    words = text.split()
    if not words:
        raise ValueError("it is empty: give 'host:port/path'")
    if len(words) > 2:
        raise ValueError("it has several blanks: only a weight follows one, write others as %20")
    if len(words) == 1:
        return words[0], 1
    if not _WEIGHT.fullmatch(words[1]) or not 1 <= int(words[1]) <= MAX_WEIGHT:
        raise ValueError(
            f"the weight must be a whole number from 1 to {MAX_WEIGHT}, not {words[1]!r}: "
            "give 'host:port/path 20'"
        )
    return words[0], int(words[1])


def _decode(text: str) -> str:
    try:
        return unquote(text, errors="strict")
    except UnicodeDecodeError:
        raise ValueError("user and password must be UTF-8 when they are percent-decoded") from None


def _server(text: str, default_port: int) -> tuple[str, int]:
    if text.startswith("/"):
        directory, colon, number = text.partition(":")
        return directory, _port(number) if colon else default_port
    found = _HOST_AND_PORT.fullmatch(text)
    if found is None:
        raise ValueError(
            "the host is malformed: put an IPv6 address into brackets, as in '[::1]:5432'; write "
            "':', '/' and '@' of a password as %3A, %2F and %40"
        )
    port = default_port if found["port"] is None else _port(found["port"])
    if found["ipv6"] is not None:
        try:
            return str(ipaddress.IPv6Address(found["ipv6"])), port
        except ValueError:
            raise ValueError(f"[{found['ipv6']}] is no IPv6 address: give one, or a name") from None
    if not found["host"]:
        raise ValueError("the host is missing: give 'host:port/path'")
    if not _HOST.fullmatch(found["host"]):
        raise ValueError(f"{found['host']!r} is no name of a host: correct it")
    return found["host"], port


def _port(text: str) -> int:
    if not re.fullmatch("[0-9]{1,5}", text) or not 1 <= int(text) <= 65535:
        raise ValueError(
            "the port must be a number from 1 to 65535: correct it; write ':', '/' and '@' of a "
            "password as %3A, %2F and %40"
        )
    return int(text)


def _file(text: str, home: Path | None) -> str:
    if not text:
        raise ValueError("it is empty: give the path of a file, as in './sqlite3.db'")
    if "\0" in text:
        raise ValueError("it has a zero byte: give the path of a file")
    if text == ":memory:" or text.startswith("file:") or home is None:
        return text
    return str(home / text)


def _slash_form(tail: str, found: dict[str, str | None], has_user: bool) -> str:
    """Take user and password out of ``database/user/pass``; the database is left, as written."""
    database, *credentials = tail.split("/")
    if credentials and has_user:
        raise ValueError("it has a user before '@' and more after the database: keep one of them")
    if len(credentials) > 2:
        raise ValueError(
            "more follows than database, user and password: write '/' of a password as %2F"
        )
    for name, value in zip(("user", "password"), credentials, strict=False):
        found[name] = _decode(value)
    return database


def _database_number(tail: str) -> str:
    if tail and not re.fullmatch("[0-9]{1,9}", tail):
        raise ValueError(f"a database of Redis is a number, not {tail!r}: give 'localhost/0'")
    return str(int(tail)) if tail else "0"


def _database_and_collection(tail: str) -> str:
    parts = [_decode(part) for part in tail.split("/")]
    if not all(parts) or len(parts) > 2:
        raise ValueError("give the database, and perhaps a collection, as in 'localhost/mydb'")
    return "/".join(parts)


def _base_path(tail: str) -> str:
    if re.search(r"[?#\0-\x20\x7f]", tail):
        raise ValueError("a base path has no '?' and no '#': give them with each request")
    tail = tail.strip("/")
    return f"/{tail}" if tail else ""


def _any_path(tail: str) -> str:
    return _decode(tail)


_PATHS: dict[str, Callable[[str], str]] = {
    DB_REDIS: _database_number,
    DB_MONGODB: _database_and_collection,
    PROTO_HTTP: _base_path,
    PROTO_WS: _base_path,
}
