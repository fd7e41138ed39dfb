"""Statements on a real file: what comes back, what fails how, and who waits for whom."""

from __future__ import annotations

import asyncio
import os
import sqlite3
import tempfile
from pathlib import Path

import pytest
from sqlite_files import opened, run, sql, threads

from skitai.sql.statement import Statement
from skitai.tasks.errors import Failure, NetworkError, RequestFailed
from skitai.tasks.status import STA_NETERR, STA_NORMAL, STA_REQFAIL

BOOKS = "CREATE TABLE book (id INTEGER PRIMARY KEY, title TEXT NOT NULL UNIQUE, pages INTEGER)"


@pytest.fixture
def path(tmp_path):
    return tmp_path / "books.db"


async def failure(call) -> Failure:
    with pytest.raises(Failure) as caught:
        await call
    return caught.value


def test_rows_come_back_as_rows_and_changes_as_counts(path):
    async def main():
        async with opened(path) as db:
            made = await db.call(sql(BOOKS))
            assert (made.data, made.rowcount, made.status_code) == (None, -1, 200)
            added = await db.call(
                sql("INSERT INTO book (title) VALUES (?), (?)", "Emma", "Ulysses")
            )
            assert (added.data, added.rowcount) == (None, 2)
            found = await db.call(sql("SELECT id, title FROM book WHERE id = ?", 2))
            assert found.data == [{"id": 2, "title": "Ulysses"}]
            assert found.data[0].title == "Ulysses"
            assert found.rowcount == 1
            none = await db.call(sql("SELECT * FROM book WHERE id = 9"))
            assert (none.data, none.rowcount) == ([], 0)
            changed = await db.call(sql("UPDATE book SET pages = 5"))
            assert (changed.data, changed.rowcount) == (None, 2)
            back = await db.call(sql("DELETE FROM book WHERE id = 1 RETURNING title, pages"))
            assert (back.data, back.rowcount) == ([{"title": "Emma", "pages": 5}], 1)

    run(main)


@pytest.mark.parametrize(
    "text",
    [
        "SELECT 1 AS x",
        "select\n1 as x",
        "\t SELECT\t1 AS x ;",
        "-- a comment; with 'quotes\nSELECT 1 AS x -- more",
        "/* SELECT */ SELECT 1 AS x /* ; */",
        "WITH one(x) AS (SELECT 1) SELECT x FROM one",
        "with one(x) as (values (1)) select x from one",
        "SELECT x FROM (VALUES (1)) AS v, (SELECT 1 AS x)",
    ],
)
def test_all_that_selects_has_rows(path, text):
    async def main():
        async with opened(path) as db:
            assert (await db.call(sql(text))).data == [{"x": 1}]
            # Also when nobody knows whether it writes.
            assert (await db.call(Statement(text))).data == [{"x": 1}]

    run(main)


def test_pragmas_and_plans_have_rows(path):
    async def main():
        async with opened(path) as db:
            await db.call(sql(BOOKS))
            columns = await db.call(sql("PRAGMA table_info(book)"))
            assert [row.name for row in columns.data] == ["id", "title", "pages"]
            assert (await db.call(sql("VALUES (1), (2)"))).rowcount == 2
            plan = await db.call(sql("EXPLAIN QUERY PLAN SELECT * FROM book WHERE id = ?", 1))
            assert "book" in plan.data[0].detail
            await db.call(sql("PRAGMA user_version = 7"))
            assert (await db.call(sql("PRAGMA user_version"))).data == [{"user_version": 7}]

    run(main)


def test_connections_are_set_up_for_servers(path):
    async def main():
        async with opened(path) as db:
            for name, value in [("journal_mode", "wal"), ("foreign_keys", 1), ("synchronous", 1)]:
                assert (await db.call(sql(f"PRAGMA {name}"))).data == [{name: value}]
            reader = "SELECT journal_mode FROM pragma_journal_mode"
            assert (await db.call(sql(reader))).data == [{"journal_mode": "wal"}]
            assert (await db.call(sql("SELECT query_only FROM pragma_query_only"))).data == [
                {"query_only": 1}
            ]

    run(main)


def test_foreign_keys_are_held(path):
    async def main():
        async with opened(path) as db:
            await db.call(sql(BOOKS))
            await db.call(sql("CREATE TABLE loan (book INTEGER REFERENCES book)"))
            error = await failure(db.call(sql("INSERT INTO loan VALUES (9)")))
            assert isinstance(error.error, sqlite3.IntegrityError)

    run(main)


def test_writes_that_look_like_reads_are_moved_to_the_writer(path):
    async def main():
        async with opened(path) as db:
            await db.call(sql(BOOKS))
            text = "WITH new(t) AS (VALUES (?), (?)) INSERT INTO book (title) SELECT t FROM new"
            assert (await db.call(Statement(text, ("a", "b"), writes=False))).rowcount == 2
            assert (await db.call(Statement(text, ("c", "d")))).rowcount == 2
            returning = await db.call(Statement(text + " RETURNING title", ("e", "f"), False))
            assert [row.title for row in returning.data] == ["e", "f"]
            assert (await db.call(sql("SELECT count(*) AS n FROM book"))).data == [{"n": 6}]

    run(main)


def test_the_errors_of_sqlite_reach_the_app(path):
    async def main():
        async with opened(path) as db:
            await db.call(sql(BOOKS))
            await db.call(sql("INSERT INTO book (title) VALUES ('a')"))
            for text, kind in [
                ("SELECT * FROM nope", sqlite3.OperationalError),
                ("SELEC 1", sqlite3.OperationalError),
                ("INSERT INTO book (title) VALUES ('a')", sqlite3.IntegrityError),
                ("INSERT INTO book (title) VALUES (NULL)", sqlite3.IntegrityError),
            ]:
                error = await failure(db.call(sql(text)))
                assert type(error.error) is kind
                assert (error.status, error.sent) == (STA_NORMAL, True)
                assert (error.code, error.reason) == (500, "Database Error")
            error = await failure(db.call(sql("SELECT ?")))
            assert isinstance(error.error, sqlite3.ProgrammingError)
            # The connections are as good as before.
            assert (await db.call(sql("SELECT title FROM book"))).data == [{"title": "a"}]

    run(main)


@pytest.mark.parametrize(
    ("statement", "text"),
    [
        (Statement(""), "no statement"),
        (Statement(" ; -- nothing\n"), "no statement"),
        (Statement(b"SELECT 1"), "no statement"),
        (Statement("SELECT 1; SELECT ?", (1,)), "can't have parameters"),
        (Statement("SELECT ?", ([1, 2],)), "no arrays"),
        (Statement("SELECT ?", ({"a": object()},)), "JSON"),
        (Statement("SELECT ?", (2**63,)), "too large"),
        (Statement("SELECT ?", ("\ud800",)), "surrogates not allowed"),
        (Statement("SELECT '\0'"), "null character"),
        (Statement("BEGIN"), "leaves a transaction open"),
        (Statement("SAVEPOINT a"), "leaves a transaction open"),
    ],
)
def test_what_cannot_be_asked_is_not(path, statement, text):
    async def main():
        async with opened(path) as db:
            error = await failure(db.call(statement))
            if not isinstance(error.error, sqlite3.ProgrammingError):  # Python says it itself
                assert isinstance(error.error, RequestFailed)
                assert error.status == STA_REQFAIL
            assert text in str(error.error)
            assert (await db.call(sql("SELECT 1 AS x"))).data == [{"x": 1}]

    run(main)


def test_a_script_is_one_transaction_and_gives_what_its_last_statement_gives(path):
    async def main():
        async with opened(path) as db:
            script = f"""
                {BOOKS}; -- the table;
                CREATE TRIGGER no_empty BEFORE INSERT ON book WHEN new.title = '' BEGIN
                    SELECT raise(ABORT, 'empty; really');
                    SELECT 1;
                END;
                INSERT INTO book (title) VALUES ('a;b'), ('c''; d');
                SELECT title FROM book;
            """
            assert [row.title for row in (await db.call(Statement(script))).data] == [
                "a;b",
                "c'; d",
            ]
            bad = "INSERT INTO book (title) VALUES ('e'); INSERT INTO book (title) VALUES ('')"
            error = await failure(db.call(Statement(bad)))
            assert str(error.error) == "empty; really"
            assert (await db.call(sql("SELECT count(*) AS n FROM book"))).data == [{"n": 2}]

    run(main)


def test_a_script_with_transactions_of_its_own_runs_as_it_is(path):
    async def main():
        async with opened(path) as db:
            await db.call(Statement(f"PRAGMA user_version = 3; BEGIN; {BOOKS}; COMMIT; VACUUM"))
            assert (await db.call(sql("SELECT count(*) AS n FROM book"))).data == [{"n": 0}]
            half = "BEGIN; INSERT INTO book (title) VALUES ('a'); SELECT * FROM nope; COMMIT"
            await failure(db.call(Statement(half)))
            undone = "BEGIN; INSERT INTO book (title) VALUES ('b'); ROLLBACK"
            await db.call(Statement(undone))
            assert (await db.call(sql("SELECT count(*) AS n FROM book"))).data == [{"n": 0}]

    run(main)


def test_a_batch_has_parameters_for_each_statement_and_is_one_transaction(path):
    async def main():
        async with opened(path) as db:
            await db.call(sql(BOOKS))
            insert = "INSERT INTO book (title) VALUES (?)"
            parts = (sql(insert, "a"), sql(insert, "b"), sql("SELECT count(*) AS n FROM book"))
            reply = await db.call(Statement("", batch=parts))
            assert reply.data == [{"n": 2}]
            parts = (sql(insert, "c"), sql(insert, "a"))
            error = await failure(db.call(Statement("", batch=parts)))
            assert isinstance(error.error, sqlite3.IntegrityError)
            parts = (sql("SELECT 1"), sql("SELECT count(*) AS n FROM book"))
            assert (await db.call(Statement("", (), False, parts))).data == [{"n": 2}]

    run(main)


def test_named_parameters_work_too(path):
    async def main():
        async with opened(path) as db:
            statement = Statement("SELECT :a AS a, @b AS b, $a AS c", {"a": 1, "b": True}, False)
            assert (await db.call(statement)).data == [{"a": 1, "b": 1, "c": 1}]

    run(main)


def test_letters_that_are_not_latin_have_cases_too(path):
    async def main():
        async with opened(path) as db:
            reply = await db.call(
                sql("SELECT casefold('ÖШß') = casefold('öшSS') AS x, casefold(5)")
            )
            assert reply.data == [{"x": 1, "casefold(5)": 5}]

    run(main)


def test_a_file_that_cannot_be_opened_is_a_network_error_that_says_why(tmp_path):
    async def main():
        garbage = tmp_path / "garbage.db"
        garbage.write_bytes(b"this is no database at all" * 100)
        for path, text in [
            (tmp_path / "none" / "x.db", f"there is no directory {tmp_path}/none"),
            (tmp_path, "it is a directory"),
            (garbage, "file is not a database"),
            (f"file:{tmp_path}/none.db?mode=ro", "unable to open"),
        ]:
            async with opened(path) as db:
                for text_of_sql in ("SELECT 1", "CREATE TABLE a (b)"):
                    error = await failure(db.call(sql(text_of_sql)))
                    assert isinstance(error.error, sqlite3.DatabaseError)
                    assert text in str(error.error)
                    assert str(path) in str(error.error)
                    assert (error.status, error.sent) == (STA_NETERR, False)

    run(main)


def test_a_file_that_appears_later_is_found(tmp_path):
    async def main():
        async with opened(tmp_path / "new" / "x.db") as db:
            await failure(db.call(sql("SELECT 1")))
            (tmp_path / "new").mkdir()
            assert (await db.call(sql("SELECT 1 AS x"))).data == [{"x": 1}]

    run(main)


@pytest.fixture
def readable():
    """A file that this process may not write to, also when root runs the tests."""
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory) / "x.db"
        connection = sqlite3.connect(path)
        connection.execute("CREATE TABLE a (b)")
        connection.close()
        Path(directory).chmod(0o755)
        path.chmod(0o444)
        user = os.geteuid()
        if user == 0:
            os.seteuid(65534)
        yield path
        os.seteuid(user)


def test_a_file_that_can_only_be_read_is_read(readable):
    async def main():
        async with opened(readable) as db:
            assert (await db.call(sql("SELECT * FROM a"))).data == []
            error = await failure(db.call(sql("INSERT INTO a VALUES (1)")))
            assert "readonly" in str(error.error)
            assert error.status == STA_NORMAL

    run(main)


def test_a_uri_may_forbid_to_write(tmp_path):
    path = tmp_path / "x.db"
    connection = sqlite3.connect(path)
    connection.execute("CREATE TABLE a (b)")
    connection.close()

    async def main():
        async with opened(f"file:{path}?mode=ro") as db:
            assert (await db.call(sql("SELECT * FROM a"))).data == []
            error = await failure(db.call(sql("INSERT INTO a VALUES (1)")))
            assert str(error.error) == "attempt to write a readonly database"
            assert error.status == STA_NORMAL

    run(main)


def test_a_full_disk_is_an_error_and_nothing_is_lost(path):
    async def main():
        async with opened(path) as db:
            await db.call(sql("CREATE TABLE a (b)"))
            await db.call(sql("PRAGMA max_page_count = 10"))
            error = await failure(db.call(sql("INSERT INTO a VALUES (zeroblob(100000))")))
            assert str(error.error) == "database or disk is full"
            await db.call(sql("PRAGMA max_page_count = 1000"))
            await db.call(sql("INSERT INTO a VALUES (zeroblob(100000))"))
            assert (await db.call(sql("SELECT count(*) AS n FROM a"))).data == [{"n": 1}]

    run(main)


def test_a_damaged_file_is_opened_anew_when_it_was_repaired(path):
    async def main():
        async with opened(path) as db:
            await db.call(Statement("CREATE TABLE a (b); INSERT INTO a VALUES (1)"))
        good = path.read_bytes()
        async with opened(path) as db:
            path.write_bytes(good[:4096] + b"\xff" * (len(good) - 4096))
            error = await failure(db.call(sql("SELECT * FROM a")))
            assert type(error.error) is sqlite3.DatabaseError
            path.write_bytes(good)
            assert (await db.call(sql("SELECT * FROM a"))).data == [{"b": 1}]

    run(main)


def test_a_database_in_memory_lives_as_long_as_the_backend():
    async def main():
        async with opened(":memory:", idle_seconds=0.01) as db:
            await db.call(Statement("CREATE TABLE a (b DATE); INSERT INTO a VALUES ('2024-02-29')"))
            await asyncio.sleep(0.05)  # longer than what is idle lives
            rows = await asyncio.gather(*[db.call(sql("SELECT b FROM a")) for _ in range(20)])
            assert {str(reply.data[0].b) for reply in rows} == {"2024-02-29"}
            assert [batch async for batch in db.batches(sql("SELECT 1 AS x"))] == [[{"x": 1}]]
            assert threads() == ["sqlite-writer"]

    run(main)


def test_nothing_is_opened_before_it_is_needed(path):
    async def main():
        async with opened(path) as db:
            assert threads() == []
            assert not path.exists()
            await db.call(sql("SELECT 1"))
            assert threads() == ["sqlite-reader"]

    run(main)


def test_a_closed_backend_says_so(path):
    async def main():
        async with opened(path) as db:
            await db.call(sql("SELECT 1"))
            await db.close()
            for call in (
                db.call(sql("SELECT 1")),
                db.session(True),
                anext(db.batches(sql("SELECT 1"))),
            ):
                error = await failure(call)
                assert isinstance(error.error, NetworkError)
                assert not error.sent

    run(main)
