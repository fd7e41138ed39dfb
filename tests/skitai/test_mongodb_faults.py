"""MongoDB that is gone, restarted, frozen or talks nonsense, and calls that are broken off.

Servers are ``mongod``, or a stand-in that speaks its wire protocol; names of tests say which.
"""

from __future__ import annotations

import asyncio
import struct
import time
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import pytest
import uvloop
from mongo_process import REAL, MongoProcess, running_mongodb
from tcp_server import TcpServer, relay, relay_to

from skitai.tasks.errors import Failure
from skitai.tasks.status import STA_NETERR
from skitai.testing.launcher import free_port
from skitai.upstream.commands import Command
from skitai.upstream.interface import Member
from skitai.upstream.mongodb.backend import MongodbBackend
from skitai.upstream.slots import EXPIRED

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

# The driver leaves a socket to the garbage collector when it is broken off while it connects.
pytestmark = pytest.mark.filterwarnings("ignore:unclosed <socket:ResourceWarning")

SLOW = {"$where": "sleep(20000) || true"}


@pytest.fixture(scope="module", params=["mongod" if REAL else "stand-in for mongod"])
def server() -> Iterator[MongoProcess]:
    with running_mongodb() as process:
        yield process


@asynccontextmanager
async def backend_on(member: Member, max_conns: int = 1, **options: Any) -> AsyncIterator[Any]:
    backend = MongodbBackend(member, max_conns, **options)
    try:
        yield backend
    finally:
        await backend.close()


async def ask(backend: MongodbBackend, name: str, *args: Any, **kwargs: Any) -> Any:
    return (await backend.call(Command(name, args, kwargs))).data


async def failing(backend: MongodbBackend, name: str, *args: Any, **kwargs: Any) -> Failure:
    with pytest.raises(Failure) as caught:
        await ask(backend, name, *args, **kwargs)
    return caught.value


async def until_sent(backend: MongodbBackend) -> None:
    """Wait until a server works on every call that runs."""
    while not all(progress.under_way for progress in backend._jobs.values()):
        await asyncio.sleep(0)


async def reachable(backend: MongodbBackend) -> bool:
    try:
        await ask(backend, "find_one", {})
    except Failure:
        return False
    return True


# -- broken off


def test_a_call_that_is_broken_off_takes_its_connection_with_it(server):
    async def main():
        async with TcpServer(relay_to(server.port)) as front:
            async with backend_on(Member("127.0.0.1", front.port, "broken")) as backend:
                await ask(backend, "insert_one", {"_id": 1})
                before = front.open
                call = asyncio.ensure_future(ask(backend, "find", SLOW))
                await asyncio.sleep(0)
                await until_sent(backend)
                call.cancel(EXPIRED)
                await asyncio.wait({call})
                assert call.cancelled()
                while front.open >= before:
                    await asyncio.sleep(0.01)
                assert await ask(backend, "find", {}) == [{"_id": 1}]
                assert backend.busy == 0
                await ask(backend, "drop")

    uvloop.run(main())


@pytest.mark.parametrize("loop", [asyncio, uvloop])
def test_an_answer_is_never_given_to_somebody_else(server, loop):
    """Whenever it is broken off: after any number of steps of the loop, on one connection."""

    async def main():
        async with backend_on(server.member("crossed")) as backend:
            await ask(backend, "insert_many", [{"_id": n} for n in range(50)])
            broken = 0
            for number in range(50):
                call = asyncio.ensure_future(ask(backend, "find_one", {"_id": number}))
                for _ in range(number % 25):
                    await asyncio.sleep(0)
                broken += call.cancel()
                await asyncio.wait({call})
                other = (number + 7) % 50
                assert await ask(backend, "find_one", {"_id": other}) == {"_id": other}
            assert broken > 10
            assert backend.busy == 0
            assert not backend._jobs
            await ask(backend, "drop")

    loop.run(main())


def test_a_cursor_that_is_broken_off_is_closed_at_the_server(server):
    """The server begins to send batches, and the app doesn't want the rest."""
    batches = asyncio.Event()

    async def watching(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        far_reader, far_writer = await asyncio.open_connection("127.0.0.1", server.port)
        back = asyncio.ensure_future(relay(far_reader, writer))
        try:
            while data := await reader.read(65536):
                if b"getMore" in data:
                    batches.set()
                far_writer.write(data)
        finally:
            back.cancel()
            far_writer.close()

    async def main():
        async with TcpServer(watching) as front:
            async with backend_on(Member("127.0.0.1", front.port, "cursors"), 2) as backend:
                await ask(backend, "insert_many", [{"_id": n} for n in range(2000)])
                for _ in range(5):
                    batches.clear()
                    call = asyncio.ensure_future(ask(backend, "find", {}, batch_size=2))
                    await batches.wait()
                    call.cancel()
                    await asyncio.wait({call})
                    assert call.cancelled()
                while await open_cursors(backend):
                    await asyncio.sleep(0.05)
                await ask(backend, "drop")

    asyncio.run(main())


async def open_cursors(backend: MongodbBackend) -> int:
    status = await ask(backend, "command", "serverStatus")
    return int(status["metrics"]["cursor"]["open"]["total"])


# -- gone


def test_a_server_that_is_not_there_fails_at_once():
    async def main():
        async with backend_on(Member("127.0.0.1", free_port(), "db"), 4) as backend:
            began = time.monotonic()
            for _ in range(5):
                for failed in await asyncio.gather(
                    *(ask(backend, "find", {}) for _ in range(4)), return_exceptions=True
                ):
                    assert isinstance(failed, Failure)
                    assert (failed.status, failed.code, failed.sent) == (STA_NETERR, 502, False)
                    assert "no connection to 127.0.0.1" in str(failed.error)
            assert time.monotonic() - began < 2
            assert backend.busy == 0

    uvloop.run(main())


def test_a_server_that_does_not_greet_is_given_up():
    async def main():
        async def silent(reader: asyncio.StreamReader, _: Any) -> None:
            await reader.read()

        async with TcpServer(silent) as front:
            member = Member("127.0.0.1", front.port, "db")
            async with backend_on(member, connect_seconds=0.2) as backend:
                failed = await failing(backend, "find", {})
                assert (failed.status, failed.sent) == (STA_NETERR, False)

    uvloop.run(main())


def test_a_call_that_waits_for_a_silent_server_can_be_broken_off():
    async def main():
        async def silent(reader: asyncio.StreamReader, _: Any) -> None:
            await reader.read()

        async with TcpServer(silent) as front:
            async with backend_on(Member("127.0.0.1", front.port, "db")) as backend:
                call = asyncio.ensure_future(ask(backend, "find", {}))
                while not front.open:
                    await asyncio.sleep(0.01)
                call.cancel()
                await asyncio.wait({call})
                assert call.cancelled()
                assert backend.busy == 0

    uvloop.run(main())


@pytest.mark.parametrize("kind", ["mongod" if REAL else "stand-in for mongod"])
def test_a_server_that_dies_fails_what_runs_and_comes_back(kind):
    with running_mongodb() as server:

        async def main():
            async with backend_on(server.member("dying"), 4) as backend:
                await ask(backend, "insert_one", {})
                running = [asyncio.ensure_future(ask(backend, "find", SLOW)) for _ in range(3)]
                await asyncio.sleep(0.01)
                await until_sent(backend)
                server.kill()
                began = time.monotonic()
                for result in await asyncio.gather(*running, return_exceptions=True):
                    assert isinstance(result, Failure)
                    assert (result.status, result.sent) == (STA_NETERR, True)
                assert (await failing(backend, "insert_one", {"_id": 1})).sent is False
                assert time.monotonic() - began < 3
                server.start()
                while not await reachable(backend):
                    await asyncio.sleep(0.05)
                await ask(backend, "insert_one", {"_id": 2})
                assert await ask(backend, "find", {"_id": 2}) == [{"_id": 2}]
                assert backend.busy == 0

        uvloop.run(main())


@pytest.mark.parametrize("kind", ["mongod" if REAL else "stand-in for mongod"])
def test_calls_that_are_broken_off_while_a_server_dies_do_not_spoil_the_driver(kind):
    """Each way to end a call meets the others: the caller, the loss of the server, the end."""
    with running_mongodb() as server:

        async def main():
            async with backend_on(server.member("dying"), 4) as backend:
                await ask(backend, "insert_one", {})
                running = [asyncio.ensure_future(ask(backend, "find", SLOW)) for _ in range(12)]
                await asyncio.sleep(0.05)
                server.kill()
                for at, call in enumerate(running):
                    await asyncio.sleep(0.01)
                    if at % 2:
                        call.cancel(EXPIRED)
                await asyncio.wait(running)
                assert backend.busy == 0
                server.start()
                while not await reachable(backend):
                    await asyncio.sleep(0.05)
                await asyncio.gather(*(ask(backend, "find", {}) for _ in range(20)))

        uvloop.run(main())


@pytest.mark.parametrize("kind", ["mongod" if REAL else "stand-in for mongod"])
def test_a_server_that_hangs_holds_only_its_own_callers(kind):
    with running_mongodb() as server:

        async def main():
            async with backend_on(server.member("hanging"), 2) as backend:
                await ask(backend, "insert_one", {"_id": 1})
                server.freeze()
                call = asyncio.ensure_future(ask(backend, "find", {}))
                await asyncio.wait({call}, timeout=0.1)
                assert not call.done()
                call.cancel(EXPIRED)
                await asyncio.wait({call})
                assert call.cancelled()
                server.thaw()
                assert await ask(backend, "find", {}) == [{"_id": 1}]

        uvloop.run(main())


# -- servers that say what is no MongoDB


@pytest.mark.parametrize(
    "garbage",
    [
        b"HTTP/1.1 400 Bad Request\r\n\r\n",
        b"\0" * 64,
        b"\xff" * 64,
        struct.pack("<iiii", 26, 0, 0, 2013) + b"\0" * 10,
        struct.pack("<iiii", 2_000_000_000, 0, 0, 2013),
    ],
    ids=lambda value: repr(value[:8]),
)
def test_garbage_is_a_failure(garbage):
    async def main():
        async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            while await reader.read(65536):
                writer.write(garbage)
                await writer.drain()

        async with TcpServer(handle) as front:
            member = Member("127.0.0.1", front.port, "db")
            async with backend_on(member, connect_seconds=0.5) as backend:
                failed = await failing(backend, "find", {})
                assert (failed.status, failed.sent) == (STA_NETERR, False)

    uvloop.run(main())


@pytest.mark.parametrize("spoil", ["garbage", "cut", "half", "other"])
def test_an_answer_that_is_spoilt_is_a_failure(server, spoil):
    """Greetings are passed on; the answer to the first command is not."""

    async def spoilt(data: bytes, writer: asyncio.StreamWriter) -> None:
        length, request, response, opcode = struct.unpack_from("<iiii", data)
        head = struct.pack("<iiii", length, request, response, opcode)
        if spoil == "garbage":
            writer.write(head + b"\xee" * (length - 16))
        elif spoil == "half":
            writer.write(data[: length // 2])
        elif spoil == "other":
            writer.write(struct.pack("<iiii", length, request, response + 1, opcode) + data[16:])
        await writer.drain()

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        far_reader, far_writer = await asyncio.open_connection("127.0.0.1", server.port)
        asked = bytearray()

        async def there() -> None:
            while data := await reader.read(65536):
                asked.extend(data)
                far_writer.write(data)

        job = asyncio.ensure_future(there())
        try:
            while data := await far_reader.read(65536):
                if b"spoil me" in asked:
                    await spoilt(data, writer)
                    return
                writer.write(data)
        finally:
            job.cancel()
            far_writer.close()

    async def main():
        async with TcpServer(handle) as front:
            async with backend_on(Member("127.0.0.1", front.port, "spoilt")) as backend:
                failed = await failing(backend, "insert_one", {"text": "spoil me"})
                assert (failed.status, failed.sent) == (STA_NETERR, True)
                assert await ask(backend, "find", "another", {}) == []

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
            async with backend_on(Member("127.0.0.1", front.port, "bytes")) as backend:
                await ask(backend, "insert_one", {"_id": 1, "x": "ü"})
                assert await ask(backend, "find", {}) == [{"_id": 1, "x": "ü"}]
                await ask(backend, "drop")

    uvloop.run(main())
