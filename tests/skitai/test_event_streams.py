"""Streams of events end with their worker: clients come again by themselves, to another one."""

from __future__ import annotations

import asyncio
import threading
from typing import TYPE_CHECKING

import httpx
import pytest
from serving import Serving, Toy, happens, until

from atila import Atila
from skitai.server.connection import Connection
from skitai.server.representation import EVENT_STREAM, Head

if TYPE_CHECKING:
    from collections.abc import Iterator
    from concurrent.futures import Future

    from serving import Client

    from skitai.server.exchange import Exchange


class Feed:
    """An app with streams that never end by themselves."""

    def __init__(self) -> None:
        self.told = threading.Event()
        self.closed: list[str] = []
        self.app = Atila("feed")
        self.app.route("/thread")(self.thread)
        self.app.route("/loop")(self.loop)
        self.app.route("/text")(self.text)

    def thread(self, was):
        was.response.content_type = EVENT_STREAM
        return self.pieces()

    def pieces(self):
        try:
            while True:
                yield "data: 1\n\n"
                happens(self.told)
        finally:
            self.closed.append("thread")

    async def loop(self, was):
        was.response.content_type = f"{EVENT_STREAM}; charset=utf-8"
        try:
            yield "data: 1\n\n"
            await asyncio.Event().wait()
        finally:
            self.closed.append("loop")

    async def text(self, was):
        was.response.content_type = "text/plain"
        yield "one"
        while not self.told.is_set():
            await asyncio.sleep(0.001)
        yield "two"


@pytest.fixture
def feed() -> Feed:
    return Feed()


@pytest.fixture
def serving(feed: Feed) -> Iterator[Serving]:
    with Serving(feed.app) as serving:
        yield serving


def drain(serving: Serving) -> Future[bool]:
    return asyncio.run_coroutine_threadsafe(serving.server.drain(600), serving.loop)


def ends_in_order(client: Client) -> bool:
    return client.read_chunk() == b"" and client.is_closed()


@pytest.mark.parametrize("kind", ["thread", "loop"])
def test_a_drain_completes_them_and_the_app_finds_its_client_gone(
    serving: Serving, feed: Feed, kind: str
) -> None:
    with serving.connect() as client:
        client.send(f"GET /{kind} HTTP/1.1", "Host: a")
        assert client.read_head().status == 200
        assert client.read_chunk() == b"data: 1\n\n"
        draining = drain(serving)
        assert ends_in_order(client)
    assert draining.result(30) is True
    feed.told.set()
    until(lambda: feed.closed == [kind], "the end of the generator")


def test_one_that_begins_during_a_drain_sends_its_client_away(serving: Serving, feed: Feed) -> None:
    with serving.connect() as first, serving.connect() as second:
        first.send("GET /text HTTP/1.1", "Host: a")
        assert first.read_head().status == 200
        draining = drain(serving)
        until(lambda: serving.server.draining, "the drain")
        second.send("GET /loop HTTP/1.1", "Host: a")
        assert second.read_head()["Connection"] == "close"
        while second.read_chunk():
            pass
        assert second.is_closed()
        feed.told.set()
        assert [first.read_chunk() for _ in range(3)] == [b"one", b"two", b""]
    assert draining.result(30) is True
    until(lambda: feed.closed == ["loop"], "the end of the generator")


def test_other_streams_are_finished(serving: Serving, feed: Feed) -> None:
    with serving.connect() as client:
        client.send("GET /text HTTP/1.1", "Host: a")
        assert client.read_head().status == 200
        assert client.read_chunk() == b"one"
        draining = drain(serving)
        until(lambda: serving.server.draining, "the drain")
        feed.told.set()
        assert [client.read_chunk() for _ in range(2)] == [b"two", b""]
    assert draining.result(30) is True


def test_a_stream_whose_client_has_left_is_forgotten(serving: Serving, feed: Feed) -> None:
    with serving.connect() as client:
        client.send("GET /loop HTTP/1.1", "Host: a")
        assert client.read_head().status == 200
        until(lambda: serving.server.event_streams, "the stream")
    until(lambda: not serving.server.event_streams, "the end of the stream")
    assert feed.closed == ["loop"]


def test_over_http2_the_stream_ends_and_its_connection_too(serving: Serving, feed: Feed) -> None:
    url = "http://{}:{}/loop".format(*serving.address)
    with httpx.Client(http1=False, http2=True, timeout=30) as client:
        with client.stream("GET", url) as response:
            pieces = response.iter_raw()
            assert next(pieces) == b"data: 1\n\n"
            draining = drain(serving)
            assert list(pieces) == []
        assert draining.result(30) is True
    until(lambda: feed.closed == ["loop"], "the end of the generator")


def test_one_that_ends_by_itself_is_forgotten() -> None:
    def events(exchange: Exchange) -> None:
        exchange.start(Head(200, EVENT_STREAM))
        exchange.write(b"data: 1\n\n")
        exchange.end()

    app = Toy()
    app.loop("/", events)
    with Serving(app) as serving:
        assert serving.get("/").body == b"data: 1\n\n"
        assert not serving.server.event_streams


def test_one_whose_client_leaves_while_it_begins_is_forgotten(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    begin = Connection.start

    def begin_and_leave(connection: Connection, exchange: Exchange, head: Head) -> None:
        begin(connection, exchange, head)
        exchange.lost()

    monkeypatch.setattr(Connection, "start", begin_and_leave)
    app = Toy()
    app.loop("/", lambda exchange: exchange.start(Head(200, EVENT_STREAM)))
    with Serving(app) as serving, serving.connect() as client:
        client.send("GET / HTTP/1.1", "Host: a")
        assert client.read_head().status == 200
        assert not serving.server.event_streams
