"""What is no rate: seconds of many that wait at once, and memory that big bodies take.

Called by `benchmarks.command` after the rows; each figure is measured once, in a new process.
"""

from __future__ import annotations

import asyncio
import http.client
import tempfile
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.launcher import LaunchError
from benchmarks.rows import Request
from benchmarks.suite import launch

if TYPE_CHECKING:
    from collections.abc import Callable

    from benchmarks.contenders import Contender
    from benchmarks.environment import Cores
    from benchmarks.launcher import Server
    from benchmarks.plan import Plan
    from benchmarks.rows import Figure
    from benchmarks.services import Services

WAITING, STREAMED = 500, 1024**3
PATIENCE_SECONDS = 60.0


class FigureError(Exception):
    """The server did something else than the figure is about; the message says what."""


@dataclass(frozen=True)
class Reading:
    """A figure of a contender: seconds that passed, bytes of memory that were taken meanwhile.

    The remark says why there are none.
    """

    figure: Figure
    contender: Contender
    seconds: float | None = None
    memory: int | None = None
    remark: str = ""


def measure(
    plan: Plan, *, root: Path, cores: Cores, services: Services, say: Callable[[str], None]
) -> list[Reading]:
    """Take the plan's figures; `services` run already, `say` gets the progress."""
    readings = []
    with tempfile.TemporaryDirectory(prefix="benchmark-") as scratch:
        for contender, figure in plan.asked_figures():
            reading = Reading(figure, contender)
            try:
                if figure.service in services.failures:
                    raise LaunchError(services.failures[figure.service])
                with launch(
                    contender,
                    root=root,
                    core=cores.server,
                    services=services,
                    scratch=Path(scratch),
                ) as server:
                    seconds, memory = take(figure, server)
                reading = replace(reading, seconds=seconds, memory=memory)
            except (LaunchError, FigureError) as exc:
                reading = replace(reading, remark=f"not run: {exc}")
            readings.append(reading)
            say(f"figure     {contender.name:20} {_progress(reading)}")
    return readings


def take(figure: Figure, server: Server) -> tuple[float, int]:
    """Return the seconds and the bytes of memory; raises LaunchError and FigureError."""
    # One answer of any kind, so that what is made for the first request is there.
    server.wait(Request("/nothing"))
    before = server.resident()
    began = time.perf_counter()
    try:
        if figure.name.startswith("stream"):
            _read(server.port, figure.name)
        else:
            asyncio.run(_wait(server.port, figure.name))
    except (OSError, http.client.HTTPException) as exc:
        raise FigureError(f"no answer: {exc!r}") from exc
    except asyncio.TimeoutError:
        raise FigureError(f"no answer within {PATIENCE_SECONDS:g} s") from None
    return time.perf_counter() - began, server.peak() - before


def _read(port: int, name: str) -> None:
    """Read a big body as fast as it comes; raises FigureError, OSError and HTTPException."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE_SECONDS)
    buffer = bytearray(1024 * 1024)
    try:
        connection.request("GET", f"/{name}")
        response = connection.getresponse()
        total = 0
        while count := response.readinto(buffer):
            total += count
    finally:
        connection.close()
    if (response.status, total) != (200, STREAMED):
        raise FigureError(f"status {response.status} and {total:,} bytes")


async def _wait(port: int, name: str) -> None:
    """Ask many times at once; raises FigureError, OSError and TimeoutError."""
    asked = (_ask(port, name) for _ in range(WAITING))
    answers = await asyncio.wait_for(asyncio.gather(*asked), PATIENCE_SECONDS)
    wrong = [one for one in answers if not one.endswith(b"\r\n\r\nwaited")]
    if wrong:
        raise FigureError(f"{len(wrong)} wrong answers, such as {wrong[0][:80]!r}")


async def _ask(port: int, name: str) -> bytes:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        writer.write(f"GET /{name} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".encode())
        return await reader.read(-1)
    finally:
        writer.close()


def _progress(reading: Reading) -> str:
    if reading.remark:
        return f"{reading.figure.name} {reading.remark}"
    return f"{reading.figure.name} {reading.seconds:.2f} s"
