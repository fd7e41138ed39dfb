"""Why a value of a request was refused, and the 400 that says so.

Conversions and rules raise ``Refused``; inspections and type hints turn it into the answer.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from atila.errors import HTTPError

if TYPE_CHECKING:
    from atila.was import Was

ERRNO = 40050


class Refused(Exception):
    """A value that is not what was declared.

    Parameters:
        reason: goes on after the parameter's name: ``"must be text"``, ``"is required"``.
        where: the place within the value, e.g. ``".authors[0]"``; empty for the value itself.
    """

    def __init__(self, reason: str, where: str = "") -> None:
        super().__init__(reason)
        self.reason = reason
        self.where = where


def refusal(name: str, refused: Refused, origin: str) -> HTTPError:
    """The answer: 400 with the error code of all validation (seed, Parameter and Validation)."""
    gap = " " if refused.reason.startswith("is ") else ": "
    return HTTPError(
        400, f"parameter {name}{refused.where}{gap}{refused.reason} (in the {origin})", ERRNO
    )


def missing(name: str, origin: str = "") -> HTTPError:
    """The answer when a parameter is not there; ``origin`` is where it has to be."""
    return HTTPError(400, f"parameter {name} is required{origin and f' in the {origin}'}", ERRNO)


def origin_of(was: Was, name: str) -> str:
    """Where the argument ``name`` came from: body over path over query."""
    exchange = was.exchange
    if exchange.body is not None:
        document = was.request.JSON
        if isinstance(document, dict) and name in document:
            return "JSON body"
        if name in (was.request.FORM or ()):
            return "form"
    return "path" if name in (exchange.params or ()) else "query"
