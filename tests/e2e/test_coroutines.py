"""Routes that wait without a thread, responses made later, bodies read as they come."""

from __future__ import annotations

import http.client
import json
import socket

import pytest
from live_service import PATIENCE, eventually
from task_routes import FILES

pytestmark = pytest.mark.e2e


@pytest.fixture(scope="module")
def service(launch_once):
    return launch_once(FILES)


# -- generators


def test_a_generator_begins_in_a_thread_and_goes_on_on_the_loop(browser):
    assert browser("/wait").json() == {"before": False, "after": True, "same": True, "data": None}


def test_groups_masks_threads_and_commands_can_be_yielded(browser):
    assert browser("/group").json() == {"a": "m", "b": "t", "c": 3, "d": "four"}


def test_a_decorator_makes_a_generator_a_coroutine_too(browser):
    assert browser("/marked").text == "marked"


def test_a_generator_may_return_without_having_waited(browser):
    assert browser("/nothing_yielded").json() == {"direct": True}


def test_text_without_a_task_behind_it_is_an_ordinary_response(browser):
    response = browser("/text_only")
    assert (response.text, response.headers["Content-Length"]) == ("abc", "3")
    assert response.headers["X-Kind"] == "burst"


def test_text_between_tasks_is_streamed_in_order(browser):
    response = browser("/csv?rows=100")
    assert response.text == "ID\n" + "".join(f"{n}\n" for n in range(100))
    assert response.headers["Transfer-Encoding"] == "chunked"
    assert response.headers["Content-Type"] == "text/csv"


def test_tasks_that_have_ended_cost_no_depth(browser):
    assert browser("/masks?count=100000").json() == {"total": 4999950000}


def test_anything_awaitable_can_be_yielded(browser):
    assert browser("/asyncio").text == "slept"
    assert browser("/caught").text == "caught"


def test_cookies_and_sessions_changed_after_the_first_task_reach_the_client(browser):
    assert browser("/cookies_late").json() == {"ok": True}
    assert browser.cookies["late"] == "yes"
    assert browser("/session").json() == {"name": "late"}


@pytest.mark.parametrize(
    ("kind", "status"),
    [("early", 418), ("fetch", 500), ("error", 409), ("type", 500), ("none", 500)],
)
def test_failures_of_a_generator_have_their_status(kind, status, browser):
    assert browser(f"/fail/{kind}").status_code == status


def test_a_stream_that_fails_is_visibly_incomplete(service):
    connection = http.client.HTTPConnection("127.0.0.1", service.port, timeout=PATIENCE)
    connection.request("GET", "/fail/stream")
    response = connection.getresponse()
    assert response.status == 200
    with pytest.raises(http.client.IncompleteRead) as cut:
        response.read()
    assert cut.value.partial in (b"", b"begun")
    connection.close()
    service.wait_for_log("broken")


def test_a_generator_is_closed_when_its_client_leaves(service, browser):
    connection = service.connect()
    connection.sendall(b"GET /closed HTTP/1.1\r\nHost: a\r\n\r\n")
    assert connection.recv(100)
    connection.close()
    eventually(lambda: "closed" in browser("/events").json()["events"], "the end of the generator")


def test_a_command_that_is_waited_for_is_killed_when_the_client_leaves(service, browser):
    connection = service.connect()
    connection.sendall(b"GET /never HTTP/1.1\r\nHost: a\r\n\r\n")
    import psutil

    def sleeping() -> bool:
        children = psutil.Process(service.pid).children(recursive=True)
        return any("sleep" in child.name() for child in children)

    eventually(sleeping, "the command")
    connection.close()
    eventually(lambda: not sleeping(), "the end of the command")
    eventually(lambda: "never closed" in browser("/events").json()["events"], "the generator's end")


def test_other_handlers_pipe_to_generators(browser):
    assert browser("/piped").text == "abc"
    assert browser("/piped_async").json() == {"direct": True}


def test_head_of_a_stream_has_no_body(service):
    connection = service.connect()
    connection.sendall(b"HEAD /csv HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
    answer = b""
    while piece := connection.recv(65536):
        answer += piece
    assert answer.startswith(b"HTTP/1.1 200")
    assert answer.endswith(b"\r\n\r\n")


# -- async def


def test_coroutines_await_tasks_and_groups(browser):
    assert browser("/async").json() == {"x": 1, "y": 2}
    assert browser("/async_map").json() == {"x": 1}


def test_fetching_on_the_loop_is_an_error_and_not_a_standstill(service, browser):
    assert browser("/async_fetch").status_code == 500
    service.wait_for_log("yield it or await it first")


# -- deferred


def test_then_answers_when_the_task_has_ended(browser):
    assert browser("/then").json() == {"result": 2.0, "a": 1, "on_loop": False}
    assert browser("/then_async").json() == {"result": 2.0, "on_loop": True}
    assert browser("/process").json() == {"result": 2.0, "a": 1, "on_loop": False}


def test_then_can_lead_to_another_deferred_response(browser):
    assert browser("/then_chain").json() == {"n": 2}
    assert browser("/then_group").json() == {"sum": 3}
    assert browser("/then_stream").text == "0\n1\n2\n"


@pytest.mark.parametrize(("kind", "status"), [("error", 404), ("one", 410), ("none", 500)])
def test_failures_in_then_have_their_status(kind, status, browser):
    assert browser(f"/then_fails/{kind}").status_code == status


def test_what_was_set_before_and_in_then_reaches_the_client(browser):
    response = browser("/then_session")
    assert (response.status_code, response.headers["X-Before"]) == (201, "kept")
    assert browser("/session").json() == {"name": "then"}


def test_map_gives_what_has_a_name(browser):
    assert browser("/map").json() == {
        "files": "a_b",
        "result": [{"n": 1}, {"n": 2}],
        "count": {"cnt": 2},
        "first": "zero",
        "constant": 7,
    }


def test_map_may_have_a_status(browser):
    response = browser("/map_status")
    assert (response.status_code, response.reason, response.json()) == (408, "OK", {"x": 1})


@pytest.mark.parametrize(("kind", "status"), [("410", 410), ("409", 409), ("500", 500)])
def test_failures_of_mapped_tasks_have_their_status(kind, status, browser):
    assert browser(f"/map_fails/{kind}").status_code == status


def test_map_has_a_deadline_of_its_own(browser):
    assert browser("/map_timeout").status_code == 504


def test_map_names_its_version(browser):
    response = browser("/map_etag")
    assert "max-age=60" in response.headers["Cache-Control"]
    known = {"If-None-Match": response.headers["ETag"]}
    assert browser("/map_etag", headers=known).status_code == 304


def test_mapped_takes_a_group(browser):
    assert browser("/mapped").json() == {"a": 1, "b": 2}


@pytest.mark.parametrize("path", ["/page", "/page_mapped"])
def test_a_page_for_browsers_and_data_for_those_who_ask_for_it(path, browser):
    assert browser(path, headers={"Accept": "text/html"}).text == "<li>a</li><li>b</li>"
    assert browser(path).text == "<li>a</li><li>b</li>"
    response = browser(path, headers={"Accept": "application/json"})
    assert response.json() == {"names": ["a", "b"]}
    assert "Accept" in response.headers["Vary"]


def test_a_template_fetches_tasks(browser):
    assert browser("/template_fetches").text == "<li>a</li>only"


def test_thread_pass_answers_from_another_thread(browser):
    answer = browser("/thread_pass").json()
    assert (answer["a"], answer["on_loop"]) == (4.0, False)
    assert browser("/session").json() == {"name": "passed"}
    assert browser("/thread_pass_map").json() == {"x": 5}


@pytest.mark.parametrize(("kind", "status"), [("error", 403), ("crash", 500)])
def test_failures_in_thread_pass_have_their_status(kind, status, browser):
    assert browser(f"/thread_pass_fails/{kind}").status_code == status


@pytest.mark.parametrize("kind", ["plain", "none", "empty"])
def test_a_queue_streams_what_is_put_into_it(kind, browser):
    expected = "".join(f"{number}\n" for number in range(50))
    assert browser(f"/queue?count=50&kind={kind}").text == expected
    assert "producer closed" in browser("/events").json()["events"]


@pytest.mark.parametrize("path", ["/queue?count=5&kind=fails", "/queue_silent"])
def test_a_queue_that_fails_is_visibly_incomplete(path, service):
    connection = http.client.HTTPConnection("127.0.0.1", service.port, timeout=PATIENCE)
    connection.request("GET", path)
    with pytest.raises(http.client.IncompleteRead):
        connection.getresponse().read()
    connection.close()


def test_the_producer_of_a_slow_client_waits_and_ends_when_that_leaves(service, browser):
    closed = browser("/events").json()["events"].count("producer closed")
    connection = service.connect()
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    connection.sendall(b"GET /queue?count=10000000 HTTP/1.1\r\nHost: a\r\n\r\n")
    assert connection.recv(100)
    connection.close()
    eventually(
        lambda: browser("/events").json()["events"].count("producer closed") > closed,
        "the end of the producer",
    )


# -- bodies


def test_a_body_is_read_in_whole_blocks_with_the_rest_at_the_end(browser):
    sizes = browser("/input?size=16184", "POST", data=b"x" * 409600).json()["sizes"]
    assert sum(sizes) == 409600
    assert len(sizes) <= 27  # 26, unless the machine made a pause


def test_a_chunked_body_is_read_to_its_end(browser):
    pieces = [b"abc", b"d" * 10_000, b"e"]
    assert browser("/input_join", "POST", data=iter(pieces)).content == b"".join(pieces)


def test_what_a_client_sends_from_time_to_time_arrives_at_once(service):
    connection = service.connect()
    connection.sendall(
        b"POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\none\r\n"
    )
    received = b""
    while b":one" not in received:
        received += connection.recv(1000)
    connection.sendall(b"3\r\ntwo\r\n")
    while b":two" not in received:
        received += connection.recv(1000)
    connection.sendall(b"0\r\n\r\n")
    while not received.endswith(b"0\r\n\r\n"):
        received += connection.recv(1000)
    assert received.startswith(b"HTTP/1.1 200")


@pytest.mark.parametrize("path", ["/input_async", "/input_thread"])
def test_coroutines_and_threads_read_bodies_too(path, browser):
    assert browser(path, "POST", data=b"x" * 2500).json() == {"total": 2500}
    assert browser(path, "POST").json() == {"total": 0}


def test_a_body_can_be_read_after_another_task(browser):
    assert browser("/input_late", "POST", data=b"y" * 300).content == b"y" * 100


def test_a_body_that_is_not_read_does_no_harm(service):
    connection = service.connect()
    connection.sendall(
        b"POST /input_unread HTTP/1.1\r\nHost: a\r\nContent-Length: 100000000\r\n\r\n" + b"x" * 1000
    )
    assert connection.recv(1000).startswith(b"HTTP/1.1 200")
    connection.close()
    assert service.get("/mapped").status_code == 200


def test_a_large_body_waits_for_a_slow_reader(service):
    """100 MB through a route that reads 4 KB at a time: the worker's memory stays."""
    import psutil

    (worker,) = service.workers()
    process = psutil.Process(worker)

    def send() -> int:
        connection = http.client.HTTPConnection("127.0.0.1", service.port, timeout=PATIENCE)
        connection.request("POST", "/input_async", body=(b"x" * 65536 for _ in range(1600)),
                           encode_chunked=True)  # fmt: skip
        total = json.loads(connection.getresponse().read())["total"]
        connection.close()
        return total

    assert send() == 65536 * 1600
    before = process.memory_info().rss
    assert send() == 65536 * 1600
    assert process.memory_info().rss - before < 16 * 1024 * 1024


def test_input_without_input_stream_is_explained(service, browser):
    assert browser("/input_wrong", "POST", data=b"abc").status_code == 500
    service.wait_for_log("input_stream=True")


def test_a_client_that_leaves_in_the_middle_of_its_body_ends_the_route(service, browser):
    connection = service.connect()
    connection.sendall(b"POST /input HTTP/1.1\r\nHost: a\r\nContent-Length: 1000\r\n\r\nabc")
    connection.close()
    assert browser("/mapped").status_code == 200


# -- cache times


def test_an_update_is_an_event_of_this_worker(browser):
    assert browser("/setlu").json() == {"newer": True}
    assert ["updated", [1], {"x": 2}] in browser("/events").json()["events"]


def test_an_update_of_a_name_that_is_not_registered_is_an_error(browser):
    assert browser("/setlu_unknown").status_code == 500
    assert browser("/setlu_unknown?ignore=1").text == "ok"


# -- hooks around all this


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("coroutine", [["after"], ["finish", "API"], ["teardown", "coroutine"]]),
        ("stream", [["finish", "async_generator"], ["teardown", "stream"]]),
        ("map", [["finish", "API"], ["teardown", "mapped"]]),
        ("then_fails", [["failed", "ZeroDivisionError"], ["teardown", "then_fails"]]),
        ("coroutine?refuse=1", [["failed", "HTTPError"], ["teardown", "coroutine"]]),
    ],
)
def test_hooks_run_at_the_real_end_of_a_request(path, expected, browser):
    browser("/hooked/seen")
    browser(f"/hooked/{path}")

    def all_seen() -> bool:
        seen.extend(item for item in browser("/hooked/seen").json()["seen"] if item not in own)
        return len(seen) >= len(expected)

    seen: list[object] = []
    own = (
        [["finish", "API"], ["teardown", "show"]]
        if "API" not in str(expected)
        else [["teardown", "show"]]
    )
    eventually(all_seen, "all hooks")
    assert [item for item in expected if item not in seen] == []
    assert browser("/hooked/seen").status_code == 200
