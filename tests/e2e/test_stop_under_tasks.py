"""Reload and stop while queries, streams, transactions, commands and processes run.

What runs is finished, or broken off when it takes too long; then nothing of it is left: no process,
no connection of the database.
"""

from __future__ import annotations

import contextlib
import os
import signal
import threading
import time
from typing import TYPE_CHECKING, Any

import psutil
import pytest
import task_fault_app
from live_service import LiveService, eventually, receive, write_files
from rude_upstream import RudeUpstream, rude_upstream

from tests.skitai.postgresql_server import PostgresqlServer, running_postgresql

if TYPE_CHECKING:
    import http.client
    import socket
    from collections.abc import Callable, Iterator
    from pathlib import Path

pytestmark = pytest.mark.e2e

ENDS = 12.0  # seconds that the end may take behind the time for running requests


@pytest.fixture(scope="module")
def pg() -> Iterator[PostgresqlServer]:
    with running_postgresql() as server:
        yield server


@pytest.fixture(scope="module")
def upstream() -> Iterator[RudeUpstream]:
    with rude_upstream() as server:
        yield server


class Scene:
    """A service, and what of it can be seen from outside."""

    def __init__(self, folder: Path, pg: PostgresqlServer, up: int, **options: Any) -> None:
        self._pg = pg
        self._database = pg.new_database()
        write_files(folder, task_fault_app.files(f"{pg.address}/{self._database}", up, **options))
        self.service = LiveService(folder)
        self.known: set[psutil.Process] = set()

    def send(self, path: str, method: str = "GET", more: bytes = b"") -> socket.socket:
        connection = self.service.connect()
        head = f"{method} {path} HTTP/1.1\r\nHost: a\r\n".encode()
        connection.sendall(head + (more or b"\r\n"))
        return connection

    def queries(self) -> list[str]:
        """What the database works at."""
        return self._activity("state <> 'idle'")

    def connections(self) -> list[str]:
        """The last statement of each connection to the database."""
        return self._activity("true")

    def _activity(self, condition: str) -> list[str]:
        with self._pg.connect("postgres") as cursor:
            cursor.execute(
                "select query from pg_stat_activity where datname = %s and "
                f"pid <> pg_backend_pid() and {condition}",
                (self._database,),
            )
            return [query for (query,) in cursor.fetchall()]

    def look(self) -> list[str]:
        """Remember all processes of the service; the command lines of those that run."""
        found = []
        with contextlib.suppress(psutil.NoSuchProcess):
            for process in psutil.Process(self.service.pid).children(recursive=True):
                self.known.add(process)
                with contextlib.suppress(psutil.NoSuchProcess):
                    found.append(" ".join(process.cmdline()))
        return found

    def left(self) -> list[str]:
        """Of all processes that were seen, those that still run."""
        return [str(process) for process in self.known if _runs(process)]


def _runs(process: psutil.Process) -> bool:
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


@pytest.fixture
def scene(
    tmp_path: Path, pg: PostgresqlServer, upstream: RudeUpstream
) -> Iterator[Callable[..., Scene]]:
    with contextlib.ExitStack() as cleanup:

        def begin(**options: Any) -> Scene:
            scene = Scene(tmp_path / "project", pg, upstream.port, **options)
            cleanup.callback(scene.service.close)
            return scene

        yield begin


# What takes a moment, and what it is answered with.
SHORT = {
    "/row/async?seconds=1": b'{"n":1}',
    "/row/plain?seconds=1": b'{"n":1}',
    "/row/then?seconds=1&alias=@two": b'{"n":1}',
    "/row/transaction?seconds=1&alias=@two": b'{"n":1}',
    "/row/transaction_async?seconds=1": b'{"n":1}',
    "/rows/sleeping?seconds=1": b"begunended",
    "/command?text=sleep+1;+echo+done": b"done\n",
    "/proxy/second?timeout=9": b"ok",
    "/get/async/second?timeout=9": b'{"data":"ok"}',
}
PROCESS = "/process?seconds=1"


def test_a_stop_waits_for_what_runs(scene):
    here = scene()
    asked = {path: here.send(path) for path in (*SHORT, PROCESS)}
    eventually(lambda: len(here.queries()) >= 4, "the queries")
    eventually(lambda: any("sleep 1" in line for line in here.look()), "the command")
    eventually(lambda: any("remote.py" in line for line in here.look()), "the process")
    here.service.send(signal.SIGTERM)
    answers = {path: receive(connection) for path, connection in asked.items()}
    assert {answer.status for answer in answers.values()} == {200}
    assert {path: answers[path].content for path in SHORT} == SHORT
    assert here.service.wait() == 0
    assert here.connections() == []
    eventually(lambda: here.left() == [], "the end of all processes")
    assert "Traceback" not in here.service.log()


class Clients:
    """Clients that ask without pause while the ``with`` block runs; see ``failures``."""

    def __init__(self, service: LiveService) -> None:
        self.service = service
        self.answered = 0
        self.failures: list[object] = []
        self._enough = threading.Event()
        self._threads = [threading.Thread(target=self._ask_on, args=(n,)) for n in range(10)]

    def __enter__(self) -> Clients:
        for thread in self._threads:
            thread.start()
        self.wait_for_more()
        return self

    def __exit__(self, *_: object) -> None:
        self._enough.set()
        for thread in self._threads:
            thread.join()

    def wait_for_more(self, count: int = 60) -> None:
        goal = self.answered + count
        eventually(lambda: self.answered >= goal or self.failures, "more answers")

    def _ask_on(self, number: int) -> None:
        paths = [path.replace("=1", "=0.05").replace("+1", "+0.05") for path in SHORT]
        paths = [path.replace("/second", "/ok") for path in paths]
        paths += ["/process?seconds=0.05", "/row/map", "/row/thread_pass", "/rows/generator"]
        while not self._enough.is_set():
            path = paths[number % len(paths)]
            number += 1
            try:
                answer = self._ask(path)
            except Exception as exc:
                self.failures.append((path, repr(exc)))
            else:
                self.answered += 1
                if answer.status != 200:
                    self.failures.append((path, answer.status, answer.content))  # type: ignore[attr-defined]

    def _ask(self, path: str) -> http.client.HTTPResponse:
        return self.service.raw(
            f"GET {path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n".encode()
        )


def test_a_reload_fails_no_request(scene):
    here = scene(workers=2)
    with Clients(here.service) as clients:
        old = set(here.service.workers())
        here.look()
        here.service.send(signal.SIGHUP)
        eventually(lambda: not old & set(here.service.workers()), "the end of the old workers")
        clients.wait_for_more()
    assert clients.failures == []
    assert len(here.service.workers()) == 2
    here.look()
    here.service.close()
    eventually(lambda: here.left() == [], "the end of all processes")
    assert here.connections() == []


# What would take a minute, or for ever.
ENDLESS = (
    "/row/async?seconds=60&timeout=90", "/row/transaction_async?seconds=120&timeout=90",
    "/rows/sleeping?seconds=60", "/row/plain?seconds=60&timeout=90&alias=@two",
    "/row/transaction?seconds=120&timeout=90&alias=@two", "/process/map?seconds=60",
    "/command?text=setsid+sleep+60+%26+sleep+60", "/proxy/silent?timeout=60",
    "/rows/plain?count=1000000000",
)  # fmt: skip


def begin_endless(here: Scene) -> list[socket.socket]:
    """Requests, of which nobody reads an answer; all of their work has begun."""
    assert here.service.get("/left_behind").text == "left"
    connections = [here.send(path) for path in ENDLESS]
    connections.append(here.send("/count", "POST", b"Content-Length: 100\r\n\r\nabc"))
    eventually(lambda: len(here.queries()) >= 5, "the queries")
    eventually(lambda: sum("sleep 60" in line for line in here.look()) >= 3, "the commands")
    eventually(lambda: sum("remote.py" in line for line in here.look()) >= 2, "the processes")
    return connections


def test_a_stop_does_not_wait_for_ever(scene):
    here = scene(drain=0.5)
    begin_endless(here)
    began = time.monotonic()
    here.service.send(signal.SIGTERM)
    assert here.service.wait() == 0
    assert time.monotonic() - began < 0.5 + ENDS
    eventually(lambda: here.left() == [], "the end of all processes")
    eventually(lambda: here.connections() == [], "the end of all connections")
    assert (here.service.folder / "umounted").read_text().count("\n") == 1
    for words in ("never retrieved", "was never awaited", "Task was destroyed", "Fatal"):
        assert words not in here.service.log()


def test_a_stop_ends_a_command_that_will_not_go(scene):
    """It disregards SIGTERM, as does what it has started in a session of its own."""
    here = scene(drain=0.5)
    stubborn = "trap+''+TERM;+setsid+sleep+61+%26+sleep+61"
    connection = here.send(f"/command?text={stubborn}")
    eventually(lambda: sum("sleep 61" in line for line in here.look()) >= 3, "the commands")
    here.service.send(signal.SIGTERM)
    assert here.service.wait() == 0
    assert here.left() == []
    connection.close()


def test_a_reload_does_not_wait_for_ever(scene):
    here = scene(drain=0.5)
    begin_endless(here)
    (old,) = here.service.workers()
    began = time.monotonic()
    here.service.send(signal.SIGHUP)
    eventually(lambda: old not in here.service.workers(), "the end of the old worker")
    assert time.monotonic() - began < 0.5 + ENDS
    eventually(lambda: here.left() == [], "the end of all processes of the old worker")
    eventually(lambda: here.connections() == [], "the end of all connections")
    assert here.service.get("/row/async").json() == {"n": 1}


def test_a_worker_that_is_killed_leaves_nothing(scene):
    here = scene()
    begin_endless(here)
    (old,) = here.service.workers()
    os.kill(old, signal.SIGKILL)
    eventually(lambda: old not in here.service.workers(), "the end of the worker")
    # A command that has left its session, as setsid does, is beyond the reach of the kernel.
    eventually(
        lambda: all("sleep" in left for left in here.left()) and len(here.left()) <= 1,
        "the end of its processes",
    )
    for process in here.known:
        if _runs(process):
            process.kill()
    eventually(lambda: here.service.workers(), "another worker")
    eventually(lambda: here.service.get("/row/async").json() == {"n": 1}, "service")
