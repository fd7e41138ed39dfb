"""``HttpBackend.call`` and servers over real sockets: what is sent, kept, repeated, given up."""

from __future__ import annotations

import asyncio
import gc
import os
import select
import socket

import pytest
import uvloop
from scripted_http_server import OK, Conversation, ScriptedServer, always_ok, says

from skitai.errors import ConfigError
from skitai.tasks.errors import Failure, NetworkError, PoolExhausted
from skitai.tasks.status import STA_NETERR, STA_NORMAL, STA_REQFAIL, STA_TIMEOUT
from skitai.upstream.http.backend import HttpBackend
from skitai.upstream.http.connection import HttpConnection
from skitai.upstream.http.exchange import ResponseTooLarge
from skitai.upstream.http.reply import HTTPTaskError
from skitai.upstream.http.request import HttpRequest
from skitai.upstream.interface import Member
from skitai.upstream.slots import EXPIRED


@pytest.fixture(params=["asyncio", "uvloop"])
def run(request):
    return asyncio.run if request.param == "asyncio" else uvloop.run


def get(target: str = "/", **more) -> HttpRequest:
    return HttpRequest("GET", target, [], **more)


def post(body: object = b"x", **more) -> HttpRequest:
    return HttpRequest("POST", "/", [], body, **more)


async def failure_of(call) -> Failure:
    with pytest.raises(Failure) as caught:
        await call
    return caught.value


def closed_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


# -- what is sent and what comes back


def test_a_call_sends_what_it_should_and_brings_the_whole_answer(run):
    seen = []

    async def script(client: Conversation) -> None:
        seen.append(await client.request())
        await client.answer(b"hello", b"Content-Type: text/plain", b"X-A: 1", b"X-A: 2")

    async def main():
        async with ScriptedServer(script) as server:
            backend = HttpBackend(server.member("/base/"))
            reply = await backend.call(HttpRequest("GET", "/a?b=1", [("X-Mine", "é")]))
            await backend.close()
            return reply, server.port

    reply, port = run(main())
    (received,) = seen
    assert received.head == (
        f"GET /base/a?b=1 HTTP/1.1\r\nX-Mine: é\r\nHost: 127.0.0.1:{port}\r\n"
        "User-Agent: skitai\r\nAccept-Encoding: gzip, deflate, br\r\n\r\n"
    ).encode("latin-1")
    assert (reply.status_code, reply.reason, reply.version) == (200, "OK", "1.1")
    assert (reply.data, reply.content, reply.error) == ("hello", b"hello", None)
    assert reply.headers.get("x-a") == "1, 2"
    assert reply.headers.get_all("X-a") == ["1", "2"]
    assert reply.url == f"http://127.0.0.1:{port}/base/a?b=1"


@pytest.mark.parametrize("size", [1, 1000, 1_000_000])
def test_a_body_is_sent_whole(run, size):
    async def script(client: Conversation) -> None:
        received = await client.request()
        assert received.headers["content-length"] == str(size)
        await client.answer(str(len(received.body)).encode())

    async def main():
        async with ScriptedServer(script) as server:
            backend = HttpBackend(server.member())
            reply = await backend.call(post(b"x" * size))
            assert reply.content == str(size).encode()
            await backend.close()

    run(main())


def test_credentials_of_the_member_are_sent_unless_the_caller_has_others(run):
    seen = []

    async def script(client: Conversation) -> None:
        while True:
            seen.append((await client.request()).headers["authorization"])
            await client.send(OK)

    async def main():
        async with ScriptedServer(script) as server:
            backend = HttpBackend(server.member(user="한스", password="p:w"))
            await backend.call(get())
            await backend.call(HttpRequest("GET", "/", [("Authorization", "Bearer x")]))
            await backend.close()

    run(main())
    assert seen == ["Basic 7ZWc7IqkOnA6dw==", "Bearer x"]


def test_a_failure_status_is_an_answer_with_an_error(run):
    async def main():
        async with ScriptedServer(always_ok) as server:
            backend = HttpBackend(server.member())
            assert (await backend.call(get())).error is None
            await backend.close()
        for line, reason in ((b"302 Found", "Found"), (b"404", "Not Found"), (b"799", "Unknown")):
            script = says(b"HTTP/1.1 " + line + b"\r\nContent-Length: 2\r\n\r\n{}")
            async with ScriptedServer(script) as server:
                backend = HttpBackend(server.member())
                reply = await backend.call(get())
                assert isinstance(reply.error, HTTPTaskError)
                assert str(reply.error) == f"{line.decode()[:3]} {reason}"
                assert reply.content == b"{}"
                await backend.close()

    run(main())


ANSWERS = {
    "slowly, byte by byte": (
        [bytes([byte]) for byte in b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"],
        b"ok",
    ),
    "until the end": ([b"HTTP/1.1 200 OK\r\n\r\no", b"k"], b"ok"),
    "chunks cut anywhere": (
        [
            b"HTTP/1.1 200 OK\r\nTransfer-Enc",
            b"oding: chunked\r\n\r\n1\r",
            b"\no\r\n1\r\nk",
            b"\r\n0",
        ]
        + [b"\r\nT: x\r\n\r", b"\n"],
        b"ok",
    ),
    "interim answers": ([b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early\r\n\r\n", OK], b"ok"),
    "no content": ([b"HTTP/1.1 204 No Content\r\n\r\n"], b""),
    "two answers": ([OK + OK], b"ok"),
    "an answer and garbage": ([OK + b"\x00\x01"], b"ok"),
}


@pytest.mark.parametrize("case", ANSWERS)
def test_answers_of_all_shapes(run, case):
    pieces, body = ANSWERS[case]

    async def main():
        async with ScriptedServer(says(*pieces)) as server:
            backend = HttpBackend(server.member())
            for _ in range(3):
                reply = await backend.call(get())
                assert reply.content == body
            await backend.close()
            assert backend.busy == backend.connections == 0

    run(main())


def test_head_has_no_body_and_keeps_the_connection(run):
    async def script(client: Conversation) -> None:
        while True:
            received = await client.request()
            if received.line.startswith("HEAD"):
                await client.send(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n")
            else:
                await client.send(OK)

    async def main():
        async with ScriptedServer(script) as server:
            backend = HttpBackend(server.member())
            for _ in range(3):
                reply = await backend.call(HttpRequest("HEAD", "/", []))
                assert (reply.content, reply.data) == (b"", b"")
                assert reply.headers["content-length"] == "1000"
                assert (await backend.call(get())).content == b"ok"
            assert server.connections == 1
            await backend.close()

    run(main())


@pytest.mark.parametrize(
    "request_",
    [
        HttpRequest("GET", "/a b", []),
        HttpRequest("GET", "/a\r\nX: 1", []),
        HttpRequest("GE\nT", "/", []),
        HttpRequest("GET", "/", [("X", "a\r\nY: b")]),
        HttpRequest("GET", "/", [("X\r\nY", "b")]),
        HttpRequest("GET", "/", [("X", "a\x00")]),
    ],
)
def test_what_would_break_the_request_is_refused_before_anything_is_sent(request_):
    async def main():
        backend = HttpBackend(Member("127.0.0.1", closed_port()))
        for call in (backend.call, backend.open):
            failure = await failure_of(call(request_))
            assert isinstance(failure.error, ValueError)
            assert (failure.status, failure.sent) == (STA_REQFAIL, False)
        assert backend.busy == 0

    asyncio.run(main())


# -- connections


def test_connections_are_used_again_the_last_one_first(run):
    async def script(client: Conversation) -> None:
        while True:
            await client.request()
            await client.answer(str(client.number).encode())

    async def main():
        async with ScriptedServer(script) as server:
            backend = HttpBackend(server.member())
            await asyncio.gather(*[backend.call(get()) for _ in range(3)])
            assert server.connections == backend.connections == 3
            used = {(await backend.call(get())).content for _ in range(10)}
            assert len(used) == 1
            assert server.connections == 3
            await backend.close()

    run(main())


def test_connections_are_limited_and_the_others_wait_in_turn(run):
    order = []

    async def main():
        running = peak = 0
        both = asyncio.Event()

        async def script(client: Conversation) -> None:
            nonlocal running, peak
            while True:
                received = await client.request()
                running += 1
                peak = max(peak, running)
                if running == 2:
                    both.set()
                await both.wait()
                order.append(received.line.split()[1])
                running -= 1
                await client.send(OK)

        async with ScriptedServer(script) as server:
            backend = HttpBackend(server.member(), max_conns=2)
            jobs = [asyncio.ensure_future(backend.call(get(f"/{n}"))) for n in range(20)]
            await asyncio.sleep(0)
            assert backend.busy == 20
            await asyncio.gather(*jobs)
            assert (peak, server.connections, backend.busy) == (2, 2, 0)
            await backend.close()

    run(main())
    assert sorted(order[:2]) == ["/0", "/1"]
    assert len(order) == 20


def test_who_never_got_a_connection_says_so_at_the_deadline(run):
    async def script(client: Conversation) -> None:
        await client.gone()

    async def main():
        async with ScriptedServer(script) as server:
            backend = HttpBackend(server.member(), max_conns=1)
            first = asyncio.ensure_future(backend.call(get()))
            await server.until(lambda: server.open == 1)
            second = asyncio.ensure_future(backend.call(get()))
            await asyncio.sleep(0)
            second.cancel(EXPIRED)
            failure = await failure_of(second)
            assert isinstance(failure.error, PoolExhausted)
            assert (failure.status, failure.sent) == (STA_TIMEOUT, False)
            first.cancel(EXPIRED)
            with pytest.raises(asyncio.CancelledError):
                await first
            assert backend.busy == 0
            await backend.close()

    run(main())


def test_a_cancelled_call_closes_its_connection_and_frees_its_place(run):
    async def main():
        asked = asyncio.Event()

        async def script(client: Conversation) -> None:
            received = await client.request()
            if received.line.startswith("GET /body"):
                await client.send(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf")
            asked.set()
            await client.gone()

        async with ScriptedServer(script) as server:
            backend = HttpBackend(server.member(), max_conns=1)
            for target in ("/", "/body"):
                asked.clear()
                job = asyncio.ensure_future(backend.call(get(target)))
                await asked.wait()
                job.cancel()
                with pytest.raises(asyncio.CancelledError):
                    await job
                await server.until(lambda: server.open == 0)
                assert backend.busy == 0
            await backend.close()
            assert backend.connections == 0

    run(main())


def test_an_idle_connection_that_the_server_closes_is_forgotten(run):
    async def script(client: Conversation) -> None:
        await client.request()
        await client.send(OK)

    async def main():
        async with ScriptedServer(script) as server:
            backend = HttpBackend(server.member())
            for count in range(1, 4):
                await backend.call(post())
                await server.until(lambda: server.open == 0)
                while backend.connections:
                    await asyncio.sleep(0)
                assert server.connections == count
            await backend.close()

    run(main())


def test_what_comes_while_nothing_was_asked_closes_the_connection(run):
    async def main():
        speak = asyncio.Event()

        async def script(client: Conversation) -> None:
            await client.request()
            await client.send(OK)
            if client.number == 1:
                await speak.wait()
                await client.send(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil")
            await client.gone()

        async with ScriptedServer(script) as server:
            backend = HttpBackend(server.member())
            await backend.call(get())
            speak.set()
            await server.until(lambda: server.open == 0)
            assert (await backend.call(get())).content == b"ok"
            await backend.close()

    run(main())


def test_idle_connections_are_dropped_after_a_while(run):
    async def main():
        async with ScriptedServer(always_ok) as server:
            backend = HttpBackend(server.member(), idle_seconds=0.05)
            await asyncio.gather(*[backend.call(get()) for _ in range(3)])
            assert backend.connections == 3
            await server.until(lambda: server.open == 0)
            await backend.call(get())
            await server.until(lambda: server.open == 0)
            await backend.close()

    run(main())


def test_closing_ends_what_runs_and_what_waits(run):
    async def script(client: Conversation) -> None:
        await client.request()
        if client.number == 1:
            await client.send(OK)
        await client.gone()

    async def main():
        async with ScriptedServer(script) as server:
            backend = HttpBackend(server.member(), max_conns=2)
            await backend.call(get())
            jobs = [asyncio.ensure_future(failure_of(backend.call(post()))) for _ in range(3)]
            await server.until(lambda: server.open == 2)
            await asyncio.gather(backend.close(), backend.close())
            failures = await asyncio.gather(*jobs)
            assert all(isinstance(failure.error, NetworkError) for failure in failures)
            failures.append(await failure_of(backend.call(get())))
            assert [failure.sent for failure in failures[2:]] == [False, False]
            assert backend.busy == backend.connections == 0
            await server.until(lambda: server.open == 0)

    run(main())


# -- connections that end at the wrong time


def drops_second_request(how: str):
    """Answers the first request of its first connection; ends that one at its second request."""

    async def script(client: Conversation) -> None:
        await client.request()
        await client.send(OK)
        await client.request()
        if client.number > 1:
            await client.send(OK)
            await client.gone()
        elif how == "reset":
            client.reset()

    return script


@pytest.mark.parametrize("how", ["close", "reset"])
@pytest.mark.parametrize("method", ["GET", "HEAD", "PUT", "DELETE", "OPTIONS"])
def test_a_repeatable_request_on_a_connection_that_was_used_before_is_repeated_once(
    run, how, method
):
    async def script(client: Conversation) -> None:
        while True:
            await client.request()
            if client.number == 1 and used:
                if how == "reset":
                    client.reset()
                return
            used.append(client.number)
            body = b"" if method == "HEAD" else b"ok"
            await client.send(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n" + body)

    used: list[int] = []

    async def main():
        async with ScriptedServer(script) as server:
            backend = HttpBackend(server.member())
            request = HttpRequest(method, "/", [], b"x" if method == "PUT" else None)
            for _ in range(2):
                assert (await backend.call(request)).status_code == 200
            assert used == [1, 2]
            await backend.close()

    run(main())


@pytest.mark.parametrize("how", ["close", "reset"])
@pytest.mark.parametrize("method", ["POST", "PATCH"])
def test_what_may_have_been_done_is_not_repeated(run, how, method):
    async def main():
        async with ScriptedServer(drops_second_request(how)) as server:
            backend = HttpBackend(server.member())
            request = HttpRequest(method, "/", [], b"x")
            await backend.call(request)
            failure = await failure_of(backend.call(request))
            assert isinstance(failure.error, NetworkError)
            assert f"127.0.0.1:{server.port}" in str(failure.error)
            assert (failure.status, failure.sent) == (STA_NETERR, True)
            assert server.connections == 1
            assert backend.busy == 0
            await backend.close()

    run(main())


def test_a_new_connection_that_ends_is_not_tried_again(run):
    async def script(client: Conversation) -> None:
        await client.request()

    async def main():
        async with ScriptedServer(script) as server:
            backend = HttpBackend(server.member())
            failure = await failure_of(backend.call(get()))
            assert (failure.status, failure.sent) == (STA_NETERR, True)
            assert server.connections == 1
            await backend.close()

    run(main())


def test_a_request_is_repeated_once_only(run):
    async def script(client: Conversation) -> None:
        await client.request()
        if client.number == 1:
            await client.send(OK)
            await client.request()

    async def main():
        async with ScriptedServer(script) as server:
            backend = HttpBackend(server.member())
            await backend.call(get())
            assert (await failure_of(backend.call(get()))).sent is True
            assert server.connections == 2
            await backend.close()

    run(main())


def test_repeating_opens_no_more_connections_than_are_allowed(run):
    async def main():
        both = asyncio.Event()

        async def script(client: Conversation) -> None:
            await client.request()
            if client.number == 2:
                both.set()
            await both.wait()
            await client.send(OK)
            await client.request()
            if client.number > 2:
                await client.send(OK)
                await client.gone()

        async with ScriptedServer(script) as server:
            backend = HttpBackend(server.member(), max_conns=2)
            await asyncio.gather(backend.call(get()), backend.call(get()))
            assert backend.connections == 2
            job = asyncio.ensure_future(backend.call(get()))
            await server.until(lambda: server.connections == 3)
            assert server.open <= 2
            await job
            assert backend.connections <= 2
            await backend.close()

    run(main())


def test_an_answer_that_was_begun_is_not_asked_for_again(run):
    async def script(client: Conversation) -> None:
        await client.request()
        await client.send(OK)
        await client.request()
        await client.send(b"H")

    async def main():
        async with ScriptedServer(script) as server:
            backend = HttpBackend(server.member())
            await backend.call(get())
            assert (await failure_of(backend.call(get()))).status == STA_NETERR
            assert server.connections == 1
            await backend.close()

    run(main())


def test_a_connection_whose_end_was_not_read_yet_is_not_used_for_a_post(run):
    """The server has closed it, but the loop had no time to find out."""

    async def main():
        loop = asyncio.get_running_loop()
        with socket.create_server(("127.0.0.1", 0)) as listener:
            listener.setblocking(False)
            backend = HttpBackend(Member("127.0.0.1", listener.getsockname()[1]))

            async def serve() -> socket.socket:
                sock, _ = await loop.sock_accept(listener)
                sock.setblocking(False)
                await loop.sock_recv(sock, 65536)
                await loop.sock_sendall(sock, OK)
                return sock

            server, _ = await asyncio.gather(serve(), backend.call(post()))
            (connection,) = backend._idle
            server.close()
            assert select.select([connection.descriptor()], [], [], 5)[0]
            assert connection.open
            server, reply = await asyncio.gather(serve(), backend.call(post()))
            assert reply.content == b"ok"
            server.close()
            await backend.close()

    run(main())


BROKEN = {
    "closed at once": b"",
    "half a head": b"HTTP/1.1 200 OK\r\nContent-",
    "half a body": b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf",
    "half of the chunks": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhel",
    "chunks without end": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n",
    "garbage": b"\x16\x03\x01\x02\x00" * 100,
    "a huge head": b"HTTP/1.1 200 OK\r\nX: " + b"x" * 200_000,
    "endless interim answers": b"HTTP/1.1 100 Continue\r\n\r\n" * 10_000,
    "another protocol": b"HTTP/1.1 101 Go\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n",
}


@pytest.mark.parametrize("case", BROKEN)
def test_broken_answers_are_network_failures_and_nothing_stays(run, case):
    async def main():
        async with ScriptedServer(says(BROKEN[case])) as server:
            backend = HttpBackend(server.member())
            failure = await failure_of(backend.call(get()))
            assert isinstance(failure.error, NetworkError)
            assert (failure.status, failure.sent, failure.code) == (STA_NETERR, True, 502)
            await server.until(lambda: server.open == 0)
            assert backend.busy == 0
            await backend.close()

    run(main())


def test_a_server_that_only_closes_its_sending_side_has_ended_the_body(run):
    async def script(client: Conversation) -> None:
        await client.request()
        await client.send(b"HTTP/1.1 200 OK\r\n\r\nhello")
        client.writer.write_eof()
        await client.gone()

    async def main():
        async with ScriptedServer(script) as server:
            backend = HttpBackend(server.member())
            assert (await backend.call(get())).content == b"hello"
            await server.until(lambda: server.open == 0)
            await backend.close()

    run(main())


@pytest.mark.parametrize(
    "head",
    [b"Content-Length: 100000\r\n\r\n", b"Transfer-Encoding: chunked\r\n\r\n186a0\r\n", b"\r\n"],
)
def test_an_answer_may_be_too_large(run, head):
    async def script(client: Conversation) -> None:
        await client.request()
        await client.send(b"HTTP/1.1 200 OK\r\n" + head + b"x" * 100_000)
        await client.gone()

    async def main():
        async with ScriptedServer(script) as server:
            backend = HttpBackend(server.member(), max_response=50_000)
            failure = await failure_of(backend.call(get()))
            assert isinstance(failure.error, ResponseTooLarge)
            assert "50000 bytes" in str(failure.error)
            assert (failure.status, failure.sent) == (STA_NORMAL, True)
            await server.until(lambda: server.open == 0)
            assert backend.busy == 0
            await backend.close()

    run(main())


# -- members that can't be reached


def test_nobody_listens(run):
    async def main():
        backend = HttpBackend(Member("127.0.0.1", closed_port()))
        failure = await failure_of(backend.call(post()))
        assert isinstance(failure.error, NetworkError)
        assert "refused" in str(failure.error)
        assert (failure.status, failure.sent) == (STA_NETERR, False)
        assert backend.busy == 0
        await backend.close()

    run(main())


def test_an_unknown_name(run):
    async def main():
        backend = HttpBackend(Member("no-such-host.invalid", 80))
        failure = await failure_of(backend.call(get()))
        assert isinstance(failure.error, NetworkError)
        assert "no-such-host.invalid" in str(failure.error)
        assert failure.sent is False
        await backend.close()

    run(main())


def test_a_name_is_looked_up(run):
    async def main():
        async with ScriptedServer(always_ok, host="localhost") as server:
            backend = HttpBackend(server.member())
            assert (await backend.call(get())).content == b"ok"
            await backend.close()

    run(main())


def test_ipv6(run):
    async def script(client: Conversation) -> None:
        received = await client.request()
        await client.answer(received.headers["host"].encode())

    async def main():
        try:
            server = await ScriptedServer(script, host="::1").__aenter__()
        except OSError:
            pytest.skip("this machine has no IPv6")
        for host in ("::1", "[::1]"):
            backend = HttpBackend(Member(host, server.port))
            assert (await backend.call(get())).content == f"[::1]:{server.port}".encode()
            await backend.close()
        await server.__aexit__(None)

    run(main())


@pytest.mark.parametrize("host", ["", "a b", "a/b", "a\r\nb", "a:b", "한\n국", "user@host"])
def test_a_host_that_is_none(host):
    async def main():
        with pytest.raises(ConfigError, match="not the name or address"):
            HttpBackend(Member(host, 80))

    asyncio.run(main())


def full_listener() -> tuple[socket.socket, list[socket.socket]]:
    """A port whose queue is full: who connects hears nothing."""
    listener = socket.socket()
    listener.bind(("127.0.0.1", 0))
    listener.listen(0)
    fillers = []
    for _ in range(3):
        filler = socket.socket()
        filler.setblocking(False)
        filler.connect_ex(listener.getsockname())
        fillers.append(filler)
    return listener, fillers


def test_connecting_has_a_limit(run):
    async def main():
        listener, fillers = full_listener()
        backend = HttpBackend(Member("127.0.0.1", listener.getsockname()[1]), connect_seconds=0.1)
        failure = await failure_of(backend.call(get()))
        assert "within 0.1 seconds" in str(failure.error)
        assert (failure.status, failure.sent) == (STA_NETERR, False)
        assert backend.busy == 0
        await backend.close()
        for sock in (listener, *fillers):
            sock.close()

    run(main())


def test_a_call_is_cancelled_while_it_connects(run):
    async def main():
        listener, fillers = full_listener()
        backend = HttpBackend(Member("127.0.0.1", listener.getsockname()[1]), max_conns=1)
        job = asyncio.ensure_future(backend.call(get()))
        for _ in range(5):
            await asyncio.sleep(0)
        assert backend.busy == 1
        job.cancel()
        with pytest.raises(asyncio.CancelledError):
            await job
        assert backend.busy == backend.connections == 0
        await backend.close()
        for sock in (listener, *fillers):
            sock.close()

    run(main())


def test_a_call_is_cancelled_in_the_moment_its_connection_is_made(run, monkeypatch):
    """uvloop does not tell the end of such a connection; nothing may wait for it."""
    jobs = []
    made = HttpConnection.connection_made

    def made_too_late(self, transport):
        made(self, transport)
        jobs[-1].cancel()

    monkeypatch.setattr(HttpConnection, "connection_made", made_too_late)

    async def main():
        async with ScriptedServer(always_ok) as server:
            backend = HttpBackend(server.member())
            jobs.append(asyncio.ensure_future(backend.call(get())))
            with pytest.raises(asyncio.CancelledError):
                await jobs[-1]
            await server.until(lambda: server.connections == 1 and server.open == 0)
            assert backend.busy == backend.connections == 0
            await backend.close()

    run(main())


@pytest.mark.parametrize("dead", ["silent", "refusing"])
def test_another_address_of_the_name_is_tried(run, dead, monkeypatch):
    async def main():
        listener, fillers = full_listener()
        port = listener.getsockname()[1] if dead == "silent" else closed_port()
        async with ScriptedServer(always_ok) as server:
            backend = HttpBackend(Member("some.name", server.port))

            async def resolve():
                addresses = [("127.0.0.1", port), ("127.0.0.1", server.port), ("127.0.0.1", port)]
                return [(socket.AF_INET, address) for address in addresses]

            monkeypatch.setattr(backend._connector, "_resolve", resolve)
            assert (await backend.call(get())).content == b"ok"
            assert server.connections == 1
            await backend.close()
        for sock in (listener, *fillers):
            sock.close()

    run(main())


def test_all_addresses_of_the_name_are_dead(run, monkeypatch):
    async def main():
        backend = HttpBackend(Member("some.name", 80))

        async def resolve():
            return [(socket.AF_INET, ("127.0.0.1", closed_port())) for _ in range(3)]

        monkeypatch.setattr(backend._connector, "_resolve", resolve)
        failure = await failure_of(backend.call(get()))
        assert "some.name:80" in str(failure.error)
        assert failure.sent is False
        await backend.close()

    run(main())


# -- endurance


def test_ten_thousand_calls_leave_nothing_behind(run):
    """Kept, closed and cancelled ones."""

    async def script(client: Conversation) -> None:
        while True:
            received = await client.request()
            kind = received.line.split()[1]
            if kind == "/close":
                await client.send(
                    b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"
                )
            elif kind == "/cut":
                await client.send(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhal")
                return
            elif kind == "/hang":
                await client.gone()
            else:
                await client.send(OK)

    async def main():
        async with ScriptedServer(script) as server:
            backend = HttpBackend(server.member(), max_conns=20)

            async def ask(number: int) -> None:
                kind = {1: "/close", 2: "/cut", 3: "/hang"}.get(number % 50, "/ok")
                job = asyncio.ensure_future(backend.call(get(kind)))
                if kind == "/hang":
                    asyncio.get_running_loop().call_later(0.005, job.cancel)
                try:
                    await job
                except (Failure, asyncio.CancelledError):
                    assert kind in ("/cut", "/hang")

            async def batch(count: int) -> tuple[int, int]:
                for start in range(0, count, 500):
                    await asyncio.gather(*map(ask, range(start, start + 500)))
                await server.until(lambda: server.open <= 20)
                gc.collect()
                return len(gc.get_objects()), len(os.listdir("/proc/self/fd"))

            before = await batch(1000)
            after = await batch(9000)
            assert backend.busy == 0
            assert backend.connections <= 20
            await backend.close()
            assert after[0] - before[0] < 500
            assert after[1] - before[1] <= 40

    run(main())
