"""Many clients, every kind of route: what belongs to a request never shows up in another.

Two workers with four threads each, where requests wait for databases, services, threads and
processes. Each request has a token of its own, and each client a session.
"""

from __future__ import annotations

import http.client
import json
import re
import threading
from collections import Counter
from typing import TYPE_CHECKING, Any

import pytest
import task_isolation_app
from live_service import PATIENCE, LiveService
from rude_upstream import rude_upstream

from tests.skitai.postgresql_server import running_postgresql

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.e2e

CLIENTS = 40
REQUESTS = 126  # of each client
DATA = (
    "plain", "generator", "async", "then", "then_async", "map", "page", "thread_pass", "process",
    "transaction", "rows",
)  # fmt: skip
TEXT = ("queue", "stream", "stream_generator", "stream_async", "input", "proxy", "failing")
KINDS = (*DATA, *TEXT)
TOKEN = re.compile(r"t-\d+-\d+")


class Client:
    """A browser with its cookies.

    Attributes:
        problems: what was wrong.
        answered: how many requests of each kind were right.
    """

    def __init__(self, number: int, port: int) -> None:
        self.number = number
        self.connection = http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE)
        self.cookies: dict[str, str] = {}
        self.session = ""  # the first request that succeeded has put its token there
        self.problems: list[object] = []
        self.answered: Counter[str] = Counter()

    def run(self, together: threading.Barrier) -> None:
        try:
            together.wait(PATIENCE)
            for at in range(REQUESTS):
                kind = KINDS[(self.number + at) % len(KINDS)]
                self.ask(kind, f"t-{self.number}-{at}", hooked=at % 3 == 0)
        except Exception as exc:
            self.problems.append((self.number, repr(exc)))
        finally:
            self.connection.close()

    def ask(self, kind: str, token: str, hooked: bool) -> None:
        path = f"{'/hooked' if hooked else ''}/{kind}/{token}"
        post = kind == "input" or token[-1] in "13579"
        cookies = "; ".join(f"{name}={value}" for name, value in self.cookies.items())
        headers = {"X-Sent": token, "Cookie": cookies, "Content-Type": "application/octet-stream"}
        body = f"{token} " * 5 if post else None
        self.connection.request("POST" if post else "GET", path, body, headers)
        response = self.connection.getresponse()
        text = response.read().decode()
        problem = self.judge(kind, token, hooked, response, text)
        if problem:
            self.problems.append((path, problem, response.status, text[:500]))
        else:
            self.answered[kind] += 1

    def judge(
        self, kind: str, token: str, hooked: bool, response: http.client.HTTPResponse, text: str
    ) -> str:
        if response.status != (409 if kind == "failing" else 200):
            return "status"
        if kind != "failing":
            self.session = self.session or token
        if set(TOKEN.findall(text)) - {token, self.session}:
            return "token of another request"
        if kind == "failing":
            return "" if text.count(token) >= 9 else "tokens are missing"
        sent = dict(
            field.partition(";")[0].split("=", 1)
            for field in response.msg.get_all("Set-Cookie", [])
        )
        if sent.get("token") != token:
            return "cookie"
        self.cookies.update(sent)
        if response.getheader("X-Token") != token:
            return "header"
        # Of a stream, hooks run at its end.
        if hooked and kind in DATA and response.getheader("X-Hook") != token * 2:
            return "header of the hook"
        return self.judge_data(token, text) if kind in DATA else self.judge_text(kind, token, text)

    def judge_data(self, token: str, text: str) -> str:
        answer = json.loads(text)
        if len(answer["tokens"]) < 9 or set(answer["tokens"]) != {token}:
            return "tokens"
        return "" if answer["client"] == self.session else "session"

    def judge_text(self, kind: str, token: str, text: str) -> str:
        tokens = text.replace("/echo/", "").split()
        least = 2 if kind == "proxy" else 20
        return "" if len(tokens) >= least and set(tokens) == {token} else "tokens"


@pytest.fixture(scope="module")
def service(launch_once: Any) -> Iterator[LiveService]:
    with running_postgresql() as pg, rude_upstream() as upstream:
        address = f"{pg.address}/{pg.new_database()}"
        yield launch_once(task_isolation_app.files(address, upstream.port))


def test_what_belongs_to_a_request_stays_with_it(service):
    together = threading.Barrier(CLIENTS)
    clients = [Client(number, service.port) for number in range(CLIENTS)]
    threads = [threading.Thread(target=client.run, args=(together,)) for client in clients]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [problem for client in clients for problem in client.problems][:5] == []
    answered = sum((client.answered for client in clients), Counter())
    assert answered.total() == CLIENTS * REQUESTS > 5000
    assert set(answered) == set(KINDS)
    assert "Traceback" not in service.log()


def test_an_answer_that_comes_too_late_is_never_that_of_another_task(service):
    outcomes = service.get("/deadlines?count=3000").json()
    assert outcomes["wrong"] == []
    assert outcomes["right"] + outcomes["late"] == 3000
    assert min(outcomes["right"], outcomes["late"]) > 100
