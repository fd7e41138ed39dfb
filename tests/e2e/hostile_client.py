"""A client that sends bytes as they are, and what can be seen of the workers that it talks to."""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
import socket
import struct
from typing import NamedTuple

from hostile_app import COUNTED
from live_service import eventually

WORKERS = 2
TIMEOUT = 20  # seconds for one answer
RESET = struct.pack("ii", 1, 0)


class Answer(NamedTuple):
    status: int
    headers: list[tuple[str, str]]
    body: bytes


class Client:
    """One connection."""

    def __init__(self, reader, writer) -> None:
        self.reader, self.writer = reader, writer

    @classmethod
    async def open(cls, port):
        return cls(*await asyncio.open_connection("127.0.0.1", port, limit=1 << 20))

    @classmethod
    @contextlib.asynccontextmanager
    async def connect(cls, port):
        client = await cls.open(port)
        try:
            yield client
        finally:
            client.leave()

    async def ask(self, data, method="GET"):
        self.writer.write(data)
        return await asyncio.wait_for(self.read(method), TIMEOUT)

    async def read(self, method="GET"):
        """The next answer. Raises ``IncompleteReadError`` when the server has closed."""
        lines = (await self.reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")[:-2]
        version, status, _ = lines[0].split(" ", 2)
        assert version == "HTTP/1.1"
        headers = [tuple(line.split(": ", 1)) for line in lines[1:]]
        assert all(len(pair) == 2 for pair in headers), lines
        if status == "100":
            return await self.read(method)
        body = await self._body(method, int(status), dict(headers))
        return Answer(int(status), headers, body)

    async def _body(self, method, status, headers):
        if method == "HEAD" or status in (204, 304):
            return b""
        if "Content-Length" in headers:
            return await self.reader.readexactly(int(headers["Content-Length"]))
        assert headers["Transfer-Encoding"] == "chunked"
        body = b""
        while size := int(await self.reader.readline(), 16):
            body += (await self.reader.readexactly(size + 2))[:-2]
        await self.reader.readexactly(2)
        return body

    async def ended(self):
        """Whether the server closes the connection."""
        try:
            return await asyncio.wait_for(self.reader.read(1), TIMEOUT) == b""
        except ConnectionError:
            return True

    def leave(self, at_once=False):
        if at_once:
            sock = self.writer.get_extra_info("socket")
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
        self.writer.transport.abort() if at_once else self.writer.close()


async def leave_early(port, data, wanted, at_once):
    """Send a request, read some bytes of its answer, and close or reset the connection."""
    client = await Client.open(port)
    with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
        client.writer.write(data)
        if wanted:
            await asyncio.wait_for(client.reader.readexactly(wanted), TIMEOUT)
        else:
            await asyncio.sleep(random.random() / 200)
    client.leave(at_once)


def counted(service):
    """What the hooks of each worker have counted, for each app."""
    found = {}

    def ask():
        counts = service.get("/meta/counts").json()
        found[counts["pid"]] = counts["counts"]
        return len(found) == WORKERS

    eventually(ask, "the counts of all workers")
    return [app for counts in found.values() for app in counts.values()]


class Counts:
    """What the hooks count while a ``with`` block runs; it begins and ends with no request running.

    Every request that was begun has then been torn down.
    """

    def __init__(self, service) -> None:
        self.service = service
        self.total = {}

    def __enter__(self):
        self._at_start = self._settled()
        return self

    def __exit__(self, kind, exc, traceback):
        if kind is None:
            at_end = self._settled()
            self.total = {name: at_end[name] - self._at_start[name] for name in COUNTED}

    def _settled(self):
        now = {}

        def ask():
            every = counted(self.service)
            now.update({name: sum(app[name] for app in every) for name in COUNTED})
            return now["before"] == now["teardown"] == now["finished"]

        try:
            eventually(ask, "the end of all requests", patience=10)
        except AssertionError as exc:
            raise AssertionError(f"{exc}: {now}") from None
        return now

    @property
    def unfinished(self):
        """Requests that neither finished nor failed: their client left."""
        return self.total["before"] - self.total["finish"] - self.total["failed"]


def held(worker):
    """Kinds of open descriptors."""
    names = []
    for number in os.listdir(f"/proc/{worker}/fd"):
        with contextlib.suppress(FileNotFoundError):
            names.append(os.readlink(f"/proc/{worker}/fd/{number}").partition(":[")[0])
    return sorted(names)


def threads(worker):
    """How many threads a worker has."""
    return len(os.listdir(f"/proc/{worker}/task"))
