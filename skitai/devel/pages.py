"""Answers as they are under ``--devel``: documents have the refresh script, files are not kept.

The ``Refresher`` makes of each exchange one of these, before the apps see it.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any, ClassVar

from skitai.devel.html import MAX_PAGE, insert, is_page
from skitai.server.exchange import ClientGone, Exchange
from skitai.server.representation import Head

if TYPE_CHECKING:
    from skitai.devel.refresher import Refresher
    from skitai.server.exchange import Channel
    from skitai.server.files import FilePart
    from skitai.server.representation import Fields


class PageExchange(Exchange):
    """An exchange whose answer may be a page; see `Exchange`.

    A document that comes in pieces, of a length that is known, is kept until it is whole:
    frameworks with a layer around each answer send even short ones so.
    """

    __slots__ = ()
    refresher: ClassVar[Refresher]
    _held: ClassVar[dict[int, tuple[Head, list[bytes]]]]

    def respond(self, head: Head, body: bytes) -> None:
        """Answer with a complete body; a document gets the script."""
        if body and is_page(self.request, head):
            head = copied(head)
            body = insert(
                head, body, lambda nonce: self.refresher.tag(self.request, nonce),
                self.refresher.state, self.refresher.doubt,
            )  # fmt: skip
        else:
            head = unkept(head)
        super().respond(head, body)

    def start(self, head: Head) -> None:
        length = head.length
        if length is not None and is_page(self.request, head):
            if self.request.method == "HEAD":
                head = copied(head)  # only the app knows what it leaves out
                head.length = None
            elif length <= MAX_PAGE:
                self.status, self.bytes_sent, self.answered = head.status, 0, True
                self._held[id(self)] = (head, [])
                return
        super().start(unkept(head))

    def write(self, data: bytes) -> bool:
        held = self._held.get(id(self))
        if held is None:
            return super().write(data)
        if self.gone:
            raise ClientGone
        held[1].append(data)
        return True

    def end(self, trailers: Fields | None = None) -> None:
        held = self._let_go()
        if held is None:
            super().end(trailers)
        else:
            self.respond(held[0], b"".join(held[1]))

    def abort(self) -> None:
        self._held.pop(id(self), None)
        super().abort()

    def crash(self, exc: BaseException) -> None:
        self._let_go()
        super().crash(exc)

    def lost(self) -> None:
        self._held.pop(id(self), None)
        super().lost()

    def _let_go(self) -> tuple[Head, list[bytes]] | None:
        """What was kept; it has not begun to be sent."""
        held = self._held.pop(id(self), None)
        if held is not None:
            self.answered = False
        return held


class PageChannel:
    """The channel of such an exchange: it sends documents that are files like other documents.

    Parameters:
        channel: what it stands for, but for files.
    """

    __slots__ = ("_channel",)

    def __init__(self, channel: Channel) -> None:
        self._channel = channel

    def __getattr__(self, name: str) -> Any:
        return getattr(self._channel, name)

    def send_file(
        self, exchange: Exchange, head: Head, descriptor: int, parts: list[FilePart]
    ) -> None:
        """Send a head and parts of an open file; takes the descriptor over."""
        if len(parts) == 1 and is_page(exchange.request, head):
            start, stop = parts[0]
            if isinstance(start, int) and isinstance(stop, int) and stop - start <= MAX_PAGE:
                with open(descriptor, "rb") as source:
                    content = os.pread(source.fileno(), stop - start, start)
                exchange.respond(head, content)
                return
        self._channel.send_file(exchange, unkept(head), descriptor, parts)


def copied(head: Head) -> Head:
    """Another head of the same content: an app may use one for many answers."""
    return Head(head.status, head.content_type, head.fields, head.length, head.reason)


def unkept(head: Head) -> Head:
    """A head by which browsers ask each time whether there is something newer.

    Without it they take what was changed some time ago from their cache (RFC 9111, 4.2.2).
    """
    names = {name.lower() for name, _ in head.fields or ()}
    if "cache-control" in names or names.isdisjoint(("etag", "last-modified")):
        return head
    head = copied(head)
    head.fields = [*(head.fields or ()), ("Cache-Control", "no-cache")]
    return head
