"""A real PostgreSQL server for tests, on a free port, in a temporary directory."""

from __future__ import annotations

import contextlib
import importlib.util
import itertools
import os
import pwd
import random
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psutil
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

if TYPE_CHECKING:
    from collections.abc import Iterator

USER = "tester"
PASSWORD = "se:cr@et"
PATIENCE = 60.0

# Data of a test need not survive a crash of the machine.
CONFIG = """
fsync = off
full_page_writes = off
max_connections = 200
shared_buffers = 32MB
dynamic_shared_memory_type = posix
logging_collector = off
log_min_messages = warning
"""


class PostgresqlServer:
    """A running server.

    Parameters:
        tls: it speaks TLS too; the test is skipped where no server does.

    Attributes:
        port: on 127.0.0.1, where the password is asked for.
        directory: of the Unix socket, where it is not.
        user, password: of the superuser.
    """

    def __init__(self, tls: bool = False) -> None:
        self.user = USER
        self.password = PASSWORD
        self._names = itertools.count(1)
        self._account = _account()
        self.directory = Path(tempfile.mkdtemp(prefix="pg-"))
        self._process: subprocess.Popen[bytes] | None = None
        try:
            if self._account:
                os.chown(self.directory, *self._account)
            self._programs = _find_programs(self.directory, self._account, tls)
            self._initialise(tls)
            self.port = _free_port()
            self.start()
        except BaseException:
            self.close()
            raise

    @property
    def address(self) -> str:
        """User, password, host and port as members of an alias have them."""
        return f"{self.user}:se%3Acr%40et@127.0.0.1:{self.port}"

    def start(self) -> None:
        """Start and wait until connections are welcome; always on the same port."""
        with (self.directory / "log").open("ab") as log:
            self._process = subprocess.Popen(
                [
                    self._programs / "postgres",
                    *("-D", self.directory / "data"),
                    *("-p", str(self.port)),
                    *("-c", "listen_addresses=127.0.0.1"),
                    *("-c", f"unix_socket_directories={self.directory}"),
                ],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd="/",
                start_new_session=True,  # ^C in the terminal of the tests is not for the server
                **_owner(self._account),
            )
        self._guard = _guard(self._process.pid, self.directory)
        deadline = time.monotonic() + PATIENCE
        while not self._ready():
            if self._process.poll() is not None or time.monotonic() > deadline:
                log_text = (self.directory / "log").read_text(errors="replace")
                self.kill()
                pytest.fail(f"PostgreSQL did not start:\n{log_text[-4000:]}")
            time.sleep(0.02)

    def stop(self) -> None:
        """Shut down as an administrator does: clients are told and lose their connections."""
        self._end(signal.SIGINT)

    def kill(self) -> None:
        """End all of its processes at once, as in a crash: connections just break."""
        if self._process is None:
            return
        with contextlib.suppress(psutil.NoSuchProcess):
            server = psutil.Process(self._process.pid)
            server.suspend()  # or it would start others in place of those that are killed
            for backend in server.children(recursive=True):
                with contextlib.suppress(psutil.NoSuchProcess):
                    backend.kill()
        self._end(signal.SIGKILL)

    def freeze(self) -> None:
        """Stop answering without closing anything; ``thaw`` goes on."""
        self._signal_all(signal.SIGSTOP)

    def thaw(self) -> None:
        self._signal_all(signal.SIGCONT)

    def restart(self) -> None:
        self.stop()
        self.start()

    def close(self) -> None:
        """End the server and remove its data."""
        self.kill()
        shutil.rmtree(self.directory, ignore_errors=True)

    def new_database(self) -> str:
        """Make an empty database; return its name."""
        name = f"fresh_{next(self._names)}"
        with self.connect("postgres") as cursor:
            cursor.execute(f"create database {name}")
        return name

    @contextlib.contextmanager
    def connect(self, database: str) -> Iterator[Any]:
        """A cursor of a blocking connection, for what a test looks at from outside."""
        import psycopg2

        connection = psycopg2.connect(host=str(self.directory), port=self.port, user=self.user,
                                      dbname=database)  # fmt: skip
        connection.autocommit = True
        try:
            with connection.cursor() as cursor:
                yield cursor
        finally:
            connection.close()

    def _initialise(self, tls: bool) -> None:
        secret = self._write("password", PASSWORD.encode())
        data = self.directory / "data"
        subprocess.run(
            [
                *(self._programs / "initdb", "-D", data, "-U", USER, "--no-sync"),
                *("--encoding=UTF8", "--locale=C", f"--pwfile={secret}"),
                *("--auth-local=trust", "--auth-host=scram-sha-256"),
            ],
            check=True,
            stdout=subprocess.DEVNULL,
            cwd="/",
            **_owner(self._account),
        )
        with (data / "postgresql.conf").open("a") as file:
            file.write(CONFIG)
            if tls:
                key, certificate = _certificate()
                file.write("ssl = on\n")
                file.write(f"ssl_key_file = '{self._write('tls.key', key)}'\n")
                file.write(f"ssl_cert_file = '{self._write('tls.crt', certificate)}'\n")

    def _write(self, name: str, data: bytes) -> Path:
        path = self.directory / name
        path.write_bytes(data)
        path.chmod(0o600)
        if self._account:
            os.chown(path, *self._account)
        return path

    def _ready(self) -> bool:
        # The last line of this file is the state of the server (miscadmin.h, LOCK_FILE_LINE_*).
        with contextlib.suppress(OSError):
            lines = (self.directory / "data" / "postmaster.pid").read_text().splitlines()
            assert self._process is not None
            return len(lines) > 7 and int(lines[0]) == self._process.pid and "ready" in lines[7]
        return False

    def _end(self, number: int) -> None:
        if self._process is None:
            return
        self._process.send_signal(number)
        self._process.wait(PATIENCE)
        self._process = None
        self._guard.communicate(b"\n", PATIENCE)

    def _signal_all(self, number: int) -> None:
        assert self._process is not None
        parent = psutil.Process(self._process.pid)
        for process in [parent, *parent.children(recursive=True)]:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.send_signal(number)


def _account() -> tuple[int, int] | None:
    """Whom the server runs as: PostgreSQL refuses root."""
    if os.geteuid() != 0:
        return None
    for name in ("postgres", "nobody"):
        with contextlib.suppress(KeyError):
            entry = pwd.getpwnam(name)
            return entry.pw_uid, entry.pw_gid
    return 65534, 65534


def _owner(account: tuple[int, int] | None) -> dict[str, Any]:
    if account is None:
        return {}
    return {"user": account[0], "group": account[1], "extra_groups": []}


def _guard(pid: int, directory: Path) -> subprocess.Popen[bytes]:
    """A process that clears up when the one of the tests is gone without a word."""
    return subprocess.Popen(
        ["sh", "-c", f"read _ || {{ kill -QUIT {pid}; rm -rf {directory}; }}"],
        stdin=subprocess.PIPE,
        start_new_session=True,
    )


def _certificate() -> tuple[bytes, bytes]:
    """A key, and a certificate that nobody but itself vouches for."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "localhost")])
    now = datetime.now(timezone.utc)
    certificate = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .sign(key, hashes.SHA256())
    )
    pem = serialization.Encoding.PEM
    private = key.private_bytes(
        pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    return private, certificate.public_bytes(pem)


def _find_programs(directory: Path, account: tuple[int, int] | None, tls: bool) -> Path:
    """Where ``initdb`` and ``postgres`` are: in a package of Python, on PATH, of the system."""
    places = []
    package = importlib.util.find_spec("pgserver")
    packaged = None
    if package is not None and package.origin is not None:
        packaged = Path(package.origin).parent
        places.append(packaged / "pginstall" / "bin")
    on_path = shutil.which("initdb") or shutil.which("postgres")
    if on_path:
        places.append(Path(on_path).resolve().parent)
    places += sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)
    places += sorted(Path("/usr").glob("pgsql-*/bin"), reverse=True)
    if tls:
        places = [place for place in places if _speaks_tls(place)]
        if not places:
            pytest.skip("no PostgreSQL server here was built with TLS")
    for place in places:
        if _usable(place, account):
            return place
    if packaged:
        # The server's user may not enter the home of the user who made the environment.
        copy = directory / "programs"
        shutil.copytree(packaged / "pginstall", copy / "pgserver" / "pginstall")
        shutil.copytree(packaged.with_name("pgserver.libs"), copy / "pgserver.libs")
        if _usable(copy / "pgserver" / "pginstall" / "bin", account):
            return copy / "pgserver" / "pginstall" / "bin"
    pytest.fail("these tests need a PostgreSQL server: install the package 'postgresql'")


def _usable(place: Path, account: tuple[int, int] | None) -> bool:
    try:
        for program in ("initdb", "postgres"):
            subprocess.run([place / program, "--version"], check=True, cwd="/",
                           stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
                           **_owner(account))  # fmt: skip
    except (OSError, subprocess.SubprocessError):
        return False
    return True


def _speaks_tls(place: Path) -> bool:
    try:
        how = subprocess.run([place / "pg_config", "--configure"], capture_output=True, text=True)
    except OSError:
        return False
    return "ssl" in how.stdout


def _free_port() -> int:
    """One that no client gets as its own, so that a stopped server finds it free again."""
    for _ in range(200):
        port = random.randrange(20000, 32000)
        with socket.socket() as trial:
            try:
                trial.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
    pytest.fail("no free port was found")


@contextlib.contextmanager
def running_postgresql(tls: bool = False) -> Iterator[PostgresqlServer]:
    """A server for the time of the block; for fixtures of any scope."""
    server = PostgresqlServer(tls)
    try:
        yield server
    finally:
        server.close()
