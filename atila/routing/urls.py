"""URLs of handlers and static files (seed, Making URL); ``was.urlfor`` and templates use it."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlencode

from atila.errors import HTTPError
from atila.routing.converters import CONVERTERS, NoMatch

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from atila.app import Atila
    from atila.routing.router import Route
    from skitai.server.exchange import Exchange

LITERAL = "/:@!$&'()*+,;=~"  # what the text of a rule may contain as it is (RFC 3986, 3.3)


class Urls:
    """Builds URLs for one mounted app.

    Parameters:
        point: where the app is mounted; starts and ends with ``/``.
        routes: the app's routes; the first of a name has it. Of those of one function the URL is
            that of the route which takes the most of the given values in its path.
        static_url, media_url: prefixes of static and media files.
    """

    def __init__(
        self, point: str, routes: Iterable[Route], static_url: str, media_url: str
    ) -> None:
        self.point = point
        self._base = quote(point.rstrip("/"), LITERAL)
        self._static = static_url
        self._media = media_url
        self._by_name: dict[str, Route] = {}
        self._by_function: dict[Any, list[Route]] = {}
        for route in routes:
            self._by_name.setdefault(route.name, route)
            self._by_function.setdefault(route.function, []).append(route)
        texts = {route.rule.text for found in self._by_function.values() for route in found}
        self._root = "" if point != "/" and "/" in texts else "/"  # the URL of the rule ""

    def build(self, thing: Any, /, *args: Any, **kwargs: Any) -> str:
        """The URL of ``thing``.

        Parameters:
            thing: a handler, its resource id, or a path starting with ``/`` (taken as it is below
                the app's point).
            args: values for the handler's parameters, in order.
            kwargs: values by name; None leaves a parameter out, what is not in the path becomes
                the query.

        Raises ``NameError`` for an unknown resource id, ``ValueError`` for arguments that the
        handler doesn't take and for those of the path that are missing or of another type. A slash
        in a parameter that is no ``<path:…>`` is encoded, but no such URL is ever matched.
        """
        if isinstance(thing, str) and (not thing or thing.startswith("/")):
            return self._base + (thing or "/")
        route = self.find(thing)
        signature = route.signature
        if len(args) > len(signature.names):
            raise ValueError(f"{route.name} takes {len(signature.names)} arguments")
        values = dict(zip(signature.names, args, strict=False))
        for name, value in kwargs.items():
            if name in values:
                raise ValueError(f"{route.name} got {name!r} twice")
            if name not in signature.names and not signature.takes_any:
                raise ValueError(f"{route.name} has no parameter {name!r}")
            values[name] = value
        route = self._choose(route, values)
        return self._complete(self._path(route, values), values)

    def patch(self, thing: Any, exchange: Exchange, query: Mapping[str, Any], **kwargs: Any) -> str:
        """``build`` with the current request's path and query for what ``kwargs`` doesn't name.

        Raises ``HTTPError`` 400 when a value of the query can't stand in the path.
        """
        if isinstance(thing, str) and (not thing or thing.startswith("/")):
            return self.build(thing)
        route = self.find(thing)
        given = {**query, **(exchange.params or {})}
        names = route.signature.names
        kept = {
            name: value
            for name, value in given.items()
            if name not in kwargs and (name in names or route.signature.takes_any)
        }
        route = self._choose(route, {**kept, **kwargs})
        for at, name in enumerate(route.rule.names):
            if name in kept:
                try:
                    _written(route, at, kept[name])
                except ValueError as exc:
                    raise HTTPError(400, str(exc)) from None
                if isinstance(kept[name], list):
                    raise HTTPError(400, f"there is more than one {name}")
        return self.build(thing, **{**kept, **kwargs})

    def base(self, thing: Any) -> str:
        """The fixed part of a resource's URL: all before its first parameter."""
        return self._base + (quote(self.find(thing).rule.pieces[0], LITERAL) or self._root)

    def spec(self, thing: Any) -> dict[str, Any]:
        """Methods, path with ``:name`` for parameters, and the names of parameters and query."""
        route = self.find(thing)
        rule = route.rule
        path = rule.pieces[0] + "".join(
            f":{name}{piece}" for name, piece in zip(rule.names, rule.pieces[1:], strict=True)
        )
        return {
            "methods": sorted(route.methods),
            "path": self._base + (path or self._root),
            "params": list(rule.names),
            "query": [name for name in route.signature.names if name not in rule.names],
        }

    def specs(self) -> dict[str, dict[str, Any]]:
        """``spec`` of every resource by its id."""
        return {name: self.spec(name) for name in self._by_name}

    def find(self, thing: Any) -> Route:
        """The route of a function or resource id; raises ``NameError`` when there is none."""
        if isinstance(thing, str):
            found = self._by_name.get(thing)
        else:
            found = next(iter(self._by_function.get(thing, ())), None)
        if found is None:
            raise NameError(f"there is no resource {thing!r}")
        return found

    def _choose(self, route: Route, values: Mapping[str, Any]) -> Route:
        """Of the routes of one function the first that takes the most of the values in its path."""
        routes = [r for r in self._by_function[route.function] if r.name == route.name]
        if len(routes) == 1:
            return route
        given = {name for name, value in values.items() if value is not None}
        optional = route.signature.defaults

        def fits(found: Route) -> bool:
            missing = [name for name in found.rule.names if name not in given]
            if missing and missing == found.rule.names[-1:] and found.rule.shortened():
                return missing[0] in optional
            return not missing

        fitting = [found for found in routes if fits(found)]
        return max(fitting or routes, key=lambda found: len(given.intersection(found.rule.names)))

    def _complete(self, path: str, values: dict[str, Any]) -> str:
        url = self._base + (path or self._root)
        if url.startswith("//"):
            url = f"/%2F{url[2:]}"  # a browser would take what follows for a host
        query = urlencode({k: v for k, v in values.items() if v is not None}, doseq=True)
        return f"{url}?{query}" if query else url

    def _path(self, route: Route, values: dict[str, Any]) -> str:
        """Fill the route's path, taking the values it uses out of ``values``."""
        rule = route.rule
        text = quote(rule.pieces[0], LITERAL)
        needed = _needed(route)
        for at, name in enumerate(rule.names):
            value = values.pop(name, None)
            if value is None:
                if name in needed:
                    raise ValueError(f"{route.name} needs a value for {name!r}")
                piece = rule.pieces[at]
                return text[: len(text) - len(piece) + len(piece.rstrip("/"))] or "/"
            text += quote(_written(route, at, value), "/" if rule.is_path(at) else "")
            text += quote(rule.pieces[at + 1], LITERAL)
        return text

    def static(self, path: str) -> str:
        """The URL of a static file; a path with a leading ``/`` is taken as it is."""
        return path if path.startswith("/") else self._static + path

    def media(self, path: str) -> str:
        """The URL of a media file; a path with a leading ``/`` is taken as it is."""
        return path if path.startswith("/") else self._media + path


def _needed(route: Route) -> list[str]:
    """The parameters without which a route has no URL."""
    names = route.rule.names
    optional = route.rule.shortened() is not None and names[-1] in route.signature.defaults
    return names[:-1] if optional else names


def _written(route: Route, at: int, value: Any) -> str:
    """The value of parameter number ``at`` as it stands in the path."""
    name, convert = route.rule.names[at], route.rule.converters[at]
    text = str(value)
    if isinstance(value, float) and convert is CONVERTERS["float"]:
        text = format(Decimal(text), "f")  # 1e-07 is no path
    try:
        convert(text)
    except (NoMatch, HTTPError):
        raise ValueError(f"{route.name}: {value!r} can't stand for {name!r} in a URL") from None
    return text


class UrlMethods:
    """URLs on ``was``. ``"app:thing"`` names what belongs to another app of the service."""

    __slots__ = ()

    app: Atila

    def urlfor(self, thing: Any, /, *args: Any, **kwargs: Any) -> str:
        """The URL of a handler, a resource id, or a path of the app (seed, Making URL).

        Parameters:
            thing: a handler, its resource id, ``"app:id"`` for one of another app, or a path that
                starts with ``/`` (taken as it is below the app's point).
            args: values for the handler's parameters, in order.
            kwargs: values by name; None leaves a parameter out, what is not in the path becomes
                the query.

        Raises ``NameError`` for an unknown resource, ``ValueError`` for arguments that the handler
        doesn't take and for those of the path that are missing or of another type.
        """
        urls, name = self._place(thing)
        return urls.build(name, *args, **kwargs)

    ab = urlfor

    def baseurl(self, thing: Any, /) -> str:
        """The fixed part of a resource's URL."""
        urls, name = self._place(thing)
        return urls.base(name)

    basepath = baseurl

    def urlspec(self, thing: Any, /) -> dict[str, Any]:
        """Methods, path, parameters and query of a resource."""
        urls, name = self._place(thing)
        return urls.spec(name)

    def static(self, path: str) -> str:
        """The URL of a static file below ``config.STATIC_URL``."""
        urls, name = self._place(str(path))
        return urls.static(name)

    def media(self, path: str) -> str:
        """The URL of a media file below ``config.MEDIA_URL``."""
        urls, name = self._place(str(path))
        return urls.media(name)

    def _place(self, thing: Any) -> tuple[Urls, Any]:
        """The URLs of the app that ``thing`` belongs to, and its name there."""
        if isinstance(thing, str) and ":" in thing and not thing.startswith("/"):
            app, _, name = thing.partition(":")
            if app in self.app.peers:
                return self.app.peers[app].urls, name
        return self.app.urls, thing
