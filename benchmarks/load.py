"""The load generators: one run of wrk or another, pinned to its core, and the figures it reports.

Used by `benchmarks.suite`.
"""

from __future__ import annotations

import json
import resource
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.environment import ROOT
from benchmarks.rows import H2LOAD, SOCKETS, WRK

if TYPE_CHECKING:
    from benchmarks.rows import Request

H2_CONNECTIONS, H2_STREAMS = 4, 64
SCRIPT = Path(__file__).with_name("wrk.lua")


class LoadError(Exception):
    """wrk failed or reported nothing; the message is the reason shown in the report."""


@dataclass(frozen=True)
class Load:
    """One run: how much was answered in how many seconds, latency in milliseconds, what failed.

    `client_seconds` is the CPU time of the generator itself.
    """

    requests: int
    seconds: float
    p50: float
    p99: float
    faults: dict[str, int]
    client_seconds: float


def drive(
    port: int,
    request: Request,
    *,
    seconds: int,
    connections: int,
    core: int,
    generator: str = WRK,
    size: int = 0,
) -> Load:
    """Send `request` to 127.0.0.1 as fast as it answers; raises LoadError.

    `connections` are those of wrk, other generators have their own number of them; `size` is that
    of a websocket's messages in bytes.
    """
    if generator == H2LOAD:
        return _h2load(port, request, seconds, core)
    if generator == SOCKETS:
        words = ["-m", "benchmarks.sockets", str(port), request.target, str(size), str(seconds)]
        return parse(*_run([sys.executable, *words], seconds, core))
    scheme = "https" if request.secure else "http"
    command = ["wrk", "--threads", "1", "--connections", str(connections)]
    command += ["--duration", f"{seconds}s", "--script", str(SCRIPT)]
    command += [f"{scheme}://127.0.0.1:{port}{request.target}", "--", request.method, request.body]
    command += [word for header in request.headers.items() for word in header]
    return parse(*_run(command, seconds, core))


def _h2load(port: int, request: Request, seconds: int, core: int) -> Load:
    """HTTP/2 in clear text; latencies are read from a line for each request."""
    with tempfile.NamedTemporaryFile("r", prefix="h2load-") as lines:
        command = ["h2load", "--threads", "1", "--clients", str(H2_CONNECTIONS)]
        command += ["--max-concurrent-streams", str(H2_STREAMS), "--duration", str(seconds)]
        command += ["--log-file", lines.name, f"http://127.0.0.1:{port}{request.target}"]
        output, client_seconds = _run(command, seconds, core)
        # What was under way at the end has no status.
        entries = [words for words in map(str.split, lines) if int(words[1]) > 0]
    statuses = [int(entry[1]) for entry in entries]
    latencies = sorted(int(entry[2]) for entry in entries)
    if "status codes: 0 2xx" in output or not latencies:
        raise LoadError("h2load got no answer at all")
    wrong = sum(not 200 <= status < 300 for status in statuses)
    return Load(
        requests=len(latencies),
        seconds=seconds,
        p50=latencies[len(latencies) // 2] / 1e3,
        p99=latencies[len(latencies) * 99 // 100] / 1e3,
        faults={"status": wrong} if wrong else {},
        client_seconds=client_seconds,
    )


def _run(command: list[str], seconds: int, core: int) -> tuple[str, float]:
    """Return what a generator prints and its CPU time; raises LoadError."""
    name = command[0] if command[0] != sys.executable else command[2]
    before = _children_seconds()
    try:
        result = subprocess.run(
            ["taskset", "-c", str(core), *command],
            capture_output=True,
            text=True,
            timeout=seconds + 30,
            cwd=ROOT,
        )
    except subprocess.TimeoutExpired:
        raise LoadError(f"{name} did not end within {seconds + 30} s") from None
    if result.returncode:
        raise LoadError(f"{name}: {(result.stderr or result.stdout).strip()[-200:]}")
    return result.stdout, _children_seconds() - before


def parse(output: str, client_seconds: float) -> Load:
    """Read the summary that a generator prints last; raises LoadError if it is not there."""
    last = output.strip().rpartition("\n")[2]
    try:
        figures = json.loads(last)
    except ValueError:
        raise LoadError(f"the load generator printed no summary but {last[:200]!r}") from None
    if not figures["requests"]:
        raise LoadError("the load generator got no answer at all")
    kinds = ("refused", "broken", "status", "timeout")
    return Load(
        requests=figures["requests"],
        seconds=figures["microseconds"] / 1e6,
        p50=figures["p50"] / 1e3,
        p99=figures["p99"] / 1e3,
        faults={kind: figures[kind] for kind in kinds if figures[kind]},
        client_seconds=client_seconds,
    )


def _children_seconds() -> float:
    """Return the CPU time of this process' ended children; only wrk ends between two calls."""
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime
