"""Sessions, which hold a connection for several statements."""

from __future__ import annotations

import asyncio
import gc

import psycopg2
import psycopg2.errors
import pytest
from postgresql_driving import ask, database, free, module_database, run, statement

from skitai.tasks.errors import Failure, PoolExhausted
from skitai.tasks.status import STA_NETERR, STA_NORMAL, STA_REQFAIL
from skitai.upstream.slots import EXPIRED

__all__ = ["database", "module_database", "run"]

DELETE = statement("delete from items where id = 1")
COUNT = statement("select count(*) from items")


def test_nobody_sees_a_transaction_before_it_is_committed(run, database):
    async def main():
        async with database.backend() as backend:
            session = await backend.session(autocommit=False)
            assert not session.in_transaction
            deleted = await session.execute(DELETE)
            assert session.in_transaction
            counts = [
                (await session.execute(COUNT)).data,
                await ask(backend, COUNT.sql),
            ]
            await session.commit()
            assert not session.in_transaction
            counts.append(await ask(backend, COUNT.sql))
            await session.close()
            return deleted.rowcount, counts, session.closed, backend.busy

    assert run(main()) == (1, [[{"count": 9}], 10, 9], True, 0)


def test_what_is_rolled_back_never_was_and_the_session_goes_on(run, database):
    async def main():
        async with database.backend() as backend:
            session = await backend.session(autocommit=False)
            await session.rollback()  # nothing to do
            await session.commit()
            await session.execute(DELETE)
            await session.rollback()
            count = (await session.execute(COUNT)).data[0].count
            await session.execute(statement("delete from items where id in %s", (2, 3)))
            await session.commit()
            await session.close()
            return count, await ask(backend, COUNT.sql)

    assert run(main()) == (10, 8)


def test_parameters_and_percent_signs_in_the_first_statement(run, database):
    async def main():
        async with database.backend() as backend:
            session = await backend.session(autocommit=False)
            first = await session.execute(statement("select '100%' as a"))
            await session.commit()
            second = await session.execute(statement("select %s as a, 7 %% 4 as b", "x"))
            await session.close()
            return first.data, second.data

    assert run(main()) == ([{"a": "100%"}], [{"a": "x", "b": 3}])


def test_closing_rolls_back(run, database):
    async def main():
        async with database.backend(max_conns=1) as backend:
            session = await backend.session(autocommit=False)
            await session.execute(DELETE)
            await session.close()
            await session.close()
            return await ask(backend, COUNT.sql), backend.busy, database.connections()

    assert run(main()) == (10, 0, 1)


def test_a_closed_session_says_so(run, database):
    async def main():
        async with database.backend() as backend:
            session = await backend.session(autocommit=False)
            await session.close()
            with pytest.raises(Failure) as caught:
                await session.execute(COUNT)
            with pytest.raises(Failure, match="the session was closed"):
                await session.commit()
            await session.rollback()
            return caught.value

    failure = run(main())
    assert isinstance(failure.error, psycopg2.InterfaceError)
    assert "the session was closed" in str(failure.error)
    assert (failure.status, failure.sent) == (STA_REQFAIL, False)


def test_a_cursor_commits_each_statement(run, database):
    async def main():
        async with database.backend() as backend:
            session = await backend.session(autocommit=True)
            await session.execute(DELETE)
            seen = await ask(backend, COUNT.sql), session.in_transaction
            await session.execute(statement("begin"))
            await session.execute(statement("delete from items"))
            began = session.in_transaction
            await session.rollback()
            await session.close()
            return seen, began, await ask(backend, COUNT.sql)

    assert run(main()) == ((9, False), True, 9)


def test_after_an_error_only_a_rollback_helps(run, database):
    async def main():
        async with database.backend() as backend:
            session = await backend.session(autocommit=False)
            await session.execute(DELETE)
            errors = []
            for sql in ("select 1/0", "select 1"):
                with pytest.raises(Failure) as caught:
                    await session.execute(statement(sql))
                errors.append(caught.value)
            await session.rollback()
            await session.execute(DELETE)
            await session.commit()
            await session.close()
            return errors, await ask(backend, COUNT.sql)

    errors, count = run(main())
    assert isinstance(errors[0].error, psycopg2.errors.DivisionByZero)
    assert isinstance(errors[1].error, psycopg2.errors.InFailedSqlTransaction)
    assert {(error.status, error.reason) for error in errors} == {(STA_NORMAL, "Database Error")}
    assert count == 9


def test_committing_a_failed_transaction_is_an_error_and_not_a_silent_loss(run, database):
    async def main():
        async with database.backend() as backend:
            session = await backend.session(autocommit=False)
            await session.execute(DELETE)
            with pytest.raises(Failure):
                await session.execute(statement("select 1/0"))
            with pytest.raises(Failure) as caught:
                await session.commit()
            usable = (await session.execute(COUNT)).data[0].count
            await session.close()
            return caught.value, usable

    failure, count = run(main())
    assert isinstance(failure.error, psycopg2.errors.InFailedSqlTransaction)
    assert "rolled back" in str(failure.error)
    assert count == 10


def test_a_constraint_that_is_checked_at_the_commit(run, database):
    async def main():
        async with database.backend() as backend:
            await backend.call(statement("create table one (id int unique deferrable)"))
            session = await backend.session(autocommit=False)
            await session.execute(
                statement("set constraints all deferred; insert into one values (1), (1)")
            )
            with pytest.raises(Failure) as caught:
                await session.commit()
            state = session.in_transaction
            await session.close()
            return caught.value, state

    failure, in_transaction = run(main())
    assert isinstance(failure.error, psycopg2.IntegrityError)
    assert in_transaction is False


def test_a_session_that_is_forgotten_is_rolled_back(run, database):
    async def main():
        async with database.backend(max_conns=1) as backend:
            session = await backend.session(autocommit=False)
            await session.execute(DELETE)
            del session
            gc.collect()
            await free(backend)
            return await ask(backend, COUNT.sql), database.connections()

    assert run(main()) == (10, 1)


def test_a_session_that_is_forgotten_in_another_thread(run, database):
    async def main():
        async with database.backend(max_conns=1) as backend:
            kept = [await backend.session(autocommit=False)]
            await kept[0].execute(DELETE)
            await asyncio.to_thread(kept.clear)
            await free(backend)
            return await ask(backend, COUNT.sql)

    assert run(main()) == 10


def test_a_commit_of_what_was_lost_meanwhile_fails(run, database):
    async def main():
        async with database.backend(session_seconds=0.05) as backend:
            session = await backend.session(autocommit=False)
            await session.execute(DELETE)
            await free(backend)
            with pytest.raises(Failure) as failed:
                await session.commit()
            await session.rollback()
            await session.close()
            return str(failed.value.error), await ask(backend, COUNT.sql)

    text, count = run(main())
    assert "idle for 0.05 s: it was rolled back" in text
    assert count == 10


def test_a_session_that_is_idle_for_too_long_is_rolled_back_and_closed(run, database):
    async def main():
        async with database.backend(max_conns=1, session_seconds=0.05) as backend:
            session = await backend.session(autocommit=False)
            await session.execute(DELETE)
            await session.execute(statement("select pg_sleep(0.1)"))  # this is not idle
            await free(backend)
            with pytest.raises(Failure) as caught:
                await session.execute(COUNT)
            return caught.value, session.closed, await ask(backend, COUNT.sql)

    failure, closed, count = run(main())
    assert "the session was idle for 0.05 s: it was rolled back and closed" in str(failure.error)
    assert (closed, count) == (True, 10)


def test_a_session_waits_for_a_connection(run, database):
    async def main():
        async with database.backend(max_conns=1) as backend:
            first = await backend.session(autocommit=False)
            second = asyncio.create_task(backend.session(autocommit=False))
            third = asyncio.create_task(backend.session(autocommit=False))
            await asyncio.sleep(0)
            third.cancel(EXPIRED)
            with pytest.raises(Failure) as caught:
                await third
            await first.close()
            await (await second).close()
            return caught.value, backend.busy

    failure, busy = run(main())
    assert isinstance(failure.error, PoolExhausted)
    assert busy == 0


def test_statements_of_one_session_take_turns(run, database):
    async def main():
        async with database.backend() as backend:
            session = await backend.session(autocommit=False)
            replies = await asyncio.gather(
                *[session.execute(statement("select %s as n", number)) for number in range(5)]
            )
            await session.close()
            return [reply.data[0].n for reply in replies]

    assert run(main()) == list(range(5))


def test_a_statement_of_a_session_that_is_cancelled_ends_the_session(run, database):
    async def main():
        async with database.backend(max_conns=1) as backend:
            session = await backend.session(autocommit=False)
            await session.execute(DELETE)
            call = asyncio.create_task(session.execute(statement("select pg_sleep(30)")))
            await database.until_running("pg_sleep")
            call.cancel()
            with pytest.raises(asyncio.CancelledError):
                await call
            with pytest.raises(Failure, match="broken off") as caught:
                await session.execute(COUNT)
            await free(backend)
            active = database.connections("state <> 'idle'")
            return caught.value.status, active, await ask(backend, COUNT.sql)

    assert run(main()) == (STA_REQFAIL, 0, 10)


def test_who_leaves_while_another_has_the_turn_ends_nothing(run, database):
    async def main():
        async with database.backend(max_conns=1) as backend:
            session = await backend.session(autocommit=False)
            first = asyncio.create_task(session.execute(statement("select pg_sleep(0.1)")))
            second = asyncio.create_task(session.execute(DELETE))
            await database.until_running("pg_sleep")
            second.cancel()
            with pytest.raises(asyncio.CancelledError):
                await second
            await first
            await session.commit()
            await session.close()
            return await ask(backend, COUNT.sql)

    assert run(main()) == 10


def test_a_session_whose_connection_is_lost(run, database):
    async def main():
        async with database.backend(max_conns=1) as backend:
            session = await backend.session(autocommit=False)
            pid = (await session.execute(statement("select pg_backend_pid() as pid"))).data[0].pid
            database.ask(f"select pg_terminate_backend({pid}, 5000)")
            failures = []
            for _ in range(2):
                with pytest.raises(Failure) as caught:
                    await session.execute(DELETE)
                failures.append((caught.value.status, type(caught.value.error)))
            await session.close()
            return failures, backend.busy, await ask(backend, COUNT.sql)

    failures, busy, count = run(main())
    assert failures[0] == (STA_NETERR, psycopg2.OperationalError)
    assert failures[1] == (STA_REQFAIL, psycopg2.InterfaceError)
    assert (busy, count) == (0, 10)


def test_a_session_gets_a_connection_that_lives(run, database):
    async def main():
        async with database.backend(max_conns=1) as backend:
            pid = await ask(backend, "select pg_backend_pid()")
            database.ask(f"select pg_terminate_backend({pid}, 5000)")
            session = await backend.session(autocommit=False)
            await session.execute(DELETE)
            await session.commit()
            await session.close()
            return await ask(backend, COUNT.sql)

    assert run(main()) == 9


def test_a_setting_of_a_session_ends_with_it(run, database):
    async def main():
        async with database.backend(max_conns=1) as backend:
            session = await backend.session(autocommit=True)
            await session.execute(statement("set search_path to nowhere"))
            with pytest.raises(Failure):
                await session.execute(COUNT)
            await session.close()
            return await ask(backend, COUNT.sql)

    assert run(main()) == 10


def test_listening_is_refused_in_sessions_too(run, database):
    async def main():
        async with database.backend(max_conns=1) as backend:
            session = await backend.session(autocommit=True)
            with pytest.raises(Failure, match="LISTEN is not supported"):
                await session.execute(statement("listen news"))
            await session.close()

    run(main())
