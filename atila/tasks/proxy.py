"""``was.ProxyPass``: an upstream answers the request (seed, ProxyPass)."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from atila.results.heads import head_of
from atila.tasks.deferred import AsyncResult, Deferred
from skitai.handlers.relay import Patience, Relay, open_relay
from skitai.tasks.errors import GATEWAY_TIMEOUT, OperationTimeout, mark_gateway
from skitai.tasks.task import EXPIRED

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
        expired = False

        def give_up() -> None:
            nonlocal expired
            expired = True  # the message gets lost on its way here in Python 3.10
            opening.cancel(EXPIRED)

        # Not wait_for: who waits for a connection, or watches a member, has to know why it ends.
        patience = Patience(self._timeout, give_up)
        opening = asyncio.ensure_future(open_relay(was.exchange, place, base, self._path, patience))
        try:
            return Proxied(await opening)
        except asyncio.CancelledError:
            if not expired:
                opening.add_done_callback(_close)  # the client left, maybe in the same moment
                raise
            error = OperationTimeout(f"{place.name} has not answered for {self._timeout:g} s")
            mark_gateway(error, GATEWAY_TIMEOUT)
            raise error from None
        finally:
            patience.stop()


def _close(opening: asyncio.Future[Relay]) -> None:
    if not opening.cancelled() and opening.exception() is None:
        opening.result().close()


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
