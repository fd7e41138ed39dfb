"""Single statements: what comes back, what is refused, how connections are shared."""

from __future__ import annotations

import asyncio
import gc
import os
import threading

import psycopg2
import psycopg2.errors
import pytest
from postgresql_driving import ask, database, module_database, run, statement

from skitai.errors import ConfigError
from skitai.sql.rows import Row
from skitai.sql.statement import Statement
from skitai.tasks.errors import Failure, PoolExhausted, RequestFailed
from skitai.tasks.status import STA_NETERR, STA_NORMAL, STA_REQFAIL, STA_TIMEOUT
from skitai.upstream.interface import Member
from skitai.upstream.postgresql.backend import connect_options
from skitai.upstream.slots import EXPIRED

__all__ = ["database", "module_database", "run"]


def test_a_select_gives_rows_with_attributes(run, database):
    async def main():
        async with database.backend() as backend:
            return await backend.call(
                statement("select id, name from items where id <= %s order by id", 2)
            )

    reply = run(main())
    assert reply.data == [{"id": 1, "name": "item 1"}, {"id": 2, "name": "item 2"}]
    assert type(reply.data[0]) is Row
    assert reply.data[0].name == "item 1"
    assert reply.rowcount == 2
    assert reply.status_code == 200


def test_nothing_found_is_an_empty_list_and_no_result_set_is_none(run, database):
    async def main():
        async with database.backend() as backend:
            found = await backend.call(statement("select * from items where id = 0"))
            written = await backend.call(statement("update items set name = 'x' where id < 4"))
            created = await backend.call(statement("create table others (id int)"))
            returned = await backend.call(statement("delete from items where id = 1 returning id"))
            return found, written, created, returned

    found, written, created, returned = run(main())
    assert (found.data, found.rowcount) == ([], 0)
    assert (written.data, written.rowcount) == (None, 3)
    assert (created.data, created.rowcount) == (None, -1)
    assert (returned.data, returned.rowcount) == ([{"id": 1}], 1)


def test_each_statement_commits_by_itself(run, database):
    async def main():
        async with database.backend() as backend:
            await backend.call(statement("insert into items values (%s, %s)", 11, "new"))
            return database.ask("select name from items where id = 11")

    assert run(main()) == "new"


def test_several_statements_give_the_rows_of_the_last_and_are_one_transaction(run, database):
    async def main():
        async with database.backend() as backend:
            reply = await backend.call(
                statement("insert into items values (11, 'a'); select count(*) from items")
            )
            with pytest.raises(Failure) as caught:
                await backend.call(
                    statement(
                        "insert into items values (12, 'b'); insert into items values (1, '')"
                    )
                )
            return reply, caught.value, await ask(backend, "select count(*) from items")

    reply, failure, count = run(main())
    assert reply.data == [{"count": 11}]
    assert isinstance(failure.error, psycopg2.errors.UniqueViolation)
    assert count == 11


def test_percent_signs_are_kept_without_parameters(run, database):
    async def main():
        async with database.backend() as backend:
            alone = await ask(backend, "select '100%' || 5 % 3")
            doubled = await ask(backend, "select %s || '100%%'", "=")
            return alone, doubled

    assert run(main()) == ("100%2", "=100%")


def test_a_column_without_a_name_and_columns_with_one_name(run, database):
    async def main():
        async with database.backend() as backend:
            return (await backend.call(statement("select 1, 2, 3 as id, 4 as id"))).data

    assert run(main()) == [{"?column?": 2, "id": 4}]


def test_thousands_of_rows_come_whole_and_let_others_work_in_between(run, database):
    async def main():
        turns = 0

        async def others():
            nonlocal turns
            while True:
                turns += 1
                await asyncio.sleep(0)

        async with database.backend() as backend:
            await ask(backend, "select 1")
            rest = asyncio.create_task(others())
            reply = await backend.call(
                statement("select i, repeat('x', 50) as t from generate_series(1, 20000) i")
            )
            rest.cancel()
            return reply, turns

    reply, turns = run(main())
    assert [row.i for row in reply.data] == list(range(1, 20001))
    assert reply.rowcount == 20000
    assert turns >= 20


def test_a_statement_bigger_than_the_buffers_of_a_socket(run, database):
    text = "ä" * 8_000_000

    async def main():
        async with database.backend() as backend:
            echo = await ask(backend, "select %s || ''", text)
            again = await ask(backend, "select 1")
            return echo, again, database.connections()

    assert run(main()) == (text, 1, 1)


# -- what is refused


def test_an_error_of_the_server_is_of_psycopg2_and_leaves_the_connection_usable(run, database):
    async def main():
        async with database.backend() as backend:
            pid = await ask(backend, "select pg_backend_pid()")
            failures = []
            for sql in ("select * from missing", "selec 1", "insert into items values (1, 'x')"):
                with pytest.raises(Failure) as caught:
                    await backend.call(statement(sql))
                failures.append(caught.value)
            assert pid == await ask(backend, "select pg_backend_pid()")
            return failures

    failures = run(main())
    assert [type(failure.error) for failure in failures] == [
        psycopg2.errors.UndefinedTable,
        psycopg2.errors.SyntaxError,
        psycopg2.errors.UniqueViolation,
    ]
    for failure in failures:
        assert (failure.status, failure.sent) == (STA_NORMAL, True)
        assert (failure.code, failure.reason) == (500, "Database Error")
    assert isinstance(failures[2].error, psycopg2.IntegrityError)


@pytest.mark.parametrize(
    ("sql", "params", "error", "words"),
    [
        ("select %s", ("a\0b",), RequestFailed, "NUL"),
        ("select 'a\0b'", (), RequestFailed, "NUL"),
        ("select %s", ("\ud800",), RequestFailed, "surrogates"),
        ("select %s, %s", (1,), RequestFailed, ""),
        ("select %s", (1, 2), RequestFailed, "not all arguments converted"),
        ("select %s", (object(),), psycopg2.ProgrammingError, "can't adapt type 'object'"),
        ("select %s", ({"a": object()},), RequestFailed, "Encoding objects of type object"),
        ("", (), psycopg2.ProgrammingError, "empty query"),
    ],
)
def test_what_can_not_be_made_a_statement_is_not_sent(run, database, sql, params, error, words):
    async def main():
        async with database.backend() as backend:
            with pytest.raises(Failure) as caught:
                await backend.call(Statement(sql, params))
            return caught.value, await ask(backend, "select 1"), database.connections()

    failure, one, connections = run(main())
    assert type(failure.error) is error
    assert words in str(failure.error)
    assert (failure.status, failure.sent) == (STA_REQFAIL, False)
    assert (one, connections) == (1, 1)


@pytest.mark.parametrize("sql", [" ; -- nothing", "-- nothing"])
def test_a_statement_that_says_nothing_is_an_error(run, database, sql):
    async def main():
        async with database.backend() as backend:
            with pytest.raises(Failure) as caught:
                await backend.call(statement(sql))
            return caught.value, await ask(backend, "select 1"), database.connections()

    failure, one, connections = run(main())
    assert isinstance(failure.error, psycopg2.ProgrammingError)
    assert (one, connections) == (1, 1)


@pytest.mark.parametrize("sql", ["copy items to stdout", "copy items from stdin"])
def test_copying_through_the_connection_is_refused(run, database, sql):
    async def main():
        async with database.backend(max_conns=1) as backend:
            with pytest.raises(Failure) as caught:
                await backend.call(statement(sql))
            return caught.value, await ask(backend, "select count(*) from items")

    failure, count = run(main())
    assert failure.status == STA_NORMAL
    assert "COPY from or to the client is not supported" in str(failure.error)
    assert count == 10


def test_listening_is_refused(run, database):
    async def main():
        async with database.backend(max_conns=1) as backend:
            with pytest.raises(Failure, match="LISTEN is not supported"):
                await backend.call(statement("listen news"))
            return await ask(backend, "select count(*) from pg_listening_channels()")

    assert run(main()) == 0


def test_a_transaction_that_is_left_open_is_rolled_back_and_an_error(run, database):
    async def main():
        async with database.backend(max_conns=1) as backend:
            with pytest.raises(Failure, match="left a transaction open"):
                await backend.call(statement("begin; delete from items"))
            return await ask(backend, "select count(*) from items")

    assert run(main()) == 10


def test_a_setting_is_not_handed_to_others(run, database):
    async def main():
        async with database.backend(max_conns=1) as backend:
            await backend.call(statement("set search_path to nowhere"))
            return await ask(backend, "select count(*) from items")

    assert run(main()) == 10


def test_notices_do_not_pile_up(run, database):
    async def main():
        async with database.backend(max_conns=1) as backend:
            for _ in range(3):
                await backend.call(statement("drop table if exists missing"))
            (connection,) = backend._pool._open
            return list(connection._raw.notices)

    assert run(main()) == []


# -- connections


def test_statements_run_side_by_side_up_to_the_limit(run, database):
    async def main():
        async with database.backend(max_conns=3) as backend:
            calls = [asyncio.create_task(ask(backend, "select pg_sleep(0.2)")) for _ in range(5)]
            await database.until_running("pg_sleep", 3)
            busy, connections = backend.busy, database.connections()
            await asyncio.gather(*calls)
            return busy, connections, backend.busy, database.connections()

    assert run(main()) == (5, 3, 0, 3)


def test_one_after_the_other_takes_one_connection(run, database):
    async def main():
        async with database.backend(max_conns=0) as backend:
            pids = {await ask(backend, "select pg_backend_pid()") for _ in range(20)}
            return len(pids), database.connections()

    assert run(main()) == (1, 1)


def test_who_waits_for_a_connection_is_told_so_at_the_deadline(run, database):
    async def main():
        async with database.backend(max_conns=1) as backend:
            first = asyncio.create_task(ask(backend, "select pg_sleep(0.3)"))
            second = asyncio.create_task(ask(backend, "select 1"))
            await database.until_running("pg_sleep")
            second.cancel(EXPIRED)
            with pytest.raises(Failure) as caught:
                await second
            await first
            return caught.value, await ask(backend, "select 2")

    failure, two = run(main())
    assert isinstance(failure.error, PoolExhausted)
    assert f"all 1 connections to {database.member.name} were in use" in str(failure.error)
    assert (failure.status, failure.sent, failure.code) == (STA_TIMEOUT, False, 503)
    assert two == 2


def test_who_can_not_connect_any_more_waits_for_another_connection(run, database):
    async def main():
        with database.cursor() as cursor:
            cursor.execute(f"alter database {database.name} connection limit 2")
            cursor.execute("grant all on schema public to public")
            cursor.execute("create role limited login password 'limited'")
            cursor.execute("grant select on items to limited")
        try:
            async with database.backend(8, user="limited", password="limited") as backend:
                return await asyncio.gather(
                    *[ask(backend, "select count(*) from items") for _ in range(50)]
                )
        finally:
            with database.cursor() as cursor:
                cursor.execute(f"alter database {database.name} connection limit -1")
                cursor.execute("drop owned by limited; drop role limited")

    # The role is no superuser, for whom the limit does not count; our own cursor takes one of 2.
    assert run(main()) == [10] * 50


def test_idle_connections_are_closed_after_a_while(run, database):
    async def main():
        async with database.backend(idle_seconds=0.05) as backend:
            await asyncio.gather(*[ask(backend, "select pg_sleep(0.01)") for _ in range(3)])
            await database.until(lambda: database.connections() == 0)
            return await ask(backend, "select 1")

    assert run(main()) == 1


def test_nothing_is_left_when_the_backend_is_closed(run, database):
    async def main():
        async with database.backend() as backend:
            await asyncio.gather(*[ask(backend, "select 1") for _ in range(4)])
            waiting = asyncio.create_task(ask(backend, "select pg_sleep(30)"))
            await database.until_running("pg_sleep")
        with pytest.raises(Failure) as caught:
            await waiting
        with pytest.raises(Failure, match="are closed"):
            await ask(backend, "select 1")
        return caught.value, backend.busy

    failure, busy = run(main())
    assert isinstance(failure.error, psycopg2.errors.QueryCanceled)
    assert busy == 0


def test_ten_thousand_statements_leave_nothing_behind(run, database):
    async def main():
        async with database.backend(max_conns=8) as backend:

            async def many(count):
                for number in range(count):
                    await ask(backend, "select name from items where id = %s", number % 10 + 1)

            await asyncio.gather(*[many(100) for _ in range(8)])
            gc.collect()
            before = len(os.listdir("/proc/self/fd")), len(gc.get_objects())
            await asyncio.gather(*[many(1250) for _ in range(8)])
            gc.collect()
            after = len(os.listdir("/proc/self/fd")), len(gc.get_objects())
            return before, after, database.connections(), threading.active_count()

    before, after, connections, threads = run(main())
    assert after[0] == before[0]
    assert after[1] < before[1] + 200
    assert connections == 8
    assert threads == threading.active_count()


# -- where the server is


def test_a_unix_socket(run, database):
    server = database.server

    async def main():
        async with database.backend(host=str(server.directory), password=None) as backend:
            return await ask(backend, "select inet_client_addr() is null")

    assert run(main()) is True


def test_a_name_is_looked_up_and_all_its_addresses_are_tried(run, database):
    async def main():
        async with database.backend(host="localhost") as backend:
            return await ask(backend, "select host(inet_client_addr())")

    assert run(main()) == "127.0.0.1"


def test_the_connection_is_not_blocked_by_looking_up_a_name(run, database, monkeypatch):
    import skitai.upstream.postgresql.connection as module

    asked = {}
    connect = psycopg2.connect

    def record(*args, **options):
        asked.update(options)
        return connect(*args, **options)

    monkeypatch.setattr(module.psycopg2, "connect", record)

    async def main():
        async with database.backend(host="localhost") as backend:
            await ask(backend, "select 1")

    run(main())
    assert "127.0.0.1" in asked["hostaddr"].split(",")


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"password": "wrong"}, "password authentication failed"),
        ({"path": "missing"}, 'database "missing" does not exist'),
        ({"port": 1}, "Connection refused"),
        ({"host": "nowhere.invalid"}, "could not translate host name"),
        ({"host": "/nowhere"}, "No such file or directory"),
        ({"tls": True}, "server does not support SSL"),
    ],
)
def test_who_can_not_connect_has_not_sent_anything(run, database, changes, words):
    async def main():
        async with database.backend(**changes) as backend:
            with pytest.raises(Failure) as caught:
                await ask(backend, "select 1")
            return caught.value, backend.busy

    failure, busy = run(main())
    assert isinstance(failure.error, psycopg2.OperationalError)
    assert words in str(failure.error)
    assert database.server.password not in str(failure.error)
    assert (failure.status, failure.sent, failure.code) == (STA_NETERR, False, 502)
    assert busy == 0


def test_what_is_not_given_is_left_to_libpq():
    options = connect_options(Member("", 5432))
    assert not {"host", "user", "password", "dbname"} & set(options)


def test_within_a_machine_tls_is_not_needed_but_elsewhere_it_is_preferred():
    assert connect_options(Member("127.0.0.1", 5432))["sslmode"] == "allow"
    assert "sslmode" not in connect_options(Member("db.example.com", 5432))


def test_who_asks_for_tls_gets_certificates_checked(tmp_path, monkeypatch):
    member = Member("127.0.0.1", 5432, tls=True)
    assert connect_options(member)["sslmode"] == "verify-full"
    monkeypatch.setenv("SSL_CERT_FILE", __file__)
    assert connect_options(member)["sslrootcert"] == __file__
    monkeypatch.setenv("PGSSLROOTCERT", "/mine")
    assert "sslrootcert" not in connect_options(member)
    assert connect_options(member, __file__)["sslrootcert"] == __file__
    assert connect_options(member, False)["sslmode"] == "require"
    with pytest.raises(ConfigError, match="there is no such file"):
        connect_options(member, str(tmp_path / "missing"))
