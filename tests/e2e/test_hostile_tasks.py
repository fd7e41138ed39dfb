"""Tasks and deferred responses of apps that do everything wrong: an answer each, and no harm."""

from __future__ import annotations

import contextlib
import http.client
import itertools
import json
import socket
import struct
import time
from concurrent.futures import ThreadPoolExecutor

import hostile_task_app
import psutil
import pytest
from live_service import PATIENCE, eventually, receive
from rude_upstream import rude_upstream

pytestmark = pytest.mark.e2e

# What app code may raise; the worker has to survive all of it.
KINDS = (
    "error", "exit", "interrupt", "closed", "cancelled", "base", "stop", "stop_async", "timeout",
    "strange", "slotted", "wanting",
)  # fmt: skip
PLACES = (
    "plain", "async", "async_late", "generator", "generator_late", "thread", "process", "then",
    "then_async", "thread_pass", "filter_of_thread", "filter_of_map", "map", "stream",
    "stream_async", "queue",
)  # fmt: skip


@pytest.fixture(scope="module")
def upstream():
    with rude_upstream() as server:
        yield server


@pytest.fixture(scope="module")
def service(launch_once, upstream):
    return launch_once(hostile_task_app.files(upstream.port))


@pytest.fixture(autouse=True)
def nobody_harmed(service):
    """The same worker serves before and after each test."""
    before = service.workers()
    yield
    assert service.get("/ok").text == "ok"
    assert service.workers() == before


def events(service):
    return service.get("/events").json()["events"]


def begin(service, path, method="GET"):
    """Send a request and read the first bytes of its answer."""
    connection = service.connect()
    connection.sendall(f"{method} {path} HTTP/1.1\r\nHost: a\r\n\r\n".encode())
    assert connection.recv(1000).startswith(b"HTTP/1.1 200")
    return connection


# -- exceptions


@pytest.mark.parametrize("place", PLACES)
def test_whatever_an_app_raises_is_a_500(place, browser):
    answers = {kind: browser(f"/raise/{place}/{kind}", timeout=10).status_code for kind in KINDS}
    assert answers == dict.fromkeys(KINDS, 500)


@pytest.mark.parametrize("kind", KINDS)
def test_a_callback_that_raises_concerns_nobody_else(kind, service, browser):
    assert browser(f"/callback/{kind}", timeout=10).json() == {"data": "ok"}
    assert ["callback", 200] in events(service)


@pytest.mark.parametrize("how", ["plain", "map", "then", "stream", "queue"])
def test_hooks_that_fail_around_a_response(how, browser):
    """The response is that of the first failure, or the one that was begun before."""
    for kind in ("error", "exit", "interrupt", "base", "stop"):
        expected = {"before": 500, "handler": 500, "failed": 200, "teardown": 200, "page": 200}
        for where, status in expected.items():
            assert browser(f"/worse/{how}?{where}={kind}", timeout=10).status_code == status
        # Behind a stream the hook runs when everything has been sent.
        status = 200 if how in ("stream", "queue") else 500
        assert browser(f"/worse/{how}?finish={kind}", timeout=10).status_code == status
        html = {"Accept": "text/html"}
        both = f"handler=error&failed={kind}&teardown={kind}&page={kind}"
        response = browser(f"/worse/{how}?{both}", headers=html, timeout=10)
        assert response.status_code == 500


# -- what then, generators and producers may not do


@pytest.mark.parametrize("what", ["none", "self", "self_async", "task", "class"])
def test_then_that_leads_to_no_response(what, browser):
    assert browser(f"/then/{what}", timeout=10).status_code == 500


@pytest.mark.parametrize(
    "what", ["none", "number", "class", "list", "generator", "function", "api", "then", "map"]
)
def test_generators_that_yield_nonsense(what, browser):
    assert browser(f"/yields/{what}", timeout=10).status_code == 500


@pytest.mark.parametrize("how", ["raises", "exits", "ignores", "waits"])
def test_generators_that_will_not_be_closed(how, service):
    begin(service, f"/closes/{how}").close()
    eventually(lambda: f"{how} closed" in events(service), "the end of the generator")
    assert "went on" not in events(service)


def test_an_infinite_generator_ends_with_its_client_and_lets_others_have_their_turn(service):
    connection = begin(service, "/infinite")
    with connection:
        for _ in range(20):
            assert connection.recv(100_000)
            began = time.monotonic()
            assert service.get("/ok").text == "ok"
            assert time.monotonic() - began < 5
    eventually(lambda: "infinite closed" in events(service), "the end of the generator")


def test_a_stream_that_says_nothing_notices_that_its_client_left(service):
    begin(service, "/empty_pieces").close()
    eventually(lambda: "empty pieces closed" in events(service), "the end of the generator")


@pytest.mark.parametrize("kind", ["close", "reset"])
def test_a_stream_that_waits_notices_that_its_client_left(kind, service):
    already = events(service).count("quiet closed")
    connection = begin(service, "/quiet/x")
    if kind == "reset":
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    connection.close()
    eventually(lambda: events(service).count("quiet closed") > already, "the generator's end")


def test_a_stuck_producer_does_not_keep_its_client_waiting(service):
    connection = http.client.HTTPConnection("127.0.0.1", service.port, timeout=PATIENCE)
    began = time.monotonic()
    connection.request("GET", "/producer/stuck")
    with pytest.raises(http.client.IncompleteRead):
        connection.getresponse().read()
    assert time.monotonic() - began < 10, "the producer takes 20 seconds"
    assert "released" not in events(service)
    service.get("/release")
    eventually(lambda: "released" in events(service), "the end of the producer")
    connection.close()


def test_a_producer_that_is_deaf_ends_when_its_client_left(service):
    for _ in range(3):
        begin(service, "/producer/deaf").close()
    eventually(lambda: service.get("/pool").json()["busy"] == 0, "the end of the producers")


def test_a_producer_of_nonsense_breaks_its_response_off(browser):
    assert browser("/producer/odd").status_code == 500


# -- input


@pytest.mark.parametrize(
    ("size", "status"),
    [("zero", 500), ("minus", 500), ("text", 500), ("none", 500), ("float", 500), ("huge", 200),
     ("true", 200)],
)  # fmt: skip
def test_blocks_of_odd_sizes(size, status, browser):
    response = browser(f"/input/{size}", "POST", data=b"abc")
    assert response.status_code == status
    if status == 200:
        assert response.text == ("a" if size == "true" else "abc")


def test_two_who_read_a_body_at_once(browser):
    answer = browser("/input_twice", "POST", data=b"x" * 25).json()
    assert sorted(answer["both"]) in (["RuntimeError", "bytes"], ["bytes", "bytes"])
    assert len(answer["rest"]) == 25 - 10 * answer["both"].count("bytes")


@pytest.mark.parametrize("path", ["/input_fetch/here", "/input_fetch/map", "/input_fetch_late"])
def test_a_body_that_is_fetched_on_the_loop_is_an_error_and_no_standstill(path, service):
    connection = service.connect()
    head = b"POST %b HTTP/1.1\r\nHost: a\r\nContent-Length: 99\r\n\r\n" % path.encode()
    connection.sendall(head + b"x" * 20)
    assert receive(connection).status == 500
    assert "yield it or await it" in service.log()


# -- processes


def test_results_of_processes_may_be_large(browser):
    assert browser(f"/large/{30 << 20}").json() == {"size": 30 << 20}


@pytest.mark.parametrize(
    "what",
    ["function", "argument", "local_error", "local_result", "dies", "recursive", "lying"],
)
def test_what_can_not_come_back_from_a_process_is_an_error(what, browser):
    assert browser(f"/no_pickle/{what}", timeout=20).status_code == 500


# -- hooks around what is made later


def balance(service):
    """Requests that were begun and torn down, without the one that asks."""
    counts = service.get("/hooked/counts").json()
    return counts["before"] - 1 == counts["teardown"]


@pytest.mark.parametrize("path", ["then", "stream", "queue", "proxy/ok", "map_for_nobody"])
def test_every_request_is_torn_down_once(path, service, browser):
    for _ in range(5):
        connection = service.connect()
        connection.sendall(f"GET /hooked/{path} HTTP/1.1\r\nHost: a\r\n\r\n".encode())
        connection.close()
        if path != "map_for_nobody":
            assert browser(f"/hooked/{path}").status_code == 200
    eventually(lambda: balance(service), "the end of all requests")


def test_hooks_at_the_end_have_tasks_also_when_the_client_has_left(service):
    connection = service.connect()
    connection.sendall(b"GET /hooked/map_for_nobody?clear=1 HTTP/1.1\r\nHost: a\r\n\r\n")
    connection.close()
    eventually(lambda: service.get("/hooked/counts").json()["cleared"] == 1, "the hook's task")


@pytest.mark.parametrize("how", ["replace=1", "break=1"])
def test_an_answer_of_an_upstream_that_is_not_passed_on_frees_its_connection(
    how, browser, upstream
):
    for _ in range(10):
        began = time.monotonic()
        response = browser(f"/hooked/proxy/stalls?{how}")
        assert (response.status_code == 500) == ("break" in how)
        assert time.monotonic() - began < 2.5
    assert browser("/proxy/ok").text == "ok"
    eventually(lambda: upstream.open <= 4, "the end of the connections")


# -- clients


@pytest.mark.parametrize("path", ["/pieces", "/apieces", "/map", "/then_up", "/proxy/ok"])
def test_clients_of_http_1_0(path, service):
    response = service.raw(f"GET {path} HTTP/1.0\r\nHost: a\r\n\r\n".encode())
    assert response.status == 200
    assert response.getheader("Transfer-Encoding") is None
    assert response.content.startswith((b"piece 0 piece 1 piece 2", b'{"data":"ok"}', b"ok"))


@pytest.mark.parametrize("path", ["/pieces", "/apieces", "/map", "/then_up", "/proxy/ok", "/fetch"])
def test_head_has_the_head_only_and_the_connection_goes_on(path, service):
    connection = service.connect()
    for method in ("HEAD", "GET", "HEAD", "GET"):
        connection.sendall(f"{method} {path} HTTP/1.1\r\nHost: a\r\n\r\n".encode())
        response = receive(connection, method)
        assert (response.status, bool(response.content)) == (200, method == "GET")


def test_pipelined_requests_are_answered_in_their_order(service):
    paths = ["/apieces", "/waiting", "/pieces", "/ok", "/map", "/then_up", "/proxy/ok", "/fetch"]
    connection = service.connect()
    requests = b"".join(b"GET %b HTTP/1.1\r\nHost: a\r\n\r\n" % path.encode() for path in paths)
    connection.sendall(requests)
    with connection.makefile("rb") as answers:
        bodies = [read_answer(answers) for _ in paths]
    pieces, data = b"piece 0 piece 1 piece 2 ", b'{"data":"ok"}'
    assert bodies == [pieces, b"ok", pieces, b"ok", data, data, b"ok", data]


def read_answer(file):
    """The body of the next of several answers."""
    assert file.readline() == b"HTTP/1.1 200 OK\r\n"
    fields = dict(
        line.decode().strip().lower().split(": ", 1) for line in iter(file.readline, b"\r\n")
    )
    if "content-length" in fields:
        return file.read(int(fields["content-length"]))
    body = b""
    while size := int(file.readline(), 16):
        body += file.read(size + 2)[:-2]
    file.readline()
    return body


def test_a_client_that_waits_for_the_word_to_send_its_body(service):
    for path, expected in (("/count", {"total": 5}), ("/body", {"total": 5})):
        connection = service.connect()
        connection.sendall(
            b"POST %b HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n"
            % path.encode()
        )
        assert connection.recv(1000) == b"HTTP/1.1 100 Continue\r\n\r\n"
        connection.sendall(b"hello")
        assert json.loads(receive(connection).content) == expected


def test_bodies_have_a_limit_where_they_are_kept_and_none_where_they_are_read(service):
    (worker,) = (psutil.Process(pid) for pid in service.workers())

    def post(path, size):
        connection = http.client.HTTPConnection("127.0.0.1", service.port, timeout=PATIENCE)
        pieces = itertools.repeat(b"x" * 65536, size // 65536)
        with contextlib.suppress(ConnectionError):
            connection.request("POST", path, pieces, encode_chunked=True)
        response = connection.getresponse()
        answer = response.status, json.loads(response.read())
        connection.close()
        return answer

    assert post("/body", 1 << 20) == (200, {"total": 1 << 20})
    assert post("/body", 2 << 20)[0] == 413
    assert post("/count", 64 << 20) == (200, {"total": 64 << 20})
    before = worker.memory_info().rss
    assert post("/count", 128 << 20) == (200, {"total": 128 << 20})
    assert worker.memory_info().rss - before < 16 << 20


def test_a_slow_sender_and_reader_of_a_stream(service):
    """A byte at a time, there and back."""
    connection = service.connect()
    connection.sendall(b"POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n")
    answer = b""
    for letter in b"slow":
        for byte in b"1\r\n%c\r\n" % letter:
            connection.sendall(bytes((byte,)))
        while not answer.endswith(b"1\r\n%c\r\n" % letter):
            answer += connection.recv(1)
    connection.sendall(b"0\r\n\r\n")
    while not answer.endswith(b"0\r\n\r\n"):
        answer += connection.recv(1)


def test_a_sender_that_falls_silent_in_the_middle_of_a_streamed_body(service):
    """Nobody knows whether it is still there: it has ``network_timeout``, here two seconds."""
    connection = service.connect()
    connection.sendall(b"POST /count HTTP/1.1\r\nHost: a\r\nContent-Length: 100\r\n\r\nabc")
    assert receive(connection).status == 408


# -- waiting


@pytest.mark.parametrize("path", ["/waiting", "/waiting_generator"])
def test_500_coroutines_that_wait_a_second_each_take_little_more(path, service):
    def ask(_):
        return service.raw(f"GET {path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n".encode())

    with ThreadPoolExecutor(500) as clients:
        began = time.monotonic()
        answers = list(clients.map(ask, range(500)))
        took = time.monotonic() - began
    assert {(answer.status, answer.content) for answer in answers} == {(200, b"ok")}
    assert took < 20, "one after the other they would take 500 seconds"


# -- without threads


@pytest.fixture(scope="module")
def threadless(tmp_path_factory, upstream):
    from live_service import LiveService, write_files

    folder = tmp_path_factory.mktemp("threadless") / "project"
    write_files(folder, hostile_task_app.files(upstream.port, threads=0))
    service = LiveService(folder)
    yield service
    service.close()


@pytest.mark.parametrize("path", ["/apieces", "/waiting", "/map", "/then_up", "/proxy/ok"])
def test_without_threads_whatever_does_not_block_works(path, threadless):
    assert threadless.get(path).status_code == 200


def test_without_threads_streams_queues_and_hooks_work(threadless):
    assert threadless.get("/pieces").text == "piece 0 piece 1 piece 2 "
    assert threadless.get("/hooked/then").json() == {"x": 1}
    assert threadless.get("/hooked/stream").text == "ab"
    assert threadless.get("/hooked/queue").text == "x"
    assert threadless.get("/hooked/proxy/ok").text == "ok"
    eventually(lambda: balance(threadless), "the end of all requests")


def test_without_threads_what_blocks_is_refused_and_says_why(threadless):
    assert threadless.get("/fetch").status_code == 500
    assert "yield it or await it first" in threadless.log()


@pytest.mark.parametrize("place", sorted({*PLACES} - {"thread", "filter_of_thread"}))  # they wait
def test_without_threads_whatever_an_app_raises_is_a_500(place, threadless):
    answers = {kind: threadless.get(f"/raise/{place}/{kind}").status_code for kind in KINDS}
    assert answers == dict.fromkeys(KINDS, 500)
