"""Answers for what went wrong in a handler: errors with a status, and crashes.

The endpoints call ``answer_failure``; in ``--devel`` a crash shows its traceback, otherwise it is
only logged.
"""

from __future__ import annotations

import traceback
from typing import TYPE_CHECKING, Any

import orjson

from atila.debug_page import render_debug_page
from atila.errors import HTTPError
from skitai.server.error_page import error_fields, render_error, wants_html
from skitai.server.representation import Head

if TYPE_CHECKING:
    from atila.was import Was
    from skitai.server.representation import Fields

# A handler that calls sys.exit() must end neither a thread of the pool nor the worker's loop.
FAILURES = (Exception, SystemExit)

# Headers about a result that is not sent, and cookies: an error undoes them.
_OF_THE_RESULT = frozenset(
    ("cache-control", "content-disposition", "content-encoding", "content-language")
    + ("content-location", "content-range", "etag", "expires", "last-modified", "set-cookie")
)


def answer_failure(was: Was, exc: BaseException) -> None:
    """Answer with the status of ``exc``, or with 500; a response that has begun is broken off.

    Never raises: whatever goes wrong here becomes the engine's plain 500.
    """
    try:
        _answer(was, exc)
    except Exception as trouble:
        was.exchange.crash(trouble)


def _answer(was: Was, exc: BaseException) -> None:
    exchange = was.exchange
    error = as_http_error(exc)
    if error is None:
        request = exchange.request
        was.app.logger.error("%s %s failed", request.method, request.target, exc_info=exc)
        error = HTTPError(500)
        crash: BaseException | None = exc
    else:
        crash = None
    if exchange.answered:
        exchange.abort()
        return
    accept = exchange.request.headers.get("accept", "")
    if crash is not None and was.app.debug:
        content_type, body = _render_debug(was, error, crash, accept)
    else:
        content_type, body = render_error(error, accept)
    fields = _kept_fields(was) if crash is None else None
    exchange.respond(Head(error.code, content_type, fields, reason=error.reason), body)


def _kept_fields(was: Was) -> Fields | None:
    """Headers that the handler set and that are true of its error too, e.g. WWW-Authenticate."""
    if was._response is None:
        return None
    return [pair for pair in was._response.fields if pair[0].lower() not in _OF_THE_RESULT]


def as_http_error(exc: BaseException) -> HTTPError | None:
    """The error with a status that ``exc`` is or, for ``assert x, was.Error(…)``, carries."""
    if isinstance(exc, HTTPError):
        return exc
    if isinstance(exc, AssertionError) and exc.args and isinstance(exc.args[0], HTTPError):
        return exc.args[0]
    return None


def _render_debug(was: Was, error: HTTPError, exc: BaseException, accept: str) -> tuple[str, bytes]:
    if wants_html(accept):
        page = render_debug_page(error, exc, was.exchange.request)
        return "text/html; charset=utf-8", page.encode("utf-8", "replace")
    fields: dict[str, Any] = error_fields(error)
    fields["traceback"] = [
        line.rstrip() for line in traceback.format_exception(type(exc), exc, exc.__traceback__)
    ]
    return "application/json", orjson.dumps(fields)
