"""What a task raises when it is fetched, and the HTTP status of a failure that nobody handled.

Drivers raise ``Failure``; everybody else sees the error in it. The errors of drivers
(``psycopg2.Error``, ``sqlite3.Error``, ``redis.RedisError`` …) reach the app as they are.
"""

from __future__ import annotations

from skitai.errors import SkitaiError
from skitai.tasks.status import STA_NETERR, STA_NORMAL, STA_REQFAIL, STA_TIMEOUT

BAD_GATEWAY = 502
UNAVAILABLE = 503
GATEWAY_TIMEOUT = 504

_MARK = "__skitai_gateway__"


class TaskError(SkitaiError):
    """A task failed."""


class OperationTimeout(TaskError, TimeoutError):
    """The deadline of a task passed."""


class PoolExhausted(OperationTimeout):
    """The deadline passed while all connections were in use by others."""


class NetworkError(TaskError, ConnectionError):
    """No connection to the upstream could be made, or it broke."""


class RequestFailed(TaskError):
    """The upstream could not even be asked: an unknown command, or bad arguments."""


class TaskCancelled(TaskError):
    """The task was cancelled, as its client left or its worker stops."""


class Failure(Exception):
    """Why a call of an upstream failed; raised by drivers, never seen by apps.

    Parameters:
        error: what ``task.fetch ()`` raises.
        status: one of the ``STA_`` constants.
        sent: whether the upstream may have begun to act on the request. What was not sent can be
            tried at another member.
        code: status code of the task.
        reason: of the same.
    """

    def __init__(
        self,
        error: BaseException,
        status: int = STA_NORMAL,
        sent: bool = True,
        code: int = 500,
        reason: str = "",
    ) -> None:
        super().__init__(error)
        self.error = error
        self.status = status
        self.sent = sent
        self.code = code
        self.reason = reason or type(error).__name__


def network_failure(error: BaseException, sent: bool) -> Failure:
    """The upstream can't be reached, or went away."""
    return Failure(error, STA_NETERR, sent, BAD_GATEWAY, "Network Error")


def timeout_failure(error: OperationTimeout) -> Failure:
    """The deadline passed."""
    code = UNAVAILABLE if isinstance(error, PoolExhausted) else GATEWAY_TIMEOUT
    return Failure(error, STA_TIMEOUT, not isinstance(error, PoolExhausted), code, "Timeout")


def request_failure(error: BaseException) -> Failure:
    """The request can't be made."""
    return Failure(error, STA_REQFAIL, False, BAD_GATEWAY, "Request Failed")


def mark_gateway(error: BaseException, code: int) -> None:
    """Remember that ``error`` came from an upstream; ``code`` answers a client if it escapes."""
    error.__dict__[_MARK] = code


def gateway_code(error: BaseException) -> int | None:
    """502, 503 or 504 for the failure of an upstream; None for a crash of the app itself."""
    code: int | None = error.__dict__.get(_MARK)
    return code
