"""Which of several routes for the same is served (seed, Extending and Overriding).

``Atila.freeze`` arranges the declared routes once, before they are compiled.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

    from atila.routing.router import Route

log = logging.getLogger("skitai.app")


def arrange(routes: Iterable[Route]) -> list[Route]:
    """The routes to compile; a later one takes the paths of those before it.

    Extended modules come first, then the app's own, then overriding ones. A resource of an extended
    module whose name the app has too is left out. Two resources of one name, or one path, in
    modules of the same rank are logged: the later one has the path, the earlier one the name.
    """
    ordered = sorted(routes, key=lambda route: route.rank)
    ranks: dict[str, int] = {}
    for route in ordered:
        ranks[route.name] = max(route.rank, ranks.get(route.name, route.rank))
    kept = [route for route in ordered if route.rank >= 0 or ranks[route.name] == route.rank]
    _warn(kept)
    return kept


def _warn(routes: list[Route]) -> None:
    names: dict[tuple[str, int], Route] = {}
    paths: dict[tuple[str, int, str, object], Route] = {}
    for route in routes:
        known = names.setdefault((route.name, route.rank), route)
        if known.function is not route.function:
            log.error(
                "two resources are named %s, at %s and %s: rename one, or give its module ns=",
                route.name,
                known.rule.text,
                route.rule.text,
            )
        for method in route.methods - {"OPTIONS"}:
            place = (route.rule.text, route.rank, method, route.options.get("subdomain"))
            earlier = paths.get(place)
            if earlier is not None and earlier.function is not route.function:
                log.warning(
                    "%s %s of %s is replaced by %s",
                    method,
                    route.rule.text,
                    earlier.name,
                    route.name,
                )
            paths[place] = route
