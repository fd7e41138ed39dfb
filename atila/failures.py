"""Answers for what went wrong in a handler: errors with a status, and crashes.

The endpoints call ``answer_failure``; in ``--devel`` a crash shows its traceback, otherwise it is
only logged.
"""

from __future__ import annotations

import asyncio
from contextvars import copy_context
from typing import TYPE_CHECKING, Any

import orjson

from atila.errors import HTTPError
from atila.results.heads import head_of
from skitai.server.error_page import error_fields, render_error, wants_html
from skitai.server.representation import Head, add_vary
from skitai.tasks.errors import TaskCancelled, gateway_code

if TYPE_CHECKING:
    from atila.was import Was
    from skitai.server.representation import Fields

# A handler that calls sys.exit() must end neither a thread of the pool nor the worker's loop.
FAILURES = (Exception, SystemExit, KeyboardInterrupt)

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
        error, crash = explain(was, exc)
        answer_error(was, error, crash)
    except Exception as trouble:
        was.exchange.crash(trouble)


def explain(was: Was, exc: BaseException) -> tuple[HTTPError, BaseException | None]:
    """The error to answer with, and the crash behind it, which is logged here.

    What an upstream failed with is 502, 503 or 504, and everything else 500.
    """
    error = as_http_error(exc)
    if error is not None:
        return error, None
    request = was.exchange.request
    if isinstance(exc, TaskCancelled) and was.exchange.gone:
        was.app.logger.info("%s %s: the client left", request.method, request.target)
        return HTTPError(502), None
    was.app.logger.error(
        "%s %s failed [%s]", request.method, request.target, was.txnid(), exc_info=exc
    )
    return HTTPError(gateway_code(exc) or 500), exc


def answer_error(was: Was, error: HTTPError, crash: BaseException | None) -> None:
    """Answer with an error's own page, or as JSON."""
    exchange = was.exchange
    if exchange.answered:
        if crash is None and not exchange.gone:
            was.app.logger.error("[%s] the response broke off: %s", was.txnid(), error)
        exchange.abort()
        return
    if error.code < 400:
        answer_status(was, error)
        return
    shown = shown_cause(error, crash)
    if shown is not None and was.app.debug:
        _show(was, error, crash, shown)
    else:
        content_type, body = render_error(error, exchange.request.headers.get("accept", ""))
        _send(was, error, crash, content_type, body, [])


def _show(was: Was, error: HTTPError, crash: BaseException | None, shown: BaseException) -> None:
    """Answer with what developers see; never on the loop, as it runs code of others."""
    exchange, pool = was.exchange, was.app.pool

    def answer(_: object) -> None:
        exchange.answered = False
        try:
            accept = exchange.request.headers.get("accept", "")
            _send(was, error, crash, *_render_debug(was, error, shown, accept))
        except Exception as trouble:
            exchange.crash(trouble)

    if pool is None or asyncio._get_running_loop() is None:
        answer(None)
    else:
        exchange.answered = True  # nobody else answers meanwhile
        context = copy_context()
        pool.resubmit(lambda job: context.run(job, None), answer)


def _send(
    was: Was,
    error: HTTPError,
    crash: BaseException | None,
    content_type: str,
    body: bytes,
    added: Fields,
) -> None:
    exchange = was.exchange
    if (exposure := was.app.exposure) is not None:
        body = exposure.add_to_error(was, content_type, body)
    fields = [*(kept_fields(was, crash) or ()), *added] or None
    exchange.respond(Head(error.code, content_type, fields, reason=error.reason), body)


def shown_cause(error: HTTPError, crash: BaseException | None) -> BaseException | None:
    """What an app in debug mode shows the traceback of: the crash, or an error that asks for it."""
    return crash if crash is not None or not error.traceback else error


def answer_status(was: Was, status: HTTPError) -> None:
    """Answer with a status below 400 that was raised or returned: no failure, headers stay."""
    content_type, body = "", b""
    if status.explain:
        accept = was.exchange.request.headers.get("accept", "")
        content_type, body = render_error(status, accept)
    head = head_of(was, content_type)
    head.status, head.reason = status.code, status.reason
    was.exchange.respond(head, body)


def kept_fields(was: Was, crash: BaseException | None) -> Fields | None:
    """Headers that were set and that are true of the error too, e.g. WWW-Authenticate.

    Of a crash nobody knows what was set and why; only what lets a browser read it is kept.
    """
    response, request = was._response, was._request
    fields = [] if response is None else response.fields
    if crash is None:
        kept = [pair for pair in fields if pair[0].lower() not in _OF_THE_RESULT]
    else:
        kept = [pair for pair in fields if pair[0].lower().startswith(("access-control-", "vary"))]
    if request is not None and request.varies:
        add_vary(kept, "Cookie")
    return kept or None


def as_http_error(exc: BaseException) -> HTTPError | None:
    """The error with a status that ``exc`` is or, for ``assert x, was.Error(…)``, carries."""
    if isinstance(exc, HTTPError):
        return exc
    if isinstance(exc, AssertionError) and exc.args and isinstance(exc.args[0], HTTPError):
        error = exc.args[0]
        return error.with_traceback(exc.__traceback__) if error.traceback else error
    return None


def _render_debug(
    was: Was, error: HTTPError, exc: BaseException, accept: str
) -> tuple[str, bytes, Fields]:
    from atila.debugging.error_page import render_error_page, traceback_lines  # only for --devel

    if wants_html(accept):
        return "text/html; charset=utf-8", *render_error_page(was, error, exc)
    fields: dict[str, Any] = error_fields(error)
    fields["traceback"] = traceback_lines(was, exc)
    return "application/json", orjson.dumps(fields), []
