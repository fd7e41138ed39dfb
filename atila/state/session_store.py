"""Where sessions are kept: in their cookies, which is the default, or in Redis.

``session`` calls a store; ``app.session_store = …`` chooses one. Whatever a store returns as a
ticket is encrypted into the cookie, so that no client can make one up.
"""

from __future__ import annotations

import logging
import secrets
import time
from typing import TYPE_CHECKING, Any, Protocol

from atila.errors import ConfigError, HTTPError

if TYPE_CHECKING:
    import redis

PREFIX = "atila:session:"
TIMEOUT = 2.0  # seconds
TICKET_SIZE = 16  # bytes

_log = logging.getLogger("skitai.app")


class SessionStore(Protocol):
    """Keeps the records of sessions.

    Attributes:
        blocking: its methods wait for something, such as a network: they run in threads only.
    """

    blocking: bool

    def load(self, ticket: bytes) -> bytes | None:
        """The record behind a ticket; None when it isn't there any more."""

    def save(self, ticket: bytes | None, record: bytes, deadline: int) -> bytes | None:
        """Keep a record until ``deadline``, in seconds since the epoch, and return its ticket.

        Parameters:
            ticket: the record to replace; None for a new one.

        Returns None, and keeps nothing, when the record to replace was deleted meanwhile: a
        session that has ended must not come back.
        """

    def delete(self, ticket: bytes) -> None:
        """Forget a record; nothing happens when it isn't there."""


def check_store(store: SessionStore) -> SessionStore:
    """The store. Raises ``ConfigError`` for an object that is none."""
    members = ("blocking", "load", "save", "delete")
    if isinstance(store, type) or not all(hasattr(store, name) for name in members):
        # What it is, not what it has: that may be a password.
        kind = "a class" if isinstance(store, type) else f"of type {type(store).__name__}"
        raise ConfigError(
            f"session_store is {kind}, which is no store: give an object with blocking, load, save "
            "and delete, such as RedisSessionStore('redis://localhost:6379/0')"
        )
    return store


class CookieStore:
    """Sessions travel in their cookies: the record is the ticket.

    Nothing is kept here, so a copy of a cookie stays valid until it expires, even behind
    ``session.expire()``. A session has up to 4 KB.
    """

    __slots__ = ()
    blocking = False

    def load(self, ticket: bytes) -> bytes | None:
        return ticket

    def save(self, ticket: bytes | None, record: bytes, deadline: int) -> bytes:
        return record

    def delete(self, ticket: bytes) -> None:
        pass


class RedisSessionStore:
    """Sessions are kept by a Redis server, which all workers and machines may share.

    The cookie has a random number. Sessions end in Redis when they expire, and at once with
    ``session.expire()``.

    Parameters:
        server: URL, e.g. ``"redis://localhost:6379/0"``, or a ``redis.Redis`` client.
        prefix: of the keys in Redis.
        timeout: seconds to wait for an answer, where ``server`` is a URL.

    Raises ``ConfigError`` when the client library isn't installed or ``server`` is no URL of Redis.
    While the server can't be reached, requests that use the session get 502, or 504 when it
    doesn't answer in time.
    """

    blocking = True

    def __init__(
        self, server: str | redis.Redis, prefix: str = PREFIX, timeout: float = TIMEOUT
    ) -> None:
        self._client: Any = connect(server, timeout) if isinstance(server, str) else server
        if not hasattr(self._client, "set") or hasattr(self._client, "__aenter__"):
            kind = f"{type(server).__module__}.{type(server).__qualname__}"
            raise ConfigError(
                f"RedisSessionStore got a {kind}: give it a URL or a redis.Redis client, not an "
                "asynchronous one"
            )
        self._prefix = prefix

    def load(self, ticket: bytes) -> bytes | None:
        record = self._call("get", self._key(ticket))
        return record.encode() if isinstance(record, str) else record  # decode_responses=True

    def save(self, ticket: bytes | None, record: bytes, deadline: int) -> bytes | None:
        replaces = ticket is not None
        ticket = ticket or secrets.token_bytes(TICKET_SIZE)
        remaining = max(1, deadline - int(time.time()))
        kept = self._call("set", self._key(ticket), record, ex=remaining, xx=replaces)
        return ticket if kept else None

    def delete(self, ticket: bytes) -> None:
        self._call("delete", self._key(ticket))

    def _key(self, ticket: bytes) -> str:
        return self._prefix + ticket.hex()

    def _call(self, command: str, *args: Any, **options: Any) -> Any:
        import redis

        try:
            return getattr(self._client, command)(*args, **options)
        except redis.TimeoutError as exc:
            _log.error("session store: Redis did not answer in time: %s", exc)
            raise HTTPError(504, "the session store did not answer in time") from exc
        except redis.RedisError as exc:
            _log.error("session store: Redis failed: %s", exc)
            raise HTTPError(502, "the session store failed") from exc


def connect(url: str, timeout: float) -> redis.Redis:
    """A client that reconnects once, and at once, when its connection was lost."""
    try:
        import redis
        from redis.backoff import NoBackoff
        from redis.retry import Retry
    except ImportError:
        raise ConfigError(
            "RedisSessionStore needs the Redis client: pip install 'skitai[redis]'"
        ) from None
    try:
        return redis.Redis.from_url(
            url,
            socket_timeout=timeout,
            socket_connect_timeout=timeout,
            retry=Retry(NoBackoff(), 1),
            retry_on_error=[redis.ConnectionError],
        )
    except ValueError as exc:
        raise ConfigError(f"RedisSessionStore: {exc}") from None  # the URL may have a password
