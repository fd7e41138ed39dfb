"""Apps with websockets, served on a real socket, and clients of them by the library websockets.

with sockets_of(app) as site, site.connect("/echo") as client:
    client.send("hello")
    assert client.recv() == "ECHO: hello"
"""

from __future__ import annotations

import contextlib
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any

from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import ClientConnection, connect

from atila import Atila

sys.path.insert(0, str(Path(__file__).parents[1] / "skitai"))
from serving import PATIENCE, Serving, until

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["PATIENCE", "Site", "closing_of", "new_app", "refusal", "sockets_of", "until"]


def new_app(**settings: Any) -> Atila:
    """An app with a key for sessions."""
    app = Atila("sockets")
    app.securekey = "a key for the sessions of tests"
    for name, value in settings.items():
        setattr(app, name, value)
    return app


class Mountable:
    def __init__(self, app: Atila) -> None:
        self._app = app

    def freeze(self, point, pool):
        debug = self._app.debug
        self._app.setup(None, {"point": point})
        self._app.debug = debug
        return self._app.freeze(point, pool)


class Site:
    """A served app.

    Attributes:
        url: ``ws://…`` of its root.
        serving: the server.
    """

    def __init__(self, app: Atila, serving: Serving) -> None:
        self.app = app
        self.serving = serving
        host, port = serving.address
        self.host = f"{host}:{port}"
        self.url = f"ws://{self.host}"

    @contextlib.contextmanager
    def connect(self, path: str, **options: Any) -> Iterator[ClientConnection]:
        """A client; it leaves in order at the end of the block."""
        options = {
            "open_timeout": PATIENCE,
            "close_timeout": PATIENCE,
            "proxy": None,
            "max_queue": None,
            **options,
        }
        with connect(self.url + path, **options) as client:
            client.recv = _patient(client.recv)  # type: ignore[method-assign]
            yield client

    def get(self, target: str, *headers: str) -> Any:
        """An ordinary request."""
        return self.serving.get(target, *headers)

    def emptied(self) -> None:
        """Wait until no socket is left."""
        until(lambda: not len(self.app.websockets), "the end of all sockets")


def _patient(receive):
    def recv(timeout=PATIENCE, **options):
        return receive(timeout, **options)

    return recv


@contextlib.contextmanager
def sockets_of(app: Atila, **options: Any) -> Iterator[Site]:
    """Serve an app; at the end none of its sockets may be left."""
    with Serving(Mountable(app), **options) as serving:
        app.started(serving.loop)
        site = Site(app, serving)
        yield site
        site.emptied()
        stop = threading.Thread(target=app.cleanup)
        stop.start()
        stop.join(PATIENCE)
        assert not stop.is_alive()
    assert not app.websockets._rooms


def refusal(site: Site, path: str, **options: Any) -> Any:
    """The response to a handshake that is refused."""
    try:
        with site.connect(path, **options):
            raise AssertionError("the handshake was accepted")
    except InvalidStatus as exc:
        return exc.response


def closing_of(client: ClientConnection) -> tuple[int, str]:
    """Code and reason with which the server closes; messages before that are passed over."""
    with contextlib.suppress(ConnectionClosed):
        while True:
            client.recv()
    closing = client.protocol.close_rcvd
    assert closing is not None, "the server has not closed the socket"
    return closing.code, closing.reason
