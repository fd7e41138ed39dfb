"""Remote calls of both protocols: which route, what guards it, what becomes of its result."""

from __future__ import annotations

import asyncio
import json
import threading
import xmlrpc.client
from datetime import date  # noqa: TC003  # type hints of handlers are resolved at run time
from typing import Any

import jsonrpclib
import pytest
from calling import (
    JSON,
    XML,
    Mountable,
    fault_of,
    json_call,
    json_client,
    json_result,
    make_app,
    returning,
    served,
    xml_answer,
    xml_client,
    xml_fault,
    xml_of,
    xml_result,
)
from driving import Driver
from jsonrpclib.jsonrpc import TransportError
from serving import Client, Serving, happens, until

from atila import Atila


@pytest.fixture
def driver():
    return Driver(make_app())


@pytest.mark.parametrize(
    "method",
    ["a/../add", "..", ".", "...", "/", "//api/add", "a" * 10_000, "é", "%61dd", "add?a=1"],
)
def test_odd_method_names_are_unknown(driver, method, log):
    assert xml_fault(driver.send("/api", xml_of(method), XML)) == -32601
    body = json.dumps({"jsonrpc": "2.0", "method": method, "id": 1})
    assert driver.send("/api", body, JSON).json["error"]["code"] == -32601
    assert not log.records


# -- results


def test_an_api_answer_is_its_data():
    driver = returning(lambda was: was.API("201 Created", a=1))
    assert xml_answer(driver.send("/", xml_of("get"), XML)) == {"a": 1}
    assert json_call(driver, "get", path="/")["result"] == {"a": 1}


@pytest.mark.parametrize(
    ("value", "code", "message"),
    [
        (lambda was: was.API("404 Not Found", a=1), 404, "Not Found"),
        (lambda was: was.Fault("409 Conflict", "taken", 40901), 40901, "taken"),
        (lambda was: was.response("403 Forbidden"), 403, "Forbidden"),
        (lambda was: was.response("403 Forbidden", "body"), 403, "Forbidden"),
        (lambda was: was.redirect("/x"), 302, "Object Moved"),
        (lambda was: jsonrpclib.Fault(-5, "mine", data=[1]), -5, "mine"),
        (lambda was: object(), -32603, "the result of get can't be sent"),
        (lambda was: iter("ab"), -32603, "the result of get can't be sent"),
        (lambda was: {"a": open}, -32603, "the result of get can't be sent"),
    ],
)
def test_results_that_are_errors(value, code, message):
    driver = returning(value)
    with pytest.raises(xmlrpc.client.Fault) as caught:
        xml_answer(driver.send("/", xml_of("get"), XML))
    assert (caught.value.faultCode, caught.value.faultString) == (code, message)
    error = json_call(driver, "get", path="/")["error"]
    assert (error["code"], error["message"]) == (code, message)


def test_endless_results_are_an_error():
    endless: list[Any] = []
    endless.append(endless)
    driver = returning(endless)
    assert xml_fault(driver.send("/", xml_of("get"), XML)) == -32603
    assert json_call(driver, "get", path="/")["error"]["code"] == -32603


def test_the_data_of_a_fault_that_has_no_form_is_left_out():
    driver = returning(lambda was: jsonrpclib.Fault(5, "mine", data=object()))
    assert json_call(driver, "get", path="/")["error"] == {"code": 5, "message": "mine"}


def test_a_traceback_is_shown_to_developers_only(log):
    def crash(was):
        raise ZeroDivisionError("secret")

    for debug in (False, True):
        driver = returning(crash, debug=debug)
        answer = driver.send("/", xml_of("get"), XML)
        assert xml_fault(answer) == 1
        assert (b"secret" in answer.body) is debug
        error = json_call(driver, "get", path="/")["error"]
        assert error["code"] == -32000
        assert ("secret" in json.dumps(error)) is debug
    assert [record.getMessage().partition(" [")[0] for record in log.records] == ["get failed"] * 4
    assert "ZeroDivisionError: secret" in log.text


# -- what guards a route


def test_guards_and_hints_see_the_parameters_by_name():
    app = Atila("guarded")

    @app.route("/inspected")
    @app.inspect(ints=["n"], required=["n"])
    def inspected(was, n):
        return n + 1

    @app.route("/inspected_json")
    @app.inspect("JSON", n__lte=5)
    def inspected_json(was, n):
        return n

    @app.route("/hinted")
    def hinted(was, n: int, when: date | None = None):
        return [n, str(when)]

    driver = Driver(app)
    for call in (json_result, xml_result):
        assert call(driver, "inspected", 1) == 2
        assert call(driver, "inspected", "x") == 40050
        assert call(driver, "inspected", None) == 40050
        assert call(driver, "inspected_json", 5) == 5
        assert call(driver, "inspected_json", 6) == 40050
        assert call(driver, "hinted", 1, "2026-11-21") == [1, "2026-11-21"]
        assert call(driver, "hinted", "1") == 40050  # as in JSON


@pytest.mark.parametrize("threads", [4, 0])
def test_hooks_run_for_every_call(threads):
    app = make_app()
    seen = []

    @app.before_request
    def before(was):
        seen.append(("before", was.request.path))
        if was.request.args.get("value") == "stop":
            return "stopped"

    @app.finish_request
    def finish(was, response):
        seen.append(("finish", response))

    @app.failed_request
    def failed(was, exc_info):
        seen.append(("failed", exc_info[0].__name__))

    @app.teardown_request
    def teardown(was):
        seen.append(("teardown", was.request.path))

    with served(app, threads=threads) as url, xml_client(url) as api:
        calls = xmlrpc.client.MultiCall(api)
        calls.add(1)
        calls.later.add(2)
        calls.echo("stop")
        calls.error()
        results = calls()
        assert [results[0], results[1], results[2]] == [2, 3, "stopped"]
        assert fault_of(lambda: results[3])[0] == 404
    assert seen == [
        ("before", "/api/add"),
        ("finish", 2),
        ("teardown", "/api/add"),
        ("before", "/api/later/add"),
        ("finish", 3),
        ("teardown", "/api/later/add"),
        ("before", "/api/echo"),
        ("finish", "stopped"),
        ("teardown", "/api/echo"),
        ("before", "/api/error"),
        ("failed", "HTTPError"),
        ("teardown", "/api/error"),
    ]


@pytest.mark.parametrize("threads", [4, 0])
def test_events_that_a_call_emits_get_its_was(threads):
    app = make_app()
    seen = []

    @app.on("added")
    def added(was, number):
        seen.append((was.request.path, number))

    @app.on("before_request")
    def before(was):
        pass

    @app.route("/api/emitting")
    def emitting(was, n):
        app.emit("added", n)

    @app.route("/api/later/emitting")
    async def emitting_later(was, n):
        app.emit("added", n)

    with served(app, threads=threads) as url, xml_client(url) as api:
        api.emitting(1)
        api.later.emitting(2)
        calls = xmlrpc.client.MultiCall(api)
        calls.emitting(3)
        calls.later.emitting(4)
        assert list(calls()) == [None, None]
    assert seen == [
        ("/api/emitting", 1),
        ("/api/later/emitting", 2),
        ("/api/emitting", 3),
        ("/api/later/emitting", 4),
    ]


def test_a_failed_hook_may_give_the_result():
    app = make_app()
    app.failed_request(lambda was, info: "saved")
    driver = Driver(app)
    assert xml_answer(driver.send("/api", xml_of("crash"), XML)) == "saved"


def test_headers_and_cookies_of_routes_reach_the_client():
    app = Atila("cookies")

    @app.route("/login")
    def login(was, name):
        was.cookie.set("who", name)
        was.response.set_header("X-Shelf", name)
        was.response.set_status("201 Created")
        return "ok"

    @app.route("/fail")
    def fail(was):
        was.cookie.set("who", "nobody")
        raise was.Error("409 Conflict")

    driver = Driver(app)
    answer = driver.send("/", xml_of("login", "ann"), XML)
    assert xml_answer(answer) == "ok"
    assert answer["Set-Cookie"].startswith("who=ann")
    assert answer["X-Shelf"] == "ann"
    answer = driver.send("/", xml_of("fail"), XML)
    assert xml_fault(answer) == 409
    assert answer["Set-Cookie"] is None
    calls = [{"methodName": "login", "params": [name]} for name in ("ann", "ann", "bob")]
    answer = driver.send("/", xml_of("system.multicall", calls), XML)
    assert answer.status == 200
    assert answer.all("X-Shelf") == ["ann", "bob"]


def test_authentication_holds_and_asks_for_credentials():
    app = Atila("secret")
    app.users = {"ann": "pw"}

    @app.route("/secret", authenticate="basic")
    def secret(was):
        return was.request.user.name

    @app.route("/open")
    def open_(was):
        return "open"

    with served(app) as url:
        host = url.removeprefix("http://")
        with xml_client(f"http://ann:pw@{host}", "/") as api:
            assert api.secret() == "ann"
        for who in ("", "ann:wrong@"):
            with xml_client(f"http://{who}{host}", "/") as api:
                assert api.open() == "open"
                with pytest.raises(xmlrpc.client.ProtocolError) as caught:
                    api.secret()
                assert caught.value.errcode == 401
                assert caught.value.headers["WWW-Authenticate"].startswith("Basic")
                calls = xmlrpc.client.MultiCall(api)
                calls.open()
                calls.secret()
                results = calls()
                assert results[0] == "open"
                assert fault_of(lambda results=results: results[1])[0] == 401
        with json_client(f"http://{host}", "/") as api, pytest.raises(TransportError):
            api.secret()


def test_pages_of_other_sites_may_call_if_the_policy_says_so():
    app = make_app()
    app.access_control_allow_origin = ["https://shelf.example"]
    driver = Driver(app)
    body = json.dumps({"jsonrpc": "2.0", "method": "add", "params": [1], "id": 1}).encode()
    headers = {"Content-Type": JSON, "Origin": "https://shelf.example"}
    answer = driver.request("POST", "/api", headers, body)
    assert answer.json["result"] == 2
    assert answer.all("Access-Control-Allow-Origin") == ["https://shelf.example"]
    missing = driver.request("POST", "/api", headers, body.replace(b"add", b"nix"))
    assert missing.json["error"]["code"] == -32601
    assert missing["Access-Control-Allow-Origin"] == "https://shelf.example"
    headers["Origin"] = "https://evil.example"
    assert driver.request("POST", "/api", headers, body).json["error"]["code"] == 403


def test_preflights_are_answered_where_calls_are_taken():
    app = make_app()
    app.access_control_allow_origin = ["https://shelf.example"]
    driver = Driver(app)
    headers = {
        "Origin": "https://shelf.example",
        "Access-Control-Request-Method": "POST",
        "Access-Control-Request-Headers": "content-type",
    }
    answer = driver.request("OPTIONS", "/api", headers)
    assert (answer.status, answer["Access-Control-Allow-Methods"]) == (200, "POST")
    assert driver.request("OPTIONS", "/nothing", headers).status == 404
    headers["Origin"] = "https://evil.example"
    assert driver.request("OPTIONS", "/api", headers).status == 403


# -- what is a call, and what is not


def test_a_route_that_declares_the_type_gets_the_document():
    app = make_app()

    @app.route("/api/feed", methods=["POST"], content_types=["text/xml", "application/json-rpc"])
    def feed(was, **kw):
        return was.request.get_content_type() + was.request.body.decode()

    @app.route("/api/plain", content_types=["application/json"])
    def plain(was, n):
        return n

    driver = Driver(app)
    assert driver.send("/api/feed", "<rss/>", XML).text == "text/xml<rss/>"
    assert driver.send("/api/feed", "{}", JSON).text == "application/json-rpc{}"
    assert xml_fault(driver.send("/api/add", "<rss/>", XML)) == -32600
    assert xml_fault(driver.send("/api", xml_of("feed"), XML)) == 406
    assert xml_answer(driver.send("/api", xml_of("plain", 1), XML)) == 1


@pytest.mark.parametrize("method", ["PUT", "PATCH", "DELETE"])
def test_only_post_is_a_call(method):
    app = make_app()

    @app.route("/api/put", methods=["PUT", "PATCH", "DELETE"])
    def put(was):
        return was.request.body.decode()

    assert Driver(app).send("/api/put", "<a/>", XML, method).text == "<a/>"


def test_routes_without_post_are_no_methods(driver):
    assert xml_fault(driver.send("/api", xml_of("only.get"), XML)) == -32601


def test_unrouted_paths_can_not_be_called():
    app = make_app()
    app.unroute("/api/add", 410)
    driver = Driver(app)
    assert xml_fault(driver.send("/api", xml_of("add", 1), XML)) == 410
    assert xml_answer(driver.send("/api", xml_of("echo", 1), XML)) == 1


def test_apps_below_a_point_and_beside_each_other():
    first, second = Atila("first"), Atila("second")
    first.route("/a/one")(lambda was: 1)
    first.route("/items/<name>")(lambda was, name: name)
    second.route("/b/two")(lambda was: 2)
    driver = Driver(first, second, point="/shop/")
    assert xml_answer(driver.send("/shop/a", xml_of("one"), XML)) == 1
    assert xml_answer(driver.send("/shop/b", xml_of("two"), XML)) == 2
    assert xml_answer(driver.send("/shop/items", xml_of("x"), XML)) == "x"
    assert xml_fault(driver.send("/shop/c", xml_of("two"), XML)) == -32601


def test_bodies_have_a_limit():
    app = make_app()
    app.config.MAX_UPLOAD_SIZE = 300
    driver = Driver(app)
    assert xml_answer(driver.send("/api", xml_of("add", 1), XML)) == 2
    assert driver.send("/api", xml_of("echo", "x" * 300), XML).status == 413


# -- clients that leave, and what is cancelled


def post(client: Client, *calls: dict[str, Any]) -> None:
    body = xml_of("system.multicall", list(calls))
    client.send(
        "POST /api HTTP/1.1",
        "Host: a",
        f"Content-Length: {len(body)}",
        f"Content-Type: {XML}",
        body=body,
    )


def test_calls_that_nobody_waits_for_are_not_made():
    app = make_app()
    entered, left, made = threading.Event(), threading.Event(), []

    @app.route("/api/wait")
    def wait(was):
        entered.set()
        assert happens(left)

    @app.route("/api/make")
    def make(was):
        made.append(1)

    with Serving(Mountable(app), threads=1) as serving:
        client = serving.connect()
        post(client, {"methodName": "wait"}, {"methodName": "make"})
        assert happens(entered)
        client.reset()
        until(lambda: serving.connections == 0, "the end of the connection")
        left.set()
        assert serving.get("/api/where").status == 200  # the only thread is free again
    assert made == []


def test_coroutines_are_cancelled_when_the_client_leaves():
    app = make_app()
    entered, cancelled = threading.Event(), threading.Event()

    @app.route("/api/wait")
    async def wait(was):
        entered.set()
        try:
            await asyncio.Event().wait()
        finally:
            cancelled.set()

    with Serving(Mountable(app)) as serving:
        client = serving.connect()
        post(client, {"methodName": "wait"})
        assert happens(entered)
        client.reset()
        assert happens(cancelled)


def test_a_coroutine_that_was_cancelled_by_others_is_a_fault(log):
    app = make_app()

    @app.route("/api/cancelled")
    async def cancelled(was):
        future = asyncio.get_running_loop().create_future()
        future.cancel()
        await future

    driver = Driver(app)
    assert xml_fault(driver.send("/api", xml_of("cancelled"), XML)) == 1
    assert "CancelledError" in log.text


def test_headers_that_can_not_be_sent_are_a_server_error(log):
    app = make_app()

    @app.route("/api/header")
    def header(was):
        was.response.fields.append(("X-Bad", "a\r\nb"))

    assert Driver(app).send("/api", xml_of("header"), XML).status == 500


# -- introspection


def test_developers_may_ask_for_the_methods():
    app = make_app()
    driver = Driver(app)
    assert xml_fault(driver.send("/api", xml_of("system.listMethods"), XML)) == -32601
    app.expose_spec = True
    driver = Driver(app)
    methods = xml_answer(driver.send("/api", xml_of("system.listMethods"), XML))
    assert {"add", "later.add", "echo", "system.listMethods", "system.multicall"} <= set(methods)
    assert "only.get" not in methods
    assert json_result(driver, "system.listMethods", path="/api/later")[:2] == ["add", "crash"]
    assert json_result(driver, "system.methodHelp", "add", path="/api") == "Add two numbers."
    assert json_result(driver, "system.methodHelp", "echo", path="/api") == ""
    assert json_result(driver, "system.methodHelp", "nope", path="/api") == -32601
    assert json_result(driver, "system.methodHelp", path="/api") == -32602
    assert json_result(driver, "system.methodSignature", "add", path="/api") == "undef"
    assert json_result(driver, "system.shutdown", path="/api") == -32601
