"""``@app.route`` and its shortcuts: what an app declares to answer (seed, Routing)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

from atila.binding import Signature
from atila.errors import ConfigError
from atila.routing.router import Route
from atila.tasks.coroutines import mark_coroutine

if TYPE_CHECKING:
    from collections.abc import Callable

    from atila.life.lifecycle import Lifecycle

F = TypeVar("F", bound="Callable[..., Any]")


class RouteDecorators:
    """Declares routes and takes them back."""

    _routes: list[Route]
    _unrouted: list[tuple[str, int]]
    lifecycle: Lifecycle

    def route(self, rule: str, **options: Any) -> Callable[[F], F]:
        """Let a function answer a path (seed, Routing).

        Parameters:
            rule: starting with ``/``, or ``""`` for the point of the module without a slash behind
                it, and for that of the app with and without one. ``<name>``, ``<int:n>``,
                ``<float:x>``, ``<uuid:u>``, ``<path:rest>`` are parameters of the function.
            options: ``methods`` (default GET and POST), ``content_types`` (others are 406),
                ``subdomain`` (the host begins with it and a dot, others are 404),
                ``coroutine`` (a generator yields tasks), ``input_stream`` (it reads its body by
                ``was.Input``), ``authenticate``, ``access_control_allow_origin``,
                ``access_control_max_age``, and whatever the app wants to find in
                ``was.request.routable``.

        Raises ``ConfigError`` for a rule, a method or a signature that can't work.
        """
        if not isinstance(rule, str):
            raise ConfigError(f"@app.route needs a path, not {rule!r}: write @app.route('/path')")
        place = self.lifecycle.place

        def declare(function: F) -> F:
            name = getattr(function, "__name__", None)
            if name is None or not callable(function):
                raise ConfigError(f"route {rule!r} must decorate a function, not {function!r}")
            full = f"{place.namespace}.{name}" if place.namespace else name
            path = place.point + rule
            if rule and not rule.startswith("/"):
                path = rule  # Route refuses it with the rule as it was written
            signature = Signature(function)
            self._routes.append(
                Route(path, function, signature, full, options, place.mntopt, place.rank)
            )
            return function

        return declare

    def coroutine(self, function: F) -> F:
        """``coroutine=True`` of ``@app.route``, as a decorator below it."""
        return mark_coroutine(function)

    def get(self, rule: str, **options: Any) -> Callable[[F], F]:
        """``route`` for GET."""
        return self.route(rule, methods=["GET"], **options)

    def post(self, rule: str, **options: Any) -> Callable[[F], F]:
        """``route`` for POST."""
        return self.route(rule, methods=["POST"], **options)

    def put(self, rule: str, **options: Any) -> Callable[[F], F]:
        """``route`` for PUT."""
        return self.route(rule, methods=["PUT"], **options)

    def patch(self, rule: str, **options: Any) -> Callable[[F], F]:
        """``route`` for PATCH."""
        return self.route(rule, methods=["PATCH"], **options)

    def delete(self, rule: str, **options: Any) -> Callable[[F], F]:
        """``route`` for DELETE."""
        return self.route(rule, methods=["DELETE"], **options)

    def unroute(self, pattern: str, response_code: int = 404) -> None:
        """Answer paths of the app with an error, whatever was routed there.

        Parameters:
            pattern: of the path below the app's point, with ``*`` and ``?`` as in a shell.
            response_code: the status.

        Raises ``ConfigError`` for a pattern without a leading ``/`` and for what is no status.
        """
        if not isinstance(pattern, str) or not pattern.startswith(("/", "*")):
            raise ConfigError(f"app.unroute({pattern!r}): a pattern begins with '/', as '/admin/*'")
        if not isinstance(response_code, int) or not 400 <= response_code <= 599:
            raise ConfigError(
                f"app.unroute({pattern!r}, {response_code!r}): give an error status such as 404"
            )
        self._unrouted.append((pattern, response_code))
