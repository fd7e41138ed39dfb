"""How a described service starts: settings, environment, then master, worker or a command.

``Service.run`` calls ``start``. This is the only place that starts processes: the rooms above and
beside are imported when they are needed.
"""

from __future__ import annotations

import os
import sys
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from skitai import log
from skitai.config import UNIX_PREFIX, Settings, closest
from skitai.errors import ConfigError, SkitaiError
from skitai.importer import put_first
from skitai.options import DEVEL, ENVIRONMENT, CommandLine, choose_environment, parse
from skitai.privileges import become, check_owner
from skitai.script import (
    MISCONFIGURED,
    default_name,
    leaving_readers,
    open_missing_streams,
    program_name,
    restart_command,
    start_command,
)
from skitai.targets import Kind

if TYPE_CHECKING:
    from collections.abc import Callable

    from skitai.schedules.declarations import Job
    from skitai.service import Service
    from skitai.supervisor.seats import WorkerSeat


def start(service: Service, conf: dict[str, Any]) -> int:
    """Run the service as master or worker, or carry out a command; the exit code.

    Parameters:
        service: complete.
        conf: what the script gave to ``run``.

    Raises `ConfigError` or `StartupError` for what can't be started.
    """
    from skitai.supervisor.seats import occupy, seat_from_environment

    open_missing_streams()
    seat = seat_from_environment()
    changes: list[str] = []
    try:
        with leaving_readers():
            line = parse(sys.argv[1:], program_name(), conf, service.options.known())
        settings = _settle(service, conf, line)
        if seat is not None:
            settings, changes = _take_seat(service, settings, seat)
        serve = _serving(service, settings, changes)
    except SkitaiError as exc:
        if seat is None:
            raise
        seat.report_failed(str(exc))  # the master shows it
        return MISCONFIGURED
    if seat is not None:
        occupy(seat, serve, settings.name)
    if line.command:
        return _carry_out(service, line, settings, bool({**conf, **line.settings}.get("name")))
    from skitai.commands.daemon import hold_lock, refuse_second
    from skitai.net.openings import open_listeners, open_udp
    from skitai.supervisor.master import Supervisor

    lock = hold_lock()
    if lock is None:
        refuse_second(settings.name, service.directory)
    log.prepare(settings)
    log.install("m", settings=settings)
    listeners = open_listeners(settings)
    try:
        udp = open_udp(settings)
    except ConfigError:
        for listener in listeners:
            listener.close()
        raise
    master = Supervisor(
        settings,
        listeners,
        serve,
        exec_argv=restart_command(service.started_in),
        watch_paths=service.source_directories if settings.devel else None,
        log=log.engine,
        memory_fd=service.memory.descriptor,  # makes it, so that the workers have it in common
        lock=lock,
        udp=udp,
    )
    return master.run()


def _take_seat(
    service: Service, settings: Settings, seat: WorkerSeat
) -> tuple[Settings, list[str]]:
    """Settle what master and worker have in common; also what has changed in vain, in words."""
    from skitai.net.openings import check_udp
    from skitai.supervisor.takeover import hold, wanted

    if seat.memory_fd is not None:
        service.shared.join(seat.memory_fd)
    settings, changes = hold(settings, seat.held)
    if settings.quic:
        check_udp(settings)
    seat.report_settings(wanted(settings))
    return settings, changes if seat.reloading and seat.slot == 0 else []


def _carry_out(service: Service, line: CommandLine, settings: Settings, named: bool) -> int:
    from skitai.commands.dispatch import Launch, carry_out

    with leaving_readers():
        return carry_out(line, Launch(service, settings, start_command(line.words), named))


def _settle(service: Service, conf: dict[str, Any], line: CommandLine) -> Settings:
    """Decide settings and environment, check what was mounted, go to the script's directory."""
    settings = Settings.load({**service.configured, **conf}, line.settings)
    environment = choose_environment(line.environment, os.environ, conf.get("devel"))
    devel = environment == DEVEL
    single = devel and "workers" not in line.settings
    settings = replace(
        settings,
        name=settings.name or default_name(service.directory),
        workers=1 if single else settings.workers,
        devel=devel,
    )
    sys.dont_write_bytecode |= devel  # it misses what is saved twice in a second
    settings = _with_files(service, settings)
    if not line.installs:
        check_owner(settings.user, settings.group)
    _check_mounts(service)
    service.static_disabled = line.disable_static and not line.nginx_domain
    os.environ[ENVIRONMENT] = environment
    put_first(service.directory)
    os.chdir(service.directory)
    return settings


def _with_files(service: Service, settings: Settings) -> Settings:
    """Find files and directories, and look whether those of TLS can be used."""
    from skitai.net.certificates import make_context

    names = ("certfile", "keyfile", "client_ca", "log_path")
    paths = {name: getattr(settings, name).replace("<name>", settings.name) for name in names}
    found: dict[str, Any] = {name: service.abspath(path) for name, path in paths.items() if path}
    for name in ("address", "fws_address"):
        prefix, mark, path = getattr(settings, name).partition(UNIX_PREFIX)
        if mark and not prefix:
            found[name] = UNIX_PREFIX + service.abspath(path)
    found["devel_watch"] = [service.abspath(path) for path in settings.devel_watch]
    settings = replace(settings, **found)
    make_context(settings, ())
    return settings


def _serving(
    service: Service, settings: Settings, changes: list[str]
) -> Callable[[WorkerSeat], int]:
    # Imported before the master forks, so that workers share its memory.
    from skitai import worker

    def serve(seat: WorkerSeat) -> int:
        log.install(seat.title, settings=settings)
        if seat.jobs:
            become(settings.user, settings.group)
            return _keep_jobs(service, settings, seat)
        for change in changes:
            log.engine.warning("not reloaded: %s needs a restart of the service", change)
        credentials = worker.load_credentials(settings)
        become(settings.user, settings.group)
        return worker.serve(service, settings, seat, credentials)

    return serve


def _keep_jobs(service: Service, settings: Settings, seat: WorkerSeat) -> int:
    from skitai.schedules.functions import run_function
    from skitai.schedules.keeper import Keeper
    from skitai.stores.job_board import JobBoard

    def run(job: Job, log_fd: int) -> int:
        from skitai.errand import Errand  # in the process of a function, which may not need it

        return run_function(job, log_fd, settings, lambda: Errand(service, settings).call)

    board = JobBoard(service.memory)
    return Keeper(service.schedules, seat, board, run, settings.drain_timeout).run()


def _check_mounts(service: Service) -> None:
    if not service.mounts and not service.static_mounts():
        raise ConfigError("nothing is mounted: call skitai.mount('/', app) before skitai.run()")
    names = [mount.name for mount in service.mounts]
    service.schedules.check_apps(names)
    for mount in service.mounts:
        if mount.target.kind is Kind.ALIAS:
            service.aliases.check_service(mount.point, str(mount.target.value))
        for provider in mount.subscribe:
            if provider not in names or provider == mount.name:
                others = [name for name in names if name != mount.name]
                hint = closest(provider, others) if others else "no other app is mounted"
                raise ConfigError(
                    f"app {mount.name!r} can't subscribe to {provider!r}, no other app has "
                    f"this name: {hint}"
                )
