"""Error answers that an app renders itself (seed, Custom Error Templates).

They serve clients whose Accept header has text/html; all others get the JSON shape.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

from atila.error_data import error_data
from atila.errors import ConfigError, HTTPError
from atila.failures import FAILURES, answer_error, answer_failure, explain, kept_fields, shown_cause
from atila.invoking import from_loop
from atila.results.senders import send, send_from_loop
from atila.results.streams import is_stream, send_stream
from atila.steps import Step, step_of
from skitai.server.error_page import wants_html
from skitai.server.exchange import ClientGone

if TYPE_CHECKING:
    from collections.abc import Callable

    from atila.invoking import Invoke
    from atila.was import Was

F = TypeVar("F", bound="Callable[..., Any]")


class ErrorHandlers:
    """The error handlers of an app: one for each status, one for all others."""

    __slots__ = ("_by_code", "_default")

    def __init__(self) -> None:
        self._by_code: dict[int, Step] = {}
        self._default: Step | None = None

    def __bool__(self) -> bool:
        return self._default is not None or bool(self._by_code)

    def find(self, code: int) -> Step | None:
        """The handler for a status."""
        return self._by_code.get(code, self._default)

    def statuses(self) -> list[int | str]:
        """The statuses that have a handler of their own, and ``"default"``."""
        return [*sorted(self._by_code), *(["default"] if self._default is not None else [])]

    def add(self, code: int | None, function: Callable[..., Any]) -> None:
        """Declare a handler; None stands for every other status.

        Raises ``ConfigError`` for what is no error status or can't be called.
        """
        if not callable(function):
            raise ConfigError(f"an error handler must be a function, not {function!r}")
        if code is None:
            self._default = step_of(function)
        elif isinstance(code, int) and 400 <= code <= 999:
            self._by_code[code] = step_of(function)
        else:
            raise ConfigError(f"error_handler({code!r}): give an error status such as 404")

    async def answer(self, was: Was, exc: BaseException, invoke: Invoke) -> None:
        """Answer a failure, by a handler where there is one; never raises."""
        try:
            error, crash = explain(was, exc)
            exchange = was.exchange
            step = self.find(error.code) if error.code >= 400 else None
            if step is None or exchange.answered or not _reads_html(was):
                answer_error(was, error, crash)
                return
            try:
                await self._render(step, was, error, crash, invoke)
            except FAILURES as second:
                explain(was, second)
                if not exchange.answered:
                    answer_error(was, error, second if crash is None else crash)
        except Exception as trouble:
            was.exchange.crash(trouble)

    async def _render(
        self,
        step: Step,
        was: Was,
        error: HTTPError,
        crash: BaseException | None,
        invoke: Invoke,
    ) -> None:
        fields = kept_fields(was, crash)
        was.start_over()
        response = was.response
        response.set_status(error.status)
        response.fields = list(fields or ())
        data = _data_for_page(was, error, shown_cause(error, crash))
        content = await invoke(step, was, data)
        if was.exchange.answered:
            return  # while the page was made its body was refused
        if not content:
            answer_error(was, error, crash)
        elif is_stream(content):
            # One that fails must not be answered by the handler that made it.
            send_stream(was, content, partial(_give_up, was))
        elif invoke is from_loop:
            await send_from_loop(was, content)
        else:
            send(was, content)


def _give_up(was: Was, exc: BaseException | None) -> None:
    """The end of a page that is a stream."""
    if exc is not None and not isinstance(exc, ClientGone):
        answer_failure(was, exc)


def _data_for_page(was: Was, error: HTTPError, shown: BaseException | None) -> dict[str, Any]:
    if shown is None or not was.app.debug:
        return error_data(was.exchange, error, None, was.app.debug)
    from atila.debugging.error_page import without_secrets  # only for --devel

    hide = partial(without_secrets, was)
    return error_data(was.exchange, error, shown, True, hide)


def _reads_html(was: Was) -> bool:
    return wants_html(was.exchange.request.headers.get("accept", ""))


class ErrorDecorators:
    """``@app.error_handler`` and its like."""

    error_handlers: ErrorHandlers

    def default_error_handler(self, function: F) -> F:
        """Let ``f(was, error)`` render the errors that have no handler of their own."""
        self.error_handlers.add(None, function)
        return function

    def error_handler(self, code: int) -> Callable[[F], F]:
        """Let ``f(was, error)`` render one status.

        ``error`` has the keys code, errno, message, detail, mode, time, url, software, debug and
        traceback. What it returns is sent with that status; nothing means the usual page.
        """

        def declare(function: F) -> F:
            self.error_handlers.add(code, function)
            return function

        return declare

    def add_error_handler(self, code: int, function: Callable[..., Any]) -> None:
        """``error_handler`` as a call."""
        self.error_handlers.add(code, function)

    defaulterrorhandler = default_error_handler
    errorhandler = error_handler
