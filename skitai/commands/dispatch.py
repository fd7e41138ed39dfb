"""Carries out what the command line asks for besides serving; ``Service.run`` calls it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from skitai.errors import ConfigError

if TYPE_CHECKING:
    from pathlib import Path

    from skitai.config import Settings

INSTALLING = ("install", "update", "remove")


@dataclass(frozen=True)
class Launch:
    """How a service is started.

    Attributes:
        settings: decided, also its name.
        directory: of the launch script.
        command: interpreter, script and options, without the command; None for a script that is
            not in a file.
        named: the script or the command line gives the name.
    """

    settings: Settings
    directory: Path
    command: list[str] | None
    named: bool


def carry_out(command: str, launch: Launch, *, dry_run: bool = False) -> int:
    """Carry out one of ``options.COMMANDS``; the exit code.

    Raises ``ConfigError`` or ``StartupError`` for what can't be done.
    """
    if launch.command is None:
        raise ConfigError(f"{command} needs a script in a file, this one is not")
    if command in INSTALLING:
        from skitai.commands.installation import Installation

        if not launch.named:
            raise ConfigError(
                f"{command} needs a name for the service: give skitai.run(name='myapp') or --name"
            )
        settings = launch.settings
        installation = Installation(
            settings,
            launch.directory,
            launch.command,
            user=settings.user,
            group=settings.group,
            dry=dry_run,
        )
        done: int = getattr(installation, command)()
        return done
    from skitai.commands.daemon import Daemon

    code: int = getattr(Daemon(launch.settings, launch.command), command)()
    return code
