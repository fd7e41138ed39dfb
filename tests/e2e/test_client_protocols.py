"""The test client's other ways to ask: stubs, paths as attributes, remote calls, websockets."""

from __future__ import annotations

import sys
import xmlrpc.client

import jsonrpclib
import pytest
from websockets.exceptions import InvalidStatus

import skitai
from skitai.errors import SkitaiError

pytestmark = pytest.mark.e2e

SERVE = """
    import skitai
    from atila import Atila

    app = Atila(__name__)
    app.securekey = "only for tests"

    METHODS = ["GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"]

    @app.route("/echo/<path:rest>", methods=METHODS)
    def echo(was, rest, **given):
        request = was.request
        return was.API(method=request.method, rest=rest, given=given, json=request.JSON,
                       extra=request.get_header("X-Extra"))

    @app.route("/slashed/")
    def slashed(was):
        return was.API(path=was.request.path)

    @app.route("/calls/add")
    def add(was, a, b):
        return a + b

    @app.route("/calls/who")
    def who(was):
        return was.session.get("user") or "nobody"

    @app.route("/calls/fail")
    def fail(was):
        raise was.Error("409 Conflict", "too late")

    @app.route("/closed/add", authenticate="basic")
    def closed(was, a, b):
        return a + b

    @app.route("/login")
    def login(was, user):
        was.session["user"] = user
        return ""

    @app.route("/talk")
    @app.websocket(skitai.WS_COROUTINE)
    async def talk(was):
        await was.websocket.send(f"{was.session['user']} {was.request.get_header('X-Extra')}")
        async for message in was.websocket:
            await was.websocket.send(f"you said {message}")

    if __name__ == "__main__":
        skitai.mount("/", app)
        skitai.run(port=5000)
"""


@pytest.fixture(scope="module")
def service(launch_once):
    return launch_once({"serve.py": SERVE})


@pytest.fixture
def client(service):
    with skitai.test_client(port=service.port) as client:
        yield client


@pytest.mark.parametrize("method", ["post", "put", "patch"])
def test_a_stub_sends_json(client, method):
    with client.stub("/echo", {"X-Extra": "1"}) as stub:
        answer = getattr(stub, method)("/notes/{}", "a/ü?", {"text": "milk", "n": 1}, n=2)
        assert answer.status_code == 200
        assert answer.data["rest"] == "notes/a/ü?"
        assert answer.data["json"] == {"text": "milk", "n": 2}
        assert (answer.data["method"], answer.data["extra"]) == (method.upper(), "1")


@pytest.mark.parametrize("method", ["get", "delete"])
def test_a_stub_sends_queries(client, method):
    answer = getattr(client.stub("/echo/"), method)("/notes", q="a&b", limit=3)
    assert answer.data["given"] == {"q": "a&b", "limit": "3"}
    assert answer.data["method"] == method.upper()


def test_a_stub_refuses_values_that_have_no_place(client):
    with pytest.raises(ValueError, match="has 1 places for 0 values"):
        client.stub().get("/notes/{}")
    with pytest.raises(AttributeError, match="fetch is no method of HTTP"):
        _ = client.stub().fetch


def test_attributes_and_values_are_a_path(client):
    answer = client.api("/echo").notes(7, "a/b").lines.get(limit=3)
    assert answer.data["rest"] == "notes/7/a/b/lines"
    assert answer.data["given"] == {"limit": "3"}
    assert client.siesta.echo.notes.post(text="milk").data["json"] == {"text": "milk"}
    assert client.siesta.slashed_.get().data == {"path": "/slashed/"}
    assert client.siesta.nowhere.get().status_code == 404


@pytest.mark.parametrize("kind", ["rpc", "xmlrpc", "jsonrpc"])
def test_procedures_are_called_with_the_cookies_of_the_client(client, kind):
    client.get("/login?user=momo")
    with getattr(client, kind)("/calls") as proxy:
        assert proxy.add(1, 2) == 3
        assert proxy.who() == "momo"


def test_faults_are_raised(client):
    with client.rpc("/calls/") as proxy, pytest.raises(xmlrpc.client.Fault, match="too late"):
        proxy.fail()
    with client.rpc("/closed") as proxy, pytest.raises(xmlrpc.client.ProtocolError, match="401"):
        proxy.add(1, 2)
    with client.jsonrpc("/calls") as proxy, pytest.raises(jsonrpclib.ProtocolError):
        proxy.fail()


def test_jsonrpc_says_what_is_missing(client, monkeypatch):
    monkeypatch.setitem(sys.modules, "jsonrpclib", None)
    with pytest.raises(SkitaiError, match=r"pip install skitai\[rpc\]"):
        client.jsonrpc("/calls")


def test_a_websocket_has_the_session_of_the_client(client):
    client.get("/login?user=momo")
    client.set_default_header("X-Extra", "2")
    with client.websocket("/talk") as socket:
        assert socket.recv(30) == "momo 2"
        socket.send("hello")
        assert socket.recv(30) == "you said hello"
    with client.websocket("/talk", {"X-Other": "3"}, open_timeout=30) as socket:
        assert socket.recv(30) == "momo 2"


def test_a_refused_websocket_says_so(client):
    with pytest.raises(InvalidStatus, match="404"), client.websocket("/nowhere"):
        pass
