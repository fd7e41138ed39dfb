"""PostgreSQL: the backend of an alias. psycopg2 in asynchronous mode, pooled per worker.

``COPY`` and ``LISTEN`` are refused. The rest of what the server understands may be executed.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from skitai.errors import ConfigError

try:
    import psycopg2
except ImportError as exc:
    raise ConfigError(
        "an alias of PostgreSQL needs the package psycopg2: pip install 'skitai[postgresql]'"
    ) from exc

from skitai.tasks.errors import Failure, network_failure
from skitai.upstream.postgresql.connection import ConnectionLost
from skitai.upstream.postgresql.pool import IDLE_SECONDS, Pool
from skitai.upstream.postgresql.session import Holder, Session, read_batches
from skitai.upstream.sql_session import BATCH_ROWS, SESSION_IDLE_SECONDS

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from skitai.sql.rows import Row
    from skitai.sql.statement import Statement
    from skitai.upstream.interface import Member
    from skitai.upstream.postgresql.connection import Connection
    from skitai.upstream.sql_reply import SqlReply

LOCAL_HOSTS = ("", "localhost", "127.0.0.1", "::1")
# Debian and Alpine, Fedora, SUSE.
SYSTEM_AUTHORITIES = (
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/ca-bundle.pem",
)


class PostgresqlBackend:
    """The connections to one server, and what can be asked of it. Made and used on the loop.

    Parameters:
        member: ``path`` is the name of the database; a ``host`` that begins with a slash is the
            directory of a Unix socket. What is not given is what libpq takes: variables of the
            environment such as PGUSER, the password file, the name of the system's user.
        max_conns: how many connections at most; 0 for any number.
        verify: certificates of servers are checked with the authorities of the system (True), with
            those in this file, or not at all (False). Only for members with TLS.
        idle_seconds: how long a connection is kept that nobody uses.
        session_seconds: how long a session may be idle.

    Raises ``ConfigError`` when there is no file at ``verify``.
    """

    def __init__(
        self,
        member: Member,
        max_conns: int = 32,
        verify: bool | str = True,
        idle_seconds: float = IDLE_SECONDS,
        session_seconds: float = SESSION_IDLE_SECONDS,
    ) -> None:
        self._pool = Pool(connect_options(member, verify), max_conns, member.name, idle_seconds)
        self._session_seconds = session_seconds

    @property
    def busy(self) -> int:
        """Calls, sessions and streams that run or wait here."""
        return self._pool.busy

    async def call(self, request: Statement) -> SqlReply:
        """Run a statement that commits by itself.

        Raises ``Failure``; its error is of psycopg2, or ``PoolExhausted``, or ``RequestFailed`` for
        text and parameters that do not fit.
        """
        connection, reply = await self._start(request.sql, request.params, request.writes)
        if connection.in_transaction:
            self._pool.give(connection)
            text = "the statement left a transaction open, it is rolled back: use was.transaction"
            raise Failure(psycopg2.NotSupportedError(text), reason="Database Error")
        self._pool.give(connection)
        return reply

    async def session(self, autocommit: bool) -> Session:
        """Wait for a connection of its own: see ``SqlBackend``."""
        connection = await self._pool.take(careful=True)
        return Session(Holder(self._pool, connection, self._session_seconds), autocommit)

    def batches(
        self, statement: Statement, size: int = BATCH_ROWS
    ) -> AsyncGenerator[list[Row], None]:
        """The rows of a select, ``size`` at a time, from a cursor of the server."""

        async def start(sql: str) -> tuple[Holder, SqlReply]:
            connection, reply = await self._start(sql, statement.params, statement.writes)
            return Holder(self._pool, connection, self._session_seconds), reply

        return read_batches(start, statement.sql, size)

    async def close(self) -> None:
        """Close all connections; what still runs fails."""
        await self._pool.close()

    async def _start(self, sql: str, params: Any, writes: bool) -> tuple[Connection, SqlReply]:
        """Run a statement on a connection of the pool; the caller gives that back.

        A connection that was lost is replaced when the statement can't have run, or only reads.
        """
        pool = self._pool
        connection = await pool.take(careful=False)
        try:
            while True:
                try:
                    return connection, await connection.run(sql, params)
                except ConnectionLost as exc:  # noqa: PERF203 - for this the loop is
                    may_have_run = exc.begun and writes
                    if may_have_run or not connection.pooled:
                        raise network_failure(exc.error, sent=may_have_run) from exc.error
                    connection = await pool.renew()
        except BaseException:
            pool.give(connection)
            raise


def connect_options(member: Member, verify: bool | str = True) -> dict[str, Any]:
    """Keywords of ``psycopg2.connect`` (PostgreSQL documentation, libpq, connection parameters).

    Parameters, errors: ``PostgresqlBackend``.
    """
    options: dict[str, Any] = {
        "host": member.host,
        "port": member.port,
        "dbname": member.path.strip("/"),
        "user": member.user,
        "password": member.password,
        "client_encoding": "UTF8",
        "fallback_application_name": "skitai",
        "gssencmode": "disable",
        # A server that vanished is noticed after so many milliseconds, or seconds.
        "tcp_user_timeout": 15000,
        "keepalives_idle": 60,
        "keepalives_interval": 10,
        "keepalives_count": 3,
    }
    if member.tls:
        options["sslmode"] = "verify-full" if verify else "require"
        options["sslrootcert"] = _authorities(verify, member.name) if verify else None
    elif member.host in LOCAL_HOSTS and "PGSSLMODE" not in os.environ:
        options["sslmode"] = "allow"  # nobody listens within a machine
    return {name: value for name, value in options.items() if value not in (None, "")}


def _authorities(verify: bool | str, name: str) -> str | None:
    """The file with the certificates that others are checked with; None to leave it to libpq."""
    if isinstance(verify, str):
        if not os.path.isfile(verify):
            raise ConfigError(
                f"verify={verify!r} for {name}: there is no such file; give the certificates of "
                "the authorities, True for those of the system, or False"
            )
        return verify
    if "PGSSLROOTCERT" in os.environ:
        return None
    # libpq knows where those of the system are only as the one who built it did.
    places = (os.environ.get("SSL_CERT_FILE", ""), *SYSTEM_AUTHORITIES)
    return next((place for place in places if os.path.isfile(place)), "system")
