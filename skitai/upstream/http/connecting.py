"""``Connector``: names and addresses of a member to an open connection (RFC 8305, RFC 9110, 4.3.4).

``backend`` has one. Slow resolvers and dead addresses cost no more than the time for connecting.
"""

from __future__ import annotations

import asyncio
import os
import socket
import ssl
from functools import lru_cache
from typing import TYPE_CHECKING, Any, TypeVar

from skitai.errors import ConfigError
from skitai.tasks.errors import Failure, NetworkError, network_failure

if TYPE_CHECKING:
    from collections.abc import Callable

    Address = tuple[int, Any]  # family and what a socket connects to

ConnectionT = TypeVar("ConnectionT", bound=asyncio.BaseProtocol)

CONNECT_SECONDS = 5.0
STAGGER_SECONDS = 0.25  # RFC 8305, 5: until the next address is tried beside the first


class Connector:
    """Makes connections to one member.

    Parameters:
        host: name or address, as it is in certificates.
        port: of the server.
        tls: encrypt connections.
        verify: what certificates are checked with: True for the authorities of the system, a path
            to a file or directory of others, False for not at all.
        seconds: for one connection, from looking its name up to the end of the TLS handshake.

    Raises ``ConfigError`` when there is nothing at the path.
    """

    def __init__(self, host: str, port: int, tls: bool, verify: bool | str, seconds: float) -> None:
        if isinstance(verify, str) and not os.path.exists(verify):
            raise ConfigError(
                f"verify={verify!r} for {host}: there is no such file; give the certificates "
                "of the authorities, True for those of the system, or False"
            )
        self._host = host
        self._port = port
        self._tls = tls
        self._name = f"{host}:{port}"
        self._verify = verify
        self._seconds = seconds

    async def connect(self, make: Callable[[], ConnectionT]) -> ConnectionT:
        """Return a new connection; ``make`` makes its protocol.

        Raises ``Failure`` (not sent).
        """
        job = asyncio.ensure_future(self._connect(make))
        try:
            done, _ = await asyncio.wait({job}, timeout=self._seconds)
        except asyncio.CancelledError:
            _discard(job)
            raise
        if not done:
            _discard(job)
            text = f"no connection to {self._name} within {self._seconds:g} seconds"
            raise network_failure(NetworkError(text), False)
        try:
            _, protocol = job.result()
        except (OSError, UnicodeError) as exc:  # errors of TLS are OSErrors
            raise self._failure(exc) from exc
        return protocol

    async def _connect(self, make: Callable[[], ConnectionT]) -> tuple[Any, ConnectionT]:
        loop = asyncio.get_running_loop()
        context = await self._tls_context()
        sock = await self._race(await self._resolve())
        try:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            return await loop.create_connection(
                make,
                sock=sock,
                ssl=context,
                server_hostname=self._host if context is not None else None,
            )
        except BaseException:
            sock.close()
            raise

    async def _tls_context(self) -> ssl.SSLContext | None:
        if not self._tls:
            return None
        # In a thread: reading the system's authorities takes 20 to 40 ms.
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(None, tls_context, self._verify)

    async def _resolve(self) -> list[Address]:
        if address := _literal(self._host, self._port):
            return [address]
        loop = asyncio.get_running_loop()
        found = await loop.getaddrinfo(self._host, self._port, type=socket.SOCK_STREAM)
        first = [(family, address) for family, _, _, _, address in found if family == found[0][0]]
        others = [(family, address) for family, _, _, _, address in found if family != found[0][0]]
        turns: list[Address] = []
        for at in range(max(len(first), len(others))):
            turns += first[at : at + 1] + others[at : at + 1]
        return turns

    async def _race(self, addresses: list[Address]) -> socket.socket:
        """Try the addresses in their order, each with a head start; the first one wins."""
        if len(addresses) == 1:
            return await _open(*addresses[0])
        waiting = list(addresses)
        running: set[asyncio.Task[socket.socket]] = set()
        error: BaseException = OSError("it has no address")
        try:
            while waiting or running:
                if waiting:
                    running.add(asyncio.ensure_future(_open(*waiting.pop(0))))
                head_start = STAGGER_SECONDS if waiting else None
                done, running = await asyncio.wait(
                    running, timeout=head_start, return_when=asyncio.FIRST_COMPLETED
                )
                won = [job for job in done if job.exception() is None]
                for job in won[1:]:
                    job.result().close()
                if won:
                    return won[0].result()
                for job in done:
                    error = job.exception() or error
            raise error
        finally:
            for job in running:
                _discard(job)

    def _failure(self, error: BaseException) -> Failure:
        detail = getattr(error, "verify_message", "") or getattr(error, "strerror", "") or error
        if isinstance(error, ConnectionError) and error.errno:
            detail = os.strerror(error.errno)  # asyncio's text has the address, but no reason
        return network_failure(NetworkError(f"no connection to {self._name}: {detail}"), False)


@lru_cache(maxsize=16)
def tls_context(verify: bool | str) -> ssl.SSLContext:
    """How connections are encrypted; see ``Connector`` for ``verify``.

    Raises ``OSError`` when the file can't be read or has no certificates.
    """
    if isinstance(verify, str):
        directory = verify if os.path.isdir(verify) else None
        context = ssl.create_default_context(cafile=None if directory else verify, capath=directory)
    else:
        context = ssl.create_default_context()
        if not verify:
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
    context.set_alpn_protocols(["http/1.1"])
    return context


def _literal(host: str, port: int) -> Address | None:
    """The address itself, if the host is one."""
    for family, address in ((socket.AF_INET, (host, port)), (socket.AF_INET6, (host, port, 0, 0))):
        try:
            socket.inet_pton(family, host)
        except (OSError, ValueError):
            continue
        return family, address
    return None


async def _open(family: int, address: Any) -> socket.socket:
    sock = socket.socket(family, socket.SOCK_STREAM)
    try:
        sock.setblocking(False)
        await asyncio.get_running_loop().sock_connect(sock, address)
    except BaseException:
        sock.close()
        raise
    return sock


def _discard(job: asyncio.Task[Any]) -> None:
    """Cancel it, and close what it made nevertheless."""
    job.add_done_callback(_close_made)
    job.cancel()


def _close_made(job: asyncio.Task[Any]) -> None:
    if job.cancelled() or job.exception() is not None:
        return
    made = job.result()
    if isinstance(made, tuple):
        made[0].abort()
    else:
        made.close()
