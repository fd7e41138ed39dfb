"""``SmtpAccount``: the server that takes mail, and how it is talked to."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass

from skitai.errors import ConfigError

PORT = 25
TLS_PORT = 465
_SERVER = re.compile(r"(?P<host>\[[0-9A-Fa-f:]+\]|[^\s:/@\[\]]+)(?::(?P<port>\d+))?")


@dataclass(frozen=True)
class SmtpAccount:
    """A server, and who we are there.

    Attributes:
        host, port: where it is.
        user, password: None for a server that takes mail without.
        ssl: TLS from the first byte.
        starttls: True: only with it; False: never; None: when the server offers it.
        verify: check its certificate: with the authorities of the system, with those of a file, or
            not (False).
        max_retries: attempts after the first one.
        keep_days: days for which undeliverable mail is kept.
        timeout: seconds for each step of a delivery.
    """

    host: str
    port: int
    user: str | None = None
    password: str | None = None
    ssl: bool = False
    starttls: bool | None = None
    verify: bool | str = True
    max_retries: int = 10
    keep_days: float = 30
    timeout: float = 30.0

    def __repr__(self) -> str:
        return f"<SmtpAccount {self.host}:{self.port}>"  # the password is a secret


def make_account(
    server: str,
    user: str | None = None,
    password: str | None = None,
    ssl: bool = False,
    *,
    starttls: bool | None = None,
    verify: bool | str = True,
    max_retries: int = 10,
    keep_days: float = 30,
    timeout: float = 30.0,
) -> SmtpAccount:
    """An account; see ``SmtpAccount``.

    Parameters:
        server: ``host``, ``host:port`` or ``[IPv6]:port``; the port is 25, with ``ssl`` 465.

    Raises ``ConfigError`` for what can't be.
    """
    match = _SERVER.fullmatch(server) if isinstance(server, str) else None
    port = int(match["port"] or (TLS_PORT if ssl else PORT)) if match else 0
    if match is None or not 1 <= port <= 65535:
        raise ConfigError(f"set_smtp: server {server!r} must be 'host' or 'host:port'")
    if (user is None) != (password is None):
        raise ConfigError("set_smtp: user and password are given together, or none of them")
    if ssl and starttls:
        raise ConfigError("set_smtp: ssl=True is TLS already: leave out starttls")
    if isinstance(verify, str) and not os.path.isfile(verify):
        raise ConfigError(f"set_smtp: verify={verify!r} is no file of certificates")
    for name, value in (("keep_days", keep_days), ("timeout", timeout)):
        if isinstance(value, bool) or not isinstance(value, (int, float)) or not value > 0:
            raise ConfigError(f"set_smtp: {name}={value!r} must be a number above 0")
    if type(max_retries) is not int or max_retries < 0:
        raise ConfigError(f"set_smtp: max_retries={max_retries!r} must be a number from 0 on")
    return SmtpAccount(
        match["host"].strip("[]"), port, user, password, ssl, starttls, verify, max_retries,
        keep_days, timeout,
    )  # fmt: skip
