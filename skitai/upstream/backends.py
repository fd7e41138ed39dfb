"""Makes the backend of a member: the only place that knows which driver belongs to which kind.

Drivers are loaded when the first member of their kind is used.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from skitai.upstream.interfaces import adapt, interface_of
from skitai.upstream.kinds import DB_MONGODB, DB_PGSQL, DB_REDIS, DB_SQLITE3

if TYPE_CHECKING:
    from skitai.upstream.interface import Backend, Member


def make_backend(kind: str, member: Member, max_conns: int, verify: bool | str = True) -> Backend:
    """The connections to one server; on the loop.

    Parameters:
        kind: of the alias.
        member: the server.
        max_conns: connections at most, 0 for no limit.
        verify: how certificates of servers are checked, see ``HttpBackend``.

    Raises ``ConfigError`` when the driver isn't installed.
    """
    if kind == DB_PGSQL:
        from skitai.upstream.postgresql.backend import PostgresqlBackend

        return PostgresqlBackend(member, max_conns, verify)
    if kind == DB_SQLITE3:
        from skitai.upstream.sqlite.backend import SqliteBackend

        return SqliteBackend(member, max_conns)
    if kind == DB_REDIS:
        from skitai.upstream.redis.backend import RedisBackend

        return RedisBackend(member, max_conns, verify)
    if kind == DB_MONGODB:
        from skitai.upstream.mongodb.backend import MongodbBackend

        return MongodbBackend(member, max_conns, verify)
    interface = interface_of(kind)
    if interface is not None:
        return adapt(interface, member, max_conns, verify)
    from skitai.upstream.http.backend import HttpBackend

    return HttpBackend(member, max_conns, verify)
