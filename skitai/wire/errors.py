"""What the wire layer raises when a peer breaks the protocol; connections turn it into an answer."""

from __future__ import annotations


class MalformedRequest(Exception):
    """A request that must not be served. ``status`` is the answer to give before closing."""

    def __init__(self, reason: str, status: int = 400) -> None:
        super().__init__(reason)
        self.status = status
