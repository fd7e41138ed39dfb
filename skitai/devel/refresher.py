"""``Refresher``: the part of a worker that lets open pages follow what is saved.

The worker makes one under ``--devel``, unless the setting ``devel_refresh`` says otherwise. What
was saved it learns from the master, which watches the files.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
from html import escape
from importlib.resources import files
from typing import TYPE_CHECKING, Any

from skitai.devel.failure import picture
from skitai.devel.orders import FAILURE, HELLO, OrderReader, is_channel
from skitai.devel.pages import PageChannel, PageExchange
from skitai.errors import HTTPError
from skitai.server.exchange import ClientGone
from skitai.server.representation import EVENT_STREAM, Head

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable

    from skitai.server.access_log import Recorder
    from skitai.server.exchange import Exchange
    from skitai.wire.request import Request

log = logging.getLogger("skitai")

PREFIX = "/-/devel/"
SCRIPT, EVENTS = PREFIX + "refresh.js", PREFIX + "refresh"
MAX_STREAMS = 256  # pages that listen, of a worker
PING_SECONDS = 15.0  # proxies end what says nothing for long
_FRESH = ("Cache-Control", "no-store")


class Refresher:
    """Answers the script and the stream of events, and makes pages of answers; on the loop.

    Parameters:
        loop: of the worker.
        channel: the descriptor on which the master tells what was saved; anything that is no such
            channel tells nothing.

    Attributes:
        state: names the code, templates and files as they are: whoever shows another state is out
            of date.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, channel: int = -1) -> None:
        self.state = f"{os.getpid():x}.0.0"
        self._loop = loop
        self._failure: dict[str, Any] | None = None
        self._streams: set[Exchange] = set()
        self._doubts: set[str] = set()
        self._closing = False
        self._ping: asyncio.TimerHandle | None = None
        self._script = (files("skitai.devel") / "page" / "refresh.js").read_bytes()
        self._pages = type("_PageExchange", (PageExchange,), {
            "__slots__": (), "refresher": self, "_held": {},
        })  # fmt: skip
        self._channel = channel if is_channel(channel) else -1
        if self._channel >= 0:
            self._orders = OrderReader(channel)
            self._listen()
            loop.add_reader(channel, self._listen)

    # -- where requests come by

    def guard(self, dispatch: Callable[[Exchange], None]) -> Callable[[Exchange], None]:
        """Answer the script's requests, and hand on the others as exchanges that make pages."""
        pages = self._pages
        own = (SCRIPT, EVENTS)

        def guarded(exchange: Exchange) -> None:
            request = exchange.request
            if request.path in own:
                self._handle(exchange)
            elif self._closing and _comes_again(request):
                # Whoever asks for a page now wants the one that the new code makes.
                fields = [("Location", request.target), _FRESH]
                exchange.respond(Head(307, fields=fields), b"")
            else:
                exchange.__class__ = pages
                exchange.channel = PageChannel(exchange.channel)
                dispatch(exchange)

        return guarded

    def quiet(self, recorder: Recorder | None) -> Recorder | None:
        """A recorder that is not told of the script's requests."""
        return None if recorder is None else _Quiet(recorder)

    def tag(self, request: Request, nonce: str) -> str:
        """The tag that a document gets."""
        posted = "" if request.method in ("GET", "HEAD") else " data-posted"
        allowed = f' nonce="{escape(nonce)}"' if nonce else ""
        return f'<script async src="{SCRIPT}" data-state="{self.state}"{posted}{allowed}></script>'

    def doubt(self, directive: str) -> None:
        """Say once that a page can't refresh itself."""
        if directive not in self._doubts:
            self._doubts.add(directive)
            log.warning(
                "pages don't refresh themselves: %s of their Content-Security-Policy forbids it; "
                "under --devel add 'self' to it", directive,
            )  # fmt: skip

    def close(self) -> None:
        """The worker drains: let the pages go to the one that comes after it."""
        self._closing = True
        if self._channel >= 0:
            self._loop.remove_reader(self._channel)
        for exchange in list(self._streams):
            exchange.conclude()
        self._schedule_ping()

    # -- what the master tells

    def _listen(self) -> None:
        for order in self._orders.read():
            self.obey(order)

    def obey(self, order: dict[str, Any]) -> None:
        """Take over the state that the master tells, and tell it to all pages.

        Parameters:
            order: ``state``; ``kind`` of what was saved; ``failure`` of what was saved, or None.
        """
        self.state = order["state"]
        failure = order["failure"]
        self._failure = None if failure is None else picture(failure["reason"], failure["trace"])
        if order["kind"] != HELLO:
            self._tell_all(self._event(order["kind"]))

    def _event(self, kind: str) -> bytes:
        event = {"kind": kind, "state": self.state, "failure": self._failure}
        return f"data: {json.dumps(event)}\n\n".encode()

    def _tell_all(self, data: bytes) -> None:
        for exchange in list(self._streams):
            with contextlib.suppress(ClientGone):  # it is forgotten by `when_gone`
                exchange.write(data)

    # -- the script's requests

    def _handle(self, exchange: Exchange) -> None:
        request = exchange.request
        if request.method not in ("GET", "HEAD"):
            exchange.fail(HTTPError(405), [("Allow", "GET, HEAD")])
        elif request.path == SCRIPT:
            fields = [("Cache-Control", "no-cache"), ("X-Content-Type-Options", "nosniff")]
            exchange.respond(Head(200, "text/javascript; charset=utf-8", fields), self._script)
        elif self._closing:  # an error would be in the browser's console
            exchange.keep_alive = False
            exchange.respond(Head(200, EVENT_STREAM, [_FRESH]), b":\n\n")
        elif len(self._streams) >= MAX_STREAMS:
            exchange.fail(HTTPError(503))
        else:
            self._open(exchange)

    def _open(self, exchange: Exchange) -> None:
        # Its connection ends with it, or the page would come back to this worker.
        exchange.keep_alive = False
        exchange.start(Head(200, EVENT_STREAM, [_FRESH, ("X-Accel-Buffering", "no")]))
        if exchange.request.method == "HEAD":
            exchange.end()
            return
        exchange.write(self._event(FAILURE if self._failure else HELLO))
        self._streams.add(exchange)
        exchange.when_gone(lambda: self._streams.discard(exchange))
        self._schedule_ping()

    def _schedule_ping(self) -> None:
        if self._ping is not None:
            self._ping.cancel()
        self._ping = None
        if self._streams:
            self._ping = self._loop.call_later(PING_SECONDS, self._send_ping)

    def _send_ping(self) -> None:
        self._tell_all(b":\n\n")
        self._ping = None
        self._schedule_ping()


class _Quiet:
    """A recorder but for the script's requests."""

    def __init__(self, recorder: Recorder) -> None:
        self.clock = recorder.clock
        self._record = recorder.record

    def record(self, exchange: Exchange) -> None:
        if not exchange.request.path.startswith(PREFIX):
            self._record(exchange)


def _comes_again(request: Request) -> bool:
    """Whether a request is a browser's for a page, and can be sent to where it came from."""
    return (
        request.method in ("GET", "HEAD")
        and request.headers.get("sec-fetch-mode") == "navigate"
        and request.target.startswith("/")
        and not request.target.startswith(("//", "/\\"))
    )
