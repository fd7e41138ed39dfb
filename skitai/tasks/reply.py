"""``Reply``: what an upstream answered; drivers make them, tasks keep them."""

from __future__ import annotations

from typing import Any


class Reply:
    """An answer.

    Parameters:
        data: what ``fetch`` returns.
        status_code, reason: 200 and OK unless the upstream has others.
        error: what ``fetch`` raises instead, for an answer that says that something went wrong.

    Attributes:
        node: the member that answered; set by the balancing.
    """

    __slots__ = ("data", "error", "node", "reason", "status_code")

    def __init__(
        self,
        data: Any,
        status_code: int = 200,
        reason: str = "OK",
        error: BaseException | None = None,
    ) -> None:
        self.data = data
        self.status_code = status_code
        self.reason = reason
        self.error = error
        self.node = ""
