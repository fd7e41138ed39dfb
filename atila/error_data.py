"""What an app's own error page can show: the dictionary that error handlers get as ``error``."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from markupsafe import Markup

from atila.results.api import trace_lines
from skitai.wire.dates import format_date

if TYPE_CHECKING:
    from collections.abc import Callable

    from atila.errors import HTTPError
    from skitai.server.exchange import Exchange

SOFTWARE = "skitai"


def error_data(
    exchange: Exchange,
    error: HTTPError,
    exc: BaseException | None = None,
    debug: bool = False,
    hide: Callable[[list[str]], list[str]] = list,
) -> dict[str, Any]:
    """Describe an error for a template (seed, Custom Error Templates).

    Parameters:
        exc: what may be shown of it: the crash behind it, or the error itself if it asks for that.
        debug: whether it is shown.
        hide: takes secrets out of lines.

    Keys: ``code`` and ``message`` of the status line; ``detail``: the explanation; ``errno``: the
    application's error code, by default ``code * 100``; ``url``: as the client knows it; ``time``:
    now, as an HTTP date; ``mode``: ``"debug"`` or ``"normal"``; ``software``; ``debug``: type and
    message of the crash; ``traceback``: its lines as HTML. What there isn't is ``""``.
    """
    shown = exc if debug else None
    return {
        "code": error.code,
        "errno": error.errno or error.code * 100,
        "message": error.reason,
        "detail": error.explain,
        "mode": "debug" if debug else "normal",
        "time": format_date(time.time()),
        "url": _absolute_url(exchange),
        "software": SOFTWARE,
        "debug": "" if shown is None else hide([f"{type(shown).__name__}: {shown}"])[0],
        "traceback": "" if shown is None else _as_html(hide(trace_lines(shown))),
    }


def _absolute_url(exchange: Exchange) -> str:
    request = exchange.request
    _, scheme, host = exchange.origin
    if not host or not request.target.startswith("/"):  # absolute form, asterisk of OPTIONS
        return request.target
    return f"{scheme}://{host}{request.target}"


def _as_html(lines: list[str]) -> Markup:
    return Markup("<pre>{}</pre>").format("\n".join(lines))
