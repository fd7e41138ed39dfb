"""The paths at which a service tells of itself; they come before all that is mounted.

The worker makes it when one of the settings ``health_path``, ``metrics_path`` and ``status_path``
is given; without them nothing of this room is loaded.
"""

from __future__ import annotations

import time
from functools import partial
from html import escape
from importlib.resources import files
from typing import TYPE_CHECKING

import orjson

from skitai.errors import HTTPError
from skitai.monitoring import prometheus
from skitai.monitoring.sums import status_of
from skitai.server.origin import TrustedProxies
from skitai.server.representation import Head

if TYPE_CHECKING:
    from collections.abc import Callable

    from skitai.config import Settings
    from skitai.monitoring.monitor import Monitor
    from skitai.server.exchange import Exchange

FRESH = [("Cache-Control", "no-store")]
# Nothing but the page's own files is loaded, and nothing in line is run.
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "
    "img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
Answer = tuple[int, str, bytes, list[tuple[str, str]]]


class Pages:
    """Health, figures and the status page.

    Parameters:
        settings: their paths, and who may see them.
        monitor: what there is to tell; None when only the health is wanted.
        draining: whether the worker is about to end.
    """

    def __init__(
        self, settings: Settings, monitor: Monitor | None, draining: Callable[[], bool]
    ) -> None:
        self._draining = draining
        self._allowed = TrustedProxies(settings, settings.status_access)
        self._answers: dict[str, Callable[[], Answer]] = {}
        if settings.health_path:
            self._answers[settings.health_path] = self._health
        if settings.metrics_path:
            assert monitor is not None
            self._answers[settings.metrics_path] = lambda: _metrics(monitor)
        if settings.status_path:
            assert monitor is not None
            self._add_status(settings.status_path, settings.name, monitor)

    def guard(self, dispatch: Callable[[Exchange], None]) -> Callable[[Exchange], None]:
        """Answer these paths, and hand on the others."""
        answers = self._answers

        def guarded(exchange: Exchange) -> None:
            if exchange.request.path in answers:
                self._handle(exchange)
            else:
                dispatch(exchange)

        return guarded

    def _handle(self, exchange: Exchange) -> None:
        if exchange.origin.address not in self._allowed:
            exchange.fail(HTTPError(404))
        elif exchange.request.method not in ("GET", "HEAD"):
            exchange.fail(HTTPError(405), [("Allow", "GET, HEAD")])
        else:
            status, kind, body, fields = self._answers[exchange.request.path]()
            exchange.respond(Head(status, kind, fields=list(fields)), body)

    def _health(self) -> Answer:
        draining = self._draining()
        body = orjson.dumps({"status": "draining" if draining else "ok"})
        return 503 if draining else 200, "application/json", body, FRESH

    def _add_status(self, path: str, name: str, monitor: Monitor) -> None:
        """The page, and the files that it consists of."""
        page = _read("status.html").replace("{path}", escape(path)).replace("{name}", escape(name))
        safe = [*FRESH, ("Content-Security-Policy", POLICY), ("X-Content-Type-Options", "nosniff")]
        for target, kind, text in (
            (path, "text/html; charset=utf-8", page),
            (f"{path}/status.js", "text/javascript; charset=utf-8", _read("status.js")),
            (f"{path}/status.css", "text/css; charset=utf-8", _read("status.css")),
        ):
            self._answers[target] = partial(_as_it_is, (200, kind, text.encode(), safe))
        self._answers[f"{path}/data"] = lambda: _status(monitor)


def _as_it_is(answer: Answer) -> Answer:
    return answer


def _metrics(monitor: Monitor) -> Answer:
    return 200, prometheus.CONTENT_TYPE, prometheus.render(monitor).encode(), FRESH


def _status(monitor: Monitor) -> Answer:
    return 200, "application/json", orjson.dumps(status_of(monitor, time.time())), FRESH


def _read(name: str) -> str:
    return (files("skitai.monitoring") / "page" / name).read_text(encoding="utf-8")
