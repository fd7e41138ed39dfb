"""``was.log`` and ``was.traceback``, and the ids that find a request's lines in the log
(seed, Logging and Traceback).
"""

from __future__ import annotations

import itertools
import logging
import os
import re
import secrets
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

    from atila.app import Atila

LEVELS = {
    "debug": logging.DEBUG,
    "info": logging.INFO,
    "warn": logging.WARNING,
    "warning": logging.WARNING,
    "error": logging.ERROR,
    "fatal": logging.CRITICAL,
    "critical": logging.CRITICAL,
}
GLOBAL_HEADER = "x-gtxn-id"
LOCAL_HEADER = "x-ltxn-id"
FIRST_LOCAL = 1000
_TRACEPARENT = re.compile(
    r"(?:00|(?!00|ff)[0-9a-f]{2}(?P<later>))-(?P<trace>[0-9a-f]{32})-(?P<parent>[0-9a-f]{16})"
    r"-(?P<flags>[0-9a-f]{2})(?(later)(?:-.*)?)"
)
_ID = re.compile(r"[A-Za-z0-9._:-]{1,64}")


class _Ids:
    """Ids that need not be secret, only different: a random part per process and a counter."""

    def __init__(self) -> None:
        self.restart()

    def restart(self) -> None:
        self._process = secrets.token_hex(4)
        self._numbers = itertools.count(1)

    def new(self) -> str:
        return f"{self._process}{next(self._numbers):08x}"


_ids = _Ids()
os.register_at_fork(after_in_child=_ids.restart)  # workers are forks of one master


def transaction_id(headers: Mapping[str, str]) -> str:
    """``global/local`` for a request.

    The global part is what a caller sent in ``X-Gtxn-Id``, else a new one; the local part is one
    more than the caller's ``X-Ltxn-Id``, 1000 at the start of a chain. What is no plain id is
    ignored: it goes into the log and into headers.
    """
    given, step = headers.get(GLOBAL_HEADER, ""), headers.get(LOCAL_HEADER, "")
    if not _ID.fullmatch(given):
        return f"{_ids.new()}/{FIRST_LOCAL}"
    counts = step.isdecimal() and step.isascii() and len(step) < 10
    local = int(step) + 1 if counts else FIRST_LOCAL
    return f"{given}/{local}"


def trace_context(headers: Mapping[str, str]) -> list[tuple[str, str]]:
    """Headers for a call that belongs to the same trace, as a span of its own.

    What is no ``traceparent`` starts no trace (W3C Trace Context, 3.2.2 and 4.2).
    """
    found = _TRACEPARENT.fullmatch(headers.get("traceparent", ""))
    if found is None or not found["trace"].strip("0") or not found["parent"].strip("0"):
        return []
    # Of a later version only what this one knows is passed on.
    fields = [("traceparent", f"00-{found['trace']}-{_span()}-{found['flags']}")]
    state = headers.get("tracestate")
    return [*fields, ("tracestate", state)] if state else fields


def _span() -> str:
    return f"{secrets.randbits(64) or 1:016x}"


class LogMethods:
    """Logging on ``was``."""

    __slots__ = ()

    app: Atila

    def txnid(self) -> str:
        """The transaction id ``global/local``; empty outside of a request."""
        return ""

    def log(self, msg: Any, category: str = "info") -> None:
        """Write a line to the app's log; in a request it ends with the transaction id.

        Parameters:
            msg: what to write; line breaks are kept, as in a traceback.
            category: debug, info, warn, error or fatal; others are written as info.
        """
        level = LEVELS.get(category, logging.INFO)
        if self.app.logger.isEnabledFor(level):
            txnid = self.txnid()
            self.app.logger.log(level, "%s%s", msg, f" [{txnid}]" if txnid else "")

    def traceback(self, id: str = "") -> None:
        """Log the exception being handled.

        Parameters:
            id: helps to find the lines; by default the transaction id, or the app's name where
                there is no request.
        """
        self.app.logger.error("[%s]", id or self.txnid() or self.app.name, exc_info=True)

    trace = traceback
