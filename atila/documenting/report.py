"""The document of an API as Markdown, from the records of a session of tests.

``pytest_hooks`` calls ``render_report`` (seed, Integrating pytest and API Documentation).
"""

from __future__ import annotations

import re
from html import escape
from itertools import pairwise
from typing import Any, TypeAlias

from atila.documenting.examples import choose_examples, endpoint_of, render_example
from atila.documenting.requirements import parameter_list, requirement_list

Record: TypeAlias = dict[str, Any]

METHODS = ("GET", "POST", "PATCH", "PUT", "DELETE")
WITH_BODY = ("POST", "PATCH", "PUT")
_PLACEHOLDER = re.compile(r"<(?:[a-z]*:)?([^>]*)>")
_BREAK = "  "  # at the end of a line


def render_report(records: list[Record]) -> str:
    """The whole document.

    Parameters:
        records: of ``skitai.testing.recording``, in the order of the tests.
    """
    resources: dict[str, Resource] = {}
    for record in records:
        name = record["spec"]["id"]
        if name not in resources:
            resources[name] = Resource(name, record["spec"])
        resources[name].add(record)
    ordered = sorted(resources.values(), key=lambda resource: resource.endpoints)
    lines = ["## Table of Content", ""]
    lines += [resource.entry() for resource in ordered]
    for resource in ordered:
        lines += ["", *resource.section()]
    kept = [line for before, line in pairwise(["", *lines]) if before.strip() or line.strip()]
    return "\n".join(kept).rstrip() + "\n"


class Resource:
    """One handler and what the tests made of it.

    Parameters:
        name: its resource id.
        spec: what it said of itself.
    """

    def __init__(self, name: str, spec: dict[str, Any]) -> None:
        self.name = name
        self._spec = spec
        self._by_method: dict[str, dict[str, list[Record]]] = {}

    def add(self, record: Record) -> None:
        """Take one request and its answer."""
        endpoint = endpoint_of(record)
        self._by_method.setdefault(record["method"], {}).setdefault(endpoint, []).append(record)

    @property
    def endpoints(self) -> list[str]:
        """The paths that were tested, with placeholders, in order."""
        return sorted({path for paths in self._by_method.values() for path in paths})

    def entry(self) -> str:
        """Its line in the table of contents."""
        title = escape(" | ".join(self.endpoints), quote=False)
        links = "".join(
            f" [**`{method}`**](#{anchor(f'{method} {path}')})" for method, path in self._tested()
        )
        return f"1. [{title}](#{anchor(self.name)}){links}"

    def section(self) -> list[str]:
        """Its lines below the table."""
        lines = [f"## {self.name}"]
        if self._spec["doc"]:
            lines += [self._spec["doc"], ""]
        lines += self._parameters()
        lines += self._demands()
        for method, path in self._tested():
            lines += ["", f"#### `{method}` `{path}`", ""]
            lines += self._requirements_of(method)
            lines += self._examples(self._by_method[method][path])
        return lines

    def _tested(self) -> list[tuple[str, str]]:
        known = [*METHODS, *sorted(set(self._by_method) - set(METHODS))]
        return [
            (method, path)
            for method in known
            if method in self._by_method
            for path in sorted(self._by_method[method])
        ]

    def _parameters(self) -> list[str]:
        routeopt = self._spec["routeopt"]
        in_path = _PLACEHOLDER.findall(routeopt["route"])
        lines = []
        if in_path:
            lines.append(f"**URL Parameters**: {_chips(in_path)}{_BREAK}")
        others = [name for name in routeopt["args"] if name not in in_path]
        rules = self._spec["parameter_requirements"]
        common = parameter_list(others, routeopt["defaults"], rules.get("ARGS", {}))
        if common:
            lines += [f"**Common Parameters**:{_BREAK}", *common, ""]
        details = requirement_list(rules.get("ARGS", {}))
        if details:
            lines += [f"**Parameters Requirements Detail**:{_BREAK}", *details, ""]
        return lines

    def _demands(self) -> list[str]:
        demands: dict[str, Any] = {kind: detail for kind, detail in self._spec["auth_requirements"]}
        guarded = demands.keys() & {"permission", "identification"}
        required = demands.get("authorization") or ("YES" if guarded else "NO")
        lines = [f"**Authorization Required**: {required}{_BREAK}"]
        if demands.get("permission"):
            lines.append(f"**Permission Required**: {_chips(demands['permission'])}{_BREAK}")
        if demands.get("testpass"):
            lines.append(f"**Test Pass Required**: {_chips([demands['testpass']])}{_BREAK}")
        return lines

    def _requirements_of(self, method: str) -> list[str]:
        """What is asked of requests with one method, beside what is asked of all."""
        lines: list[str] = []
        scopes = ("URL", "JSON", "FORM", "DATA") if method in WITH_BODY else ("URL",)
        for scope in (*scopes, method):
            details = requirement_list(self._spec["parameter_requirements"].get(scope, {}))
            if details:
                title = f"**{scope} Parameters Requirements Detail**:{_BREAK}"
                lines += [title, *details, ""]
        return lines

    def _examples(self, records: list[Record]) -> list[str]:
        lines: list[str] = []
        successes, errors = choose_examples(records)
        for title, chosen in (("Success", successes), ("Error", errors)):
            for record in chosen:
                lines += [f"**{title} Response Example**{_BREAK}", *render_example(record), ""]
        return lines


def anchor(heading: str) -> str:
    """What links to a heading, as readers of Markdown make it: lower case, without signs."""
    kept = (sign for sign in heading.lower() if sign.isalnum() or sign in " -_")
    return "".join(kept).replace(" ", "-")


def _chips(names: list[Any]) -> str:
    return " ".join(f"`{name}`" for name in names)
