"""XML-RPC messages, read and written (xmlrpc.com/spec; values by ``xmlrpc.client``).

``rpc`` performs the calls. A message has no DOCTYPE: what entities can do to a parser, they can't
do here.
"""

from __future__ import annotations

import codecs
import re
from datetime import datetime
from typing import TYPE_CHECKING, Any
from xml.parsers import expat
from xmlrpc.client import Unmarshaller

from atila.arguments import charset
from atila.results.xml_values import write_value
from atila.rpc.calls import (
    INVALID_REQUEST,
    MAX_CALLS,
    MAX_DEPTH,
    PARSE_ERROR,
    Call,
    RpcError,
)
from skitai.wire.forms import MalformedForm, text_codec

if TYPE_CHECKING:
    from collections.abc import Callable

    from atila.app import Atila

MULTICALL = "system.multicall"
_CRASHED = 1
_DECLARED = re.compile(rb"""\s*<\?xml[^>]*?\sencoding\s*=\s*["']([^"'<>]{1,40})["']""")
_BOMS = {codecs.BOM_UTF8: "utf-8-sig", codecs.BOM_UTF16_LE: "utf-16", codecs.BOM_UTF16_BE: "utf-16"}
_WITH_PARAMS = ("params", "methodCall", "methodResponse")
_LEVEL = 3  # elements around a value within another one: <array><data><value>
_HEAD = "<?xml version='1.0' encoding='utf-8'?>\n<methodResponse>\n"
_TAIL = "</methodResponse>\n"


def decode_message(body: bytes, content_type: str, app: Atila) -> XmlCall | XmlMulticall:
    """Read a method call.

    Parameters:
        body: the document; its charset is that of ``content_type``, else as XML says.
        app: encodes what XML has no type for.

    Raises ``RpcError`` for what is no method call.
    """
    method, params = _parse(_text(body, content_type))
    if method != MULTICALL:
        return XmlCall(Call(method, params), app.encode)
    if len(params) != 1 or not isinstance(params[0], list):
        raise RpcError(INVALID_REQUEST, f"{MULTICALL} takes one array of calls")
    if len(params[0]) > MAX_CALLS:
        raise RpcError(INVALID_REQUEST, f"more than {MAX_CALLS} calls")
    return XmlMulticall([_entry(entry) for entry in params[0]], app.encode)


def _entry(entry: Any) -> Call:
    """One of several calls."""
    method = entry.get("methodName") if isinstance(entry, dict) else None
    params = entry.get("params", []) if isinstance(entry, dict) else None
    if not isinstance(method, str) or not isinstance(params, list):
        message = "a call is a struct of methodName and params"
        return Call(error=RpcError(INVALID_REQUEST, message))
    if method == MULTICALL:
        return Call(error=RpcError(INVALID_REQUEST, f"{MULTICALL} within {MULTICALL}"))
    return Call(method, params)


# -- reading


def _text(body: bytes, content_type: str) -> str:
    name = "utf-8"
    if "charset" in content_type.lower():
        name = charset(content_type)
    elif found := _DECLARED.match(body):
        name = found[1].decode("latin-1")
    try:
        codec = next((codec for bom, codec in _BOMS.items() if body.startswith(bom)), "")
        return body.decode(codec or text_codec(name))
    except MalformedForm:
        raise RpcError(PARSE_ERROR, f"charset {name!r} can't be used, send utf-8") from None
    except UnicodeDecodeError as exc:
        raise RpcError(PARSE_ERROR, f"the document is not valid {exc.encoding}") from None


def decode_params(text: str) -> list[Any]:
    """The values of ``<params>``, alone or in a method call or response.

    Raises ``RpcError`` for a document of anything else.
    """
    return _read(text, _Unmarshaller(_WITH_PARAMS))


def _parse(text: str) -> tuple[str, list[Any]]:
    target = _Unmarshaller()
    params = _read(text, target)
    method = target.getmethodname()
    if not method:
        raise RpcError(INVALID_REQUEST, "the method call has no methodName")
    return method, params


def _read(text: str, target: _Unmarshaller) -> list[Any]:
    parser = expat.ParserCreate()
    parser.buffer_text = True
    parser.StartElementHandler = target.start
    parser.EndElementHandler = target.end
    parser.CharacterDataHandler = target.data
    parser.StartDoctypeDeclHandler = _refuse_doctype
    target.xml("", None)  # expat gives it text, with nothing to decode
    try:
        parser.Parse(text, True)  # text, whatever charset the document says that it has
        return list(target.close())
    except RpcError:
        raise
    except expat.ExpatError as exc:
        raise RpcError(PARSE_ERROR, f"the document is not well-formed: {exc}") from None
    except Exception:  # xmlrpc.client takes well-formed documents for valid ones
        raise RpcError(INVALID_REQUEST, "the document is no valid method call") from None


def _refuse_doctype(*_: object) -> None:
    raise RpcError(PARSE_ERROR, "a document with a DOCTYPE is not read")


class _Unmarshaller(Unmarshaller):
    """Makes dates ``datetime`` and binaries ``bytes``; only what it is made for, not too deep."""

    def __init__(self, roots: tuple[str, ...] = ("methodCall",)) -> None:
        super().__init__(use_builtin_types=True)
        self._roots = roots
        self._open = 0

    def start(self, tag: str, attrs: dict[str, str]) -> None:
        if not self._open and tag not in self._roots:
            expected = " or ".join(self._roots)
            raise RpcError(INVALID_REQUEST, f"the document is no {expected} but {tag[:40]!r}")
        self._open += 1
        if self._open > _LEVEL * MAX_DEPTH:
            raise RpcError(INVALID_REQUEST, "nested too deeply")
        super().start(tag, attrs)

    def end(self, tag: str) -> None:
        self._open -= 1
        super().end(tag)
        self._data = []  # else the elements around it join the same text, each of them


def _end_date(target: Unmarshaller, data: str) -> None:
    data = data.strip()
    try:
        moment = datetime.strptime(data, "%Y%m%dT%H:%M:%S")
    except ValueError:  # ISO 8601 has more forms, and clients send them
        moment = datetime.fromisoformat(data.replace("Z", "+00:00"))
    target.append(moment)
    target._value = False


_Unmarshaller.dispatch = {**Unmarshaller.dispatch, "dateTime.iso8601": _end_date}


# -- writing


class XmlCall:
    """A message with one call."""

    single = True
    crashed = _CRASHED

    def __init__(self, call: Call, encode: Callable[[Any], bytes]) -> None:
        self.calls = [call]
        self._encode = encode

    def result(self, call: Call, value: Any) -> bytes:
        pieces = [_HEAD, "<params>\n<param>\n"]
        write_value(value, pieces, self._encode)
        pieces += ("</param>\n</params>\n", _TAIL)
        return "".join(pieces).encode()

    def failure(self, call: Call, error: RpcError) -> bytes:
        return f"{_HEAD}<fault>\n{_fault(error)}</fault>\n{_TAIL}".encode()

    def join(self, answers: list[bytes]) -> bytes:
        return answers[0]


class XmlMulticall:
    """``system.multicall``: each result is an array of one value, each fault a structure."""

    single = False
    crashed = _CRASHED

    def __init__(self, calls: list[Call], encode: Callable[[Any], bytes]) -> None:
        self.calls = calls
        self._encode = encode

    def result(self, call: Call, value: Any) -> bytes:
        pieces: list[str] = []
        write_value([value], pieces, self._encode)
        return "".join(pieces).encode()

    def failure(self, call: Call, error: RpcError) -> bytes:
        return _fault(error).encode()

    def join(self, answers: list[bytes]) -> bytes:
        head = f"{_HEAD}<params>\n<param>\n<value><array><data>\n"
        tail = f"</data></array></value>\n</param>\n</params>\n{_TAIL}"
        return b"".join([head.encode(), *answers, tail.encode()])


def refuse(error: RpcError, app: Atila) -> bytes:
    """The answer to what is no message at all."""
    call = Call()
    return XmlCall(call, app.encode).failure(call, error)


def _fault(error: RpcError) -> str:
    """A fault has no place for more than text."""
    text = "\n".join([error.message, *error.trace])
    pieces: list[str] = []
    write_value({"faultCode": error.code, "faultString": text}, pieces, bytes)
    return "".join(pieces)
