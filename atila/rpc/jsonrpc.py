"""JSON-RPC messages, 2.0 and 1.0, read and written (jsonrpc.org; answers by jsonrpclib-pelix).

``rpc`` performs the calls.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from atila.arguments import decode_json
from atila.rpc.calls import INVALID_REQUEST, MAX_CALLS, PARSE_ERROR, Call, RpcError

if TYPE_CHECKING:
    from collections.abc import Callable

    from atila.app import Atila

_CRASHED = -32000
_V1, _V2 = 1.0, 2.0


class Missing(Exception):
    """The package for JSON-RPC is not installed."""


class JsonKey:
    """What an answer repeats of its call.

    Attributes:
        id: of the call; None also where none could be read.
        version: 1.0 or 2.0.
        silent: it is a notification, which has no answer.
    """

    __slots__ = ("id", "silent", "version")

    def __init__(self, id: Any = None, version: float = _V2, silent: bool = False) -> None:
        self.id = id
        self.version = version
        self.silent = silent


def decode_message(body: bytes, content_type: str, app: Atila) -> JsonMessage:
    """Read a call, or a batch of them.

    Raises ``RpcError`` for what is neither, ``Missing`` without jsonrpclib-pelix.
    """
    message = JsonMessage(app.encode)
    try:
        document = decode_json(body)
    except ValueError as exc:
        raise RpcError(PARSE_ERROR, f"the document is no JSON: {exc}") from None
    if not isinstance(document, list):
        message.calls.append(_call(document))
        return message
    if not document:
        raise RpcError(INVALID_REQUEST, "the batch is empty")
    if len(document) > MAX_CALLS:
        raise RpcError(INVALID_REQUEST, f"more than {MAX_CALLS} calls")
    message.single = False
    message.calls += map(_call, document)
    return message


def _call(entry: Any) -> Call:
    try:
        return _checked(entry)
    except RpcError as exc:
        return Call(key=JsonKey(), error=exc)


def _checked(entry: Any) -> Call:
    if not isinstance(entry, dict):
        raise RpcError(INVALID_REQUEST, "a call is an object")
    version = _V1 if "jsonrpc" not in entry else _V2
    if version == _V2 and entry["jsonrpc"] != "2.0":
        raise RpcError(INVALID_REQUEST, "jsonrpc must be '2.0'")
    if version == _V1 and "id" not in entry:
        raise RpcError(INVALID_REQUEST, "a call has a member jsonrpc, or an id in version 1.0")
    id = entry.get("id")
    if isinstance(id, (bool, list, dict)):
        raise RpcError(INVALID_REQUEST, "id must be text, a number or null")
    method, params = entry.get("method"), entry.get("params", [])
    if not isinstance(method, str) or not method:
        raise RpcError(INVALID_REQUEST, "method must be text")
    if not isinstance(params, (list, dict)):
        raise RpcError(INVALID_REQUEST, "params must be an array or an object")
    silent = "id" not in entry if version == _V2 else id is None
    return Call(method, params, JsonKey(id, version, silent))


class JsonMessage:
    """One call or a batch.

    Parameters:
        encode: to JSON.
    """

    crashed = _CRASHED

    def __init__(self, encode: Callable[[Any], bytes]) -> None:
        self.calls: list[Call] = []
        self.single = True
        self._encode = encode
        self._payload = _payload()

    def result(self, call: Call, value: Any) -> bytes:
        key = call.key
        return b"" if key.silent else self._encode(self._of(key).response(value))

    def failure(self, call: Call, error: RpcError) -> bytes:
        key = call.key
        if key.silent:
            return b""
        data = {"traceback": error.trace} if error.trace else error.data
        return self._encode(self._of(key).error(error.code, error.message, data))

    def join(self, answers: list[bytes]) -> bytes:
        if self.single:
            return answers[0]
        told = [answer for answer in answers if answer]
        return b"[" + b",".join(told) + b"]" if told else b""

    def _of(self, key: JsonKey) -> Any:
        return self._payload(key.id, key.version)


def refuse(error: RpcError, app: Atila) -> bytes:
    """The answer to what is no message at all."""
    message = JsonMessage(app.encode)
    return message.failure(Call(key=JsonKey()), error)


def _payload() -> Any:
    """The class that gives answers their members. Raises ``Missing``."""
    try:
        from jsonrpclib.jsonrpc import Payload
    except ImportError as exc:
        raise Missing(
            "JSON-RPC needs the package jsonrpclib-pelix: pip install 'skitai[rpc]'"
        ) from exc
    return Payload
