"""Redis that is gone, restarted, frozen or talks nonsense, and commands that are broken off."""

from __future__ import annotations

import asyncio
import time
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import pytest
import redis.exceptions as errors
import uvloop
from redis_process import RedisProcess, running_redis
from tcp_server import TcpServer, relay

from skitai.tasks.errors import Failure, NetworkError
from skitai.tasks.status import STA_NETERR
from skitai.testing.launcher import free_port
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


@asynccontextmanager
async def backend_on(member: Member, max_conns: int = 1, **options: Any) -> AsyncIterator[Any]:
    backend = RedisBackend(member, max_conns, **options)
    try:
        yield backend
    finally:
        await backend.close()


async def ask(backend: RedisBackend, name: str, *args: Any, **kwargs: Any) -> Any:
    return (await backend.call(Command(name, args, kwargs))).data


async def failing(backend: RedisBackend, name: str, *args: Any, **kwargs: Any) -> Failure:
    with pytest.raises(Failure) as caught:
        await ask(backend, name, *args, **kwargs)
    return caught.value


async def until_blocked(backend: RedisBackend, server: RedisProcess) -> None:
    """Wait until the server has a client in a blocking command."""
    while True:
        info = await asyncio.get_running_loop().run_in_executor(None, blocked_clients, server)
        if info:
            return


def blocked_clients(server: RedisProcess) -> int:
    with server.client() as client:
        return int(client.info("clients")["blocked_clients"])


# -- broken off


def test_a_blocking_command_that_is_broken_off_leaves_the_server_and_its_connection(server):
    async def main():
        async with backend_on(server.member()) as backend:
            blocking = asyncio.ensure_future(ask(backend, "blpop", "jobs", 0))
            await until_blocked(backend, server)
            blocking.cancel(EXPIRED)
            with pytest.raises(asyncio.CancelledError):
                await blocking
            assert backend.busy == 0
            # Nobody takes the job, and nobody gets its answer.
            assert await ask(backend, "rpush", "jobs", "one") == 1
            assert await ask(backend, "lrange", "jobs", 0, -1) == ["one"]
            assert await ask(backend, "delete", "jobs") == 1

    uvloop.run(main())
    assert blocked_clients(server) == 0


@pytest.mark.parametrize("loop", [asyncio, uvloop])
@pytest.mark.parametrize("name", ["echo", "pipeline", "eval"])
def test_an_answer_is_never_given_to_somebody_else(server, loop, name):
    """Whenever it is broken off: after any number of steps of the loop, on one connection."""

    async def ours(backend: RedisBackend, text: str) -> Any:
        if name == "pipeline":
            return (await ask(backend, "pipeline", [("echo", text), ("echo", "x")]))[0]
        if name == "eval":
            script = "for i = 1, 20000 do end return ARGV[1]"
            return await ask(backend, "eval", script, 0, text)
        return await ask(backend, "echo", text)

    async def main():
        async with backend_on(server.member()) as backend:
            broken = 0
            for steps in [*range(25), *[1, 2, 3, 5] * 15]:
                call = asyncio.ensure_future(ours(backend, f"broken {steps}"))
                for _ in range(steps):
                    await asyncio.sleep(0)
                broken += call.cancel()
                await asyncio.wait({call})
                assert await ours(backend, f"whole {steps}") == f"whole {steps}"
                assert backend.connections == 1
            assert broken >= 15
            assert backend.busy == 0

    loop.run(main())


def test_calls_that_are_broken_off_all_the_time_do_not_disturb_the_others(server):
    async def main():
        async with backend_on(server.member(), 3) as backend:

            async def impatient(number: int) -> None:
                for turn in range(40):
                    call = asyncio.ensure_future(ask(backend, "blpop", f"none:{number}", 0))
                    for _ in range(turn % 11):
                        await asyncio.sleep(0)
                    call.cancel()
                    await asyncio.wait({call})

            async def patient(number: int) -> None:
                for turn in range(40):
                    text = f"{number}:{turn}"
                    assert await ask(backend, "echo", text) == text

            await asyncio.gather(*map(impatient, range(4)), *map(patient, range(4)))
            assert backend.busy == 0
            assert backend.connections <= 3

    uvloop.run(main())


def test_a_call_that_is_broken_off_while_connecting_leaves_nothing():
    async def main():
        async def silent(reader: asyncio.StreamReader, _: Any) -> None:
            await reader.read()

        async with TcpServer(silent) as server:
            # The handshake gets no answer.
            async with backend_on(Member("127.0.0.1", server.port, "1")) as backend:
                call = asyncio.ensure_future(ask(backend, "get", "foo"))
                while not server.open:
                    await asyncio.sleep(0)
                call.cancel()
                await asyncio.wait({call})
                assert call.cancelled()
                while server.open:
                    await asyncio.sleep(0)
                assert (backend.busy, backend.connections) == (0, 0)

    uvloop.run(main())


# -- gone


def test_a_server_that_is_not_there_fails_at_once():
    async def main():
        async with backend_on(Member("127.0.0.1", free_port())) as backend:
            began = time.monotonic()
            for _ in range(20):
                failed = await failing(backend, "get", "foo")
                assert isinstance(failed.error, errors.ConnectionError)
                assert (failed.status, failed.code, failed.sent) == (STA_NETERR, 502, False)
            assert time.monotonic() - began < 2
            assert (backend.busy, backend.connections) == (0, 0)

    uvloop.run(main())


def test_a_name_that_is_none_fails():
    async def main():
        async with backend_on(Member("no-such-host.invalid", 6379)) as backend:
            failed = await failing(backend, "get", "foo")
            assert (failed.status, failed.sent) == (STA_NETERR, False)

    uvloop.run(main())


def test_a_server_that_does_not_shake_hands_is_given_up():
    async def main():
        async def silent(reader: asyncio.StreamReader, _: Any) -> None:
            await reader.read()

        async with TcpServer(silent) as server:
            member = Member("127.0.0.1", server.port, "1")
            async with backend_on(member, connect_seconds=0.1) as backend:
                failed = await failing(backend, "get", "foo")
                assert (failed.status, failed.sent) == (STA_NETERR, False)
                assert isinstance(failed.error, NetworkError | errors.TimeoutError)

    uvloop.run(main())


def test_a_server_that_dies_fails_what_runs_and_comes_back():
    with running_redis() as server:

        async def main():
            async with backend_on(server.member(), 4) as backend:
                running = [asyncio.ensure_future(ask(backend, "blpop", "l", 0)) for _ in range(4)]
                await until_blocked(backend, server)
                server.kill()
                for result in await asyncio.gather(*running, return_exceptions=True):
                    assert isinstance(result, Failure)
                    assert (result.status, result.sent) == (STA_NETERR, True)
                assert (await failing(backend, "get", "foo")).sent is False
                server.start()
                assert await ask(backend, "set", "foo", "bar") == "OK"
                assert backend.busy == 0

        uvloop.run(main())


def test_a_restart_in_between_is_not_noticed():
    with running_redis() as server:

        async def main():
            async with backend_on(server.member(), 3) as backend:
                for _ in range(3):
                    await asyncio.gather(*(ask(backend, "incr", "n") for _ in range(3)))
                    server.kill()
                    server.start()
                    assert await ask(backend, "incr", "n") == 1

        uvloop.run(main())


def test_a_server_that_hangs_holds_only_its_own_callers():
    with running_redis() as server:

        async def main():
            async with backend_on(server.member(), 2) as backend:
                assert await ask(backend, "set", "foo", "bar") == "OK"
                server.freeze()
                call = asyncio.ensure_future(ask(backend, "get", "foo"))
                await asyncio.wait({call}, timeout=0.1)
                assert not call.done()
                call.cancel(EXPIRED)
                await asyncio.wait({call})
                assert call.cancelled()
                server.thaw()
                assert await ask(backend, "echo", "fine") == "fine"

        uvloop.run(main())


def test_a_server_that_closes_idle_connections_is_not_noticed(server):
    async def main():
        async with backend_on(server.member(), 2) as backend:
            for _ in range(5):
                assert await ask(backend, "echo", "x") == "x"
                with server.client() as client:
                    for known in client.client_list(_type="normal"):
                        if known["id"] != str(client.client_id()):
                            client.client_kill_filter(_id=known["id"])

    uvloop.run(main())


# -- servers that say what is no Redis


def scripted(*answers: bytes, end: bool = False) -> Any:
    """A handler that gives each command the next answer; the last one for ever.

    ``end``: it closes the connection behind each answer.
    """
    left = list(answers)

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while await reader.read(65536):
            writer.write(left[0] if len(left) == 1 else left.pop(0))
            await writer.drain()
            if end:
                return

    return handle


@pytest.mark.parametrize(
    "garbage",
    [
        b"HTTP/1.1 400 Bad Request\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\r\n",
        b"$abc\r\n",
        b"*x\r\n",
        b":one\r\n",
        b"\r\n",
        b"$3\r\nabcdef\r\n",
        b"?" * 300_000,
        b"*1\r\n" * 5000,
    ],
    ids=lambda value: repr(value[:12]),
)
def test_garbage_is_a_failure_and_the_connection_is_dropped(garbage):
    async def main():
        async with TcpServer(scripted(garbage, b"+fine\r\n")) as server:
            async with backend_on(Member("127.0.0.1", server.port)) as backend:
                call = asyncio.ensure_future(ask(backend, "get", "foo"))
                await asyncio.wait({call}, timeout=1)
                if not call.done():  # a wrong length lets the driver wait for the rest
                    call.cancel()
                    await asyncio.wait({call})
                elif call.exception() is None:
                    assert garbage.startswith(b"$3")  # right so far; the rest is never used
                else:
                    failed = call.exception()
                    assert isinstance(failed, Failure)
                    assert (failed.status, failed.sent) == (STA_NETERR, True)
                assert await ask(backend, "get", "foo") == "fine"
                assert server.accepted == 2

    uvloop.run(main())


@pytest.mark.parametrize(
    "cut", [b"", b"$", b"$5\r\n", b"$5\r\nhel", b"$5\r\nhello", b"*2\r\n$1\r\na\r\n", b"+O"]
)
def test_an_answer_that_is_cut_is_a_failure(cut):
    async def main():
        async with TcpServer(scripted(cut, end=True)) as server:
            async with backend_on(Member("127.0.0.1", server.port)) as backend:
                for _ in range(2):
                    failed = await failing(backend, "get", "foo")
                    assert isinstance(failed.error, errors.ConnectionError)
                    assert (failed.status, failed.sent) == (STA_NETERR, True)
                assert backend.connections == 0

    uvloop.run(main())


def test_an_answer_of_another_kind_is_a_failure():
    async def main():
        async with TcpServer(scripted(b"+text\r\n")) as server:
            async with backend_on(Member("127.0.0.1", server.port)) as backend:
                for name, args in (("zscore", ("z", "m")), ("hgetall", ("h",)), ("info", ())):
                    call = asyncio.ensure_future(ask(backend, name, *args))
                    await asyncio.wait({call})
                    if (failed := call.exception()) is not None:
                        assert isinstance(failed, Failure)
                        assert failed.status == STA_NETERR

    uvloop.run(main())


def test_a_pipeline_that_can_not_be_understood_gives_no_answers_to_others():
    """The driver gives up at the second of three answers; the third one is still to come."""

    async def main():
        async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            data = await reader.read(65536)
            if b"ZSCORE" in data:
                writer.write(b"+one\r\n$4\r\nwhat\r\n")
                await writer.drain()
                await asyncio.sleep(0.05)  # the rest is late
                writer.write(b"+late\r\n")
            else:
                writer.write(b"+mine\r\n")
            await reader.read(1)

        async with TcpServer(handle) as server:
            async with backend_on(Member("127.0.0.1", server.port)) as backend:
                commands = [("echo", "one"), ("zscore", "z", "m"), ("echo", "late")]
                assert (await failing(backend, "pipeline", commands, False)).status == STA_NETERR
                assert await ask(backend, "echo", "mine") == "mine"
                assert server.accepted == 2

    uvloop.run(main())


def test_what_nobody_asked_for_is_given_to_nobody():
    async def main():
        async with TcpServer(scripted(b"+asked\r\n+unasked\r\n")) as server:
            async with backend_on(Member("127.0.0.1", server.port)) as backend:
                for turn in range(3):
                    assert await ask(backend, "get", "foo") == "asked"
                    assert server.accepted == turn + 1

    uvloop.run(main())


def test_answers_in_single_bytes_are_understood(server):
    async def main():
        async def slowly(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            far_reader, far_writer = await asyncio.open_connection("127.0.0.1", server.port)
            there = asyncio.ensure_future(relay(reader, far_writer))
            try:
                while byte := await far_reader.read(1):
                    writer.write(byte)
                    await writer.drain()
            finally:
                there.cancel()
                far_writer.close()

        async with TcpServer(slowly) as front:
            async with backend_on(Member("127.0.0.1", front.port)) as backend:
                await ask(backend, "rpush", "list", "a", "ü", b"\xff")
                assert await ask(backend, "lrange", "list", 0, -1) == ["a", "ü", b"\xff"]
                assert await ask(backend, "delete", "list") == 1

    uvloop.run(main())


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        (b"-LOADING Redis is loading the dataset in memory\r\n", errors.BusyLoadingError),
        (b"-ERR max number of clients reached\r\n", errors.ConnectionError),
    ],
)
def test_a_server_that_can_not_serve_yet_may_be_replaced_by_another(answer, error):
    async def main():
        async with TcpServer(scripted(answer)) as server:
            for path in ("0", "1"):  # as the answer to the command, or to the handshake
                async with backend_on(Member("127.0.0.1", server.port, path)) as backend:
                    failed = await failing(backend, "get", "foo")
                    assert isinstance(failed.error, error)
                    assert (failed.status, failed.sent) == (STA_NETERR, False)

    uvloop.run(main())


@pytest.mark.parametrize(
    "answer",
    [
        b"-READONLY You can't write against a read only replica.\r\n",
        b"-OOM command not allowed\r\n",
        b"-MOVED 1 127.0.0.1:1\r\n",
    ],
)
def test_what_a_server_refuses_is_its_own_error(answer):
    async def main():
        async with TcpServer(scripted(answer)) as server:
            async with backend_on(Member("127.0.0.1", server.port)) as backend:
                failed = await failing(backend, "set", "foo", "bar")
                assert isinstance(failed.error, errors.ResponseError)
                assert failed.sent
                await failing(backend, "set", "foo", "bar")
                assert server.accepted == 1

    uvloop.run(main())
