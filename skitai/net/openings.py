"""Where a service is open: its sockets, bound by the master or handed over by systemd."""

from __future__ import annotations

import os
import socket
from importlib.util import find_spec
from typing import TYPE_CHECKING

from skitai.config import UNIX_PREFIX
from skitai.errors import ConfigError
from skitai.net.listeners import adopt_listeners, bind_listeners, listener_url
from skitai.net.unix_sockets import UnixListener

if TYPE_CHECKING:
    from collections.abc import MutableMapping

    from skitai.config import Settings
    from skitai.net.udp import UdpPort

FORWARD = "forward"
"""Name of the socket that redirects, as systemd has it (``FileDescriptorName=``)."""

_FIRST = 3  # descriptor, see sd_listen_fds(3)


def open_listeners(
    settings: Settings, environ: MutableMapping[str, str] = os.environ
) -> list[socket.socket]:
    """The sockets of a service; with ``Settings.fws_port`` the last one redirects to https.

    Parameters:
        settings: ``address``, ``port``, ``socket_mode``, and those that begin with ``fws_``.
        environ: where systemd says what it has handed over; that is removed.

    Raises ``ConfigError`` when one of them can't be had.
    """
    passed = take_passed(environ)
    main = [listener for name, listener in passed if name != FORWARD]
    forward = [listener for name, listener in passed if name == FORWARD]
    try:
        if forward and not settings.fws_port:
            raise ConfigError(
                f"systemd passes a socket named {FORWARD!r}, but nothing is redirected: "
                "call skitai.enable_forward()"
            )
        if len(forward) > 1:
            raise ConfigError(
                f"systemd passes {len(forward)} sockets named {FORWARD!r}: give their unit a "
                "single ListenStream, such as [::]:80 for IPv4 and IPv6"
            )
        main = main or _open(settings.address, settings.port, settings.socket_mode)
        if settings.fws_port:
            forward = forward or _open(
                settings.fws_address, settings.fws_port, settings.socket_mode
            )
    except ConfigError:
        for listener in (*main, *forward):
            listener.close()
        raise
    return [*main, *forward]


def open_udp(settings: Settings) -> UdpPort | None:
    """The port of the setting ``quic``; None when it is 0.

    Raises ``ConfigError`` when it can't be bound, and as ``check_udp`` does.
    """
    port = settings.quic
    if not port:
        return None
    check_udp(settings)
    from skitai.net.udp import UdpPort

    return UdpPort(settings.address, port, settings.workers)


def check_udp(settings: Settings) -> None:
    """Raise ``ConfigError`` when something is missing for HTTP/3 or can't be had with it."""
    port = settings.quic
    if find_spec("aioquic") is None:
        raise ConfigError(f"quic={port} needs aioquic: pip install 'skitai[http3]', or give quic=0")
    if not settings.certfile:
        raise ConfigError(
            f"quic={port} needs a certificate: call skitai.enable_ssl('server.pem'), or give quic=0"
        )
    if settings.client_ca:
        # Over QUIC nobody would be asked for a certificate.
        raise ConfigError(
            f"quic={port} can't be had with client_ca={settings.client_ca!r}: give quic=0"
        )
    if settings.address.startswith(UNIX_PREFIX):
        raise ConfigError(
            f"quic={port} can't be had with address={settings.address!r}: give an IP address, "
            "or quic=0"
        )


def split_listeners(
    listeners: list[socket.socket], settings: Settings
) -> tuple[list[socket.socket], list[socket.socket]]:
    """Those that serve, and those that redirect."""
    count = len(listeners) - bool(settings.fws_port)
    return listeners[:count], listeners[count:]


def listener_urls(listeners: list[socket.socket], settings: Settings) -> list[str]:
    """Where a service is reached."""
    main, forward = split_listeners(listeners, settings)
    scheme = "https" if settings.certfile else "http"
    return [
        *(listener_url(listener, scheme) for listener in main),
        *(listener_url(listener) for listener in forward),
    ]


def take_passed(environ: MutableMapping[str, str]) -> list[tuple[str, socket.socket]]:
    """Name and socket of all that systemd has handed to this process (sd_listen_fds(3)).

    Raises ``ConfigError`` for something else than a listening stream socket.
    """
    texts = [environ.pop(f"LISTEN_{name}", "") for name in ("PID", "FDS", "FDNAMES")]
    if texts[0] != str(os.getpid()) or not texts[1].isdecimal():
        return []
    count = int(texts[1])
    names = texts[2].split(":")
    passed = [
        (names[position] if position < len(names) else "", listener)
        for position, listener in enumerate(adopt_listeners(range(_FIRST, _FIRST + count)))
    ]
    for name, listener in passed:
        if not listener.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN):
            raise ConfigError(
                f"systemd passes a connection ({name!r}), not a listening socket: "
                "set Accept=no in the socket unit"
            )
    return passed


def _open(address: str, port: int, mode: int) -> list[socket.socket]:
    if address.startswith(UNIX_PREFIX):
        return [UnixListener(address[len(UNIX_PREFIX) :], mode)]
    return bind_listeners(address, port)
