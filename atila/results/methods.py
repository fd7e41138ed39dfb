"""What ``was`` makes answers with (seed, Making Response)."""

from __future__ import annotations

import time
from html import escape
from typing import TYPE_CHECKING, Any, TypeAlias
from urllib.parse import quote

from atila.results.api import API, Fault
from atila.results.files import File, MountedFile
from atila.results.xml import JSON, TEXT_XML
from atila.routing.urls import UrlMethods
from skitai.wire.dates import format_date
from skitai.wire.negotiation import prefers

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from atila.response import Response
    from skitai.server.exchange import Exchange

# ``was`` has attributes of these names, which hide the types in its annotations.
PageOrData: TypeAlias = "str | API"
StaticFile: TypeAlias = MountedFile

# What may stand in a URL as it is (RFC 3986, 2). What is not there can't leave the header either.
_URL = "/:?#[]@!$&'()*+,;=%~-._"
_PAGE = "text/html"


class ResultMethods(UrlMethods):
    """Results: what a handler returns."""

    __slots__ = ()

    API = API
    Fault = Fault
    File = File
    Mounted = MountedFile = MountedFile

    exchange: Exchange

    if TYPE_CHECKING:

        @property
        def response(self) -> Response: ...

    def render(self, template: str, /, *contexts: dict[str, Any], **context: Any) -> str:
        """Render a template of the app (seed, Template Engine).

        Parameters:
            template: path below one of the app's template directories.
            contexts: dictionaries of names for the template.
            context: more names; these win.

        Sent as HTML; a template of plain text as ``text/plain``, ``text/csv``, ``text/markdown`` or
        JSON, because nothing is escaped in it.

        Raises as ``Templates.render``.
        """
        return self.app.templates.render(self, template, _merge(contexts, context))

    def render_or_API(
        self, template: str, /, *contexts: dict[str, Any], **context: Any
    ) -> PageOrData:
        """``render`` for browsers, ``was.API`` for clients that prefer JSON or XML.

        A client that takes anything, or says nothing, gets the page.

        Parameters: those of ``render``.
        """
        self.response.add_vary("Accept")
        names = _merge(contexts, context)
        if prefers_data(self.exchange.request.headers.get("accept", "")):
            return API(names)
        return self.app.templates.render(self, template, names)

    def redirect(
        self,
        url: str,
        status: str | int = "302 Object Moved",
        body: Any = None,
        headers: Mapping[str, Any] | Iterable[tuple[str, Any]] | None = None,
    ) -> Any:
        """Send the client to ``url``; return what this returns (seed, Redirecting).

        Parameters:
            status: of 3xx, or another one that has a Location (RFC 9110, 10.2.2).
            body: default: a line of HTML with a link.
            headers: more headers.

        Raises ``ValueError`` for what is no status or header.
        """
        location = quote(url, safe=_URL, errors="replace")
        response = self.response
        response.set_status(status)
        response.set_header("Location", location)
        response.set_header("Cache-Control", "max-age=0")
        response.set_header("Expires", format_date(time.time()))
        if headers is not None:
            response.set_headers(headers)
        return f'<a href="{escape(location)}">moved</a>\n' if body is None else body

    def Static(self, path: str) -> StaticFile:
        """A static file as the answer (seed, Static).

        Parameters:
            path: below ``config.STATIC_URL``; with a leading ``/`` the whole path of its URL.
        """
        return MountedFile(quote(self.static(path), errors="replace"))

    def Media(self, path: str) -> StaticFile:
        """A media file as the answer; ``path`` as for ``Static``, below ``config.MEDIA_URL``."""
        return MountedFile(quote(self.media(path), errors="replace"))


def prefers_data(accept: str) -> bool:
    """Whether a client names JSON or ``text/xml``, and likes it no less than a page."""
    named = tuple(form for form in (JSON, TEXT_XML) if form in accept)
    return bool(named) and prefers(accept, (*named, _PAGE)) in named


def _merge(contexts: tuple[dict[str, Any], ...], context: dict[str, Any]) -> dict[str, Any]:
    """All names in one dictionary; the only one that was given is taken as it is."""
    if not contexts:
        return context
    if len(contexts) == 1 and not context:
        return contexts[0]
    names: dict[str, Any] = {}
    for given in (*contexts, context):
        names.update(given)
    return names
