"""``HttpRequest``: what is asked of an upstream.

Stubs and proxies make it, ``backend`` sends it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

if TYPE_CHECKING:
    from collections.abc import AsyncIterable, Callable

    from skitai.upstream.http.reply import HttpReply

    Body: TypeAlias = bytes | AsyncIterable[bytes] | None

# RFC 9110, 9.2.2: a second one does nothing that the first has not done.
REPEATABLE = frozenset(("GET", "HEAD", "OPTIONS", "TRACE", "PUT", "DELETE"))


@dataclass
class HttpRequest:
    """A request.

    Attributes:
        method: in upper case.
        target: path and query behind the member's base path, percent-encoded.
        headers: names and values. ``Host``, ``Authorization``, ``Accept-Encoding`` and
            ``User-Agent`` have defaults; those about framing are made by the client.
        body: a whole one, or pieces, which are sent as fast as the upstream takes them. Pieces
            that can be had again (``__aiter__`` begins anew) can go to another member.
        length: bytes of the pieces; None sends them chunked.
        decode: makes the data of an answer whose status is below 300; what it raises is the error
            of the task. Default: as the content type says.
        upgrade: the protocol to go on in, for ``HttpBackend.open``.
    """

    method: str
    target: str
    headers: list[tuple[str, str]]
    body: Body = None
    length: int | None = None
    decode: Callable[[HttpReply], Any] | None = None
    upgrade: str = ""

    @property
    def repeatable(self) -> bool:
        """Whether it may be sent again when nobody knows what became of it."""
        return self.method in REPEATABLE and (self.body is None or type(self.body) is bytes)

    @property
    def body_length(self) -> int | None:
        """Bytes of the body, None when it is chunked."""
        if self.body is None:
            return 0
        return len(self.body) if isinstance(self.body, bytes) else self.length
