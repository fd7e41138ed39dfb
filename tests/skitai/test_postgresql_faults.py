"""Servers that restart, die, fall silent or hang up, and callers that leave."""

from __future__ import annotations

import asyncio
import contextlib
import random
import time

import psycopg2
import psycopg2.errors
import pytest
from postgresql_driving import Database, ask, deadline, free, run, statement
from postgresql_server import running_postgresql

from skitai.sql.statement import Statement
from skitai.tasks.errors import Failure, PoolExhausted
from skitai.tasks.status import STA_NETERR, STA_TIMEOUT
from skitai.upstream.slots import EXPIRED

__all__ = ["run"]

SLEEP = "select pg_sleep(30)"

# What a server that is about to be gone says, or nobody does.
GONE = "Connection refused|server closed the connection"


@pytest.fixture(scope="module")
def own_server():
    """A server of these tests alone, as others would not like what happens to it."""
    with running_postgresql() as server:
        yield server


@pytest.fixture(scope="module")
def own_database(own_server):
    return Database(own_server)


@pytest.fixture
def database(own_database):
    own_database.reset()
    return own_database


# -- the server goes away


@pytest.mark.parametrize("way", ["stop", "kill"])
def test_after_a_restart_the_next_statements_do_not_notice(run, database, way):
    async def main():
        async with database.backend() as backend:
            await asyncio.gather(*[ask(backend, "select pg_sleep(0.05)") for _ in range(4)])
            getattr(database.server, way)()
            database.server.start()
            # The loop had no chance to see that the connections are closed.
            read = await asyncio.gather(
                *[ask(backend, "select count(*) from items") for _ in range(4)]
            )
            return read, database.connections()

    assert run(main()) == ([10] * 4, 4)


@pytest.mark.parametrize("way", ["stop", "kill"])
def test_after_a_restart_a_write_happens_once(run, database, way):
    async def main():
        async with database.backend() as backend:
            await asyncio.gather(*[ask(backend, "select pg_sleep(0.05)") for _ in range(4)])
            getattr(database.server, way)()
            database.server.start()
            await asyncio.gather(
                *[
                    backend.call(statement("insert into items values (%s, 'new')", number))
                    for number in range(11, 15)
                ]
            )
            return await ask(backend, "select count(*) from items")

    assert run(main()) == 14


def test_the_pool_recovers_by_itself_while_it_is_used(run, database):
    async def main():
        async with database.backend(max_conns=4) as backend:
            failures = []
            stop = False

            async def use():
                while not stop:
                    try:
                        await ask(backend, "select count(*) from items")
                    except Failure as failure:  # noqa: PERF203 - the test counts them
                        failures.append(failure)
                        await asyncio.sleep(0.01)

            users = [asyncio.create_task(use()) for _ in range(8)]
            for way in ("stop", "kill"):
                await asyncio.sleep(random.random() / 20)
                await asyncio.to_thread(getattr(database.server, way))
                await asyncio.sleep(random.random() / 20)
                await asyncio.to_thread(database.server.start)
            async with deadline():
                await asyncio.gather(*[ask(backend, "select 1") for _ in range(8)])
            stop = True
            await asyncio.gather(*users)
            return failures, backend.busy, database.connections()

    failures, busy, connections = run(main())
    assert {(failure.status, failure.sent) for failure in failures} <= {(STA_NETERR, False)}
    assert all(isinstance(failure.error, psycopg2.OperationalError) for failure in failures)
    assert busy == 0
    assert connections <= 4


@pytest.mark.parametrize("way", ["stop", "kill"])
@pytest.mark.parametrize("writes", [False, True])
def test_a_server_that_goes_during_a_statement_is_a_failure_of_the_network(
    run, database, way, writes
):
    async def main():
        async with database.backend() as backend:
            call = asyncio.create_task(backend.call(Statement(SLEEP, (), writes)))
            await database.until_running("pg_sleep")
            await asyncio.to_thread(getattr(database.server, way))
            try:
                with pytest.raises(Failure) as caught:
                    await call
                with pytest.raises(Failure, match=GONE) as refused:
                    await ask(backend, "select 1")
            finally:
                database.server.start()
            return caught.value, refused.value, await ask(backend, "select 1")

    failure, refused, one = run(main())
    assert isinstance(failure.error, psycopg2.OperationalError)
    # Only a select may be tried at another member.
    assert (failure.status, failure.sent) == (STA_NETERR, writes)
    assert (refused.status, refused.sent) == (STA_NETERR, False)
    assert one == 1


def test_a_write_that_may_have_run_is_not_repeated(run, database):
    async def main():
        async with database.backend(max_conns=1) as backend:
            await ask(backend, "select 1")
            sql = "insert into items values (11, 'x'); commit; select pg_sleep(30)"
            call = asyncio.create_task(backend.call(Statement(sql, (), True)))
            await database.until_running("pg_sleep")
            database.server.kill()
            database.server.start()
            with pytest.raises(Failure) as caught:
                await call
            return caught.value.sent, await ask(backend, "select count(*) from items")

    assert run(main()) == (True, 11)


def test_a_select_on_a_connection_that_broke_is_repeated_once(run, database):
    async def main():
        async with database.backend(max_conns=1) as backend:
            await ask(backend, "select 1")
            call = asyncio.create_task(ask(backend, "select pg_sleep(0.3) is not null"))
            await database.until_running("pg_sleep")
            database.server.kill()
            database.server.start()
            return await call

    assert run(main()) is True


def test_an_idle_connection_that_the_server_ends_is_replaced(run, database):
    async def main():
        async with database.backend() as backend:
            first = await ask(backend, "select pg_backend_pid()")
            assert database.ask(f"select pg_terminate_backend({first}, 5000)")
            await database.until(lambda: not backend._pool._open)
            second = await ask(backend, "select pg_backend_pid()")
            database.ask(f"select pg_terminate_backend({second}, 5000)")
            await backend.call(statement("insert into items values (11, 'at once')"))
            return first, second, await ask(backend, "select pg_backend_pid()")

    assert len(set(run(main()))) == 3


def test_a_connection_that_is_ended_during_a_write_is_a_failure(run, database):
    async def main():
        async with database.backend() as backend:
            pid = await ask(backend, "select pg_backend_pid()")
            call = asyncio.create_task(backend.call(Statement(SLEEP, (), True)))
            await database.until_running("pg_sleep")
            database.ask(f"select pg_terminate_backend({pid}, 5000)")
            with pytest.raises(Failure) as caught:
                await call
            return caught.value

    failure = run(main())
    assert isinstance(failure.error, psycopg2.OperationalError)
    assert "terminating connection due to administrator command" in str(failure.error)
    assert (failure.status, failure.sent) == (STA_NETERR, True)


# -- callers that leave


def test_a_call_that_is_cancelled_is_cancelled_at_the_server(run, database):
    async def main():
        async with database.backend(max_conns=1) as backend:
            pid = await ask(backend, "select pg_backend_pid()")
            call = asyncio.create_task(ask(backend, SLEEP))
            await database.until_running("pg_sleep")
            begun = time.monotonic()
            call.cancel(EXPIRED)
            with pytest.raises(asyncio.CancelledError):
                await call
            told = time.monotonic() - begun
            assert await ask(backend, "select pg_backend_pid()") == pid
            return told, time.monotonic() - begun, database.connections("state = 'active'")

    told, free, active = run(main())
    assert told < 0.1  # the caller does not wait until the server has reacted
    assert free < 1.0
    assert active == 0


def test_a_late_cancellation_does_not_hit_the_next_statement(run, database):
    async def main():
        async with database.backend(max_conns=2) as backend:

            async def impatient():
                call = asyncio.create_task(ask(backend, "select pg_sleep(0.002)"))
                await asyncio.sleep(random.random() * 0.004)
                call.cancel()
                with contextlib.suppress(asyncio.CancelledError):
                    await call

            for _ in range(60):
                await asyncio.gather(impatient(), impatient())
                assert await ask(backend, "select 7") == 7
            await free(backend)
            return backend.busy, database.connections() <= 2

    assert run(main()) == (0, True)


def test_who_leaves_while_connecting_leaves_nothing_behind(run, database):
    async def main():
        database.server.freeze()
        try:
            async with database.backend(max_conns=1) as backend:
                for _ in range(3):
                    call = asyncio.create_task(ask(backend, "select 1"))
                    await asyncio.sleep(0.02)
                    call.cancel()
                    with pytest.raises(asyncio.CancelledError):
                        await call
                busy = backend.busy
                database.server.thaw()
                return busy, await ask(backend, "select 1")
        finally:
            database.server.thaw()

    assert run(main()) == (0, 1)


def test_who_leaves_while_waiting_for_a_connection_does_not_take_it_along(run, database):
    async def main():
        async with database.backend(max_conns=1) as backend:
            calls = [asyncio.create_task(ask(backend, "select pg_sleep(0.1)")) for _ in range(4)]
            await database.until_running("pg_sleep")
            calls[1].cancel()
            calls[0].add_done_callback(lambda _: calls[2].cancel())
            done = await asyncio.gather(*calls, return_exceptions=True)
            return [type(result) for result in done[1:3]], backend.busy

    assert run(main()) == ([asyncio.CancelledError] * 2, 0)


def test_a_silent_server_does_not_keep_a_slot(run, database, monkeypatch):
    monkeypatch.setattr("skitai.upstream.postgresql.pool.BREAK_OFF_SECONDS", 0.1)

    async def main():
        async with database.backend(max_conns=1) as backend:
            await ask(backend, "select 1")
            database.server.freeze()
            try:
                call = asyncio.create_task(ask(backend, "select 1"))
                await asyncio.sleep(0.05)
                call.cancel()
                with pytest.raises(asyncio.CancelledError):
                    await call
                await free(backend)
            finally:
                database.server.thaw()
            return await ask(backend, "select 1")

    assert run(main()) == 1


def test_a_huge_statement_that_a_silent_server_does_not_read(run, database):
    async def main():
        async with database.backend(max_conns=1) as backend:
            await ask(backend, "select 1")
            database.server.freeze()
            try:
                call = asyncio.create_task(ask(backend, "select length(%s)", "x" * 50_000_000))
                await asyncio.sleep(0.2)
                assert not call.done()
                call.cancel()
                with pytest.raises(asyncio.CancelledError):
                    await call
                await free(backend)  # what is half sent can only be closed
            finally:
                database.server.thaw()
            return await ask(backend, "select 1")

    assert run(main()) == 1


def test_many_cancellations_at_once(run, database):
    async def main():
        async with database.backend(max_conns=20) as backend:
            calls = [asyncio.create_task(ask(backend, SLEEP)) for _ in range(20)]
            await database.until_running("pg_sleep", 20)
            for call in calls:
                call.cancel()
            await asyncio.gather(*calls, return_exceptions=True)
            await free(backend)
            return database.connections("state = 'active'")

    assert run(main()) == 0


def test_when_no_more_can_connect_who_waits_is_told_why_at_the_deadline(run, database):
    async def main():
        with database.cursor() as cursor:
            cursor.execute("create role single login password 'single' connection limit 1")
        try:
            async with database.backend(8, user="single", password="single") as backend:
                first = asyncio.create_task(ask(backend, SLEEP))
                await database.until_running("pg_sleep")
                second = asyncio.create_task(ask(backend, "select 1"))
                third = asyncio.create_task(ask(backend, "select 3"))
                await asyncio.sleep(0.1)
                second.cancel(EXPIRED)
                with pytest.raises(Failure) as caught:
                    await second
                first.cancel()
                return caught.value, await third
        finally:
            with database.cursor() as cursor:
                cursor.execute("drop role single")

    failure, three = run(main())
    assert isinstance(failure.error, PoolExhausted)
    assert "too many connections for role" in str(failure.error)
    assert (failure.status, failure.sent) == (STA_TIMEOUT, False)
    assert three == 3


def test_the_deadline_of_the_server_is_an_ordinary_error(run, database):
    async def main():
        async with database.backend(max_conns=1) as backend:
            with pytest.raises(Failure) as caught:
                await backend.call(
                    statement("set local statement_timeout = 20; select pg_sleep(30)")
                )
            return caught.value, await ask(backend, "select 1")

    failure, one = run(main())
    assert isinstance(failure.error, psycopg2.errors.QueryCanceled)
    assert one == 1
