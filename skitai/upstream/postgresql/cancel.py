"""Telling a server to break off a statement, without blocking the loop.

libpq's PQcancel opens a connection and waits; psycopg2 calls it without letting other threads run.
It is called here directly, in a thread (PostgreSQL documentation, libpq, "Canceling Queries in
Progress").
"""

from __future__ import annotations

import asyncio
import ctypes
import threading
from functools import lru_cache
from typing import TYPE_CHECKING

import psycopg2

if TYPE_CHECKING:
    from psycopg2.extensions import connection

# A server that does not answer keeps a thread.
MAX_THREADS = 8


@lru_cache(maxsize=1)
def _libpq() -> ctypes.CDLL:
    """The functions of the very library that psycopg2 uses: its symbols include that one's."""
    library = ctypes.CDLL(psycopg2._psycopg.__file__)
    library.PQgetCancel.argtypes = [ctypes.c_void_p]
    library.PQgetCancel.restype = ctypes.c_void_p
    library.PQcancel.argtypes = [ctypes.c_void_p, ctypes.c_char_p, ctypes.c_int]
    library.PQcancel.restype = ctypes.c_int
    library.PQfreeCancel.argtypes = [ctypes.c_void_p]
    library.PQfreeCancel.restype = None
    return library


class Canceller:
    """Sends such requests, a few at a time; made and used on the loop, one for each server."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._free = asyncio.Semaphore(MAX_THREADS)

    async def cancel(self, raw: connection) -> bool:
        """Ask the server to break off what it runs for ``raw``; whether it has got the request.

        When this returns True, the statement has ended or is about to, and a later one is not
        harmed.
        """
        try:
            library = _libpq()
        except (OSError, AttributeError):
            return False  # a build of psycopg2 that hides its library
        await self._free.acquire()
        pointer = None if raw.closed else library.PQgetCancel(raw.pgconn_ptr)
        if not pointer:
            self._free.release()
            return False
        answer: asyncio.Future[bool] = self._loop.create_future()
        # A daemon: the process does not wait at its end for a server that is silent.
        threading.Thread(
            target=self._ask, args=(library, pointer, answer), name="postgresql-cancel", daemon=True
        ).start()
        return await answer

    def _ask(self, library: ctypes.CDLL, pointer: int, answer: asyncio.Future[bool]) -> None:
        """In the thread: send the request and wait until the server has closed that connection."""
        reason = ctypes.create_string_buffer(256)
        arrived = bool(library.PQcancel(pointer, reason, len(reason)))
        library.PQfreeCancel(pointer)
        try:
            self._loop.call_soon_threadsafe(self._settle, answer, arrived)
        except RuntimeError:
            if not self._loop.is_closed():
                raise

    def _settle(self, answer: asyncio.Future[bool], arrived: bool) -> None:
        self._free.release()
        if not answer.done():
            answer.set_result(arrived)
