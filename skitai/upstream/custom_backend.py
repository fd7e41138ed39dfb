"""``CustomBackend``: commands on one member, by connections that are an app's own ``Interface``."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING, Any

from skitai.tasks.errors import Failure, RequestFailed, network_failure, request_failure
from skitai.tasks.reply import Reply
from skitai.upstream.commands import database_failure, unknown_command
from skitai.upstream.custom import ServerError
from skitai.upstream.pool import CONNECT_SECONDS, IDLE_SECONDS, MAX_IDLE, Pool
from skitai.upstream.slots import Slots

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from skitai.upstream.commands import Command
    from skitai.upstream.custom import Interface
    from skitai.upstream.interface import Member

MAX_CONNECTIONS = 32


class CustomBackend:
    """A server that an app's own class talks to.

    Parameters:
        interface: makes a connection.
        member: of the alias.
        max_conns: connections at the same time, 0 for no limit.
        verify: for ``interface``.
        connect_seconds: for making a connection.
        idle_seconds: how long an unused connection is kept.

    Attributes:
        errors: exceptions of the interface that say what the server answered.
    """

    def __init__(
        self,
        interface: type[Interface],
        member: Member,
        max_conns: int = MAX_CONNECTIONS,
        verify: bool | str = True,
        connect_seconds: float = CONNECT_SECONDS,
        idle_seconds: float = IDLE_SECONDS,
    ) -> None:
        self._interface = interface
        self.errors: tuple[type[Exception], ...] = (ServerError, *interface.errors)
        self._member = member
        self._verify = verify
        self._slots = Slots(max_conns, member.name)
        self._pool: Pool[Any] = Pool(
            member.name,
            self._slots,
            self._connect,
            _usable,
            interface.close,
            max_conns or MAX_IDLE,
            connect_seconds,
            idle_seconds,
        )

    @property
    def busy(self) -> int:
        """Commands that run or wait here."""
        return self._slots.busy

    @property
    def connections(self) -> int:
        """Open connections, used or not."""
        return self._pool.connections

    async def call(self, command: Command) -> Reply:
        """Run a command. Raises ``Failure``; what is an error of the program comes as it is."""
        known = self._interface.commands
        if known and command.name not in known:
            raise unknown_command(self._interface.__name__, command.name, known)
        async with self.connection() as connection:
            return Reply(await connection.execute(command))

    async def close(self) -> None:
        """Close all connections; what still runs fails."""
        await self._pool.close()

    @asynccontextmanager
    async def connection(self) -> AsyncIterator[Any]:
        """A connection for the block; what it raises becomes ``Failure``.

        After a success, and an error of the server, others may use it again.
        """
        connection = await self._pool.take()
        clean = False
        try:
            yield connection
            clean = True
        except Failure as failure:
            clean = not failure.sent
            raise
        except Exception as exc:
            failure_of = self.failure(exc, True)
            if failure_of is None:
                raise
            clean = isinstance(exc, self.errors) or not failure_of.sent
            raise failure_of from exc
        finally:
            self._pool.give(connection, clean and _usable(connection))

    def failure(self, error: Exception, sent: bool) -> Failure | None:
        """What an exception of the interface means; None: it is an error of the program."""
        if isinstance(error, Failure):
            return error
        if isinstance(error, RequestFailed):
            return request_failure(error)
        if isinstance(error, NotImplementedError):
            return request_failure(RequestFailed(f"{self._interface.__name__}: {error}"))
        if isinstance(error, self.errors):
            return database_failure(error, sent)
        if isinstance(error, (OSError, EOFError, asyncio.TimeoutError)):
            return network_failure(error, sent)
        return None

    async def _connect(self) -> Interface:
        connection = self._interface()
        connection.member = self._member
        connection.verify = self._verify
        try:
            await connection.connect()
        except BaseException as exc:
            with suppress(Exception):
                await connection.close()
            failure = self.failure(exc, False) if isinstance(exc, Exception) else None
            if failure is None:
                raise
            failure.sent = False
            raise failure from exc
        return connection


def _usable(connection: Interface) -> bool:
    try:
        return connection.usable()
    except Exception:
        return False
