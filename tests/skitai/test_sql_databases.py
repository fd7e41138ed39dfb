"""Databases as apps see them: transactions and streams of rows, in threads and on the loop."""

from __future__ import annotations

import sqlite3

import pytest

from skitai.service import Service
from skitai.sql import SqlTemplates
from skitai.tasks.errors import OperationTimeout, gateway_code
from skitai.upstream.calls import Calls, Options, Owner
from skitai.upstream.databases import SqlDatabase
from skitai.upstream.interface import Member
from skitai.upstream.kinds import DB_SQLITE3
from skitai.upstream.place import Place
from skitai.upstream.sqlite.backend import SqliteBackend
from tests.skitai.task_loop import running_loop

TABLE = "create table t (n int unique); insert into t values (1), (2), (3), (4), (5)"


class Database:
    """A file with a table, and its databases with options."""

    def __init__(self, thread, path):
        self.run = thread.run
        self._loop = thread.loop
        self._service = Service()
        self.templates = None
        self._place = Place("@lite", DB_SQLITE3, [Member("", 0, str(path))], SqliteBackend)
        self.with_options().execute(TABLE).commit()

    def with_options(self, **options):
        shared, cache = self._service.shared, self._service.results
        calls = Calls(self._loop, self._place, Options(**options), Owner(), cache, shared)
        return SqlDatabase(calls, "sqlite", self.templates)

    def numbers(self):
        return [row.n for row in self.with_options().execute("select n from t order by n").fetch()]

    def close(self):
        self.run(self._place.close())


@pytest.fixture
def database(tmp_path):
    with running_loop() as thread:
        database = Database(thread, tmp_path / "file.db")
        yield database
        database.close()


# Streams


def test_rows_are_streamed_in_batches_to_threads_and_coroutines(database):
    db = database.with_options()
    with db.stream("select n from t order by n", size=2) as stream:
        sizes = []
        while batch := stream.fetchmany().fetch():
            sizes.append(len(batch))
    assert sizes == [2, 2, 1]
    assert [row.n for row in db.stream("select n from t order by n", size=2)] == [1, 2, 3, 4, 5]

    async def read():
        return [row.n async for row in db.stream("select n from t order by n", size=2)]

    assert database.run(read()) == [1, 2, 3, 4, 5]


def test_the_filter_of_a_database_gets_the_batches_of_a_stream_wherever_it_is_read(database):
    db = database.with_options(filter=lambda rows: [row.n * 10 for row in rows])
    assert list(db.stream("select n from t order by n", size=2)) == [10, 20, 30, 40, 50]

    async def read():
        return [number async for number in db.stream("select n from t order by n", size=2)]

    assert database.run(read()) == [10, 20, 30, 40, 50]


def test_a_filter_that_leaves_nothing_of_a_batch_does_not_end_the_stream(database):
    db = database.with_options(filter=lambda rows: [row.n for row in rows if row.n > 4])
    assert list(db.stream("select n from t order by n", size=2)) == [5]

    async def read():
        return [number async for number in db.stream("select n from t order by n", size=2)]

    assert database.run(read()) == [5]


def test_each_batch_of_a_stream_has_the_deadline_of_the_database(database):
    stuck = "with recursive x(n) as (select 1 union all select n + 1 from x) "
    stuck += "select n from x where n < 0"
    db = database.with_options(timeout=0.05)
    with pytest.raises(OperationTimeout):
        list(db.stream(stuck))

    async def read():
        return [row async for row in db.stream(stuck)]

    with pytest.raises(OperationTimeout) as raised:
        database.run(read())
    assert gateway_code(raised.value) == 504


def test_a_stream_that_fails_raises_what_the_database_says(database):
    db = database.with_options()
    with pytest.raises(sqlite3.OperationalError, match="no such table"):
        list(db.stream("select * from nowhere"))

    async def read():
        return [row async for row in db.stream("select * from nowhere")]

    with pytest.raises(sqlite3.OperationalError, match="no such table") as raised:
        database.run(read())
    assert gateway_code(raised.value) == 502


# Transactions


def test_a_commit_on_the_loop_raises_what_a_statement_has_failed_with(database):
    async def change():
        async with database.with_options().transaction() as tx:
            await tx.execute("insert into t values (6)")
            await tx.execute("insert into t values (1)")
            await tx.commit()

    with pytest.raises(sqlite3.IntegrityError) as raised:
        database.run(change())
    assert gateway_code(raised.value) == 502
    assert database.numbers() == [1, 2, 3, 4, 5]


def test_a_commit_on_the_loop_keeps_what_was_done(database):
    async def change():
        async with database.with_options().transaction() as tx:
            await tx.execute("insert into t values (6)")
            await tx.commit()
            await tx.execute("insert into t values (7)")

    database.run(change())
    assert database.numbers() == [1, 2, 3, 4, 5, 6]


def test_a_transaction_goes_on_behind_a_rollback_on_the_loop(database):
    async def change():
        async with database.with_options().transaction() as tx:
            await tx.execute("insert into t values (1)")
            await tx.rollback()
            await tx.execute("insert into t values (8)")
            await tx.commit()

    database.run(change())
    assert database.numbers() == [1, 2, 3, 4, 5, 8]


def test_a_transaction_in_a_thread_raises_at_once(database):
    with database.with_options().transaction() as tx:
        with pytest.raises(sqlite3.IntegrityError):
            tx.execute("insert into t values (1)")
        with pytest.raises(sqlite3.IntegrityError):
            tx.commit()


def test_statements_of_files_are_at_hand_in_transactions_and_cursors_too(database, tmp_path):
    (tmp_path / "sql").mkdir()
    (tmp_path / "sql" / "default.sql").write_text(
        '<sql name="least">select min(n) as n from t where {this.filter}</sql>'
    )
    database.templates = SqlTemplates(tmp_path / "sql")
    with database.with_options().transaction() as tx:
        assert tx.least.filter(n__gt=2).execute().one() == {"n": 3}
    with database.with_options().cursor() as cursor:
        assert cursor.least.filter(n__gt=3).execute().one() == {"n": 4}
