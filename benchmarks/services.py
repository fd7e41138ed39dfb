"""What the servers ask in their turn: PostgreSQL with a filled table, and an upstream.

Started by `benchmarks.command` for the time of a run, on the cores that are left, or on the load
generator's. The contenders find them by environment variables.
"""

from __future__ import annotations

import os
import sys
import tempfile
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import psutil

from benchmarks.launcher import LaunchError, Server, free_port
from benchmarks.rows import DATABASE, DRAWN, PAGE_ITEMS, UPSTREAM, Request

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

# The formulas of `benchmarks.rows.item`.
FILL = """
create table item (id integer primary key, name text not null, price double precision not null);
insert into item select n, '<item ' || n || '> & co.', n * 2.5 from generate_series(1, {count}) n;
"""


@dataclass
class Services:
    """What runs: `environment` is for the contenders, `failures` gives a reason for each service
    that does not run, `processes` are the tops of their trees."""

    environment: dict[str, str] = field(default_factory=dict)
    failures: dict[str, str] = field(default_factory=dict)
    processes: dict[str, int] = field(default_factory=dict)

    def cpu_seconds(self, service: str) -> float:
        """Return the CPU time that a service has used so far, user and system."""
        total = 0.0
        with suppress(psutil.NoSuchProcess, KeyError):
            top = psutil.Process(self.processes[service])
            for process in top.children(recursive=True):
                with suppress(psutil.NoSuchProcess):
                    times = process.cpu_times()
                    total += times.user + times.system
            # With those of connections that were closed meanwhile.
            total += sum(top.cpu_times()[:4])
        return total


@contextmanager
def running(wanted: Iterable[str], cores: tuple[int, ...], root: Path) -> Iterator[Services]:
    """Run the wanted services for the time of the block."""
    starters: dict[str, Callable[[ExitStack, Services, Path], None]]
    starters = {DATABASE: _database, UPSTREAM: _upstream}
    services = Services()
    own = os.sched_getaffinity(0)
    with ExitStack() as stack:
        for service in sorted(set(wanted) & set(starters)):
            # What is started inherits the cores.
            os.sched_setaffinity(0, cores)
            try:
                starters[service](stack, services, root)
            except (LaunchError, OSError) as exc:
                services.failures[service] = f"no {service}: {exc}"
            finally:
                os.sched_setaffinity(0, own)
        yield services


def _database(stack: ExitStack, services: Services, root: Path) -> None:
    """Start the server of the tests, with a table; raises LaunchError."""
    import pytest

    from tests.skitai.postgresql_server import running_postgresql

    try:
        server = stack.enter_context(running_postgresql())
    except pytest.fail.Exception as exc:
        raise LaunchError(str(exc).splitlines()[0]) from None
    database = server.new_database()
    with server.connect(database) as cursor:
        cursor.execute(FILL.format(count=DRAWN + PAGE_ITEMS))
        cursor.execute("vacuum analyze item")
    services.environment |= {
        "PGHOST": "127.0.0.1",
        "PGPORT": str(server.port),
        "PGUSER": server.user,
        "PGPASSWORD": server.password,
        "PGDATABASE": database,
    }
    first = (server.directory / "data" / "postmaster.pid").read_text().splitlines()[0]
    services.processes[DATABASE] = int(first)


def _upstream(stack: ExitStack, services: Services, root: Path) -> None:
    """Start the upstream; raises LaunchError."""
    scratch = stack.enter_context(tempfile.TemporaryDirectory(prefix="benchmark-"))
    port, log = free_port(), Path(scratch) / "upstream.log"
    command = [sys.executable, "-m", "benchmarks.apps.upstream", "--port", str(port)]
    core = min(os.sched_getaffinity(0))
    server = stack.enter_context(Server(command, port=port, core=core, folder=root, log=log))
    server.wait(Request("/kilobyte"))
    services.environment["UPSTREAM_PORT"] = str(port)
    services.processes[UPSTREAM] = server.pid
