"""``was.ProxyPass``: an upstream answers the request (seed, ProxyPass)."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from atila.results.heads import head_of
from atila.tasks.deferred import AsyncResult, Deferred
from skitai.handlers.relay import Relay, open_relay
from skitai.tasks.errors import GATEWAY_TIMEOUT, OperationTimeout, mark_gateway

if TYPE_CHECKING:
    from atila.was import Was

PROXY_TIMEOUT = 3.0  # seconds


class ProxyPass(Deferred):
    """The answer of an upstream to the same request.

    Method, query, headers and body go to the upstream; status, headers and body come back as they
    are, but for what belongs to a connection (RFC 9110, 7.6). The body of a route with
    ``input_stream=True`` is passed on while it comes.

    Parameters:
        alias: of a service, or a URL.
        path: to ask for instead of the request's.
        timeout: seconds until the upstream begins to answer.
    """

    __slots__ = ("_alias", "_path", "_timeout")

    def __init__(self, alias: str, path: str | None, timeout: float) -> None:
        self._alias = alias
        self._path = path
        self._timeout = timeout

    async def resolve(self, was: Was) -> Any:
        place, base = was.upstreams.service(was.task_owner, self._alias)
        relay = open_relay(was.exchange, place, base, self._path)
        try:
            return Proxied(await asyncio.wait_for(relay, self._timeout))
        except asyncio.TimeoutError:
            error = OperationTimeout(f"{place.name} has not answered for {self._timeout:g} s")
            mark_gateway(error, GATEWAY_TIMEOUT)
            raise error from None


class Proxied(AsyncResult):
    """An answer of an upstream that has begun."""

    __slots__ = ("_relay",)

    def __init__(self, relay: Relay) -> None:
        self._relay = relay

    async def send(self, was: Was) -> None:
        """Pass it on; cookies of the app, and headers it has set, come with it."""
        own = head_of(was, "")
        await self._relay.send(was.exchange, own.fields)
