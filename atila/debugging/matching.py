"""Which route of the service a method and a path lead to, and which ones are nearly so.

The page of routes tries requests with it; the page of a missing path looks for what was meant.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from difflib import SequenceMatcher
from typing import TYPE_CHECKING, Any

from atila.errors import HTTPError
from atila.routing.router import METHODS, Resolution

if TYPE_CHECKING:
    from atila.app import Atila

NEAR = 0.6  # of 1.0
MAX_NEAR = 5


@dataclass
class Verdict:
    """What would answer a request.

    Attributes:
        status: 200 if something would be asked, else what the client would get.
        text: what that is, for people.
        mount: description of the mount.
        route: description of the route.
        params: what the path has.
        allow: methods that the path would answer.
    """

    status: int
    text: str
    mount: dict[str, Any] | None = None
    route: dict[str, Any] | None = None
    params: dict[str, Any] = field(default_factory=dict)
    allow: list[str] = field(default_factory=list)


@dataclass
class Near:
    """A route that nearly fits.

    Attributes:
        why: what is different, as far as it is known.
    """

    mount: dict[str, Any]
    route: dict[str, Any]
    why: str


def describe_site(app: Atila) -> dict[str, Any]:
    """What is mounted in the service of an app; see ``skitai.mounts.describe_site``."""
    describe = app.peers.describe_site
    if describe is not None:
        return describe()
    mount = {"kind": "app", "name": app.name, "point": app.urls.point, "hosts": ["default"]}
    return {"mounts": [{**mount, "home": app.home, **app.describe()}], "statics": []}


def routes_page_of(app: Atila) -> str:
    """The path of the page with all routes; empty when the app has none."""
    routes = (route for route in app.routes if route.name == "devel_routes")
    return next((f"{app.urls.point[:-1]}{route.rule.text}" for route in routes), "")


def find_route(app: Atila, method: str, path: str, host: str = "") -> Verdict:
    """What would answer a request, as dispatch decides it; nobody is asked who sends it.

    Parameters:
        app: one of the service.
        path: decoded, without a query.
    """
    site = describe_site(app)
    if method in ("GET", "HEAD"):
        for static in site["statics"]:
            file = _file_of(static, path) if _serves(static["hosts"], host) else None
            if file is not None:
                return Verdict(200, f"the file {file} answers", static)
    mounts = [mount for mount in site["mounts"] if _serves(mount["hosts"], host)]
    below = [mount for mount in mounts if f"{path}/".startswith(mount["point"])]
    if not below:
        return Verdict(404, "nothing is mounted here")
    longest = max(len(mount["point"]) for mount in below)
    verdicts = [
        _ask(app, mount, method, path, host) for mount in below if len(mount["point"]) == longest
    ]
    return next((verdict for verdict in verdicts if verdict.status != 404), verdicts[0])


def _ask(app: Atila, mount: dict[str, Any], method: str, path: str, host: str) -> Verdict:
    if not path.startswith(mount["point"]):
        return Verdict(308, f"redirected to {mount['point']}", mount)
    if "routes" not in mount:
        return Verdict(200, f"{mount['kind']} {mount['name']} answers all below it", mount)
    found: Any = app if mount["name"] not in app.peers else app.peers[mount["name"]]
    below = path[len(mount["point"]) - 1 :]
    try:
        endpoint, params = found.look(method, below, host)
    except HTTPError as error:
        return Verdict(error.code, error.explain or "the path was taken back (app.unroute)", mount)
    except Resolution as refusal:
        allow = sorted(refusal.allow)
        if refusal.code == 301:
            return Verdict(301, f"redirected to {path}/", mount)
        if refusal.code == 405:
            return Verdict(405, f"the path answers {', '.join(allow)} only", mount, allow=allow)
        return Verdict(404, f"app {mount['name']} has no such route", mount)
    for route, told in zip(found.routes, mount["routes"], strict=False):
        if route.endpoint is endpoint:
            return Verdict(200, "this route answers", mount, told, dict(params or {}))
    return Verdict(200, "a route answers", mount, None, dict(params or {}))


def allowed_routes(app: Atila, path: str, host: str) -> list[tuple[str, Verdict]]:
    """The methods of a path, with what answers them."""
    verdicts = ((method, find_route(app, method, path, host)) for method in sorted(METHODS))
    return [(method, verdict) for method, verdict in verdicts if verdict.route is not None]


def nearest(app: Atila, path: str) -> list[Near]:
    """Routes whose rules are nearly the path, the nearest first."""
    graded = []
    for mount in describe_site(app)["mounts"]:
        for route in mount.get("routes", ()):
            grade, why = _compare(path, route["rule"])
            if grade >= NEAR and not route["devel"]:
                graded.append((grade, Near(mount, route, why)))
    graded.sort(key=lambda pair: -pair[0])
    return [near for _, near in graded[:MAX_NEAR]]


def _compare(path: str, rule: str) -> tuple[float, str]:
    """How near a rule is to a path, and what is different."""
    asked, wanted = path.split("/"), rule.split("/")
    # A parameter is as near as can be to whatever stands in its place.
    filled = [
        asked[at] if part.startswith("<") and at < len(asked) and asked[at] else part
        for at, part in enumerate(wanted)
    ]
    if wanted[-1].startswith("<path:"):
        filled[-1:] = asked[len(wanted) - 1 :] or filled[-1:]
    meant = "/".join(filled)
    if meant == path:
        typed = [part for part in wanted if part.startswith("<") and ":" in part]
        return 1.0, f"{', '.join(typed)} takes no such value" if typed else "another host or method"
    if meant.rstrip("/") == path.rstrip("/"):
        return 0.99, "the slash at the end"
    if meant.lower() == path.lower():
        return 0.98, "upper and lower case"
    grade = SequenceMatcher(None, path, meant, autojunk=False).ratio()
    if path.endswith(meant) and meant != "/":
        return max(grade, 0.9), f"without {path[: -len(meant)]}"
    if meant.endswith(path) and path != "/":
        return max(grade, 0.9), f"below {meant[: -len(path)]}"
    return grade, ""


def _serves(hosts: list[str], host: str) -> bool:
    """Whether a mount is for a host; without one, any is meant."""
    name = host.partition(":")[0].lower().rstrip(".")
    if not name or "default" in hosts:
        return True
    return any(name == each or (each[0] == "." and f".{name}".endswith(each)) for each in hosts)


def _file_of(static: dict[str, Any], path: str) -> str | None:
    if not path.startswith(static["point"]) or ".." in path.split("/"):
        return None
    file = os.path.join(static["path"], path[len(static["point"]) :])
    return file if os.path.isfile(file) else None
