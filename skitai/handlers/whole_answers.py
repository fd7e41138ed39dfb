"""An answer of an app of another framework that is there in one piece, for WSGI and ASGI alike."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from skitai.server.exchange import Exchange
    from skitai.server.representation import Head

EMPTY = (204, 304)  # statuses without a body


def answer_whole(exchange: Exchange, head: Head, length: int | None, body: bytes) -> bool:
    """Answer; False, and nothing is sent, when the body has another length than the app says.

    Parameters:
        exchange: not answered yet.
        head: without a length.
        length: the app's Content-Length, None when it gives none.
        body: all of it.
    """
    if head.status in EMPTY:
        exchange.respond(head, b"")
    elif not body and exchange.request.method == "HEAD":
        # Only the app knows the length of what it leaves out.
        head.length = length
        exchange.start(head)
        exchange.end()
    elif length is None or length == len(body):
        exchange.respond(head, body)
    else:
        return False
    return True
