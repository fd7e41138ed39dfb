"""What a reload takes over from the settings of the script, and what needs a restart.

``starting`` asks in a worker that was started as a new program; the master takes the rest.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from skitai.config import Settings

HELD = (
    "name", "address", "port", "socket_mode", "quic", "fws_address", "fws_port", "user", "group",
    "devel", "log_path", "file_loggings", "log_format", "log_keep",
)  # fmt: skip
"""Settings that the master acts on when it starts: its sockets, its rights, its name, its log."""

TAKEN = ("workers", "drain_timeout", "start_timeout")
"""Settings that the master needs of the script as it is now."""


def held(settings: Settings) -> dict[str, Any]:
    """What workers must not have different from the master."""
    # HTTP/3 has one socket for each worker.
    names = (*HELD, "workers") if settings.quic else HELD
    return {name: getattr(settings, name) for name in names}


def hold(settings: Settings, kept: dict[str, Any]) -> tuple[Settings, list[str]]:
    """The settings of the script with those that the master keeps, and what has changed in vain.

    Parameters:
        settings: as the script is now.
        kept: what ``held`` gave in the master.

    The changes are in words, for the log: ``"port 5000 -> 5001"``.
    """
    before = replace(settings, **kept)
    changes = [
        f"{name} {_shown(before, name)} -> {_shown(settings, name)}"
        for name in kept
        if getattr(before, name) != getattr(settings, name)
    ]
    return before, changes


def _shown(settings: Settings, name: str) -> str:
    value = getattr(settings, name)
    return f"{value:o}" if name == "socket_mode" else repr(value)


def wanted(settings: Settings) -> dict[str, Any]:
    """What a worker reports to the master."""
    return {name: getattr(settings, name) for name in TAKEN}
