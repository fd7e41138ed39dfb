"""Pages of the API reference: which names they have; mkdocstrings writes them from docstrings.

`hooks` adds them to the site. What is public is what `skitai` and `atila` export, and what apps
get in their hands: `was`, the request, the answer, tasks and their like.
"""

from __future__ import annotations

import inspect
import re
from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable

    Places = dict[str, list[str]]

_REFERENCE = re.compile(r"see `(skitai\.[\w.]+)`")


@dataclass(frozen=True)
class ReferencePage:
    """A page.

    Attributes:
        title: in the navigation, and as its heading.
        path: in the site.
        intro: what the reader finds there.
        package: exports the names, if it is a page of a package.
        names: what apps write, to the dotted path of the object, for all others.
    """

    title: str
    path: str
    intro: str
    package: str = ""
    names: tuple[tuple[str, str], ...] = ()


PAGES = (
    ReferencePage(
        "skitai",
        "reference/skitai.md",
        "After this page you know every name of the engine that launch scripts and apps import.",
        "skitai",
    ),
    ReferencePage(
        "atila",
        "reference/atila.md",
        "After this page you know every name of the framework, and all that an app can do.",
        "atila",
    ),
    ReferencePage(
        "was",
        "reference/was.md",
        "After this page you know what the first argument of every function of an app has.",
        names=(("was", "atila.was.Was"),),
    ),
    ReferencePage(
        "Request and answer",
        "reference/request.md",
        "After this page you know what a request and an answer have, and what is kept for a user.",
        names=(
            ("was.request", "atila.request.Request"),
            ("was.response", "atila.response.Response"),
            ("was.Fault", "atila.results.api.Fault"),
            ("was.cookie", "atila.state.cookies.Cookie"),
            ("was.session", "atila.state.session.Session"),
            ("was.mbox", "atila.state.mbox.MessageBox"),
            ("uploaded file", "atila.uploads.Upload"),
            ("was.user", "atila.access.passwords.User"),
            ("was.email", "skitai.mail.message.Email"),
        ),
    ),
    ReferencePage(
        "Tasks and data",
        "reference/tasks.md",
        "After this page you know what can be done with a task, its data, and SQL in Python.",
        names=(
            ("was.Task", "skitai.tasks.task.Task"),
            ("was.Tasks", "skitai.tasks.group.Tasks"),
            ("was.Mask", "skitai.tasks.mask.Mask"),
            ("db.select", "skitai.sql.select.Select"),
            ("db.insert", "skitai.sql.changes.Insert"),
            ("db.update", "skitai.sql.changes.Update"),
            ("db.delete", "skitai.sql.changes.Delete"),
            ("Interface", "skitai.upstream.custom.Interface"),
            ("StreamConnect", "skitai.dbi.stream.StreamConnect"),
            ("asynredis.AsynConnect", "skitai.dbi.asynredis.AsynConnect"),
        ),
    ),
)


def reference_page(page: ReferencePage) -> str:
    """The Markdown of a page, with a directive of mkdocstrings for each object."""
    parts = [f"# {page.title}\n\n{page.intro}\n"]
    names = names_of(page)
    places: Places = {}
    for name, place in names:
        places.setdefault(place, []).append(name)
    for place, known in places.items():
        known.sort(key=lambda name: _last(name) != _last(place))  # its own name first
    for place, known in sorted(places.items(), key=lambda item: item[1][0].lower()):
        same = known[0].replace("atila.", "skitai.")
        if page.package == "atila" and (same, place) in exported("skitai"):
            parts.append(f"## {known[0]}\n\nThe same as [`{same}`][{place}].\n")
        else:
            parts.append(_directives(place, places))
    return "\n".join(parts)


def names_of(page: ReferencePage) -> list[tuple[str, str]]:
    """The names on a page, each with the dotted path of what it is."""
    return list(page.names) or exported(page.package)


def constants(package: str) -> list[str]:
    """The exported constants, which are explained in docs/reference.md."""
    names = import_module(package).__all__
    return [name for name in names if _is_constant(name) and name[0] != "_"]


def exported(package: str) -> list[tuple[str, str]]:
    """The functions and classes of a package by name, with the place where each is defined."""
    module = import_module(package)
    names = [name for name in module.__all__ if not _is_constant(name) and name != "was"]
    return [(f"{package}.{name}", place_of(getattr(module, name))) for name in names]


def found(place: str) -> Any:
    """The object at a dotted path. Raises ``LookupError``."""
    parts = place.split(".")
    for count in range(len(parts), 0, -1):
        try:
            thing = import_module(".".join(parts[:count]))
        except ModuleNotFoundError:
            continue
        for name in parts[count:]:
            thing = getattr(thing, name)
        return thing
    raise LookupError(place)


def place_of(thing: Any) -> str:
    """The dotted path of a function, a method or a class; for other objects that of their class."""
    thing = inspect.unwrap(getattr(thing, "__func__", thing))
    if not hasattr(thing, "__qualname__"):
        thing = type(thing)
    return f"{thing.__module__}.{thing.__qualname__}"


def _is_constant(name: str) -> bool:
    return (name.isupper() and len(name) > 3) or name.startswith("__")


def _directives(place: str, places: Places) -> str:
    """The object, its other names, and what its docstring refers to for its parameters.

    Parameters:
        places: all objects of the page with their names; each is described once.
    """
    name, *others = places[place]
    members = [other.removeprefix(f"{place}.") for other in places if other.startswith(f"{place}.")]
    parts = [_documented(place, name, 2, members)]
    if others:
        parts.append(f"Also: {', '.join(f'`{other}`' for other in others)}.\n")
    thing = found(place)
    if inspect.isclass(thing):
        return "\n".join([*parts, _other_names(thing)])
    for other in _REFERENCE.findall(inspect.getdoc(thing) or ""):
        if other in places:
            parts.append(f"See [`{places[other][0]}`][{other}].\n")
        else:
            parts.append(_documented(other, f"What {name} takes", 3))
    return "\n".join(parts)


def _other_names(kind: type) -> str:
    """The methods of a class that have several names."""
    known = {
        name: method.__name__
        for name in dir(kind)
        if inspect.isfunction(method := inspect.getattr_static(kind, name))
        and name[0] != "_"
        and name != method.__name__
        and method.__name__[0] not in "_<"
    }
    names = [f"`{name}` is `{method}`" for name, method in known.items()]
    return f"Other names: {', '.join(names)}.\n" if names else ""


def _last(path: str) -> str:
    return path.rpartition(".")[2]


def _documented(place: str, heading: str, level: int, hidden: Iterable[str] = ()) -> str:
    filters = ["!^_", *(f"!^{member}$" for member in hidden)]
    return (
        f"::: {place}\n    options:\n      heading: {heading}\n      toc_label: {heading}\n"
        f"      heading_level: {level}\n      filters: {filters}\n"
    )
