"""Sessions kept by a real Redis server."""

from __future__ import annotations

import asyncio
import socket
import threading
from typing import TYPE_CHECKING, Any

import pytest
import redis
import redis.asyncio
from browser import Jar
from redis_server import RedisServer, redis_server

from atila.errors import ConfigError, HTTPError
from atila.state.cookies import Cookie
from atila.state.session import Session, Sessions
from atila.state.session_store import PREFIX, CookieStore, RedisSessionStore

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["redis_server"]

KEY = "ds8fdsflksdjf9879dsf;?<>Asda"


@pytest.fixture
def store(redis_server: RedisServer) -> RedisSessionStore:
    with redis_server.client() as client:
        client.flushdb()
    return RedisSessionStore(redis_server.url)


@pytest.fixture
def kept(redis_server: RedisServer, store: RedisSessionStore):
    """The server's keys, to look at."""
    with redis_server.client() as client:
        yield client


class Client:
    """A browser; its requests may go to several workers."""

    def __init__(self, store: Any) -> None:
        self.sessions = Sessions(KEY, None, store)
        self.jar = Jar()

    def session(self) -> Session:
        return Session(self.sessions, Cookie(self.jar.header), "192.0.2.7")

    def __call__(self, use: Callable[[Session], Any]) -> Any:
        session = self.session()
        result = use(session)
        self.sent = self.jar.take(session.commit())
        return result

    def put(self, **values: Any) -> None:
        self(lambda session: session.update(values))


def test_values_are_on_the_server_and_a_number_is_in_the_cookie(store, kept):
    client = Client(store)
    client.put(user="hans", big="x" * 100_000)
    assert len(client.sent[0].value) < 100
    assert client(dict) == {"user": "hans", "big": "x" * 100_000}
    assert client.sent == []
    (key,) = kept.keys()
    assert key.startswith(PREFIX.encode())
    assert b"hans" in kept.get(key)


def test_all_workers_see_the_same_session(store, redis_server):
    client = Client(store)
    client.put(a=1)
    client.sessions = Sessions(KEY, None, RedisSessionStore(redis_server.url))
    client.put(b=2)
    assert client(dict) == {"a": 1, "b": 2}


def test_a_change_keeps_the_number_and_ends_when_the_session_does(store, kept):
    client = Client(store)
    client.put(a=1)
    client.put(a=2)
    (key,) = kept.keys()
    assert 1195 < kept.ttl(key) <= 1201
    client(lambda session: session.set_expiry(5000))
    assert 4995 < kept.ttl(key) <= 5001


def test_expire_ends_the_session_everywhere(store, kept):
    client = Client(store)
    client.put(a=1)
    copied = dict(client.jar.cookies)
    client(lambda session: session.expire())
    assert client.sent[0].erases
    assert kept.keys() == []
    client.jar.cookies = copied
    assert client(dict) == {}


def test_a_request_that_runs_while_the_session_ends_does_not_bring_it_back(store, kept):
    client = Client(store)
    client.put(a=1)
    slow = client.session()
    assert slow["a"] == 1
    client(lambda session: session.expire())
    slow["a"] = 2
    assert slow.commit() == []
    assert kept.keys() == []


def test_an_emptied_session_is_deleted(store, kept):
    client = Client(store)
    client.put(a=1)
    client(lambda session: session.remove("a"))
    assert client.sent[0].erases
    assert kept.keys() == []


def test_what_is_set_after_expire_has_another_number(store, kept):
    client = Client(store)
    client.put(a=1)
    (before,) = kept.keys()

    def login(session):
        session.expire()
        session["user"] = "hans"

    client(login)
    (after,) = kept.keys()
    assert before != after
    assert client(dict) == {"user": "hans"}


def test_a_number_that_the_server_has_forgotten_is_not_used_again(store, kept):
    client = Client(store)
    client.put(a=1)
    (before,) = kept.keys()
    kept.flushdb()
    assert client(dict) == {}
    client.put(b=2)
    assert kept.keys() != [before]


def test_named_sessions_are_kept_apart(store, kept):
    client = Client(store)

    def use(session):
        session["a"] = 1
        session.mount("ADMIN")
        session["b"] = 2

    client(use)
    assert len(kept.keys()) == 2
    assert client(dict) == {"a": 1}


def test_a_foreign_cookie_does_not_reach_the_server(store, redis_server):
    client = Client(store)
    client.jar.cookies["ATLSES_"] = "x" * 80
    with redis_server.client() as monitor:
        before = monitor.info("commandstats").get("cmdstat_get", {}).get("calls", 0)
        assert client(dict) == {}
        assert monitor.info("commandstats").get("cmdstat_get", {}).get("calls", 0) == before


def test_what_somebody_else_wrote_there_is_an_empty_session(store, kept):
    client = Client(store)
    client.put(a=1)
    (key,) = kept.keys()
    kept.set(key, b"\x80\x04pickle")
    assert client(dict) == {}


def test_a_client_of_the_app_may_be_given(redis_server, store):
    for options in ({}, {"decode_responses": True}):
        with redis.Redis.from_url(redis_server.url, **options) as connection:
            client = Client(RedisSessionStore(connection, prefix="mine:"))
            client.put(a="é")
            assert client(dict) == {"a": "é"}
            assert len(connection.keys("mine:*")) == 1
            connection.flushdb()


@pytest.mark.parametrize("server", [redis.asyncio.Redis(), 5, object()])
def test_only_blocking_clients_of_redis_are_taken(server):
    with pytest.raises(ConfigError, match="give it a URL or a redis.Redis client"):
        RedisSessionStore(server)


def test_a_url_that_is_none_of_redis_is_refused_without_its_password():
    with pytest.raises(ConfigError, match="RedisSessionStore") as caught:
        RedisSessionStore("http://user:secret@localhost")
    assert "secret" not in str(caught.value)


def test_without_the_library_the_message_says_what_to_install(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "redis", None)
    with pytest.raises(ConfigError, match=r"pip install 'skitai\[redis\]'"):
        RedisSessionStore("redis://localhost")


def test_a_server_that_was_started_again_is_found_again(redis_server, store):
    client = Client(store)
    client.put(a=1)
    redis_server.stop()
    redis_server.start()
    assert client(dict) == {}
    client.put(a=2)
    assert client(dict) == {"a": 2}


def test_a_server_that_is_away_is_a_502(tmp_path, log):
    client = Client(RedisSessionStore(f"unix://{tmp_path}/nobody.sock"))
    with pytest.raises(HTTPError, match="502"):
        client.put(a=1)
    assert "Redis failed" in log.text


def test_a_server_that_does_not_answer_is_a_504(tmp_path, log):
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(f"{tmp_path}/silent.sock")
        listener.listen()
        client = Client(RedisSessionStore(f"unix://{tmp_path}/silent.sock", timeout=0.05))
        with pytest.raises(HTTPError, match="504"):
            client.put(a=1)
    assert "did not answer in time" in log.text


def test_a_coroutine_must_not_wait_for_the_server_this_way(store):
    client = Client(store)

    async def use() -> None:
        client.session()["a"] = 1

    with pytest.raises(RuntimeError, match="await was.session.load()"):
        asyncio.run(use())


def test_a_coroutine_loads_and_saves_in_threads(redis_server, store):
    client = Client(store)
    threads = []

    class Watched(RedisSessionStore):
        def _call(self, *args: Any, **options: Any) -> Any:
            threads.append(threading.current_thread())
            return super()._call(*args, **options)

    client.sessions = Sessions(KEY, None, Watched(redis_server.url))

    async def use() -> list[str]:
        session = client.session()
        await session.load()
        session["n"] = (session["n"] or 0) + 1
        values = await session.commit_async()
        assert session.commit() == values
        return values

    for _ in range(2):
        client.jar.take(asyncio.run(use()))
    assert threading.main_thread() not in threads
    assert len(threads) == 3
    assert client(dict) == {"n": 2}


def test_a_coroutine_that_changes_nothing_needs_no_thread_to_commit(store):
    client = Client(store)
    client.put(a=1)

    async def use() -> list[str]:
        session = await client.session().load()
        assert session["a"] == 1
        return await session.commit_async()

    assert asyncio.run(use()) == []


def test_any_object_with_three_methods_is_a_store():
    class Memory:
        blocking = False

        def __init__(self) -> None:
            self.records: dict[bytes, bytes] = {}

        def load(self, ticket):
            return self.records.get(ticket)

        def save(self, ticket, record, deadline):
            ticket = ticket or b"%d" % len(self.records)
            self.records[ticket] = record
            return ticket

        def delete(self, ticket):
            del self.records[ticket]

    memory = Memory()
    client = Client(memory)
    client.put(a=1)
    assert client(dict) == {"a": 1}
    client(lambda session: session.expire())
    assert memory.records == {}


def test_the_default_keeps_nothing():
    store = CookieStore()
    assert store.save(b"old", b"new", 1) == b"new"
    assert store.load(b"new") == b"new"
    store.delete(b"new")
