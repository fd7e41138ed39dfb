"""A service with a toy worker, for the scripts that test_supervisor.py writes and starts.

A client sends one line: ``who`` is answered with facts about the worker, ``wait`` first with the
worker's process id alone, and with the facts when a second line follows. At ``leave`` a worker
that is ``tired`` asks for a replacement before it answers.
"""

from __future__ import annotations

import json
import logging
import os
import selectors
import signal
import socket
import sys
from typing import TYPE_CHECKING, Any

from skitai.config import Settings
from skitai.net.listeners import bind_listeners
from skitai.supervisor import children, master
from skitai.supervisor.seats import MAX_REQUESTS, WorkerSeat, occupy, seat_from_environment

if TYPE_CHECKING:
    from collections.abc import Callable


class ToyWorker:
    def __init__(self, seat: WorkerSeat, code: str) -> None:
        self.seat = seat
        self.code = code
        self.usr1 = 0
        self.draining = False
        self.selector = selectors.DefaultSelector()
        self.wake_reader, self.wake_writer = socket.socketpair()
        self.wake_writer.setblocking(False)
        signal.set_wakeup_fd(self.wake_writer.fileno())
        signal.signal(signal.SIGTERM, lambda *_: None)
        signal.signal(signal.SIGUSR1, lambda *_: None)

    def serve(self, *, stubborn: bool, tired: bool) -> int:
        self.selector.register(self.seat.alive_fd, selectors.EVENT_READ, "alive")
        self.selector.register(self.wake_reader, selectors.EVENT_READ, "signal")
        for listener in self.seat.sockets:
            listener.listen(64)
            self.selector.register(listener, selectors.EVENT_READ, "accept")
        self.seat.report_ready()
        if not tired:
            os.close(self.seat.report_fd)  # a worker may: it has nothing more to tell
        while not self.draining or stubborn or self.connections():
            for key, _ in self.selector.select():
                if key.data == "alive":
                    return 1
                self.act(key)
        return 0

    def connections(self) -> bool:
        return any(key.data == "client" for key in self.selector.get_map().values())

    def act(self, key: selectors.SelectorKey) -> None:
        source: Any = key.fileobj
        if key.data == "signal":
            for signum in source.recv(64):
                self.handle_signal(signum)
        elif key.data == "accept":
            try:
                connection, _ = source.accept()
            except OSError:  # another worker was faster, or this one has just closed its listener
                return
            self.selector.register(connection, selectors.EVENT_READ, "client")
        else:
            self.answer(source)

    def handle_signal(self, signum: int) -> None:
        if signum == signal.SIGUSR1:
            self.usr1 += 1
        elif signum == signal.SIGTERM and not self.draining:
            self.draining = True
            for listener in self.seat.sockets:
                self.selector.unregister(listener)
                listener.close()

    def answer(self, connection: socket.socket) -> None:
        try:
            line = connection.recv(64)
        except ConnectionResetError:
            line = b""
        if line == b"wait\n":
            connection.sendall(b"%d\n" % os.getpid())
            return
        if line == b"leave\n":
            self.seat.report_leaving(MAX_REQUESTS, "is tired")
        if line:
            self.send_facts(connection)
        self.selector.unregister(connection)
        connection.close()

    def send_facts(self, connection: socket.socket) -> None:
        facts = {
            "pid": os.getpid(),
            "ppid": os.getppid(),
            "slot": self.seat.slot,
            "code": self.code,
            "usr1": self.usr1,
            "notify": os.environ.get("NOTIFY_SOCKET"),
            "environ": {key: value for key, value in os.environ.items() if "SKITAI" in key},
            "descriptors": len(os.listdir("/proc/self/fd")),
        }
        connection.sendall(json.dumps(facts).encode() + b"\n")


def refuse(seat: WorkerSeat, reason: str) -> None:
    """A start hook for workers that can't start."""
    seat.report_failed(reason)
    sys.exit(children.START_FAILED)


def run(
    code: str,
    *,
    port: int = 0,
    start: Callable[[WorkerSeat], None] = lambda seat: None,
    command: list[str] | None = sys.orig_argv,
    stubborn: bool = False,
    tired: bool = False,
    watch: str = "",
    quick: bool = False,
    steady_after: float = children.STEADY_AFTER,
    **settings: Any,
) -> None:
    """Run the service, or become one of its workers.

    Parameters:
        start: called in each worker before it serves.
        command: starts the script again for a reload; `None`: it can't be.
        stubborn: workers don't end when they are asked to.
        tired: workers may want to leave.
        watch: a directory whose changes cause a reload.
        quick: no waiting between replacements, and little before killing.
        steady_after: seconds of service after which a worker has a clean record.
    """
    options = Settings.load({"address": "127.0.0.1", "drain_timeout": 10, **settings}, {})

    def serve_worker(seat: WorkerSeat) -> int:
        worker = ToyWorker(seat, code)
        start(seat)
        return worker.serve(stubborn=stubborn, tired=tired)

    seat = seat_from_environment()
    if seat is not None:
        occupy(seat, serve_worker, options.name)
    children.STEADY_AFTER = steady_after
    if quick:
        children.LONGEST_BACKOFF = 0.01
        master.STOP_MARGIN = 0.1
    logging.basicConfig(level=logging.DEBUG, format="%(levelname)s %(message)s")
    supervisor = master.Supervisor(
        options,
        bind_listeners(options.address, port),
        serve_worker,
        exec_argv=command,
        watch_paths=(lambda: [watch]) if watch else None,
        log=logging.getLogger("toy"),
    )
    sys.exit(supervisor.run())
