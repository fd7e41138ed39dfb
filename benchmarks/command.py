"""The steps of one run: options, tools, virtualenv, measuring, report.

Called by `benchmarks/run.py` with any Python; goes on in the benchmark's virtualenv.
"""

from __future__ import annotations

import os
import signal
import sys
from datetime import datetime, timezone
from typing import TYPE_CHECKING

from benchmarks import environment
from benchmarks.plan import Plan, parse

if TYPE_CHECKING:
    from collections.abc import Sequence
    from types import FrameType

    from benchmarks.environment import Cores

RESULTS = environment.ROOT / "benchmarks" / "results"


def run(arguments: Sequence[str]) -> int:
    """Do everything; return 0, 2 if something is missing on the machine, 130 if interrupted."""
    plan = parse(arguments)
    try:
        environment.require_tools()
        cores = environment.cores()
        if sys.prefix != str(environment.FOLDER):
            environment.prepare()
            _go_on(arguments)
        return _measure(plan, cores)
    except environment.SetupError as exc:
        print(f"benchmark: {exc}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("benchmark: interrupted, nothing written", file=sys.stderr)
        return 130


def _go_on(arguments: Sequence[str]) -> None:
    """Replace this process by the same command in the virtualenv, with modules from the root."""
    python, script = str(environment.PYTHON), str(environment.ROOT / "benchmarks" / "run.py")
    os.execv(python, [python, script, *arguments])


def _measure(plan: Plan, cores: Cores) -> int:
    # These need psutil, which only the virtualenv is sure to have.
    from benchmarks import facts, figures, report, services, suite

    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _interrupt)
    # The runner stays off the servers' core too, also while it waits for a start.
    os.sched_setaffinity(0, {cores.client})
    # Read first: the run itself raises the load average.
    machine = facts.machine()
    with services.running(plan.services(), cores.services, environment.ROOT) as asked:
        places = {"root": environment.ROOT, "cores": cores, "services": asked, "say": _say}
        outcomes = suite.measure(plan, **places)
        taken = figures.measure(plan, **places)
    failures = environment.failures()
    for outcome in outcomes:
        report.explain(outcome, failures)
    now = datetime.now(timezone.utc)
    versions = facts.versions(plan.contenders)
    text = report.document(
        plan, outcomes, taken, cores=cores, now=now, machine=machine, versions=versions
    )
    print(text)
    suffix = "-partial" if plan.partial() else ""
    path = RESULTS / f"{now:%Y-%m-%d}-{facts.python_tag()}{suffix}.md"
    path.parent.mkdir(exist_ok=True)
    path.write_text(text)
    print(f"written to {path.relative_to(environment.ROOT)}", file=sys.stderr)
    return 0


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def _interrupt(number: int, frame: FrameType | None) -> None:
    """End as Ctrl-C does, so that every `finally` runs."""
    raise KeyboardInterrupt
