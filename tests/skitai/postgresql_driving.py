"""What the tests of the PostgreSQL driver share: a database, statements, both event loops."""

from __future__ import annotations

import asyncio
import contextlib
import time
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
import uvloop

from skitai.sql.statement import Statement, changes_data
from skitai.upstream.interface import Member
from skitai.upstream.postgresql.backend import PostgresqlBackend

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Coroutine

    from postgresql_server import PostgresqlServer

PATIENCE = 20.0


class Database:
    """A database of the server, with a table ``items`` of 10 rows.

    Attributes:
        member: as an alias has it.
    """

    def __init__(self, server: PostgresqlServer) -> None:
        self.server = server
        self.name = server.new_database()
        self.member = Member(
            "127.0.0.1", server.port, self.name, user=server.user, password=server.password
        )

    def reset(self) -> None:
        """As at the beginning of a test."""
        give_up = time.monotonic() + PATIENCE
        while self.connections():
            assert time.monotonic() < give_up, "the test before left connections open"
            time.sleep(0.005)
        with self.cursor() as cursor:
            cursor.execute("drop schema public cascade; create schema public")
            cursor.execute("create table items (id int primary key, name text not null)")
            cursor.execute("insert into items select i, 'item ' || i from generate_series(1, 10) i")

    def cursor(self) -> contextlib.AbstractContextManager[Any]:
        return self.server.connect(self.name)

    @contextlib.asynccontextmanager
    async def backend(self, max_conns: int = 4, **options: Any) -> AsyncIterator[PostgresqlBackend]:
        changes = {name: options.pop(name) for name in tuple(options) if hasattr(Member, name)}
        changes |= {name: options.pop(name) for name in ("host", "port") if name in options}
        backend = PostgresqlBackend(replace(self.member, **changes), max_conns, **options)
        try:
            yield backend
        finally:
            await backend.close()

    def ask(self, sql: str) -> Any:
        """The first value that a select gives, asked from outside."""
        with self.cursor() as cursor:
            cursor.execute(sql)
            return cursor.fetchone()[0]

    def connections(self, condition: str = "true") -> int:
        """How many of the driver's connections the server has."""
        return self.ask(
            "select count(*) from pg_stat_activity where application_name = 'skitai'"
            f" and datname = current_database() and ({condition})"
        )

    async def until(self, condition: Callable[[], bool]) -> None:
        """Wait until something outside has happened."""
        async with deadline():
            while not condition():
                await asyncio.sleep(0.01)

    async def until_running(self, text: str, count: int = 1) -> None:
        """Wait until the server runs statements that contain a text."""
        active = f"state = 'active' and query like '%{text}%'"
        await self.until(lambda: self.connections(active) == count)


@contextlib.asynccontextmanager
async def deadline(seconds: float = PATIENCE) -> AsyncIterator[None]:
    """Fail instead of waiting for ever."""
    task = asyncio.current_task()
    assert task is not None
    timer = asyncio.get_running_loop().call_later(seconds, task.cancel, "the test waits for ever")
    try:
        yield
    finally:
        timer.cancel()


def statement(sql: str, *params: Any) -> Statement:
    return Statement(sql, params, changes_data(sql))


async def ask(backend: PostgresqlBackend, sql: str, *params: Any) -> Any:
    """The value in the only row and column of an answer."""
    (row,) = (await backend.call(statement(sql, *params))).data
    (value,) = row.values()
    return value


async def free(backend: PostgresqlBackend) -> None:
    """Wait until nobody has a connection."""
    async with deadline():
        while backend.busy:
            await asyncio.sleep(0.005)


@pytest.fixture(params=["asyncio", "uvloop"])
def run(request: pytest.FixtureRequest) -> Callable[[Coroutine[Any, Any, Any]], Any]:
    """Run a coroutine on a loop of its own; each test runs on both kinds."""
    return asyncio.run if request.param == "asyncio" else uvloop.run


@pytest.fixture(scope="module")
def module_database(postgresql: PostgresqlServer) -> Database:
    return Database(postgresql)


@pytest.fixture
def database(module_database: Database) -> Database:
    """A database with nothing in it but the items."""
    module_database.reset()
    return module_database
