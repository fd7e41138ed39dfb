"""What a route demands of a request before its body is read: origin, credentials, content type.

A route that demands any of it has an ``Admission``, made when the app is frozen.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from atila.access.cors import CorsPolicy
from atila.arguments import media_type
from atila.error_endpoint import ErrorEndpoint
from atila.errors import HTTPError
from atila.steps import Step, inline

if TYPE_CHECKING:
    from collections.abc import Callable

    from atila.access.auth import Authenticator, Authenticators
    from atila.app import Atila
    from atila.routing.router import Route
    from atila.was import Was
    from skitai.server.exchange import Exchange
    from skitai.server.representation import Fields


class Admission:
    """The demands of one route.

    Parameters:
        app: whose settings hold where the route has none.
        route: its options.
        authenticators: those of the app.

    Attributes:
        cors: which pages of other sites may use the route; None: no policy.

    Raises ``ConfigError`` for settings that can't work.
    """

    __slots__ = ("_app", "_authenticator", "_content_types", "cors")

    def __init__(self, app: Atila, route: Route, authenticators: Authenticators) -> None:
        self._app = app
        self.cors = CorsPolicy.of(app, route.options)
        self._authenticator: Authenticator | None = authenticators.of(route)
        self._content_types = route.content_types()

    def __bool__(self) -> bool:
        demands = (self.cors, self._authenticator, self._content_types or None)
        return any(demand is not None for demand in demands)

    def refuse(self, exchange: Exchange) -> ErrorEndpoint | None:
        """The endpoint that says why a request is not admitted; None when it is."""
        fields: Fields = []
        if self.cors is not None:
            try:
                fields = self.cors.admit(exchange)
            except HTTPError as refusal:
                return ErrorEndpoint(self._app, refusal)
        if self._authenticator is not None:
            challenge = self._authenticator.challenge_without_credentials(exchange)
            if challenge is not None:
                return ErrorEndpoint(self._app, HTTPError(401), [*fields, *challenge])
        if self._content_types:
            given = media_type(exchange.request.headers.get("content-type", ""))
            if given not in self._content_types:
                wanted = ", ".join(sorted(self._content_types))
                error = HTTPError(406, f"the content type must be {wanted}")
                return ErrorEndpoint(self._app, error, fields or None)
        return None

    def steps(self) -> list[Step]:
        """What is done for an admitted request before anything of the app runs."""
        steps = []
        if self.cors is not None:
            steps.append(inline(_adder(self.cors)))
        if self._authenticator is not None:
            steps.append(self._authenticator.step)
        return steps


def _adder(cors: CorsPolicy) -> Callable[[Was], None]:
    def add_fields(was: Was) -> None:
        was.response.fields += cors.admit(was.exchange)

    return add_fields
