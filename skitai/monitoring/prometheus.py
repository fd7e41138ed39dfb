"""The figures of a service as Prometheus reads them (its text format, version 0.0.4)."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from skitai.monitoring.counters import (
    BLOCKED,
    BOUNDS,
    LATENCIES,
    METHODS,
    MICROSECONDS,
    RECEIVED,
    REQUESTS,
    SENT,
    STATUSES,
    STUCK,
)
from skitai.monitoring.jobs import families as job_families
from skitai.monitoring.sums import connections_of, upstreams_of

if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Any

    from skitai.monitoring.monitor import Monitor

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"

Sample = tuple[dict[str, str], float]


def render(monitor: Monitor) -> str:
    """All figures, summed over the workers; on the loop."""
    totals, workers = monitor.counters.totals(), monitor.workers()
    restarts = monitor.counters.restarts
    families = [
        _family("requests_total", "counter", "Requests that were answered.", _requests(totals)),
        _histogram(totals),
        _single("received_bytes_total", "counter", "Bytes of bodies.", totals[RECEIVED]),
        _single("sent_bytes_total", "counter", "Bytes of answers.", totals[SENT]),
        _sum("requests_running", "Requests that are being answered.", workers, "running"),
        _family(
            "connections", "gauge", "Open connections.",
            [({"protocol": name}, number) for name, number in connections_of(workers).items()],
        ),
        _sum("websockets", "Open websockets.", workers, "websockets"),
        _sum("pool_threads", "Threads for requests.", workers, "threads"),
        _sum("pool_threads_awake", "Threads that take requests now.", workers, "awake"),
        _sum("pool_waiting", "Requests that wait for a thread.", workers, "waiting"),
        *_upstreams(workers),
        *(_family(*family) for family in job_families(monitor.jobs())),
        _single("workers", "gauge", "Workers that run.", len(workers)),
        _family(
            "worker_memory_bytes", "gauge", "Memory of a worker.",
            [
                ({"worker": each["worker"], "pid": str(each["pid"])}, each["memory"])
                for each in workers
            ],
        ),
        _family(
            "worker_restarts_total", "counter", "Workers that were replaced.",
            [({"reason": reason}, number) for reason, number in restarts.items()],
        ),
        _single("reloads_total", "counter", "Reloads of the service.", monitor.counters.reloads),
        _single("stuck_functions_total", "counter", "Reports of stuck functions.", totals[STUCK]),
        _single("blocked_loops_total", "counter", "Reports of blocked loops.", totals[BLOCKED]),
        _single(
            "uptime_seconds", "gauge", "Since the service was started.",
            round(max(0.0, time.time() - monitor.counters.started), 3),
        ),
    ]  # fmt: skip
    return "".join(families)


def _requests(totals: list[int]) -> Iterable[Sample]:
    for row, method in enumerate(METHODS):
        for column, status in enumerate(STATUSES):
            number = totals[REQUESTS + row * len(STATUSES) + column]
            if number:
                yield {"method": method, "status": status}, number


def _histogram(totals: list[int]) -> str:
    name = "skitai_request_duration_seconds"
    lines = [f"# HELP {name} From the head of a request to the end of its answer."]
    lines.append(f"# TYPE {name} histogram")
    count = 0
    for at, bound in enumerate((*map(str, BOUNDS), "+Inf")):
        count += totals[LATENCIES + at]
        lines.append(f'{name}_bucket{{le="{bound}"}} {count}')
    lines += [f"{name}_sum {totals[MICROSECONDS] / 1e6}", f"{name}_count {count}"]
    return "\n".join(lines) + "\n"


def _upstreams(workers: list[dict[str, Any]]) -> Iterable[str]:
    members = upstreams_of(workers)
    for name, about, field in (
        ("upstream_up", "Whether all workers reach a member.", "up"),
        ("upstream_in_use", "Calls and sessions at a member.", "busy"),
        ("upstream_failures", "Failures of a member in a row, of all workers.", "failures"),
    ):
        samples = [
            ({"upstream": each["upstream"], "member": each["member"]}, each[field])
            for each in members
        ]
        yield _family(name, "gauge", about, samples)


def _sum(name: str, about: str, workers: list[dict[str, Any]], field: str) -> str:
    return _single(name, "gauge", about, sum(each[field] for each in workers))


def _single(name: str, kind: str, about: str, value: float) -> str:
    return _family(name, kind, about, [({}, value)])


def _family(name: str, kind: str, about: str, samples: Iterable[Sample]) -> str:
    lines = [f"# HELP skitai_{name} {about}", f"# TYPE skitai_{name} {kind}"]
    for labels, value in samples:
        pairs = ",".join(f'{label}="{_escape(text)}"' for label, text in labels.items())
        lines.append(f"skitai_{name}{{{pairs}}} {value}" if pairs else f"skitai_{name} {value}")
    return "\n".join(lines) + "\n"


def _escape(text: str) -> str:
    return text.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n")
