"""``AsynConnect``: the base of interfaces to servers that speak RESP2, as Redis does.

It needs no driver. For Redis itself there is the alias type ``skitai.DB_REDIS``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from skitai.dbi.stream import StreamConnect
from skitai.tasks.errors import RequestFailed
from skitai.upstream.custom import ServerError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from skitai.upstream.commands import Command


class AsynConnect(StreamConnect):
    """A connection that sends each command as an array of texts, and gives its reply.

    ``db.get("foo")`` sends ``GET foo``. Simple and bulk strings become ``str``, or ``bytes`` where
    they are not UTF-8; integers ``int``; arrays lists; nil None. An error reply raises
    ``ServerError``; within an array it is an element. On connecting, user and password of the
    member are sent with AUTH, and its path with SELECT.

    Override what differs: ``greet``, ``words`` for how a command is written, ``encode`` for how it
    is sent, ``read_reply``, or ``execute``.

    Attributes:
        max_bulk: bytes of one string, as Redis limits them.
        max_items: elements of one array.
        max_depth: arrays in arrays.
    """

    default_port: ClassVar[int] = 6379
    max_bulk: ClassVar[int] = 512 * 1024 * 1024
    max_items: ClassVar[int] = 10_000_000
    max_depth: ClassVar[int] = 32

    async def greet(self) -> None:
        """AUTH and SELECT, as the member says. Raises ``ServerError``."""
        member = self.member
        if member.password is not None:
            known = [member.user] if member.user else []
            await self.ask(["AUTH", *known, member.password])
        if database := member.path.strip("/"):
            await self.ask(["SELECT", database])

    async def execute(self, command: Command) -> Any:
        """Send a command and return its reply."""
        return await self.ask(self.words(command))

    def words(self, command: Command) -> Sequence[Any]:
        """A command as its words: the name in capitals, and the arguments.

        Raises ``RequestFailed``: RESP has no keywords.
        """
        if command.kwargs:
            raise RequestFailed(f"{command.name}: give arguments without keywords")
        return [command.name.upper(), *command.args]

    async def ask(self, words: Sequence[Any]) -> Any:
        """Send words and return the reply. Raises ``ServerError`` when it is an error."""
        await self.send(self.encode(words))
        reply = await self.read_reply()
        if isinstance(reply, ServerError):
            raise reply
        return reply

    def encode(self, words: Sequence[Any]) -> bytes:
        """Words as an array of bulk strings. Raises ``RequestFailed`` for what has no text."""
        parts = [b"*%d\r\n" % len(words)]
        for word in words:
            data = _encode(word)
            parts.append(b"$%d\r\n%b\r\n" % (len(data), data))
        return b"".join(parts)

    async def read_reply(self, depth: int = 0) -> Any:
        """The next reply; an error as ``ServerError``, which is not raised.

        Raises ``ConnectionError`` for what is no RESP, and what is too large.
        """
        line = await self.read_line()
        kind, rest = line[:1], line[1:]
        if kind == b"+":
            return _decode(rest)
        if kind == b"-":
            return ServerError(rest.decode("utf-8", "replace"))
        if kind == b":":
            return self._number(rest)
        if kind == b"$":
            size = self._number(rest, self.max_bulk)
            if size < 0:
                return None
            data = await self.reader.readexactly(size + 2)
            if data[-2:] != b"\r\n":
                raise ConnectionError("the server sent a string that is longer than it said")
            return _decode(data[:-2])
        if kind == b"*" and depth < self.max_depth:
            size = self._number(rest, self.max_items)
            if size < 0:
                return None
            return [await self.read_reply(depth + 1) for _ in range(size)]
        raise ConnectionError(f"the server sent what is no RESP: {line[:40]!r}")

    def _number(self, data: bytes, most: int | None = None) -> int:
        try:
            number = int(data)
        except ValueError:
            raise ConnectionError(f"the server sent {data[:40]!r} for a number") from None
        if most is not None and not -1 <= number <= most:
            raise ConnectionError(f"the server announced {number} bytes or elements")
        return number


def _encode(word: Any) -> bytes:
    if isinstance(word, (bytes, bytearray, memoryview)):
        return bytes(word)
    if isinstance(word, str):
        return word.encode()
    if isinstance(word, (int, float)) and not isinstance(word, bool):
        return repr(word).encode()
    raise RequestFailed(f"{word!r} must be text, bytes or a number")


def _decode(data: bytes) -> str | bytes:
    try:
        return data.decode()
    except UnicodeDecodeError:
        return data
