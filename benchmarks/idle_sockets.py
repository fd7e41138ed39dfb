"""What idle websockets cost one worker: `python -m benchmarks.idle_sockets [COUNT]`.

Opens COUNT sockets (10,000), with and without an offer of compression, and prints the memory that
the worker takes for each and the time for all while nothing is said, and the memory when each has
exchanged a message of 100 bytes. `ulimit -Hn` must allow some more than COUNT on both sides.
"""

from __future__ import annotations

import resource
import selectors
import socket
import subprocess
import sys
import time

import psutil

SPARE = 200  # sockets that are opened before anything is measured; descriptors of everything else
SECONDS = 10.0  # to look at the worker while nothing is said
DEFLATE = "Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits\r\n"
HANDSHAKE = (
    "GET /idle HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
    "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
    "User-Agent: Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36\r\n{extension}\r\n"
)
MESSAGE = b"\x81\xe4\0\0\0\0" + b"x" * 100  # masked with zeros


class Service:
    """The service in a process of its own."""

    def __init__(self) -> None:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        command = [sys.executable, "-m", "benchmarks.apps.idle_sockets", "--port", str(self.port)]
        self.process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
        deadline = time.monotonic() + 20
        while True:
            try:
                socket.create_connection(("127.0.0.1", self.port)).close()
                break
            except OSError:
                if time.monotonic() > deadline:
                    sys.exit("the service did not start")
                time.sleep(0.05)
        (self.worker,) = psutil.Process(self.process.pid).children(recursive=True) or [None]

    def memory(self) -> int:
        """Bytes of memory that the worker has for itself."""
        return int(self.worker.memory_full_info().uss)

    def seconds(self) -> float:
        """CPU time of the worker."""
        times = self.worker.cpu_times()
        return float(times.user + times.system)

    def stop(self) -> None:
        """End it."""
        self.process.terminate()
        self.process.wait(60)


def open_sockets(port: int, count: int, extension: str) -> list[socket.socket]:
    """Open that many websockets, in batches that the listener can hold."""
    request = HANDSHAKE.format(extension=extension).encode()
    opened: list[socket.socket] = []
    for start in range(0, count, 500):
        batch = [
            socket.create_connection(("127.0.0.1", port)) for _ in range(min(500, count - start))
        ]
        for sock in batch:
            sock.sendall(request)
        for sock in batch:
            if not sock.recv(4096).startswith(b"HTTP/1.1 101"):
                sys.exit("a websocket was refused")
        opened += batch
    return opened


def talk(opened: list[socket.socket]) -> None:
    """Exchange a message on every socket."""
    for sock in opened:
        sock.sendall(MESSAGE)
    for sock in opened:
        if not sock.recv(4096):
            sys.exit("a websocket was closed")


def answer_pings(opened: list[socket.socket], seconds: float) -> None:
    """Be a client that lives: answer what the server asks, say nothing else."""
    selector = selectors.DefaultSelector()
    for sock in opened:
        selector.register(sock, selectors.EVENT_READ)
    deadline = time.monotonic() + seconds
    while (left := deadline - time.monotonic()) > 0:
        for key, _ in selector.select(left):
            if key.fileobj.recv(4096) == b"\x89\x00":  # type: ignore[union-attr]  # a socket
                key.fileobj.sendall(b"\x8a\x80\0\0\0\0")  # type: ignore[union-attr]  # a socket
    selector.close()


def measure(count: int, extension: str) -> None:
    """Measure a fresh service and print a line."""
    service = Service()
    try:
        opened = open_sockets(service.port, SPARE, extension)
        talk(opened)
        before = service.memory()
        began = time.perf_counter()
        opened += open_sockets(service.port, count, extension)
        took = time.perf_counter() - began
        idle = service.memory()
        used = service.seconds()
        answer_pings(opened, SECONDS)
        used = service.seconds() - used
        talk(opened)
        spoken = service.memory()
        print(
            f"{count} websockets{' with compression' if extension else ''}: "
            f"{(idle - before) / count:.0f} bytes each, "
            f"{(spoken - before) / count:.0f} after a message; opened in {took:.1f} s; "
            f"idle they take {used / SECONDS * 100:.1f} % of a core",
            flush=True,
        )
        for sock in opened:
            sock.close()
    finally:
        service.stop()


if __name__ == "__main__":
    wanted = int(sys.argv[1]) if len(sys.argv) > 1 else 10_000
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    if hard != resource.RLIM_INFINITY and hard < wanted + 2 * SPARE:
        sys.exit(f"the limit of open files is {hard}: raise it, or ask for fewer websockets")
    resource.setrlimit(resource.RLIMIT_NOFILE, (wanted + 2 * SPARE, hard))
    measure(wanted, "")
    measure(wanted, DEFLATE)
