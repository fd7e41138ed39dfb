"""A service under systemd: ``install``, ``update``, ``remove`` (and ``uninstall``).

``Service.run`` calls it in place of serving.
"""

from __future__ import annotations

import contextlib
import grp
import os
import pwd
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from skitai.commands.systemd import UNITS
from skitai.commands.unit import Owner, unit_text
from skitai.commands.written_files import Condition, condition_of, refuse_changed
from skitai.errors import ConfigError, StartupError
from skitai.privileges import find_group, find_user

if TYPE_CHECKING:
    from skitai.config import Settings

UNITS_VARIABLE = "SKITAI_UNITS"
"""Another directory for units, e.g. of an image that is being built."""


class Installation:
    """The unit of a service.

    Parameters:
        settings: of the service; ``user`` and ``group`` are whom it runs as, empty for who
            installs it.
        directory: of the launch script.
        command: interpreter, script and the options to keep; absolute.
        dry: print what would be done.
        force: a unit that was edited may be replaced or removed.
    """

    def __init__(
        self,
        settings: Settings,
        directory: Path,
        command: list[str],
        *,
        dry: bool = False,
        force: bool = False,
    ) -> None:
        self.name = settings.name
        self._units = Path(os.environ.get(UNITS_VARIABLE) or UNITS)
        self.path = self._units / f"{self.name}.service"
        self._settings, self._directory, self._command = settings, directory, command
        self._dry, self._force = dry, force

    def install(self) -> int:
        """Write the unit and enable it.

        Raises ``StartupError`` when there is one or it can't be written, ``ConfigError`` for a
        user or group that does not exist; nothing has been written then.
        """
        text = self._text()
        if not self._dry and condition_of(self.path) is not Condition.MISSING:
            raise StartupError(f"{str(self.path)!r} exists: use update to write it anew")
        return self._write(text, enable=True)

    def update(self) -> int:
        """Write the unit anew; raises as ``install``, and for one that is not there or not ours."""
        text = self._text()
        if not self._dry:
            self._check_ours("use install")
        return self._write(text, enable=False)

    def remove(self) -> int:
        """Stop and disable the service and delete its unit. Raises ``StartupError`` if there is
        none, or not one of ours."""
        self._check_ours("nothing is to be removed")
        self._check_tools()
        self._systemctl("disable", "--now", f"{self.name}.service")
        self._run(["rm", "-f", str(self.path)])
        self._systemctl("daemon-reload")
        if not self._dry:
            self._say(f"removed {self.path}")
        return 0

    def _text(self) -> str:
        owner = find_owner(self._settings.user, self._settings.group)
        environ = {
            name: os.environ[name] for name in ("SKITAIENV", "STATIC_ROOT") if name in os.environ
        }
        return unit_text(self._settings, self._directory, self._command, owner, environ)

    def _check_ours(self, missing: str) -> None:
        instead = f"in a drop-in (systemctl edit {self.name})"
        if refuse_changed(self.path, force=self._force, instead=instead) is Condition.MISSING:
            raise StartupError(f"there is no {str(self.path)!r}: {missing}")

    def _check_tools(self) -> None:
        """Look for what is needed before anything is done."""
        if self._dry:
            return
        if not self._units.is_dir():
            raise StartupError(
                f"unit directory {str(self._units)!r} does not exist: is systemd installed here? "
                f"{UNITS_VARIABLE} names another"
            )
        if self._units == UNITS and shutil.which("systemctl") is None:
            raise StartupError("systemctl is not installed on this machine: it has no systemd")
        if self._needs_sudo() and shutil.which("sudo") is None:
            raise StartupError(
                f"{str(self._units)!r} can't be written and sudo is not installed: do it as root"
            )

    def _needs_sudo(self) -> bool:
        return os.geteuid() != 0 and not os.access(self._units, os.W_OK)

    def _write(self, text: str, *, enable: bool) -> int:
        if self._dry:
            print(f"# {self.path}\n{text}", end="")
            return 0
        self._check_tools()
        fresh = f"{self.path}.new"  # renamed, so that a full disk leaves no half of a unit
        try:
            self._run(["tee", fresh], text)
            self._run(["chmod", "644", fresh])
            self._run(["mv", "-f", fresh, str(self.path)])
        except StartupError:
            with contextlib.suppress(StartupError):
                self._run(["rm", "-f", fresh])
            raise
        try:
            self._systemctl("daemon-reload")
            if enable:
                self._systemctl("enable", f"{self.name}.service")
        except StartupError:
            if enable:  # a unit that is there, but not enabled, would be in the way of the next try
                with contextlib.suppress(StartupError):
                    self._run(["rm", "-f", str(self.path)])
                    self._systemctl("daemon-reload")
            raise
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
        if self._needs_sudo():
            command = ["sudo", *command]
        try:
            done = subprocess.run(command, input=text, capture_output=True, text=True, check=False)
        except OSError as exc:
            raise StartupError(f"{command[0]} can't be run: {exc.strerror}") from exc
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
    try:
        name = user or os.environ.get("SUDO_USER") or pwd.getpwuid(os.geteuid()).pw_name
    except KeyError:
        raise ConfigError(f"user number {os.geteuid()} has no name: give one with --user") from None
    entry = find_user(name)
    gid = find_group(group) if group else entry.pw_gid
    try:
        return Owner(entry.pw_name, grp.getgrgid(gid).gr_name)
    except KeyError:
        raise ConfigError(f"group number {gid} has no name: give one with --group") from None
