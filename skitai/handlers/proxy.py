"""Mounted aliases: the members of a service answer what comes under the point (reverse proxy).

``Mount`` makes a `ProxyApplication` of a target such as ``"@alias/base"``; how requests and answers
are passed on is in ``relay``.
"""

from __future__ import annotations

import ipaddress
import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from skitai.config import closest
from skitai.errors import ConfigError, HTTPError
from skitai.handlers.direct import ask_directly
from skitai.handlers.interface import Mode
from skitai.handlers.relay import Relay, open_relay, target_of
from skitai.server.coroutines import spawn
from skitai.server.exchange import ClientGone
from skitai.tasks.errors import gateway_code
from skitai.upstream.aliases import parse_reference
from skitai.upstream.http.target import quote_target
from skitai.wire.request import origin_form

if TYPE_CHECKING:
    from collections.abc import Callable

    from skitai.executors.threads import ThreadPool
    from skitai.handlers.peers import Peers
    from skitai.server.exchange import Exchange
    from skitai.upstream.aliases import Alias
    from skitai.upstream.place import Place

log = logging.getLogger("skitai")

TIMEOUT = 60.0
_ALGORITHMS = ["HS256", "HS384", "HS512"]


@dataclass(frozen=True)
class ProxyOptions:
    """Entries of ``pref.config`` for a mounted alias.

    Attributes:
        PROXY_TIMEOUT: seconds until the upstream begins to answer.
        PROXY_KEEP_HOST: the upstream gets the ``Host`` of the client instead of its own.
        MAX_UPLOAD_SIZE: bytes that a body may have; None: ``Settings.max_upload_size``.
    """

    PROXY_TIMEOUT: float = TIMEOUT
    PROXY_KEEP_HOST: bool = False
    MAX_UPLOAD_SIZE: int | None = None

    @classmethod
    def of(cls, config: dict[str, Any]) -> ProxyOptions:
        """Take them out of ``pref.config``. Raises `ConfigError`."""
        known = list(cls.__dataclass_fields__)
        for name in config:
            if name.startswith("PROXY_") and name not in known:
                raise ConfigError(f"pref.config.{name} is unknown: {closest(name, known)}")
        found = cls(**{name: config[name] for name in cls.__dataclass_fields__ if name in config})
        _check("PROXY_TIMEOUT", found.PROXY_TIMEOUT, (int, float), "a number of seconds, e.g. 60")
        _check("PROXY_KEEP_HOST", found.PROXY_KEEP_HOST, (bool,), "True or False")
        if found.MAX_UPLOAD_SIZE is not None:
            _check("MAX_UPLOAD_SIZE", found.MAX_UPLOAD_SIZE, (int,), "a number of bytes")
        return found


def _check(name: str, value: Any, types: tuple[type, ...], fix: str) -> None:
    if type(value) not in types or (bool not in types and value <= 0):
        raise ConfigError(f"pref.config.{name} must be {fix}, not {value!r}")


class ProxyApplication:
    """What stands for an alias at its mount point.

    Parameters:
        reference: ``"@alias"`` or ``"@alias/base/path"``.

    Attributes:
        name: of the mount.
        config: see ``ProxyOptions``.
        securekey: signs the tokens of clients, for an alias that asks for roles.
    """

    def __init__(self, reference: str) -> None:
        alias, base = parse_reference(reference)
        self.name = f"@{alias}"
        self.config: dict[str, Any] = {}
        self.securekey: str | bytes | None = None
        self._alias = alias
        self._base = quote_target(base.rstrip("/"))
        self._peers: Peers | None = None

    def join(self, peers: Peers) -> None:
        self._peers = peers

    def freeze(self, point: str, pool: ThreadPool | None) -> Callable[[Exchange], ProxyEndpoint]:
        assert self._peers is not None
        assert self._peers.upstreams is not None, "services are mounted where a worker is"
        alias, place = self._peers.upstreams.mounted(self._alias)
        options = ProxyOptions.of(self.config)
        proxy = Proxy(place, point, self._base, options, self._peers.max_upload_size)
        policy = AccessPolicy(alias, self.securekey)
        return proxy.resolve if policy.open else policy.guard(proxy.resolve)

    def cleanup(self) -> None:
        """There is nothing to end: connections belong to the worker."""


@dataclass(slots=True)
class ProxyEndpoint:
    """Where a request goes; see ``skitai.handlers.interface.Endpoint``."""

    run: Callable[[Exchange], Any]
    mode: Mode = Mode.COROUTINE
    streams_body: bool = True
    missing: bool = False
    max_body: int | None = None
    takes_body: bool = False


class Proxy:
    """Passes requests under a point on to an upstream.

    Parameters:
        place: the upstream.
        point: starts and ends with ``/``; it is taken from paths.
        base: is put before them instead; percent-encoded, without a slash behind it.
        options: of the mount.
        max_body: bytes that a body may have if the options say nothing else.
    """

    __slots__ = (
        "_base", "_endpoint", "_keep_host", "_limit", "_place", "_point", "_too_large", "_without",
        "_timeout",
    )  # fmt: skip

    def __init__(
        self, place: Place, point: str, base: str, options: ProxyOptions, max_body: int
    ) -> None:
        self._place = place
        self._point = point
        self._base = base
        self._limit = options.MAX_UPLOAD_SIZE or max_body
        self._timeout = options.PROXY_TIMEOUT
        self._keep_host = options.PROXY_KEEP_HOST
        self._endpoint = ProxyEndpoint(self._run, Mode.LOOP)
        self._without = ProxyEndpoint(self._run, Mode.LOOP, missing=True)
        self._too_large = refusal(HTTPError(413, f"the body is larger than {self._limit} bytes"))

    def resolve(self, exchange: Exchange) -> ProxyEndpoint:
        """The endpoint of a request."""
        body = exchange.body
        if body is not None and (body.length or 0) > self._limit:
            return self._too_large
        path = exchange.request.path
        if (
            len(path) < len(self._point) or path == "*"
        ):  # the point without its slash, or the server itself
            return self._without
        return self._endpoint

    def _run(self, exchange: Exchange) -> None:
        target = self._target(exchange)
        if exchange.input is not None or not ask_directly(
            self, exchange, self._place, target, self._timeout, self._keep_host
        ):
            spawn(exchange, self.relay(exchange))

    async def relay(self, exchange: Exchange) -> None:
        """Ask the upstream, and pass on what comes."""
        try:
            relay = await open_relay(
                exchange,
                self._place,
                self._target(exchange),
                self._timeout,
                self._limit,
                self._keep_host,
            )
        except Exception as exc:
            self.answer(exchange, exc)
        else:
            await self.send(exchange, relay)

    async def send(self, exchange: Exchange, relay: Relay) -> None:
        """Pass on what comes."""
        try:
            await relay.send(exchange)
        except ClientGone:
            pass
        except Exception as exc:
            self.answer(exchange, exc)

    def answer(self, exchange: Exchange, exc: BaseException) -> None:
        """Tell the client that it gets no answer of the upstream."""
        request = exchange.request
        code = gateway_code(exc)
        if exchange.answered or (code is None and not isinstance(exc, HTTPError)):
            exchange.crash(exc)
        elif isinstance(exc, HTTPError):
            exchange.fail(exc)
        else:
            assert code is not None
            log.warning("%s %s failed: %s", request.method, request.target, exc)
            exchange.fail(HTTPError(code))

    def _target(self, exchange: Exchange) -> str:
        point, target = self._point, exchange.request.target
        if not target.startswith(point):
            target = origin_form(target)
        if target.startswith(point):
            return self._base + target[len(point) - 1 :]
        # The point itself is percent-encoded.
        return self._base + target_of(exchange, exchange.request.path[len(point) :])


def refusal(error: HTTPError, challenge: str = "") -> ProxyEndpoint:
    """The endpoint of what is not passed on."""
    fields = [("WWW-Authenticate", challenge)] if challenge else None
    return ProxyEndpoint(lambda exchange: exchange.fail(error, fields), Mode.LOOP, False)


class AccessPolicy:
    """Who may use an alias through a mount: ``role`` and ``source`` of ``skitai.alias``.

    Roles are those of a bearer token (RFC 6750): a JSON Web Token, signed with ``securekey`` by
    HMAC, whose claim ``role`` or ``roles`` is a name or a list of them. One role is enough.

    Parameters:
        alias: of the mount.
        key: signs tokens.

    Raises `ConfigError` for roles without a key.
    """

    def __init__(self, alias: Alias, key: str | bytes | None) -> None:
        if alias.roles and not key:
            raise ConfigError(
                f"alias '@{alias.name}' asks for the role {alias.roles[0]!r}, but nobody can prove "
                "one: set securekey of the preference of its mount, it signs the tokens of clients"
            )
        self._roles = frozenset(alias.roles)
        self._networks = alias.networks
        self._key = key or b""
        self._not_from_there = refusal(HTTPError(403, "not from this address"))
        self._no_role = refusal(HTTPError(403, "not with these roles"))
        self._no_token = refusal(HTTPError(401, "a bearer token is needed"), "Bearer")
        self._bad_token = refusal(
            HTTPError(401, "the token is not valid"), 'Bearer error="invalid_token"'
        )

    @property
    def open(self) -> bool:
        """Everybody may."""
        return not self._roles and not self._networks

    def guard(
        self, resolve: Callable[[Exchange], ProxyEndpoint]
    ) -> Callable[[Exchange], ProxyEndpoint]:
        """``resolve`` for those who may."""
        return lambda exchange: self._refuse(exchange) or resolve(exchange)

    def _refuse(self, exchange: Exchange) -> ProxyEndpoint | None:
        if self._networks and not self._is_from_there(exchange.origin.address):
            return self._not_from_there
        return self._refuse_token(exchange) if self._roles else None

    def _is_from_there(self, text: str) -> bool:
        try:
            address = ipaddress.ip_address(text)
        except ValueError:
            return False  # a unix socket
        plain = getattr(address, "ipv4_mapped", None) or address
        return any(plain in network for network in self._networks)

    def _refuse_token(self, exchange: Exchange) -> ProxyEndpoint | None:
        import jwt  # it takes a tenth of a second

        scheme, _, token = exchange.request.headers.get("authorization", "").partition(" ")
        if scheme.lower() != "bearer" or not token.strip():
            return self._no_token
        try:
            claims = jwt.decode(token.strip(), self._key, algorithms=_ALGORITHMS)
        except jwt.InvalidTokenError:
            return self._bad_token
        return None if self._roles & _roles_of(claims) else self._no_role


def _roles_of(claims: dict[str, Any]) -> set[str]:
    """The roles in a token."""
    roles: set[str] = set()
    for name in ("role", "roles"):
        value = claims.get(name)
        values = value if isinstance(value, list) else [value]
        roles.update(each for each in values if isinstance(each, str))
    return roles
