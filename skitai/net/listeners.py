"""Binds the TCP sockets that a service listens on, and rebuilds them from inherited descriptors.

The master binds before it starts workers; each worker's event loop then calls ``listen`` on them.
"""

from __future__ import annotations

import errno
import os
import socket
from typing import TYPE_CHECKING, Any

from skitai.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Iterable

HIGHEST_PORT = 65535


def bind_listeners(address: str, port: int) -> list[socket.socket]:
    """Bind, but do not listen: until the first worker is ready, connecting is refused.

    Parameters:
        address: an IP address or a name of this machine; IPv6 when it has a colon. ``0.0.0.0`` is
            every IPv4 address, ``::`` every address of both families.
        port: 0 to 65535; with 0 the kernel chooses one, ``getsockname`` tells which.

    The sockets don't block and close on exec: a started program gets one only if it is passed by
    number (``subprocess`` with ``pass_fds``), so subprocesses of an app never hold the port.

    Raises ``ConfigError`` when the address is bad or not ours, the port is taken or privileged.
    """
    if not 0 <= port <= HIGHEST_PORT:
        raise ConfigError(f"port {port} is not a port: choose 1 to {HIGHEST_PORT} with --port")
    family, target = resolve_address(address, port)
    try:
        listener = socket.socket(family, socket.SOCK_STREAM)
    except OSError as exc:
        raise explain_binding(exc, address, port) from exc
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, int(address != "::"))
        listener.bind(target)
    except OSError as exc:
        listener.close()
        raise explain_binding(exc, address, port) from exc
    listener.setblocking(False)
    return [listener]


def adopt_listeners(descriptors: Iterable[int]) -> list[socket.socket]:
    """Rebuild the listening sockets that this process was started with.

    Family and type are read from the descriptors. Raises ``ConfigError`` when one of them is not
    a stream socket; the sockets adopted before it are closed.
    """
    adopted: list[socket.socket] = []
    for descriptor in descriptors:
        try:
            listener = socket.socket(fileno=descriptor)
        except OSError as exc:
            problem = os.strerror(exc.errno or errno.EBADF)
        else:
            listener.set_inheritable(False)
            listener.setblocking(False)
            adopted.append(listener)
            if listener.type == socket.SOCK_STREAM:
                continue
            problem = "not a stream socket"
        for earlier in adopted:
            earlier.close()
        raise ConfigError(
            f"inherited listener {descriptor} can't be used ({problem}): "
            "start the service without passing descriptors"
        )
    return adopted


def listener_url(listener: socket.socket, scheme: str = "http") -> str:
    """The URL under which a bound socket is reached, with its real port or its path."""
    if listener.family == socket.AF_UNIX:
        return f"{scheme}+unix:{listener.getsockname()}"
    host, port = listener.getsockname()[:2]
    return f"{scheme}://[{host}]:{port}" if ":" in host else f"{scheme}://{host}:{port}"


def resolve_address(address: str, port: int) -> tuple[socket.AddressFamily, tuple[Any, ...]]:
    """Family and socket address; raises ``ConfigError`` for what is no address."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    try:
        # An empty name would silently mean "any address"; that has to be asked for.
        found = socket.getaddrinfo(address, port, family, socket.SOCK_STREAM) if address else []
    except (socket.gaierror, UnicodeError):
        found = []
    if not found:
        raise ConfigError(
            f"address {address!r} is neither an IP address nor a known name: "
            "set address to one of this machine, such as 127.0.0.1, 0.0.0.0 (all IPv4) or :: (all)"
        )
    return found[0][0], found[0][4]


def explain_binding(exc: OSError, address: str, port: int, option: str = "--port") -> ConfigError:
    """Why a port can't be bound, and what to do; ``option`` is that of the port."""
    if exc.errno == errno.EADDRINUSE:
        text = f"port {port} is in use by another program: stop it or choose another with {option}"
    elif exc.errno in (errno.EACCES, errno.EPERM):
        text = (
            f"port {port} needs privileges that this user doesn't have: "
            f"choose one from 1024 up with {option} or start the service as root"
        )
    elif exc.errno == errno.EADDRNOTAVAIL:
        text = (
            f"address {address!r} doesn't belong to this machine: "
            "set address to one that does, or to 0.0.0.0 for all"
        )
    elif exc.errno == errno.EAFNOSUPPORT:
        text = (
            f"address {address!r} can't be used, this machine has no IPv6: set address to 0.0.0.0"
        )
    else:
        text = (
            f"address {address!r} with port {port} can't be bound ({exc.strerror}): choose another"
        )
    return ConfigError(text)
