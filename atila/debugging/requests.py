"""What a request carried, as texts for the error page; secrets are hidden, nothing is changed."""

from __future__ import annotations

import os
import platform
import sys
from typing import TYPE_CHECKING, Any

import skitai
from atila.arguments import media_type
from atila.debugging.masking import MASK, is_secret, is_shown, texts_in
from atila.state.cookies import Cookie
from atila.state.session import Session
from atila.state.session_store import CookieStore

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from atila.debugging.masking import Masker
    from atila.debugging.values import Describer
    from atila.was import Was
    from skitai.server.exchange import Exchange

    Rows = list[tuple[str, str]]

MAX_ROWS = 100
MAX_PARSED = 64 * 1024  # bytes of a body that is read for the page alone
_DEPTH = 4


def sent_secrets(was: Was) -> list[str]:
    """Values that the client has sent under the names of secrets; they may turn up anywhere."""
    exchange = was.exchange
    headers = exchange.request.headers
    found: list[str] = []
    for name, value in headers.items():
        if name == "cookie":
            found += [pair.partition("=")[2].strip().strip('"') for pair in value.split(";")]
        elif is_secret(name):
            found += [value, value.partition(" ")[2]]
    for read in (lambda: exchange.params, lambda: was.request.URL, *_body_readers(was)):
        try:
            _collect(read(), found, 0)
        except Exception:  # noqa: PERF203  # what can't be read has no secrets
            continue
    return [text for text in found if text]


def _collect(value: Any, found: list[str], depth: int) -> None:
    if isinstance(value, dict) and depth < _DEPTH:
        for name, item in value.items():
            if is_secret(name):
                found += texts_in(item)
            else:
                _collect(item, found, depth + 1)
    elif isinstance(value, list) and depth < _DEPTH:
        for item in value[:MAX_ROWS]:
            _collect(item, found, depth + 1)


def _body_readers(was: Was) -> list[Callable[[], Any]]:
    """What gives form and JSON of a body that is complete; large ones only if they were read."""
    body = was.exchange.body
    if body is None or not body.complete:
        return []
    if body.size > MAX_PARSED and was.exchange.arguments is None:
        return []
    return [lambda: was.request.FORM, lambda: was.request.JSON]


def describe_request(was: Was, describer: Describer, masker: Masker) -> list[tuple[str, Rows]]:
    """Titles and rows of names and values."""
    exchange = was.exchange
    sections = [
        ("Request", _facts(was, masker)),
        ("Path parameters", _rows(lambda: exchange.params, describer)),
        ("Query", _rows(lambda: was.request.URL, describer)),
        *_body(was, describer),
        ("Session", _session(was)),
        ("Cookies", _cookies(exchange)),
        ("Headers", [(n, _header(n, v, masker)) for n, v in exchange.request.headers.items()]),
    ]
    return [(title, rows[:MAX_ROWS]) for title, rows in sections if rows]


def describe_app(was: Was, describer: Describer) -> list[tuple[str, Rows]]:
    """The settings of the app, and what it runs on."""
    app = was.app
    place: Rows = [
        ("App", app.name),
        ("Mounted at", app.urls.point),
        ("Directory", app.home),
        ("Templates", ", ".join(app.template_directories())),
        ("SKITAIENV", os.environ.get("SKITAIENV", "")),
        ("Process", was.ID),
        ("Python", f"{platform.python_version()} at {sys.executable}"),
        ("skitai", skitai.__version__),
    ]
    config = [(f"config.{name}", describer.named(name, each)) for name, each in app.config.items()]
    return [("App", place), ("Settings", config)]


def shown_target(exchange: Exchange, masker: Masker) -> str:
    """Path and query, without the values of secrets."""
    return masker.text(exchange.request.target)


def _facts(was: Was, masker: Masker) -> Rows:
    exchange, route = was.exchange, was.route
    request = exchange.request
    address, scheme, host = exchange.origin
    rows = [
        ("Method", request.method),
        ("URL", f"{scheme}://{host}{shown_target(exchange, masker)}"),
        ("HTTP version", request.version),
        ("Client", address or "a unix socket"),
    ]
    if route is not None:
        function = route.function
        module = getattr(function, "__module__", "")
        rows.append(("Rule", f"{was.app.urls.point.rstrip('/')}{route.rule.text}"))
        rows.append(("Methods", ", ".join(sorted(route.methods))))
        rows.append(("Function", f"{module}.{getattr(function, '__qualname__', function)}"))
    rows.append(("Transaction", was.txnid()))
    return rows


def _rows(read: Callable[[], Any], describer: Describer) -> Rows:
    try:
        value = read()
    except Exception as exc:
        return [("", f"<can't be read: {type(exc).__name__}>")]
    if isinstance(value, dict):
        return [(str(name), describer.named(name, item)) for name, item in value.items()]
    return [] if value is None else [("", describer.text(value))]


def _body(was: Was, describer: Describer) -> list[tuple[str, Rows]]:
    exchange = was.exchange
    if exchange.input is not None:
        return [("Body", [("", "it is read while it arrives (input_stream)")])]
    body = exchange.body
    if body is None:
        return []
    kind = media_type(exchange.request.headers.get("content-type", ""))
    size = ("", f"{body.size:,} bytes of {kind or 'an unknown type'}")
    readers = _body_readers(was)
    if not readers:
        return [("Body", [size])]
    form, document = (_rows(read, describer) for read in readers)
    return [("Body", [size]), ("Form", form), ("JSON", document)]


def _header(name: str, value: str, masker: Masker) -> str:
    if is_secret(name):
        scheme, space, _ = value.partition(" ")
        return f"{scheme} {MASK}" if name == "authorization" and space else MASK
    return masker.text(value)


def _cookies(exchange: Exchange) -> Rows:
    header = exchange.request.headers.get("cookie", "")
    names: Iterable[str] = (pair.partition("=")[0].strip() for pair in header.split(";"))
    return [(name, MASK) for name in names if name]


def _session(was: Was) -> Rows:
    """The names in the session as the client has sent it; what a server keeps is not asked for."""
    app = was.app
    header = was.exchange.request.headers.get("cookie")
    if app.sessions.securekey is None or not header:
        return []
    if not isinstance(app.sessions.store, CookieStore):
        return [("", f"<kept by {type(app.sessions.store).__name__}, not read>")]
    try:
        session = Session(app.sessions, Cookie(header, app.urls.point, True))
        values = {name: session.get(name) for name in session}
    except Exception as exc:
        return [("", f"<can't be read: {type(exc).__name__}>")]
    return [(name, str(each) if is_shown(each) else MASK) for name, each in values.items()]
