"""Interfaces of an app's own: a line protocol, RESP, and SQL, against small real servers."""

from __future__ import annotations

import asyncio
import gc
import sqlite3
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import pytest
import uvloop
from certificates import make_certificates
from redis_process import running_redis
from tcp_server import TcpServer, relay_to

from skitai.dbi import Interface, RequestFailed, ServerError, StreamConnect, asynredis
from skitai.dbi.rdbms import SqlConnect
from skitai.errors import ConfigError
from skitai.sql.statement import Statement, combine
from skitai.tasks.errors import Failure, NetworkError, PoolExhausted
from skitai.tasks.status import STA_NETERR, STA_NORMAL, STA_REQFAIL
from skitai.testing.launcher import free_port
from skitai.upstream.commands import Command
from skitai.upstream.custom_backend import CustomBackend
from skitai.upstream.custom_sql import CustomSession, CustomSqlBackend
from skitai.upstream.interface import Member
from skitai.upstream.interfaces import adapt, add_database_interface, interface_of
from skitai.upstream.slots import EXPIRED

if TYPE_CHECKING:
    from collections.abc import AsyncIterator


class KeyValueServer:
    """``SET key value``, ``GET key``, ``SLEEP seconds value``, ``QUIT``; a line for each answer."""

    def __init__(self) -> None:
        self.values: dict[str, str] = {}

    async def __call__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while line := (await reader.readline()).decode().strip():
            words = line.split(" ")
            if words[0] == "QUIT":
                return
            if words[0] == "SLEEP":
                await asyncio.sleep(float(words[1]))
            writer.write(f"{self.answer(words)}\n".encode())
            await writer.drain()

    def answer(self, words: list[str]) -> str:
        if words[0] == "SET":
            self.values[words[1]] = words[2]
            return "OK"
        if words[0] == "GET":
            return f"={self.values[words[1]]}" if words[1] in self.values else "NONE"
        return f"={words[2]}" if words[0] == "SLEEP" else f"ERROR unknown word {words[0]}"


class KeyValue(StreamConnect):
    """What an app writes for that."""

    async def execute(self, command: Command) -> Any:
        if any(" " in str(word) for word in command.args):
            raise RequestFailed("no blanks, please")
        await self.send(" ".join([command.name.upper(), *map(str, command.args)]).encode() + b"\n")
        answer = (await self.read_line()).decode()
        if answer.startswith("ERROR "):
            raise ServerError(answer.removeprefix("ERROR "))
        return answer[1:] if answer.startswith("=") else {"OK": True, "NONE": None}[answer]


@asynccontextmanager
async def key_values(
    max_conns: int = 4, interface: type[Interface] = KeyValue, **options: Any
) -> AsyncIterator[tuple[CustomBackend, TcpServer]]:
    async with TcpServer(KeyValueServer()) as server:
        member = Member("127.0.0.1", server.port)
        backend = CustomBackend(interface, member, max_conns, **options)
        try:
            yield backend, server
        finally:
            await backend.close()


async def ask(backend: CustomBackend, name: str, *args: Any, **kwargs: Any) -> Any:
    return (await backend.call(Command(name, args, kwargs))).data


async def failing(backend: CustomBackend, name: str, *args: Any, **kwargs: Any) -> Failure:
    with pytest.raises(Failure) as caught:
        await ask(backend, name, *args, **kwargs)
    return caught.value


# -- the engine's part: connections, failures, cancellation


@pytest.mark.parametrize("loop", [asyncio, uvloop])
def test_commands_are_methods_and_connections_are_shared(loop):
    async def main():
        async with key_values(3) as (backend, server):
            assert await ask(backend, "set", "a", "1") is True
            assert await ask(backend, "get", "a") == "1"
            assert await ask(backend, "get", "b") is None
            assert server.accepted == 1
            slow = (ask(backend, "sleep", 0.01, n) for n in range(12))
            assert await asyncio.gather(*slow) == [str(n) for n in range(12)]
            assert (server.accepted, backend.connections, backend.busy) == (3, 3, 0)

    loop.run(main())


def test_an_error_of_the_server_keeps_the_connection():
    async def main():
        async with key_values() as (backend, server):
            failed = await failing(backend, "frobnicate", "x")
            assert isinstance(failed.error, ServerError)
            assert str(failed.error) == "unknown word FROBNICATE"
            assert (failed.status, failed.sent, failed.code) == (STA_NORMAL, True, 500)
            await ask(backend, "get", "a")
            assert server.accepted == 1

    uvloop.run(main())


def test_what_is_not_sent_keeps_the_connection():
    async def main():
        async with key_values() as (backend, server):
            await ask(backend, "get", "a")
            failed = await failing(backend, "set", "a", "b c")
            assert isinstance(failed.error, RequestFailed)
            assert (failed.status, failed.sent) == (STA_REQFAIL, False)
            assert server.accepted == 1

    uvloop.run(main())


def test_a_connection_that_breaks_is_a_network_failure():
    async def main():
        async with key_values() as (backend, server):
            await ask(backend, "get", "a")
            failed = await failing(backend, "quit")
            assert isinstance(failed.error, EOFError)
            assert (failed.status, failed.sent, failed.code) == (STA_NETERR, True, 502)
            assert await ask(backend, "get", "a") is None
            assert server.accepted == 2

    uvloop.run(main())


def test_an_error_of_the_program_is_itself_and_drops_the_connection():
    class Broken(KeyValue):
        async def execute(self, command: Command) -> Any:
            await self.send(b"GET a\n")
            raise ZeroDivisionError

    async def main():
        async with key_values(interface=Broken) as (backend, server):
            for turn in range(3):
                with pytest.raises(ZeroDivisionError):
                    await ask(backend, "get", "a")
                assert (server.accepted, backend.connections, backend.busy) == (turn + 1, 0, 0)

    uvloop.run(main())


def test_exceptions_of_a_library_can_be_the_servers():
    class LibraryError(Exception):
        pass

    class Library(KeyValue):
        errors = (LibraryError,)

        async def execute(self, command: Command) -> Any:
            try:
                return await super().execute(command)
            except ServerError as exc:
                raise LibraryError(str(exc)) from None

    async def main():
        async with key_values(interface=Library) as (backend, server):
            failed = await failing(backend, "frobnicate", "x")
            assert isinstance(failed.error, LibraryError)
            assert failed.status == STA_NORMAL
            await ask(backend, "get", "a")
            assert server.accepted == 1

    uvloop.run(main())


def test_commands_can_be_named_so_that_others_are_refused():
    class Named(KeyValue):
        commands = ("get", "set")

    async def main():
        async with key_values(interface=Named) as (backend, server):
            failed = await failing(backend, "gett", "a")
            assert str(failed.error) == "Named has no command 'gett', did you mean 'get'?"
            assert (failed.status, server.accepted) == (STA_REQFAIL, 0)

    uvloop.run(main())


def test_an_answer_is_never_given_to_somebody_else():
    async def main():
        async with key_values(1) as (backend, _):
            for steps in range(20):
                call = asyncio.ensure_future(ask(backend, "sleep", 0.001, f"broken{steps}"))
                for _ in range(steps):
                    await asyncio.sleep(0)
                call.cancel()
                await asyncio.wait({call})
                assert await ask(backend, "sleep", 0, f"whole{steps}") == f"whole{steps}"
            assert backend.busy == 0

    uvloop.run(main())


def test_who_waits_too_long_for_a_connection_is_told_so():
    async def main():
        async with key_values(1) as (backend, _):
            blocking = asyncio.ensure_future(ask(backend, "sleep", 60, "x"))
            await asyncio.sleep(0)
            waiting = asyncio.ensure_future(ask(backend, "get", "a"))
            await asyncio.sleep(0)
            waiting.cancel(EXPIRED)
            with pytest.raises(Failure) as caught:
                await waiting
            assert isinstance(caught.value.error, PoolExhausted)
            blocking.cancel()
            await asyncio.wait({blocking})

    uvloop.run(main())


def test_a_server_that_is_not_there_is_a_network_failure():
    async def main():
        backend = CustomBackend(KeyValue, Member("127.0.0.1", free_port()))
        failed = await failing(backend, "get", "a")
        assert isinstance(failed.error, ConnectionRefusedError)
        assert (failed.status, failed.sent) == (STA_NETERR, False)
        assert (backend.busy, backend.connections) == (0, 0)
        await backend.close()

    uvloop.run(main())


def test_a_server_that_does_not_greet_is_given_up():
    class Greeting(KeyValue):
        async def greet(self) -> None:
            await self.read_line()

    async def main():
        async with key_values(interface=Greeting, connect_seconds=0.1) as (backend, server):
            failed = await failing(backend, "get", "a")
            assert isinstance(failed.error, NetworkError)
            assert (failed.status, failed.sent) == (STA_NETERR, False)
            while server.open:
                await asyncio.sleep(0.01)

    uvloop.run(main())


def test_a_server_that_refuses_us_says_why():
    class Refused(KeyValue):
        async def greet(self) -> None:
            raise ServerError("wrong password")

    async def main():
        async with key_values(interface=Refused) as (backend, server):
            failed = await failing(backend, "get", "a")
            assert isinstance(failed.error, ServerError)
            assert (failed.status, failed.sent) == (STA_NORMAL, False)
            while server.open:
                await asyncio.sleep(0.01)

    uvloop.run(main())


def test_connections_that_the_server_has_closed_are_replaced():
    async def main():
        values = KeyValueServer()
        closing = asyncio.Event()

        async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            serving = asyncio.ensure_future(values(reader, writer))
            ending = asyncio.ensure_future(closing.wait())
            await asyncio.wait({serving, ending}, return_when=asyncio.FIRST_COMPLETED)
            serving.cancel()
            ending.cancel()
            await asyncio.wait({serving, ending})

        async with TcpServer(handle) as server:
            backend = CustomBackend(KeyValue, Member("127.0.0.1", server.port))
            await asyncio.gather(*(ask(backend, "get", "a") for _ in range(3)))
            closing.set()
            while server.open:
                await asyncio.sleep(0.01)
            closing.clear()
            assert await ask(backend, "set", "a", 1)
            assert server.accepted == 4
            await backend.close()

    uvloop.run(main())


def test_connections_that_nobody_uses_are_closed():
    async def main():
        async with key_values(idle_seconds=0.05) as (backend, server):
            await asyncio.gather(*(ask(backend, "sleep", 0.01, "x") for _ in range(3)))
            assert backend.connections == 3
            while backend.connections or server.open:
                await asyncio.sleep(0.01)
            assert await ask(backend, "get", "a") is None

    uvloop.run(main())


def test_a_closed_backend_keeps_nothing():
    async def main():
        async with key_values(2) as (backend, server):
            running = [asyncio.ensure_future(ask(backend, "sleep", 60, n)) for n in range(4)]
            while server.open < 2:
                await asyncio.sleep(0.01)
            await backend.close()
            for result in await asyncio.gather(*running, return_exceptions=True):
                assert isinstance(result, Failure)
                assert result.status == STA_NETERR
            assert (backend.busy, backend.connections) == (0, 0)

    uvloop.run(main())


def test_thousands_of_commands_leave_nothing_behind():
    async def main():
        async with key_values(8) as (backend, server):

            async def some(count: int) -> None:
                for _ in range(count):
                    await ask(backend, "set", "a", 1)

            await asyncio.gather(*(some(10) for _ in range(8)))
            gc.collect()
            before = len(gc.get_objects())
            await asyncio.gather(*(some(1250) for _ in range(8)))
            gc.collect()
            assert len(gc.get_objects()) - before < 200
            assert (backend.connections, server.accepted) == (8, 8)

    uvloop.run(main())


def test_connections_are_encrypted_when_the_member_says_so(tmp_path):
    ca_file, context = make_certificates(tmp_path)

    async def main():
        async with TcpServer(KeyValueServer(), context) as server:
            member = Member("localhost", server.port, tls=True)
            backend = CustomBackend(KeyValue, member, verify=str(ca_file))
            assert await ask(backend, "set", "a", 1)
            strict = CustomBackend(KeyValue, member, verify=True)
            failed = await failing(strict, "get", "a")
            assert "CERTIFICATE_VERIFY_FAILED" in str(failed.error)
            assert failed.sent is False
            await backend.close()
            await strict.close()

    asyncio.run(main())


def test_lines_without_end_are_refused():
    async def main():
        async def endless(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.readline()
            writer.write(b"x" * 300_000)
            await reader.read()

        async with TcpServer(endless) as server:
            backend = CustomBackend(KeyValue, Member("127.0.0.1", server.port))
            failed = await failing(backend, "get", "a")
            assert "more than 65536 bytes in one line" in str(failed.error)
            assert failed.status == STA_NETERR
            await backend.close()

    uvloop.run(main())


# -- making one known


def test_the_example_of_the_seed():
    class MyDBI(asynredis.AsynConnect):
        def __init__(self) -> None:
            self.mine = 1

    add_database_interface("*mydbi", MyDBI)
    add_database_interface("*mydbi", MyDBI)
    assert interface_of("*mydbi") is MyDBI
    assert interface_of("*other") is None

    with running_redis() as redis:

        async def main():
            backend = adapt(MyDBI, Member("127.0.0.1", redis.port), 4)
            assert await ask(backend, "set", "foo", "bar") == "OK"
            assert await ask(backend, "get", "foo") == "bar"
            await backend.close()

        uvloop.run(main())


class NeedsArguments(KeyValue):
    def __init__(self, address: str) -> None:
        self.address = address


class NotAsync(KeyValue):
    def execute(self, command: Command) -> Any:  # type: ignore[override]  # wrong on purpose
        return 1


class OtherDialect(SqlConnect):
    dialect = "oracle"

    async def connect(self) -> None:
        pass


class NoConnect(Interface):
    async def execute(self, command: Command) -> Any:
        return 1


@pytest.mark.parametrize(
    ("name", "interface", "text"),
    [
        ("mydbi", KeyValue, "must begin with '\\*', as in '\\*mydbi'"),
        ("", KeyValue, "must begin with"),
        ("*", KeyValue, "must begin with"),
        (None, KeyValue, "must begin with"),
        ("*redis", KeyValue, "'\\*redis' is taken"),
        ("*bad", object, "must be a class derived from skitai.dbi.Interface"),
        ("*bad", KeyValue(), "must be a class derived from"),
        ("*bad", NeedsArguments, "__init__ must work without arguments"),
        ("*bad", NotAsync, "NotAsync.execute must be async def"),
        ("*bad", OtherDialect, "dialect is 'oracle'"),
        ("*bad", NoConnect, "NoConnect.connect is missing"),
    ],
)
def test_what_can_not_work_is_refused_at_the_start(name, interface, text):
    with pytest.raises(ConfigError, match=text):
        add_database_interface(name, interface)
    assert interface_of("*bad") is None


def test_a_name_stands_for_one_class():
    class One(KeyValue):
        pass

    class Two(KeyValue):
        pass

    add_database_interface("*taken", One)
    with pytest.raises(ConfigError, match="taken"):
        add_database_interface("*taken", Two)


# -- RESP


class Resp(asynredis.AsynConnect):
    max_bulk = 1000
    max_items = 100


def test_replies_of_resp_have_their_types():
    with running_redis("--requirepass", "pw") as redis:

        async def main():
            member = Member("127.0.0.1", redis.port, "2", None, "pw")
            backend = CustomBackend(asynredis.AsynConnect, member, 1)
            assert await ask(backend, "set", "b", b"\xff") == "OK"
            assert await ask(backend, "get", "b") == b"\xff"
            assert await ask(backend, "incrby", "n", 5) == 5
            assert await ask(backend, "get", "none") is None
            assert await ask(backend, "rpush", "l", "ü", 1.5) == 2
            assert await ask(backend, "lrange", "l", 0, -1) == ["ü", "1.5"]
            script = "return {1, {'a', {}}, redis.error_reply('ERR no')}"
            one, two, error = await ask(backend, "eval", script, 0)
            assert (one, two) == (1, ["a", []])
            assert isinstance(error, ServerError)
            failed = await failing(backend, "incr", "b")
            assert "not an integer" in str(failed.error)
            assert isinstance((await failing(backend, "set", "a", None)).error, RequestFailed)
            assert isinstance((await failing(backend, "set", "a", ex=3)).error, RequestFailed)
            assert backend.connections == 1
            await backend.close()
            wrong = CustomBackend(
                asynredis.AsynConnect, Member("127.0.0.1", redis.port, "0", "default", "no"), 1
            )
            failed = await failing(wrong, "get", "b")
            assert isinstance(failed.error, ServerError)
            assert (failed.sent, wrong.connections) == (False, 0)
            await wrong.close()

        uvloop.run(main())


@pytest.mark.parametrize(
    "garbage",
    [
        b"HTTP/1.1 400 Bad Request\r\n",
        b"$x\r\n",
        b"$1001\r\n",
        b"$-2\r\n",
        b"*101\r\n",
        b"$2\r\nabcd\r\n",
        b"*1\r\n" * 40,
        b"\r\n",
        b":\r\n",
        b"?" * 70_000,
    ],
    ids=lambda value: repr(value[:10]),
)
def test_what_is_no_resp_is_a_network_failure(garbage):
    async def main():
        async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.read(100)
            writer.write(garbage)
            await reader.read()

        async with TcpServer(handle) as server:
            backend = CustomBackend(Resp, Member("127.0.0.1", server.port))
            failed = await failing(backend, "get", "a")
            assert (failed.status, failed.sent) == (STA_NETERR, True)
            assert backend.connections == 0
            await backend.close()

    uvloop.run(main())


def test_resp_in_single_bytes_is_understood():
    with running_redis() as redis:

        async def main():
            async with TcpServer(relay_to(redis.port, 1)) as front:
                backend = CustomBackend(asynredis.AsynConnect, Member("127.0.0.1", front.port))
                await ask(backend, "rpush", "l", "a", "ü")
                assert await ask(backend, "lrange", "l", 0, -1) == ["a", "ü"]
                await backend.close()

        uvloop.run(main())


# -- SQL


class Slite(SqlConnect):
    """SQLite in memory, shared by all connections of a test; it blocks, but not for long."""

    errors = (sqlite3.Error,)

    async def connect(self) -> None:
        name = self.member.path
        self.raw = sqlite3.connect(f"file:{name}?mode=memory&cache=shared", uri=True)
        self.raw.isolation_level = None

    async def execute(self, sql: str, params: Any) -> Any:  # type: ignore[override]  # the base
        await asyncio.sleep(0)
        if "LOSE" in sql:
            raise ConnectionResetError("gone")
        if "CRASH" in sql:
            raise ZeroDivisionError
        if "SLEEP" in sql:
            await asyncio.sleep(60)
        cursor = self.raw.execute(sql, params)
        if cursor.description is None:
            return cursor.rowcount
        return [column[0] for column in cursor.description], cursor.fetchall()

    async def close(self) -> None:
        self.raw.close()


@asynccontextmanager
async def sql_backend(name: str, max_conns: int = 3) -> AsyncIterator[CustomSqlBackend]:
    with sqlite3.connect(f"file:{name}?mode=memory&cache=shared", uri=True) as keeper:
        keeper.execute("CREATE TABLE t (id INTEGER PRIMARY KEY, name TEXT)")
        keeper.commit()
        backend = adapt(Slite, Member("", 0, name), max_conns)
        assert isinstance(backend, CustomSqlBackend)
        try:
            yield backend
        finally:
            await backend.close()
    keeper.close()


def insert(number: int, name: str = "x") -> Statement:
    return Statement("INSERT INTO t VALUES (?, ?)", (number, name))


SELECT = Statement("SELECT id, name FROM t ORDER BY id", (), False)


def test_rows_have_attributes():
    async def main():
        async with sql_backend("rows") as backend:
            done = await backend.call(insert(1, "Hans"))
            assert (done.data, done.rowcount) == (None, 1)
            found = await backend.call(SELECT)
            assert found.data == [{"id": 1, "name": "Hans"}]
            assert (found.data[0].name, found.rowcount) == ("Hans", 1)
            none = await backend.call(Statement("SELECT * FROM t WHERE id = ?", (9,), False))
            assert none.data == []

    uvloop.run(main())


def test_several_statements_are_one_transaction():
    async def main():
        async with sql_backend("batches", 1) as backend:
            await backend.call(combine([insert(1), insert(2), SELECT], False))
            with pytest.raises(Failure) as caught:
                await backend.call(combine([insert(3), insert(1)], False))
            assert isinstance(caught.value.error, sqlite3.IntegrityError)
            assert (caught.value.status, caught.value.reason) == (STA_NORMAL, "Database Error")
            assert len((await backend.call(SELECT)).data or []) == 2
            batches = [rows async for rows in backend.batches(SELECT, 1)]
            assert [[row.id for row in rows] for rows in batches] == [[1], [2]]

    uvloop.run(main())


def test_a_session_is_one_transaction():
    async def main():
        async with sql_backend("sessions", 1) as backend:
            session = await backend.session(False)
            assert not session.in_transaction
            await session.execute(insert(1))
            assert session.in_transaction
            await session.commit()
            await session.execute(insert(2))
            await session.rollback()
            with pytest.raises(Failure) as caught:
                await session.execute(insert(1))
            assert isinstance(caught.value.error, sqlite3.IntegrityError)
            await session.execute(insert(3))
            await session.close()
            assert session.closed
            await session.close()
            with pytest.raises(Failure) as caught:
                await session.execute(insert(4))
            assert caught.value.status == STA_REQFAIL
            assert [row.id for row in (await backend.call(SELECT)).data or []] == [1]
            assert (backend.busy, backend.connections) == (0, 1)

    uvloop.run(main())


def test_a_cursor_commits_each_statement():
    async def main():
        async with sql_backend("cursors", 1) as backend:
            session = await backend.session(True)
            await session.execute(insert(1))
            await session.rollback()
            await session.close()
            assert len((await backend.call(SELECT)).data or []) == 1

    uvloop.run(main())


@pytest.mark.parametrize("sql", ["LOSE", "CRASH"])
def test_a_session_that_breaks_is_closed_and_undone(sql):
    async def main():
        async with sql_backend(f"broken{sql}", 1) as backend:
            session = await backend.session(False)
            await session.execute(insert(1))
            with pytest.raises((Failure, ZeroDivisionError)):
                await session.execute(Statement(sql))
            assert session.closed
            await session.close()
            assert (await backend.call(SELECT)).data == []
            assert backend.busy == 0

    uvloop.run(main())


def test_a_statement_of_a_session_that_is_broken_off_ends_it():
    async def main():
        async with sql_backend("off", 1) as backend:
            session = await backend.session(False)
            await session.execute(insert(1))
            call = asyncio.ensure_future(session.execute(Statement("SLEEP")))
            await asyncio.sleep(0)
            call.cancel()
            await asyncio.wait({call})
            assert call.cancelled()
            assert session.closed
            assert (await backend.call(SELECT)).data == []

    uvloop.run(main())


def test_a_session_that_is_forgotten_is_undone():
    async def main():
        async with sql_backend("forgotten", 1) as backend:
            holder = backend.connection()
            session = CustomSession(backend, holder, await holder.__aenter__(), False, 0.05)
            await session.execute(insert(1))
            assert (await backend.call(SELECT)).data == []  # waits for the connection
            assert session.closed

    uvloop.run(main())
