"""``--nginx-conf=DOMAIN``: static files of all apps in one place, and a configuration of nginx.

``commands/dispatch.py`` calls it in place of serving.
"""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from skitai.commands.nginx_text import Block, Front, configuration, quoted
from skitai.commands.static_collection import Collected, collect
from skitai.commands.written_files import refuse_changed, sealed, unwritable
from skitai.config import UNIX_PREFIX
from skitai.errors import ConfigError
from skitai.server.origin import TrustedProxies

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from skitai.config import Settings
    from skitai.worker import Survey

ROOT_VARIABLE = "STATIC_ROOT"
DEFAULT_ROOT = ".static_root"
HOSTS = ".hosts"  # below it, files of hosts; nginx does not serve what is hidden
DEFAULT_HOST = "default"

_DOMAIN = re.compile(r"(?=.{1,253}$)([a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?\.)*[a-z0-9-]{1,63}")
_HTTP2_DIRECTIVE = (1, 25, 1)


@dataclass(frozen=True)
class Wish:
    """What the command line asked for.

    Attributes:
        domain: the service's own.
        certificate, key: paths, relative to the launch script; empty for http only.
        force: files that were edited may be replaced.
        dry: only print the configuration.
    """

    domain: str
    certificate: str = ""
    key: str = ""
    force: bool = False
    dry: bool = False


class NginxFront:
    """A server in front of a service.

    Parameters:
        settings: of the service.
        directory: of the launch script; the configuration is written to ``conf/nginx`` there.
        wish: what is wanted.
        max_ages: seconds that clients may keep static files, by the beginning of their path.

    Raises ``ConfigError`` for a wish that can't be fulfilled.
    """

    def __init__(
        self,
        settings: Settings,
        directory: Path,
        wish: Wish,
        max_ages: Mapping[str, int] | None = None,
    ) -> None:
        self._settings, self._script_home, self._wish = settings, directory, wish
        self._max_ages = max_ages or {}
        self._domain = wish.domain.lower().rstrip(".")
        self._home = directory / "conf" / "nginx"
        self._root = Path(
            os.path.abspath(directory / (os.environ.get(ROOT_VARIABLE) or DEFAULT_ROOT))
        )
        self._check()

    def write(self, survey: Survey) -> int:
        """Collect files and write the configuration; exit code 0.

        Raises ``StartupError`` when something there is not ours or was edited, and when it can't
        be written; ``ConfigError`` for a path that nginx can't have.
        """
        keys = self._sites(survey)
        files = configuration(self._front(survey, keys, {}))
        places = [self._home / name for name in files]
        if self._wish.dry:
            for name, text in files.items():
                print(f"# {self._home / name}\n{text}", end="")
            return 0
        for place in places:
            refuse_changed(place, force=self._wish.force, instead=f"into {self._home / 'local'}")
        types: dict[str, str] = {}
        totals = Collected()
        for key, _ in keys:
            done = self._collect(survey, key)
            types = {**done.types, **types}
            totals.new += done.new
            totals.kept += done.kept
            totals.removed += done.removed
            totals.left_out += done.left_out
        for name, text in configuration(self._front(survey, keys, types)).items():
            _write(self._home / name, sealed(text))
        self._report(totals)
        return 0

    # Deciding

    def _check(self) -> None:
        wish, settings = self._wish, self._settings
        if not _DOMAIN.fullmatch(self._domain):
            raise ConfigError(
                f"--nginx-conf must be a domain, not {wish.domain!r}: give --nginx-conf=example.com"
            )
        if bool(wish.certificate) != bool(wish.key):
            raise ConfigError("--nginx-certificate and --nginx-key belong together: give both")
        for option, path in (("certificate", wish.certificate), ("key", wish.key)):
            if path and not (self._script_home / path).exists():
                raise ConfigError(
                    f"--nginx-{option} {path!r} does not exist: give the path of a PEM file, "
                    "relative to the launch script"
                )
        if not settings.address.startswith(UNIX_PREFIX) and not settings.port:
            raise ConfigError("nginx needs a port that stays the same: give one, not 0")
        for name in ("proxy_protocol", "client_ca"):
            if getattr(settings, name):
                raise ConfigError(
                    f"{name}={getattr(settings, name)!r} can't be had behind nginx: leave it out"
                )

    def _sites(self, survey: Survey) -> list[tuple[str, tuple[str, ...]]]:
        """For each ``server``: the host whose mounts it has, and its names."""
        main = self._site_of(survey.hosts)
        names = [host for host in survey.hosts if host not in (DEFAULT_HOST, self._domain)]
        return [(main, (self._domain,)), *((name, (name,)) for name in names)]

    def _site_of(self, hosts: Sequence[str]) -> str:
        """The host whose mounts answer for the domain, as dispatch finds it."""
        if self._domain in hosts:
            return self._domain
        parts = self._domain.split(".")
        suffixes = ["." + ".".join(parts[at:]) for at in range(len(parts))]
        return next((suffix for suffix in suffixes if suffix in hosts), DEFAULT_HOST)

    def _front(
        self, survey: Survey, keys: list[tuple[str, tuple[str, ...]]], types: dict[str, str]
    ) -> Front:
        wish = self._wish
        blocks = [
            Block(names, self._root_of(key), tuple(self._media(survey, key))) for key, names in keys
        ]
        return Front(
            self._settings,
            self._home,
            tuple(blocks),
            types,
            survey.max_body,
            self._script_home / wish.certificate if wish.certificate else None,
            self._script_home / wish.key if wish.key else None,
            _nginx_version() >= _HTTP2_DIRECTIVE,
            self._max_ages,
        )

    def _root_of(self, key: str) -> Path:
        if key == DEFAULT_HOST:
            return self._root
        return self._root / HOSTS / re.sub(r"[^a-z0-9.-]", "_", key.lstrip("."))

    @staticmethod
    def _media(survey: Survey, key: str) -> list[tuple[str, Path]]:
        found = {
            static.point: static.path
            for static in survey.statics
            if key in static.hosts and static.path in survey.media
        }
        return list(found.items())

    # Doing

    def _collect(self, survey: Survey, key: str) -> Collected:
        sources = [
            (static.point, static.path)
            for static in survey.statics
            if key in static.hosts and static.path not in survey.media
        ]
        return collect(sources, self._root_of(key), force=self._wish.force)

    def _report(self, totals: Collected) -> None:
        main = self._home / "nginx.conf"
        name = self._settings.name
        script = shlex.quote(os.path.basename(sys.argv[0]))
        print(
            f"collected {totals.new + totals.kept} static files in {self._root}: "
            f"{totals.new} new, {totals.removed} removed"
        )
        print(f"wrote {main}")
        for path in totals.left_out:
            print(f"left out, there is a file and a directory of this name: {path}")
        for note in self._notes():
            print(note)
        print("next steps:")
        link = f"/etc/nginx/conf.d/{name}.conf"
        print(f"  sudo ln -sf {shlex.quote(str(main))} {link}")
        print("  sudo nginx -t && sudo systemctl reload nginx")
        print(f"  python3 {script} --disable-static update")
        print(f"  sudo systemctl restart {name}")

    def _notes(self) -> list[str]:
        settings = self._settings
        notes = [f"nginx must be able to read {self._root}"]
        unix = settings.address.startswith(UNIX_PREFIX)
        peer = "" if unix else settings.address
        peer = {"0.0.0.0": "127.0.0.1", "::": "::1", "localhost": "127.0.0.1"}.get(peer, peer)
        if peer not in TrustedProxies(settings):
            shown = "unix" if unix else peer
            notes.append(
                f"add {shown} to trusted_proxies: the service would take nginx for its only client"
            )
        return notes


def _write(path: Path, text: str) -> None:
    quoted(path)
    fresh = path.with_name(f"{path.name}.new")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            fresh.write_text(text, encoding="utf-8")
            fresh.replace(path)
        finally:
            fresh.unlink(missing_ok=True)
    except OSError as exc:
        raise unwritable(exc, path) from exc


def _nginx_version() -> tuple[int, ...]:
    """Of the nginx on this machine; without one that of an old one, whose words all know."""
    program = shutil.which("nginx", path=f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin")
    if program is None:
        return (0,)
    shown = subprocess.run([program, "-v"], capture_output=True, text=True, check=False).stderr
    match = re.search(r"nginx/(\d+)\.(\d+)\.(\d+)", shown)
    return tuple(map(int, match.groups())) if match else (0,)
