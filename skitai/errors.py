"""The error types of the engine. Everything above raises these; nothing below is imported."""

from __future__ import annotations

from http import HTTPStatus

# Python before 3.13 has the names of older RFCs for four of them (RFC 9110, 15).
REASONS: dict[int, str] = {status.value: status.phrase for status in HTTPStatus} | {
    413: "Content Too Large",
    414: "URI Too Long",
    416: "Range Not Satisfiable",
    422: "Unprocessable Content",
}


class SkitaiError(Exception):
    """Base of every error that this engine raises on purpose."""


class ConfigError(SkitaiError):
    """A user's misconfiguration. The message names the setting, its value and the fix.

    The launcher prints the message without a traceback and exits with code 2.
    """


class StartupError(SkitaiError):
    """An app or a listener failed while starting; the whole service ends with exit code 2."""


class HTTPError(Exception):
    """A failure that has its own HTTP status; apps raise it as ``was.Error`` (seed, HTTP Error).

    Parameters:
        status: a status code (``404``) or a status line (``"404 Not Found"``). A missing reason is
            filled with the standard phrase.
        explain: what went wrong, for the client. Default: nothing.
        errno: the application's own error code; 0 means ``status * 100``.
        traceback: show where it was raised, as for a crash. Only apps in debug mode do so.

    Raises ``ValueError`` when the status is not a number from 100 to 999 with an optional reason.
    """

    def __init__(
        self,
        status: str | int = "500 Internal Server Error",
        explain: str = "",
        errno: int = 0,
        traceback: bool = False,
    ) -> None:
        self.code, self.reason = parse_status(status)
        self.explain = str(explain or "")
        self.errno = errno
        self.traceback = traceback
        super().__init__(self.status if not explain else f"{self.status}: {explain}")

    @property
    def status(self) -> str:
        """The status line, e.g. ``"404 Not Found"``."""
        return f"{self.code} {self.reason}"


def parse_status(status: str | int) -> tuple[int, str]:
    """Split a status such as ``404`` or ``"404 Not Found"`` into code and reason.

    Raises ``ValueError`` for anything that could not stand on a status line (RFC 9112, 4).
    """
    text = str(status)
    code, _, reason = text.partition(" ")
    if len(code) != 3 or not code.isdecimal() or not code.isascii() or code[0] == "0":
        raise ValueError(f"status {status!r} must be three digits, e.g. 404 or '404 Not Found'")
    if "\r" in reason or "\n" in reason:
        raise ValueError(f"status {status!r} has a line break in its reason")
    number = int(code)
    return number, reason.strip() or REASONS.get(number, "Unknown")
