"""Sending parts of an open file over a TCP connection with sendfile, at the client's pace."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from skitai.server.exchange import ClientGone

if TYPE_CHECKING:
    from skitai.net.output import TcpOutput
    from skitai.server.exchange import Exchange
    from skitai.server.representation import Head

FilePart = bytes | tuple[int, int]
PIECE_SIZE = 64 * 1024
TURN_SIZE = 1024 * 1024
CHUNK_SIZE = 128 * 1024


def file_sender(
    exchange: Exchange, output: TcpOutput, descriptor: int, parts: list[FilePart]
) -> FileSender | FileReader:
    """The fitting one: what is encrypted has to be read first."""
    if output.takes_files:
        return FileSender(exchange, output, descriptor, parts)
    return FileReader(exchange, descriptor, parts)


class FileBody:
    """The parts of an open file as the body of a response.

    Everything but the constructor and ``start`` runs on the loop.

    Parameters:
        exchange: not answered yet.
        descriptor: an open file, closed at the end.
        parts: bytes to send as they are, or (start, stop) of the file.
    """

    __slots__ = ("_descriptor", "_exchange", "_parts")

    def __init__(self, exchange: Exchange, descriptor: int, parts: list[FilePart]) -> None:
        self._exchange = exchange
        self._descriptor = descriptor
        self._parts = [] if exchange.request.method == "HEAD" else list(reversed(parts))

    def start(self, head: Head) -> None:
        """Begin the response, with the right Content-Length in its head, and go on with ``run``."""
        try:
            self._exchange.start(head)
        except BaseException:
            self.close()
            raise
        self._exchange.channel.server.loop.call_soon_threadsafe(self.run)

    def run(self) -> None:
        """Send until everything is out, the client is slow, or it is another one's turn."""
        raise NotImplementedError

    def close(self) -> None:
        """Give the file back."""
        descriptor, self._descriptor = self._descriptor, -1
        if descriptor >= 0:
            os.close(descriptor)


class FileSender(FileBody):
    """Hands the parts to a TCP connection, those of the file with sendfile.

    Parameters:
        output: the connection's output; for the others see ``FileBody``.
    """

    __slots__ = ("_output",)

    def __init__(
        self, exchange: Exchange, output: TcpOutput, descriptor: int, parts: list[FilePart]
    ) -> None:
        super().__init__(exchange, descriptor, parts)
        self._output = output

    def run(self) -> None:
        exchange = self._exchange
        budget = TURN_SIZE
        try:
            while self._parts:
                if exchange.gone:
                    self.close()
                    return
                if self._output.backlog:
                    exchange.channel.when_writable(self.run)
                    return
                if budget <= 0:
                    # Other connections of this loop get their turn.
                    exchange.channel.server.loop.call_soon(self.run)
                    return
                budget -= self._send()
        except OSError as exc:
            self.close()
            exchange.crash(exc)
            return
        self.close()
        exchange.end()

    def _send(self) -> int:
        part = self._parts.pop()
        output = self._output
        with output.lock:
            if isinstance(part, bytes):
                output.send(part)
                self._exchange.bytes_sent += len(part)
                return len(part)
            start, stop = part
            if output.fd < 0:
                return 0
            try:
                sent = os.sendfile(output.fd, self._descriptor, start, min(stop - start, TURN_SIZE))
            except BlockingIOError:
                # The transport waits for the socket; it needs bytes of its own to do so.
                chunk = os.pread(self._descriptor, min(stop - start, CHUNK_SIZE), start)
                sent = len(chunk)
                output.send(chunk)
            except ConnectionError:
                # A transport that has seen the client's end of file would not notice by itself.
                self._exchange.abort()
                return 0
        if sent == 0:
            raise OSError("the file became shorter while it was sent")
        self._exchange.bytes_sent += sent
        if start + sent < stop:
            self._parts.append((start + sent, stop))
        return sent


class FileReader(FileBody):
    """Writes the parts through the exchange, for channels that can't use sendfile."""

    __slots__ = ()

    def run(self) -> None:
        exchange = self._exchange
        budget = TURN_SIZE
        try:
            while self._parts and not exchange.gone:
                piece = self._next()
                budget -= len(piece)
                if not exchange.write(piece):
                    exchange.when_writable(self.run)
                    return
                if budget <= 0:
                    exchange.channel.server.loop.call_soon(self.run)
                    return
        except ClientGone:
            exchange.gone = True
        except OSError as exc:
            self.close()
            exchange.crash(exc)
            return
        self.close()
        if not exchange.gone:
            exchange.end()

    def _next(self) -> bytes:
        part = self._parts.pop()
        if isinstance(part, bytes):
            return part
        start, stop = part
        piece = os.pread(self._descriptor, min(stop - start, PIECE_SIZE), start)
        if not piece:
            raise OSError("the file became shorter while it was sent")
        if start + len(piece) < stop:
            self._parts.append((start + len(piece), stop))
        return piece
