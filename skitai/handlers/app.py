"""Native apps: finds the endpoint and runs it in a thread, on the loop, or as a coroutine.

Dispatch calls ``AppHandler.handle`` on the loop for every request under the app's point.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from skitai.errors import HTTPError
from skitai.executors.threads import PoolFull
from skitai.server.coroutines import spawn
from skitai.server.dispatch import describe_server

if TYPE_CHECKING:
    from collections.abc import Callable

    from skitai.executors.threads import ThreadPool
    from skitai.handlers.interface import Endpoint
    from skitai.server.exchange import Exchange

log = logging.getLogger("skitai")

OVERLOADED = HTTPError(503, "the server is busy")


class AppHandler:
    """Serves the apps of one mount point.

    Parameters:
        resolvers: what ``Application.freeze`` returned, in mount order; the first app that has
            something at the path answers.
        pool: threads for plain functions; None runs them on the loop (``threads=0``).
    """

    __slots__ = ("_pool", "_resolve", "_resolvers", "_starters")

    def __init__(
        self, resolvers: list[Callable[[Exchange], Endpoint]], pool: ThreadPool | None
    ) -> None:
        self._resolvers = resolvers
        self._resolve = resolvers[0] if len(resolvers) == 1 else self._first
        self._pool = pool
        self._starters: tuple[Callable[[Exchange], None], ...] = (
            _run_here if pool is None else self._submit,
            _run_here,
            _spawn,
        )

    def handle(self, exchange: Exchange) -> None:
        endpoint = exchange.endpoint = self._resolve(exchange)
        if exchange.body is None:
            self._starters[endpoint.mode](exchange)
        elif endpoint.takes_body:
            exchange.collect_body(endpoint.max_body, self._start)
        elif endpoint.streams_body:
            exchange.stream_body(self._start)
        else:
            exchange.pass_over_body(self._start)

    def offer_point(self, exchange: Exchange) -> bool:
        """Answer a request for the mount point without its slash, if an app has something there."""
        if self._resolve(exchange).missing:
            return False
        self.handle(exchange)
        return True

    def _first(self, exchange: Exchange) -> Endpoint:
        """The endpoint of the first app that has one, else the first app's way to say 404."""
        fallback: Endpoint | None = None
        for resolve in self._resolvers:
            endpoint = resolve(exchange)
            if not endpoint.missing:
                return endpoint
            fallback = fallback or endpoint
        assert fallback is not None
        return fallback

    def _start(self, exchange: Exchange) -> None:
        self._starters[exchange.endpoint.mode](exchange)

    def _submit(self, exchange: Exchange) -> None:
        assert self._pool is not None
        try:
            self._pool.submit(_run, exchange)
        except PoolFull:
            exchange.fail(OVERLOADED)


def _run_here(exchange: Exchange) -> None:
    if exchange.request.path == "*":
        describe_server(exchange)
    else:
        exchange.endpoint.run(exchange)


def _run(exchange: Exchange) -> None:
    """Run an endpoint in a thread, unless its client left while it waited."""
    if exchange.gone:
        log.info("%s %s: the client left before its turn", *_names(exchange))
        exchange.release()
        return
    try:
        exchange.endpoint.run(exchange)
    except BaseException as exc:  # whatever it is, the client must not wait for ever
        exchange.crash(exc)
    if exchange.gone:
        exchange.release()


def _spawn(exchange: Exchange) -> None:
    """Run a coroutine endpoint."""
    spawn(exchange, exchange.endpoint.run(exchange))


def _names(exchange: Exchange) -> tuple[str, str]:
    return exchange.request.method, exchange.request.target
