"""Rows in batches, from a cursor of the server."""

from __future__ import annotations

import asyncio
import gc

import psycopg2
import psycopg2.errors
import pytest
from postgresql_driving import ask, database, free, module_database, run, statement

from skitai.sql.rows import Row
from skitai.tasks.errors import Failure
from skitai.tasks.status import STA_NORMAL

__all__ = ["database", "module_database", "run"]

COUNT = statement("select count(*) from items")


def test_rows_come_in_batches(run, database):
    async def main():
        async with database.backend(max_conns=1) as backend:
            select = statement("select id, name from items where id > %s order by id -- all", 1)
            batches = [batch async for batch in backend.batches(select, 4)]
            return batches, backend.busy, database.connections("state = 'idle'")

    batches, busy, idle = run(main())
    assert [[row.id for row in batch] for batch in batches] == [[2, 3, 4, 5], [6, 7, 8, 9], [10]]
    assert type(batches[0][0]) is Row
    assert (busy, idle) == (0, 1)


@pytest.mark.parametrize(
    ("sql", "size", "lengths"),
    [
        ("select * from items;", 5, [5, 5]),
        ("select * from items ; ", 10, [10]),
        ("select * from items", 1000, [10]),
        ("select * from items where false", 3, []),
        ("values (1), (2)", 1, [1, 1]),
        ("with a as (select 1) select * from a", 2, [1]),
        ("select '100%'", 2, [1]),
    ],
)
def test_no_batch_is_empty(run, database, sql, size, lengths):
    async def main():
        async with database.backend() as backend:
            return [len(batch) async for batch in backend.batches(statement(sql), size)]

    assert run(main()) == lengths


def test_a_stream_that_is_abandoned_gives_its_connection_back(run, database):
    async def main():
        async with database.backend(max_conns=1) as backend:
            stream = backend.batches(statement("select generate_series(1, 1000000) as n"), 10)
            async for batch in stream:
                first = batch[0].n
                break
            await stream.aclose()
            states = backend.busy, database.connections("state <> 'idle'")

            stream = backend.batches(statement("select generate_series(1, 1000000) as n"), 10)
            await stream.__anext__()
            del stream, batch
            gc.collect()
            await free(backend)
            return first, states, await ask(backend, COUNT.sql), database.connections()

    assert run(main()) == (1, (0, 0), 10, 1)


def test_a_stream_that_is_cancelled_is_broken_off_at_the_server(run, database):
    async def main():
        async with database.backend(max_conns=1) as backend:
            sql = "select n, case when n > 5 then pg_sleep(30) end from generate_series(1, 9) n"

            async def read():
                async for _ in backend.batches(statement(sql), 5):
                    pass

            reader = asyncio.create_task(read())
            await database.until_running("FETCH FORWARD")
            reader.cancel()
            with pytest.raises(asyncio.CancelledError):
                await reader
            await free(backend)
            return database.connections("state <> 'idle'"), await ask(backend, COUNT.sql)

    assert run(main()) == (0, 10)


@pytest.mark.parametrize(
    ("sql", "error"),
    [
        ("select * from missing", psycopg2.errors.UndefinedTable),
        ("insert into items values (99, 'x')", psycopg2.errors.SyntaxError),
        ("select 1/(id - 8) from items order by id", psycopg2.errors.DivisionByZero),
    ],
)
def test_a_stream_that_fails_leaves_a_clean_connection(run, database, sql, error):
    async def main():
        async with database.backend(max_conns=1) as backend:
            await ask(backend, "select 1")
            with pytest.raises(Failure) as caught:
                async for _ in backend.batches(statement(sql), 3):
                    pass
            await free(backend)
            return caught.value, database.connections("state = 'idle'")

    failure, idle = run(main())
    assert isinstance(failure.error, error)
    assert (failure.status, idle) == (STA_NORMAL, 1)


def test_a_stream_that_nobody_reads_is_closed_after_a_while(run, database):
    async def main():
        async with database.backend(max_conns=1, session_seconds=0.05) as backend:
            stream = backend.batches(statement("select generate_series(1, 1000)"), 10)
            await stream.__anext__()
            await free(backend)
            with pytest.raises(Failure, match="idle for 0.05 s"):
                await stream.__anext__()
            return await ask(backend, COUNT.sql)

    assert run(main()) == 10


def test_a_stream_on_a_stale_connection_begins_on_a_new_one(run, database):
    async def main():
        async with database.backend(max_conns=1) as backend:
            pid = await ask(backend, "select pg_backend_pid()")
            database.ask(f"select pg_terminate_backend({pid}, 5000)")
            return [
                len(batch) async for batch in backend.batches(statement("select * from items"), 6)
            ]

    assert run(main()) == [6, 4]


def test_a_batch_has_at_least_one_row(run, database):
    async def main():
        async with database.backend() as backend:
            with pytest.raises(ValueError, match="batches of 1 or more"):
                await backend.batches(COUNT, 0).__anext__()
            return backend.busy

    assert run(main()) == 0


def test_many_rows_take_the_memory_of_one_batch(run, database):
    def resident():
        with open("/proc/self/status") as file:
            return int(next(line for line in file if line.startswith("VmRSS")).split()[1])

    async def main():
        async with database.backend(max_conns=1) as backend:
            select = statement("select n, repeat('x', 100) t from generate_series(1, 300000) n")
            count, most, before = 0, 0, 0
            async for batch in backend.batches(select, 1000):
                count += len(batch)
                before = before or resident()
                most = max(most, resident())
            return count, most - before

    count, grown = run(main())
    assert count == 300_000
    assert grown < 10_000  # kB
