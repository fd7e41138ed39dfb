"""Databases and services that are full, slow, broken, lying or gone: the right status, in time.

Whatever they do the worker lives, nobody waits beyond the deadline, and when they are well again
everything works.
"""

from __future__ import annotations

import collections
import http.client
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import psutil
import pytest
import task_fault_app
from live_service import PATIENCE, LiveService, eventually, write_files
from rude_upstream import SAYINGS, RudeUpstream, rude_upstream

from tests.skitai.postgresql_server import PostgresqlServer, running_postgresql

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

pytestmark = pytest.mark.e2e

# What a machine that has more to do may add to a deadline, in seconds.
LATE = 4.0


@pytest.fixture(scope="module")
def upstream() -> Iterator[RudeUpstream]:
    with rude_upstream() as server:
        yield server


@pytest.fixture(scope="module")
def other() -> Iterator[RudeUpstream]:
    with rude_upstream() as server:
        yield server


@pytest.fixture(scope="module")
def third() -> Iterator[RudeUpstream]:
    with rude_upstream() as server:
        yield server


@pytest.fixture(scope="module")
def pg() -> Iterator[PostgresqlServer]:
    with running_postgresql() as server:
        yield server


@pytest.fixture(scope="module")
def service(
    tmp_path_factory: pytest.TempPathFactory, pg: PostgresqlServer, upstream: RudeUpstream,
    other: RudeUpstream, third: RudeUpstream,
) -> Iterator[LiveService]:  # fmt: skip
    folder = tmp_path_factory.mktemp("faults") / "project"
    address = f"{pg.address}/{pg.new_database()}"
    ports = upstream.port, other.port, third.port
    write_files(folder, task_fault_app.files(address, *ports))
    service = LiveService(folder)
    yield service
    service.close()


@pytest.fixture(autouse=True)
def same_worker(service: LiveService) -> Iterator[None]:
    before = service.workers()
    yield
    assert service.get("/ok").text == "ok"
    assert service.workers() == before


# -- a full pool


@pytest.mark.parametrize("route", ["async", "plain", "transaction_async"])
def test_who_waits_too_long_for_a_connection_gets_503_and_others_their_row(route, service):
    """Fifty who want a quarter of a second each of two connections, and have one second."""

    def ask(_: int) -> tuple[int, float]:
        began = time.monotonic()
        path = f"/row/{route}?alias=@two&seconds=0.25&timeout=1"
        return service.get(path).status_code, time.monotonic() - began

    count = 12 if route == "plain" else 50  # there are four threads for plain functions
    with ThreadPoolExecutor(count) as clients:
        answers = list(clients.map(ask, range(count)))
    statuses = collections.Counter(status for status, _ in answers)
    # Who gets a connection in the last moment has none for long enough.
    assert set(statuses) <= {200, 503, 504}
    assert statuses[200] >= 4
    if route == "async":
        assert statuses[503] >= 10
    # Plain functions wait for one of four threads first, transactions have two statements.
    limit = {"async": 1, "transaction_async": 2, "plain": count / 4}[route]
    assert max(took for _, took in answers) < limit + LATE
    assert service.get("/row/async?alias=@two&timeout=2").json() == {"n": 1}


# -- services that keep no rules

# What `get` is answered with: a broken answer of an upstream is 502, none in time 504. The status
# that a proxy passes on is 200 when that was sent already: then the body breaks off.
GOOD = {"until_closed", "no_content", "interim", "odd_text", "ok", "leaves", "too_much", "echo"}
SLOW = {"second", "silent", "stalls", "drips"}
BROKEN_LATE = {
    "huge_length", "cut_chunk", "cut_end", "bad_chunk", "huge_chunk", "endless_extension", "stalls",
}  # fmt: skip
# Compressed bodies are passed on as they are.
PASSED_ON = {"bad_gzip": 200, "cut_gzip": 200, "bomb": 200, "bad_json": 200, "early": 413}
DOINGS = {name[4:] for name in dir(RudeUpstream) if name.startswith("_do_")}
ALL = sorted({*SAYINGS, *DOINGS} - {"endless_body", "second"})


def timed(ask: Callable[[], Any]) -> tuple[Any, float]:
    began = time.monotonic()
    return ask(), time.monotonic() - began


def ask(service: LiveService, path: str) -> int:
    """The status; negative when the body broke off."""
    connection = http.client.HTTPConnection("127.0.0.1", service.port, timeout=PATIENCE)
    try:
        connection.request("GET", path, headers={"Accept-Encoding": "gzip"})
        response = connection.getresponse()
        try:
            while response.read(1 << 20):
                pass
            if response.length:  # `read` of a number of bytes doesn't mind
                return -response.status
        except (http.client.HTTPException, OSError):
            return -response.status
        return response.status
    finally:
        connection.close()


@pytest.mark.parametrize("what", ALL)
def test_a_rude_service_gets_nobody_into_trouble(what, service):
    expected = 200 if what in GOOD else 504 if what in SLOW else 502
    timeout = 0.3 if what in SLOW else 5
    for way in ("get", "get/async", "post"):
        path = f"/{way}/{what}?timeout={timeout}"
        status, took = timed(lambda path=path: ask(service, path))
        # What is sent while a service leaves may have reached it: a POST is not sent again.
        left = way == "post" and (what == "leaves" or what in SAYINGS)
        allowed = (expected, 502) if left else (expected,)
        assert status in allowed, path
        assert took < timeout + LATE
    if what == "stalls":
        return  # in the middle of a body it has a minute
    status, took = timed(lambda: ask(service, f"/proxy/{what}?timeout={timeout}"))
    expected = -200 if what in BROKEN_LATE else PASSED_ON.get(what, expected)
    assert status == (204 if what == "no_content" else expected)
    assert took < timeout + LATE


def test_an_endless_body_is_refused_or_passed_on_in_constant_memory(service):
    (worker,) = (psutil.Process(pid) for pid in service.workers())
    assert service.get("/get/endless_body?timeout=20").status_code == 502
    before = worker.memory_info().rss
    connection = http.client.HTTPConnection("127.0.0.1", service.port, timeout=PATIENCE)
    connection.request("GET", "/proxy/endless_body")
    response = connection.getresponse()
    for _ in range(100):
        assert len(response.read(1 << 20)) == 1 << 20
    assert worker.memory_info().rss - before < 24 << 20
    connection.close()


def test_after_all_that_the_connections_are_free(service, upstream):
    with ThreadPoolExecutor(8) as clients:
        answers = clients.map(lambda _: service.get("/get/async/ok?timeout=3").json(), range(40))
        assert all(answer == {"data": "ok"} for answer in answers)
    eventually(lambda: upstream.open <= 4, "the end of the connections")


def test_connections_that_the_service_closes_while_they_are_idle_cost_no_request(service):
    """Each answer promises a connection that is closed in the next moment."""
    with ThreadPoolExecutor(8) as clients:
        statuses = clients.map(lambda _: ask(service, "/get/async/leaves?timeout=5"), range(400))
        assert collections.Counter(statuses) == {200: 400}


# -- one of three is gone


def test_a_dead_member_costs_no_request_and_is_used_again_when_it_is_back(
    service, upstream, other, third
):
    members = (upstream, other, third)

    def get_many(path: str, count: int = 60) -> collections.Counter[int]:
        """The statuses of many requests; they are spread over the living members."""
        with ThreadPoolExecutor(6) as clients:
            return collections.Counter(clients.map(lambda _: ask(service, path), range(count)))

    for path in ("/get/ok?alias=@three", "/proxy/ok?alias=@three"):
        before = [member.asked.get("ok", 0) for member in members]
        assert get_many(path) == {200: 60}
        after = [member.asked.get("ok", 0) for member in members]
        assert all(new > old for new, old in zip(after, before, strict=True))
        port = third.port
        third.close()
        assert get_many(path) == {200: 60}
        assert get_many("/post/ok?alias=@three", 20) == {200: 20}
        third.__init__(port)  # type: ignore[misc]  # the same one, started again
        eventually(
            lambda path=path: (ask(service, path) == 200) and third.asked.get("ok"),
            "the use of the member that is back",
        )


def test_a_service_that_is_gone_is_502_at_once(service, upstream):
    port = upstream.port
    upstream.close()
    for path in ("/get/ok", "/get/async/ok", "/post/ok", "/proxy/ok"):
        status, took = timed(lambda path=path: ask(service, path))
        assert (path, status) == (path, 502)
        assert took < LATE
    upstream.__init__(port)  # type: ignore[misc]  # the same one, started again
    for path in ("/get/ok", "/get/async/ok", "/post/ok", "/proxy/ok"):
        assert ask(service, path) == 200


# -- the database goes under load

ROUTES = ("plain", "generator", "async", "then", "map", "thread_pass", "transaction",
          "transaction_async")  # fmt: skip


class Load:
    """Clients that ask for rows without pause while the ``with`` block runs."""

    def __init__(self, service: LiveService) -> None:
        self.service = service
        self.statuses: collections.Counter[int] = collections.Counter()
        self.longest = 0.0
        self._enough = threading.Event()
        self._threads = [threading.Thread(target=self._ask_on, args=(n,)) for n in range(8)]

    def __enter__(self) -> Load:
        for thread in self._threads:
            thread.start()
        self.wait_for(200)
        return self

    def __exit__(self, *_: object) -> None:
        self._enough.set()
        for thread in self._threads:
            thread.join()

    def wait_for(self, status: int, count: int = 20) -> None:
        goal = self.statuses[status] + count
        eventually(lambda: self.statuses[status] >= goal, f"{count} answers with {status}")

    def _ask_on(self, number: int) -> None:
        while not self._enough.is_set():
            route = ROUTES[number % len(ROUTES)]
            path = f"/row/{route}?seconds=0.01&timeout=3"
            status, took = timed(lambda path=path: ask(self.service, path))
            self.statuses[status] += 1
            self.longest = max(self.longest, took)
            number += 1


@pytest.mark.parametrize("how", ["stop", "kill"])
def test_a_database_that_goes_and_comes_back_under_load(how, service, pg):
    with Load(service) as load:
        getattr(pg, how)()
        load.wait_for(502)
        pg.start()
        eventually(lambda: ask(service, "/row/plain") == 200, "the database again")
        load.statuses.clear()
        load.wait_for(200, 100)
        assert set(load.statuses) <= {200, 502}
        assert load.statuses[502] <= 8, "those that were under way"
    with Load(service) as load:
        load.wait_for(200, 100)
    assert set(load.statuses) == {200}
    assert load.longest < 3 + LATE


def test_a_database_that_falls_silent_is_504_and_no_standstill(service, pg):
    pg.freeze()
    try:
        with ThreadPoolExecutor(len(ROUTES)) as clients:
            paths = [f"/row/{route}?timeout=0.3" for route in ROUTES]
            answers = list(clients.map(lambda path: timed(lambda: ask(service, path)), paths))
    finally:
        pg.thaw()
    assert {status for status, _ in answers} <= {504, 503}
    assert max(took for _, took in answers) < 0.3 + LATE
    eventually(lambda: ask(service, "/row/plain") == 200, "the database again")
    with Load(service) as load:
        load.wait_for(200, 100)
    assert set(load.statuses) == {200}
