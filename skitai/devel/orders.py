"""What the master of a service under ``--devel`` tells its workers: what was saved.

Under ``--devel`` the channel of a worker's reports is a socket, on which the master can answer, in
lines of JSON. The supervisor and the ``Refresher`` of a worker use it.
"""

from __future__ import annotations

import contextlib
import json
import os
import socket
import stat
from typing import Any

# Kinds of orders.
HELLO, STYLE, PAGE, FAILURE = "hello", "style", "page", "failure"
MAX_TRACE = 24_000  # characters; the end of a traceback says what happened


def open_channel() -> tuple[int, int]:
    """The descriptors of a channel: the master's end, the worker's end."""
    master, worker = socket.socketpair()
    return master.detach(), worker.detach()


def is_channel(descriptor: int) -> bool:
    """Whether this is the worker's end of such a channel, and no pipe."""
    return descriptor >= 0 and stat.S_ISSOCK(os.fstat(descriptor).st_mode)


def write_order(descriptor: int, order: dict[str, Any]) -> None:
    """Tell a worker, unless it has ended or does not listen."""
    with contextlib.suppress(OSError):
        os.write(descriptor, json.dumps(order).encode() + b"\n")


class OrderReader:
    """Reads what the master tells.

    Parameters:
        descriptor: the worker's end of a channel; it is made not to block.
    """

    def __init__(self, descriptor: int) -> None:
        os.set_blocking(descriptor, False)
        self._descriptor = descriptor
        self._received = b""

    def read(self) -> list[dict[str, Any]]:
        """All orders that have come."""
        try:
            while data := os.read(self._descriptor, 65536):
                self._received += data
        except (BlockingIOError, ConnectionError):
            pass
        *lines, self._received = self._received.split(b"\n")
        return [json.loads(line) for line in lines]
