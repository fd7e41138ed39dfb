"""``Aliases``: the names of databases and services; ``skitai.alias`` and ``app.alias`` add to one.

Nothing is connected here. What is wrong with an alias ends the start of the service.
"""

from __future__ import annotations

import difflib
import importlib.util
import ipaddress
import os
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from skitai.config import closest
from skitai.errors import ConfigError
from skitai.upstream.kinds import CONSTANTS, DB_SQLITE3, DJANGO, KINDS, PROTO_HTTP, PROTO_WS, Kind
from skitai.upstream.members import parse_member, shown

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from pathlib import Path

    from skitai.upstream.interface import Member

    Network = ipaddress.IPv4Network | ipaddress.IPv6Network

_NAME = re.compile(r"\w[\w.-]*")


@dataclass(frozen=True, eq=False)
class Alias:
    """A name for the members of an upstream.

    Attributes:
        name: without ``@``.
        kind: one of the constants of ``skitai.upstream.kinds``, or of an interface of the user.
        members: at least one.
        max_conns: connections to each at most; 0 for no limit.
        verify: how certificates of TLS are checked: True, False, or a file of authorities.
        roles, networks: who may use it through a mount; empty for everybody.
        args: what it was defined with.
    """

    name: str
    kind: str
    members: tuple[Member, ...]
    max_conns: int
    verify: bool | str
    roles: tuple[str, ...]
    networks: tuple[Network, ...]
    args: tuple[Any, ...] = field(repr=False)  # may have passwords


class UnknownAlias(KeyError):
    """An alias that nobody has defined."""

    def __init__(self, name: str, known: Iterable[str]) -> None:
        super().__init__(name)
        self.name = name
        self._known = sorted(known)

    def __str__(self) -> str:
        hint = f"call skitai.alias('@{self.name}', ...) before skitai.run()"
        if self._known:
            hint = closest(self.name, self._known, "@")
        return f"there is no alias '@{self.name}': {hint}"


class Aliases:
    """Aliases by name.

    Parameters:
        home: gives the directory at which relative paths begin; default: the current one at the
            time when they are used.
    """

    def __init__(self, home: Callable[[], Path] | None = None) -> None:
        self._home = home
        self._aliases: dict[str, Alias] = {}

    def add(
        self,
        name: str,
        ctype: str,
        members: str | Iterable[str],
        role: str | Iterable[str] = "",
        source: str | Iterable[str] = "",
        ssl: bool = False,
        max_conns: int = 32,
        verify: bool | str = True,
    ) -> tuple[str, tuple[Any, ...]]:
        """Define an alias (seed, Resource Aliasing); the first one of a name stays.

        Parameters:
            name: with or without ``@``.
            ctype: a constant such as ``skitai.DB_PGSQL``, or the name of an own interface.
            members: one or several, see ``skitai.upstream.members.parse_member``; of
                ``skitai.DJANGO`` the path of the settings.
            role, source: who may use it through a mount: names of roles, addresses or networks;
                text has commas between them. Default: everybody.
            ssl: connections are encrypted; those of PROTO_HTTPS and PROTO_WSS always are.
            max_conns: connections of a worker to each member at most; 0 for no limit.
            verify: check certificates with the authorities of the system (True), with those of a
                file, or not at all (False).

        Returns name, without ``@``, and the other arguments of the alias that counts. Raises
        `ConfigError` for everything that can't work, and when a package is not installed.
        """
        plain = name.removeprefix("@") if isinstance(name, str) else name
        if not isinstance(plain, str) or not _NAME.fullmatch(plain):
            raise ConfigError(
                f"alias: name {name!r} must be of letters, digits, '.', '_' and '-': give '@mydb'"
            )
        if plain not in self._aliases:
            args = (ctype, members, role, source, ssl, max_conns, verify)
            home = self._home() if self._home is not None else None
            self._aliases.setdefault(plain, define(plain, *args, home=home))
        return plain, self._aliases[plain].args

    def get(self, name: str) -> Alias | None:
        """The alias of a name without ``@``; None if there is none."""
        return self._aliases.get(name)

    def find(self, name: str, private: Aliases | None = None) -> Alias:
        """The alias of a name without ``@``.

        Parameters:
            private: the aliases of an app, which hide those here.

        Raises ``UnknownAlias``.
        """
        found = private.get(name) if private is not None else None
        found = found or self._aliases.get(name)
        if found is None:
            raise UnknownAlias(name, {*self._aliases, *(private._aliases if private else ())})
        return found

    def check_service(self, point: str, reference: str) -> None:
        """See that ``"@alias/base"``, mounted at a point, is a service over HTTP.

        Raises `ConfigError`.
        """
        name, _ = parse_reference(reference)
        try:
            kind = self.find(name).kind
        except UnknownAlias as exc:
            raise ConfigError(f"mount point {point!r}: {exc}") from None
        if kind not in (PROTO_HTTP, PROTO_WS):
            raise ConfigError(
                f"mount point {point!r}: alias '@{name}' is a database, requests can't be handed "
                "on to it: define it with skitai.PROTO_HTTP or PROTO_HTTPS"
            )

    def __len__(self) -> int:
        return len(self._aliases)

    def __iter__(self) -> Iterator[Alias]:
        return iter(list(self._aliases.values()))


def define(
    name: str,
    ctype: str,
    members: str | Iterable[str],
    role: str | Iterable[str] = "",
    source: str | Iterable[str] = "",
    ssl: bool = False,
    max_conns: int = 32,
    verify: bool | str = True,
    *,
    home: Path | None = None,
) -> Alias:
    """An alias that is in no list.

    Parameters: as of ``Aliases.add``, the name without ``@``; ``home`` is the directory at which
    relative paths begin. Raises `ConfigError` as that does.
    """
    args = (ctype, members, role, source, ssl, max_conns, verify)
    try:
        return _make(name, args, home)
    except ValueError as exc:
        raise ConfigError(f"alias '@{name}': {exc}") from None


def _make(name: str, args: tuple[Any, ...], home: Path | None) -> Alias:
    ctype, members, role, source, ssl, max_conns, verify = args
    if type(ssl) is not bool:
        raise ValueError(f"ssl must be True or False, not {ssl!r}")
    if type(max_conns) is not int or max_conns < 0:
        raise ValueError(f"max_conns must be 0 or more, not {max_conns!r}: give 32")
    _check_verify(verify)
    if ctype == DJANGO:
        from skitai.upstream.django_settings import default_database  # it starts a process

        kind, found = default_database(_only(members), home)
    else:
        kind = _kind_of(ctype)
        found = _parse_members(kind, members, ssl, home)
    if ssl and kind.name == DB_SQLITE3:
        raise ValueError("ssl is for connections, a file has none: leave it out")
    if kind.package and importlib.util.find_spec(kind.package) is None:
        raise ValueError(f"{kind.package} is missing: pip install 'skitai[{kind.extra}]'")
    roles = tuple(_words("role", role))
    networks = tuple(_network(word) for word in _words("source", source))
    return Alias(name, kind.name, found, max_conns, verify, roles, networks, args)


def parse_reference(reference: str) -> tuple[str, str]:
    """Split ``"@name/sub/path"`` into name and path, which begins with ``/`` or is empty."""
    name, slash, path = reference.removeprefix("@").partition("/")
    return name, slash + path


def _kind_of(ctype: object) -> Kind:
    if isinstance(ctype, str):
        kind = KINDS.get(ctype)
        if kind is not None:
            return kind
        from skitai.upstream.interfaces import interface_of  # most services have none of their own

        interface = interface_of(ctype)
        if interface is not None:
            return Kind(ctype, getattr(interface, "default_port", 0))
    near = difflib.get_close_matches(str(ctype), CONSTANTS, n=1)
    fix = (
        f"did you mean skitai.{CONSTANTS[near[0]]}?"
        if near
        else ("give a constant such as skitai.DB_PGSQL")
    )
    raise ValueError(
        f"type {ctype!r} is unknown: {fix} (own types are made known before, with "
        "skitai.add_database_interface)"
    )


def _parse_members(kind: Kind, members: object, ssl: bool, home: Path | None) -> tuple[Member, ...]:
    texts = [members] if isinstance(members, str) else members
    if not isinstance(texts, (list, tuple)) or not texts:
        raise ValueError(f"members must be text or a list of it, not {members!r}")
    found = []
    for text in texts:
        if not isinstance(text, str):
            raise ValueError(f"member {text!r} must be text, as in 'localhost:5432/mydb'")
        found.append(_parse(kind, text, ssl or kind.tls, home))
    return tuple(found)


def _parse(kind: Kind, text: str, tls: bool, home: Path | None) -> Member:
    try:
        return parse_member(kind, text, tls, home)
    except ValueError as exc:
        raise ValueError(f"member {shown(text)!r}: {exc}") from None


def _only(members: object) -> str:
    texts = [members] if isinstance(members, (str, os.PathLike)) else members
    if isinstance(texts, (list, tuple)) and len(texts) == 1:
        return os.fspath(texts[0])
    raise ValueError(f"give the path of the settings of Django, not {members!r}")


def _check_verify(verify: object) -> None:
    if type(verify) is bool:
        return
    if not isinstance(verify, str) or not os.path.exists(verify):
        raise ValueError(
            f"verify must be True, False or a file of certificates that exists, not {verify!r}"
        )


def _words(option: str, value: object) -> list[str]:
    words = value.split(",") if isinstance(value, str) else value
    if not isinstance(words, (list, tuple, set)) or not all(isinstance(w, str) for w in words):
        raise ValueError(f"{option} must be text or a list of it, not {value!r}")
    return [word.strip() for word in words if word.strip()]


def _network(word: str) -> Network:
    try:
        return ipaddress.ip_network(word, strict=False)
    except ValueError:
        raise ValueError(
            f"source {word!r} is no address and no network: give '192.168.0.0/16'"
        ) from None
