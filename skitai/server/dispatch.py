"""Which handler answers a request: by host, then static files, then the longest mount point.

The worker compiles the mounts into one ``Dispatcher``; the server calls it for every exchange.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from skitai.errors import HTTPError
from skitai.server.representation import Head

if TYPE_CHECKING:
    from collections.abc import Callable

    from skitai.server.exchange import Exchange

METHODS = "GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS"


class Handler(Protocol):
    """Something mounted that answers every request it is given."""

    def handle(self, exchange: Exchange) -> None:
        """Answer, now or later."""

    def offer_point(self, exchange: Exchange) -> bool:
        """Answer a request for the mount point without its slash and return True, or leave it."""


class FileHandler(Protocol):
    """Something mounted that answers only what it has."""

    def offer(self, exchange: Exchange) -> bool:
        """Answer and return True, or leave the exchange to the next one."""

    def send(self, exchange: Exchange, path: str, head: Head | None) -> bool:
        """Answer with what is at ``path``, and what is set in ``head``; False: nothing is there.

        Without a head nothing is answered.
        """


class Site:
    """What is mounted for one host.

    Parameters:
        files: (prefix, handler) of static mounts.
        apps: (point, handler) of apps; points start and end with ``/``.
    """

    __slots__ = ("_apps", "_files")

    def __init__(
        self, files: list[tuple[str, FileHandler]], apps: list[tuple[str, Handler]]
    ) -> None:
        self._files = sorted(files, key=lambda mount: -len(mount[0]))
        self._apps = sorted(apps, key=lambda mount: -len(mount[0]))

    def dispatch(self, exchange: Exchange) -> None:
        """Hand the exchange over; static files come before apps, for GET and HEAD only."""
        request = exchange.request
        path = request.path
        if self._files and request.method in ("GET", "HEAD"):
            for prefix, files in self._files:
                if path.startswith(prefix) and files.offer(exchange):
                    return
        for point, handler in self._apps:
            if path.startswith(point):
                handler.handle(exchange)
                return
            if len(path) == len(point) - 1 and point.startswith(path):
                if handler.offer_point(exchange):
                    return
                # 308: method and body stay.
                exchange.respond(Head(308, fields=[("Location", request.slashed())]), b"")
                return
        if path == "*":
            describe_server(exchange)
        else:
            exchange.fail(HTTPError(404, "nothing is mounted here"))

    def send_file(self, exchange: Exchange, path: str, head: Head | None) -> bool:
        """Answer with a static file; False when there is none."""
        return any(
            path.startswith(prefix) and files.send(exchange, path, head)
            for prefix, files in self._files
        )

    def sole_handler(self) -> Callable[[Exchange], None] | None:
        """The handler of the only mount if that answers everything, else None."""
        if not self._files and len(self._apps) == 1 and self._apps[0][0] == "/":
            return self._apps[0][1].handle
        return None


def describe_server(exchange: Exchange) -> None:
    """Answer OPTIONS for the server as a whole (RFC 9110, 9.3.7)."""
    exchange.respond(Head(204, fields=[("Allow", METHODS)]), b"")


class Dispatcher:
    """Chooses the site by the Host header (RFC 9110, 7.2).

    Parameters:
        sites: host name to site; a name with a leading dot covers the domain and its sub-domains,
            ``"default"`` everything else.
    """

    __slots__ = ("_default", "_exact", "_suffixes", "dispatch")

    def __init__(self, sites: dict[str, Site]) -> None:
        self._default = sites.get("default")
        self._exact = {name: site for name, site in sites.items() if name[0] != "."}
        self._exact.pop("default", None)
        self._suffixes = {name: site for name, site in sites.items() if name[0] == "."}
        self.dispatch: Callable[[Exchange], None]
        if self._default is not None and len(sites) == 1:
            # PERF: without virtual hosts the Host header is not looked at, and an app that has all
            # paths to itself is called directly.
            self.dispatch = self._default.sole_handler() or self._default.dispatch
        else:
            self.dispatch = self._by_host

    def send_file(self, exchange: Exchange, path: str, head: Head | None) -> bool:
        """Answer with a static file of the request's host, wherever its own path leads.

        Parameters:
            path: decoded URL path of the file.
            head: status and headers of the app that asks for it; None: it only wants to know
                whether there is such a file.

        Returns False, and answers nothing, when there is no such file.
        """
        site = self._find(exchange.request.headers.get("host", ""))
        return site is not None and site.send_file(exchange, path, head)

    def _by_host(self, exchange: Exchange) -> None:
        site = self._find(exchange.request.headers.get("host", ""))
        if site is None:
            exchange.fail(HTTPError(404, "no such host here"))
        else:
            site.dispatch(exchange)

    def _find(self, host: str) -> Site | None:
        if not host.endswith("]"):
            host = host.rpartition(":")[0] if ":" in host else host
        host = host.lower().rstrip(".")
        site = self._exact.get(host)
        if site is not None:
            return site
        suffix = "." + host
        while suffix:
            site = self._suffixes.get(suffix)
            if site is not None:
                return site
            at = suffix.find(".", 1)
            suffix = suffix[at:] if at > 0 else ""
        return self._default
