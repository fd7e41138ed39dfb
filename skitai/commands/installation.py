"""A service under systemd: ``install``, ``update``, ``remove`` (and ``uninstall``).

``Service.run`` calls it in place of serving.
"""

from __future__ import annotations

import getpass
import grp
import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from skitai.commands.unit import MARK, Owner, unit_text
from skitai.errors import StartupError
from skitai.privileges import find_group, find_user

if TYPE_CHECKING:
    from skitai.config import Settings

UNITS = Path("/etc/systemd/system")
UNITS_VARIABLE = "SKITAI_UNITS"
"""Another directory for units, e.g. of an image that is being built."""


class Installation:
    """The unit of a service.

    Parameters:
        settings: of the service; without a name given there is nothing to install.
        directory: of the launch script.
        command: interpreter, script and the options to keep; absolute.
        user, group: whom the service runs as; empty for who installs it.
        dry: print what would be done.

    Raises ``ConfigError`` for a user or group that does not exist.
    """

    def __init__(
        self,
        settings: Settings,
        directory: Path,
        command: list[str],
        *,
        user: str = "",
        group: str = "",
        dry: bool = False,
    ) -> None:
        self.name = settings.name
        self._units = Path(os.environ.get(UNITS_VARIABLE) or UNITS)
        self.path = self._units / f"{self.name}.service"
        self._dry = dry
        environ = {
            name: os.environ[name] for name in ("SKITAIENV", "STATIC_ROOT") if name in os.environ
        }
        owner = find_owner(user, group)
        self._text = unit_text(settings, directory, command, owner, environ)

    def install(self) -> int:
        """Write the unit and enable it. Raises ``StartupError`` when there is one."""
        if self.path.exists() and not self._dry:
            raise StartupError(f"{str(self.path)!r} exists: use update to write it anew")
        return self._write(enable=True)

    def update(self) -> int:
        """Write the unit anew. Raises ``StartupError`` when there is none, or not one of ours."""
        if not self._dry:
            self._check_ours()
        return self._write(enable=False)

    def remove(self) -> int:
        """Stop and disable the service and delete its unit. Raises ``StartupError`` if there is
        none, or not one of ours."""
        self._check_ours()
        self._systemctl("disable", "--now", f"{self.name}.service")
        self._run(["rm", "-f", str(self.path)])
        self._systemctl("daemon-reload")
        self._say(f"removed {self.path}")
        return 0

    def _check_ours(self) -> None:
        try:
            text = self.path.read_text(encoding="utf-8")
        except FileNotFoundError:
            raise StartupError(f"there is no {str(self.path)!r}: use install") from None
        except OSError as exc:
            raise StartupError(f"{str(self.path)!r} can't be read: {exc.strerror}") from exc
        if not text.startswith(MARK):
            raise StartupError(f"{str(self.path)!r} was not written by install: it is left alone")

    def _write(self, *, enable: bool) -> int:
        if self._dry:
            print(f"# {self.path}\n{self._text}", end="")
            return 0
        self._run(["tee", str(self.path)], self._text)
        self._systemctl("daemon-reload")
        if enable:
            self._systemctl("enable", f"{self.name}.service")
        self._say(f"wrote {self.path}")
        self._say(f"start it: sudo systemctl {'start' if enable else 'restart'} {self.name}")
        return 0

    def _systemctl(self, *words: str) -> None:
        if self._units == UNITS:
            self._run(["systemctl", *words])

    def _run(self, command: list[str], text: str = "") -> None:
        """Run a command as root; raises ``StartupError`` with what it says when it fails."""
        if self._dry:
            self._say("would run: " + " ".join(command))
            return
        if os.geteuid() != 0 and not os.access(self._units, os.W_OK):
            command = ["sudo", *command]
        try:
            done = subprocess.run(command, input=text, capture_output=True, text=True, check=False)
        except FileNotFoundError as exc:
            raise StartupError(f"{command[0]} is not installed on this machine") from exc
        if done.returncode:
            why = done.stderr.strip() or f"exit code {done.returncode}"
            raise StartupError(f"{' '.join(command)} failed: {why}")

    def _say(self, text: str) -> None:
        print(text, file=sys.stderr)


def find_owner(user: str, group: str) -> Owner:
    """Whom a service runs as.

    Parameters:
        user: empty for the one who called sudo, else the current one.
        group: empty for the user's own.

    Raises ``ConfigError`` when there is no such user or group.
    """
    entry = find_user(user or os.environ.get("SUDO_USER") or getpass.getuser())
    found = grp.getgrgid(find_group(group) if group else entry.pw_gid)
    return Owner(entry.pw_name, found.gr_name)
