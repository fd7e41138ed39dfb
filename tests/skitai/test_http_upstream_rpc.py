"""XML-RPC and JSON-RPC as a client speaks them, against what Python's own server says."""

from __future__ import annotations

import asyncio
import copy
import threading
from datetime import datetime
from xmlrpc.server import SimpleXMLRPCServer

import orjson
import pytest
from scripted_http_server import Conversation, ScriptedServer

from skitai.tasks.errors import TaskError
from skitai.upstream.http.backend import HttpBackend
from skitai.upstream.http.content import ContentError
from skitai.upstream.http.reply import HTTPTaskError
from skitai.upstream.http.rpc import (
    Fault,
    JsonRpcError,
    RemoteMethod,
    jsonrpc_request,
    xmlrpc_request,
)
from skitai.upstream.interface import Member


def test_dotted_names_nest():
    calls = []
    stub = RemoteMethod(lambda name, args: calls.append((name, args)) or len(calls))
    assert stub.add(156, 952) == 1
    assert stub.math.deep.er.add() == 2
    math = stub.math
    assert (math.a(1), math.b(2)) == (3, 4)
    assert calls == [("add", (156, 952)), ("math.deep.er.add", ()), ("math.a", (1,))] + [
        ("math.b", (2,))
    ]
    with pytest.raises(AttributeError):
        copy.copy(stub).__deepcopy__  # noqa: B018 - what Python asks for is no remote method


def ask(member: Member, request):
    async def main():
        backend = HttpBackend(member)
        reply = await backend.call(request)
        await backend.close()
        return reply

    return asyncio.run(main())


@pytest.fixture
def xml_server():
    with SimpleXMLRPCServer(
        ("127.0.0.1", 0), allow_none=True, logRequests=False, use_builtin_types=True
    ) as server:
        server.register_function(lambda *args: list(args), "echo")
        server.register_function(lambda a, b: a / b, "math.divide")
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield Member("127.0.0.1", server.server_address[1])
        server.shutdown()
        thread.join()


def test_values_over_xmlrpc(xml_server):
    values = [1, -2.5, "é<&", True, None, [1, ["a"]], {"a": {"b": 1}}, b"\x00\xff"]
    values += [datetime(2026, 1, 2, 3, 4, 5), "", [], {}]
    reply = ask(xml_server, xmlrpc_request("", "echo", values))
    assert reply.error is None
    assert reply.data == values


def test_a_fault_is_the_error_of_the_call(xml_server):
    reply = ask(xml_server, xmlrpc_request("", "math.divide", [1, 0]))
    assert isinstance(reply.error, Fault)
    assert "ZeroDivisionError" in reply.error.faultString
    assert reply.data is None
    assert ask(xml_server, xmlrpc_request("", "math.divide", [6, 3])).data == 2


def test_a_service_that_is_not_there(xml_server):
    reply = ask(xml_server, xmlrpc_request("/other", "echo", []))
    assert isinstance(reply.error, HTTPTaskError)
    assert reply.status_code == 404


def test_calls_of_xmlrpc():
    request = xmlrpc_request("/rpc2", "math.add", (1,))
    assert (request.method, request.target) == ("POST", "/rpc2/")
    assert xmlrpc_request("/rpc2/", "a", ()).target == "/rpc2/"
    assert xmlrpc_request("/cgi/rpc.php", "a", ()).target == "/cgi/rpc.php"
    assert ("Content-Type", "text/xml; charset=utf-8") in request.headers
    assert b"<methodName>math.add</methodName>" in request.body
    assert request.repeatable is False
    with pytest.raises(OverflowError):
        xmlrpc_request("", "a", (1 << 40,))
    with pytest.raises(TypeError):
        xmlrpc_request("", "a", (object,))


def wrapped(value: str) -> str:
    return f"<methodResponse><params><param>{value}</param></params></methodResponse>"


ENTITIES = "".join(f'<!ENTITY x{n + 1} "' + f"&x{n};" * 10 + '">' for n in range(8))
BOMB = "<!DOCTYPE a [<!ENTITY x0 '" + "x" * 1000 + f"'>{ENTITIES}]>"


@pytest.mark.parametrize(
    ("body", "text"),
    [
        ("", "not one of XML-RPC"),
        ("<html></html>", "no methodResponse"),
        ("<methodResponse>", "not one of XML-RPC"),
        ("<methodResponse/>", "not one of XML-RPC"),
        ("<methodCall><methodName>a</methodName></methodCall>", "no methodResponse"),
        (wrapped("<value><int>x</int></value>"), "not one of XML-RPC"),
        (wrapped("<value><int>1</int></value>") + "<more/>", "not one of XML-RPC"),
        (wrapped("<value><int>" + "9" * 100_000 + "</int></value>"), "not one of XML-RPC"),
        (BOMB + wrapped("<value>&x8;</value>"), "DOCTYPE"),
        ('<!DOCTYPE a SYSTEM "file:///etc/passwd">' + wrapped("<value>1</value>"), "DOCTYPE"),
        (wrapped("<value><array><data>" * 100_000), "nested too deeply"),
        (wrapped("<value>&undefined;</value>"), "not one of XML-RPC"),
    ],
)
def test_what_is_no_answer_of_xmlrpc(body, text):
    async def script(client: Conversation) -> None:
        await client.request()
        await client.answer(body.encode(), b"Content-Type: text/xml")

    async def main():
        async with ScriptedServer(script) as server:
            backend = HttpBackend(server.member())
            reply = await backend.call(xmlrpc_request("/", "a", []))
            await backend.close()
            return reply

    reply = asyncio.run(main())
    assert isinstance(reply.error, ContentError)
    assert text in str(reply.error)


def answer_json(make) -> object:
    """The reply to a call of JSON-RPC; ``make`` gets the call and returns the answer."""
    seen = []

    async def script(client: Conversation) -> None:
        received = await client.request()
        seen.append(received)
        answer = make(orjson.loads(received.body))
        body = answer if isinstance(answer, bytes) else orjson.dumps(answer)
        await client.answer(body, b"Content-Type: application/json-rpc")

    async def main():
        async with ScriptedServer(script) as server:
            backend = HttpBackend(server.member())
            reply = await backend.call(jsonrpc_request("/rpc", "math.add", [1, "é"]))
            await backend.close()
            return reply

    reply = asyncio.run(main())
    assert seen[0].line == "POST /rpc/ HTTP/1.1"
    assert seen[0].headers["content-type"] == "application/json-rpc"
    return reply


def test_values_over_jsonrpc():
    def make(call):
        assert call.pop("id")
        assert call == {"jsonrpc": "2.0", "method": "math.add", "params": [1, "é"]}
        return {"jsonrpc": "2.0", "result": {"a": [1, None]}, "id": number}

    number = jsonrpc_request("", "a", []).body
    number = orjson.loads(number)["id"] + 1
    reply = answer_json(make)
    assert reply.error is None
    assert reply.data == {"a": [1, None]}


def test_errors_of_jsonrpc():
    def make(call):
        error = {"code": -32601, "message": "Method not found", "data": {"a": 1}}
        return {"jsonrpc": "2.0", "error": error, "id": call["id"]}

    error = answer_json(make).error
    assert isinstance(error, JsonRpcError)
    assert isinstance(error, TaskError)
    assert (error.code, error.message, error.data) == (-32601, "Method not found", {"a": 1})
    assert str(error) == "-32601 Method not found"
    error = answer_json(lambda call: {"error": "old style", "id": call["id"]}).error
    assert (error.code, error.message) == (0, "old style")
    error = answer_json(lambda call: {"error": {"code": "x"}, "id": None}).error
    assert (error.code, error.message) == (0, "")


@pytest.mark.parametrize(
    "make",
    [
        lambda call: b"no json",
        lambda call: b"",
        lambda call: [],
        lambda call: {"jsonrpc": "2.0", "id": call["id"]},
        lambda call: {"jsonrpc": "2.0", "result": 1, "id": call["id"] + 1},
        lambda call: {"jsonrpc": "2.0", "result": 1},
    ],
)
def test_what_is_no_answer_of_jsonrpc(make):
    assert isinstance(answer_json(make).error, ContentError)


def test_null_is_a_result():
    reply = answer_json(lambda call: {"jsonrpc": "2.0", "result": None, "id": call["id"]})
    assert (reply.data, reply.error) == (None, None)


def test_a_large_answer_is_decoded_beside_the_loop():
    threads = []

    def make(call):
        return {"jsonrpc": "2.0", "result": "x" * 1_000_000, "id": call["id"]}

    async def script(client: Conversation) -> None:
        received = await client.request()
        await client.answer(orjson.dumps(make(orjson.loads(received.body))))

    async def main():
        async with ScriptedServer(script) as server:
            backend = HttpBackend(server.member())
            request = jsonrpc_request("/", "a", [])
            decode = request.decode

            def watched(reply):
                threads.append(threading.current_thread())
                return decode(reply)

            request.decode = watched
            reply = await backend.call(request)
            await backend.close()
            return reply

    assert len(asyncio.run(main()).data) == 1_000_000
    assert threads[0] is not threading.main_thread()
