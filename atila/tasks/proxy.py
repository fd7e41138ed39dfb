"""``was.ProxyPass``: an upstream answers the request (seed, ProxyPass)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from atila.results.heads import head_of
from atila.tasks.deferred import AsyncResult, Deferred
from skitai.handlers.relay import Relay, open_relay, target_of

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
        timeout: seconds until the upstream begins to answer; they do not pass while a streamed
            body is waited for.
    """

    __slots__ = ("_alias", "_path", "_timeout")

    def __init__(self, alias: str, path: str | None, timeout: float) -> None:
        self._alias = alias
        self._path = path
        self._timeout = timeout

    async def resolve(self, was: Was) -> Any:
        place, base = was.upstreams.service(was.task_owner, self._alias)
        exchange = was.exchange
        target = base.rstrip("/") + target_of(exchange, self._path)
        return Proxied(await open_relay(exchange, place, target, self._timeout))


class Proxied(AsyncResult):
    """An answer of an upstream that has begun."""

    __slots__ = ("_relay",)

    def __init__(self, relay: Relay) -> None:
        self._relay = relay

    async def send(self, was: Was) -> None:
        """Pass it on; cookies of the app, and headers it has set, come with it."""
        try:
            if was._request is not None:
                await was._request.save_session()
            own = head_of(was, "")
        except BaseException:
            self.discard()
            raise
        await self._relay.send(was.exchange, own.fields)

    def discard(self) -> None:
        self._relay.close()
