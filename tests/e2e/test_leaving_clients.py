"""Clients that leave, at every moment: what worked for them ends, and nothing of it is left."""

from __future__ import annotations

import asyncio
import collections
import contextlib
import random
import socket
import struct
import threading
from typing import TYPE_CHECKING, Any

import psutil
import pytest
import task_fault_app
from live_service import LiveService, eventually, write_files
from rude_upstream import RudeUpstream, rude_upstream

from tests.skitai.postgresql_server import PostgresqlServer, running_postgresql

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.e2e

RESET = struct.pack("ii", 1, 0)
MAX_CONNECTIONS = 4 + 2  # of the two aliases of the database
LEAVERS = 2000
AT_ONCE = 24


class World:
    """A service, and what it needs."""

    def __init__(self, service: LiveService, pg: PostgresqlServer, database: str,
                 upstream: RudeUpstream) -> None:  # fmt: skip
        self.service = service
        self.upstream = upstream
        self.pg = pg
        self.database = database

    def queries(self) -> list[str]:
        """What the database works at for the service."""
        return self._activity("state <> 'idle'")

    def connections(self) -> int:
        """How many the service has to the database."""
        return len(self._activity("true"))

    def _activity(self, condition: str) -> list[str]:
        with self.pg.connect("postgres") as cursor:
            cursor.execute(
                "select query from pg_stat_activity where datname = %s and "
                f"pid <> pg_backend_pid() and {condition}",
                (self.database,),
            )
            return [query for (query,) in cursor.fetchall()]

    def asked(self, path: str) -> int:
        """Requests that the upstream has got."""
        return self.upstream.asked.get(path, 0)

    def children(self) -> list[str]:
        """Programs that the worker has started."""
        (worker,) = self.service.workers()
        found = []
        for child in psutil.Process(worker).children(recursive=True):
            with contextlib.suppress(psutil.NoSuchProcess):
                found.append(" ".join(child.cmdline()))
        return found

    def state(self) -> dict[str, Any]:
        """What the worker holds; see ``/state`` of the app."""
        answer: dict[str, Any] = self.service.get("/state").json()
        return answer


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with running_postgresql() as pg, rude_upstream() as upstream:
        database = pg.new_database()
        folder = tmp_path_factory.mktemp("leaving") / "project"
        write_files(folder, task_fault_app.files(f"{pg.address}/{database}", upstream.port))
        service = LiveService(folder)
        yield World(service, pg, database, upstream)
        service.close()


def request(path: str, method: str = "GET", more: bytes = b"") -> bytes:
    return f"{method} {path} HTTP/1.1\r\nHost: a\r\n".encode() + (more or b"\r\n")


def leave(connection: socket.socket, how: str) -> None:
    if how == "reset":
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
    connection.close()


def nothing_is_left(world: World) -> None:
    """No query runs, and all connections and slots are there for others."""
    eventually(lambda: world.queries() == [], "the end of all queries")
    slow = threading.Thread(target=world.service.get, args=("/row/map?seconds=0.05",))
    slow.start()
    for _ in range(6):
        assert world.service.get("/row/plain?timeout=2").json() == {"n": 1}
        assert world.service.get("/row/plain?timeout=2&alias=@two").json() == {"n": 1}
        assert world.service.get("/get/ok?timeout=2").json() == {"data": "ok"}
    slow.join()
    assert world.connections() <= MAX_CONNECTIONS


ROW_ROUTES = (
    "plain", "generator", "async", "then", "map", "thread_pass", "transaction",
    "transaction_async",
)  # fmt: skip


@pytest.mark.parametrize("how", ["close", "reset"])
def test_while_a_query_runs(how, world):
    connections = []
    for route in ROW_ROUTES[:4] if how == "close" else ROW_ROUTES[4:]:
        connection = world.service.connect()
        connection.sendall(request(f"/row/{route}?seconds=60&timeout=90"))
        connections.append(connection)
    eventually(lambda: len(world.queries()) == 4, "the queries")
    for connection in connections:
        leave(connection, how)
    nothing_is_left(world)


def test_while_others_have_all_connections(world):
    """Those who wait for one leave, and then those who have one."""
    holding, waiting = [], []
    for number in range(10):
        connection = world.service.connect()
        route = ("generator", "async", "then")[number % 3]
        connection.sendall(request(f"/row/{route}?seconds=60&timeout=90&alias=@two"))
        (holding if number < 2 else waiting).append(connection)
        if number == 1:
            eventually(lambda: len(world.queries()) == 2, "the queries")
    for connection in waiting:
        leave(connection, "reset")
    connection = world.service.connect()
    connection.sendall(request("/row/async?timeout=90&alias=@two"))
    for each in holding:
        leave(each, "reset")
    assert connection.recv(1000).startswith(b"HTTP/1.1 200")
    nothing_is_left(world)


@pytest.mark.parametrize("how", ["close", "reset"])
@pytest.mark.parametrize("route", ["plain", "async", "generator", "queue"])
def test_in_the_middle_of_a_stream_of_rows(route, how, world):
    connection = world.service.connect()
    connection.sendall(request(f"/rows/{route}?count=100000000"))
    assert connection.recv(1000).startswith(b"HTTP/1.1 200")
    assert world.queries()
    leave(connection, how)
    nothing_is_left(world)


@pytest.mark.parametrize("how", ["close", "reset"])
def test_between_two_pieces_while_a_query_runs(how, world):
    connection = world.service.connect()
    connection.sendall(request("/rows/sleeping"))
    received = b""
    while b"begun" not in received:
        received += connection.recv(1000)
    eventually(world.queries, "the query")
    leave(connection, how)
    nothing_is_left(world)
    assert "rows_sleeping closed" in world.service.get("/events").json()["events"]


@pytest.mark.parametrize("path", ["/command", "/command/plain", "/process", "/process/map"])
def test_while_a_program_runs(path, world):
    def running() -> bool:
        return any("sleep 60" in child or "remote.py" in child for child in world.children())

    connection = world.service.connect()
    connection.sendall(request(path))
    eventually(running, "the program")
    leave(connection, "reset")
    eventually(lambda: not running(), "the end of the program")


@pytest.mark.parametrize("path", ["/count", "/count/thread", "/proxy/streamed/silent"])
def test_before_the_end_of_their_body(path, world):
    for how in ("close", "reset"):
        asked = world.asked("silent")
        connection = world.service.connect()
        connection.sendall(request(path, "POST", b"Content-Length: 100000\r\n\r\n" + b"x" * 70000))
        if "proxy" in path:
            eventually(
                lambda asked=asked: world.asked("silent") > asked, "the request of the upstream"
            )
        leave(connection, how)
    nothing_is_left(world)


def test_while_a_service_answers(world):
    for path in ("/get/silent", "/get/async/silent", "/proxy/silent", "/proxy/stalls"):
        what = path.rpartition("/")[2]
        asked = world.asked(what)
        connection = world.service.connect()
        connection.sendall(request(f"{path}?timeout=60"))
        eventually(
            lambda what=what, asked=asked: world.asked(what) > asked, "the request of the upstream"
        )
        leave(connection, "reset")
    nothing_is_left(world)


# -- many

PATHS = (
    *[f"/row/{route}?seconds=0.02" for route in (*ROW_ROUTES, "thread")],
    *[f"/row/{route}?seconds=0.02&alias=@two" for route in ROW_ROUTES],
    *[f"/rows/{route}?count=20000" for route in ("plain", "async", "generator", "queue")],
    "/rows/sleeping?seconds=0.02",
    *[f"{way}/{what}" for way in ("/get", "/get/async", "/proxy") for what in ("ok", "stalls")],
    "/command?text=true", "/process?seconds=0",
)  # fmt: skip
BODIES = (
    *[(path, b"Content-Length: 100000\r\n\r\n" + b"x" * 5000)
      for path in ("/count", "/count/thread", "/proxy/streamed/ok")],
    ("/count", b"Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n"),
)  # fmt: skip


async def come_and_leave(port: int, number: int) -> None:
    """One client: it waits a little, or for the first bytes, or for nothing."""
    chance = random.Random(number)
    path, body = chance.choice(BODIES) if chance.random() < 0.15 else (chance.choice(PATHS), b"")
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        writer.write(request(path, "POST" if body else "GET", body))
        patience = chance.choice((0, 0.005, 0.02, 0.05, 0.1, 0.2))
        if chance.random() < 0.3:
            with contextlib.suppress(asyncio.TimeoutError, ConnectionError):
                await asyncio.wait_for(reader.read(chance.choice((1, 1000, 100_000))), patience)
        else:
            await asyncio.sleep(patience)
        if chance.random() < 0.5:
            sock = writer.get_extra_info("socket")
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
    finally:
        writer.transport.abort()


async def come_and_leave_often(port: int, numbers: range) -> None:
    waiting = list(numbers)

    async def client() -> None:
        while waiting:
            await come_and_leave(port, waiting.pop())

    await asyncio.gather(*[client() for _ in range(AT_ONCE)])


class Growth:
    """What the worker holds; ``check`` fails when that has become more."""

    def __init__(self, world: World) -> None:
        self._world = world
        (self._worker,) = world.service.workers()
        self._before = self._settled()
        self._memory = self._resident()

    def _resident(self) -> int:
        memory: int = psutil.Process(self._worker).memory_info().rss
        return memory

    def _settled(self) -> dict[str, Any]:
        nothing_is_left(self._world)
        eventually(lambda: self._world.state()["tasks"] == [], "the end of all coroutines")
        return self._world.state()

    def check(self) -> None:
        now = self._settled()
        # Connections and threads that are kept for others may be a few more, by chance.
        for what, some in (("descriptors", 12), ("threads", 8)):
            before = collections.Counter(self._before[what])
            more = collections.Counter(now[what]) - before
            assert more.total() <= some, (what, more)
        assert self._world.connections() <= MAX_CONNECTIONS
        assert len(self._world.children()) <= 4
        assert self._resident() - self._memory < 16 << 20
        assert self._world.service.workers() == [self._worker]


def test_ten_thousand_tasks_leave_nothing_in_the_worker(world):
    def ask() -> None:
        assert world.service.get("/many?rounds=100").json() == {"total": 5000}

    ask()
    growth = Growth(world)
    for _ in range(2):
        ask()
    growth.check()


def test_two_thousand_who_leave_leave_nothing_in_the_worker(world):
    service = world.service
    asyncio.run(come_and_leave_often(service.port, range(400)))
    growth = Growth(world)
    asyncio.run(come_and_leave_often(service.port, range(1000, 1000 + LEAVERS)))
    growth.check()
    for line in ("never retrieved", "was never awaited", "Task was destroyed", "Fatal"):
        assert line not in service.log()
