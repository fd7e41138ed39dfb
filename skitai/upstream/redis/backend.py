"""``RedisBackend``: commands on one Redis server, by redis.asyncio.

Balancing makes one for each member of an alias. Loading this module loads the driver.
"""

from __future__ import annotations

from collections.abc import AsyncIterable, Awaitable
from typing import TYPE_CHECKING, Any

from skitai.errors import ConfigError
from skitai.tasks.errors import Failure, RequestFailed, network_failure, request_failure
from skitai.tasks.reply import Reply
from skitai.upstream.commands import (
    MAX_ITEMS,
    Command,
    collect,
    database_failure,
    refused,
    unknown_command,
)
from skitai.upstream.pool import CONNECT_SECONDS, IDLE_SECONDS, MAX_IDLE, Pool
from skitai.upstream.slots import Slots
from skitai.upstream.tls import check_verify, load_context

try:
    import redis.exceptions as errors

    from skitai.upstream.redis.client import (
        Client,
        DriverPool,
        RedisConnection,
        check,
        commands_of_driver,
    )
except ImportError as exc:
    raise ConfigError("an alias of Redis needs its client: pip install 'skitai[redis]'") from exc

if TYPE_CHECKING:
    from collections.abc import Sequence

    from skitai.upstream.interface import Member

MAX_CONNECTIONS = 32
KIND = "Redis"

_COMMANDS = commands_of_driver() | {"pipeline"}
# The server said that it did nothing, and others may be asked.
_REFUSED_CLIENT = "max number of clients"


class RedisBackend:
    """One database of a Redis server.

    Parameters:
        member: of the alias; its ``path`` is the number of the database, 0 by default.
        max_conns: connections at the same time, 0 for no limit.
        verify: certificates of servers are checked with the authorities of the system (True), with
            those in this file or directory, or not at all (False).
        max_items: keys or members that ``scan_iter`` and its like collect.
        connect_seconds: for making a connection, with what the server is told first.
        idle_seconds: how long an unused connection is kept.

    Raises ``ConfigError`` when the path is no number, or there is nothing at ``verify``.
    """

    def __init__(
        self,
        member: Member,
        max_conns: int = MAX_CONNECTIONS,
        verify: bool | str = True,
        max_items: int = MAX_ITEMS,
        connect_seconds: float = CONNECT_SECONDS,
        idle_seconds: float = IDLE_SECONDS,
    ) -> None:
        check_verify(verify, member.name)
        self._tls = member.tls
        self._verify = verify
        self._max_items = max_items
        self._slots = Slots(max_conns, member.name)
        self._pool = Pool(
            member.name,
            self._slots,
            self._connect,
            RedisConnection.usable,
            RedisConnection.disconnect,
            max_conns or MAX_IDLE,
            connect_seconds,
            idle_seconds,
        )
        self._driver_pool = DriverPool(
            self._pool,
            host=member.host,
            port=member.port,
            db=_database(member),
            username=member.user or None,
            password=member.password or None,
            socket_connect_timeout=connect_seconds,
        )
        self._client = Client(self._driver_pool)

    @property
    def busy(self) -> int:
        """Commands that run or wait here."""
        return self._slots.busy

    @property
    def connections(self) -> int:
        """Open connections, used or not."""
        return self._pool.connections

    async def call(self, command: Command) -> Reply:
        """Run a command: any method of the driver that is one, and ``pipeline``.

        Replies are what the driver makes of them, but statuses are texts: ``"OK"``. Text is
        decoded; what is not UTF-8 stays bytes. ``scan_iter`` and its like give a list.

        Raises ``Failure``, with the errors of ``redis.exceptions``; ``RequestFailed`` for what is
        no command, has other parameters, or would change the connection for others.
        """
        try:
            running = self._begin(self._client, command)
            if isinstance(running, AsyncIterable):
                return Reply(await collect(KIND, command.name, running, self._max_items))
            return Reply(await running)
        except Failure:
            raise
        except Exception as exc:
            raise _failure(command.name, exc) from exc

    async def close(self) -> None:
        """Close all connections; what still runs fails."""
        await self._pool.close()

    # -- commands

    def _begin(self, client: Client, command: Command) -> Any:
        """What the driver's method returns. Raises ``Failure`` when that can't be sent."""
        name = command.name
        if name not in _COMMANDS:
            raise unknown_command(KIND, name, _COMMANDS)
        method: Any = self._run_pipeline if name == "pipeline" else getattr(client, name)
        try:
            check((name.replace("_", " "),))
            running = method(*command.args, **command.kwargs)
        except RequestFailed as exc:
            raise request_failure(exc) from None
        except Exception as exc:
            # Nothing is sent before the coroutine runs: the driver didn't like the arguments.
            raise refused(KIND, name, exc) from exc
        if not isinstance(running, (Awaitable, AsyncIterable)):
            raise refused(KIND, name, "this is no single command; see execute_command")
        return running

    async def _run_pipeline(
        self,
        commands: Sequence[Command | tuple[Any, ...]],
        transaction: bool = True,
        raise_on_error: bool = True,
    ) -> list[Any]:
        """Send commands at once and return their replies.

        Parameters:
            commands: tuples of name and arguments, ``("set", "foo", "bar")``, or ``Command``.
            transaction: between MULTI and EXEC: all of them or none, and no other in between.
            raise_on_error: False puts errors among the replies.
        """
        if not isinstance(commands, (list, tuple)):
            raise refused(KIND, "pipeline", f"give a list of commands, not {commands!r}")
        pipeline: Any = self._client.pipeline(transaction=transaction)
        for given in commands:
            one = given if isinstance(given, Command) else _command(given)
            queued = self._begin(pipeline, one)
            if queued is not pipeline:
                if hasattr(queued, "close"):
                    queued.close()
                raise refused(KIND, one.name, "it can't be in a pipeline")
        replies: list[Any] = await pipeline.execute(raise_on_error)
        return replies

    # -- connections

    async def _connect(self) -> RedisConnection:
        connection = self._driver_pool.make()
        try:
            if self._tls:
                connection.tls = await load_context(self._verify)
            await connection.connect()  # type: ignore[no-untyped-call]  # the driver's
        except BaseException as exc:
            await connection.disconnect(nowait=True)
            if not isinstance(exc, Exception):
                raise
            failure = _failure("connect", exc)
            failure.sent = False
            raise failure from exc
        return connection


def _database(member: Member) -> int:
    path = member.path.strip("/")
    if path and not (path.isascii() and path.isdecimal()):
        raise ConfigError(
            f"alias of Redis, {member.name}: {path!r} must be the number of a database, such as 0"
        )
    return int(path or 0)


def _command(given: Any) -> Command:
    if not isinstance(given, (tuple, list)) or not given or not isinstance(given[0], str):
        text = f"a pipeline has tuples such as ('set', 'foo', 'bar') or commands, not {given!r}"
        raise request_failure(RequestFailed(text))
    return Command(given[0], tuple(given[1:]))


def _failure(name: str, error: Exception) -> Failure:
    """What an error of the driver means for the task."""
    if isinstance(error, RequestFailed):
        return request_failure(error)
    if isinstance(error, (errors.DataError, NotImplementedError)):
        return refused(KIND, name, error)
    if isinstance(error, errors.BusyLoadingError):
        return network_failure(error, False)  # it was started just now, and did nothing
    if isinstance(error, (errors.AuthenticationError, errors.AuthorizationError)):
        return database_failure(error)  # the driver takes them for errors of the connection
    if isinstance(error, (errors.ConnectionError, errors.TimeoutError, OSError)):
        return network_failure(error, _REFUSED_CLIENT not in str(error))
    if isinstance(error, errors.RedisError) and not isinstance(error, errors.InvalidResponse):
        return database_failure(error)
    # The driver could not read the reply, or make anything of it.
    return network_failure(error, True)
