"""``was.response``: status and headers that a handler sets before it returns (seed, Response).

Made when an app first asks for it; results read it when they send the answer.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from atila.errors import HTTPError
from skitai.errors import parse_status
from skitai.server.representation import Fields, Head

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping


class Response:
    """Status and headers of the answer to be.

    Attributes:
        status_code: 200 until set.
        reason: the reason phrase, empty for the standard one.
        content_type: empty until set.
    """

    __slots__ = ("content_type", "fields", "reason", "status_code")

    def __init__(self) -> None:
        self.status_code = 200
        self.reason = ""
        self.content_type = ""
        self.fields: Fields = []

    def set_status(self, status: str | int) -> None:
        """Set e.g. ``"201 Created"`` or 201. Raises ``ValueError`` for what is no status."""
        self.status_code, self.reason = parse_status(status)

    def add_header(self, name: str, value: Any) -> None:
        """Add a header, also when there is one of that name."""
        if name.lower() == "content-type":
            self.content_type = str(value)
        else:
            self.fields.append((name, str(value)))

    def set_header(self, name: str, value: Any) -> None:
        """Set a header, replacing those of that name."""
        self.del_header(name)
        self.add_header(name, value)

    def get_header(self, name: str, default: str | None = None) -> str | None:
        """The first header of that name."""
        lowered = name.lower()
        if lowered == "content-type":
            return self.content_type or default
        return next((value for key, value in self.fields if key.lower() == lowered), default)

    def del_header(self, name: str) -> None:
        """Remove all headers of that name."""
        lowered = name.lower()
        if lowered == "content-type":
            self.content_type = ""
        self.fields = [pair for pair in self.fields if pair[0].lower() != lowered]

    def __getitem__(self, name: str) -> str | None:
        return self.get_header(name)

    def __setitem__(self, name: str, value: Any) -> None:
        self.add_header(name, value)

    def __delitem__(self, name: str) -> None:
        self.del_header(name)

    def __call__(
        self,
        status: str | int = "200 OK",
        body: Any = None,
        headers: Mapping[str, str] | Iterable[tuple[str, str]] | None = None,
    ) -> Any:
        """Set status and headers at once and return the body (seed, Generator).

        Without a body an error status (400 and above) gives that status's error page.
        """
        self.set_status(status)
        if headers is not None:
            pairs = headers.items() if hasattr(headers, "items") else headers
            for name, value in pairs:
                self.set_header(name, value)
        if body is not None:
            return body
        return HTTPError(status) if self.status_code >= 400 else ""

    def head(self, content_type: str) -> Head:
        """The head to send; ``content_type`` is what the result has when none was set."""
        return Head(
            self.status_code,
            self.content_type or content_type,
            self.fields or None,
            reason=self.reason,
        )
