"""The command ``routes``: what is mounted, and the routes of the apps that tell them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

DEFAULT_HOSTS = ["default"]


def print_routes(site: dict[str, Any]) -> int:
    """Print a table of what is mounted; the exit code.

    Parameters:
        site: see ``skitai.mounts.describe_site``.
    """
    for line in table(site):
        print(line)
    return 0


def table(site: dict[str, Any]) -> Iterator[str]:
    """The lines: for each mount its place, and below it methods, path, function and the rest."""
    rows = {
        id(mount): [_row(route) for route in mount.get("routes", ())] for mount in site["mounts"]
    }
    every = [row for mounted in rows.values() for row in mounted]
    widths = [max((len(row[at]) for row in every), default=0) for at in range(3)]
    for mount in site["mounts"]:
        target = f" -> {mount['target']}" if mount["kind"] == "proxy" else ""
        yield f"{mount['kind']} {mount['name']} at {mount['point']}{_hosts(mount)}{target}"
        for row in rows[id(mount)]:
            cells = (cell.ljust(width) for cell, width in zip(row, [*widths, 0], strict=True))
            yield f"  {'  '.join(cells)}".rstrip()
        for name, hook in mount.get("hooks", {}).items():
            yield f"  {name}: {_place(hook)}"
        for each in mount.get("unrouted", ()):
            yield f"  {each['pattern']}: taken back, {each['status']}"
    for static in site["statics"]:
        yield f"static {static['point']}{_hosts(static)} -> {static['path']}"


def _row(route: dict[str, Any]) -> tuple[str, str, str, str]:
    facts = [] if route["kind"] == "plain" else [route["kind"]]
    facts += [f"host {route['subdomain']}."] if route["subdomain"] else []
    facts += [route["authenticate"]] if route["authenticate"] else []
    facts += [_fact(kind, detail) for kind, detail in route["guards"]]
    facts += [f"inspects {scope}" for scope in route["inspect"]]
    return ",".join(route["methods"]), route["rule"], _place(route), " ".join(facts)


def _place(item: dict[str, Any]) -> str:
    place = f"{item['module']}.{item['function']}"
    return f"{place}:{item['line']}" if item["line"] else place


def _fact(kind: str, detail: Any) -> str:
    return f"{kind}:{','.join(map(str, detail))}" if isinstance(detail, list) else str(kind)


def _hosts(mount: dict[str, Any]) -> str:
    return "" if mount["hosts"] == DEFAULT_HOSTS else f" for {', '.join(mount['hosts'])}"
