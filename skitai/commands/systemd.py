"""Whether systemd runs a service: what ``commands/daemon.py`` must not take for a stopped one."""

from __future__ import annotations

import subprocess
from pathlib import Path

UNITS = Path("/etc/systemd/system")
PATIENCE = 10.0  # seconds for an answer of systemd


def systemd_pid(name: str, directory: Path, units: Path = UNITS) -> int | None:
    """The main process of a service that systemd runs; None when it runs none.

    Parameters:
        name: of the service.
        directory: of the launch script; another one may have a service of the same name.
        units: where its unit is, if it was installed.
    """
    unit = f"{name}.service"
    if not (units / unit).is_file():
        return None
    command = ["systemctl", "show", "--property=MainPID,WorkingDirectory", unit]
    try:
        shown = subprocess.run(
            command, capture_output=True, text=True, check=True, timeout=PATIENCE
        ).stdout
    except (OSError, subprocess.SubprocessError):
        return None  # there is a unit, but no systemd that could run it
    facts = dict(line.partition("=")[::2] for line in shown.splitlines())
    pid = int(facts.get("MainPID") or 0)
    return pid if pid and facts.get("WorkingDirectory") == str(directory) else None
