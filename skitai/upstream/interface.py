"""What balancing and the drivers agree on: a ``Backend`` for each member of an alias.

Backends live on the worker's loop. A call is a coroutine that its task cancels when the deadline
passes or the client leaves; a backend then breaks off what it does for the call (a query is
cancelled, a connection in an unknown state closed) and lets ``CancelledError`` through.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Protocol

from skitai.tasks.reply import Reply

__all__ = ["Backend", "Member", "Reply"]


@dataclass(frozen=True)
class Member:
    """One server of an alias.

    Attributes:
        host: name or address; empty for SQLite.
        port: of the server, by default that of the kind.
        path: the rest: base path of a service, name of a database, file of SQLite.
        user, password: decoded; None when not given.
        weight: share of requests, 1 or more.
        tls: whether the connection is encrypted.
    """

    host: str
    port: int
    path: str = ""
    user: str | None = None
    password: str | None = field(default=None, repr=False)
    weight: int = 1
    tls: bool = False

    @property
    def name(self) -> str:
        """For messages: never with the password."""
        if not self.host:
            return self.path
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{host}:{self.port}/{self.path.lstrip('/')}".rstrip("/")


class Backend(Protocol):
    """The connections to one member; made on the loop, used only there.

    Attributes:
        busy: calls that run or wait here.
    """

    @property
    def busy(self) -> int: ...

    async def call(self, request: Any) -> Reply:
        """Answer a request; its type is the driver's. Raises ``skitai.tasks.errors.Failure``."""

    async def close(self) -> None:
        """Close all connections; what still runs fails."""
