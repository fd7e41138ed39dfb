"""``was.API`` and ``was.Fault``: answers for programs (seed, API Response).

``results`` sends them, as JSON or as XML.
"""

from __future__ import annotations

import sys
from traceback import format_exception
from typing import TYPE_CHECKING, Any

from skitai.errors import parse_status

if TYPE_CHECKING:
    from types import TracebackType

    ExcInfo = (
        tuple[type[BaseException], BaseException, TracebackType | None] | tuple[None, None, None]
    )


class API:
    """An answer for programs.

    Parameters:
        args: optionally a status (``"201 Created"`` or 201), then optionally a dictionary.
        data: more keys; these win.

    Raises ``TypeError`` for other positional arguments.
    """

    __slots__ = ("data", "status")

    def __init__(self, /, *args: Any, **data: Any) -> None:
        self.status: str | int | None = None
        self.data: dict[str, Any] = data
        if args:
            self._take(args, data)

    def _take(self, args: tuple[Any, ...], data: dict[str, Any]) -> None:
        rest = list(args)
        if rest and (isinstance(rest[0], str) or type(rest[0]) is int):
            self.status = rest.pop(0)
        elif len(rest) > 1 and rest[0] is None:
            rest.pop(0)
        if rest and isinstance(rest[0], dict):
            self.data = {**rest.pop(0), **data}
        elif rest and rest[0] is None:
            rest.pop(0)
        if rest:
            raise TypeError(f"was.API takes a status and a dictionary, not {rest[0]!r}")

    def __getitem__(self, key: str) -> Any:
        return self.data[key]

    def __setitem__(self, key: str, value: Any) -> None:
        self.data[key] = value

    def __delitem__(self, key: str) -> None:
        del self.data[key]

    def __contains__(self, key: object) -> bool:
        return key in self.data

    def get(self, key: str, default: Any = None) -> Any:
        """A key of the answer."""
        return self.data.get(key, default)

    def set(self, key: str, value: Any) -> None:
        """Set a key of the answer."""
        self.data[key] = value


class Fault(API):
    """An error as the answer, in the shape of all other error answers.

    Parameters:
        status: e.g. ``"400 Bad Request"``.
        message: for the client.
        code: the application's own error code; 0 means ``status * 100``, 90 more with a traceback.
        debug, more_info: further keys, left out when None.
        exc_info: the exception to show; default: the one being handled.
        traceback: add its lines as the key ``traceback``. Only apps in debug mode send it.

    Raises ``ValueError`` for what is no status.
    """

    __slots__ = ("trace",)

    def __init__(
        self,
        status: str | int,
        message: str = "",
        code: int = 0,
        debug: Any = None,
        more_info: Any = None,
        exc_info: ExcInfo | None = None,
        traceback: bool = False,
    ) -> None:
        number, _ = parse_status(status)
        super().__init__(
            status, code=code or number * 100 + (90 if traceback else 0), message=message
        )
        if debug is not None:
            self.data["debug"] = debug
        if more_info is not None:
            self.data["more_info"] = more_info
        self.trace: list[str] = []
        if traceback:
            exc = (exc_info or sys.exc_info())[1]
            self.trace = [] if exc is None else trace_lines(exc)


def trace_lines(exc: BaseException) -> list[str]:
    """The traceback of an exception as lines of text, outermost frame first."""
    return "".join(format_exception(type(exc), exc, exc.__traceback__)).rstrip().split("\n")
