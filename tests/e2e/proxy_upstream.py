"""An upstream of proxies: a server in this process that answers byte for byte as a test says."""

from __future__ import annotations

import contextlib
import json
import socket
import struct
import threading
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    Script = Callable[["Peer", "Asked"], None]

PATIENCE = 30.0


class Asked:
    """The head of a request.

    Attributes:
        headers: pairs as they came, names in lower case.
    """

    def __init__(self, head: bytes) -> None:
        line, *lines = head.decode("latin-1").split("\r\n")
        self.method, self.target, self.version = line.split(" ")
        self.headers = [
            (name.lower(), value) for name, value in (text.split(": ", 1) for text in lines)
        ]

    def get(self, name: str) -> str | None:
        return dict(self.headers).get(name)


class Peer:
    """One connection."""

    def __init__(self, connection: socket.socket) -> None:
        connection.settimeout(PATIENCE)
        self.socket = connection
        self._buffer = b""

    def until(self, mark: bytes) -> bytes:
        while mark not in self._buffer:
            self._more()
        found, _, self._buffer = self._buffer.partition(mark)
        return found

    def take(self, size: int) -> bytes:
        while len(self._buffer) < size:
            self._more()
        taken, self._buffer = self._buffer[:size], self._buffer[size:]
        return taken

    def _more(self) -> None:
        data = self.socket.recv(65536)
        if not data:
            raise ConnectionError("the client has closed")
        self._buffer += data

    def body(self, asked: Asked) -> bytes:
        """The body of a request."""
        if asked.get("transfer-encoding") is None:
            return self.take(int(asked.get("content-length") or 0))
        body = b""
        while size := int(self.until(b"\r\n"), 16):
            body += self.take(size)
            self.take(2)
        self.take(2)
        return body

    def rest(self) -> bytes:
        """All that comes until the client ends its half."""
        while data := self.socket.recv(65536):
            self._buffer += data
        return self._buffer

    def send(self, data: bytes) -> None:
        self.socket.sendall(data)

    def answer(self, body: bytes, *fields: str, status: str = "200 OK") -> None:
        lines = "".join(f"{field}\r\n" for field in fields)
        head = f"HTTP/1.1 {status}\r\n{lines}Content-Length: {len(body)}\r\n\r\n"
        self.send(head.encode() + body)

    def reset(self) -> None:
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.socket.close()


class Upstream:
    """Listens on 127.0.0.1; what a path does is in ``scripts``, others echo the request as JSON.

    Attributes:
        asked: the requests that came.
    """

    def __init__(self) -> None:
        self.scripts: dict[str, Script] = {}
        self.asked: list[Asked] = []
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self._peers: list[socket.socket] = []
        self._threads = [threading.Thread(target=self._accept)]
        self._threads[0].start()

    def script(self, path: str) -> Callable[[Script], Script]:
        def remember(function: Script) -> Script:
            self.scripts[path] = function
            return function

        return remember

    def close(self) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for peer in self._peers:
            with contextlib.suppress(OSError):
                peer.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join(PATIENCE)

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            self._peers.append(connection)
            thread = threading.Thread(target=self._serve, args=(connection,))
            self._threads.append(thread)
            thread.start()

    def _serve(self, connection: socket.socket) -> None:
        with connection, contextlib.suppress(OSError):
            peer = Peer(connection)
            while True:
                asked = Asked(peer.until(b"\r\n\r\n"))
                self.asked.append(asked)
                self.scripts.get(asked.target.partition("?")[0], self._echo)(peer, asked)

    def _echo(self, peer: Peer, asked: Asked) -> None:
        body = peer.body(asked).decode("latin-1")
        facts = {
            "port": self.port, "method": asked.method, "target": asked.target,
            "headers": asked.headers, "body": body,
        }  # fmt: skip
        peer.answer(json.dumps(facts).encode(), "Content-Type: application/json")
