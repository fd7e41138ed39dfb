"""Tells the service manager how the service is doing: the systemd notify protocol.

The supervisor calls it; ``skitai.test_client`` listens to the same messages.
"""

from __future__ import annotations

import os
import socket

SOCKET_VARIABLE = "NOTIFY_SOCKET"
WATCHDOG_VARIABLE = "WATCHDOG_USEC"
SEND_TIMEOUT = 1.0  # seconds; a listener that doesn't read must not hold up the service


def notify(state: str) -> bool:
    """Send one message, e.g. ``"READY=1"``, to the datagram socket named in ``$NOTIFY_SOCKET``.

    A name that starts with ``@`` is in the abstract namespace (man sd_notify). Several assignments
    are separated by line feeds. Returns whether it was sent: without the variable nothing happens,
    and a listener that is gone or full, or no descriptor to tell it by, must not end a service that
    works.
    """
    name = os.environ.get(SOCKET_VARIABLE, "")
    if not name:
        return False
    address = "\0" + name[1:] if name.startswith("@") else name
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender:
            sender.settimeout(SEND_TIMEOUT)
            sender.sendto(state.encode(), address)
    except OSError:
        return False
    return True


def watchdog_seconds() -> float | None:
    """How often the service manager wants to hear that the service lives; ``None``: it does not.

    That is half the time after which it would restart the service (man sd_watchdog_enabled).
    """
    text = os.environ.get(WATCHDOG_VARIABLE, "")
    return int(text) / 2e6 if text.isdecimal() and int(text) > 0 else None
