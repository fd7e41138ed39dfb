"""Transactions, cursors and results in batches on a file of SQLite."""

from __future__ import annotations

import asyncio
import gc
import sqlite3
import weakref

import pytest
from sqlite_files import ENDLESS, eventually, opened, run, sql, threads

from skitai.sql.statement import Statement
from skitai.tasks.errors import Failure, NetworkError, PoolExhausted, RequestFailed
from skitai.upstream.slots import EXPIRED

NUMBERS = "WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n) SELECT x FROM n"
TABLE = "CREATE TABLE a (b INTEGER UNIQUE); CREATE TABLE c (d REFERENCES a (b))"


@pytest.fixture
def path(tmp_path):
    return tmp_path / "x.db"


async def numbers(db) -> list[int]:
    return [row.b for row in (await db.call(sql("SELECT b FROM a ORDER BY b"))).data]


async def failure(call) -> BaseException:
    with pytest.raises(Failure) as caught:
        await call
    return caught.value.error


def put(number: int) -> Statement:
    return sql("INSERT INTO a VALUES (?)", number)


async def begun(db) -> list:
    """A database with a table and an open transaction in it."""
    await db.call(Statement(TABLE))
    session = await db.session(autocommit=False)
    await session.execute(put(1))
    return session


def test_others_see_what_was_committed_and_nothing_before(path):
    async def main():
        async with opened(path) as db:
            session = await begun(db)
            assert session.in_transaction
            assert (await session.execute(sql("SELECT b FROM a"))).data == [{"b": 1}]
            assert await numbers(db) == []
            await session.commit()
            assert not session.in_transaction
            assert await numbers(db) == [1]
            await session.execute(put(2))
            await session.rollback()
            assert not session.in_transaction
            await session.execute(put(3))
            await session.commit()
            await session.execute(put(4))
            await session.close()
            assert session.closed
            await db.call(put(5))
            assert await numbers(db) == [1, 3, 5]

    run(main)


def test_a_session_that_does_nothing_keeps_nobody_out(path):
    async def main():
        async with opened(path) as db:
            await db.call(Statement(TABLE))
            idle = await db.session(autocommit=False)
            await idle.commit()
            await idle.rollback()
            await db.call(put(1))
            await idle.execute(put(2))
            await idle.commit()
            await db.call(put(3))
            await idle.close()
            assert await numbers(db) == [1, 2, 3]

    run(main)


def test_writes_wait_for_the_end_of_a_transaction_in_their_order(path):
    async def main():
        async with opened(path) as db:
            first = await begun(db)
            second = await db.session(autocommit=False)
            calls = [asyncio.ensure_future(db.call(put(number))) for number in (2, 3)]
            await asyncio.sleep(0)
            then = asyncio.ensure_future(second.execute(put(4)))
            await asyncio.sleep(0)
            late = asyncio.ensure_future(db.call(put(5)))
            assert await numbers(db) == []
            assert not any(call.done() for call in (*calls, then, late))
            await first.commit()
            await asyncio.gather(*calls, then)
            assert await numbers(db) == [1, 2, 3]
            assert not late.done()
            await second.rollback()
            await late
            assert await numbers(db) == [1, 2, 3, 5]
            await first.close()
            await second.close()

    run(main)


def test_who_waits_for_a_transaction_until_the_deadline_is_told_so(path):
    async def main():
        async with opened(path) as db:
            session = await begun(db)
            other = await db.session(autocommit=False)
            for call in (db.call(put(2)), other.execute(put(3))):
                waiting = asyncio.ensure_future(call)
                await asyncio.sleep(0)
                waiting.cancel(EXPIRED)
                error = await failure(waiting)
                assert isinstance(error, PoolExhausted)
                assert "a transaction is open" in str(error)
            left = asyncio.ensure_future(other.execute(put(4)))
            await asyncio.sleep(0)
            left.cancel()
            with pytest.raises(asyncio.CancelledError):
                await left
            await session.commit()
            await other.execute(put(5))
            await other.commit()
            assert await numbers(db) == [1, 5]

    run(main)


def test_an_error_leaves_the_transaction_as_it_was_before_the_statement(path):
    async def main():
        async with opened(path) as db:
            session = await begun(db)
            assert isinstance(await failure(session.execute(put(1))), sqlite3.IntegrityError)
            assert isinstance(await failure(session.execute(sql("nope"))), sqlite3.OperationalError)
            assert isinstance(await failure(session.execute(sql("SELECT ?", [1]))), RequestFailed)
            assert session.in_transaction
            await session.execute(put(2))
            await session.commit()
            assert await numbers(db) == [1, 2]
            await session.close()

    run(main)


def test_a_transaction_that_sqlite_undid_cannot_be_committed(path):
    async def main():
        async with opened(path) as db:
            session = await begun(db)
            await failure(session.execute(sql("INSERT OR ROLLBACK INTO a VALUES (1)")))
            assert not session.in_transaction
            for call in (session.execute(put(2)), session.commit()):
                assert "was rolled back" in str(await failure(call))
            await session.rollback()
            await session.execute(put(3))
            await session.commit()
            assert await numbers(db) == [3]

    run(main)


def test_a_commit_that_fails_can_be_repaired(path):
    async def main():
        async with opened(path) as db:
            session = await begun(db)
            await session.execute(sql("PRAGMA defer_foreign_keys = ON"))
            await session.execute(sql("INSERT INTO c VALUES (7)"))
            assert isinstance(await failure(session.commit()), sqlite3.IntegrityError)
            assert session.in_transaction
            await session.execute(put(7))
            await session.commit()
            assert await numbers(db) == [1, 7]

    run(main)


def test_statements_that_begin_and_end_transactions_are_understood(path):
    async def main():
        async with opened(path) as db:
            await db.call(Statement(TABLE))
            session = await db.session(autocommit=False)
            await session.execute(sql("BEGIN"))
            assert session.in_transaction
            await session.execute(put(1))
            await session.execute(sql("SAVEPOINT s"))
            await session.execute(put(2))
            await session.execute(sql("ROLLBACK TO s"))
            await session.execute(sql("COMMIT"))
            assert not session.in_transaction
            await db.call(put(3))
            await session.execute(put(4))
            await session.execute(sql("ROLLBACK"))
            await session.commit()
            assert await numbers(db) == [1, 3]

    run(main)


def test_a_statement_that_is_broken_off_undoes_the_transaction(path):
    async def main():
        async with opened(path) as db:
            session = await begun(db)
            call = asyncio.ensure_future(session.execute(sql(ENDLESS)))
            await asyncio.sleep(0.05)
            call.cancel(EXPIRED)
            with pytest.raises(asyncio.CancelledError):
                await call
            await asyncio.wait_for(db.call(put(2)), 5)
            assert "broken off" in str(await failure(session.commit()))
            await session.close()
            assert await numbers(db) == [2]

    run(main)


def test_a_transaction_that_is_forgotten_is_undone(path):
    async def main():
        async with opened(path, session_seconds=0.1) as db:
            session = await begun(db)
            waiting = asyncio.ensure_future(db.call(put(2)))
            for number in range(10, 20):  # as long as it is used it lives
                await session.execute(put(number))
                await asyncio.sleep(0.02)
            assert not waiting.done()
            await asyncio.wait_for(waiting, 5)
            assert session.closed
            assert "unused for 0.1 seconds" in str(await failure(session.commit()))
            assert await numbers(db) == [2]
            await session.close()

    run(main)


def test_a_session_at_its_end_is_not_kept_alive(path):
    async def main():
        async with opened(path) as db:
            session = await begun(db)
            await session.commit()
            gone = weakref.ref(session)
            del session
            gc.collect()
            assert gone() is None

    run(main)


def test_a_cursor_commits_each_statement(path):
    async def main():
        async with opened(path) as db:
            await db.call(Statement(TABLE))
            session = await db.session(autocommit=True)
            assert (await session.execute(put(1))).rowcount == 1
            assert await numbers(db) == [1]
            await session.rollback()
            await session.commit()
            assert not session.in_transaction
            assert (await session.execute(sql("SELECT b FROM a"))).data == [{"b": 1}]
            await session.close()
            assert session.closed
            assert "closed" in str(await failure(session.execute(put(2))))

    run(main)


def test_transactions_in_memory_keep_out_reads_too():
    async def main():
        async with opened(":memory:") as db:
            session = await begun(db)
            reading = asyncio.ensure_future(numbers(db))
            await session.execute(put(2))
            assert not reading.done()
            await session.rollback()
            assert await reading == []
            await session.close()

    run(main)


# -- batches


def test_rows_come_in_batches_and_none_is_empty(path):
    async def main():
        async with opened(path) as db:
            for limit, sizes in [(0, []), (1, [1]), (9, [3, 3, 3]), (10, [3, 3, 3, 1])]:
                statement = sql(NUMBERS + " LIMIT ?", limit)
                batches = [batch async for batch in db.batches(statement, 3)]
                assert [len(batch) for batch in batches] == sizes
                assert [row.x for batch in batches for row in batch] == list(range(1, limit + 1))
            assert threads() == ["sqlite-reader"]

    run(main)


def test_types_are_converted_in_batches_too(path):
    async def main():
        async with opened(path) as db:
            await db.call(Statement("CREATE TABLE t (d DATE); INSERT INTO t VALUES ('2024-01-02')"))
            (batch,) = [batch async for batch in db.batches(sql("SELECT d FROM t"))]
            assert batch[0].d.year == 2024

    run(main)


def test_a_result_that_is_left_in_the_middle_gives_the_connection_back(path):
    async def main():
        async with opened(path, max_conns=1) as db:
            await db.call(Statement(TABLE))
            for _ in range(50):
                async for batch in db.batches(sql(NUMBERS), 10):
                    assert len(batch) == 10
                    break
                # What is read now is what was written last, not what the batches began with.
                await db.call(sql("REPLACE INTO a VALUES (1)"))
                assert await numbers(db) == [1]
                await db.call(sql("DELETE FROM a"))
                assert await numbers(db) == []
            await eventually(lambda: db.busy == 0)

    run(main)


def test_batches_show_one_state_and_hold_up_neither_reads_nor_writes(path):
    async def main():
        async with opened(path, max_conns=1) as db:
            await db.call(Statement(TABLE))
            await db.call(sql("INSERT INTO a " + NUMBERS + " LIMIT 100"))
            seen = []
            async for batch in db.batches(sql("SELECT b FROM a ORDER BY b"), 10):
                seen += [row.b for row in batch]
                await db.call(sql("DELETE FROM a"))
                assert await numbers(db) == []
            assert seen == list(range(1, 101))

    run(main)


def test_slow_results_are_limited_and_who_waits_is_told_so(path):
    async def main():
        async with opened(path, max_conns=2) as db:
            open_ones = [db.batches(sql(NUMBERS), 1) for _ in range(2)]
            for stream in open_ones:
                await anext(stream)
            waiting = asyncio.ensure_future(anext(db.batches(sql(NUMBERS), 1)))
            await asyncio.sleep(0)
            assert (await db.call(sql("SELECT 1 AS x"))).data == [{"x": 1}]
            waiting.cancel(EXPIRED)
            assert isinstance(await failure(waiting), PoolExhausted)
            last = db.batches(sql(NUMBERS), 1)
            late = asyncio.ensure_future(anext(last))
            await asyncio.sleep(0)
            assert not late.done()
            await open_ones[0].aclose()
            assert await asyncio.wait_for(late, 5) == [{"x": 1}]
            await open_ones[1].aclose()
            await last.aclose()

    run(main)


def test_a_batch_that_is_cancelled_is_broken_off(path):
    async def main():
        async with opened(path, max_conns=1) as db:
            stream = db.batches(sql(ENDLESS))
            first = asyncio.ensure_future(anext(stream))
            await eventually(threads)
            await asyncio.sleep(0.02)
            first.cancel()
            with pytest.raises(asyncio.CancelledError):
                await first
            rows = [batch async for batch in db.batches(sql(NUMBERS + " LIMIT 1"))]
            assert rows == [[{"x": 1}]]

    run(main)


def test_errors_of_batches_are_raised(path):
    async def main():
        async with opened(path) as db:
            assert isinstance(
                await failure(anext(db.batches(sql("SELECT * FROM nope")))),
                sqlite3.OperationalError,
            )
            assert isinstance(await failure(anext(db.batches(Statement("")))), RequestFailed)

    run(main)


def test_what_writes_may_be_read_in_batches(path):
    async def main():
        async with opened(path) as db:
            await db.call(Statement(TABLE))
            text = f"INSERT INTO a {NUMBERS} LIMIT 5 RETURNING b"
            sizes = [len(batch) async for batch in db.batches(sql(text), 2)]
            assert sizes == [2, 2, 1]
            text = "WITH c AS (SELECT 9) INSERT INTO a SELECT * FROM c RETURNING b"
            assert [batch async for batch in db.batches(Statement(text, (), False))] == [[{"b": 9}]]
            script = Statement("SELECT 1; SELECT b FROM a WHERE b > 4", (), False)
            assert [batch async for batch in db.batches(script)] == [[{"b": 5}, {"b": 9}]]
            assert [batch async for batch in db.batches(sql("DELETE FROM a"))] == []

    run(main)


def test_batches_do_not_collect_what_they_read(path):
    async def main():
        async with opened(path) as db:
            seen = 0
            async for batch in db.batches(sql(NUMBERS + " LIMIT 100000"), 1000):
                seen += len(batch)
                assert len([1 for row in gc.get_objects() if type(row).__name__ == "Row"]) < 5000
                if seen > 20_000:
                    break

    run(main)


def test_sessions_and_batches_that_outlive_the_backend_start_nothing(path):
    async def main():
        async with opened(path, max_conns=1) as db:
            session = await db.session(autocommit=False)
            stream = db.batches(sql(NUMBERS), 1)
            waiting = db.batches(sql(NUMBERS), 1)
            await anext(stream)
            first = asyncio.ensure_future(anext(waiting))
            await asyncio.sleep(0)
            await db.close()
            await stream.aclose()
            assert isinstance(await failure(first), NetworkError)
            assert isinstance(await failure(session.execute(put(1))), NetworkError)
            await session.close()
            assert threads() == []

    run(main)


def test_a_transaction_that_is_closed_while_it_waits_does_not_begin(path):
    async def main():
        async with opened(path) as db:
            first = await begun(db)
            second = await db.session(autocommit=False)
            waiting = asyncio.ensure_future(second.execute(put(2)))
            await asyncio.sleep(0)
            await second.close()
            await first.commit()
            assert "closed" in str(await failure(waiting))
            await db.call(put(3))
            assert await numbers(db) == [1, 3]

    run(main)
