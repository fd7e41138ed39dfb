"""XML-RPC and JSON-RPC as a client speaks them (xmlrpc.com/spec, jsonrpc.org/specification).

Pure: calls to bytes, answers to values. ``was.xmlrpc`` and ``was.jsonrpc`` use it; a library is not
needed for that.
"""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, Any
from xml.parsers import expat
from xmlrpc.client import Fault, Unmarshaller, dumps

from skitai.tasks.errors import TaskError
from skitai.upstream.http.content import ContentError
from skitai.upstream.http.payload import encode_json
from skitai.upstream.http.request import HttpRequest
from skitai.upstream.http.target import join_path

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from skitai.upstream.http.reply import HttpReply

MAX_DEPTH = 192  # elements within each other: 64 arrays or structures

__all__ = ["Fault", "JsonRpcError", "RemoteMethod", "jsonrpc_request", "xmlrpc_request"]

_numbers = itertools.count(1)


class JsonRpcError(TaskError):
    """The called service says that the call failed (JSON-RPC 2.0, 5.1).

    Attributes:
        code: number of the error.
        message: what went wrong.
        data: more of it; None when there is none.
    """

    def __init__(self, code: int, message: str, data: Any = None) -> None:
        super().__init__(f"{code} {message}")
        self.code = code
        self.message = message
        self.data = data


class RemoteMethod:
    """``stub.math.add(1, 2)``: attributes make dotted names, a call makes the call.

    Parameters:
        send: gets the name of the method and the arguments.
        name: so far.
    """

    __slots__ = ("_name", "_send")

    def __init__(self, send: Callable[[str, tuple[Any, ...]], Any], name: str = "") -> None:
        self._send = send
        self._name = name

    def __getattr__(self, name: str) -> RemoteMethod:
        if name.startswith("__"):
            raise AttributeError(name)  # of Python's own protocols, e.g. copying
        return RemoteMethod(self._send, f"{self._name}.{name}" if self._name else name)

    def __call__(self, *args: Any) -> Any:
        return self._send(self._name, args)


def xmlrpc_request(base: str, method: str, params: Sequence[Any]) -> HttpRequest:
    """A call by XML-RPC. Its data is the result; a ``Fault`` is its error.

    Parameters:
        base: path of the service; a slash is added to its end, as that is where apps are mounted,
            but not to the name of a file such as ``/xmlrpc.php``.
        method: dotted name.
        params: of XML-RPC's types; None is sent as the extension ``nil``.

    Raises ``TypeError`` and ``OverflowError`` for what XML-RPC has no type for.
    """
    text = dumps(tuple(params), method, encoding="utf-8", allow_none=True)
    return _post(base, "text/xml; charset=utf-8", "text/xml", text.encode(), _decode_xml)


def jsonrpc_request(
    base: str,
    method: str,
    params: Sequence[Any],
    encode: Callable[[Any], bytes] = encode_json,
) -> HttpRequest:
    """A call by JSON-RPC 2.0. Its data is the result, ``JsonRpcError`` its error.

    Parameters: see ``xmlrpc_request``; ``encode`` makes JSON.
    """
    number = next(_numbers)
    call = {"jsonrpc": "2.0", "method": method, "params": list(params), "id": number}

    def decode(reply: HttpReply) -> Any:
        return _decode_json(reply, number)

    return _post(base, "application/json-rpc", "application/json-rpc", encode(call), decode)


def _post(
    base: str, kind: str, accept: str, body: bytes, decode: Callable[[HttpReply], Any]
) -> HttpRequest:
    headers = [("Content-Type", kind), ("Accept", f"{accept}, */*;q=0.5")]
    target = join_path(base, "" if "." in base.rpartition("/")[2] else "/")
    return HttpRequest("POST", target, headers, body, decode=decode)


# -- answers


def _decode_json(reply: HttpReply, number: int) -> Any:
    answer = reply.json()
    if not isinstance(answer, dict):
        raise ContentError(f"the answer of {reply.url} is not one of JSON-RPC")
    error = answer.get("error")
    if isinstance(error, dict):
        code, message = error.get("code", 0), str(error.get("message", ""))
        raise JsonRpcError(code if isinstance(code, int) else 0, message, error.get("data"))
    if error is not None:
        raise JsonRpcError(0, str(error))
    if "result" not in answer or answer.get("id") != number:
        raise ContentError(f"the answer of {reply.url} is not one to this call of JSON-RPC")
    return answer["result"]


def _decode_xml(reply: HttpReply) -> Any:
    """Result of a call. Raises ``Fault``, ``ContentError``."""
    target = _Unmarshaller()
    parser = expat.ParserCreate()
    parser.buffer_text = True
    parser.StartElementHandler = target.start
    parser.EndElementHandler = target.end
    parser.CharacterDataHandler = target.data
    parser.StartDoctypeDeclHandler = _refuse_doctype
    target.xml("", None)  # expat gives it text, with nothing to decode
    try:
        parser.Parse(reply.content, True)
        result = target.close()
    except (Fault, ContentError):
        raise
    except Exception as exc:  # xmlrpc.client takes well-formed documents for valid ones
        text = f"the answer of {reply.url} is not one of XML-RPC: {exc}"
        raise ContentError(text) from exc
    if target.getmethodname() is not None or len(result) != 1:
        raise ContentError(f"the answer of {reply.url} is not one of XML-RPC")
    return result[0]


def _refuse_doctype(*_: object) -> None:
    # What entities can do to a parser, they can't do here.
    raise ContentError("the answer has a DOCTYPE, which XML-RPC does not have")


class _Unmarshaller(Unmarshaller):
    """Makes dates ``datetime`` and binaries ``bytes``; not too deep."""

    def __init__(self) -> None:
        super().__init__(use_builtin_types=True)
        self._open = 0

    def start(self, tag: str, attrs: dict[str, str]) -> None:
        if not self._open and tag != "methodResponse":
            raise ContentError(f"the answer is no methodResponse but {tag[:40]!r}")
        self._open += 1
        if self._open > MAX_DEPTH:
            raise ContentError("the answer is nested too deeply")
        super().start(tag, attrs)

    def end(self, tag: str) -> None:
        self._open -= 1
        super().end(tag)
        self._data = []  # else the elements around it join the same text, each of them
