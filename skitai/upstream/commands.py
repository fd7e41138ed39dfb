"""``Command``: what a database without SQL is asked; the drivers of Redis and MongoDB take it.

Interfaces of apps get the same objects. Here is also what all of them say of unknown names.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any

from skitai.tasks.errors import Failure, RequestFailed, request_failure
from skitai.tasks.status import STA_NORMAL

if TYPE_CHECKING:
    from collections.abc import AsyncIterable, Iterable

# What a call may collect where the server would go on for ever: documents, keys of a scan.
MAX_ITEMS = 100_000


@dataclass(slots=True)
class Command:
    """A command and its arguments: ``db.set("foo", "bar", ex=3)``.

    Attributes:
        name: as an app wrote it.
        args, kwargs: as an app gave them.
    """

    name: str
    args: tuple[Any, ...] = ()
    kwargs: dict[str, Any] = field(default_factory=dict)


def unknown_command(kind: str, name: str, known: Iterable[str]) -> Failure:
    """What is raised for a name that is no command; it names the closest one.

    Parameters:
        kind: of the database, for the message.
        known: all names that are commands.
    """
    close = get_close_matches(name.lower(), known, n=1)
    hint = f", did you mean {close[0]!r}?" if close else ""
    return request_failure(RequestFailed(f"{kind} has no command {name!r}{hint}"))


def refused(kind: str, name: str, reason: object) -> Failure:
    """What is raised for a command that can't be sent as it is."""
    return request_failure(RequestFailed(f"{kind}, {name}: {reason}"))


def database_failure(error: BaseException, sent: bool = True) -> Failure:
    """What is raised for an error that the server has answered; the app gets the driver's."""
    return Failure(error, STA_NORMAL, sent, 500, "Database Error")


async def collect(kind: str, name: str, items: AsyncIterable[Any], limit: int) -> list[Any]:
    """All items. Raises ``Failure`` when there are more than ``limit``: nothing is cut silently."""
    found: list[Any] = []
    async for item in items:
        if len(found) == limit:
            text = f"{kind}, {name}: more than {limit} results, which are not collected at once"
            raise database_failure(RequestFailed(text))
        found.append(item)
    return found
