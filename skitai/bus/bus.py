"""``Bus``: messages between the workers of a service; the worker makes one, apps get it as
``peers.bus``.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import threading
from typing import TYPE_CHECKING

from skitai.bus.link import MAX_BACKLOG, Link, frame
from skitai.bus.meeting import LAST_PLACE, Family, peer_of

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable

log = logging.getLogger("skitai")

MAX_MESSAGE = 16 * 1024 * 1024  # bytes
MAX_CHANNEL = 255  # bytes of a channel's name
MEET_SECONDS = 1.0
CLOSE_SECONDS = 0.5
RETRY_SECONDS = 0.05  # until a worker is asked again that many others want to meet


class Bus:
    """Messages to other workers of the service, those of older and newer code too.

    Messages from one worker to another arrive in the order in which they were sent, and once. They
    are lost when the other one ends, or is so far behind that its backlog is full
    (`skitai.bus.link.MAX_BACKLOG`). Nothing waits for a receiver.

    Parameters:
        loop: receivers are called there.
        family: who belongs to the service; default: the children of this process' parent.

    Attributes:
        worker: the process id, by which other workers reach this one.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, family: Family | None = None) -> None:
        self.worker = os.getpid()
        self._loop = loop
        self._family = family or Family.of_parent()
        self._listener: socket.socket | None = None
        # One link to each worker is written to. When two have met each other at the same time there
        # is a second one, which is only read.
        self._links: dict[int, Link] = {}
        self._read: set[Link] = set()
        self._receivers: dict[str, list[Callable[[bytes], object]]] = {}
        self._lock = threading.Lock()  # guards what is held until the others are known
        self._held: list[tuple[int | None, list[bytes]]] | None = []
        self._held_size = 0
        self._closed = False

    # -- for apps (any thread)

    def send(self, worker: int, channel: str, data: bytes) -> None:
        """Send a message to one worker, which may be this one.

        Parameters:
            worker: its ``Bus.worker``; a message to one that is gone is dropped.
            channel: whoever has subscribed to it there gets the message; 1 to 255 bytes.
            data: up to 16 MiB.

        Raises ``ValueError`` for a message or a name that is too long.
        """
        message = _message(channel, data)
        if worker == self.worker:
            self._deliver_here(channel, bytes(data))
        elif not self._hold(worker, message):
            self._send(worker, message)

    def publish(self, channel: str, data: bytes) -> None:
        """Send a message to all other workers; parameters and errors: see ``send``."""
        message = _message(channel, data)
        if not self._hold(None, message):
            self._send(None, message)

    def subscribe(self, channel: str, receive: Callable[[bytes], object]) -> None:
        """Call ``receive(data)``, on the loop, for each message that comes for a channel.

        It must not block. Several may subscribe to a channel.
        """
        self._receivers.setdefault(channel, []).append(receive)

    def workers(self) -> list[int]:
        """The process ids of the other workers that can be reached now."""
        return list(self._links)

    # -- for the worker (on the loop)

    async def open(self) -> None:
        """Meet the other workers, so that each of them knows this one when it returns.

        What was sent before goes out now. One that does not react in time is not waited for. A
        system that refuses is logged: then this worker stays alone.
        """
        try:
            self._listener, place = self._family.listen()
        except OSError as exc:
            log.error("workers can't send each other messages: %s", exc)
        else:
            self._listen()
            for other in range(LAST_PLACE + 1):
                if other != place:
                    self._meet(other)
            await self._greeted()
        with self._lock:  # what is sent meanwhile comes behind
            for worker, message in self._held or ():
                self._send(worker, message)
            self._held = None

    async def _greeted(self) -> None:
        """Wait until the workers that were found have seen this one."""
        waiting = [link.greeted for link in self._read if not link.greeted.done()]
        if waiting:
            await asyncio.wait(waiting, timeout=MEET_SECONDS)

    async def close(self) -> None:
        """Send what waits, for a moment, and leave."""
        if self._closed:
            return
        self._closed = True
        if self._listener is not None:
            self._loop.remove_reader(self._listener)
            self._listener.close()
        waiting = [link.drained() for link in self._links.values()]
        if waiting:
            await asyncio.wait(waiting, timeout=CLOSE_SECONDS)
        for link in self._read:
            link.close()
        self._links.clear()

    # -- meeting

    def _meet(self, place: int) -> None:
        """Connect to the worker at a place of the family, if one is there."""
        if self._closed:
            return
        try:
            connection = self._family.connect(place)
        except BlockingIOError:
            self._loop.call_later(RETRY_SECONDS, self._meet, place)
            return
        if connection is not None:
            self._add(connection)

    def _accept(self) -> None:
        assert self._listener is not None
        try:
            connection, _ = self._listener.accept()
        except BlockingIOError:
            return
        except OSError as exc:  # no descriptor is free: not again at once
            log.error("a worker can't be met: %s", exc)
            self._loop.remove_reader(self._listener)
            self._loop.call_later(MEET_SECONDS, self._listen)
            return
        connection.setblocking(False)
        if self._family.includes(connection):
            self._add(connection).greet()
        else:
            log.warning("process %d is no worker: not let on the bus", peer_of(connection)[0])
            connection.close()

    def _listen(self) -> None:
        if not self._closed:
            assert self._listener is not None
            self._loop.add_reader(self._listener, self._accept)

    def _add(self, connection: socket.socket) -> Link:
        worker = peer_of(connection)[0]
        link = Link(self._loop, connection, worker, self._deliver, self._lost)
        self._read.add(link)
        self._links.setdefault(worker, link)
        return link

    def _lost(self, link: Link) -> None:
        self._read.discard(link)
        if self._links.get(link.worker) is link:
            del self._links[link.worker]

    # -- messages

    def _send(self, worker: int | None, message: list[bytes]) -> None:
        """Send a message to one of the others, or to all."""
        links = list(self._links.values()) if worker is None else [self._links.get(worker)]
        for link in links:
            if link is not None:
                link.send(message)

    def _hold(self, worker: int | None, message: list[bytes]) -> bool:
        """Keep a message for later as long as the others are not known."""
        if self._held is None:
            return False
        with self._lock:
            if self._held is None:
                return False
            self._held_size += sum(map(len, message))
            if self._held_size <= MAX_BACKLOG:
                self._held.append((worker, message))
            else:
                log.warning("a message is lost: too many were sent before the start")
        return True

    def _deliver_here(self, channel: str, data: bytes) -> None:
        if not self._closed:
            with contextlib.suppress(RuntimeError):  # the loop was closed meanwhile
                self._loop.call_soon_threadsafe(self._deliver, channel, data)

    def _deliver(self, channel: str, data: bytes) -> None:
        for receive in self._receivers.get(channel, ()):
            _call(receive, channel, data)


def _call(receive: Callable[[bytes], object], channel: str, data: bytes) -> None:
    try:
        receive(data)
    except Exception:
        log.exception("a receiver of messages on %r failed", channel)


def _message(channel: str, data: bytes) -> list[bytes]:
    """What is sent for a message, checked."""
    name = channel.encode()
    if not 0 < len(name) <= MAX_CHANNEL:
        raise ValueError(f"a channel's name has 1 to {MAX_CHANNEL} bytes, not {len(name)}")
    if len(data) > MAX_MESSAGE:
        raise ValueError(f"a message has up to {MAX_MESSAGE} bytes, not {len(data)}: split it")
    return frame(name, data)
