"""What the wire layer raises when a peer breaks the protocol; connections answer it."""

from __future__ import annotations


class MalformedRequest(Exception):
    """A request that must not be served. ``status`` is the answer to give before closing."""

    def __init__(self, reason: str, status: int = 400) -> None:
        super().__init__(reason)
        self.status = status


class MalformedResponse(Exception):
    """An upstream's answer that can't be understood, or is larger than allowed."""
