"""The systemd unit of a service, as text.

``commands/installation.py`` writes it to its place.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from math import ceil
from typing import TYPE_CHECKING

from skitai.commands.written_files import sealed
from skitai.errors import ConfigError
from skitai.supervisor.master import STOP_MARGIN

if TYPE_CHECKING:
    from pathlib import Path

    from skitai.config import Settings

WATCHDOG_SECONDS = 30
RESTART_SECONDS = 2
HIGHEST_PRIVILEGED_PORT = 1023

_PLAIN = re.compile(r"[A-Za-z0-9_@+=:,./-]+")
# What is taken away from every service: an app that needs one of these has a drop-in for it
# (``systemctl edit <name>``).
_HARDENING = (
    "NoNewPrivileges=yes",
    "PrivateTmp=yes",
    "ProtectSystem=full",
    "ProtectKernelTunables=yes",
    "ProtectKernelModules=yes",
    "ProtectKernelLogs=yes",
    "ProtectControlGroups=yes",
    "ProtectClock=yes",
    "RestrictSUIDSGID=yes",
    "RestrictRealtime=yes",
    "RestrictNamespaces=yes",
    "LockPersonality=yes",
    "SystemCallArchitectures=native",
)


@dataclass(frozen=True)
class Owner:
    """The user and the group that a service runs as."""

    user: str
    group: str


def unit_text(
    settings: Settings, directory: Path, command: list[str], owner: Owner, environ: dict[str, str]
) -> str:
    """Return the unit of a service.

    Parameters:
        settings: ``name``, ``drain_timeout`` and the ports are used.
        directory: of the launch script.
        command: interpreter, script and the options to keep; absolute.
        owner: whom it runs as.
        environ: variables that it needs.

    Raises ``ConfigError`` for a directory that a unit can't name.
    """
    if re.search(r"[\x00-\x1f\x7f]|\\$", str(directory)):
        raise ConfigError(
            f"directory {str(directory)!r} can't be named in a unit: give it another name, without "
            "control characters and without a backslash at its end"
        )
    start = settings.start_timeout and settings.start_timeout + STOP_MARGIN
    service = [
        "Type=notify",
        "NotifyAccess=main",
        f"User={owner.user}",
        f"Group={owner.group}",
        f"WorkingDirectory={_specifiers(str(directory))}",
        *(f"Environment={_quoted(f'{name}={value}')}" for name, value in sorted(environ.items())),
        f"ExecStart={_command_line(command)}",
        "ExecReload=/bin/kill -HUP $MAINPID",
        "KillMode=mixed",
        f"TimeoutStartSec={ceil(start)}" if start else "TimeoutStartSec=infinity",
        f"TimeoutStopSec={ceil(settings.drain_timeout + 2 * STOP_MARGIN)}",
        "Restart=on-failure",
        f"RestartSec={RESTART_SECONDS}",
        # A misconfigured service would fail again.
        "RestartPreventExitStatus=2",
        f"WatchdogSec={WATCHDOG_SECONDS}",
        "LimitNOFILE=65536",
        *_HARDENING,
    ]
    ports = (settings.port, settings.fws_port, settings.quic)
    privileged = any(0 < port <= HIGHEST_PRIVILEGED_PORT for port in ports)
    if privileged and owner.user != "root":
        service.append("AmbientCapabilities=CAP_NET_BIND_SERVICE")
    lines = [
        "[Unit]",
        f"Description={settings.name}",
        "Wants=network-online.target",
        "After=network-online.target",
        "",
        "[Service]",
        *service,
        "",
        "[Install]",
        "WantedBy=multi-user.target",
    ]
    script = os.path.basename(command[1]).replace("\n", " ")
    return sealed("\n".join(lines) + "\n", f"{script} update writes it anew")


def _command_line(words: list[str]) -> str:
    """Words as they are; a colon lets systemd 244 and newer leave ``$`` alone."""
    plain = ":" if any("$" in word for word in words) else ""
    return plain + " ".join(_quoted(word) for word in words)


def _quoted(word: str) -> str:
    """One word of a command line or an assignment (man systemd.syntax, quoting)."""
    word = _specifiers(word)
    if _PLAIN.fullmatch(word):
        return word
    escaped = word.replace("\\", "\\\\").replace('"', '\\"')
    escaped = re.sub(r"[\x01-\x1f\x7f]", lambda found: f"\\x{ord(found[0]):02x}", escaped)
    return f'"{escaped}"'


def _specifiers(text: str) -> str:
    return text.replace("%", "%%")
