"""The load generator: one run of wrk, pinned to its core, and the figures it reports.

Used by `benchmarks.suite`.
"""

from __future__ import annotations

import json
import resource
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from benchmarks.rows import Request

SCRIPT = Path(__file__).with_name("wrk.lua")


class LoadError(Exception):
    """wrk failed or reported nothing; the message is the reason shown in the report."""


@dataclass(frozen=True)
class Load:
    """One run: how much was answered in how many seconds, latency in milliseconds, what failed.

    `client_seconds` is the CPU time of wrk itself.
    """

    requests: int
    seconds: float
    p50: float
    p99: float
    faults: dict[str, int]
    client_seconds: float


def drive(port: int, request: Request, *, seconds: int, connections: int, core: int) -> Load:
    """Send `request` to 127.0.0.1 as fast as it answers; raises LoadError."""
    command = ["taskset", "-c", str(core), "wrk", "--threads", "1"]
    command += ["--connections", str(connections), "--duration", f"{seconds}s"]
    command += ["--script", str(SCRIPT), f"http://127.0.0.1:{port}{request.target}", "--"]
    command += [request.method, request.body]
    command += [word for header in request.headers.items() for word in header]
    before = _children_seconds()
    try:
        result = subprocess.run(command, capture_output=True, text=True, timeout=seconds + 30)
    except subprocess.TimeoutExpired:
        raise LoadError(f"wrk did not end within {seconds + 30} s") from None
    if result.returncode:
        raise LoadError(f"wrk: {(result.stderr or result.stdout).strip()[:200]}")
    return parse(result.stdout, _children_seconds() - before)


def parse(output: str, client_seconds: float) -> Load:
    """Read the summary that wrk.lua prints last; raises LoadError if it is not there."""
    last = output.strip().rpartition("\n")[2]
    try:
        figures = json.loads(last)
    except ValueError:
        raise LoadError(f"wrk printed no summary but {last[:200]!r}") from None
    if not figures["requests"]:
        raise LoadError("wrk got no answer at all")
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
