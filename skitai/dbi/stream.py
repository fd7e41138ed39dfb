"""``StreamConnect``: the base of interfaces whose protocol runs over one TCP connection."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import ClassVar

from skitai.upstream.custom import Interface
from skitai.upstream.tls import load_context


class StreamConnect(Interface):
    """Opens and closes the connection; a subclass writes commands to it and reads answers.

    Define ``execute``, and ``greet`` if something has to be said first.

    Attributes:
        reader, writer: of the connection, from ``greet`` on.
        line_limit: bytes that a line, or what ``reader.readuntil`` looks for, may have at most.
    """

    line_limit: ClassVar[int] = 65536

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    async def connect(self) -> None:
        """Open the connection, encrypted if the member says so, and ``greet``."""
        member = self.member
        context = await load_context(self.verify) if member.tls else None
        self.reader, self.writer = await asyncio.open_connection(
            member.host, member.port, limit=self.line_limit, ssl=context
        )
        await self.greet()

    async def greet(self) -> None:
        """Say who we are; nothing by default. Raises what ``connect`` may raise."""

    async def send(self, data: bytes) -> None:
        """Write bytes; waits while the server doesn't take them."""
        self.writer.write(data)
        await self.writer.drain()

    async def read_line(self) -> bytes:
        """The next line, without its end (LF, or CR LF).

        Raises ``EOFError`` when the server has closed the connection, ``ConnectionError`` for a
        line that is too long.
        """
        try:
            line = await self.reader.readuntil(b"\n")
        except asyncio.LimitOverrunError:
            raise ConnectionError(
                f"the server sent more than {self.line_limit} bytes in one line"
            ) from None
        return line[:-1].removesuffix(b"\r")

    async def close(self) -> None:
        """Close the connection, if there is one."""
        writer = getattr(self, "writer", None)
        if writer is not None:
            writer.close()
            with suppress(OSError):
                await writer.wait_closed()

    def usable(self) -> bool:
        """The server has not closed the connection, and said nothing that nobody has read."""
        reader = self.reader
        if reader.at_eof() or reader.exception() is not None or self.writer.is_closing():
            return False
        # A StreamReader has no public way to ask for what it has read.
        return not getattr(reader, "_buffer", None)
