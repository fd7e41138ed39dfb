"""Responses that come late, from hooks, pipes and streams: answered once, torn down at the end."""

from __future__ import annotations

import http.client
import time

import pytest
from deferred_routes import FILES
from live_service import PATIENCE, eventually, receive

pytestmark = pytest.mark.e2e


@pytest.fixture(scope="module")
def service(launch_once):
    return launch_once(FILES)


@pytest.fixture
def seen(browser):
    """What the hooks have seen since the test began."""
    browser("/hooked/own/clear")
    return lambda: browser("/hooked/own/seen").json()["seen"]


# -- where it runs


def test_a_stream_that_is_made_late_is_pulled_in_threads(browser):
    assert browser("/late_stream").text == "False False False "


def test_a_late_stream_that_fails_gets_the_page_of_the_app(browser):
    response = browser("/late_failure", headers={"Accept": "text/html"}, timeout=5)
    assert (response.status_code, response.text) == (500, "my page")


def test_a_function_that_raises_stop_iteration_is_answered(browser):
    assert browser("/stop", timeout=5).status_code == 500


def test_pipes_lead_to_streaming_generators(browser):
    assert browser("/piped").text == "ab"


@pytest.mark.parametrize("path", ["/given_away", "/hooked/given_away"])
def test_a_plain_function_may_return_an_asynchronous_generator(path, browser):
    assert browser(path).text == "012"


def test_a_producer_that_is_stuck_does_not_keep_its_client(service, browser):
    connection = http.client.HTTPConnection("127.0.0.1", service.port, timeout=5)
    connection.request("GET", "/stuck")
    with pytest.raises(http.client.IncompleteRead):
        connection.getresponse().read()
    connection.close()
    assert "produced" not in browser("/free").json()["events"]
    eventually(lambda: "produced" in browser("/events").json()["events"], "the producer")


# -- bodies


@pytest.mark.parametrize(("path", "event"), [("/input", "input closed"), ("/echo", "echo closed")])
@pytest.mark.parametrize("end", ["malformed", "half", "closed"])
def test_a_body_that_breaks_off_ends_its_route(path, event, end, service, browser):
    before = browser("/events").json()["events"].count(event)
    connection = service.connect()
    head = f"POST {path} HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\none\r\n"
    connection.sendall(head.encode())
    if path == "/echo":
        received = b""
        while b":one" not in received:
            received += connection.recv(1000)
    if end == "malformed":
        connection.sendall(b"zz\r\n")
    elif end == "half":
        connection.shutdown(1)
    else:
        connection.close()
    eventually(
        lambda: browser("/events").json()["events"].count(event) > before, "the end of the route"
    )
    if end != "closed" and path == "/input":
        assert receive(connection).status == 400
    connection.close()


def test_a_connection_goes_on_behind_a_body_that_nobody_has_read(service):
    connection = http.client.HTTPConnection("127.0.0.1", service.port, timeout=5)
    for _ in range(3):
        connection.request("POST", "/unread", body=b"x" * 600_000)
        assert connection.getresponse().read() == b"unread"
        connection.request("GET", "/piped")
        assert connection.getresponse().read() == b"ab"
    connection.close()


# -- hooks


@pytest.mark.parametrize("path", ["fine", "fine_async"])
@pytest.mark.parametrize("kind", ["deferred", "stream"])
def test_a_hook_before_the_request_answers_late(path, kind, browser, seen):
    response = browser(f"/hooked/{path}?before={kind}")
    last = "then" if kind == "deferred" else "last piece"
    assert response.text == ("then" if kind == "deferred" else "012")
    eventually(lambda: "teardown" in seen(), "the end")
    assert seen() == [last, "finish", "teardown"]


@pytest.mark.parametrize("path", ["fine", "fine_async"])
@pytest.mark.parametrize("kind", ["deferred", "stream"])
def test_a_hook_at_the_end_of_a_request_answers_late(path, kind, browser, seen):
    response = browser(f"/hooked/{path}?finish={kind}")
    last = "then" if kind == "deferred" else "last piece"
    assert response.text == ("then" if kind == "deferred" else "012")
    eventually(lambda: "teardown" in seen(), "the end")
    assert seen() == ["finish", last, "teardown"]


@pytest.mark.parametrize("path", ["fails", "fails_async"])
@pytest.mark.parametrize("kind", ["deferred", "stream", "stream_async"])
def test_a_hook_after_a_failure_answers_late(path, kind, browser, seen):
    response = browser(f"/hooked/{path}?failed={kind}")
    last = "then" if kind == "deferred" else "last piece"
    assert (response.status_code, response.text) == (200, "then" if kind == "deferred" else "012")
    eventually(lambda: "teardown" in seen(), "the end")
    assert seen() == ["failed", last, "teardown"]


@pytest.mark.parametrize("path", ["fails", "fails_async"])
def test_a_late_answer_to_a_failure_that_fails_is_an_error(path, browser, seen):
    assert browser(f"/hooked/{path}?failed=bad").status_code == 500
    eventually(lambda: "teardown" in seen(), "the end")
    assert seen() == ["failed", "teardown"]


@pytest.mark.parametrize("path", ["stream", "stream_async"])
def test_a_hook_that_fails_behind_a_stream_does_not_undo_it(path, service, browser, seen):
    connection = http.client.HTTPConnection("127.0.0.1", service.port, timeout=PATIENCE)
    connection.request("GET", f"/hooked/{path}?finish=fails")
    assert connection.getresponse().read() == b"012"
    sock = connection.sock
    eventually(lambda: "teardown" in seen(), "the end")
    connection.request("GET", "/piped")
    assert connection.getresponse().read() == b"ab"
    assert connection.sock is sock
    connection.close()
    assert seen() == ["last piece", "finish", "failed", "teardown"]


def test_hooks_end_a_request_that_is_deferred_for_nobody(service, seen):
    connection = service.connect()
    connection.sendall(b"GET /hooked/left HTTP/1.1\r\nHost: a\r\n\r\n")
    time.sleep(0.05)
    connection.close()
    eventually(lambda: "teardown" in seen(), "the end")


# -- memory


@pytest.mark.parametrize(
    "path",
    ["/plain", "/tasks", "/then", "/map", "/async", "/thread_pass", "/queue", "/stepwise"]
    + ["/late_stream", "/given_away", "/error", "/input", "/unread", "/hooked/stream"],
)
def test_requests_are_freed_without_the_garbage_collector(path, service, browser):
    method = "POST" if path in ("/input", "/unread") else "GET"
    data = {"data": b"x" * 5000} if method == "POST" else {}
    for _ in range(2):
        browser(path, method, **data)

    def left() -> dict[str, int]:
        return browser("/count").json()

    before = left()
    for _ in range(5):
        browser(path, method, **data)
    eventually(lambda: all(now <= before[name] for name, now in left().items()), f"{left()}", 3)
