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

# A server that does not answer keeps a thread. When all are taken, the next one looks again after a
# pause, until its caller has waited long enough.
MAX_THREADS = 8
PAUSE_SECONDS = 0.01

_threads = threading.BoundedSemaphore(MAX_THREADS)


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


async def cancel_statement(raw: connection) -> bool:
    """Ask the server to break off what it runs for ``raw``; whether it has got the request.

    When this returns True, the statement has ended or is about to, and a later one is not harmed.
    """
    try:
        library = _libpq()
    except (OSError, AttributeError):
        return False  # a build of psycopg2 that hides its library
    while not _threads.acquire(blocking=False):
        await asyncio.sleep(PAUSE_SECONDS)
    pointer = None if raw.closed else library.PQgetCancel(raw.pgconn_ptr)
    if not pointer:
        _threads.release()
        return False
    loop = asyncio.get_running_loop()
    answer: asyncio.Future[bool] = loop.create_future()

    def settle(arrived: bool) -> None:
        if not answer.done():
            answer.set_result(arrived)

    def ask() -> None:
        try:
            reason = ctypes.create_string_buffer(256)
            arrived = bool(library.PQcancel(pointer, reason, len(reason)))
        finally:
            library.PQfreeCancel(pointer)
            _threads.release()
        try:
            loop.call_soon_threadsafe(settle, arrived)
        except RuntimeError:
            if not loop.is_closed():
                raise

    # A daemon: the process does not wait at its end for a server that is silent.
    threading.Thread(target=ask, name="postgresql-cancel", daemon=True).start()
    return await answer
