"""``ErrorEndpoint``: the answer when no route gets the request: 404, 405, 401, a redirect, OPTIONS.

The resolver and the admission of routes make them, on the loop, before a body is read.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from atila.invoking import from_loop
from atila.was import Was
from skitai.handlers.interface import Mode
from skitai.server.error_page import wants_html
from skitai.server.representation import Head

if TYPE_CHECKING:
    from collections.abc import Callable

    from atila.app import Atila
    from atila.errors import HTTPError
    from skitai.server.exchange import Exchange
    from skitai.server.representation import Fields


class ErrorEndpoint:
    """Answers with a status and headers.

    An app's own error page is rendered like a handler's answer; all else is answered at once.
    """

    __slots__ = ("_app", "error", "fields", "max_body", "missing", "mode", "run")

    takes_body = streams_body = False

    def __init__(self, app: Atila, error: HTTPError, fields: Fields | None = None) -> None:
        self._app = app
        self.error = error
        self.fields = fields
        rendered = error.code >= 400 and app.error_handlers.find(error.code) is not None
        self.mode = Mode.COROUTINE if rendered else Mode.LOOP
        self.run: Callable[[Exchange], Any] = self._render if rendered else self._answer
        if app.debug and not rendered and error.code in (404, 405):
            self.run = self._show
        self.missing = error.code == 404
        self.max_body = 0

    def _answer(self, exchange: Exchange) -> None:
        error = self.error
        if error.code < 300:  # OPTIONS
            exchange.respond(Head(error.code, "", self.fields), b"")
        else:
            exchange.fail(error, self.fields)

    def _show(self, exchange: Exchange) -> None:
        """Under ``--devel`` browsers see what routes there are."""
        if wants_html(exchange.request.headers.get("accept", "")):
            from atila.debugging.missing_page import answer_missing  # only for --devel

            answer_missing(self._app, exchange, self.error, self.fields)
        else:
            self._answer(exchange)

    async def _render(self, exchange: Exchange) -> None:
        if exchange.answered:
            return  # it had a body, which was refused meanwhile
        was = Was(self._app, exchange, None)
        if self.fields:
            was.response.fields = list(self.fields)
        await self._app.error_handlers.answer(was, self.error, from_loop)
