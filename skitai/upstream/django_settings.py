"""The default database of a Django project, for the aliases of ``skitai.DJANGO``.

The settings are Python, so they are run: by an interpreter of their own, so that what they import,
set up or change is not in this process, which may be the one that all workers are copies of.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from skitai.upstream.interface import Member
from skitai.upstream.kinds import DB_PGSQL, DB_SQLITE3, KINDS, Kind

TIMEOUT = 60.0  # seconds
NOT_INHERITED = "SKITAI_SEAT"
SOCKET_DIRECTORIES = ("/var/run/postgresql", "/tmp")
ENCRYPTED = ("require", "verify-ca", "verify-full")

# With its source's directory, all packages above it, and the script's directory to import from.
_PROGRAM = """
import importlib, json, os, sys
answer = os.fdopen(os.dup(1), "w")
os.dup2(2, 1)
path, root, name, sys.path[:] = sys.argv[1], sys.argv[2], sys.argv[3], json.loads(sys.argv[4])
sys.path.insert(0, root)
os.environ.setdefault("DJANGO_SETTINGS_MODULE", name)
settings = importlib.import_module(name)
if not os.path.samefile(settings.__file__, path):
    sys.exit(f"{name} is another module, {settings.__file__}: rename one of them")
json.dump(getattr(settings, "DATABASES", {}).get("default"), answer, default=str)
answer.close()
"""


def default_database(path: str, home: Path | None) -> tuple[Kind, tuple[Member, ...]]:
    """What ``DATABASES["default"]`` of settings says.

    Parameters:
        path: of the settings file.
        home: where a relative path begins, also that of a file of SQLite.

    Raises ``ValueError`` when they can't be run, or name a database of another kind.
    """
    here = Path.cwd() if home is None else home
    file = Path(os.path.normpath(here / path))
    if not file.is_file():
        raise ValueError(f"settings {path!r}: {str(file)!r} does not exist: correct the path")
    facts = _run(file, here)
    if not isinstance(facts, dict) or not facts.get("ENGINE"):
        raise ValueError(f"settings {path!r} have no DATABASES['default']: add it")
    engine = str(facts["ENGINE"]).rpartition(".")[2]
    if engine in ("sqlite3", "spatialite"):
        return KINDS[DB_SQLITE3], (_sqlite_member(path, facts, here),)
    if engine in ("postgresql", "postgresql_psycopg2", "postgis"):
        return KINDS[DB_PGSQL], (_postgresql_member(path, facts),)
    raise ValueError(
        f"settings {path!r}: engine {facts['ENGINE']!r} is not supported, only SQLite and "
        "PostgreSQL are"
    )


def _run(file: Path, home: Path) -> Any:
    root, names = file.parent, [file.stem]
    while (root / "__init__.py").is_file():
        names.insert(0, root.name)
        root = root.parent
    command = [
        sys.executable, "-c", _PROGRAM, str(file), str(root), ".".join(names),
        json.dumps([str(home), *(os.path.abspath(entry) for entry in sys.path)]),
    ]  # fmt: skip
    environ = {key: value for key, value in os.environ.items() if key != NOT_INHERITED}
    try:
        done = subprocess.run(
            command, cwd=home, env=environ, stdin=subprocess.DEVNULL, capture_output=True,
            text=True, timeout=TIMEOUT, check=False,
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        raise ValueError(f"settings {str(file)!r} did not end within {TIMEOUT:g} s") from None
    if done.returncode or not done.stdout:
        lines = done.stderr.strip().splitlines() or [f"exit code {done.returncode}"]
        raise ValueError(f"settings {str(file)!r} can't be run: {lines[-1]}")
    return json.loads(done.stdout)


def _sqlite_member(path: str, facts: dict[str, Any], home: Path) -> Member:
    name = str(facts.get("NAME") or "")
    if not name:
        raise ValueError(f"settings {path!r}: NAME of the database is empty: give its file")
    if name == ":memory:" or name.startswith("file:"):
        return Member("", 0, name)
    return Member("", 0, str(home / name))


def _postgresql_member(path: str, facts: dict[str, Any]) -> Member:
    name = str(facts.get("NAME") or "")
    if not name:
        raise ValueError(f"settings {path!r}: NAME of the database is empty: give one")
    port = str(facts.get("PORT") or KINDS[DB_PGSQL].port)
    if not port.isdecimal() or not 1 <= int(port) <= 65535:
        raise ValueError(f"settings {path!r}: PORT {port!r} must be a number from 1 to 65535")
    options = facts.get("OPTIONS")
    mode = options.get("sslmode") if isinstance(options, dict) else None
    return Member(
        str(facts.get("HOST") or _socket_directory(int(port))),
        int(port),
        name,
        facts.get("USER") or None,
        facts.get("PASSWORD") or None,
        tls=mode in ENCRYPTED,
    )


def _socket_directory(port: int) -> str:
    """Where the socket of the local server is, which Django takes when there is no host."""
    places = (place for place in SOCKET_DIRECTORIES if os.path.exists(f"{place}/.s.PGSQL.{port}"))
    return next(places, SOCKET_DIRECTORIES[0])
