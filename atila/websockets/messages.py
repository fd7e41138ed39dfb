"""What handlers of websockets send and get: values to messages and back.

A socket has one ``Codec``, by the ``encoding`` of its declaration; ``client`` and the conversations
use it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any, Protocol

from atila.arguments import decode_json
from atila.errors import ConfigError
from atila.results.xml_values import write_value
from atila.rpc.calls import RpcError
from atila.rpc.xmlrpc import decode_params
from skitai.sockets import (
    WS_MSG_JSON,
    WS_MSG_TEXT,
    WS_MSG_XMLRPC,
    WS_OPCODE_BINARY,
    WS_OPCODE_CLOSE,
    WS_OPCODE_PING,
    WS_OPCODE_PONG,
    WS_OPCODE_TEXT,
)

if TYPE_CHECKING:
    from collections.abc import Callable

_OPCODES = frozenset(
    (WS_OPCODE_TEXT, WS_OPCODE_BINARY, WS_OPCODE_CLOSE, WS_OPCODE_PING, WS_OPCODE_PONG)
)
_XML_HEAD = "<?xml version='1.0' encoding='utf-8'?>\n<params>\n<param>\n"
_XML_TAIL = "</param>\n</params>\n"


class Malformed(Exception):
    """A client sent a message that its socket's encoding has no meaning for."""


class Codec(Protocol):
    """How values become messages, and messages values."""

    def decode(self, message: str | bytes) -> Any:
        """What a handler gets for a message. Raises ``Malformed``."""

    def encode(self, value: Any) -> str | bytes:
        """The message for one value. Raises ``TypeError`` for what can't be sent."""

    def split(self, value: Any) -> Iterable[Any]:
        """The values to send for what a handler returned or yielded: none, one or several."""


class TextCodec:
    """Messages are what they are: text is ``str``, binary is ``bytes``."""

    __slots__ = ()

    def decode(self, message: str | bytes) -> Any:
        return message

    def encode(self, value: Any) -> str | bytes:
        if isinstance(value, (str, bytes)):
            return value
        if isinstance(value, (bytearray, memoryview)):
            return bytes(value)
        raise TypeError(
            f"a message is text or bytes, not {type(value).__name__}: encoding='json' in "
            "@app.websocket sends other values"
        )

    def split(self, value: Any) -> Iterable[Any]:
        """Empty text is nothing to send; an iterable is several messages."""
        if isinstance(value, (str, bytes, bytearray, memoryview)):
            return (value,) if len(value) else ()
        if value is None or value is False:
            return ()
        if isinstance(value, tuple) and is_with_opcode(value):
            return (value,)
        if isinstance(value, Iterable) and not isinstance(value, dict):
            return value
        return (value,)  # which ``encode`` refuses


class DocumentCodec:
    """Messages are documents; bytes are binary messages as they are.

    Parameters:
        write: values to JSON, ``app.encode``.
    """

    __slots__ = ("_write",)

    def __init__(self, write: Callable[[Any], bytes]) -> None:
        self._write = write

    def decode(self, message: str | bytes) -> Any:
        return message if isinstance(message, bytes) else self._parse(message)

    def encode(self, value: Any) -> str | bytes:
        return value if isinstance(value, bytes) else self._format(value)

    def split(self, value: Any) -> Iterable[Any]:
        """None is nothing to send, an iterator is several messages, a list is one document."""
        if value is None:
            return ()
        return value if isinstance(value, Iterator) else (value,)

    def _parse(self, text: str) -> Any:
        raise NotImplementedError

    def _format(self, value: Any) -> str:
        raise NotImplementedError


class JsonCodec(DocumentCodec):
    """The documents are JSON."""

    __slots__ = ()

    def _parse(self, text: str) -> Any:
        try:
            return decode_json(text.encode())
        except ValueError as exc:
            raise Malformed(f"JSON: {exc}") from None

    def _format(self, value: Any) -> str:
        return self._write(value).decode()


class XmlRpcCodec(DocumentCodec):
    """The documents are the ``<params>`` of XML-RPC, or a whole call or response of it around them.

    One parameter is a value, several are a list. Values that XML-RPC has no type for have the form
    that they have in JSON.
    """

    __slots__ = ()

    def _parse(self, text: str) -> Any:
        try:
            params = decode_params(text)
        except RpcError as exc:
            raise Malformed(f"XML-RPC: {exc.message}") from None
        return params[0] if len(params) == 1 else params

    def _format(self, value: Any) -> str:
        pieces = [_XML_HEAD]
        write_value(value, pieces, self._write)
        pieces.append(_XML_TAIL)
        return "".join(pieces)


TEXT = TextCodec()


def codec_of(encoding: Any, write: Callable[[Any], bytes]) -> Codec:
    """The codec of a declaration's ``encoding``. Raises ``ConfigError`` for an unknown one."""
    if encoding == WS_MSG_TEXT:
        return TEXT
    if encoding == WS_MSG_JSON:
        return JsonCodec(write)
    if encoding == WS_MSG_XMLRPC:
        return XmlRpcCodec(write)
    raise ConfigError(f"@app.websocket(encoding={encoding!r}): choose 'text', 'json' or 'xmlrpc'")


def is_with_opcode(value: tuple[Any, ...]) -> bool:
    """Whether it is a message and an opcode, in this order or, as in older apps, reversed."""
    if len(value) != 2:
        return False
    message, opcode = value if isinstance(value[1], int) else (value[1], value[0])
    return opcode in _OPCODES and isinstance(message, (str, bytes, bytearray, memoryview))


def apply_opcode(message: Any, opcode: int) -> str | bytes:
    """A message as the kind that its opcode names: 1 text, 2 binary.

    Raises ``ValueError`` for another opcode, and for bytes that are no text.
    """
    if opcode == WS_OPCODE_TEXT:
        return message if isinstance(message, str) else bytes(message).decode()
    if opcode == WS_OPCODE_BINARY:
        return message.encode() if isinstance(message, str) else bytes(message)
    raise ValueError(
        f"opcode {opcode} can't be sent: 1 is text, 2 is binary, 8 closes; pings and pongs are the "
        "engine's"
    )
