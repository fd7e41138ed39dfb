"""Binding and adopting listening sockets."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from skitai.config import Settings
from skitai.errors import ConfigError
from skitai.net import openings
from skitai.net.listeners import adopt_listeners, bind_listeners, listener_url

if TYPE_CHECKING:
    from collections.abc import Callable


def has_ipv6() -> bool:
    with socket.socket(socket.AF_INET6) as probe:
        try:
            probe.bind(("::1", 0))
        except OSError:
            return False
    return True


needs_ipv6 = pytest.mark.skipif(not has_ipv6(), reason="this machine has no IPv6")


def connect(address: str, port: int) -> None:
    socket.create_connection((address, port), timeout=5).close()


def test_port_0_lets_the_kernel_choose_and_the_url_has_the_real_port() -> None:
    [listener] = bind_listeners("127.0.0.1", 0)
    with listener:
        port = listener.getsockname()[1]
        assert port > 0
        assert listener_url(listener) == f"http://127.0.0.1:{port}"


def test_connecting_is_refused_until_somebody_listens() -> None:
    [listener] = bind_listeners("127.0.0.1", 0)
    with listener:
        port = listener.getsockname()[1]
        with pytest.raises(ConnectionRefusedError):
            connect("127.0.0.1", port)
        listener.listen()
        connect("127.0.0.1", port)


def test_a_name_is_resolved() -> None:
    [listener] = bind_listeners("localhost", 0)
    with listener:
        assert listener.getsockname()[0] == "127.0.0.1"


def test_listeners_do_not_block_and_are_not_inherited() -> None:
    [listener] = bind_listeners("127.0.0.1", 0)
    with listener:
        assert not listener.getblocking()
        assert not listener.get_inheritable()


@needs_ipv6
def test_an_address_with_a_colon_is_ipv6() -> None:
    [listener] = bind_listeners("::1", 0)
    with listener:
        listener.listen()
        connect("::1", listener.getsockname()[1])
        assert listener_url(listener) == f"http://[::1]:{listener.getsockname()[1]}"


@needs_ipv6
def test_two_colons_serve_both_families() -> None:
    [listener] = bind_listeners("::", 0)
    with listener:
        listener.listen()
        connect("127.0.0.1", listener.getsockname()[1])
        connect("::1", listener.getsockname()[1])


def test_a_port_is_free_again_at_once_after_its_service_has_ended() -> None:
    [first] = bind_listeners("127.0.0.1", 0)
    port = first.getsockname()[1]
    first.listen()
    with socket.create_connection(("127.0.0.1", port), timeout=5):
        first.setblocking(True)
        first.accept()[0].close()  # the server closes first: the kernel keeps the port in TIME_WAIT
        first.close()
    [second] = bind_listeners("127.0.0.1", port)
    second.close()


def test_a_port_in_use_is_named_with_the_fix() -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        with pytest.raises(
            ConfigError, match=f"^port {port} is in use by another program: .*--port"
        ):
            bind_listeners("127.0.0.1", port)


@pytest.mark.parametrize("address", ["999.1.1.1", "no such host", "", "::zz", "a" * 300, "\udcff"])
def test_a_bad_address_is_named_with_the_fix(address: str) -> None:
    with pytest.raises(
        ConfigError, match=r"^address .* is neither an IP address .*: set address to"
    ):
        bind_listeners(address, 0)


def test_an_address_of_another_machine_is_named_with_the_fix() -> None:
    with pytest.raises(
        ConfigError, match=r"^address '192\.0\.2\.1' doesn't belong to this machine"
    ):
        bind_listeners("192.0.2.1", 0)


@pytest.mark.parametrize("port", [-1, 65536])
def test_a_number_that_is_no_port_is_named_with_the_fix(port: int) -> None:
    with pytest.raises(ConfigError, match=f"^port {port} is not a port: choose"):
        bind_listeners("127.0.0.1", port)


def test_a_privileged_port_is_named_with_the_fix() -> None:
    program = (
        "import encodings.idna, os\n"  # all that is needed, while root may still read it
        "from skitai.errors import ConfigError\n"
        "from skitai.net.listeners import bind_listeners\n"
        "if os.getuid() == 0: os.setuid(65534)\n"
        "try: print('bound', bind_listeners('127.0.0.1', 1))\n"
        "except ConfigError as exc: print(exc)\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    if done.stdout.startswith("bound"):
        pytest.skip("this machine lets everybody bind low ports")
    assert not done.stderr
    assert done.stdout.startswith("port 1 needs privileges that this user doesn't have: choose")


def test_an_adopted_listener_is_the_same_socket_under_its_number() -> None:
    [listener] = bind_listeners("127.0.0.1", 0)
    port = listener.getsockname()[1]
    program = (
        "import sys\n"
        "from skitai.net.listeners import adopt_listeners\n"
        "[listener] = adopt_listeners([int(sys.argv[1])])\n"
        "listener.listen()\n"
        "print(listener.getsockname()[1], listener.getblocking(), listener.get_inheritable())\n"
    )
    with listener:
        done = subprocess.run(
            [sys.executable, "-c", program, str(listener.fileno())],
            pass_fds=[listener.fileno()], capture_output=True, text=True, check=True,
        )  # fmt: skip
        assert done.stdout.split() == [str(port), "False", "False"]
        connect("127.0.0.1", port)  # the child has listened on the shared socket


def closed_descriptor() -> int:
    reader, writer = os.pipe()
    os.close(reader)
    os.close(writer)
    return reader


def datagram_socket() -> int:
    return socket.socket(socket.AF_INET, socket.SOCK_DGRAM).detach()


def plain_file() -> int:
    return os.open(os.devnull, os.O_RDONLY)


@pytest.mark.parametrize("make", [closed_descriptor, datagram_socket, plain_file])
def test_adopting_something_else_is_refused_and_closes_what_was_adopted(
    make: Callable[[], int],
) -> None:
    good = bind_listeners("127.0.0.1", 0)[0].detach()
    bad = make()
    with pytest.raises(ConfigError, match=f"^inherited listener {bad} can't be used"):
        adopt_listeners([good, bad])
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(good)


def test_systemd_may_pass_one_socket_that_redirects(monkeypatch: pytest.MonkeyPatch) -> None:
    # Nobody would answer on a second one.
    first = 900
    monkeypatch.setattr(openings, "_FIRST", first)
    for number in range(3):
        [listener] = bind_listeners("127.0.0.1", 0)
        listener.listen()
        os.dup2(listener.fileno(), first + number)
        listener.close()
    environ = {
        "LISTEN_PID": str(os.getpid()),
        "LISTEN_FDS": "3",
        "LISTEN_FDNAMES": "main:forward:forward",
    }
    with pytest.raises(ConfigError, match="2 sockets named 'forward'"):
        openings.open_listeners(Settings(fws_port=80), environ)
    for number in range(3):
        with pytest.raises(OSError, match="descriptor"):
            os.fstat(first + number)
