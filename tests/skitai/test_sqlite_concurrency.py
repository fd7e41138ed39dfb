"""Who waits for whom, what is broken off, and what is left when much has been done."""

from __future__ import annotations

import asyncio
import gc
import os
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import pytest
from sqlite_files import ENDLESS, eventually, opened, run, sql, threads

from skitai.sql.statement import Statement
from skitai.tasks.errors import Failure, NetworkError, PoolExhausted
from skitai.tasks.status import STA_NORMAL, STA_TIMEOUT
from skitai.upstream.slots import EXPIRED

# Writes for ever, without more than a page.
ENDLESS_WRITE = (
    "WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n)"
    " INSERT INTO a SELECT count(*) FROM n"
)


@pytest.fixture
def path(tmp_path):
    return tmp_path / "x.db"


async def working() -> None:
    """Wait until a statement that never ends has begun."""
    begun = time.process_time()
    await eventually(lambda: time.process_time() > begun + 0.05)


async def expire(call: asyncio.Task) -> Failure | None:
    """Cancel a call as a task does whose deadline passed."""
    call.cancel(EXPIRED)
    try:
        await call
    except asyncio.CancelledError:
        return None
    except Failure as failure:
        return failure
    raise AssertionError("it ended")


async def count(db) -> int:
    return (await db.call(sql("SELECT count(*) AS n FROM a"))).data[0].n


def test_a_write_that_has_ended_is_seen_by_all_reads_that_begin_then(path):
    async def main():
        async with opened(path) as db:
            await db.call(sql("CREATE TABLE a (b)"))

            async def one(number):
                await db.call(sql("INSERT INTO a VALUES (?)", number))
                found = await db.call(sql("SELECT b FROM a WHERE b = ?", number))
                assert found.data == [{"b": number}]

            await asyncio.gather(*map(one, range(500)))
            assert await count(db) == 500

    run(main)


def test_reads_do_not_wait_for_a_write(path):
    async def main():
        async with opened(path) as db:
            await db.call(sql("CREATE TABLE a (b)"))
            write = asyncio.ensure_future(db.call(sql(ENDLESS_WRITE)))
            await working()
            for _ in range(20):
                assert await asyncio.wait_for(count(db), 5) == 0
            assert not write.done()
            assert await expire(write) is None

    run(main)


def test_short_reads_do_not_wait_for_a_long_one(path):
    async def main():
        async with opened(path, max_conns=2) as db:
            long = asyncio.ensure_future(db.call(sql(ENDLESS)))
            await working()
            for _ in range(20):
                assert (await asyncio.wait_for(db.call(sql("SELECT 1 AS x")), 5)).rowcount == 1
            assert not long.done()
            assert len(threads()) == 2
            assert await expire(long) is None

    run(main)


@pytest.mark.parametrize("text", [ENDLESS, ENDLESS_WRITE])
def test_a_call_that_is_cancelled_ends_at_once_and_its_statement_soon(path, text):
    async def main():
        async with opened(path) as db:
            await db.call(sql("CREATE TABLE a (b)"))
            call = asyncio.ensure_future(db.call(sql(text)))
            await working()
            since = time.monotonic()
            assert await expire(call) is None
            assert time.monotonic() - since < 0.1
            assert db.busy == 0
            # The thread is free again.
            assert await asyncio.wait_for(count(db), 5) == 0
            await asyncio.wait_for(db.call(sql("INSERT INTO a VALUES (1)")), 5)
            assert await count(db) == 1

    run(main)


def test_a_script_that_is_cancelled_between_its_statements_ends_too(path):
    async def main():
        async with opened(path) as db:
            await db.call(sql("CREATE TABLE a (b)"))
            many = "INSERT INTO a VALUES (1);" * 2000 + ENDLESS
            for wait in range(20):
                call = asyncio.ensure_future(db.call(Statement(many)))
                await asyncio.sleep(wait / 1000)
                await expire(call)
                assert await asyncio.wait_for(count(db), 5) == 0
                await asyncio.wait_for(db.call(sql("DELETE FROM a")), 5)

    run(main)


def test_only_the_statement_of_the_call_is_broken_off(path):
    async def main():
        async with opened(path, max_conns=1) as db:
            numbers = "WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n LIMIT {})"
            text = f"{numbers} SELECT count(*) AS n FROM n"
            failed = 0
            for at in range(300):
                first = asyncio.ensure_future(db.call(sql(text.format(2000))))
                second = asyncio.ensure_future(db.call(sql(text.format(2001))))
                await asyncio.sleep(at % 10 / 10_000)
                if not first.done():
                    failed += await expire(first) is not None or first.cancelled()
                assert (await second).data == [{"n": 2001}]
            assert failed

    run(main)


def test_who_waits_for_a_connection_until_the_deadline_is_told_so(path):
    async def main():
        async with opened(path, max_conns=1) as db:
            long = asyncio.ensure_future(db.call(sql(ENDLESS)))
            await working()
            waiting = asyncio.ensure_future(db.call(sql("SELECT 1 AS x")))
            left = asyncio.ensure_future(db.call(sql("SELECT 2 AS x")))
            await asyncio.sleep(0.02)
            failure = await expire(waiting)
            assert isinstance(failure.error, PoolExhausted)
            assert (failure.status, failure.code, failure.sent) == (STA_TIMEOUT, 503, False)
            assert str(path) in str(failure.error)
            left.cancel()
            with pytest.raises(asyncio.CancelledError):
                await left
            assert await expire(long) is None
            assert (await db.call(sql("SELECT 3 AS x"))).data == [{"x": 3}]

    run(main)


def test_calls_that_run_or_wait_are_counted(path):
    async def main():
        async with opened(path, max_conns=1) as db:
            calls = [asyncio.ensure_future(db.call(sql(ENDLESS))) for _ in range(3)]
            await asyncio.sleep(0)
            assert db.busy == 3
            for call in calls:
                await expire(call)
            assert db.busy == 0

    run(main)


def test_closing_breaks_off_all_that_runs(path):
    async def main():
        async with opened(path, max_conns=2) as db:
            await db.call(sql("CREATE TABLE a (b)"))
            texts = [ENDLESS] * 5 + [ENDLESS_WRITE] * 2
            calls = [asyncio.ensure_future(db.call(sql(text))) for text in texts]
            stream = db.batches(sql(ENDLESS.replace("count(*)", "x")), size=1)
            assert await anext(stream) == [{"x": 1}]
            session = await db.session(autocommit=False)
            holding = asyncio.ensure_future(session.execute(sql("INSERT INTO a VALUES (1)")))
            await eventually(lambda: len(threads()) >= 3)
            since = time.monotonic()
            await db.close()
            assert time.monotonic() - since < 2
            for call in [*calls, holding]:
                with pytest.raises(Failure) as caught:
                    await call
                assert isinstance(caught.value.error, NetworkError)
            await session.close()
            await stream.aclose()

    run(main)


@pytest.fixture
def hasty():
    """Threads take turns after each few steps."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(before)


@pytest.mark.usefixtures("hasty")
def test_closing_leaves_nothing_at_whatever_moment(path):
    async def main():
        for moment in range(60):
            async with opened(path, max_conns=2) as db:
                texts = [ENDLESS, "SELECT 1", ENDLESS, "CREATE TABLE IF NOT EXISTS a (b)"] * 4
                calls = [asyncio.ensure_future(db.call(sql(text))) for text in texts]
                await asyncio.sleep(moment / 10_000)
                await asyncio.wait_for(db.close(), 4)
                done = await asyncio.gather(*calls, return_exceptions=True)
                errors = [call.error for call in done if isinstance(call, Failure)]
                assert all(isinstance(error, NetworkError) for error in errors)
                assert len(errors) >= 8

    run(main)


def test_threads_end_when_they_are_idle_and_come_back(path):
    async def main():
        async with opened(path, idle_seconds=0.05) as db:
            await db.call(sql("CREATE TABLE a (b)"))
            for _ in range(2):
                await db.call(sql("INSERT INTO a VALUES (1)"))
                await count(db)
                assert sorted(threads()) == ["sqlite-reader", "sqlite-writer"]
                await eventually(lambda: not threads())

    run(main)


WRITER = """
import sqlite3, sys
connection = sqlite3.connect(sys.argv[1], isolation_level=None)
connection.execute("BEGIN IMMEDIATE")
connection.execute("INSERT INTO a VALUES (0)")
print("locked", flush=True)
sys.stdin.readline()
connection.execute("COMMIT")
connection.close()
"""


async def locked(path) -> subprocess.Popen[str]:
    """Another process that holds the lock of the file until it gets a line."""
    process = subprocess.Popen(  # noqa: ASYNC220 - it returns at once
        [sys.executable, "-c", WRITER, str(path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert await asyncio.to_thread(process.stdout.readline) == "locked\n"
    return process


def test_writes_wait_for_other_processes(path):
    async def main():
        async with opened(path) as db:
            await db.call(sql("CREATE TABLE a (b)"))
            other = await locked(path)
            calls = [
                asyncio.ensure_future(db.call(sql("INSERT INTO a VALUES (1)"))) for _ in range(5)
            ]
            script = asyncio.ensure_future(
                db.call(Statement("INSERT INTO a VALUES (1); INSERT INTO a VALUES (1)"))
            )
            assert await count(db) == 0  # reads don't wait
            await asyncio.sleep(0.2)
            assert not any(call.done() for call in calls)
            other.communicate("\n")
            await asyncio.gather(*calls, script)
            assert await count(db) == 8

    run(main)


def test_a_file_that_stays_locked_is_an_error_of_sqlite(path):
    async def main():
        async with opened(path, busy_seconds=0.2) as db:
            await db.call(sql("CREATE TABLE a (b)"))
            other = await locked(path)
            since = time.monotonic()
            with pytest.raises(Failure) as caught:
                await db.call(sql("INSERT INTO a VALUES (1)"))
            assert 0.2 <= time.monotonic() - since < 2
            assert isinstance(caught.value.error, sqlite3.OperationalError)
            assert str(caught.value.error) == "database is locked"
            assert caught.value.status == STA_NORMAL
            other.communicate("\n")
            await db.call(sql("INSERT INTO a VALUES (1)"))

    run(main)


def test_what_waits_for_another_process_can_be_cancelled_and_is_not_done_then(path):
    async def main():
        async with opened(path, busy_seconds=60) as db:
            await db.call(sql("CREATE TABLE a (b)"))
            other = await locked(path)
            call = asyncio.ensure_future(db.call(sql("INSERT INTO a VALUES (1)")))
            await asyncio.sleep(0.1)
            assert await expire(call) is None
            # Another file is not held up, and neither is the thread of this one.
            await asyncio.sleep(0.1)
            other.communicate("\n")
            await asyncio.wait_for(db.call(sql("INSERT INTO a VALUES (2)")), 5)
            rows = (await db.call(sql("SELECT b FROM a ORDER BY b"))).data
            assert [row.b for row in rows] == [0, 2]

    run(main)


WORKER = """
import asyncio, sys
sys.path[:0] = sys.argv[2:]
from sqlite_files import run, sql
from skitai.upstream.interface import Member
from skitai.upstream.sqlite.backend import SqliteBackend

async def main():
    db = SqliteBackend(Member("", 0, sys.argv[1]), busy_seconds=30)
    await db.call(sql("CREATE TABLE IF NOT EXISTS a (b)"))
    await db.call(sql("CREATE TABLE IF NOT EXISTS total (n)"))
    await asyncio.gather(*[db.call(sql("INSERT INTO a VALUES (?)", n)) for n in range(200)])
    for _ in range(20):
        session = await db.session(autocommit=False)
        (row,) = (await session.execute(sql("SELECT count(*) AS n FROM total"))).data
        await session.execute(sql("INSERT INTO total VALUES (?)", row.n))
        await session.commit()
        await session.close()
    await db.close()

run(main)
"""


def test_two_processes_may_make_and_write_a_file_at_once(path):
    here = Path(__file__).parent
    places = [str(here), str(here.parents[1])]
    command = [sys.executable, "-W", "error", "-c", WORKER, str(path), *places]
    workers = [subprocess.Popen(command, stderr=subprocess.PIPE, text=True) for _ in range(2)]
    for worker in workers:
        assert (worker.communicate()[1], worker.returncode) == ("", 0)
    connection = sqlite3.connect(path)
    assert connection.execute("SELECT count(*) FROM a").fetchone() == (400,)
    numbers = [row[0] for row in connection.execute("SELECT n FROM total ORDER BY n")]
    connection.close()
    assert numbers == list(range(40))


def resources() -> tuple[int, int, int]:
    """Threads, open files and kilobytes."""
    gc.collect()
    status = Path("/proc/self/status").read_text()
    (kilobytes,) = [
        int(line.split()[1]) for line in status.splitlines() if line.startswith("VmRSS")
    ]
    return len(os.listdir("/proc/self/task")), len(os.listdir("/proc/self/fd")), kilobytes


def test_ten_thousand_statements_leave_nothing_behind(path):
    async def main():
        async with opened(path) as db:
            await db.call(sql("CREATE TABLE a (b INTEGER PRIMARY KEY, c DATE)"))

            async def work(rounds):
                for at in range(rounds):
                    await db.call(sql("REPLACE INTO a VALUES (?, '2024-01-02')", at % 100))
                    await db.call(sql("SELECT * FROM a WHERE b = ?", at % 100))
                    await db.call(sql(f"SELECT b AS x{at} FROM a WHERE b = ?", at % 100))
                    with pytest.raises(Failure):
                        await db.call(sql("SELECT * FROM nope"))
                    async for _ in db.batches(sql("SELECT * FROM a"), size=50):
                        break

            await asyncio.gather(*[work(50) for _ in range(8)])
            before = resources()
            await asyncio.gather(*[work(250) for _ in range(8)])
            after = resources()
            assert after[0] <= before[0] + 4
            assert after[1] <= before[1] + 16
            assert after[2] < before[2] + 8_000

    run(main)


def test_failing_calls_make_no_garbage_that_only_the_collector_finds(path):
    async def main():
        async with opened(path) as db:

            async def fail():
                with pytest.raises(Failure):
                    await db.call(sql("SELECT * FROM nope"))

            await fail()
            gc.collect()
            gc.disable()
            try:
                for _ in range(100):
                    await fail()
                assert gc.collect() < 100 * 5
            finally:
                gc.enable()

    run(main)
