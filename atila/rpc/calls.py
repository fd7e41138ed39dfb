"""Remote calls as their protocols bring them: what is called with what, and what went wrong.

``xmlrpc`` and ``jsonrpc`` read and write them, ``rpc`` performs them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from collections.abc import Sequence

# Errors of the protocols, the same in both (JSON-RPC 2.0, 5.1; XML-RPC's fault code
# interoperability).
PARSE_ERROR = -32700
INVALID_REQUEST = -32600
UNKNOWN_METHOD = -32601
INVALID_PARAMS = -32602
INTERNAL_ERROR = -32603

MAX_CALLS = 1000  # in one request
MAX_DEPTH = 200  # levels of lists and structures, as in JSON bodies


class RpcError(Exception):
    """Why a call has no result.

    Parameters:
        code: one of the above, or the app's own.
        message: for the client.
        data: more, for clients that read it (JSON-RPC); None for nothing.
        trace: lines of a traceback, for developers.
    """

    def __init__(
        self, code: int, message: str, data: Any = None, trace: Sequence[str] = ()
    ) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.data = data
        self.trace = trace


@dataclass(slots=True)
class Call:
    """One call of a message.

    Attributes:
        method: its name, with dots.
        params: by position or by name.
        key: what the protocol needs for the answer.
        error: set when the call can't even be tried.
    """

    method: str = ""
    params: list[Any] | dict[str, Any] | None = None
    key: Any = None
    error: RpcError | None = None


class Message(Protocol):
    """A request of a protocol, decoded, and the way to write its answer.

    Attributes:
        calls: in the order in which they are answered.
        single: whether the answer to the only call is the whole answer.
        crashed: code of the error for a method that has crashed.
    """

    calls: list[Call]
    single: bool
    crashed: int

    def result(self, call: Call, value: Any) -> bytes:
        """The answer with a result. Raises ``TypeError`` or ``ValueError`` if it has no form."""

    def failure(self, call: Call, error: RpcError) -> bytes:
        """The answer with an error."""

    def join(self, answers: list[bytes]) -> bytes:
        """The body of the response; empty when there is nothing to say."""
