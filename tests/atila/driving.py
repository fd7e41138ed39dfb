"""Drives an app in-process: real exchanges, over a channel that records the answer instead of
sending it.

The path is the real one (app handler, router, endpoint, results, the exchange's rules, the encoding
of the head); only the socket, the thread pool and the parser are left out.
"""

from __future__ import annotations

import asyncio
import json
import os
import types
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

from atila import Atila
from skitai.config import Settings
from skitai.handlers.app import AppHandler
from skitai.server.body import RequestBody
from skitai.server.exchange import ClientGone, Exchange
from skitai.server.origin import TrustedProxies
from skitai.wire import http1
from skitai.wire.request import Request, split_target

if TYPE_CHECKING:
    from collections.abc import Callable

    from skitai.executors.threads import ThreadPool
    from skitai.server.files import FilePart
    from skitai.server.representation import Fields, Head

TIMEOUT = 10.0
HTML = {"Accept": "text/html"}


class Answer:
    """What the client would have seen.

    Attributes:
        status, reason: of the status line.
        headers: (name, value) as sent, without Date.
        body: all bytes after the head.
        writes: the pieces of a streamed body.
        broken: the response was broken off.
    """

    def __init__(self) -> None:
        self.status = 0
        self.reason = ""
        self.headers: list[tuple[str, str]] = []
        self.body = b""
        self.writes: list[bytes] = []
        self.broken = False

    def take_head(self, head: Head) -> None:
        fields = http1.encode_fields(head.fields) if head.fields else b""
        data = http1.encode_head(head, fields, b"")
        first, *lines = data.decode("latin-1").removesuffix("\r\n\r\n").split("\r\n")
        _, status, self.reason = first.split(" ", 2)
        self.status = int(status)
        pairs = (line.partition(": ") for line in lines)
        self.headers = [(name, value) for name, _, value in pairs]

    def all(self, name: str) -> list[str]:
        return [value for key, value in self.headers if key.lower() == name.lower()]

    def __getitem__(self, name: str) -> str | None:
        return next(iter(self.all(name)), None)

    @property
    def text(self) -> str:
        return self.body.decode()

    @property
    def json(self) -> Any:
        return json.loads(self.body)


class Server:
    """The part of the server that an exchange and its handler look at."""

    def __init__(self) -> None:
        self.settings = Settings()
        self.trusted = TrustedProxies(self.settings)
        self.loop = asyncio.get_running_loop()
        self.draining = False
        self.event_streams: set[Any] = set()


class Channel:
    """Records the answer to one exchange.

    Parameters:
        slow: every write fills the client's window, which is empty again in the loop's next turn.
        leave_after: the client leaves after so many writes.
    """

    peer = ("192.0.2.7", 41000)
    scheme = "http"

    def __init__(self, slow: bool = False, leave_after: int = -1) -> None:
        self.server: Any = Server()
        self.answer = Answer()
        self.ended: asyncio.Future[None] = self.server.loop.create_future()
        self._over = False
        self._slow = slow
        self._left = leave_after

    def respond(self, exchange: Exchange, head: Head, body: bytes) -> None:
        self._begin(exchange, head)
        self.answer.body = bytes(memoryview(body))
        self._end(exchange)

    def start(self, exchange: Exchange, head: Head) -> None:
        self._begin(exchange, head)

    def write(self, exchange: Exchange, data: bytes) -> bool:
        if self._left == 0:
            exchange.lost()
            self._end(exchange)
            raise ClientGone
        self._left -= 1
        self.answer.writes.append(data)
        return not self._slow

    def end(self, exchange: Exchange, trailers: Fields | None) -> None:
        self.answer.body = b"".join(self.answer.writes)
        self._end(exchange)

    def abort(self, exchange: Exchange) -> None:
        self.answer.broken = True
        exchange.lost()
        self._end(exchange)

    def when_writable(self, callback: Callable[[], None]) -> None:
        self.server.loop.call_soon_threadsafe(callback)

    def send_file(
        self, exchange: Exchange, head: Head, descriptor: int, parts: list[FilePart]
    ) -> None:
        with open(descriptor, "rb") as file:
            self._begin(exchange, head)
            for part in [] if exchange.request.method == "HEAD" else parts:
                if isinstance(part, bytes):
                    self.answer.body += part
                else:
                    self.answer.body += os.pread(file.fileno(), part[1] - part[0], part[0])
        self._end(exchange)

    def expect_body(self, exchange: Exchange) -> None:
        pass

    def _begin(self, exchange: Exchange, head: Head) -> None:
        assert not exchange.answered, "a second response to the same request"
        self.answer.take_head(head)
        exchange.answered = True

    def _end(self, exchange: Exchange) -> None:
        assert not self._over, "the response was ended twice"
        self._over = True
        exchange.release()
        self.server.loop.call_soon_threadsafe(self.ended.set_result, None)


class Driver:
    """A client of apps that are mounted and frozen as a worker would do it.

    Parameters:
        apps: on the same point, in mount order.
        point: starts and ends with ``/``.
        module: with the hooks of the first app.
        home: the apps' directory, where ``templates`` is.
        debug: as with ``--devel``.
        pool: threads for plain functions; by default they run where the test runs.
        slow, leave_after: see ``Channel``.
    """

    def __init__(
        self,
        *apps: Atila,
        point: str = "/",
        module: types.ModuleType | None = None,
        home: object = "",
        debug: bool = False,
        pool: ThreadPool | None = None,
        slow: bool = False,
        leave_after: int = -1,
    ) -> None:
        resolvers = []
        for app in apps:
            app.home = str(home)
            app.debug = debug
            mntopt = {"point": point, "base_dir": app.home, "use_reloader": debug, "debug": debug}
            app.setup(module if app is apps[0] else None, mntopt)
            resolvers.append(app.freeze(point, pool))
        for app in apps:
            app.started(None)
        self._handler = AppHandler(resolvers, pool)
        self._slow = slow
        self._leave_after = leave_after

    def request(
        self,
        method: str,
        target: str,
        headers: dict[str, str] | None = None,
        body: bytes | None = None,
    ) -> Answer:
        """Send a request and wait for the end of its answer."""
        lowered = {name.lower(): value for name, value in (headers or {}).items()}
        path, query = split_target(target, method, lowered)
        request = Request(method, target, path, query, "1.1", lowered)
        return asyncio.run(self._exchange(request, body))

    async def _exchange(self, request: Request, body: bytes | None) -> Answer:
        channel = Channel(self._slow, self._leave_after)
        exchange = Exchange(channel, request, True)
        if body is not None:
            exchange.body = RequestBody(len(body))
        try:
            self._handler.handle(exchange)
        except Exception as exc:
            exchange.crash(exc)
        if body is not None and not exchange.answered:
            exchange.receive(body)
            exchange.received()
        await asyncio.wait_for(channel.ended, TIMEOUT)
        return channel.answer

    def get(self, target: str, **headers: str) -> Answer:
        """GET; underscores in the names of headers stand for hyphens."""
        return self.request(
            "GET", target, {name.replace("_", "-"): value for name, value in headers.items()}
        )

    def html(self, target: str) -> Answer:
        """GET as a browser does."""
        return self.request("GET", target, HTML)

    def send(
        self, target: str, body: bytes | str, content_type: str, method: str = "POST"
    ) -> Answer:
        """Send a body of any type."""
        data = body.encode() if isinstance(body, str) else body
        return self.request(method, target, {"Content-Type": content_type}, data)

    def json(self, target: str, data: Any, method: str = "POST") -> Answer:
        """Send a JSON document."""
        return self.send(target, json.dumps(data), "application/json", method)

    def form(self, target: str, **fields: Any) -> Answer:
        """POST a urlencoded form."""
        return self.send(target, urlencode(fields, True), "application/x-www-form-urlencoded")


def returning(make: Callable[[Any], Any], **options: Any) -> Driver:
    """An app whose route ``/`` returns ``make(was)``."""
    app = Atila("returning")

    @app.route("/")
    def handler(was: Any) -> Any:
        return make(was)

    return Driver(app, **options)


def answer(make: Callable[[Any], Any], **options: Any) -> Answer:
    """What a GET of that route gets."""
    return returning(make, **options).get("/")


def multipart(*parts: tuple[str, bytes]) -> tuple[bytes, str]:
    """Body and content type of a form from (disposition parameters, content)."""
    body = b"".join(
        b"--cut\r\nContent-Disposition: form-data; %b\r\n\r\n%b\r\n" % (disposition.encode(), data)
        for disposition, data in parts
    )
    return body + b"--cut--\r\n", "multipart/form-data; boundary=cut"


def module(name: str, **hooks: Any) -> types.ModuleType:
    """A module with hooks, e.g. ``__mount__``."""
    made = types.ModuleType(name)
    vars(made).update(hooks)
    return made
