"""The kinds of upstreams that an alias can stand for; public as ``skitai.DB_PGSQL`` and so on."""

from __future__ import annotations

from dataclasses import dataclass

DB_PGSQL = DB_POSTGRESQL = "*postgresql"
DB_SQLITE3 = "*sqlite3"
DB_REDIS = "*redis"
DB_MONGODB = "*mongodb"
# Of these, other engines had a driver that blocks. Here none does, and they mean the same.
DB_SYN_PGSQL = "*postgresql_syn"
DB_SYN_REDIS = "*redis_syn"
DB_SYN_MONGODB = "*mongodb_syn"

PROTO_HTTP = "http"
PROTO_HTTPS = "https"
PROTO_SYN_HTTP = "http_syn"
PROTO_SYN_HTTPS = "https_syn"
PROTO_WS = "ws"
PROTO_WSS = "wss"

DJANGO = "django"
"""The default database of a Django project; the member is the path of its settings."""

CONSTANTS = {value: name for name, value in list(globals().items()) if name.isupper()}
"""The names of these constants, by their values."""


@dataclass(frozen=True)
class Kind:
    """What is known of a kind.

    Attributes:
        name: one of the constants, the same for all ways to say it; ``http`` for ``https`` too.
        port: where such servers listen; 0 where there is no usual one.
        secure: the port over TLS.
        tls: connections are always encrypted.
        package: has to be installed, for ``extra`` of skitai.
    """

    name: str
    port: int
    secure: int = 0
    tls: bool = False
    package: str = ""
    extra: str = ""

    def default_port(self, tls: bool) -> int:
        """The port of members that name none."""
        return self.secure if tls and self.secure else self.port


_POSTGRESQL = Kind(DB_PGSQL, 5432, package="psycopg2", extra="postgresql")
_REDIS = Kind(DB_REDIS, 6379, package="redis", extra="redis")
_MONGODB = Kind(DB_MONGODB, 27017, package="pymongo", extra="mongodb")
_HTTP = Kind(PROTO_HTTP, 80, 443)
_HTTPS = Kind(PROTO_HTTP, 80, 443, tls=True)

KINDS = {
    DB_PGSQL: _POSTGRESQL,
    DB_SYN_PGSQL: _POSTGRESQL,
    DB_SQLITE3: Kind(DB_SQLITE3, 0),
    DB_REDIS: _REDIS,
    DB_SYN_REDIS: _REDIS,
    DB_MONGODB: _MONGODB,
    DB_SYN_MONGODB: _MONGODB,
    PROTO_HTTP: _HTTP,
    PROTO_SYN_HTTP: _HTTP,
    PROTO_HTTPS: _HTTPS,
    PROTO_SYN_HTTPS: _HTTPS,
    PROTO_WS: Kind(PROTO_WS, 80, 443),
    PROTO_WSS: Kind(PROTO_WS, 80, 443, tls=True),
}

_DIALECTS = {DB_PGSQL: "postgresql", DB_SQLITE3: "sqlite"}


def dialect_of(kind: str) -> str | None:
    """How a kind of database speaks SQL: ``"postgresql"`` or ``"sqlite"``; None if it doesn't."""
    return _DIALECTS.get(kind)
