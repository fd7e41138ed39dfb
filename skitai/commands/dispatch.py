"""Carries out what the command line asks for besides serving; ``Service.run`` calls it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from skitai.errors import ConfigError

if TYPE_CHECKING:
    from skitai.config import Settings
    from skitai.options import CommandLine
    from skitai.service import Service


@dataclass(frozen=True)
class Launch:
    """How a service is started.

    Attributes:
        service: what is mounted, and where its launch script is.
        settings: decided, also its name.
        command: interpreter, script and options, without the command; None for a script that is
            not in a file.
        named: the script or the command line gives the name.
    """

    service: Service
    settings: Settings
    command: list[str] | None
    named: bool


def carry_out(line: CommandLine, launch: Launch) -> int:
    """Carry out the command of a command line; the exit code.

    Raises ``ConfigError`` or ``StartupError`` for what can't be done.
    """
    if line.command == "routes":
        return _print_routes(launch)
    if launch.command is None:
        raise ConfigError(f"{line.command} needs a script in a file, this one is not")
    if line.installs and not launch.named:
        raise ConfigError(
            f"{line.command} needs a name for the service: give skitai.run(name='myapp') or --name"
        )
    if line.command == "nginx-conf":
        return _write_nginx(line, launch)
    if line.installs:
        from skitai.commands.installation import Installation

        installation = Installation(
            launch.settings,
            launch.service.directory,
            launch.command,
            dry=line.dry_run,
            force=line.force,
        )
        done: int = getattr(installation, line.command)()
        return done
    from skitai.commands.daemon import Daemon

    daemon = Daemon(launch.settings, launch.command, launch.service.directory)
    code: int = getattr(daemon, line.command)()
    return code


def _print_routes(launch: Launch) -> int:
    from skitai.commands.routes import print_routes
    from skitai.supervisor.seats import NO_SEAT
    from skitai.worker import outline

    return print_routes(outline(launch.service, launch.settings, NO_SEAT))


def _write_nginx(line: CommandLine, launch: Launch) -> int:
    from skitai.commands.nginx import NginxFront, Wish
    from skitai.supervisor.seats import NO_SEAT
    from skitai.worker import survey

    wish = Wish(line.nginx_domain, line.nginx_certificate, line.nginx_key, line.force, line.dry_run)
    service = launch.service
    front = NginxFront(launch.settings, service.directory, wish, service.max_ages)
    return front.write(survey(service, launch.settings, NO_SEAT))
