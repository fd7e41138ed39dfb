"""From an exchange to the endpoint of the app that answers it, before any body is read.

``Atila.freeze`` makes one; the engine's app handler calls it on the loop.
"""

from __future__ import annotations

import re
from fnmatch import translate
from typing import TYPE_CHECKING, Any

from atila.access.cors import CorsPolicy, requested_method
from atila.error_endpoint import ErrorEndpoint
from atila.errors import HTTPError
from atila.routing.router import Resolution, Router
from atila.rpc.endpoint import Rpc

if TYPE_CHECKING:
    from collections.abc import Callable

    from atila.app import Atila
    from atila.endpoints import RouteEndpoint
    from atila.routing.router import Route
    from skitai.handlers.interface import Endpoint
    from skitai.server.exchange import Exchange
    from skitai.server.representation import Fields

    Find = Callable[[str, str], tuple[RouteEndpoint, dict[str, Any] | None]]


class Resolver:
    """Finds the endpoint of an exchange for one mounted app.

    Parameters:
        app: with all its routes compiled.
        point: where it is mounted; starts and ends with ``/``.
    """

    def __init__(self, app: Atila, point: str) -> None:
        self._app = app
        self._skip = len(point) - 1
        by_domain: dict[str, list[Route]] = {"": []}
        for route in app.routes:
            by_domain.setdefault(_subdomain(route), []).append(route)
        self._find = Router(by_domain[""]).find
        self._domains = [
            (f"{domain}.", Router(*_layers(domain, by_domain)).find)
            for domain in sorted(by_domain, key=len, reverse=True)
            if domain
        ]
        self._unrouted = [(re.compile(translate(p)).match, code) for p, code in app.unrouted]
        self._cors = CorsPolicy.of(app, {})
        self._missing = ErrorEndpoint(app, HTTPError(404))
        self._rpc = Rpc(app, point, lambda exchange: self.resolve(exchange))
        # PERF: what few apps use is decided here, not in each request.
        self.resolve = self._resolve_special if self._domains or self._unrouted else self._resolve

    def _resolve(self, exchange: Exchange) -> Endpoint:
        """The endpoint for method, path and what the route demands of a request."""
        if exchange.body is not None and (calls := self._rpc.offer(exchange)) is not None:
            return calls
        request = exchange.request
        path = request.path[self._skip :] if self._skip else request.path
        # PERF: `_look_up` written out: 0.15 us of 9 us a request.
        try:
            endpoint, exchange.params = self._find(request.method, path)
        except (Resolution, HTTPError) as verdict:
            return self._unresolved(exchange, path, self._find, verdict)
        admit = endpoint.admit
        return endpoint if admit is None else admit(exchange)

    def look(
        self, method: str, path: str, host: str = ""
    ) -> tuple[RouteEndpoint, dict[str, Any] | None]:
        """What a request would find, whoever sends it; for the pages of ``--devel``.

        Parameters:
            path: decoded, below the point of the app; begins with ``/``.

        Raises ``Resolution``, and ``HTTPError`` for a path that was taken back or is too long.
        """
        for match, code in self._unrouted:
            if match(path):
                raise HTTPError(code)
        return self._find_for(host.lower())(method, path)

    def _find_for(self, host: str) -> Find:
        return next((find for domain, find in self._domains if host.startswith(domain)), self._find)

    def _look_up(self, exchange: Exchange, path: str, find: Find) -> Endpoint:
        try:
            endpoint, exchange.params = find(exchange.request.method, path)
        except (Resolution, HTTPError) as verdict:
            return self._unresolved(exchange, path, find, verdict)
        admit = endpoint.admit
        return endpoint if admit is None else admit(exchange)

    def _unresolved(
        self, exchange: Exchange, path: str, find: Find, verdict: Resolution | HTTPError
    ) -> Endpoint:
        """The answer where no route has the method: to a preflight, or an error."""
        if isinstance(verdict, HTTPError):
            return ErrorEndpoint(self._app, verdict)
        if exchange.request.method == "OPTIONS":
            method = requested_method(exchange.request)
            answer = self._preflight(exchange, path, method, find) if method else None
            if answer is not None:
                return answer
        return self._explain(exchange, verdict)

    def _resolve_special(self, exchange: Exchange) -> Endpoint:
        """``_resolve`` for apps with sub-domains or unrouted paths."""
        request = exchange.request
        path = request.path[self._skip :]
        for match, code in self._unrouted:
            if match(path):
                return ErrorEndpoint(self._app, HTTPError(code))
        if exchange.body is not None and (calls := self._rpc.offer(exchange)) is not None:
            return calls
        host = request.headers.get("host", "").lower()
        return self._look_up(exchange, path, self._find_for(host))

    def _explain(self, exchange: Exchange, verdict: Resolution) -> Endpoint:
        request = exchange.request
        fields: Fields = []
        if self._cors is not None:  # a page may read what went wrong
            try:
                fields = self._cors.admit(exchange)
            except HTTPError as error:
                return ErrorEndpoint(self._app, error)
        if verdict.code == 301:
            fields.append(("Location", request.slashed()))
            return ErrorEndpoint(self._app, HTTPError(301), fields)
        if verdict.code == 404:
            return ErrorEndpoint(self._app, HTTPError(404), fields) if fields else self._missing
        fields.append(("Allow", ", ".join(sorted(verdict.allow | {"OPTIONS"}))))
        code = 204 if request.method == "OPTIONS" else 405
        return ErrorEndpoint(self._app, HTTPError(code), fields)

    def _preflight(self, exchange: Exchange, path: str, method: str, find: Find) -> Endpoint | None:
        """The answer to a preflight; None for a route that has no policy or no OPTIONS."""
        try:
            methods = _methods(find, path)
            # For a method that isn't routed any policy of the path can say so.
            asked = [method] if method in methods else sorted(methods)
            endpoints = [find(name, path)[0] for name in asked]
        except HTTPError:
            return None
        if not methods and self._cors is not None and self._rpc.serves(path):
            return self._preflight_calls(exchange)
        policies = [found.cors for found in endpoints if found.cors and found.preflights]
        if not policies:
            return None
        try:
            fields = policies[0].preflight(exchange.request, methods)
        except HTTPError as error:
            return ErrorEndpoint(self._app, error)
        return ErrorEndpoint(self._app, HTTPError(200), fields)

    def _preflight_calls(self, exchange: Exchange) -> Endpoint:
        """The answer where there is no route, but remote calls are taken."""
        assert self._cors is not None
        try:
            fields = self._cors.preflight(exchange.request, ("POST",))
        except HTTPError as error:
            return ErrorEndpoint(self._app, error)
        return ErrorEndpoint(self._app, HTTPError(200), fields)


def _methods(find: Find, path: str) -> frozenset[str]:
    """All methods of a path that has some."""
    try:
        find("", path)
    except Resolution as verdict:
        return verdict.allow
    return frozenset()


def _subdomain(route: Route) -> str:
    return str(route.options.get("subdomain") or "").lower().strip(".")


def _layers(domain: str, by_domain: dict[str, list[Route]]) -> list[list[Route]]:
    """The routes for ``a.b.``: its own, then those for ``a.``, then those for all hosts."""
    labels = domain.split(".")
    names = [".".join(labels[:count]) for count in range(len(labels), 0, -1)]
    return [by_domain[name] for name in (*names, "") if name in by_domain]
