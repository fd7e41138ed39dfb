"""What the workers of a service are together."""

from __future__ import annotations

from collections import Counter
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

if TYPE_CHECKING:
    from typing import Any

    from skitai.monitoring.monitor import Monitor


def connections_of(workers: list[dict[str, Any]]) -> dict[str, int]:
    """Open connections by protocol."""
    total: Counter[str] = Counter()
    for worker in workers:
        total.update(worker["connections"])
    return dict(sorted(total.items()))


def upstreams_of(workers: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The members of upstreams: up when all workers find them so, the rest is added."""
    found: dict[tuple[str, str], dict[str, Any]] = {}
    for worker in workers:
        for seen in worker["upstreams"]:
            key = (seen["upstream"], seen["member"])
            known = found.get(key)
            if known is None:
                found[key] = dict(seen)
                continue
            known["up"] = min(known["up"], seen["up"])
            known["busy"] += seen["busy"]
            known["failures"] += seen["failures"]
    return [found[key] for key in sorted(found)]


def status_of(monitor: Monitor, now: float) -> dict[str, Any]:
    """What the status page shows; on the loop.

    Parameters:
        now: seconds since the epoch.
    """
    totals, workers = monitor.counters.totals(), monitor.workers()
    restarts = monitor.counters.restarts
    width = len(STATUSES)
    rows = [totals[REQUESTS + row * width :][:width] for row in range(len(METHODS))]
    return {
        "time": now,
        "uptime": max(0.0, now - monitor.counters.started),
        "statuses": {
            status: sum(row[column] for row in rows) for column, status in enumerate(STATUSES)
        },
        "methods": {method: sum(row) for method, row in zip(METHODS, rows, strict=True)},
        "bounds": BOUNDS,
        "latencies": totals[LATENCIES : LATENCIES + len(BOUNDS) + 1],
        "seconds": totals[MICROSECONDS] / 1e6,
        "received": totals[RECEIVED],
        "sent": totals[SENT],
        "stuck": totals[STUCK],
        "blocked": totals[BLOCKED],
        "restarts": sum(restarts.values()),
        "reasons": restarts,
        "reloads": monitor.counters.reloads,
        "connections": connections_of(workers),
        "upstreams": upstreams_of(workers),
        "workers": workers,
        "jobs": monitor.jobs(),
    }
