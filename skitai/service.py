"""The service a launch script describes: what it mounts, where it is, how it runs.

The functions of the ``skitai`` package act on the default one; ``run`` starts master or worker.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from skitai.config import closest
from skitai.errors import ConfigError, SkitaiError
from skitai.executors.config import ZOMBIE_TIMEOUT, ExecutorConfig, config_executors
from skitai.importer import existing_directory, explain, put_first
from skitai.log.options import LogOptions
from skitai.mounts import (
    DEFAULT_HOST,
    Mount,
    StaticMount,
    collect_statics,
    normalise_point,
    parse_hosts,
    parse_name,
    parse_subscribe,
    sort_third_argument,
)
from skitai.options import (
    DEVEL,
    PRODUCTION,
    choose_environment,
    peek_environment,
)
from skitai.own_options import OwnOptions
from skitai.preference import Place, Preference
from skitai.schedules.declarations import Schedules
from skitai.script import (
    GIVEN_UP,
    MISCONFIGURED,
    current_directory,
    loaded_for_a_job,
    main_script,
    program_name,
)
from skitai.starting import start
from skitai.stores.locks import SharedLocks
from skitai.stores.memory import SharedMemory
from skitai.stores.result_cache import ResultCache
from skitai.stores.shared import MEMORY_BYTES, SharedSlots
from skitai.targets import Kind, Target, is_app, resolve
from skitai.upstream.aliases import Aliases

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from skitai.mail.account import SmtpAccount


MOUNT_OPTIONS = ["appname", "first", "host", "name", "path", "pref", "subscribe"]


class Service:
    """One service: apps, static directories, settings.

    Parameters:
        directory: the launch script's directory; default: that of the running main script, or the
            current one when there is no file (a script from standard input).

    Attributes:
        mounts: the apps in the order of mounting.
        directories: the directories that were mounted; see `static_mounts` for all of them.
        aliases: databases and services by name.
        max_ages: seconds that clients may keep static files, by the beginning of their path.
        shared: numbers that all workers share.
        locks: locks by name over all workers.
        results: what upstreams answered to this process.
        options: what the script adds to its command line.
        executors: how many threads and processes work for ``was.Thread`` and ``was.Process``.
        configured: settings that functions such as `enable_ssl` have made.
        smtp: the server for mail; None when there is none.
        logs: what the script says of log files.
        schedules: background tasks and jobs at times.
    """

    def __init__(self, directory: Path | None = None) -> None:
        self.mounts: list[Mount] = []
        self.directories: list[StaticMount] = []
        self.max_ages: dict[str, int] = {}
        self.aliases = Aliases(lambda: self.directory)
        self.memory = SharedMemory(MEMORY_BYTES)
        self.shared = SharedSlots(self.memory)
        self.locks = SharedLocks(self.memory)
        self.results = ResultCache(self.shared)
        self.executors = ExecutorConfig()
        self.options = OwnOptions()
        self.configured: dict[str, Any] = {}
        self.smtp: SmtpAccount | None = None
        self.logs = LogOptions(self.configured)
        self._directory = directory
        self.started_in = current_directory()
        self._ran = False
        self.schedules = Schedules(lambda: self.directory, lambda: not self._ran)
        self.static_disabled = False

    # Places and environment

    @property
    def directory(self) -> Path:
        """The launch script's directory, absolute; all relative paths start there."""
        if self._directory is None:
            script = main_script()
            if script is None:
                return self.started_in
            self._directory = script.parent
        return self._directory

    def abspath(self, *parts: str) -> str:
        """Join a path to the launch script's directory; an absolute path stays what it is."""
        return os.path.normpath(os.path.join(self.directory, *parts))

    def getswd(self) -> str:
        """Return the launch script's directory."""
        return str(self.directory)

    @property
    def environment(self) -> str:
        """SKITAIENV as it is or will be: ``DEVEL``, ``PRODUCTION`` (default) or another name."""
        return choose_environment(peek_environment(sys.argv[1:]), os.environ)

    def is_devel(self) -> bool:
        """Tell whether the service runs with ``--devel`` or SKITAIENV=DEVEL."""
        return self.environment == DEVEL

    def isproduction(self) -> bool:
        """Tell whether the service runs for production, the default."""
        return self.environment == PRODUCTION

    # Describing

    def preference(
        self, preset: bool = False, path: str | None = None, **configs: Any
    ) -> Preference:
        """Make a preference for an app (seed, First App).

        Parameters:
            preset: begin with ``config.MAX_UPLOAD_SIZE`` = 268435456 bytes.
            path: a directory, relative to the launch script, put in front of ``sys.path``.
            configs: first entries of ``pref.config``.

        Raises `ConfigError` when the path is no directory.
        """
        return Preference(self.directory, preset, path, configs)

    def mount(
        self,
        point: str,
        target: object,
        pref_or_appname: Preference | str | None = None,
        *,
        pref: Preference | None = None,
        appname: str | None = None,
        host: str = DEFAULT_HOST,
        path: str | list[str] | None = None,
        name: str | None = None,
        subscribe: str | list[str] | None = None,
        first: bool = False,
        **unknown: Any,
    ) -> None:
        """Mount an app or a directory of static files (seed, First App).

        Parameters:
            point: url path, ``/`` or one like ``/shop``.
            target: see `skitai.targets.resolve`; an alias may be defined later.
            pref_or_appname: the preference or the app's variable, by position.
            pref: the preference; default: an empty one.
            appname: variable of the app in a file; default: ``__app__ ()``, else ``app``.
            host: host names separated by blanks, ``.b.com`` for all of a domain. Default: all.
            path: directories, relative to the launch script, put in front of ``sys.path``.
            name: how other apps call this one. Default: the name of app, module or file.
            subscribe: names of apps whose events this app receives.
            first: a directory goes in front of others at its point.

        Raises `ConfigError` for everything that can't be mounted, `StartupError` when a
        ``__config__`` hook fails.
        """
        for key, value in unknown.items():
            hint = closest(key, MOUNT_OPTIONS)
            raise ConfigError(f"unknown mount option {key!r} with value {value!r}: {hint}")
        pref, appname = sort_third_argument(pref_or_appname, pref, appname)
        where, hosts = normalise_point(point), parse_hosts(host)
        given_name, providers = parse_name(name), parse_subscribe(subscribe)
        for directory in [path] if isinstance(path, str) else reversed(path or []):
            put_first(existing_directory("mount: path", directory, self.directory))
        found = resolve(target, self.directory)
        if isinstance(found.value, Path) and found.kind is Kind.DIRECTORY:
            if given_name or providers or appname:
                raise ConfigError(f"directory {target!r} can't have a name, events or an app name")
            place = Place.FRONT if first else Place.BACK
            self.directories.append(StaticMount(where, found.value, hosts, place))
            return
        if found.kind is Kind.ALIAS and appname:
            raise ConfigError(f"alias {target!r} can't have an app name: leave out {appname!r}")
        if found.appname and appname and found.appname != appname:
            raise ConfigError(f"{target!r} and appname={appname!r} name two variables: keep one")
        mount = Mount(
            where,
            found,
            self._free_name(given_name, found, where),
            self.preference() if pref is None else pref,  # an empty one is false
            self.directory,
            appname=found.appname or appname,
            hosts=hosts,
            subscribe=providers,
            copy=self._times_mounted(found),
        )
        self._check_place(mount)
        self.mounts.append(mount)
        found.run_config_hooks(self.directory, mount.pref)

    def alias(
        self,
        name: str,
        ctype: str,
        members: str | Sequence[str],
        role: str | Sequence[str] = "",
        source: str | Sequence[str] = "",
        ssl: bool = False,
        max_conns: int = 32,
        verify: bool | str = True,
    ) -> tuple[str, tuple[Any, ...]]:
        """Give a database or a service a name for all apps (seed, Resource Aliasing).

        Parameters, what it returns and raises: see `skitai.upstream.aliases.Aliases.add`.
        """
        return self.aliases.add(name, ctype, members, role, source, ssl, max_conns, verify)

    def register_g(self, *names: str | Sequence[str]) -> Callable[[type], type]:
        """Make numbers and cache keys for all workers; see `skitai.stores.shared.SharedSlots`."""
        return self.shared.register(*names)

    def set_max_rcache(self, entries: int) -> None:
        """Set how many results each worker keeps, 100 by default; 0 for none."""
        self.results.limit(entries)

    def set_max_age(self, path_prefix: str, seconds: int) -> None:
        """Let clients keep static files for a time without asking (RFC 9111, 5.2.2.1).

        Not with ``--devel``. What an app sets for ``was.Static`` wins.

        Parameters:
            path_prefix: ``"/img"`` is for ``/img`` and all below it; the longest one that fits
                counts. ``"/"`` is for all.
            seconds: a whole number; with 0 clients have to ask each time.

        Raises `ConfigError` for what is no path or number.
        """
        if not isinstance(path_prefix, str) or not path_prefix.startswith("/"):
            raise ConfigError(f"set_max_age: {path_prefix!r} is no path: begin it with '/'")
        if type(seconds) is not int or seconds < 0:
            raise ConfigError(
                f"set_max_age({path_prefix!r}, {seconds!r}): give whole seconds, as 3600"
            )
        self.max_ages[path_prefix] = seconds

    def static_mounts(self) -> list[StaticMount]:
        """Return all static directories, of mounts and preferences, in the order they are asked.

        With ``--disable-static`` there are none.
        """
        if self.static_disabled:
            return []
        return collect_statics(self.directories, self.mounts)

    def _times_mounted(self, target: Target) -> int:
        if target.kind is not Kind.FILE:
            return 0
        return sum(mount.target.value == target.value for mount in self.mounts)

    def _free_name(self, given: str | None, target: Target, point: str) -> str:
        name = given or target.name
        taken = {mount.name: mount for mount in self.mounts}
        if name not in taken:
            return name
        if given or target.kind not in (Kind.OBJECT, Kind.ALIAS):
            raise ConfigError(
                f"mount name {name!r} at {point!r} is taken by the app at {taken[name].point!r}: "
                f"give another, e.g. name='{name}2'"
            )
        return next(free for number in range(2, 10**6) if (free := f"{name}-{number}") not in taken)

    def _check_place(self, new: Mount) -> None:
        for other in self.mounts:
            if is_app(new.target.value) and other.target.value is new.target.value:
                raise ConfigError(
                    f"app {other.name!r} is mounted at {other.point!r} already: "
                    f"make another app object for {new.point!r}"
                )
            if new.point == other.point != "/" and not set(new.hosts).isdisjoint(other.hosts):
                raise ConfigError(
                    f"mount point {new.point!r} is taken by app {other.name!r}: "
                    "choose another, only '/' can be shared"
                )

    def config_executors(
        self,
        workers: int | None = None,
        zombie_timeout: float = ZOMBIE_TIMEOUT,
        process_start_method: str | None = None,
    ) -> None:
        """Say how many threads and processes a worker has for tasks, and for how long.

        Parameters, and what it raises: see `skitai.executors.config.config_executors`.
        """
        self.executors = config_executors(workers, zombie_timeout, process_start_method)

    def enable_ssl(
        self,
        certfile: str | Path,
        keyfile: str | Path | None = None,
        passphrase: str | None = None,
        *,
        hsts: int | str = 0,
        client_ca: str | Path | None = None,
        ciphers: str = "",
    ) -> None:
        """Speak TLS on the port, and nothing else: HTTP/1.1 and 2 by ALPN, TLS 1.2 and newer.

        All are settings of ``run``, too, which win. Paths are relative to the launch script. A
        reload reads the files again. Files that can't be used end ``run`` with exit code 2.

        Parameters:
            certfile: PEM file with the certificate and its chain.
            keyfile: PEM file with the private key. Default: it is in ``certfile``.
            passphrase: opens an encrypted key.
            hsts: seconds for which browsers shall use https only, ``"; includeSubDomains"`` may
                follow (RFC 6797). Default: they are told nothing.
            client_ca: PEM file with authorities; clients must show a certificate of theirs.
            ciphers: for TLS 1.2, as OpenSSL names them. Default: those of Python.
        """
        self.configured.update(
            certfile=certfile,
            keyfile=keyfile or "",
            passphrase=passphrase or "",
            hsts=hsts or "",
            client_ca=client_ca or "",
            ciphers=ciphers,
        )

    def enable_forward(
        self,
        port: int = 80,
        forward_port: int = 443,
        forward_domain: str | None = None,
        ip: str = "",
    ) -> None:
        """Redirect from a second port to https, with 301.

        Parameters:
            port: where clients without TLS come.
            forward_port: where they are sent to.
            forward_domain: host that they are sent to. Requests that come to the main port for
                another host are sent there, too. Default: the host that they asked for.
            ip: address of the second port. Default: every IPv4 address.
        """
        self.configured.update(
            fws_port=port,
            fws_to=forward_port,
            fws_domain=forward_domain or "",
            fws_address=ip or "0.0.0.0",
        )

    def set_smtp(
        self,
        server: str,
        user: str | None = None,
        password: str | None = None,
        ssl: bool = False,
        start_service: bool = False,
        *,
        starttls: bool | None = None,
        verify: bool | str = True,
        max_retries: int = 10,
        keep_days: float = 30,
        timeout: float = 30.0,
    ) -> None:
        """Say which server delivers the mail of ``was.email``.

        Parameters:
            server: ``host[:port]``; the port is 25, with ``ssl`` 465.
            start_service: nothing, as the workers deliver anyway.
            user, password, ssl, starttls, verify, max_retries, keep_days, timeout: see
                `skitai.mail.account.SmtpAccount`.

        Raises `ConfigError` for what can't be.
        """
        if isinstance(verify, str):
            verify = self.abspath(verify)
        from skitai.mail.account import make_account  # most services send no mail

        self.smtp = make_account(
            server, user, password, ssl, starttls=starttls, verify=verify,
            max_retries=max_retries, keep_days=keep_days, timeout=timeout,
        )  # fmt: skip

    # Running

    def run(self, **conf: Any) -> None:
        """Run the service until it is stopped, then exit (seed, First App).

        The process ends with code 0 after a stop, 2 with a message when something is misconfigured
        or can't start, 130 after Ctrl-C before it serves. Calling it a second time raises
        `ConfigError`. Nothing happens where the script is loaded again for a function in it that
        ``was.Process`` or multiprocessing runs.

        Parameters:
            conf: fields of `Settings`; options of the command line win over them.
        """
        if loaded_for_a_job():
            return
        if self._ran:
            raise ConfigError("skitai.run() was called already: one process runs one service")
        self._ran = True
        try:
            code = start(self, conf)
        except SkitaiError as exc:
            print(f"{program_name()}: {explain(exc)}", file=sys.stderr)
            code = MISCONFIGURED
        except KeyboardInterrupt:
            code = GIVEN_UP
        sys.exit(code)

    def source_directories(self) -> list[str]:
        """Return the directories that a reload on save watches."""
        homes = [self.directory]
        for mount in self.mounts:
            homes += [mount.target.home, *mount.extension_homes()]
        return [str(home) for home in dict.fromkeys(homes)]
