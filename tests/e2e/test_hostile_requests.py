"""Requests that are broken or meant to break: each gets its own status, the service goes on."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import random
from pathlib import Path

import psutil
import pytest
from hostile_app import FILES, main_app
from hostile_cases import FORM, JSON, MULTIPART, chunked, head, with_body
from hostile_client import TIMEOUT, WORKERS, Client, Counts, held, leave_early, threads
from hostile_requests import CASES
from hostile_values import SCRIPT
from live_service import LiveService, eventually, write_files

pytestmark = pytest.mark.e2e

COMPLAINTS = ("Traceback", " [error:", "Exception ignored", "never retrieved", "never awaited")
HERE = Path(__file__).parent
SERVE = """
    import skitai
    from hostile_app import main_app, meta_app, second_app

    if __name__ == "__main__":
        skitai.register_g ("books", "authors")
        with skitai.preference () as pref:
            pref.set_static ("/static", "static")
            skitai.mount ("/", main_app (), pref, name = "main", subscribe = "second")
        skitai.mount ("/second", second_app (), name = "second")
        skitai.mount ("/meta", meta_app (), name = "meta")
        skitai.run (address="127.0.0.1", network_timeout=1, header_timeout=1, access_log=False)
"""


@contextlib.contextmanager
def serving(folder, **options):
    """The apps in two workers, for production. At the end nothing may be wrong with them."""
    temporary = folder / "temporary"
    temporary.mkdir()
    files = {name: (HERE / name).read_bytes() for name in ("hostile_app.py", "hostile_routes.py")}
    write_files(folder / "project", {"serve.py": SERVE, **files, **FILES})
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TMPDIR", str(temporary))
        service = LiveService(folder / "project", workers=WORKERS, **options)
    workers = set(service.workers())
    try:
        yield service
        assert set(service.workers()) == workers
        assert list(temporary.iterdir()) == []
        assert list((folder / "project").glob("uploads/*")) == []
        log = service.log()
        assert [word for word in COMPLAINTS if word in log] == []
    finally:
        service.close()


@pytest.fixture(scope="module")
def service(tmp_path_factory):
    with serving(tmp_path_factory.mktemp("hostile")) as service:
        yield service


def good(token):
    return head("GET", f"/echo/{token}?a=1")


def check_good(answer, token):
    assert answer.status == 200
    assert json.loads(answer.body) == {"name": token, "args": {"a": "1"}}


def check(case, answer):
    """The answer is one that the case may have, and nothing of ours or of the client leaked."""
    assert answer.status in case.statuses, (case.name, answer)
    names = [name for name, _ in answer.headers]
    assert "X-Evil" not in names, case.name
    assert names.count("Content-Length") <= 1, case.name
    assert b"Traceback" not in answer.body, case.name
    if case.name.startswith("script:") and ("Content-Type", JSON) not in answer.headers:
        assert SCRIPT.encode() not in answer.body
    if ("Content-Type", JSON) in answer.headers and answer.body and answer.status != 206:
        json.loads(answer.body)


# -- one after the other


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_a_hostile_request_gets_its_status(service, case):
    async def run():
        async with Client.connect(service.port) as client:
            check(case, await client.ask(case.data, case.method))
            if case.keeps:
                check_good(await client.ask(good("after")), "after")
            else:
                assert await client.ended()

    asyncio.run(run())


def test_hooks_add_up_over_all_hostile_requests(service):
    async def run():
        for case in CASES:
            async with Client.connect(service.port) as client:
                check(case, await client.ask(case.data, case.method))

    with Counts(service) as counts:
        asyncio.run(run())
    assert counts.unfinished == 0
    assert counts.total["failed"] > 50
    assert counts.total["finish"] > 100
    assert counts.total["heard"] == 1


METHODS = "GET HEAD POST PUT PATCH DELETE OPTIONS TRACE PROPFIND M-SEARCH".split()
ENDLESS = ("/stream/endless", "/stream/async/endless", "/wait")
SAMPLES = {"int:id": "7", "int:shelf": "7", "float:amount": "0.5", "uuid:key": "new"}


def routed():
    """A path of each route and its methods."""
    methods: dict[str, set[str]] = {}
    for route in main_app().routes:
        path = route.rule.text
        if path in ENDLESS or "subdomain" in route.options:
            continue
        for kind, sample in SAMPLES.items():
            path = path.replace(f"<{kind}>", sample)
        path = path.replace("<path:", "<").replace("<", "").replace(">", "")
        methods.setdefault(path, set()).update(route.methods)
    return methods


def check_method(method, path, methods, answer):
    what = (method, path, answer)
    if path.startswith("/gone"):
        assert answer.status == 410, what
    elif method == "OPTIONS":
        assert answer.status in (200, 204), what
    elif method not in methods and not (method == "HEAD" and "GET" in methods):
        assert answer.status == 405, what
        assert set(dict(answer.headers)["Allow"].split(", ")) >= methods, what
    elif path.startswith("/static-file"):
        assert answer.status in (404, 405), what
    else:
        assert answer.status < 500, what
        assert answer.status not in (404, 405), what


def test_every_method_of_every_route_gets_its_status(service):
    async def run():
        async with Client.connect(service.port) as client:
            for path, methods in routed().items():
                for method in METHODS:
                    answer = await client.ask(head(method, path), method)
                    check_method(method, path, methods, answer)

    with Counts(service) as counts:
        asyncio.run(run())
    assert counts.unfinished == 0


def test_static_files_can_only_be_read(service):
    async def run():
        async with Client.connect(service.port) as client:
            for path, read in (("/static/small.txt", 200), ("/no", 404), ("/meta/no", 404)):
                for method in METHODS:
                    answer = await client.ask(head(method, path), method)
                    wanted = read if method in ("GET", "HEAD") else 404
                    assert answer.status == wanted, (method, path, answer)

    asyncio.run(run())


def test_what_is_behind_a_body_is_another_request(service):
    async def run(data, *statuses):
        async with Client.connect(service.port) as client:
            client.writer.write(data)
            answers = [await asyncio.wait_for(client.read(), TIMEOUT) for _ in statuses]
            assert tuple(answer.status for answer in answers) == statuses

    short = with_body("POST", "/echo", FORM, "a=1")
    asyncio.run(run(short + b"garbage\r\n\r\n", 200, 400))
    asyncio.run(run(short + b"\r\n\r\n" + good("x"), 200, 200))
    smuggled = with_body("GET", "/echo", FORM, good("smuggled"))
    asyncio.run(run(smuggled + good("x"), 200, 200))
    asyncio.run(run(chunked("/text", "text/plain", good("smuggled")) + good("x"), 200, 200))


# -- slow ones


@pytest.mark.parametrize(
    "data",
    [
        b"GET /echo HTTP/1.1\r\nHos",
        b"POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\n12345",
        b"POST /upload HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nab",
        b"PUT /things/x HTTP/1.1\r\nHost: a\r\nContent-Length: 2000000\r\n\r\n" + bytes(1_500_000),
    ],
    ids=["head", "body", "chunk", "large body"],
)
def test_a_client_that_stops_in_the_middle_gets_408(service, data):
    async def run():
        async with Client.connect(service.port) as client:
            assert (await client.ask(data)).status == 408
            assert await client.ended()

    asyncio.run(run())


def test_a_body_may_come_slowly(service):
    async def run():
        async with Client.connect(service.port) as client:
            data = with_body("POST", "/echo", FORM, "a=" + "b" * 60)
            for at in range(len(data)):
                client.writer.write(data[at : at + 1])
                await asyncio.sleep(0.002)
            answer = await asyncio.wait_for(client.read(), TIMEOUT)
            assert json.loads(answer.body)["args"] == {"a": "b" * 60}

    asyncio.run(run())


@pytest.mark.parametrize("path", ["/stream/endless", "/stream/async/endless"])
def test_a_client_that_does_not_read_is_dropped(service, path):
    """Its generator is closed; the test would wait in vain for the end of the request."""
    with Counts(service) as counts:
        connection = service.connect()
        connection.sendall(head("GET", path))
        assert connection.recv(12) == b"HTTP/1.1 200"
    assert (counts.total["before"], counts.total["left"], counts.unfinished) == (1, 1, 1)


# -- clients that leave


# What is sent, and how many bytes of the answer are read.
LEAVING = [
    (b"", 0),
    (b"GET /echo HTT", 0),
    (b"GET /echo HTTP/1.1\r\nHos", 0),
    (b"POST /upload HTTP/1.1\r\nHost: a\r\nContent-Length: 500\r\n\r\n", 0),
    (with_body("POST", "/upload", MULTIPART, bytes(2_500_000))[:-9], 0),
    (chunked("/async/echo", JSON, bytes(1_500_000))[:-9], 0),
    (head("POST", "/echo", "Expect: 100-continue", "Content-Length: 5"), 9),
    (head("GET", "/echo"), 0),
    (head("GET", "/async/echo"), 0),
    (head("GET", "/session/visits"), 0),
    (head("GET", "/second/stream?size=100"), 0),
    (head("GET", "/stream?number=100"), 0),
    (head("GET", "/wait"), 0),
    (head("GET", "/stream/endless"), 0),
    (head("GET", "/stream/endless"), 100_000),
    (head("GET", "/stream/async/endless"), 0),
    (head("GET", "/stream/async/endless"), 100_000),
    (head("GET", "/download?name=x"), 1),
    (head("GET", "/static/big.bin"), 1000),
    (head("GET", "/static/medium.txt", "Accept-Encoding: gzip"), 1),
    (head("GET", "/wait") + head("GET", "/echo"), 0),
    (head("GET", "/echo") * 30, 10),
]


def test_clients_may_leave_at_any_time(service):
    rounds = (False, True, False, True)

    async def run():
        for at_once in rounds:
            leaving = (leave_early(service.port, *stage, at_once) for stage in LEAVING * 3)
            await asyncio.gather(*leaving)
            async with Client.connect(service.port) as client:
                check_good(await client.ask(good("still")), "still")

    with Counts(service) as counts:
        asyncio.run(run())
    # The two streams of which much was read, at least; coroutines may end before their handler.
    assert 2 * 3 * len(rounds) <= counts.total["left"] <= counts.unfinished
    assert counts.unfinished <= 3 * len(rounds) * len(LEAVING)


# -- many at once


def test_pipelined_requests_are_answered_in_their_order(service):
    kept = [case for case in CASES if case.keeps and len(case.data) < 20_000]

    async def run(seed):
        chosen = random.Random(seed).choices(kept, k=40)
        pairs = [case.data + good(f"n{at}") for at, case in enumerate(chosen)]
        async with Client.connect(service.port) as client:
            client.writer.write(b"".join(pairs))
            for at, case in enumerate(chosen):
                check(case, await asyncio.wait_for(client.read(case.method), TIMEOUT))
                check_good(await asyncio.wait_for(client.read(), TIMEOUT), f"n{at}")

    async def run_all():
        await asyncio.gather(*(run(seed) for seed in range(6)))

    with Counts(service) as counts:
        asyncio.run(run_all())
    assert counts.unfinished == 0


GROWTH = 8_000_000  # bytes; what a storm leaves in the heaps of two workers is a tenth of its data
SMALL = [case for case in CASES if len(case.data) < 250_000]


async def visit(port, number, steps):
    """Send good and hostile requests and leave some; the connection is kept where it can be."""
    chance = random.Random(number)
    while steps > 0:
        async with Client.connect(port) as client:
            kept = True
            while kept and steps > 0:
                steps -= 1
                kind = chance.random()
                if kind < 0.15:
                    await leave_early(port, *chance.choice(LEAVING), chance.random() < 0.5)
                elif kind < 0.6:
                    case = chance.choice(SMALL)
                    check(case, await client.ask(case.data, case.method))
                    kept = case.keeps
                else:
                    token = f"c{number}-{steps}"
                    check_good(await client.ask(good(token)), token)


async def storm(port, clients, steps):
    """Many visits at once."""
    visits = (visit(port, number, steps) for number in range(clients))
    ends = await asyncio.gather(*visits, return_exceptions=True)
    assert [end for end in ends if end is not None] == []


def test_two_hundred_clients_leave_nothing_in_the_workers(service):
    workers = service.workers()
    eventually(lambda: held(workers[0]) == held(workers[1]), "idle workers")
    idle = held(workers[0])
    memory = [psutil.Process(worker).memory_info for worker in workers]
    asyncio.run(storm(service.port, 200, 6))
    with Counts(service) as counts:
        grown = grow(service, memory)
    eventually(lambda: all(held(worker) == idle for worker in workers), "no more descriptors")
    # Those of an idle worker, and what asyncio.to_thread() may start.
    most = 4 + 4 + (os.cpu_count() or 1) + 4
    assert all(threads(worker) <= most for worker in workers)
    assert counts.total["before"] > 1500
    assert grown < GROWTH
    assert service.workers() == workers


def grow(service, memory):
    """Bytes that the workers have grown in a storm, when they have seen enough of them."""
    for _ in range(4):
        before = sum(info().rss for info in memory)
        asyncio.run(storm(service.port, 200, 12))
        grown = sum(info().rss for info in memory) - before
        if grown < GROWTH:
            break
    return grown


def test_a_service_without_threads_withstands_the_same(tmp_path):
    with serving(tmp_path, threads=0) as service, Counts(service) as counts:
        asyncio.run(storm(service.port, 100, 10))
    assert counts.total["left"] <= counts.unfinished
    assert counts.total["finish"] > 300
