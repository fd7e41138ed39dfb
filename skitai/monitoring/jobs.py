"""Figures of the jobs of a service (``skitai.cron`` and its like) as Prometheus reads them."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

FAILURES = {"failed": "failures", "timeout": "timeouts", "skipped": "skipped"}
"""Why a run was none, and the figure that counts it."""

FAMILIES = (
    ("jobs_running", "gauge", "Processes of a job.", "running"),
    ("jobs_runs_total", "counter", "Runs of a job that began.", "runs"),
    ("jobs_restarts_total", "counter", "Ends of a background task.", "restarts"),
    ("jobs_last_duration_seconds", "gauge", "Of the last run that ended.", "last_seconds"),
    (
        "jobs_last_success_timestamp_seconds", "gauge", "When a run ended well; 0: never.",
        "last_success",
    ),
)  # fmt: skip

Family = tuple[str, str, str, list[tuple[dict[str, str], float]]]


def families(jobs: list[dict[str, Any]]) -> Iterator[Family]:
    """Name, type, description and samples of each figure.

    Parameters:
        jobs: see `skitai.stores.job_board.FIELDS`.
    """
    if not jobs:
        return
    for name, kind, about, field in FAMILIES:
        yield name, kind, about, [({"job": job["name"]}, job[field]) for job in jobs]
    yield (
        "jobs_failures_total", "counter", "Runs that failed, took too long or were left out.",
        [
            ({"job": job["name"], "reason": reason}, job[field])
            for job in jobs
            for reason, field in FAILURES.items()
        ],
    )  # fmt: skip
