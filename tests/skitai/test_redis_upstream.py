"""Commands, replies and connections of the Redis driver, on a real server."""

from __future__ import annotations

import asyncio
import ssl
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import pytest
import redis.exceptions as errors
import uvloop
from certificates import make_certificates
from redis_process import RedisProcess, running_redis
from tcp_server import TcpServer, relay_to

from skitai.errors import ConfigError
from skitai.tasks.errors import Failure, NetworkError, PoolExhausted, RequestFailed
from skitai.tasks.status import STA_NETERR, STA_NORMAL, STA_REQFAIL, STA_TIMEOUT
from skitai.upstream.commands import Command
from skitai.upstream.interface import Member
from skitai.upstream.redis.backend import RedisBackend
from skitai.upstream.slots import EXPIRED

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator


@pytest.fixture(scope="module")
def server() -> Iterator[RedisProcess]:
    with running_redis() as process:
        yield process


@pytest.fixture(autouse=True)
def empty(server: RedisProcess) -> None:
    with server.client() as client:
        client.flushall()


@asynccontextmanager
async def backend_on(member: Member, max_conns: int = 4, **options: Any) -> AsyncIterator[Any]:
    backend = RedisBackend(member, max_conns, **options)
    try:
        yield backend
    finally:
        await backend.close()


async def ask(backend: RedisBackend, name: str, *args: Any, **kwargs: Any) -> Any:
    return (await backend.call(Command(name, args, kwargs))).data


def replies(server: RedisProcess, *commands: tuple[Any, ...]) -> list[Any]:
    """What the commands give, one after the other."""

    async def main() -> list[Any]:
        async with backend_on(server.member()) as backend:
            return [await ask(backend, *command) for command in commands]

    return uvloop.run(main())


def failure(server: RedisProcess, name: str, *args: Any, **kwargs: Any) -> Failure:
    """How a command fails; the next one must work."""

    async def main() -> Failure:
        async with backend_on(server.member(), 1) as backend:
            with pytest.raises(Failure) as caught:
                await ask(backend, name, *args, **kwargs)
            assert await ask(backend, "echo", "fine") == "fine"
            return caught.value

    return uvloop.run(main())


# -- commands and replies


def test_what_was_set_is_got(server):
    assert replies(server, ("set", "foo", "bar"), ("get", "foo")) == ["OK", "bar"]


def test_what_is_not_there_is_none(server):
    assert replies(server, ("get", "foo"), ("hget", "h", "k"), ("lpop", "l")) == [None] * 3


def test_integers_are_integers(server):
    assert replies(server, ("incr", "n"), ("incrby", "n", 41), ("exists", "n")) == [1, 42, 1]


def test_arrays_are_lists(server):
    data = replies(server, ("rpush", "l", "a", "b", "c"), ("lrange", "l", 0, 3), ("mget", "x", "y"))
    assert data == [3, ["a", "b", "c"], [None, None]]


def test_statuses_are_texts(server):
    commands = [("ping",), ("mset", {"a": "1"}), ("set", "a", "2", "EX"), ("flushdb",)]
    assert replies(server, commands[0], commands[1], commands[3]) == ["PONG", "OK", "OK"]


def test_set_tells_whether_it_was_done(server):
    async def main():
        async with backend_on(server.member()) as backend:
            assert await ask(backend, "set", "foo", "bar", nx=True) == "OK"
            assert await ask(backend, "set", "foo", "baz", nx=True) is None
            assert await ask(backend, "set", "foo", "qux", get=True) == "bar"

    uvloop.run(main())


def test_replies_have_the_types_of_the_driver(server):
    data = replies(
        server,
        ("hset", "h", "a", "1"),
        ("hgetall", "h"),
        ("sadd", "s", "x"),
        ("smembers", "s"),
        ("zadd", "z", {"m": 1.5}),
        ("zrange", "z", 0, -1, False, True),
        ("zscore", "z", "m"),
    )
    assert data == [1, {"a": "1"}, 1, {"x"}, 1, [("m", 1.5)], 1.5]


def test_text_that_is_not_ascii_survives(server):
    assert replies(server, ("set", "schlüssel", "값 🙂"), ("get", "schlüssel"))[1] == "값 🙂"


def test_what_is_not_text_stays_bytes(server):
    data = replies(
        server, ("set", "b", b"\xff\x00\xfe"), ("get", "b"), ("mget", "b", "c"), ("dump", "b")
    )
    assert data[1:3] == [b"\xff\x00\xfe", [b"\xff\x00\xfe", None]]
    assert isinstance(data[3], bytes)


def test_bytes_are_given_when_they_are_asked_for(server):
    async def main():
        async with backend_on(server.member()) as backend:
            await ask(backend, "set", "foo", "bar")
            assert await ask(backend, "execute_command", "GET", "foo", NEVER_DECODE=True) == b"bar"

    uvloop.run(main())


def test_any_command_can_be_sent_by_its_own_name(server):
    data = replies(
        server,
        ("execute_command", "SET", "a", 1),
        ("execute_command", "OBJECT ENCODING", "a"),
        ("execute_command", b"GET", "a"),
    )
    assert data == ["OK", "int", "1"]


def test_large_values_survive(server):
    value = "x" * 5_000_000
    assert replies(server, ("set", "big", value), ("get", "big")) == ["OK", value]


def test_scripts_run_on_the_server(server):
    script = "redis.call('set', KEYS[1], ARGV[1]) return {redis.call('get', KEYS[1]), 7}"
    assert replies(server, ("eval", script, 1, "k", "v")) == [["v", 7]]


def test_scans_give_a_list(server):
    async def main():
        async with backend_on(server.member(), max_items=250) as backend:
            await ask(backend, "mset", {f"key:{n}": n for n in range(250)})
            found = await ask(backend, "scan_iter", match="key:*", count=10)
            assert sorted(found) == sorted(f"key:{n}" for n in range(250))

    uvloop.run(main())


def test_a_scan_without_end_is_refused_and_not_cut(server):
    async def main():
        async with backend_on(server.member(), max_items=99) as backend:
            await ask(backend, "mset", {f"key:{n}": n for n in range(100)})
            with pytest.raises(Failure) as caught:
                await ask(backend, "scan_iter")
            assert "more than 99 results" in str(caught.value.error)
            assert await ask(backend, "dbsize") == 100
            assert (await ask(backend, "scan", 0, count=10))[0] != 0

    uvloop.run(main())


# -- pipelines


def test_a_pipeline_gives_all_replies(server):
    commands = [
        ("set", "a", 1),
        ("incr", "a"),
        Command("set", ("b", "x"), {"ex": 60}),
        ("ttl", "b"),
    ]
    assert replies(server, ("pipeline", commands)) == [["OK", 2, "OK", 60]]


@pytest.mark.parametrize("transaction", [True, False])
def test_an_error_in_a_pipeline_is_raised_or_a_reply(server, transaction):
    commands = [("set", "a", "x"), ("incr", "a"), ("get", "a")]

    async def main():
        async with backend_on(server.member(), 1) as backend:
            with pytest.raises(Failure) as caught:
                await ask(backend, "pipeline", commands, transaction)
            assert isinstance(caught.value.error, errors.ResponseError)
            data = await ask(backend, "pipeline", commands, transaction, raise_on_error=False)
            assert isinstance(data[1], errors.ResponseError)
            assert (data[0], data[2]) == ("OK", "x")
            assert await ask(backend, "echo", "next") == "next"
            assert backend.connections == 1

    uvloop.run(main())


def test_a_transaction_is_not_interrupted(server):
    async def main():
        async with backend_on(server.member(), 8) as backend:
            pair = [("incr", "n"), ("get", "n"), ("incr", "n"), ("get", "n")]
            for data in await asyncio.gather(*(ask(backend, "pipeline", pair) for _ in range(100))):
                assert data[2] == data[0] + 1
                assert data[3] == str(data[2])

    uvloop.run(main())


@pytest.mark.parametrize(
    ("commands", "text"),
    [
        ("get", "give a list of commands"),
        ([("get",)], "missing 1 required positional argument"),
        (["get"], "a pipeline has tuples"),
        ([()], "a pipeline has tuples"),
        ([("gett", "a")], "did you mean 'get'"),
        ([("select", 1)], "name the database in the alias"),
        ([("execute_command", "SELECT", 1)], "name the database in the alias"),
        ([("scan_iter",)], "it can't be in a pipeline"),
        ([("pipeline", [])], "it can't be in a pipeline"),
        ([("get", "a"), ("set", "a", None)], "Invalid input of type: 'NoneType'"),
    ],
)
def test_a_pipeline_that_is_none_is_refused(server, commands, text):
    failed = failure(server, "pipeline", commands)
    assert (failed.status, failed.sent) == (STA_REQFAIL, False)
    assert text in str(failed.error)


def test_an_empty_pipeline_does_nothing(server):
    assert replies(server, ("pipeline", [])) == [[]]


# -- what can't be sent


@pytest.mark.parametrize(
    ("name", "args", "text"),
    [
        ("gett", ("a",), "Redis has no command 'gett', did you mean 'get'?"),
        ("GET", ("a",), "did you mean 'get'?"),
        ("frobnicate", (), "Redis has no command 'frobnicate'"),
        ("_pool", (), "no command"),
        ("__class__", (), "no command"),
        ("", (), "no command"),
        ("aclose", (), "no command"),
        ("connection_pool", (), "no command"),
        ("lock", ("a",), "no command"),
        ("pubsub", (), "no command"),
        ("register_script", ("return 1",), "no single command"),
        ("get", (), "missing 1 required positional argument"),
        ("get", ("a", "b"), "takes 2 positional arguments"),
        ("set", ("a", None), "Invalid input of type: 'NoneType'"),
        ("set", ("a", {"b": 1}), "Invalid input of type: 'dict'"),
        ("memory_doctor", (), "not implemented"),
    ],
)
def test_what_is_no_command_is_refused_before_it_is_sent(server, name, args, text):
    failed = failure(server, name, *args)
    assert isinstance(failed.error, RequestFailed)
    assert (failed.status, failed.sent) == (STA_REQFAIL, False)
    assert text in str(failed.error)


@pytest.mark.parametrize(
    ("name", "args"),
    [
        ("select", (1,)),
        ("auth", ("x",)),
        ("hello", ()),
        ("quit", ()),
        ("reset", ()),
        ("watch", ("a",)),
        ("client_reply", ("OFF",)),
        ("client_setname", ("x",)),
        ("client_no_evict", ("ON",)),
        ("client_tracking_on", ()),
        ("script_debug", ("YES",)),
        ("execute_command", ("select", 1)),
        ("execute_command", (b"MULTI",)),
        ("execute_command", ("SUBSCRIBE", "c")),
        ("execute_command", ("CLIENT", b"reply", "off")),
        ("execute_command", ("client reply", "off")),
        ("execute_command", ("MONITOR",)),
    ],
)
def test_commands_that_would_change_a_shared_connection_are_refused(server, name, args):
    failed = failure(server, name, *args)
    assert isinstance(failed.error, RequestFailed | NotImplementedError)
    assert (failed.status, failed.sent) == (STA_REQFAIL, False)


def test_an_error_of_the_server_is_the_drivers(server):
    failed = failure(server, "execute_command", "NOSUCH", "x")
    assert isinstance(failed.error, errors.ResponseError)
    assert "unknown command" in str(failed.error)
    assert (failed.status, failed.sent) == (STA_NORMAL, True)


# -- who connects to what


def test_the_path_is_the_number_of_the_database(server):
    async def main():
        async with backend_on(server.member("/3")) as third, backend_on(server.member("")) as first:
            await ask(third, "set", "foo", "bar")
            assert await ask(first, "get", "foo") is None

    uvloop.run(main())
    with server.client(db=3) as client:
        assert client.get("foo") == "bar"


def test_a_database_that_is_none_fails_at_the_start(server):
    async def main():
        RedisBackend(server.member("mydb"))

    with pytest.raises(ConfigError, match="'mydb' must be the number of a database"):
        uvloop.run(main())


def test_a_database_that_the_server_does_not_have_is_its_error(server):
    async def main():
        async with backend_on(server.member("9999")) as backend:
            with pytest.raises(Failure) as caught:
                await ask(backend, "get", "foo")
            assert isinstance(caught.value.error, errors.ResponseError)
            assert (caught.value.status, caught.value.sent) == (STA_NORMAL, False)
            assert backend.connections == 0

    uvloop.run(main())


def test_user_and_password_are_checked():
    with running_redis("--requirepass", "s3cr:t") as server:
        with server.client(password="s3cr:t") as client:
            client.acl_setuser(
                "hans", enabled=True, passwords=["+pw"], commands=["+@all"], keys="*"
            )

        async def main():
            for user, password in ((None, "s3cr:t"), ("hans", "pw")):
                async with backend_on(server.member("0", user, password)) as backend:
                    assert await ask(backend, "set", "foo", "bar") == "OK"
                    assert await ask(backend, "acl_whoami") == (user or "default")
            for password in ("wrong", None):
                async with backend_on(server.member("0", None, password)) as backend:
                    with pytest.raises(Failure) as caught:
                        await ask(backend, "get", "foo")
                    assert isinstance(caught.value.error, errors.AuthenticationError)
                    assert caught.value.status == STA_NORMAL
                    assert "wrong" not in str(caught.value.error)

        uvloop.run(main())


def test_connections_are_encrypted_when_the_member_says_so(server, tmp_path):
    ca_file, context = make_certificates(tmp_path)

    async def main():
        async with TcpServer(relay_to(server.port), context) as front:
            member = Member("localhost", front.port, "2", tls=True)
            async with backend_on(member, verify=str(ca_file)) as backend:
                assert await ask(backend, "set", "foo", "bar") == "OK"
                assert await ask(backend, "get", "foo") == "bar"
            async with backend_on(member, verify=True) as strict:
                with pytest.raises(Failure) as caught:
                    await ask(strict, "get", "foo")
                assert "CERTIFICATE_VERIFY_FAILED" in str(caught.value.error)
                assert (caught.value.status, caught.value.sent) == (STA_NETERR, False)
            async with backend_on(member, verify=False) as careless:
                assert await ask(careless, "get", "foo") == "bar"

    asyncio.run(main())


def test_certificates_for_another_name_are_refused(server, tmp_path):
    ca_file, context = make_certificates(tmp_path)

    async def main():
        async with TcpServer(relay_to(server.port), context) as front:
            member = Member("127.0.0.2", front.port, tls=True)
            context.verify_mode = ssl.CERT_NONE
            async with backend_on(member, verify=str(ca_file)) as backend:
                with pytest.raises(Failure) as caught:
                    await ask(backend, "get", "foo")
                assert caught.value.status == STA_NETERR

    asyncio.run(main())


def test_a_file_of_authorities_that_is_not_there_fails_at_the_start(server, tmp_path):
    async def main():
        RedisBackend(server.member(), verify=str(tmp_path / "none"))

    with pytest.raises(ConfigError, match="there is no such file"):
        uvloop.run(main())


# -- connections


def test_no_more_connections_than_allowed(server):
    async def main():
        async with backend_on(server.member(), 3) as backend:
            script = "local n = 0 for i = 1, 100000 do n = n + i end return n"
            jobs = [asyncio.ensure_future(ask(backend, "eval", script, 0)) for _ in range(20)]
            await asyncio.sleep(0)
            assert backend.busy == 20
            await asyncio.gather(*jobs)
            assert (backend.connections, backend.busy) == (3, 0)

    uvloop.run(main())


def test_without_a_limit_each_call_has_a_connection(server):
    async def main():
        async with backend_on(server.member(), 0) as backend:
            waiting = [asyncio.ensure_future(ask(backend, "blpop", "l", 0)) for _ in range(40)]
            while len(await ask(backend, "client_list")) < 41:
                pass
            await ask(backend, "rpush", "l", *range(40))
            got = await asyncio.gather(*waiting)
            assert sorted(int(value) for _, value in got) == list(range(40))

    uvloop.run(main())


def test_who_waits_too_long_for_a_connection_is_told_so(server):
    async def main():
        async with backend_on(server.member(), 1) as backend:
            blocking = asyncio.ensure_future(ask(backend, "blpop", "l", 0))
            while not backend.connections:
                await asyncio.sleep(0)
            waiting = asyncio.ensure_future(ask(backend, "get", "foo"))
            await asyncio.sleep(0)
            waiting.cancel(EXPIRED)
            with pytest.raises(Failure) as caught:
                await waiting
            assert isinstance(caught.value.error, PoolExhausted)
            assert (caught.value.status, caught.value.sent) == (STA_TIMEOUT, False)
            blocking.cancel()
            with pytest.raises(asyncio.CancelledError):
                await blocking
            assert backend.busy == 0

    uvloop.run(main())


def test_connections_that_nobody_uses_are_closed(server):
    async def main():
        async with backend_on(server.member(), 4, idle_seconds=0.05) as backend:
            await asyncio.gather(*(ask(backend, "get", "foo") for _ in range(4)))
            assert backend.connections == 4
            while backend.connections:
                await asyncio.sleep(0.01)
            assert await ask(backend, "echo", "again") == "again"

    uvloop.run(main())
    with server.client() as client:
        assert len(client.client_list()) == 1


def test_a_closed_backend_answers_nothing_and_keeps_nothing(server):
    async def main():
        backend = RedisBackend(server.member(), 2)
        await ask(backend, "get", "foo")
        running = [asyncio.ensure_future(ask(backend, "blpop", "l", 0)) for _ in range(5)]
        while backend.connections < 2:
            await asyncio.sleep(0)
        await backend.close()
        for result in await asyncio.gather(*running, return_exceptions=True):
            assert isinstance(result, Failure)
            assert result.status == STA_NETERR
        with pytest.raises(Failure) as caught:
            await ask(backend, "get", "foo")
        assert isinstance(caught.value.error, NetworkError)
        assert (backend.busy, backend.connections) == (0, 0)
        assert len(asyncio.all_tasks()) == 1
        await backend.close()

    uvloop.run(main())
    with server.client() as client:
        assert len(client.client_list()) == 1


def test_ten_thousand_commands_leave_nothing_behind(server):
    import gc

    async def main():
        async with backend_on(server.member(), 16) as backend:

            async def some(count: int) -> None:
                for at in range(count):
                    assert await ask(backend, "incr", "n") > 0
                    if not at % 100:
                        with pytest.raises(Failure):
                            await ask(backend, "incr", "text")

            await ask(backend, "set", "text", "x")
            await asyncio.gather(*(some(10) for _ in range(20)))
            gc.collect()
            before = len(gc.get_objects())
            await asyncio.gather(*(some(500) for _ in range(20)))
            gc.collect()
            assert len(gc.get_objects()) - before < 200
            assert backend.connections == 16
            assert len(asyncio.all_tasks()) == 1
            assert int(await ask(backend, "get", "n")) == 10_200

    uvloop.run(main())
