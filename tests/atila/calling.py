"""An app to call, real clients for it, and messages by hand; for the tests of remote calls."""

from __future__ import annotations

import asyncio
import contextlib
import json
import sys
import threading
import xmlrpc.client
from pathlib import Path
from typing import TYPE_CHECKING, Any
from xml.etree import ElementTree

import jsonrpclib
import pytest
from driving import Driver
from jsonrpclib.jsonrpc import AppError, ProtocolError

from atila import Atila

sys.path.insert(0, str(Path(__file__).parents[1] / "skitai"))
from serving import Serving

if TYPE_CHECKING:
    from collections.abc import Iterator

XML = "text/xml"
JSON = "application/json-rpc"


def make_app() -> Atila:
    """Calls below /api, of every kind."""
    app = Atila("calls")
    app.debug = False

    @app.route("/api/add")
    def add(was, a, b=1):
        """Add two numbers."""
        return a + b

    @app.route("/api/later/add")
    async def add_later(was, a, b=1):
        await asyncio.sleep(0)
        return a + b

    @app.route("/api/echo")
    def echo(was, value=None):
        return value

    @app.route("/api/anything")
    def anything(was, **kw):
        return kw

    @app.route("/api/where")
    def where(was):
        request = was.request
        return {
            "path": request.path,
            "thread": threading.current_thread().name,
            "method": request.method,
            "arguments": request.args,
        }

    @app.route("/api/shelves/<int:shelf>/book")
    def book(was, shelf, number, part="all"):
        return [shelf, number, part]

    declare_failures(app)
    return app


def declare_failures(app: Atila) -> None:
    """Calls that fail, of every kind."""

    @app.route("/api/crash")
    def crash(was):
        raise ZeroDivisionError("secret")

    @app.route("/api/later/crash")
    async def crash_later(was):
        raise ZeroDivisionError("secret")

    @app.route("/api/error")
    def error(was, status="404 Not Found", text="no such book", errno=0):
        raise was.Error(status, text, errno)

    @app.route("/api/assertion")
    def assertion(was):
        raise AssertionError(was.Error("409 Conflict"))

    @app.route("/api/fault")
    def fault(was):
        raise xmlrpc.client.Fault(77, "my own")

    @app.route("/api/nothing")
    def nothing(was):
        return None

    @app.get("/api/only/get")
    def only_get(was):
        return "got"


class Mountable:
    """An app that a test's server can mount."""

    def __init__(self, app: Atila) -> None:
        self._app = app

    def freeze(self, point, pool):
        self._app.setup(None, {"point": point})
        return self._app.freeze(point, pool)


@contextlib.contextmanager
def served(app: Atila, **options: Any) -> Iterator[str]:
    """The URL of an app that is served."""
    with Serving(Mountable(app), **options) as serving:
        host, port = serving.address
        yield f"http://{host}:{port}"


@contextlib.contextmanager
def xml_client(url: str, path: str = "/api", **options: Any) -> Iterator[Any]:
    options = {"allow_none": True, "use_builtin_types": True, **options}
    with xmlrpc.client.ServerProxy(url + path, **options) as proxy:
        yield proxy


@contextlib.contextmanager
def json_client(url: str, path: str = "/api", **options: Any) -> Iterator[Any]:
    proxy = jsonrpclib.ServerProxy(url + path, **options)
    try:
        yield proxy
    finally:
        proxy("close")()


def fault_of(call) -> tuple[int, str]:
    with pytest.raises(xmlrpc.client.Fault) as caught:
        call()
    return caught.value.faultCode, caught.value.faultString


def error_of(call) -> Any:
    """Code, message and data, as jsonrpclib says them."""
    with pytest.raises((ProtocolError, AppError)) as caught:
        call()
    return caught.value.args[0]


# -- messages by hand


def xml_of(method: str, *params: Any) -> bytes:
    return xmlrpc.client.dumps(params, method, allow_none=True).encode()


def xml_answer(answer) -> Any:
    """The result in an answer; a ``Fault`` is raised."""
    assert answer.status == 200
    assert answer["Content-Type"] == "text/xml"
    ElementTree.fromstring(answer.body)
    return xmlrpc.client.loads(answer.body, use_builtin_types=True)[0][0]


def xml_fault(answer) -> int:
    with pytest.raises(xmlrpc.client.Fault) as caught:
        xml_answer(answer)
    return caught.value.faultCode


def value_xml(value: str) -> str:
    return (
        "<methodCall><methodName>echo</methodName><params><param>"
        f"<value>{value}</value></param></params></methodCall>"
    )


def json_call(driver: Driver, method: str, *params: Any, path: str = "/api") -> Any:
    body = {"jsonrpc": "2.0", "method": method, "params": params, "id": "x"}
    answer = driver.send(path, json.dumps(body), JSON)
    assert answer.status == 200
    assert answer["Content-Type"] == JSON
    found = answer.json
    assert (found.pop("jsonrpc"), found.pop("id")) == ("2.0", "x")
    assert len(found) == 1
    return found


def json_result(driver: Driver, method: str, *params: Any, path: str = "/") -> Any:
    """The result, or the code of the error."""
    found = json_call(driver, method, *params, path=path)
    return found["result"] if "result" in found else found["error"]["code"]


def xml_result(driver: Driver, method: str, *params: Any, path: str = "/") -> Any:
    """The result, or the code of the fault."""
    try:
        return xml_answer(driver.send(path, xml_of(method, *params), XML))
    except xmlrpc.client.Fault as exc:
        return exc.faultCode


def returning(value: Any, **options: Any) -> Driver:
    app = Atila("returning")

    @app.route("/get")
    def get(was):
        return value(was) if callable(value) else value

    return Driver(app, **options)
