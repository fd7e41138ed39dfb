"""``HttpBackend.open``: bodies that flow both ways; slow readers, slow writers, broken ones."""

from __future__ import annotations

import asyncio
import tracemalloc

import pytest
import uvloop
from scripted_http_server import OK, Conversation, ScriptedServer, always_ok, says

from skitai.tasks.errors import Failure, NetworkError, TaskError
from skitai.tasks.status import STA_NETERR, STA_REQFAIL
from skitai.upstream.http.backend import HttpBackend
from skitai.upstream.http.request import HttpRequest

CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
MIB = 1024 * 1024


@pytest.fixture(params=["asyncio", "uvloop"])
def run(request):
    return asyncio.run if request.param == "asyncio" else uvloop.run


def get(target: str = "/") -> HttpRequest:
    return HttpRequest("GET", target, [])


def put(body, length: int | None = None) -> HttpRequest:
    return HttpRequest("PUT", "/", [], body, length)


async def failure_of(call) -> Failure:
    with pytest.raises(Failure) as caught:
        await call
    return caught.value


async def whole(stream) -> bytes:
    async with stream:
        return b"".join([piece async for piece in stream])


class Source:
    """A body in pieces that knows how far it was asked, and whether it was closed."""

    def __init__(self, *pieces: bytes | Exception | asyncio.Event) -> None:
        self.asked = 0
        self.closed = asyncio.Event()
        self._pieces = pieces

    async def __aiter__(self):
        try:
            for piece in self._pieces:
                self.asked += 1
                if isinstance(piece, Exception):
                    raise piece
                if isinstance(piece, asyncio.Event):
                    await piece.wait()
                else:
                    yield piece
        finally:
            self.closed.set()


def test_status_and_headers_come_as_they_are(run):
    body = b"\x1f\x8b not really gzip"
    head = (
        b"HTTP/1.1 404 Nicht da\r\nSet-Cookie: a\r\nContent-Encoding: gzip\r\nset-cookie: b\r\n"
        b"Content-Length: %d\r\n\r\n" % len(body)
    )
    seen = []

    async def script(client: Conversation) -> None:
        seen.append((await client.request()).head)
        await client.send(head + body)

    async def main():
        async with ScriptedServer(script) as server:
            backend = HttpBackend(server.member())
            stream = await backend.open(get("/x?y"))
            assert (stream.status, stream.reason, stream.version) == (404, "Nicht da", "1.1")
            assert stream.headers == [
                ("Set-Cookie", "a"),
                ("Content-Encoding", "gzip"),
                ("set-cookie", "b"),
                ("Content-Length", str(len(body))),
            ]
            assert await whole(stream) == body
            await backend.close()
            return server.port

    port = run(main())
    assert seen == [
        f"GET /x?y HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nUser-Agent: skitai\r\n\r\n".encode()
    ]


def test_pieces_come_when_they_are_sent(run):
    async def main():
        go_on = asyncio.Event()

        async def script(client: Conversation) -> None:
            await client.request()
            await client.send(CHUNKED)
            for letter in b"abc":
                await go_on.wait()
                go_on.clear()
                await client.send(b"1\r\n%c\r\n" % letter)
            await client.send(b"0\r\n\r\n")
            await client.gone()

        async with ScriptedServer(script) as server:
            backend = HttpBackend(server.member())
            stream = await backend.open(get())
            for letter in (b"a", b"b", b"c"):
                go_on.set()
                assert await stream.read() == letter
            assert await stream.read() == b""
            assert await stream.read() == b""
            assert backend.busy == 0
            assert backend.connections == 1
            await backend.close()

    run(main())


def test_a_stream_that_was_read_gives_its_connection_back(run):
    async def main():
        async with ScriptedServer(always_ok) as server:
            backend = HttpBackend(server.member(), max_conns=1)
            for _ in range(5):
                assert await whole(await backend.open(get())) == b"ok"
            stream = await backend.open(HttpRequest("HEAD", "/", []))
            assert await whole(stream) == b""
            await backend.close()

        async with ScriptedServer(says(b"HTTP/1.1 304 Not Modified\r\n\r\n")) as server:
            backend = HttpBackend(server.member(), max_conns=1)
            assert await whole(await backend.open(get())) == b""
            await backend.close()

    run(main())


def test_a_stream_holds_its_place_until_it_ends(run):
    async def script(client: Conversation) -> None:
        while True:
            await client.request()
            await client.send(CHUNKED + b"2\r\nok\r\n")
            await client.reader.read(0)

    async def main():
        async with ScriptedServer(script) as server:
            backend = HttpBackend(server.member(), max_conns=1)
            stream = await backend.open(get())
            second = asyncio.ensure_future(backend.open(get()))
            for _ in range(5):
                await asyncio.sleep(0)
            assert not second.done()
            assert backend.busy == 2
            await stream.aclose()
            await (await second).aclose()
            await stream.aclose()
            assert backend.busy == 0
            await backend.close()

    run(main())


def test_closing_early_closes_the_connection(run):
    async def script(client: Conversation) -> None:
        await client.request()
        await client.send(CHUNKED + b"2\r\nok\r\n")
        await client.gone()

    async def main():
        async with ScriptedServer(script) as server:
            backend = HttpBackend(server.member())
            async with await backend.open(get()) as stream:
                assert await stream.read() == b"ok"
            await server.until(lambda: server.open == 0)
            assert backend.busy == backend.connections == 0
            with pytest.raises(Failure, match="was closed"):
                await stream.read()
            await backend.close()

    run(main())


def test_a_slow_reader_slows_the_upstream_down(run):
    total = 64 * MIB

    async def main():
        sent = 0

        async def script(client: Conversation) -> None:
            nonlocal sent
            await client.request()
            await client.send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % total)
            while sent < total:
                await client.send(b"x" * MIB)
                sent += MIB

        async with ScriptedServer(script) as server:
            backend = HttpBackend(server.member())
            stream = await backend.open(get())
            before = -1
            while sent != before:  # until nothing moves any more
                before = sent
                await asyncio.sleep(0.05)
            assert sent < 16 * MIB  # what sockets hold
            assert stream._size < MIB
            size = 0
            async for piece in stream:
                size += len(piece)
            assert size == total
            assert backend.connections <= 1
            await backend.close()

    run(main())


def test_a_slow_upstream_slows_the_sender_down(run):
    async def main():
        read_on = asyncio.Event()

        async def script(client: Conversation) -> None:
            head = await client.head()
            await read_on.wait()
            length = int(head.headers["content-length"])
            while length:
                length -= len(await client.reader.read(MIB))
            await client.send(OK)

        async with ScriptedServer(script) as server:
            backend = HttpBackend(server.member())
            source = Source(*[b"x" * MIB] * 64)
            job = asyncio.ensure_future(backend.open(put(source, 64 * MIB)))
            before = -1
            while source.asked != before or not source.asked:
                before = source.asked
                await asyncio.sleep(0.05)
            assert source.asked < 16
            read_on.set()
            assert await whole(await job) == b"ok"
            assert source.closed.is_set()
            assert backend.connections == 1
            await backend.close()

    run(main())


@pytest.mark.parametrize("length", [None, 11])
def test_bodies_in_pieces_arrive_whole(run, length):
    async def script(client: Conversation) -> None:
        while True:
            received = await client.request()
            framing = "transfer-encoding" if length is None else "content-length"
            assert framing in received.headers
            await client.answer(received.body)

    async def main():
        async with ScriptedServer(script) as server:
            backend = HttpBackend(server.member(), max_conns=1)
            for _ in range(3):
                source = Source(b"hello", b"", b" ", b"world")
                assert await whole(await backend.open(put(source, length))) == b"hello world"
                reply = await backend.call(put(Source(b"hello world"), length))
                assert reply.content == b"hello world"
            assert server.connections == 1
            await backend.close()

    run(main())


def test_both_directions_at_once(run):
    """An echo: each piece is sent after the one before came back."""

    async def main():
        heard = asyncio.Queue()

        async def script(client: Conversation) -> None:
            await client.head()
            await client.send(CHUNKED)
            while size := int(await client.reader.readline(), 16):
                data = (await client.reader.readexactly(size + 2))[:-2]
                await client.send(b"%x\r\n%b\r\n" % (size, data))
            await client.reader.readexactly(2)
            await client.send(b"0\r\n\r\n")
            await client.gone()

        async def talk():
            yield b"0"
            for number in range(1, 50):
                assert await heard.get() == str(number - 1).encode()
                yield str(number).encode()

        async with ScriptedServer(script) as server:
            backend = HttpBackend(server.member())
            stream = await backend.open(put(talk()))
            count = 0
            async for piece in stream:
                await heard.put(piece)
                count += 1
            assert count == 50
            assert backend.connections == 1
            await backend.close()

    run(main())


@pytest.mark.parametrize("via", ["open", "call"])
def test_an_answer_that_comes_before_the_body_was_sent(run, via):
    """The upstream refuses a large upload; the rest of it is not sent."""

    async def script(client: Conversation) -> None:
        await client.head()
        await client.answer(b"too large", status=b"413 Content Too Large")
        await client.gone()

    async def main():
        async with ScriptedServer(script) as server:
            backend = HttpBackend(server.member())
            source = Source(b"x" * MIB, asyncio.Event())
            if via == "open":
                stream = await backend.open(put(source, 100 * MIB))
                assert stream.status == 413
                assert await whole(stream) == b"too large"
            else:
                reply = await backend.call(put(source, 100 * MIB))
                assert (reply.status_code, reply.content) == (413, b"too large")
            await asyncio.wait_for(source.closed.wait(), 5)
            await server.until(lambda: server.open == 0)
            assert backend.busy == backend.connections == 0
            await backend.close()

    run(main())


def test_sending_stops_as_soon_as_the_head_of_a_refusal_is_there(run):
    async def main():
        source = Source(b"x", asyncio.Event())

        async def script(client: Conversation) -> None:
            await client.head()
            await client.send(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 4\r\n\r\n")
            await source.closed.wait()
            await client.send(b"nope")
            await client.gone()

        async with ScriptedServer(script) as server:
            backend = HttpBackend(server.member())
            assert await whole(await backend.open(put(source))) == b"nope"
            await server.until(lambda: server.open == 0)
            await backend.close()

    run(main())


def test_an_upstream_that_answers_early_and_well_still_gets_the_body(run):
    async def main():
        rest = asyncio.Event()

        async def script(client: Conversation) -> None:
            await client.head()
            await client.send(CHUNKED + b"5\r\nearly\r\n")
            body = await client.reader.readexactly(10)
            await client.send(b"%x\r\n%b\r\n0\r\n\r\n" % (len(body), body))
            await client.gone()

        async with ScriptedServer(script) as server:
            backend = HttpBackend(server.member())
            stream = await backend.open(put(Source(b"first", rest, b"later"), 10))
            assert await stream.read() == b"early"
            rest.set()
            assert await whole(stream) == b"firstlater"
            assert backend.connections == 1
            await backend.close()

    run(main())


def test_a_complete_answer_ends_the_sending(run):
    async def script(client: Conversation) -> None:
        await client.head()
        await client.send(OK)
        await client.gone()

    async def main():
        async with ScriptedServer(script) as server:
            backend = HttpBackend(server.member())
            source = Source(b"x", asyncio.Event())
            assert await whole(await backend.open(put(source))) == b"ok"
            await asyncio.wait_for(source.closed.wait(), 5)
            await server.until(lambda: server.open == 0)
            await backend.close()

    run(main())


@pytest.mark.parametrize(
    ("pieces", "length", "error", "text"),
    [
        ((b"12345", b"6789"), 8, TaskError, "more than 8 bytes"),
        ((b"12345",), 8, TaskError, "3 bytes less"),
        ((), 8, TaskError, "8 bytes less"),
        ((b"1", ValueError("oops")), None, ValueError, "oops"),
        ((ValueError("oops"),), 3, ValueError, "oops"),
        ((b"1", "text"), None, TypeError, "bytes"),
    ],
)
def test_a_body_that_breaks_ends_the_request(run, pieces, length, error, text):
    async def script(client: Conversation) -> None:
        await client.gone()

    async def main():
        async with ScriptedServer(script) as server:
            backend = HttpBackend(server.member())
            for send in (backend.open, backend.call):
                failure = await failure_of(send(put(Source(*pieces), length)))
                assert isinstance(failure.error, error)
                assert text in str(failure.error)
                assert (failure.status, failure.sent) == (STA_REQFAIL, True)
                await server.until(lambda: server.open == 0)
                assert backend.busy == backend.connections == 0
            await backend.close()

    run(main())


def test_a_body_whose_cleanup_fails_changes_nothing(run):
    class Careless(Source):
        async def __aiter__(self):
            try:
                yield b"x"
                await asyncio.Event().wait()
            finally:
                self.closed.set()
                raise RuntimeError("careless")

    async def script(client: Conversation) -> None:
        await client.head()
        await client.send(OK)
        await client.gone()

    async def main():
        async with ScriptedServer(script) as server:
            backend = HttpBackend(server.member())
            source = Careless()
            assert await whole(await backend.open(put(source))) == b"ok"
            await source.closed.wait()
            await backend.close()

    run(main())


@pytest.mark.parametrize("how", ["close", "reset"])
def test_an_upstream_that_goes_away_while_it_is_sent_a_body(run, how):
    async def script(client: Conversation) -> None:
        await client.head()
        await client.reader.readexactly(1)
        if how == "reset":
            client.reset()

    async def main():
        async with ScriptedServer(script) as server:
            backend = HttpBackend(server.member())
            source = Source(*[b"x" * MIB] * 1000)
            failure = await failure_of(backend.open(put(source)))
            assert isinstance(failure.error, NetworkError)
            assert (failure.status, failure.sent) == (STA_NETERR, True)
            await asyncio.wait_for(source.closed.wait(), 5)
            assert source.asked < 1000
            assert backend.busy == 0
            await backend.close()

    run(main())


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf",
        CHUNKED + b"5\r\nhalf",
        CHUNKED + b"4\r\nhalf\r\n",
        CHUNKED + b"4\r\nhalf\r\nzz\r\n",
    ],
)
def test_a_body_that_is_cut_is_a_failure_after_what_came(run, answer):
    async def main():
        async with ScriptedServer(says(answer)) as server:
            backend = HttpBackend(server.member())
            stream = await backend.open(get())
            assert await stream.read() == b"half"
            failure = await failure_of(stream.read())
            assert isinstance(failure.error, NetworkError)
            assert failure.status == STA_NETERR
            assert backend.busy == 0
            await stream.aclose()
            await backend.close()

    run(main())


def test_an_upstream_that_stalls_in_the_middle_is_given_up(run):
    async def script(client: Conversation) -> None:
        await client.request()
        await client.send(CHUNKED + b"4\r\nhalf\r\n")
        await client.gone()

    async def main():
        async with ScriptedServer(script) as server:
            backend = HttpBackend(server.member(), stall_seconds=0.05)
            stream = await backend.open(get())
            assert await stream.read() == b"half"
            failure = await failure_of(stream.read())
            assert "nothing for 0.05 seconds" in str(failure.error)
            await server.until(lambda: server.open == 0)
            assert backend.busy == backend.connections == 0
            await backend.close()

    run(main())


def test_stalling_can_be_allowed(run):
    async def main():
        go_on = asyncio.Event()

        async def script(client: Conversation) -> None:
            await client.request()
            await client.send(CHUNKED)
            await go_on.wait()
            await client.send(b"2\r\nok\r\n0\r\n\r\n")

        async with ScriptedServer(script) as server:
            backend = HttpBackend(server.member(), stall_seconds=0)
            stream = await backend.open(get())
            asyncio.get_running_loop().call_later(0.02, go_on.set)
            assert await whole(stream) == b"ok"
            await backend.close()

    run(main())


@pytest.mark.parametrize("when", ["head", "body"])
def test_a_cancelled_stream_ends_both_directions(run, when):
    async def script(client: Conversation) -> None:
        await client.head()
        if when == "body":
            await client.send(CHUNKED)
        await client.gone()

    async def main():
        async with ScriptedServer(script) as server:
            backend = HttpBackend(server.member())
            source = Source(b"x", asyncio.Event())

            async def relay():
                async with await backend.open(put(source)) as stream:
                    opened.set()
                    await stream.read()

            opened = asyncio.Event()
            job = asyncio.ensure_future(relay())
            await (opened.wait() if when == "body" else server.until(lambda: server.open == 1))
            while not source.asked:
                await asyncio.sleep(0)
            job.cancel()
            with pytest.raises(asyncio.CancelledError):
                await job
            await asyncio.wait_for(source.closed.wait(), 5)
            await server.until(lambda: server.open == 0)
            assert backend.busy == backend.connections == 0
            await backend.close()

    run(main())


def test_closing_the_backend_ends_its_streams(run):
    async def script(client: Conversation) -> None:
        await client.request()
        await client.send(CHUNKED + b"2\r\nok\r\n")
        await client.gone()

    async def main():
        async with ScriptedServer(script) as server:
            backend = HttpBackend(server.member())
            stream = await backend.open(get())
            assert await stream.read() == b"ok"
            reading = asyncio.ensure_future(failure_of(stream.read()))
            await asyncio.sleep(0)
            await backend.close()
            assert isinstance((await reading).error, NetworkError)
            assert backend.busy == 0

    run(main())


def test_a_request_without_a_body_is_repeated_one_with_a_body_is_not(run):
    async def script(client: Conversation) -> None:
        await client.request()
        await client.send(OK)
        await client.request()
        if client.number > 1:
            await client.send(OK)
            await client.gone()

    async def main():
        async with ScriptedServer(script) as server:
            backend = HttpBackend(server.member())
            for _ in range(2):
                assert await whole(await backend.open(get())) == b"ok"
            assert server.connections == 2
            await backend.close()

        async with ScriptedServer(script) as server:
            backend = HttpBackend(server.member())
            assert await whole(await backend.open(put(Source(b"x")))) == b"ok"
            failure = await failure_of(backend.open(put(Source(b"x"))))
            assert (failure.status, failure.sent) == (STA_NETERR, True)
            assert server.connections == 1
            await backend.close()

    run(main())


def test_nobody_listens_and_the_body_was_not_touched(run):
    async def main():
        async with ScriptedServer(always_ok) as server:
            member = server.member()
        backend = HttpBackend(member)
        source = Source(b"x")
        failure = await failure_of(backend.open(put(source)))
        assert (failure.status, failure.sent, source.asked) == (STA_NETERR, False, 0)
        await backend.close()

    run(main())


def test_tiny_chunks_are_joined_and_bounded(run):
    count = 200_000

    async def script(client: Conversation) -> None:
        await client.request()
        await client.send(CHUNKED + b"1\r\nx\r\n" * count + b"0\r\n\r\n")

    async def main():
        async with ScriptedServer(script) as server:
            backend = HttpBackend(server.member())
            pieces = 0
            async with await backend.open(get()) as stream:
                async for piece in stream:
                    pieces += 1
                    assert piece.strip(b"x") == b""
            assert pieces < count / 100
            reply = await backend.call(get())
            assert len(reply.content) == count
            await backend.close()

    run(main())


def test_memory_stays_the_same_while_much_flows(run):
    """Up and down at once; what a worker would relay."""
    total = 256 * MIB
    piece = b"x" * 100_000

    async def script(client: Conversation) -> None:
        await client.head()
        await client.send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % total)
        left = total
        while left:
            data = await client.reader.read(MIB)
            left -= len(data)
            await client.send(data)

    async def body():
        left = total
        while left:
            yield piece[:left]
            left -= len(piece[:left])

    async def main():
        async with ScriptedServer(script) as server:
            backend = HttpBackend(server.member())
            size = 0
            async with await backend.open(put(body(), total)) as stream:
                tracemalloc.start()
                async for data in stream:
                    size += len(data)
                peak = tracemalloc.get_traced_memory()[1]
                tracemalloc.stop()
            assert size == total
            assert peak < 8 * MIB
            assert backend.connections == 1
            await backend.close()

    run(main())
