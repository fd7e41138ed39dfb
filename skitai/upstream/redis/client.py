"""The driver's classes, on connections of our pool: at most one command runs on each.

``redis_server`` has one ``Client`` for each member. Works with redis-py 5 to 8.
"""

from __future__ import annotations

import select
from typing import TYPE_CHECKING, Any

from redis.asyncio import Connection, ConnectionPool, Redis
from redis.asyncio.client import Pipeline
from redis.commands import AsyncCoreCommands, AsyncRedisModuleCommands

from skitai.tasks.errors import RequestFailed

if TYPE_CHECKING:
    import ssl
    from collections.abc import Mapping, Sequence

    from skitai.upstream.pool import Pool

# Commands that change a connection for who gets it next, or that have no single reply.
_SHARED = "connections are shared, and it would change one for others"
_DATABASE = "connections are shared: name the database in the alias, as in 'localhost/1'"
_TRANSACTION = "use pipeline([('incr', 'n'), …]), or a script with eval"
_STREAM = "it has more than one reply, which is not possible here"
_REASONS: dict[str, str] = {
    **dict.fromkeys(("AUTH", "HELLO", "RESET", "QUIT", "READONLY", "READWRITE", "ASKING"), _SHARED),
    "SELECT": _DATABASE,
    **dict.fromkeys(("MULTI", "EXEC", "DISCARD", "WATCH", "UNWATCH"), _TRANSACTION),
    **dict.fromkeys(("SUBSCRIBE", "PSUBSCRIBE", "SSUBSCRIBE", "MONITOR"), _STREAM),
    **dict.fromkeys(("UNSUBSCRIBE", "PUNSUBSCRIBE", "SUNSUBSCRIBE"), _STREAM),
    **dict.fromkeys(("SYNC", "PSYNC", "REPLCONF"), _STREAM),
}
_REASONS_OF_PARTS: dict[str, dict[str, str]] = {
    "CLIENT": dict.fromkeys(
        ("REPLY", "TRACKING", "CACHING", "SETNAME", "SETINFO", "NO-EVICT", "NO-TOUCH"), _SHARED
    ),
    "SCRIPT": {"DEBUG": _SHARED},
}


# What the driver makes True or False of a status with.
_STATUSES = ("bool_ok", "parse_set_result")


def commands_of_driver() -> frozenset[str]:
    """The names of all methods that send commands."""
    names = {name for owner in (AsyncCoreCommands, AsyncRedisModuleCommands) for name in dir(owner)}
    return frozenset(name for name in names if not name.startswith("_"))


def check(words: Sequence[Any]) -> None:
    """Raise ``RequestFailed`` for a command that must not be sent on a shared connection."""
    name, _, part = _word(words).partition(" ")
    reason = _REASONS.get(name)
    if reason is None and name in _REASONS_OF_PARTS:
        part = part or _word(words[1:])
        reason = _REASONS_OF_PARTS[name].get(part)
        name = f"{name} {part}"
    if reason is not None:
        raise RequestFailed(f"Redis, {name}: {reason}")


def _word(words: Sequence[Any]) -> str:
    word = words[0] if words else ""
    return (word.decode("latin-1") if isinstance(word, bytes) else str(word)).upper().strip()


def decoded(reply: Any) -> Any:
    """A reply with text in place of bytes, where they are UTF-8."""
    kind = type(reply)
    if kind is bytes:
        try:
            return reply.decode()
        except UnicodeDecodeError:
            return reply
    if kind is list:
        return [decoded(item) for item in reply]
    return reply


class RedisConnection(Connection):
    """A connection that knows whether all replies were read.

    Attributes:
        tls: how to encrypt it; None for not at all.
        owed: replies that are still to come.
    """

    tls: ssl.SSLContext | None = None
    owed = 0
    _watch: select.poll | None = None  # PERF: made once; a new one each time takes 0.3 us of 22

    def _connection_arguments(self) -> Mapping[str, Any]:
        # The driver's own TLS would read the authorities of the system for each connection anew.
        arguments = dict(super()._connection_arguments())
        return arguments if self.tls is None else {**arguments, "ssl": self.tls}

    def pack_command(self, *args: Any) -> list[bytes]:
        packed: list[bytes] = super().pack_command(*args)
        self.owed += 1
        return packed

    async def read_response(self, disable_decoding: bool = False, *args: Any, **kwargs: Any) -> Any:
        try:
            reply = await super().read_response(True, *args, **kwargs)
        finally:
            # Also for errors. What was left in the middle of a reply is not connected any more.
            self.owed -= 1
        return reply if disable_decoding else decoded(reply)

    def clean(self) -> bool:
        """Whether another command can be sent: all replies were read."""
        return self.is_connected and self.owed == 0

    def usable(self) -> bool:
        """``clean``, and the server neither closed it nor said something unasked since."""
        reader, writer = self._reader, self._writer
        if reader is None or writer is None or writer.transport.is_closing() or self.owed:
            return False
        # A StreamReader has no public way to ask for what it has read.
        if reader.at_eof() or reader.exception() is not None or getattr(reader, "_buffer", None):
            return False
        parsing = getattr(self._parser, "_reader", None)  # hiredis, if it is installed
        if parsing is not None and parsing.has_data():
            return False
        # What the loop has not read yet: most likely the end.
        if self._watch is None:
            self._watch = select.poll()
            self._watch.register(writer.get_extra_info("socket").fileno(), select.POLLIN)
        return not self._watch.poll(0)


class DriverPool(ConnectionPool):
    """What the driver takes its connections from.

    Parameters:
        pool: has them.
        options: for each connection.
    """

    def __init__(self, pool: Pool[RedisConnection], **options: Any) -> None:
        super().__init__(
            connection_class=RedisConnection,
            # The deadline of the task ends commands, and nothing is tried again by the driver.
            socket_timeout=None,
            protocol=2,
            encoding="utf-8",
            decode_responses=True,
            **options,
        )
        self._pool = pool

    async def get_connection(self, *_: Any, **__: Any) -> RedisConnection:
        return await self._pool.take()

    async def release(self, connection: Any) -> None:
        self._pool.give(connection, connection.clean())

    def make(self) -> RedisConnection:
        """A connection that is not open yet."""
        connection: Any = RedisConnection(**self.connection_kwargs)
        # It does not introduce itself: that takes a round trip. Versions before 7 have two names.
        connection.driver_info = connection.lib_name = connection.lib_version = None
        made: RedisConnection = connection
        return made


class Client(Redis):
    """All commands of the driver, except those that must not be sent on shared connections.

    Parameters:
        pool: where connections come from.
    """

    def __init__(self, pool: DriverPool) -> None:
        super().__init__(connection_pool=pool)
        callbacks: Any = self.response_callbacks
        for name, callback in list(callbacks.items()):
            if name == "PING" or getattr(callback, "__name__", "") in _STATUSES:
                callbacks[name] = _as_it_is

    def execute_command(self, *args: Any, **options: Any) -> Any:
        """Send any command by its own name. Raises ``RequestFailed``."""
        check(args)
        return super().execute_command(*args, **options)  # type: ignore[no-untyped-call]  # driver's

    def pipeline(self, transaction: bool = True, shard_hint: str | None = None) -> Any:
        return _Pipeline(self.connection_pool, self.response_callbacks, transaction, shard_hint)


class _Pipeline(Pipeline):
    """Commands that are sent at once, each checked as those of ``Client``."""

    def execute_command(self, *args: Any, **options: Any) -> Any:
        check(args)
        return super().execute_command(*args, **options)


def _as_it_is(reply: Any, **_: Any) -> Any:
    return reply
