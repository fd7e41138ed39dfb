"""``__spec__``: what answers under ``--devel`` say of the resource that gave them.

``Atila.freeze`` makes one ``Exposure`` where ``app.debug`` and ``app.expose_spec`` are set. The
test client takes the key out of the answer and keeps it for ``pytest --docs``.
"""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Any

import orjson

from atila.access.auth import kind_of
from atila.life.events import EVT_SPEC_CREATED
from atila.results.api import API, Fault
from atila.results.xml import JSON, choose_format
from atila.steps import guards_of
from atila.validation.inspection import requirements_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from atila.app import Atila
    from atila.routing.router import Route
    from atila.was import Was
    from skitai.server.exchange import Exchange

    Sender = Callable[[Was, Any], None]

KEY = "__spec__"
ASKED = "x-spec"  # header of the clients that want it, such as the test client
_ELSEWHERE = ("forwarded", "x-forwarded-for", "x-real-ip")


class Exposure:
    """Adds ``__spec__`` to JSON answers of one app, for clients on this machine that ask for it.

    Parameters:
        app: with all its routes.
    """

    def __init__(self, app: Atila) -> None:
        self._app = app
        self._known: dict[Route, dict[str, Any]] = {}

    def senders(self, table: dict[type, Sender]) -> dict[type, Sender]:
        """The table of results with those of programs exposed: API, Fault and dictionaries."""
        exposing: dict[type, Sender] = {
            API: self._with_data(table[API]),
            Fault: self._with_data(table[Fault]),
            dict: self._with_dictionary(table[dict]),
        }
        return {**table, **exposing}

    def add_to_error(self, was: Was, content_type: str, body: bytes) -> bytes:
        """The body of an error answer; unchanged where it is no JSON, and for errors of routing."""
        if was.route is None or content_type != "application/json":
            return body
        spec = self.spec(was)
        return body if spec is None else orjson.dumps({**orjson.loads(body), KEY: spec})

    def spec(self, was: Was) -> dict[str, Any] | None:
        """What is known of the resource of a request; None for clients elsewhere, or who don't ask.

        Keys: ``id``; ``doc``: the docstring of the handler; ``current_request``: ``method``,
        ``version``, ``uri``; ``routeopt``: ``was.request.routable`` without its ``func_id``;
        ``parameter_requirements``: rules by scope; ``auth_requirements``: pairs of kind and detail.
        Emits ``spec:exposed``.
        """
        route, exchange = was.route, was.exchange
        if route is None or ASKED not in exchange.request.headers or not is_local(exchange):
            return None
        known = self._known.get(route)
        if known is None:
            known = self._known[route] = self._describe(route)
        request = exchange.request
        current = {"method": request.method, "version": request.version, "uri": request.target}
        spec = {**known, "current_request": current}
        self._app.emit(EVT_SPEC_CREATED, spec)
        return spec

    def _describe(self, route: Route) -> dict[str, Any]:
        routeopt = {key: plain(value) for key, value in route.describe().items()}
        del routeopt["func_id"]
        kind = kind_of(self._app, route)
        demands: list[list[Any]] = [] if kind is None else [["authorization", kind]]
        for guard in guards_of(route.function):
            name, detail = guard.facts
            if name not in ("authorization", "inspect"):
                demands.append([name, plain(detail)])
        return {
            "id": route.name,
            "doc": inspect.getdoc(route.function) or "",
            "routeopt": routeopt,
            "parameter_requirements": plain(requirements_of(route.function)),
            "auth_requirements": demands,
        }

    def _with_data(self, send: Sender) -> Sender:
        def send_exposed(was: Was, result: API) -> None:
            if not _wants_xml(was) and (spec := self.spec(was)) is not None:
                result.data = {**result.data, KEY: spec}  # the app's own dictionary stays as it is
            send(was, result)

        return send_exposed

    def _with_dictionary(self, send: Sender) -> Sender:
        def send_exposed(was: Was, result: dict[Any, Any]) -> None:
            spec = self.spec(was)
            send(was, result if spec is None else {**result, KEY: spec})

        return send_exposed


def is_local(exchange: Exchange) -> bool:
    """Whether the client is on this machine, and no proxy on it speaks for somebody else."""
    headers = exchange.request.headers
    if any(name in headers for name in _ELSEWHERE):
        return False
    address = exchange.origin.address.removeprefix("::ffff:")
    return address.startswith("127.") or address == "::1"


def plain(value: Any) -> Any:
    """A value as JSON has it: classes and functions by name, anything else as text."""
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    if isinstance(value, dict):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    if isinstance(value, (set, frozenset)):
        return sorted((plain(item) for item in value), key=str)
    return str(getattr(value, "__name__", value))


def _wants_xml(was: Was) -> bool:
    accept = was.exchange.request.headers.get("accept", "")
    return "xml" in accept and choose_format(accept) != JSON
