"""``was.env``: the request as a WSGI environment (PEP 3333), for code that expects one.

``was.request.env`` makes it when it is first read.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Any

from skitai.handlers.wsgi_environ import EnvironMaker

if TYPE_CHECKING:
    from skitai.server.exchange import Exchange


def make_environ(exchange: Exchange, point: str) -> dict[str, Any]:
    """The environment of a request to an app mounted at ``point``; see ``EnvironMaker.make``."""
    return _maker(point).make(exchange)


@lru_cache(64)
def _maker(point: str) -> EnvironMaker:
    return EnvironMaker(point, threaded=True)
